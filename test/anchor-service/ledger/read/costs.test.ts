// The cost of a page depends on its length, not on the size of the ledger. Cost is the rows that PostgreSQL says it reads.

import { zstdCompressSync } from 'node:zlib'
import { nodePrimitives, parseEvent } from '@killick/sdk/core'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Db } from '../../../../anchor-service/src/database/pool.ts'
import { RUN_EVENTS } from '../../../../anchor-service/src/ledger/index/runs.ts'
import { makeRun } from '../../../../anchor-service/src/ledger/index/write-run.ts'
import { packKeys, sketchEvent } from '../../../../anchor-service/src/ledger/packs/event-keys.ts'
import { NEWEST } from '../../../../anchor-service/src/ledger/packs/filters.ts'
import { readDays } from '../../../../anchor-service/src/ledger/read/days.ts'
import { memoryOf } from '../../../../anchor-service/src/ledger/read/proof-memory.ts'
import { readProof } from '../../../../anchor-service/src/ledger/read/proofs.ts'
import { searchEvents } from '../../../../anchor-service/src/ledger/read/search.ts'
import { readStanding } from '../../../../anchor-service/src/ledger/read/standing.ts'
import { readAnchors, readTargets } from '../../../../anchor-service/src/ledger/registry/anchors.ts'
import { readEquivocations } from '../../../../anchor-service/src/ledger/registry/equivocations.ts'
import { readShares } from '../../../../anchor-service/src/ledger/registry/shares.ts'
import { readSource, readSources } from '../../../../anchor-service/src/ledger/registry/sources.ts'
import { readStream, readStreams } from '../../../../anchor-service/src/ledger/registry/streams.ts'
import { draftEvent, placeEvent } from '../../../../sdk/src/client/capture.ts'
import { saltText, uuidv7 } from '../../../../sdk/src/client/random.ts'
import { queryAsOwner } from '../../../support/postgres.ts'
import { type TestLedger, testLedger } from '../../support/ledger.ts'

const PAGE = 10
/** A page reads a few rows for each line: names, their newest rows, and the first of the next page. */
const ENOUGH = 8 * (PAGE + 1)

const EVENTS = 24_000

/** From one event to the next, as if its pack had so many: as many as it may have. */
const APART = 256

/** Where terms are searched for, packs that no run holds yet are read before the index is asked, each with its keys. */
const SEARCH = (2 * RUN_EVENTS[0]) / APART

/** A day's beginning is found by halves. */
const HALVES = Math.ceil(Math.log2(EVENTS)) + 1

/** The 16 bytes of each event's id. */
let ids: Buffer[] = []

/** Packs of one event each, for the batches below. */
async function packs() {
  const rows = {
    first: [] as number[],
    ids: [] as Buffer[],
    times: [] as Buffer[],
    keys: [] as Buffer[],
    counts: [] as Buffer[],
    bodies: [] as Buffer[],
  }
  for (let i = 0; i < EVENTS; i++) {
    const time = Date.UTC(2026, 0, 1) + i * 60_000
    const source = `s${String(i % 40).padStart(2, '0')}`
    const targets = [`t${(1 + i) % 6000}`, 'many'].map((id) => ({ type: 't', id }))
    const draft = draftEvent(
      { action: 'a', actor: { type: 'u', id: 'u' }, targets },
      { id: uuidv7(time), time, salt: saltText },
    )
    const { token } = await placeEvent(draft, { source, stream: 'r', seq: 0, prev: null }, null)
    const sketch = sketchEvent(parseEvent(token, nodePrimitives))
    rows.first.push(1 + APART * i)
    rows.ids.push(sketch.id)
    rows.times.push(Buffer.from(time.toString(16).padStart(12, '0'), 'hex'))
    rows.keys.push(Buffer.concat([packKeys({ source, stream: 'r' }), sketch.keys.subarray(0, 8 * sketch.keyCount)]))
    rows.counts.push(Buffer.of(0, sketch.keyCount))
    rows.bodies.push(zstdCompressSync(Buffer.from(`header\n${token}\n`)))
  }
  ids = rows.ids
  return [rows.first, rows.ids, rows.times, rows.keys, rows.counts, rows.bodies]
}

let opened: TestLedger
beforeAll(async () => {
  opened = await testLedger()
  await queryAsOwner(
    opened.databaseUrl,
    `set search_path = killick; set session_replication_role = replica;
     insert into batches (log_index, source, stream, seq, n, header, leaf_hash, event_leaves, first_event, earliest, latest)
       select 1 + i, 's' || lpad((i % 40)::text, 2, '0'), 'r' || (i / 40 % 2), i / 80, 1, '', sha256(i::text::bytea), sha256(''), 1 + ${APART} * i,
              timestamptz '2026-01-01Z' + i * interval '1 minute', timestamptz '2026-01-01Z' + i * interval '1 minute'
       from generate_series(0, ${EVENTS - 1}) i;
     insert into sources (log_index, source, event_signatures, decoys) select 1 + i, 's' || lpad((i % 40)::text, 2, '0'), 'required', false from generate_series(0, 3999) i;
     insert into source_keys (log_index, source, kid, jwk) select 1 + i, case when i < 40 then 's' || lpad(i::text, 2, '0') else 'x' || i end, 'k', '{}' from generate_series(0, 3999) i;
     insert into shares (log_index, id, token_hash, leaf_hash, fields)
       select 1 + i, gen_random_uuid(), sha256(i::text::bytea), sha256(''), '{}' from generate_series(0, 3999) i;
     insert into checkpoints (size, root, note) select 2 + 6 * i, sha256(''), '' from generate_series(0, 3999) i;
     insert into anchors (target, chain_id, genesis, contract, log_id, size, events, root)
       select 't' || i % 2, i % 2, '', '', '', 2 + 6 * i, 2 + 6 * i, sha256('') from generate_series(0, 3999) i;
     insert into anchor_states (anchor, seq, state, gas_used, gas_price) select id, 0, 'final', 1200, 10 from anchors;
     insert into equivocations (log_index, batch, refused, refused_hash)
       select i, i, '', sha256(i::text::bytea) from generate_series(1, 4000) i;
     select extend_partitions(${APART * EVENTS});
     analyze`,
  )
  await queryAsOwner(
    opened.databaseUrl,
    `with given as (select * from unnest($1::int[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[]) as p (first, ids, times, keys, counts, body)),
     stored as (
       insert into killick.packs (first_event, log_index, pos, n, ids, times, body)
       select first, 1 + first / ${APART}, 0, 1, ids, times, body from given)
     insert into killick.pack_keys (first_event, scheme, keys, key_counts) select first, ${NEWEST}, keys, counts from given`,
    await packs(),
  )
  while (await makeRun(opened.pool));
  await queryAsOwner(
    opened.databaseUrl,
    'vacuum analyze killick.packs, killick.pack_keys, killick.batches, killick.key_blocks',
  )
})
afterAll(() => opened.close())

type Plan = { 'Actual Rows': number; 'Actual Loops': number; Plans?: Plan[] } & {
  'Rows Removed by Filter'?: number
  'Rows Removed by Join Filter'?: number
  'Relation Name'?: string
}

/** Rows of tables, and pairs of rows that were looked at and do not belong together. */
const rowsOf = (plan: Plan): number =>
  ((plan['Relation Name'] === undefined ? 0 : plan['Actual Rows'] + (plan['Rows Removed by Filter'] ?? 0)) +
    (plan['Rows Removed by Join Filter'] ?? 0)) *
    plan['Actual Loops'] +
  (plan.Plans ?? []).reduce((sum, child) => sum + rowsOf(child), 0)

const EXPLAIN = 'explain (analyze, format json)'

const printValue = (value: unknown): string =>
  Buffer.isBuffer(value) ? `\\x${value.toString('hex')}` : value instanceof Date ? value.toISOString() : `${value}`
const printItem = (item: unknown) => JSON.stringify(printValue(item))
const literalOf = (value: unknown): string =>
  value === null ? 'null' : pg.escapeLiteral(Array.isArray(value) ? `{${value.map(printItem)}}` : printValue(value))

/** Rows that a statement reads by one plan for all values, which a connection may keep of one that has a name. */
async function rowsPlannedOnce(text: string, values: unknown[]): Promise<number> {
  const client = await opened.pool.connect()
  try {
    await client.query(`set plan_cache_mode = force_generic_plan; prepare once as ${text}`)
    const call = values.length > 0 ? `once (${values.map(literalOf)})` : 'once'
    const { rows } = await client.query(`${EXPLAIN} execute ${call}`)
    return rowsOf(rows[0]['QUERY PLAN'][0].Plan)
  } finally {
    await client.query('deallocate once; reset plan_cache_mode')
    client.release()
  }
}

let rows = 0
let statements = 0
/** Counts rows of tables that are read, and statements. */
const counting = {
  async query(asked: string | pg.QueryConfig, given?: unknown[]) {
    const { name, text, values = [] } = typeof asked === 'string' ? { text: asked, values: given } : asked
    const explained = await opened.pool.query(`${EXPLAIN} ${text}`, values)
    const read = rowsOf(explained.rows[0]['QUERY PLAN'][0].Plan)
    statements += 1
    rows += name === undefined ? read : Math.max(read, await rowsPlannedOnce(text, values))
    return opened.pool.query(text, values)
  },
} as unknown as pg.Pool
// Read once, and from then on as they come.
beforeAll(async () => {
  const { names, runs } = memoryOf(counting)
  await names.catchUp()
  await runs.refresh()
  await runs.whole()
})

/** Rows of tables that were read for what `read` asks. */
async function rowsRead(read: (db: Db) => Promise<unknown>): Promise<number> {
  rows = 0
  await read(counting)
  return Math.round(rows)
}

const find = (query: Omit<Parameters<typeof searchEvents>[1], 'limit'>) => (db: Db) =>
  searchEvents(db, { limit: PAGE, ...query })
const DAY = { from: new Date('2026-01-03'), to: new Date('2026-01-03T00:20:00Z') }

/** The batches are nothing that could be proven; everything is read before that is found out. */
const prove = (i: number) => (db: Db) =>
  expect(
    readProof(
      { ...opened.ledger, db: db as pg.Pool },
      ids[i]!.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'),
    ),
  ).rejects.toMatchObject({ code: 'event_unreadable' })

const AFTER = { source: 's20', stream: 'r0' }
const PAGES: [string, (db: Db) => Promise<unknown>, number?][] = [
  ['streams', (db) => readStreams(db, { limit: PAGE })],
  ['streams, a later page', (db) => readStreams(db, { limit: PAGE, after: AFTER })],
  ['streams of one source', (db) => readStreams(db, { limit: PAGE, source: 's07' })],
  ['a stream', (db) => readStream(db, 's07', 'r1')],
  ['sources', (db) => readSources(db, { limit: PAGE })],
  ['sources, a later page', (db) => readSources(db, { limit: PAGE, after: 's20' })],
  ['a source', (db) => readSource(db, 's20')],
  ['anchors', (db) => readAnchors(db, { limit: PAGE })],
  ['anchors, a later page', (db) => readAnchors(db, { limit: PAGE, before: 50 })],
  ['targets', (db) => readTargets(db)],
  ['how the log stands', (db) => readStanding(db)],
  ['what happened day by day', (db) => readDays(db, 14, Date.now()), 14 * HALVES + 2 * (ENOUGH + SEARCH)],
  ['shares', (db) => readShares(db, { limit: PAGE })],
  ['shares, a later page', (db) => readShares(db, { limit: PAGE, before: 50 })],
  ['equivocations', (db) => readEquivocations(db, { limit: PAGE })],
  ['the newest events', find({})],
  ['the newest events that are not the ledger’s own', find({ own: false })],
  ['events of a source', find({ source: 's07' })],
  ['events of an action', find({ action: 'a' }), SEARCH],
  ['events of a target of many', find({ target: 'many' }), SEARCH],
  ['events of a target of many, a later page', find({ target: 'many', before: [2890, 0] }), SEARCH],
  ['events of a target of few', find({ target: 't7' }), SEARCH],
  ['events of a target that is not there', find({ target: 'nobody' }), SEARCH],
  ['events of a target of many and an old time', find({ ...DAY, target: 'many' }), SEARCH],
  ['events since', find({ from: DAY.from })],
  ['events of an old time', find(DAY)],
  ['events of an old time, a later page', find({ ...DAY, before: [2890, 0] })],
  ['events of a source and an old time', find({ ...DAY, source: 's07' })],
  ['events of an action and an old time', find({ ...DAY, action: 'a' }), SEARCH],
  ['events of a time when there were none', find({ from: new Date('2025-01-01'), to: new Date('2025-01-02') })],
  ['events of an action when there were none', find({ action: 'a', to: new Date('2025-01-02') }), SEARCH],
  ['a proof of an old event', prove(7)],
  ['a proof of a new event', prove(EVENTS - 7)],
  ['equivocations, a later page', (db) => readEquivocations(db, { limit: PAGE, before: 50 })],
]

test.each(PAGES)('%s', async (_, read, walk = 0) => {
  expect(await rowsRead(read)).toBeLessThan(ENOUGH + walk)
})

test('events that are found in packs of their own are not read one by one', async () => {
  statements = 0
  const query = { action: 'a', from: new Date('2026-01-03'), to: new Date('2026-01-04'), limit: 100 }
  expect((await searchEvents(counting, query)).events).toHaveLength(100)
  expect(statements).toBeLessThan(16)
})

test('events are found in runs of both partitions, and behind the runs', async () => {
  const { events } = await searchEvents(opened.pool, { target: 't7', limit: PAGE })
  const minutes = events.map(({ recordedAt }) => (Date.parse(recordedAt!) - Date.UTC(2026, 0, 1)) / 60_000)
  expect(minutes).toEqual([18_006, 12_006, 6006, 6])
  const { events: newest } = await searchEvents(opened.pool, { target: `t${EVENTS % 6000}`, limit: 1 })
  expect(newest.map(({ recordedAt }) => recordedAt)).toEqual([
    new Date(Date.UTC(2026, 0, 1) + (EVENTS - 1) * 60_000).toISOString(),
  ])
})

test('nothing is left out between pages', async () => {
  const seen: string[] = []
  for (let after: typeof AFTER | undefined; ; ) {
    const { streams, next } = await readStreams(opened.pool, { limit: 7, after })
    seen.push(...streams.map(({ source, stream, events }) => `${source}/${stream} ${events}`))
    if (next === null) break
    after = next
  }
  const all = Array.from({ length: 80 }, (_, i) => `s${String(i >> 1).padStart(2, '0')}/r${i % 2} 300`)
  expect(seen).toEqual(['killick/system 1', ...all])

  const sources: string[] = []
  for (let after: string | undefined; ; ) {
    const page = await readSources(opened.pool, { limit: 7, after })
    sources.push(...page.sources.map(({ source }) => source))
    if (page.next === null) break
    after = page.next
  }
  expect(sources).toHaveLength(41)
  expect(sources).toEqual([...new Set(sources)].sort())
})

test('an anchor counts the events since the previous anchor of its log', async () => {
  const [newest] = await readAnchors(opened.pool, { limit: 1 })
  expect(newest).toMatchObject({ events: 12, feePerEvent: '1000' })
})

// Last, since it changes what the others rest on. So it is with a partition that was just begun, until the next vacuum.
describe('as long as PostgreSQL has not counted packs and their keys', () => {
  beforeAll(async () => {
    await queryAsOwner(
      opened.databaseUrl,
      `set allow_system_table_mods = on;
       create temp table uncounted as select oid from pg_class where relnamespace = 'killick'::regnamespace and relname like 'pack%';
       delete from pg_statistic where starelid in (select oid from uncounted);
       update pg_class set reltuples = -1, relpages = 0, relallvisible = 0 where oid in (select oid from uncounted)`,
    )
  })

  test.each(PAGES)('%s', async (_, read, walk = 0) => {
    expect(await rowsRead(read)).toBeLessThan(ENOUGH + walk)
  })
})
