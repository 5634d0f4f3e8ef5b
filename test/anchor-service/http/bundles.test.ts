// POST /v1/bundles and what follows: made on a thread into the data folder, with Redis and without, through kill -9 and restarts.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openApi } from '@killick/sdk/audit'
import { type BundleVerdict, verifyBundle } from '@killick/sdk/bundle'
import { bundleRequest, makeBundle } from '@killick/sdk/make-bundle'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { openBundles } from '../../../anchor-service/src/bundles/bundles.ts'
import { makeMetrics } from '../../../anchor-service/src/http/metrics.ts'
import { LOG_LOCK } from '../../../anchor-service/src/ledger/commit.ts'
import { createDatabase } from '../../support/postgres.ts'
import { startChild } from '../../support/processes.ts'
import { redisAvailable, startRedis } from '../../support/redis.ts'
import { smallDisk } from '../../support/small-disk.ts'
import { newSigner, Producer, post, sampleEvent } from '../support/producer.ts'
import { ADMIN, call, ERASER, READER, register, type TestService, testService } from '../support/service.ts'

const MAIN = fileURLToPath(new URL('../../../anchor-service/src/main.ts', import.meta.url))
const signer = newSigner()
const BATCHES = 40
let service: TestService

const ask = (url: string, body: object) =>
  call(url, '/v1/bundles', READER, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
const remove = (id: string) => call(service.url, `/v1/bundles/${id}`, READER, { method: 'DELETE' })
const ended = (url: string, id: string) =>
  vi.waitUntil(
    async () => {
      const { json } = await call(url, `/v1/bundles/${id}`)
      return json.state === 'done' || json.state === 'failed' ? json : null
    },
    { timeout: 60_000, interval: 20 },
  )

async function fetchFile(url: string, id: string, headers: Record<string, string> = {}, method = 'GET') {
  const response = await fetch(`${url}/v1/bundles/${id}/file`, {
    method,
    headers: { authorization: `Bearer ${READER}`, ...headers },
  })
  return { status: response.status, headers: response.headers, bytes: new Uint8Array(await response.arrayBuffer()) }
}

async function verdictOf(bytes: Uint8Array, logKey: string): Promise<BundleVerdict> {
  const chunks = async function* () {
    yield bytes
  }
  return verifyBundle(chunks(), { logKeys: [logKey], sourceKeys: [{ source: 'billing', jwk: signer.jwk }] })
}

async function fill(url: string): Promise<void> {
  await register(url, 'billing', [{ jwk: signer.jwk }])
  const producer = new Producer('billing', signer, 'pod-1')
  for (let i = 0; i < BATCHES; i++) {
    const batch = await producer.batch(Array.from({ length: 5 }, (_, k) => sampleEvent(5 * i + k)))
    expect((await post(url, batch.body)).status).toBe(201)
    batch.advance()
  }
}

beforeAll(async () => {
  service = await testService({ KILLICK_BUNDLES_BYTES: `${7 << 20}` })
  await fill(service.url)
}, 60_000)
afterAll(() => service?.stop())

describe('a bundle', () => {
  test('is made, told of, taken away whole and in parts, and all of that is recorded', async () => {
    const request = { source: 'billing', stream: 'pod-1', first: 3, last: 150 }
    const asked = await ask(service.url, request)
    expect([asked.status, asked.headers.get('location')]).toEqual([202, `/v1/bundles/${asked.json.id}`])
    expect(asked.json).toMatchObject({ state: 'waiting', conditions: request, sha256: null, error: null })
    const { id } = asked.json
    const job = await ended(service.url, id)
    expect(job).toMatchObject({ state: 'done', events: 150, scope: { kind: 'stream', ...request } })
    expect(job.of).toBe(job.entries)

    const { status, headers, bytes } = await fetchFile(service.url, id)
    expect(status).toBe(200)
    expect(Object.fromEntries(headers)).toMatchObject({
      'content-type': 'application/x-tar',
      'content-disposition': expect.stringMatching(/^attachment; filename="billing-pod-1-\d{4}-\d\d-\d\d\.bundle"$/),
      'cache-control': 'no-store',
      'accept-ranges': 'bytes',
      'content-length': `${job.bytes}`,
    })
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(job.sha256)
    const verdict = await verdictOf(bytes, service.vkey)
    expect(verdict.faults).toEqual([])
    expect(verdict).toMatchObject({ events: 148, missing: ['anchor'], completeness: { verdict: 'complete' } })

    const etag = headers.get('etag')!
    const part = await fetchFile(service.url, id, { range: 'bytes=1000-', 'if-range': etag })
    expect([part.status, part.headers.get('content-range')]).toEqual([206, `bytes 1000-${job.bytes - 1}/${job.bytes}`])
    expect(Buffer.compare(part.bytes, bytes.subarray(1000))).toBe(0)
    const last = await fetchFile(service.url, id, { range: 'bytes=-100' })
    expect(Buffer.compare(last.bytes, bytes.subarray(-100))).toBe(0)
    expect((await fetchFile(service.url, id, { range: 'bytes=10-19' })).bytes.length).toBe(10)
    const beyond = await fetchFile(service.url, id, { range: `bytes=${job.bytes}-` })
    expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, `bytes */${job.bytes}`])
    const other = await fetchFile(service.url, id, { range: 'bytes=10-19', 'if-range': '"another"' })
    expect([other.status, other.bytes.length]).toEqual([200, job.bytes])
    const head = await fetchFile(service.url, id, {}, 'HEAD')
    expect([head.status, head.headers.get('content-length'), head.bytes.length]).toEqual([200, `${job.bytes}`, 0])

    expect((await ask(service.url, request)).json.id).toBe(id)
    const { status: repeated } = await ask(service.url, { ...request })
    expect(repeated).toBe(200)
    const again = await ask(service.url, { ...request, again: true })
    expect([again.status, again.json.id === id]).toEqual([202, false])
    expect((await ended(service.url, again.json.id)).state).toBe('done')
    const { json: listed } = await call(service.url, '/v1/bundles')
    expect(listed.bundles.map((each: { id: string }) => each.id)).toEqual([again.json.id, id])

    expect((await remove(id)).status).toBe(204)
    expect((await fetchFile(service.url, id)).status).toBe(404)
    const { json } = await call(service.url, `/v1/events?target=${id}`)
    // The range from 0 on was taken twice: whole, and under another etag.
    expect(json.events.map((event: { fields: { action: string } }) => event.fields.action)).toEqual([
      ...['bundle.delete', 'bundle.download', 'bundle.download', 'bundle.create'],
    ])
    expect(json.events.at(-1).fields).toMatchObject({ actor: { type: 'role', id: 'reader' }, metadata: request })
  })

  test('of a source shows all of it; of a search it is as the index says; of nothing it fails', async () => {
    const source = await ask(service.url, { source: 'billing', to: '2999-01-01T00:00:00Z' })
    const search = await ask(service.url, { actor: 'reader', action: 'bundle.create' })
    const [asked] = (await call(service.url, '/v1/events?source=killick&action=bundle.create&limit=1')).json.events
    expect(asked.fields.metadata).toEqual({ action: 'bundle.create', by: ['actor'] })
    const nothing = await ask(service.url, { actor: 'nobody' })
    const jobs = await Promise.all([source, search, nothing].map(({ json }) => ended(service.url, json.id)))
    expect(jobs[0]).toMatchObject({ state: 'done', events: 202, scope: { kind: 'source', source: 'billing' } })
    expect(jobs[1]).toMatchObject({ state: 'done', scope: { kind: 'search', conditions: { actor: 'reader' } } })
    expect(jobs[2]).toMatchObject({ state: 'failed', error: { code: 'bundle_empty' }, bytes: 0, sha256: null })
    const verdicts = await Promise.all(
      jobs.slice(0, 2).map(async ({ id }) => verdictOf((await fetchFile(service.url, id)).bytes, service.vkey)),
    )
    // Nothing is anchored here, so nobody can say until when it goes.
    expect(verdicts.map(({ completeness }) => completeness.verdict)).toEqual(['open', 'as_index_says'])
    const failed = await fetchFile(service.url, jobs[2].id)
    expect([failed.status, new TextDecoder().decode(failed.bytes)]).toEqual([
      409,
      expect.stringContaining('bundle_not_ready'),
    ])
    // What failed is made again when it is asked for again.
    expect((await ask(service.url, { actor: 'nobody' })).json.id).not.toBe(jobs[2].id)
  })

  test('whose file is gone is not said to be there', async () => {
    const asked = { source: 'billing', stream: 'pod-1', first: 1, last: 2 }
    const ids = []
    for (const path of ['file', 'again']) {
      const { json } = await ask(service.url, asked)
      expect((await ended(service.url, json.id)).state).toBe('done')
      await rm(join(service.folder, 'bundles', '0', `${json.id}.bundle`))
      if (path === 'file') expect((await fetchFile(service.url, json.id)).status).toBe(404)
      else expect((await ask(service.url, asked)).status).toBe(202)
      expect((await call(service.url, `/v1/bundles/${json.id}`)).status).toBe(404)
      ids.push(json.id)
    }
    expect(new Set(ids).size).toBe(2)
  })

  test('only one runs and eight wait; what is given up leaves nothing behind', async () => {
    const all = await Promise.all(
      Array.from({ length: 12 }, (_, i) => ask(service.url, { source: 'billing', stream: 'pod-1', first: i })),
    )
    const refused = all.filter(({ status }) => status !== 202)
    expect(refused.map(({ status, json }) => [status, json.code])).toEqual(refused.map(() => [429, 'bundles_waiting']))
    expect(refused.length).toBeGreaterThan(0)
    const { text } = await call(service.url, '/metrics')
    expect(text).toMatch(/^killick_bundles_waiting [78]$/m)
    expect(text).toMatch(/^killick_bundles_total\{outcome="failed"\} [1-9]/m)
    const { json } = await call(service.url, '/v1/bundles')
    for (const { id } of json.bundles) expect((await remove(id)).status).toBe(204)
    expect((await call(service.url, '/v1/bundles')).json.bundles).toEqual([])
    expect(await readdir(join(service.folder, 'bundles', '0'))).toEqual([])
  })

  test('takes no more of the disk than it may', async () => {
    const producer = new Producer('billing', signer, 'large')
    const blob = 'x'.repeat(100_000)
    const batch = await producer.batch(Array.from({ length: 60 }, () => ({ ...sampleEvent(), metadata: { blob } })))
    expect((await post(service.url, batch.body)).status).toBe(201)
    const job = await ended(service.url, (await ask(service.url, { source: 'billing', stream: 'large' })).json.id)
    expect(job).toMatchObject({ state: 'failed', error: { code: 'bundle_too_large' } })
    const most = await ask(service.url, { source: 'billing', stream: 'large', last: 44 })
    const made = await ended(service.url, most.json.id)
    expect(made).toMatchObject({ state: 'done', events: 47 })
    expect(await readdir(join(service.folder, 'bundles', '0'))).toHaveLength(3)
    // It is more than a connection holds that nobody reads from, and once it is removed, nobody is told the rest of it.
    const slow = connect(Number(new URL(service.url).port), '127.0.0.1').on('error', () => {})
    slow.write(
      `GET /v1/bundles/${most.json.id}/file HTTP/1.1\r\nHost: killick\r\nAuthorization: Bearer ${READER}\r\n\r\n`,
    )
    await once(slow, 'readable')
    // Who asked before is told no fault, though both are recorded first, one behind the other.
    const holder = new pg.Client({ connectionString: service.databaseUrl })
    await holder.connect()
    await holder.query('select pg_advisory_lock($1)', [LOG_LOCK])
    // What the next one takes, which brings the page along, would be too much beside it.
    const removal = remove(most.json.id)
    const waiting = `select count(*)::int as n from pg_locks where locktype = 'advisory' and not granted
                     and database = (select oid from pg_database where datname = current_database())`
    await expect.poll(async () => (await holder.query(waiting)).rows[0].n).toBeGreaterThan(0)
    const late = fetchFile(service.url, most.json.id)
    await sleep(100)
    await holder.end()
    expect([(await removal).status, (await late).status]).toEqual([204, 404])
    let told = ''
    slow.setEncoding('latin1').on('data', (part) => {
      told += part
    })
    await new Promise((resolve) => slow.once('close', resolve))
    expect(told).toMatch(/^HTTP\/1.1 200 /)
    expect(told.length).toBeLessThan(made.bytes)
  })

  test('is for readers, and for requests that make sense', async () => {
    const body = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"source":"billing"}' }
    expect((await call(service.url, '/v1/bundles', null, body)).status).toBe(401)
    for (const bad of [
      {},
      { first: 1 },
      { source: 'billing', first: 1 },
      { source: 'billing', stream: 'pod-1', first: 5, last: 4 },
      { source: 'billing', stream: 'pod-1', first: 5, from: '2026-01-01T00:00:00Z' },
      { source: '../billing' },
      { source: 'billing', from: 'yesterday' },
      { source: 'billing', limit: 5 },
      { outcome: 'odd' },
    ])
      expect((await ask(service.url, bad)).json, JSON.stringify(bad)).toMatchObject({ code: 'request_invalid' })
    for (const id of ['..%2F..%2Fkeys', '00000000-0000-4000-8000-000000000000'])
      for (const path of ['', '/file'])
        expect([400, 404]).toContain((await call(service.url, `/v1/bundles/${id}${path}`)).status)
  })

  test('is removed once something of it is erased, though the clock was ahead when it was made', async () => {
    const asked = { source: 'billing', stream: 'pod-1', first: 0, last: 3 }
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 })
    let id: string
    try {
      id = (await ask(service.url, { ...asked, again: true })).json.id
      expect((await ended(service.url, id)).state).toBe('done')
    } finally {
      vi.useRealTimers()
    }
    // What a process with the same data folder has left, which is gone and does not come back, goes too.
    const gone = await testService({}, service)
    expect((await ended(gone.url, (await ask(gone.url, asked)).json.id)).state).toBe('done')
    await gone.close()
    const left = async () => (await readdir(join(service.folder, 'bundles', '1'))).filter((name) => name !== 'queue')
    expect(await left()).toHaveLength(2)
    const order = { source: 'billing', fields: ['targets'], reason: 'a test' }
    const { json } = await call(service.url, '/v1/erasures', ERASER, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(order) },
    })
    await vi.waitUntil(async () => (await call(service.url, `/v1/erasures/${json.id}`)).json.state === 'done', 20_000)
    await vi.waitUntil(async () => (await call(service.url, `/v1/bundles/${id}`)).status === 404, 20_000)
    await vi.waitUntil(async () => (await left()).length === 0, 20_000)
    // One that is made since stays.
    const { json: since } = await ask(service.url, asked)
    expect(await ended(service.url, since.id)).toMatchObject({ state: 'done' })
    expect(since).not.toHaveProperty('gone')
    expect((await call(service.url, `/v1/bundles/${since.id}`)).status).toBe(200)
  })

  test('fields that are erased while it is made make it begin again, for nobody has hidden them', async () => {
    const api = openApi(service.url, READER)
    const producer = new Producer('billing', signer, 'late')
    const batch = await producer.batch([sampleEvent(), sampleEvent()])
    expect((await post(service.url, batch.body)).status).toBe(201)
    const request = bundleRequest({ source: 'billing', stream: 'late' })
    const file = join(service.folder, 'late.bundle')
    // By the first of them no order is known that comes behind the event, by the second there is one.
    for (const field of ['actor', 'targets']) {
      const before = await api.text('/checkpoint', 1 << 20)
      const order = { source: 'billing', stream: 'late', fields: [field], reason: 'a test' }
      const { json } = await call(service.url, '/v1/erasures', ERASER, {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(order) },
      })
      await vi.waitUntil(async () => (await call(service.url, `/v1/erasures/${json.id}`)).json.state === 'done', 20_000)
      let left = 1
      const slow: typeof api = {
        ...api,
        text: async (path, most) => (path === '/checkpoint' && left-- > 0 ? before : api.text(path, most)),
      }
      await makeBundle(slow, request, file, { url: service.url, isBare: true })
      const verdict = await verdictOf(await readFile(file), service.vkey)
      expect(verdict.faults).toEqual([])
      expect(verdict.fields).toMatchObject({ erased: 2, hidden: 0 })
      left = 100
      await expect(makeBundle(slow, request, file, { url: service.url, isBare: true })).rejects.toMatchObject({
        code: 'bundle_outdated',
      })
    }
  })
})

test('a full disk refuses a bundle, and keeps nothing from starting', async () => {
  const disk = smallDisk(1)
  const open = () =>
    openBundles({
      ...{ settings: { maxBytes: 1 << 30, keepDays: 7 }, dataFolder: disk.folder, redisUrl: null, databaseUrl: '' },
      ...{ token: READER, publicUrl: null, lastGone: async () => null, registry: makeMetrics().registry },
    })
  try {
    const before = await open()
    const { job } = await before.take({ source: 'billing' }, 'reader', false, async () => {})
    await before.close()
    // As a process leaves it that is killed meanwhile.
    const state = join(disk.folder, 'bundles', '0', `${job.id}.json`)
    await writeFile(state, JSON.stringify({ ...job, state: 'running', attempts: 1 }))
    disk.fill()
    const bundles = await open()
    expect(bundles.list()).toMatchObject([{ id: job.id, state: 'waiting', attempts: 1 }])
    await expect(bundles.take({ source: 'other' }, 'reader', false, async () => {})).rejects.toMatchObject({
      ...{ code: 'bundles_full', message: 'The disk is full.' },
    })
    expect(await readdir(join(disk.folder, 'bundles', '0'))).toEqual([`${job.id}.json`])
    await bundles.close()
  } finally {
    disk.remove()
  }
})

describe.skipIf(!redisAvailable())('kill -9', () => {
  test('a half file is never shown, and what was begun is made at the next start, without Redis too', {
    timeout: 60_000,
  }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'killick-bundles-'))
    const redis = await startRedis()
    const { PATH = '' } = process.env
    const env = {
      ...{ PATH, PORT: '0', DATABASE_URL: await createDatabase(), KILLICK_DATA: folder, KILLICK_LOG_LEVEL: 'silent' },
      ...{ KILLICK_ADMIN_TOKEN: ADMIN, KILLICK_READER_TOKEN: READER, KILLICK_AUDIT_INTERVAL_MS: '0' },
    }
    const start = async (more: Record<string, string> = {}) => {
      const child = await startChild(process.execPath, [MAIN], { env: { ...env, ...more } })
      return { child, url: (await child.printed(/listens on (\S+)/))[1]! }
    }
    let { child, url } = await start({ REDIS_URL: redis.url })
    try {
      await fill(url)
      const first = await ask(url, { source: 'billing' })
      expect((await ended(url, first.json.id)).state).toBe('done')
      // The queue is lost behind the service's back; what is asked for next is made all the same.
      await redis.flush()
      const begun = (await ask(url, { source: 'billing', stream: 'pod-1' })).json.id
      const waits = (await ask(url, { actor: 'nobody' })).json.id
      const own = join(folder, 'bundles', '0')
      const stateOf = async (id: string) => JSON.parse(await readFile(join(own, `${id}.json`), 'utf8'))
      await vi.waitUntil(async () => (await stateOf(begun)).state === 'running', { timeout: 20_000, interval: 1 })
      await child.kill9()
      await redis.kill9()
      expect([(await stateOf(begun)).state, existsSync(join(own, `${begun}.bundle`))]).toEqual(['running', false])
      // What a kill between two steps can leave behind, and worse.
      await writeFile(join(own, `${begun}.bundle`), 'half')
      await writeFile(join(own, `${waits}.bundle.part`), 'half')
      await writeFile(join(own, `${waits}.json.next`), '{"id"')
      const old = await stateOf(first.json.id)
      await writeFile(
        join(own, `${first.json.id}.json`),
        JSON.stringify({ ...old, finishedAt: '2020-01-01T00:00:00.000Z' }),
      )
      ;({ child, url } = await start({ REDIS_URL: redis.url }))
      const states = await Promise.all([begun, waits].map((id) => ended(url, id)))
      expect(states[0]).toMatchObject({ state: 'done', events: 5 * BATCHES + 2, scope: { last: 5 * BATCHES - 1 } })
      expect((await stateOf(begun)).attempts).toBe(2)
      const { bytes } = await fetchFile(url, begun)
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(states[0].sha256)
      expect(states[1].state).toBe('failed')
      await vi.waitUntil(async () => !existsSync(join(own, `${first.json.id}.bundle`)), { timeout: 10_000 })
      const names = [`${begun}.bundle`, `${begun}.json`, `${waits}.json`, 'queue']
      expect((await readdir(own)).sort()).toEqual(names.sort())
    } finally {
      await child.kill9()
      await redis.stop()
      await rm(folder, { recursive: true, force: true })
    }
  })
})
