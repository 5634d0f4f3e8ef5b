/** Retention, on real services over one database, and a chain whose time is moved: what expires, what stays, and what audits find. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { loadConfig } from '@killick/anchor-service'
import { parseProof, verifyProof } from '@killick/sdk'
import { auditLedger, openApi } from '@killick/sdk/audit'
import { type EventInput, nodePrimitives, parseEvent } from '@killick/sdk/core'
import { inWords } from '@killick/sdk/words'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eraseAfterRestore } from '../../anchor-service/src/commands/erase.ts'
import { openPool } from '../../anchor-service/src/database/pool.ts'
import { keepErasing } from '../../anchor-service/src/erasure/erasing.ts'
import { readClock, readPolicies } from '../../anchor-service/src/erasure/policies.ts'
import { openStore } from '../../anchor-service/src/open-store.ts'
import { killick } from '../sdk/cli/support.ts'
import { queryAsOwner } from '../support/postgres.ts'
import { tamper } from './audit/support/audits.ts'
import { Producer } from './support/producer.ts'
import { type AgingLedger, startAging } from './support/retention.ts'
import { ADMIN, call, ERASER, READER, type TestService, testService } from './support/service.ts'

const ORDERS = 30
const INVOICES = 10

let aging: AgingLedger
let service: TestService
/** Another process on the same database. */
let beside: TestService
let shop: Producer
let hr: Producer

beforeAll(async () => {
  aging = await startAging(['shop', 'hr'], { KILLICK_RETENTION_EVENTS: '8' })
  service = aging.service
  await openBeside()
  shop = aging.producer('shop')
  hr = aging.producer('hr')
  await record(
    shop,
    Array.from({ length: ORDERS }, (_, i) => event('order.place', `o-${i}`)),
  )
  await record(
    shop,
    Array.from({ length: INVOICES }, (_, i) => event('invoice.send', `i-${i}`)),
  )
  await record(hr, [
    ...Array.from({ length: 5 }, (_, i) => event('person.hire', `p-${i}`)),
    event('person.keep', 'kept'),
  ])
}, 60_000)
afterAll(async () => {
  await beside?.close()
  await aging?.stop()
})

async function openBeside(more: Record<string, string> = {}): Promise<void> {
  beside = await testService({ ...aging.env, ...more, KILLICK_WORKER: 'off' }, service)
}

async function open(more: Record<string, string> = {}): Promise<void> {
  await beside.close()
  await aging.restart(more)
  service = aging.service
  await openBeside(more)
}

const event = (action: string, id: string): EventInput => ({
  ...{ action, actor: { type: 'user', id: 'u-1', name: 'Zoë Example' }, targets: [{ type: 'thing', id }] },
  ...{ context: { ip: '203.0.113.7' }, outcome: 'success' },
})

const record = (by: Producer, inputs: EventInput[]) => aging.record(by, inputs)
const send = (...asked: Parameters<AgingLedger['send']>) => aging.send(...asked)
const put = (id: string, body: object, token = ERASER) => aging.put(id, body, token)
const retention = async (url = service.url) => (await call(url, '/v1/retention')).json
const policy = (id: string) => aging.policy(id)
const search = (query: string) => aging.search(query)
const until = (what: () => Promise<void>) => aging.until(what)
const anchored = (size?: number) => aging.anchored(size)
let passed = 0
const pass = (days: number) => aging.pass(days, shop, event('order.place', `later-${passed++}`))
const audit = () => aging.audit()

/** What a restore of packs alone would bring back. */
const KEPT = ['packs', 'pack_keys']

// biome-ignore lint/suspicious/noExplicitAny: rows as a service lists them
type Told = any

/**
 * What an audit from outside finds of a service that lists something else than it should.
 * @returns checks that failed, and why
 */
async function auditOf(
  path: string,
  member: string,
  lie: (all: Told[]) => Told[],
  logs: Told[] = [],
): Promise<string[]> {
  const headers = { authorization: `Bearer ${READER}` }
  const liar = createServer(async (request, response) => {
    const answer = await fetch(`${service.url}${request.url}`, { headers })
    let body = Buffer.from(await answer.arrayBuffer())
    if (request.url!.split('?')[0] === path) {
      const told = JSON.parse(body.toString())
      body = Buffer.from(JSON.stringify({ ...told, [member]: lie(told[member]) }))
    }
    response.writeHead(answer.status).end(body)
  }).listen(0, '127.0.0.1')
  await once(liar, 'listening')
  const api = openApi(`http://127.0.0.1:${(liar.address() as AddressInfo).port}`, READER)
  const { checks } = await auditLedger(api, {
    ...{ logKeys: [service.vkey], sourceKeys: [], logs, urls: logs.length > 0 ? [aging.chain.url] : [] },
  })
  liar.close()
  return checks.filter(({ status }) => status === 'failed').map(({ id, reason }) => `${id} ${reason}`)
}

test('what no policy can be is refused', async () => {
  const fine = { covers: { source: 'shop' }, contentsDays: 30 }
  const refusals = [
    ['orders', { ...fine, covers: { tenant: 't-1' } }, 400],
    ['orders', { ...fine, covers: { source: 'killick' } }, 400],
    ['orders', { ...fine, covers: { source: 'Shop!' } }, 400],
    ['orders', { ...fine, contentsDays: 0 }, 400],
    ['orders', { ...fine, contentsDays: 36_501 }, 400],
    ['orders', { ...fine, contentsDays: 1.5 }, 400],
    ['Orders', fine, 400],
  ] as const
  for (const [id, body, status] of refusals) expect((await put(id, body)).status, JSON.stringify(body)).toBe(status)
  for (const token of [ADMIN, READER]) expect((await put('orders', fine, token)).status).toBe(403)
  expect((await send('DELETE', '/v1/retention/policies/orders', ERASER)).json.code).toBe('retention_not_found')
  expect((await retention()).policies).toEqual([])
})

describe('policies', () => {
  let held: { id: string }
  let invoice: string

  beforeAll(async () => {
    expect((await put('orders', { covers: { source: 'shop' }, contentsDays: 60 })).json).toMatchObject({ version: 1 })
    const fine = { covers: { source: 'shop' }, contentsDays: 30 }
    expect((await put('orders', fine)).json).toMatchObject({ version: 2, state: 'standing', expired: 0 })
    expect((await put('orders', fine)).json.version).toBe(2)
    await put('invoices', { covers: { source: 'shop', action: 'invoice.*' }, contentsDays: 90 })
    const hold = { case: 'C-1', reason: 'suit', covers: { target: 'o-3' } }
    held = (await send('POST', '/v1/holds', ADMIN, hold)).json
    invoice = (await search('target=i-0'))[0].leafHash
    await anchored((await policy('invoices')).logIndex + 1)
  })

  test('nothing expires before anchors say that it is due', async () => {
    expect((await put('any', { covers: {}, contentsDays: 1, dryRun: true })).json).toMatchObject({ events: 0, held: 0 })
    expect((await policy('orders')).expired).toBe(0)
    await tamper(
      service,
      ['create schema kept', ...KEPT.map((table) => `create table kept.${table} as table ${table}`)].join(';'),
    )
  })

  test('what is due expires, once, but for what is held or a longer policy keeps', async () => {
    await pass(40)
    await until(async () => expect((await policy('orders')).expired).toBeGreaterThanOrEqual(8))
    // It goes on where it was.
    await open()
    await until(async () => expect((await policy('orders')).expired).toBe(ORDERS - 1))
    await until(async () => {
      const passes = [(await retention()).policies, (await retention(beside.url)).policies].flat()
      expect(
        passes.find((one: { id: string; held: number }) => one.id === 'orders' && one.held !== null),
      ).toMatchObject({
        ...{ due: 0, held: 1 },
      })
    })
    expect(await policy('invoices')).toMatchObject({ version: 1, expired: 0 })
    const twice = await queryAsOwner(
      service.databaseUrl,
      'select number from killick.erased group by number having count(*) > 1',
    )
    expect(twice).toEqual([])
    const [whole] = await search('target=o-3')
    expect(whole.fields.context).toEqual({ ip: '203.0.113.7' })
    expect(await search('actor=u-1')).toHaveLength(1 + INVOICES + 5 + 1 + 1)
    await until(async () => {
      const { erasures } = (await call(service.url, '/v1/erasures')).json
      expect(erasures.every((one: { state: string }) => one.state === 'done')).toBe(true)
      expect(erasures[0].policy).toEqual({ id: 'orders', version: 2 })
    })
    const { failed, check } = await audit()
    expect([failed, check('retention')?.status]).toEqual([[], 'passed'])
  })

  test('a proof says by which policy, and the action stays', async () => {
    const all: { leafHash: string; expired?: number; fields: object }[] = await search('action=order.place&source=shop')
    const gone = all.filter(({ expired }) => expired !== undefined)
    expect(gone).toHaveLength(ORDERS - 1)
    expect(gone[0]).toMatchObject({ expired: 4, fields: { action: 'order.place' } })
    expect(gone[0]).not.toHaveProperty('missing')
    expect(gone[0]).not.toHaveProperty('erased')
    const csv = (await call(service.url, '/v1/events/export?format=csv&action=order.place')).text
    expect(csv.match(/,"","","4",""\r\n/g)).toHaveLength(ORDERS - 1)
    const proof = parseProof((await call(service.url, `/v1/proofs/${gone[0]!.leafHash}`)).text)
    const verdict = verifyProof(proof, { logKeys: [service.vkey] })
    expect(verdict.checks.filter(({ status }) => status === 'failed')).toEqual([])
    const { checks } = inWords(verdict)
    expect(checks.find(({ id }) => id === 'event.fields')).toMatchObject({
      ...{ status: 'skipped', reason: 'fields_expired', detail: '4 of 5 fields have expired, by a policy in the log' },
    })
    expect(checks.find(({ id }) => id === 'event.erasure')).toMatchObject({
      ...{
        status: 'passed',
        detail: expect.stringMatching(/^4 fields expired by .*, by policy orders, version 2: expired$/),
      },
    })
  })

  test('what was held expires once the hold is lifted, and what a longer policy kept at its own time', async () => {
    await call(service.url, `/v1/holds/${held.id}?reason=over`, ADMIN, { method: 'DELETE' })
    await until(async () => expect((await policy('orders')).expired).toBe(ORDERS))
    await pass(60)
    await until(async () => expect((await policy('invoices')).expired).toBe(INVOICES))
    await until(async () => {
      const proof = parseProof((await call(service.url, `/v1/proofs/${invoice}`)).text)
      expect(Object.keys(parseEvent(proof.event, nodePrimitives).fields)).toEqual(['action'])
    })
    const ended = await send('DELETE', '/v1/retention/policies/invoices', ERASER)
    expect(ended.json).toMatchObject({ id: 'invoices', state: 'ended', expired: INVOICES })
    await until(async () => expect((await audit()).failed).toEqual([]))
  })

  test('what a restore has put back into the packs is erased again', async () => {
    const [{ id }] = (await call(service.url, '/v1/erasures')).json.erasures
    const [{ leafHash }] = (await call(service.url, `/v1/erasures/${id}/entries`)).json.entries
    const fields = async () => {
      const { event } = parseProof((await call(service.url, `/v1/proofs/${leafHash}`)).text)
      return Object.keys(parseEvent(event, nodePrimitives).fields)
    }
    expect(await fields()).toEqual(['action'])
    const before = `(select max(k.first_event) from kept.packs k join batches b using (log_index)
      where position('\\x${Buffer.from(leafHash, 'base64url').toString('hex')}'::bytea in substr(event_leaves, 32 * k.pos + 1, 32 * k.n)) > 0)`
    const back = (table: string) =>
      `delete from ${table} where first_event = ${before}; insert into ${table} select * from kept.${table} where first_event = ${before}`
    await tamper(service, KEPT.map(back).join(';'))
    expect(await fields()).toContain('context')
    const database = { DATABASE_URL: service.databaseUrl, KILLICK_DATA: service.folder }
    expect(await eraseAfterRestore(loadConfig({ ...aging.env, ...database }))).toMatch(
      / name: [1-9]\d*\. Events .*: [1-9]\d*\.$/m,
    )
    expect(await fields()).toEqual(['action'])
    await until(async () => expect((await audit()).failed).toEqual([]))
  })

  test('an audit tells what is due for long and was not taken up', async () => {
    await open({ KILLICK_RETENTION_INTERVAL_MS: '0' })
    await put('keepers', { covers: { source: 'hr', action: 'person.keep' }, contentsDays: 36_500 })
    await put('people', { covers: { source: 'hr', action: 'person.*' }, contentsDays: 1 })
    await anchored((await policy('people')).logIndex + 1)
    await pass(10)
    const { failed } = await audit()
    expect(failed).toEqual([
      {
        ...{ id: 'retention', reason: 'retention_overdue' },
        detail: expect.stringMatching(/^(5|6) events were due to expire more than 7 days before/),
      },
    ])
    // A hold of the operator's own making excuses nothing: either the log tells that there is none, or it comes too late.
    for (const [logIndex, found] of [
      [1, ['holds untold', 'told untold']],
      [1_000_000, ['retention retention_overdue', 'told untold']],
    ] as const) {
      await tamper(service, `insert into holds values (${logIndex}, gen_random_uuid(), '{"source": "hr"}', now())`)
      expect((await audit()).failed.map(({ id, reason }) => `${id} ${reason}`)).toEqual(found)
      await tamper(service, `delete from holds where log_index = ${logIndex}`)
    }
    // Nor does one under the name of a genuine hold, told beside that; nor policies that the log does not have, or not so.
    const covers = { source: 'hr' }
    const hold = (all: Told[]) => ({ ...all[0], covers, lifted: null })
    const keepers = (all: Told[]) => ({ ...all.find(({ id }) => id === 'keepers'), covers })
    const invented = (all: Told[]) => ({ ...keepers(all), id: 'invented', version: 1, logIndex: 1_000_000 })
    for (const lie of [(all: Told[]) => [hold(all), ...all], (all: Told[]) => [...all, hold(all)]])
      expect(await auditOf('/v1/holds', 'holds', lie)).toEqual(['holds different'])
    for (const lie of [(all: Told[]) => [keepers(all), ...all], (all: Told[]) => [...all, keepers(all)]])
      expect(await auditOf('/v1/retention', 'policies', lie)).toEqual(['retention different'])
    const late = ['retention retention_overdue']
    expect(await auditOf('/v1/retention', 'policies', (all) => [...all, invented(all)])).toEqual(late)
    const ended = (row: Told) => (row.id === 'people' ? { ...row, ended: 1_000_000, state: 'ended' } : row)
    expect(await auditOf('/v1/retention', 'policies', (all) => all.map(ended))).toEqual(late)
    // Nor are anchors hidden that say so: log and contract tell of the newest.
    const { targets } = (await call(service.url, '/v1/log')).json
    const before = (all: Told[]) =>
      all.filter(({ time }) => time < Math.max(...all.map((one) => one.time)) - 8 * 86_400)
    expect(await auditOf('/v1/anchors', 'anchors', before, targets)).toEqual(['anchors.told absent', ...late])
    await open()
    await until(async () => expect((await policy('people')).expired).toBe(5))
    await until(async () => expect((await audit()).failed).toEqual([]))
  })

  test('an order that nobody carries out is late by the anchors, not by the auditor’s clock', async () => {
    await record(hr, [event('other.thing', 'undone')])
    const pool = openPool(service.databaseUrl, true, 1)
    // Neither service erases while somebody else has the lock.
    await pool.query('select pg_advisory_lock(7019327)')
    try {
      await send('POST', '/v1/erasures', ERASER, { target: 'undone', fields: ['context'], reason: 'a test' })
      await anchored()
      expect((await audit()).failed).toEqual([])
      await pass(2)
      expect((await audit()).failed).toEqual([
        { id: 'erasures', reason: 'erasure_undone', detail: expect.stringMatching(/was ordered more than a day ago/) },
      ])
    } finally {
      await pool.end()
    }
    await until(async () => {
      expect((await search('target=undone'))[0]).toMatchObject({ erased: 1 })
      expect((await audit()).failed).toEqual([])
    })
  })

  test('what is older than the log’s policy is published no more, behind final anchors, and is all there', async () => {
    const fill = Array.from({ length: 16 }, (_, i) => new Producer('hr', hr.signer, `fill-${i}`))
    const fillOne = async (stream: Producer) => {
      for (let i = 0; i < 14; i++) await record(stream, [event('other.fill', 'fill')])
    }
    await Promise.all(fill.map(fillOne))
    await anchored(257)
    const prune = (method: string, token: string, body?: object) => send(method, '/v1/log/pruning', token, body)
    for (const [token, body, status] of [
      [READER, { afterDays: 20 }, 403],
      [ERASER, { afterDays: 20 }, 403],
      [ADMIN, { afterDays: 0 }, 400],
      [ADMIN, {}, 400],
    ] as const)
      expect((await prune('PUT', token, body)).status).toBe(status)
    const log = async () => (await call(service.url, '/v1/log', null)).json
    const tile = (path: string, token: string | null = null) => call(service.url, `/tile/${path}`, token)
    const [FULL, PART] = [
      ['0/000', 'entries/000', '0/000.p/9', 'entries/000.p/9'],
      ['0/001.p/1', '1/000.p/1'],
    ] as const
    expect((await prune('PUT', ADMIN, { afterDays: 20 })).status).toBe(200)
    const size = (await call(service.url, '/readyz')).json.logSize
    expect((await prune('PUT', ADMIN, { afterDays: 20 })).status).toBe(200)
    expect((await call(service.url, '/readyz')).json.logSize - size).toBeLessThanOrEqual(2)
    await pass(10)
    expect((await log()).pruning).toMatchObject({ afterDays: 20, minimumIndex: expect.any(Number) })
    expect((await log()).pruning.minimumIndex).toBeLessThan(256)
    for (const path of [...FULL, ...PART]) expect((await tile(path)).status, path).toBe(200)
    await pass(15)
    await until(async () => expect((await log()).pruning.minimumIndex).toBeGreaterThanOrEqual(257))
    expect((await killick(['prune', '--url', service.url])).out).toMatch(
      /^The log is published from entry \d+ on: after 20 days entries are for holders of a token only\.\n$/,
    )
    // The minimum index is kept for a moment.
    await until(async () => expect((await tile('0/000')).json?.code).toBe('entries_pruned'))
    for (const path of FULL) {
      const refused = await tile(path)
      expect([refused.status, refused.headers.get('cache-control')], path).toEqual([410, 'no-store'])
      const shown = await tile(path, READER)
      expect([shown.status, shown.headers.get('cache-control')], path).toEqual([
        200,
        expect.stringMatching(/^private,/),
      ])
      expect((await tile(path, 'no-such-token-here')).status).toBe(401)
    }
    for (const path of PART) expect((await tile(path)).status, path).toBe(200)
    expect((await call(service.url, '/v1/consistency?from=3&to=257', null)).json.path.length).toBeGreaterThan(0)
    expect((await audit()).failed).toEqual([])

    // More than the policy lets go, by whoever answers, or by whoever owns the database.
    const claims = [
      [{ afterDays: 1 }, 'different'],
      [{ minimumIndex: 1_000_000 }, 'different'],
      [{ logIndex: 1 }, 'untold'],
      [{ afterDays: null }, 'different'],
    ] as const
    for (const [claim, reason] of claims)
      expect(await auditOf('/v1/log', 'pruning', (all) => ({ ...(all as Told), ...claim }))).toEqual([
        `pruning ${reason}`,
      ])
    await tamper(service, 'update prunings set after_days = 1')
    const found = (await audit()).failed.map(({ id, reason }) => `${id} ${reason}`)
    expect(found.sort()).toEqual(['pruning different', 'told different'])
    await tamper(service, 'update prunings set after_days = 20')
    await prune('DELETE', ADMIN)
    await pass(1)
    await until(async () => expect((await tile('entries/000')).status).toBe(200))
    expect((await log()).pruning).toMatchObject({ afterDays: null, minimumIndex: 0 })
    expect((await audit()).failed).toEqual([])
  })

  test('whoever holds the keys cannot pass an erasure off as an expiry', async () => {
    await record(hr, [event('person.hire', 'early'), event('person.hire', 'fresh'), event('person.leave', 'gone')])
    await anchored()
    const store = await openStore(
      loadConfig({ ...aging.env, DATABASE_URL: service.databaseUrl, KILLICK_DATA: service.folder }),
    )
    const erasing = keepErasing(store)
    const forge = async (target: string, change: object, why: RegExp) => {
      const [{ leafHash, token }] = await search(`target=${target}`)
      const rows = await queryAsOwner<{ number: number }>(
        service.databaseUrl,
        `select b.first_event::float8 + i as number from killick.batches b cross join generate_series(0, n - 1) i
         where substr(event_leaves, 32 * i + 1, 32) = $1`,
        [Buffer.from(leafHash, 'base64url')],
      )
      const { leafHash: leaf, disclosures } = parseEvent(token, nodePrimitives)
      const going = disclosures.filter(({ name }) => name !== 'action').map(({ text }) => nodePrimitives.digest(text))
      const { id, version, logIndex } = (await readPolicies(store.pool)).find(({ id }) => id === 'people')!
      const { size, time } = (await readClock(store.pool))!
      const by = { id, version, logIndex, size, time, ...change }
      const list = [{ number: rows[0]!.number, leafHash: leaf, digests: going.sort() }]
      await erasing.expire(by, list, async () => {})
      await until(async () => {
        const { erasures } = (await call(service.url, '/v1/erasures')).json
        expect(erasures.every((one: { state: string }) => one.state === 'done')).toBe(true)
      })
      const { failed } = await audit()
      expect(failed.find(({ id }) => id === 'retention')).toMatchObject({
        ...{ reason: 'retention_unfounded', detail: expect.stringMatching(why) },
      })
      return failed
    }
    try {
      // Those with an earlier place come later: an audit tells the earliest.
      const [before] = await queryAsOwner<{ size: number; time: number }>(
        service.databaseUrl,
        `select size::float8, time::float8 from killick.current_anchors
         where state = 'final' and size between 1 and ${(await policy('people')).logIndex} order by size desc limit 1`,
      )
      await forge('early', before!, /the anchor that it is judged by does not cover the policy$/)
      const unknown = /the policy \(and 1 more\)$/
      const late = await forge('fresh', { time: 4_000_000_000 }, unknown)
      expect(late.map(({ id }) => id)).toEqual(['retention'])
      await forge('gone', {}, /by the anchors this one was not due/)
      const [last] = await search('action=order.place&source=shop&actor=u-1')
      await forge(last.fields.targets[0].id, {}, /it does not cover this one/)
      await forge('kept', {}, /a policy that stood then keeps this one for longer/)
    } finally {
      await erasing.close()
      await store.close()
    }
  })
})
