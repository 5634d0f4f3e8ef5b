/** Batches whose events a policy drops, on a real service and a chain whose time is moved: what goes, what stays, what readers are told. */
import { loadConfig } from '@killick/anchor-service'
import { verifyBundle } from '@killick/sdk/bundle'
import {
  droppedLeaves,
  type EventInput,
  nodePrimitives,
  parseBatchHeader,
  parseEvent,
  printHash,
} from '@killick/sdk/core'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { eraseAfterRestore } from '../../anchor-service/src/commands/erase.ts'
import { erasePacks } from '../../anchor-service/src/erasure/carry-out.ts'
import { dropBatches } from '../../anchor-service/src/erasure/dropping.ts'
import { ERASING_LOCK } from '../../anchor-service/src/erasure/erasing.ts'
import { readClock, readPolicies } from '../../anchor-service/src/erasure/policies.ts'
import { openStore } from '../../anchor-service/src/open-store.ts'
import { queryAsOwner } from '../support/postgres.ts'
import { tamper } from './audit/support/audits.ts'
import { Producer } from './support/producer.ts'
import { type AgingLedger, startAging } from './support/retention.ts'
import { ADMIN, call, ERASER, READER } from './support/service.ts'

const event = (action: string, id: string): EventInput => ({
  ...{ action, actor: { type: 'user', id: 'u-1', name: 'Zoë Example' }, targets: [{ type: 'thing', id }] },
  ...{ context: { ip: '203.0.113.7' }, outcome: 'success' },
})

let aging: AgingLedger
/** A stream of the shop's own, which a policy keeps for longer. */
let slow: Producer

beforeAll(async () => {
  aging = await startAging(['shop', 'hr', 'web'])
  slow = new Producer('shop', aging.producer('shop').signer, 'slow')
  const shop = aging.producer('shop')
  for (let batch = 0; batch < 4; batch++)
    await aging.record(
      shop,
      Array.from({ length: 5 }, (_, i) => event('order.place', `o-${5 * batch + i}`)),
    )
  await aging.record(slow, [event('order.slow', 's-0'), event('order.slow', 's-1')])
  await aging.record(aging.producer('hr'), [event('person.hire', 'p-0')])
  await aging.record(aging.producer('web'), [event('page.view', 'w-0'), event('page.view', 'w-1')])
}, 60_000)
afterAll(() => aging?.stop())

const pass = (days: number) => aging.pass(days, aging.producer('hr'), event('person.tick', 'tick'))

/** What a restore of packs alone would bring back. */
const KEPT = ['packs', 'pack_keys']

/** Batches in wire form. */
async function batches(): Promise<{ source: string; stream: string; lines: string[]; header: string }[]> {
  const text = (await call(aging.service.url, '/v1/batches?from=0&limit=1000')).text
  const lines = text.split('\n').slice(0, -1)
  const found = []
  while (lines.length > 0) {
    const header = lines.shift()!
    const { source, stream, n } = parseBatchHeader(header)
    found.push({ source, stream, header, lines: lines.splice(0, n) })
  }
  return found
}

test('what no policy can be is refused', async () => {
  for (const [body, why] of [
    [{ covers: { source: 'shop' }, contentsDays: 30, eventsDays: 29 }, /is less than/],
    [{ covers: { action: 'order.*' }, contentsDays: 30, eventsDays: 60 }, /has an `action`/],
    [{ covers: {}, contentsDays: 30, eventsDays: 36_501 }, /eventsDays/],
  ] as const) {
    const refused = await aging.put('orders', body)
    expect([refused.status, refused.json.code, refused.json.detail]).toEqual([
      400,
      'request_invalid',
      expect.stringMatching(why),
    ])
  }
})

describe('a policy that drops events', () => {
  let leaf: string
  let id: string
  let link: string
  let bundle: string
  const post = async (path: string, body: object) => (await aging.send('POST', path, READER, body)).json

  beforeAll(async () => {
    const covers = { source: 'shop' }
    expect((await aging.put('orders', { covers, contentsDays: 30 })).json).toMatchObject({
      version: 1,
      eventsDays: null,
    })
    const dropping = { covers, contentsDays: 30, eventsDays: 100 }
    expect((await aging.put('orders', dropping)).json).toMatchObject({ version: 2, eventsDays: 100, dropped: 0 })
    expect((await aging.put('orders', dropping)).json.version).toBe(2)
    await aging.put('views', { covers: { source: 'web' }, contentsDays: 30, eventsDays: 30 })
    await aging.put('slow', { covers: { stream: 'slow' }, contentsDays: 30, eventsDays: 300 })
    ;[{ leafHash: leaf, id }] = await aging.search('target=o-7')
    link = new URL((await post('/v1/shares', { eventId: leaf, fields: ['action'] })).url).pathname
    await aging.anchored((await aging.policy('slow')).logIndex + 1)
  })

  test('where both are due at once, contents expire first', async () => {
    await pass(40)
    await aging.until(async () => expect((await aging.policy('views')).dropped).toBe(2))
    expect((await aging.policy('views')).expired).toBe(2)
  })

  test('first contents go, and events stay until they are due', async () => {
    await aging.until(async () => expect((await aging.policy('orders')).expired).toBe(22))
    expect((await aging.policy('orders')).dropped).toBe(0)
    expect((await aging.audit()).failed).toEqual([])
    const dry = { covers: { source: 'shop' }, contentsDays: 1, eventsDays: 20, dryRun: true }
    expect((await aging.put('try', dry)).json).toMatchObject({ events: 0, drop: { events: 0, held: 0, isWhole: true } })
    expect((await aging.put('orders', { ...dry, eventsDays: 35 })).json).toMatchObject({
      drop: { events: 20, held: 0, isWhole: true },
    })
  })

  test('a hold that can cover one of its events keeps a batch', async () => {
    const hold = { case: 'C-1', reason: 'suit', covers: { source: 'shop', actor: 'nobody-knows' } }
    const { id: held } = (await aging.send('POST', '/v1/holds', ADMIN, hold)).json
    await pass(70)
    await aging.until(async () => expect(await aging.policy('orders')).toMatchObject({ dropped: 0, dropHeld: 20 }))
    expect((await aging.audit()).failed).toEqual([])
    bundle = (await post('/v1/bundles', { source: 'shop' })).id
    const made = () => call(aging.service.url, `/v1/bundles/${bundle}`)
    await aging.until(async () => expect((await made()).json.state).toBe('done'))
    await tamper(
      aging.service,
      ['create schema kept', ...KEPT.map((table) => `create table kept.${table} as table ${table}`)].join(';'),
    )
    await call(aging.service.url, `/v1/holds/${held}?reason=over`, ADMIN, { method: 'DELETE' })
  })

  test('what is due goes, batch by batch, but for what a longer policy keeps', async () => {
    await aging.until(async () => expect(await aging.policy('orders')).toMatchObject({ dropped: 20, dropHeld: 0 }))
    expect(await aging.policy('slow')).toMatchObject({ dropped: 0 })
    const { drops: all, next } = (await call(aging.service.url, '/v1/retention/drops')).json
    const drops = all.filter(({ policy }: { policy: string }) => policy === 'orders')
    expect(drops.reduce((sum: number, { events }: { events: number }) => sum + events, 0)).toBe(20)
    expect(drops[0]).toMatchObject({ policy: 'orders', version: 2, entries: expect.stringMatching(/^\d+(-\d+)?(,|$)/) })
    expect(next).toBeNull()
    expect((await call(aging.service.url, `/v1/retention/drops?from=${drops.at(-1).logIndex + 1}`)).json.drops).toEqual(
      [],
    )
  })

  test('headers and leaf hashes stay, and nothing else of the events', async () => {
    const all = await batches()
    const dropped = all.filter(({ source, stream }) => source === 'shop' && stream !== 'slow')
    expect(dropped).toHaveLength(4)
    for (const { header, lines } of dropped) {
      const leaves = droppedLeaves(parseBatchHeader(header), lines)
      expect(leaves?.map(printHash)).toEqual(lines)
    }
    expect(dropped.flatMap(({ lines }) => lines)).toContain(leaf)
    for (const { lines } of all.filter((batch) => batch.source !== 'web' && !dropped.includes(batch)))
      for (const line of lines) expect(line).toContain('~')
    const [rows] = await queryAsOwner<{ kept: number }>(
      aging.service.databaseUrl,
      `select count(*)::float8 as kept from killick.packs p join killick.drops d on d.entries @> p.log_index
       where ids <> '' or times <> '' or body <> '' or frame_ends <> '{}'`,
    )
    expect(rows).toEqual({ kept: 0 })
  })

  test('readers are told that it was dropped, and by what', async () => {
    const refused = await call(aging.service.url, `/v1/proofs/${leaf}`)
    expect([refused.status, refused.json.code]).toEqual([410, 'event_dropped'])
    expect(refused.json.detail).toMatch(
      /^Dropped on \d{4}-\d\d-\d\d by the retention policy orders, version 2, as log entry \d+ says/,
    )
    const unknown = (await call(aging.service.url, `/v1/proofs/${id}`)).json
    expect(unknown).toMatchObject({ code: 'event_not_found', detail: expect.stringContaining('that is kept') })
    const found = await aging.search('source=shop')
    const gone = found.filter(({ error }) => error !== undefined)
    expect(gone).toHaveLength(20)
    expect(gone.map(({ error }) => error.code)).toEqual(Array(20).fill('event_dropped'))
    for (const row of gone) {
      expect(row).toMatchObject({ source: 'shop', leafHash: expect.any(String), seq: expect.any(Number) })
      expect(row).not.toHaveProperty('id')
      expect(row).not.toHaveProperty('recordedAt')
    }
    expect(await aging.search('action=order.place')).toEqual([])
    const csv = (await call(aging.service.url, '/v1/events/export?format=csv&source=shop')).text
    expect(csv.match(/,"event_dropped"\r\n/g)).toHaveLength(20)
    const ndjson = (await call(aging.service.url, '/v1/events/export?format=ndjson&source=shop')).text
    expect(ndjson.match(/"code":"event_dropped"/g)).toHaveLength(20)
    const { stream, seq } = gone[0]
    const path = `/v1/streams/shop/${stream}/events?seq=${seq}&span=1`
    expect((await call(aging.service.url, path)).json.events[0].error.code).toBe('event_dropped')
  })

  test('neither a link nor a bundle of the service shows it any more', async () => {
    expect((await call(aging.service.url, `${link}/proof`, null)).json.code).toBe('event_dropped')
    await aging.until(async () =>
      expect((await call(aging.service.url, `/v1/bundles/${bundle}`)).json.code).toBe('bundle_not_found'),
    )
  })

  test.each(['source', 'stream'])('a bundle of a %s tells what was dropped from what is missing', async (kind) => {
    const { source, stream } = aging.producer('shop')
    const asked = await post('/v1/bundles', kind === 'source' ? { source } : { source, stream })
    const job = async () => (await call(aging.service.url, `/v1/bundles/${asked.id}`)).json
    await aging.until(async () => expect(await job()).toMatchObject({ state: 'done' }))
    const headers = { authorization: `Bearer ${READER}` }
    const file = await fetch(`${aging.service.url}/v1/bundles/${asked.id}/file`, { headers })
    const { outcome, completeness, faults, events } = await verifyBundle(file.body!, { logKeys: [aging.service.vkey] })
    expect([outcome, faults, completeness.verdict]).toEqual(['undecided', [], 'incomplete'])
    expect(completeness.dropped).toMatchObject({
      events: 20,
      found: [{ source, stream, first: 0, last: 19, policy: { id: 'orders', version: 2 } }],
    })
    expect(completeness.gaps).toEqual([])
    // What is not dropped is there: of the source the other stream.
    expect(events).toBe(kind === 'source' ? 2 : 0)
  })

  test('an order of erasure passes over what was dropped', async () => {
    const order = { source: 'shop', fields: ['action'], reason: 'a test', dryRun: true }
    expect((await aging.send('POST', '/v1/erasures', ERASER, order)).json).toMatchObject({ unreadable: 0, events: 2 })
    const named = await aging.send('POST', '/v1/erasures', ERASER, {
      ids: [leaf],
      fields: ['action'],
      reason: 'a test',
    })
    expect([named.status, named.json.code]).toEqual([409, 'erasure_empty'])
  })

  test('the stream goes on, also after a start', async () => {
    await aging.restart()
    await aging.record(aging.producer('shop'), [event('order.place', 'o-new')])
    const [found] = await aging.search('target=o-new')
    expect((await call(aging.service.url, `/v1/proofs/${found.leafHash}`)).status).toBe(200)
    expect((await call(aging.service.url, `/v1/proofs/${leaf}`)).json.code).toBe('event_dropped')
  })

  test('what a restore has put back into the packs is found by an audit, and emptied again', async () => {
    const back = (table: string) =>
      `delete from ${table} t using kept.${table} k where t.first_event = k.first_event; insert into ${table} select * from kept.${table}`
    await tamper(aging.service, KEPT.map(back).join(';'))
    expect((await call(aging.service.url, `/v1/proofs/${leaf}`)).status).toBe(200)
    const { failed } = await aging.audit()
    expect(failed.map(({ id, reason }) => `${id} ${reason}`)).toContain('retention erasure_undone')
    const database = { DATABASE_URL: aging.service.databaseUrl, KILLICK_DATA: aging.service.folder }
    expect(await eraseAfterRestore(loadConfig({ ...aging.env, ...database }))).toMatch(
      /^Events that were there again after a policy had dropped them, and are gone again: 20\.$/m,
    )
    expect((await call(aging.service.url, `/v1/proofs/${leaf}`)).json.code).toBe('event_dropped')
    await aging.until(async () => expect((await aging.audit()).failed).toEqual([]))
  })

  test('nobody drops what no drop names', async () => {
    for (const sql of [
      `update packs set body = '' where log_index = (select max(log_index) from packs)`,
      `delete from packs where log_index = (select max(log_index) from packs)`,
      `select drop_pack((select max(first_event) from packs), '{3}', '{""}', '')`,
      `update drops set events = 1`,
      `delete from drops`,
    ])
      await expect(queryAsOwner(aging.service.databaseUrl, `set search_path = killick; ${sql}`)).rejects.toThrow(
        /append-only|no drop names/,
      )
  })

  test('an erasure that is under way brings nothing of a dropped batch back', async () => {
    const [{ leafHash, token }] = (await aging.search('stream=slow')) as [{ leafHash: string; token: string }]
    const store = await openStore(
      loadConfig({ ...aging.env, DATABASE_URL: aging.service.databaseUrl, KILLICK_DATA: aging.service.folder }),
    )
    const owner = new pg.Client({ connectionString: aging.service.databaseUrl })
    await owner.connect()
    try {
      // The service itself does not carry it out.
      await owner.query('select pg_advisory_lock($1)', [ERASING_LOCK])
      const order = { ids: [leafHash], fields: ['action'], reason: 'a test' }
      expect((await aging.send('POST', '/v1/erasures', ERASER, order)).status).toBe(202)
      const { rows } = await owner.query(
        `select log_index::float8 as "logIndex", source, stream, n, first_event::float8 as first from killick.batches where stream = 'slow'`,
      )
      const [batch] = rows
      const number = batch.first + 1
      const gone = parseEvent(token, nodePrimitives).digests
      // What holds it up between what it reads of a pack and what it makes of it.
      await owner.query('begin; lock table killick.erased in access exclusive mode')
      const erasing = erasePacks(store.pool, [batch.first], new Map([[number, gone]]))
      const waits = async (query: string) => {
        const found = await queryAsOwner(
          aging.service.databaseUrl,
          `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like $1`,
          [query],
        )
        return found.length > 0
      }
      await vi.waitUntil(() => waits('%erase_pack(%'), 20_000)
      const policy = (await readPolicies(store.pool)).find(({ id }) => id === 'slow')!
      let isDropped = false
      const dropping = dropBatches(store.ledger, policy, (await readClock(store.pool))!, [batch], async () => {}).then(
        () => {
          isDropped = true
        },
      )
      await vi.waitUntil(async () => isDropped || (await waits('%advisory_xact_lock%')), 20_000)
      await owner.query('rollback')
      await Promise.all([erasing, dropping])
      const left = await owner.query(`select octet_length(body) as body from killick.packs where first_event = $1`, [
        batch.first,
      ])
      expect(left.rows).toEqual([{ body: 0 }])
    } finally {
      await owner.end()
      await store.close()
    }
  })
})
