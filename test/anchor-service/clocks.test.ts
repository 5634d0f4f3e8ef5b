import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type AuditLog, generateKey, openAuditLog, parseProof, publicJwk, verifyProof } from '@killick/sdk'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { keepTarget } from '../../anchor-service/src/anchor/visits.ts'
import { type LocalChain, startChain } from '../support/local-chain.ts'
import { createDatabase, queryAsOwner } from '../support/postgres.ts'
import { type ChildHandle, startNode } from '../support/processes.ts'
import { newSigner, Producer, post, sampleEvent } from './support/producer.ts'
import { ADMIN, call, ERASER, READER, register } from './support/service.ts'

const MAIN = fileURLToPath(new URL('../../anchor-service/src/main.ts', import.meta.url))
const CLI = fileURLToPath(new URL('../../sdk/src/cli/main.ts', import.meta.url))
const SHIFTED_CLOCK = fileURLToPath(new URL('../support/shifted-clock.ts', import.meta.url))

const HOUR = 3_600_000
const TEN_YEARS = 3652 * 24 * HOUR
const BEFORE_1970 = -HOUR

const folder = mkdtempSync(join(tmpdir(), 'killick-clocks-'))
let chain: LocalChain
let service: ChildHandle
let url: string
let databaseUrl: string
const signer = newSigner()

beforeAll(async () => {
  chain = await startChain()
  databaseUrl = await createDatabase()
  const env = {
    PATH: process.env.PATH ?? '',
    DATABASE_URL: databaseUrl,
    KILLICK_DATA: folder,
    KILLICK_ADMIN_TOKEN: ADMIN,
    KILLICK_READER_TOKEN: READER,
    KILLICK_ERASER_TOKEN: ERASER,
    KILLICK_RETENTION_INTERVAL_MS: '100',
    KILLICK_RPC_URL: chain.url,
    KILLICK_CONTRACT: await chain.deployAnchorLog(),
    KILLICK_CHAIN_KEY: await chain.newKey(),
    KILLICK_ANCHOR_INTERVAL_MS: '200',
    KILLICK_ANCHOR_POLL_MS: '200',
    KILLICK_CONFIRMATIONS: '3',
    KILLICK_RATE_LIMIT: '2000',
    KILLICK_LOG_LEVEL: 'silent',
    PORT: '0',
  }
  service = await startNode(['--import', SHIFTED_CLOCK, MAIN], { env })
  url = (await service.printed(/listens on (\S+)/))[1]!
  await register(url, 'billing', [{ jwk: signer.jwk }])
})
afterEach(async () => {
  vi.useRealTimers()
  await setServiceClock(0)
})
afterAll(async () => {
  await service.stop()
  await chain.stop()
  rmSync(folder, { recursive: true })
})

/** Shifts the service's wall clock against the true one. */
async function setServiceClock(clockOffsetMs: number): Promise<void> {
  const done = once(service.process, 'message')
  service.process.send({ clockOffsetMs })
  await done
}

/** Shifts the clock of this process, and so the recorder's; timers stay as they are. */
function setProducerClock(time: number): void {
  vi.useFakeTimers({ toFake: ['Date'], now: time })
}

async function audit(): Promise<void> {
  const env = { PATH: process.env.PATH ?? '', KILLICK_URL: url, KILLICK_TOKEN: READER }
  const { vkey } = (await call(url, '/v1/log', null)).json
  const child = await startNode([CLI, 'audit', '--no-chain', '--registered-keys', '--log-key', vkey], { env })
  expect(await child.exited, child.output()).toEqual({ code: 0, signal: null })
}

test('a recorder whose clock jumps keeps its stream, and its times stay what it claimed', async () => {
  const key = generateKey()
  await register(url, 'jumping', [{ jwk: publicJwk(key) }])
  const { vkey } = (await call(url, '/v1/log', null)).json
  const batch = { maxAgeMs: 600_000 }
  const open = () =>
    openAuditLog({ url, source: 'jumping', key, spool: join(folder, 'spool'), logKey: vkey, batch, onError: () => {} })
  let log: AuditLog = await open()
  const now = Date.now()
  // The last two are no times that an event can have: the nearest are.
  const jumps = [0, -HOUR, TEN_YEARS, -HOUR - 1, 1, TEN_YEARS, 2, BEFORE_1970 - now, Date.UTC(10_000, 5) - now]
  const nearest = (time: number) => Math.min(Math.max(time, 0), Date.UTC(10_000, 0) - 1)
  const made: { id: string; seq: number; time: number }[] = []
  const receipts = []
  for (const isSentEach of [true, false]) {
    for (const jump of jumps) {
      setProducerClock(now + jump)
      made.push({ ...(await log.record(sampleEvent(made.length))), time: nearest(now + jump) })
      if (isSentEach) receipts.push(...(await log.flush()))
    }
    // The clock may be set while nobody records, too.
    await log.close()
    setProducerClock(now - TEN_YEARS)
    log = await open()
  }
  expect(receipts.map(({ seq, n }) => [seq, n])).toEqual(jumps.map((_, i) => [i, 1]))
  expect(log.status).toMatchObject({ recorded: made.length, accepted: made.length })
  await log.close()

  const { events } = (await call(url, '/v1/events?source=jumping&limit=100')).json as {
    events: Record<string, unknown>[]
  }
  const shown = events.reverse().map(({ id, seq, recordedAt }) => ({ id, seq, recordedAt }))
  expect(shown).toEqual(made.map(({ id, seq, time }) => ({ id, seq, recordedAt: new Date(time).toISOString() })))
  for (const { id, time } of made) {
    expect(Number.parseInt(id.replace('-', '').slice(0, 12), 16)).toBe(time)
    const proof = parseProof((await call(url, `/v1/proofs/${id}`)).text)
    const trust = {
      sourceKeys: [{ source: 'jumping', jwk: publicJwk(key) }],
      logKeys: [vkey],
      logs: [],
      confirmations: 1,
    }
    expect(verifyProof(proof, trust).checks.filter(({ status }) => status === 'failed')).toEqual([])
  }
  // When the ledger took them is its own word, whatever they claim.
  const [stream] = await queryAsOwner<{ newest: Date }>(
    databaseUrl,
    "select max(accepted_at) as newest from killick.batches where source = 'jumping'",
  )
  expect(Math.abs(stream!.newest.getTime() - now)).toBeLessThan(60_000)
  await audit()
})

test('a service whose clock jumps takes every batch in order, and judges keys by its clock at that moment', async () => {
  const dated = newSigner()
  const iso = (time: number) => new Date(time).toISOString()
  const [notBefore, notAfter] = [iso(Date.now() - 60_000), iso(Date.now() + HOUR)]
  await register(url, 'dated', [{ jwk: dated.jwk, notBefore, notAfter }])
  const [steady, bound] = [new Producer('billing', signer), new Producer('dated', dated)]
  let last = -1
  const unlikely = [BEFORE_1970, Date.UTC(10_000, 5)].map((time) => time - Date.now())
  for (const offset of [0, -HOUR, TEN_YEARS, -TEN_YEARS, ...unlikely, 0]) {
    await setServiceClock(offset)
    const batch = await steady.batch([sampleEvent(), sampleEvent()])
    const { status, json } = await post(url, batch.body)
    expect(status).toBe(201)
    expect(json.logIndex).toBeGreaterThan(last)
    last = json.logIndex as number
    batch.advance()
    // An event of the service itself, by its own clock.
    expect((await call(url, '/console/session', null, login())).status).toBe(200)

    const judged = await bound.batch([sampleEvent()])
    const expected = offset === 0 ? undefined : offset < 0 ? 'key_not_yet_valid' : 'key_expired'
    const answer = await post(url, judged.body)
    expect(answer.json.code).toBe(expected)
    if (expected === undefined) judged.advance()
  }
  await setServiceClock(0)
  const { events } = (await call(url, '/v1/events?source=dated')).json
  expect(events).toHaveLength(2)
  await audit()
})

const login = (by: object = { token: READER }) => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(by),
})

test('a clock that jumps brings back no session that was ended, and makes none last longer', async () => {
  const signIn = async () =>
    (await call(url, '/console/session', null, login())).headers.get('set-cookie')!.split(';')[0]!
  const status = async (cookie: string) => (await call(url, '/v1/events?limit=1', null, { headers: { cookie } })).status
  const signOut = (cookie: string) =>
    call(url, '/console/session', null, { method: 'DELETE', headers: { cookie, 'x-killick-console': '1' } })
  const link = async () => {
    const { json } = await call(url, '/console/sign-in-links', READER, { method: 'POST' })
    return login({ link: json.url.split('/sign-in/')[1] })
  }
  const [early, late, stays, made] = [await signIn(), await signIn(), await signIn(), await link()]
  await signOut(early)
  await setServiceClock(HOUR)
  await signOut(late)
  await setServiceClock(24 * HOUR)
  const ahead = await signIn()
  // What was ended is forgotten here, once it would be over.
  await new Promise((resolve) => setTimeout(resolve, 1_100))
  expect([await status(ahead), await status(stays)]).toEqual([200, 401])
  expect((await call(url, '/console/session', null, made)).json).toEqual({ role: 'reader' })
  await setServiceClock(0)
  await new Promise((resolve) => setTimeout(resolve, 1_100))
  expect([await status(early), await status(late), await status(ahead), await status(stays)]).toEqual([
    401, 401, 401, 200,
  ])
})

test('a link ends by the clock of the service, as it began, and not by that of the database', async () => {
  const { json } = await call(url, '/v1/events?limit=1')
  const expires = new Date(Date.now() + HOUR / 2).toISOString()
  const body = JSON.stringify({ eventId: json.events[0].id, fields: [], expires })
  const headers = { 'content-type': 'application/json' }
  const made = (await call(url, '/v1/shares', READER, { method: 'POST', headers, body })).json
  const opened = async () => (await call(url, `${new URL(made.url).pathname}/proof`, null)).status
  const told = async () => (await call(url, '/v1/shares')).json.shares.find(({ id }: { id: string }) => id === made.id)
  expect([await opened(), (await told()).state]).toEqual([200, 'open'])
  await setServiceClock(HOUR)
  expect([await opened(), (await told()).state]).toEqual([410, 'expired'])
})

test('a clock that jumps neither lifts nor prolongs a rate limit', async () => {
  const statuses = async () => (await call(url, '/console/session', null, login())).status
  await expect.poll(statuses, { interval: 1 }).toBe(429)
  await setServiceClock(TEN_YEARS)
  const { status, headers } = await call(url, '/console/session', null, login())
  expect(status).toBe(429)
  expect(Number(headers.get('retry-after'))).toBeLessThanOrEqual(60)
  await setServiceClock(-TEN_YEARS)
  expect(Number((await call(url, '/console/session', null, login())).headers.get('retry-after'))).toBeLessThanOrEqual(
    60,
  )
})

test('the live tail continues while the clock jumps', async () => {
  const response = await fetch(`${url}/v1/events/live`, { headers: { authorization: `Bearer ${READER}` } })
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  const producer = new Producer('billing', signer, 'tailed')
  for (const [i, offset] of [0, -HOUR, TEN_YEARS, 0].entries()) {
    await setServiceClock(offset)
    const batch = await producer.batch([sampleEvent(i)])
    expect((await post(url, batch.body)).status).toBe(201)
    batch.advance()
    while (!text.includes(`"stream":"tailed","seq":${i},`)) text += (await reader.read()).value
  }
  await reader.cancel()
  const seen = [...text.matchAll(/"stream":"tailed","seq":(\d+)/g)].map((match) => Number(match[1]))
  expect(seen).toEqual([0, 1, 2, 3])
})

test('anchoring continues when the clock of the service is set back, or the database holds later times', async () => {
  const producer = new Producer('billing', signer, 'anchored')
  const states = async () =>
    (
      await queryAsOwner<{ size: number; state: string }>(
        databaseUrl,
        'select size::int, state from killick.current_anchors where size > 0 order by size',
      )
    ).filter(({ state }) => state !== 'abandoned')
  const newest = async () => (await states()).at(-1) ?? { size: 0, state: 'none' }
  const confirmed = async () => {
    await chain.rpc('hardhat_mine', ['0x3'])
    const all = await states()
    return all.length > 0 && all.every(({ state }) => state === 'confirmed' || state === 'final')
  }
  // The log is opened, and what was recorded so far is anchored.
  await expect.poll(confirmed, { timeout: 20_000, interval: 300 }).toBe(true)
  const { logIndex } = (await post(url, (await producer.batch([sampleEvent()])).body)).json as { logIndex: number }
  await expect
    .poll(newest, { timeout: 10_000 })
    .toEqual({ size: expect.toSatisfy((size: number) => size > logIndex), state: 'mined' })
  await setServiceClock(-HOUR)
  await expect.poll(confirmed, { timeout: 10_000, interval: 300 }).toBe(true)

  await setServiceClock(TEN_YEARS)
  await queryAsOwner(
    databaseUrl,
    `alter table killick.anchors disable trigger all;
     update killick.anchors set planned_at = planned_at + interval '10 years';
     alter table killick.anchors enable trigger all`,
  )
  const next = new Producer('billing', signer, 'anchored-next')
  const later = (await post(url, (await next.batch([sampleEvent()])).body)).json as { logIndex: number }
  await expect
    .poll(async () => (await confirmed()) && (await newest()).size, { timeout: 10_000, interval: 300 })
    .toBeGreaterThan(later.logIndex)
  await audit()
})

test('what expires goes by the chain’s clock, however the service’s jumps, and holds count across a jump', async () => {
  const send = (method: string, path: string, token: string, body?: object) =>
    call(url, path, token, {
      method,
      ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    })
  const policy = (days: number, more: object = {}) =>
    send('PUT', '/v1/retention/policies/aging', ERASER, { covers: { source: 'aging' }, contentsDays: days, ...more })
  const retention = async () => (await call(url, '/v1/retention')).json
  const [wait, aging] = [{ timeout: 10_000, interval: 100 }, new Producer('aging', signer)]
  await register(url, 'aging', [{ jwk: signer.jwk }])
  const record = async (from: number) => {
    const events = [0, 1, 2].map((i) => ({ ...sampleEvent(i), targets: [{ type: 'order', id: `aging-${from + i}` }] }))
    const batch = await aging.batch(events)
    expect((await post(url, batch.body)).status).toBe(201)
    batch.advance()
  }
  const anchored = async (logIndex: number) => {
    await chain.rpc('hardhat_mine', ['0x3'])
    return ((await retention()).clock?.size ?? 0) > logIndex
  }
  /** Waits for a look by the service that began under this clock. */
  async function looked(offset: number): Promise<void> {
    await setServiceClock(offset)
    const since = Date.now() + offset
    const last = async () => Math.abs(Date.parse((await retention()).lastPass?.at ?? 0) - since)
    await expect.poll(last, wait).toBeLessThan(HOUR)
  }
  const expired = async () => (await retention()).policies[0].expired
  await record(0)
  const { logIndex } = (await policy(30)).json
  await expect.poll(() => anchored(logIndex), wait).toBe(true)

  // Ahead: nothing is due, not even by a policy of one day.
  await looked(TEN_YEARS)
  expect((await policy(1, { dryRun: true })).json).toMatchObject({ events: 0, held: 0 })
  const scope = { case: 'C-1', reason: 'suit', covers: { target: 'aging-1' } }
  const { id } = (await send('POST', '/v1/holds', ADMIN, scope)).json
  await looked(-TEN_YEARS)
  expect(await expired()).toBe(0)

  // Behind: it is due all the same, but for what a hold covers that was placed ten years ahead; what has just come is not.
  await chain.rpc('evm_increaseTime', [31 * 86_400])
  await record(3)
  await expect.poll(async () => (await anchored(0)) && (await expired()), wait).toBe(2)
  // What was ordered is counted until it is carried out.
  await expect.poll(async () => (await policy(30, { dryRun: true })).json, wait).toMatchObject({ events: 0, held: 1 })
  await send('DELETE', `/v1/holds/${id}?reason=over`, ADMIN)
  await setServiceClock(TEN_YEARS)
  await expect.poll(expired, wait).toBe(3)
  await looked(-TEN_YEARS)
  expect(await expired()).toBe(3)
  const gone = async () => {
    const { events } = (await call(url, '/v1/events?source=aging')).json as { events: { expired?: number }[] }
    return events.map((event) => event.expired !== undefined)
  }
  await expect.poll(gone, wait).toEqual([false, false, false, true, true, true])
  await setServiceClock(0)
  await audit()
})

test('a target is visited in time when the clock is set back, even without the queue', async () => {
  let visits = 0
  const keeper = keepTarget({
    advance: async () => {
      visits++
      return { outcome: 'waiting', detail: 'for a block' }
    },
    ring: () => Promise.reject(new Error('no queue')),
    isDue: async () => false,
    pollMs: 20,
    ended: () => {},
  })
  await keeper.tick()
  setProducerClock(Date.now() - HOUR)
  await expect.poll(() => keeper.tick().then(() => visits)).toBe(2)
})
