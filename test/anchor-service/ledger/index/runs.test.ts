// The index of keys: its runs name what the packs hold, for any query and any amount of events.
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { walkRuns } from '../../../../anchor-service/src/audit/runs.ts'
import { keyIndexOf } from '../../../../anchor-service/src/ledger/index/key-index.ts'
import type { Search } from '../../../../anchor-service/src/ledger/index/key-lookup.ts'
import { KnownRuns } from '../../../../anchor-service/src/ledger/index/known-runs.ts'
import { RunNames } from '../../../../anchor-service/src/ledger/index/run-names.ts'
import { type Coverage, RUN_EVENTS, readCoverage, runsOf } from '../../../../anchor-service/src/ledger/index/runs.ts'
import { isRunRight, makeRun } from '../../../../anchor-service/src/ledger/index/write-run.ts'
import { NEWEST } from '../../../../anchor-service/src/ledger/packs/filters.ts'
import { queryAsOwner } from '../../../support/postgres.ts'
import { type TestLedger, testLedger } from '../../support/ledger.ts'

type Pack = { first: number; keys: Buffer[] }

/** A ledger whose log holds these packs, and after them nothing up to `events`. */
async function ledgerOf(packs: readonly Pack[], events: number): Promise<TestLedger> {
  const opened = await testLedger()
  await queryAsOwner(
    opened.databaseUrl,
    `set search_path = killick; set session_replication_role = replica;
     delete from packs; delete from pack_keys; update batches set first_event = ${events} - n`,
  )
  await queryAsOwner(
    opened.databaseUrl,
    `with stored as (
       insert into killick.packs (first_event, log_index, pos, n, ids, times, body)
       select first, 1, 0, 1, '', '', '' from unnest($1::int[]) as p (first))
     insert into killick.pack_keys (first_event, scheme, keys, key_counts)
     select first, ${NEWEST}, keys, '' from unnest($1::int[], $2::bytea[]) as p (first, keys)`,
    [packs.map(({ first }) => first), packs.map(({ keys }) => Buffer.concat(keys))],
  )
  return opened
}

/** How often each of some keys occurs: in all packs, in most, in some, in one, and in none. */
const SHARES = [1, 0.9, 0.5, 0.2, 0.01, 0.01, 0.001, 0]
// Neighbours in the order of entries, some equal in all that an entry keeps of a key; and both ends of that order.
const KEYS = [
  ...SHARES.map((_, i) => Buffer.concat([Buffer.from('7a00000000000000', 'hex').subarray(0, 7), Buffer.of(i)])),
  ...SHARES.map(() => randomBytes(8)),
  Buffer.from('8000000000000000', 'hex'),
  Buffer.from('7fffffffffffffff', 'hex'),
  Buffer.from('0000000000000000', 'hex'),
  Buffer.from('ffffffffffffffff', 'hex'),
]
const shareOf = (i: number) => SHARES[i % SHARES.length]!
/** An entry keeps 46 bits of a key. */
const kept = (key: Buffer) => key.readBigUInt64BE() >> 18n

const EVENTS = 2 * RUN_EVENTS[1] + 3 * RUN_EVENTS[0] + 100

let opened: TestLedger
let coverage: Coverage
const packs: Pack[] = []
/** For each key, the packs that runs may name for it, oldest first. */
let owners: number[][]

beforeAll(async () => {
  for (let first = 1; first < EVENTS; first += 1 + Math.floor(Math.random() * 400))
    packs.push({ first, keys: [...KEYS.filter((_, i) => Math.random() < shareOf(i)), randomBytes(8), randomBytes(8)] })
  opened = await ledgerOf(packs, EVENTS)
  while (await makeRun(opened.pool));
  coverage = await readCoverage(opened.pool)
  const indexed = packs.filter(({ first }) => first < coverage.ends[0]!)
  const names = indexed.map(({ keys }) => new Set(keys.map(kept)))
  owners = KEYS.map((key) => indexed.filter((_, i) => names[i]!.has(kept(key))).map(({ first }) => first))
})
afterAll(() => opened.close())

test('long runs hold all they can, short ones the rest, and no run is begun before it can be full', async () => {
  expect(coverage).toEqual({ scheme: NEWEST, ends: [2 * RUN_EVENTS[1] + 3 * RUN_EVENTS[0], 2 * RUN_EVENTS[1]] })
  expect(await keyIndexOf(opened.pool).unindexed()).toBe(100)
  expect(await keyIndexOf(opened.pool).end([NEWEST])).toEqual({ scheme: NEWEST, end: coverage.ends[0] })
  for (const run of runsOf(coverage)) expect(await isRunRight(opened.pool, run)).toBe(true)
})

test('a name is looked up in all runs at once, and is in no other packs', async () => {
  let known = 0
  for (const [i, key] of KEYS.entries()) {
    const { runsEnd, packs, isAll } = await keyIndexOf(opened.pool).named(key)
    expect(runsEnd).toBe(coverage.ends[0])
    if (isAll) expect(packs).toEqual(owners[i])
    if (isAll && packs.length > 0) known++
  }
  expect(known).toBeGreaterThan(4)
  for (const { first, keys } of packs.slice(0, 40))
    expect(await keyIndexOf(opened.pool).named(keys.at(-1)!)).toMatchObject({ packs: [first], isAll: true })
  expect(await keyIndexOf(opened.pool).named(randomBytes(8))).toMatchObject({ packs: [], isAll: true })
})

async function collect(parts: AsyncIterable<number[]>): Promise<number[]> {
  const all: number[] = []
  for await (const part of parts) all.push(...part)
  return all
}

const search = (keys: readonly Buffer[], what: Search) =>
  collect(keyIndexOf(opened.pool).find(NEWEST, keys, { ...what, to: Math.min(what.to, coverage.ends[0]!) }))

test('any pack behind the runs may have a key', async () => {
  const newest = packs.map(({ first }) => first).filter((first) => first >= coverage.ends[0]!)
  const what = { from: coverage.ends[0]!, to: EVENTS }
  const find = (order: Search['order']) =>
    collect(keyIndexOf(opened.pool).find(NEWEST, [randomBytes(8)], { ...what, order }))
  expect(await find('oldest')).toEqual(newest)
  expect(await find('newest')).toEqual(newest.reverse())
})

test('packs are found by any key, within any bounds, in both orders', async () => {
  const place = fc.oneof(
    fc.integer({ min: 0, max: EVENTS + 1000 }),
    fc.constantFrom(...packs.map(({ first }) => first)),
    fc.constantFrom(0, RUN_EVENTS[1], 2 * RUN_EVENTS[1], 2 * RUN_EVENTS[1] + RUN_EVENTS[0]),
  )
  const order = fc.constantFrom('newest' as const, 'oldest' as const)
  await fc.assert(
    fc.asyncProperty(fc.nat(KEYS.length - 1), place, place, order, async (key, from, to, order) => {
      const expected = owners[key]!.filter((first) => first >= from && first < to)
      expect(await search([KEYS[key]!], { from, to, order })).toEqual(
        order === 'newest' ? expected.reverse() : expected,
      )
    }),
    { numRuns: 300 },
  )
})

test('a search by several keys leaves out no pack that has all of them, and a rare key excludes the others', async () => {
  const some = fc.uniqueArray(fc.nat(KEYS.length - 1), { minLength: 2, maxLength: 4 })
  const order = fc.constantFrom('newest' as const, 'oldest' as const)
  await fc.assert(
    fc.asyncProperty(some, order, async (places, order) => {
      const wanted = places.map((i) => KEYS[i]!)
      const found = await search(wanted, { from: 0, to: EVENTS, order })
      const sets = places.map((i) => new Set(owners[i]!)).sort((a, b) => a.size - b.size)
      const all = [...sets[0]!].filter((pack) => sets.every((set) => set.has(pack)))
      expect(all.filter((pack) => !found.includes(pack))).toEqual([])
      expect(found).toEqual([...new Set(found)].sort((a, b) => (order === 'newest' ? b - a : a - b)))
      if (sets[0]!.size < 200) expect(found.length).toBeLessThanOrEqual(sets[0]!.size)
    }),
    { numRuns: 100 },
  )
})

describe('while runs are merged', () => {
  let merging: TestLedger
  const some = () => packs.filter(({ first }) => first < RUN_EVENTS[1])
  const ownersOf = (key: Buffer) =>
    some()
      .filter(({ keys }) => keys.some((own) => kept(own) === kept(key)))
      .map(({ first }) => first)
  const blocks = async (level: number) => {
    const { rows } = await merging.pool.query('select count(*)::int as n from key_blocks where level = $1', [level])
    return rows[0].n as number
  }
  /** Makes as many short runs as one long run replaces. */
  const begin = async () => {
    await queryAsOwner(merging.databaseUrl, 'delete from killick.key_blocks')
    for (let i = 0; i < RUN_EVENTS[1] / RUN_EVENTS[0]; i++) await makeRun(merging.pool)
    expect(await readCoverage(merging.pool)).toMatchObject({ ends: [RUN_EVENTS[1], 0] })
  }
  const all = { from: 0, to: RUN_EVENTS[1] }

  beforeAll(async () => {
    merging = await ledgerOf(some(), RUN_EVENTS[1])
  })
  beforeEach(begin)
  afterAll(() => merging.close())

  test('the longer run replaces the shorter ones in one transaction', async () => {
    const seen = new Set<string>()
    let isDone = false
    const merged = makeRun(merging.pool).finally(() => {
      isDone = true
    })
    while (!isDone) {
      const { rows } = await merging.pool.query('select distinct level from key_blocks')
      seen.add(rows.map(({ level }) => level).join())
    }
    expect(await merged).toBe(true)
    expect([...seen].filter((levels) => levels !== '0' && levels !== '1')).toEqual([])
    expect([await blocks(0), (await blocks(1)) > 0]).toEqual([0, true])
    expect(await readCoverage(merging.pool)).toMatchObject({ ends: [RUN_EVENTS[1], RUN_EVENTS[1]] })
    expect(await isRunRight(merging.pool, { scheme: NEWEST, level: 1, start: 0 })).toBe(true)
    expect(await makeRun(merging.pool)).toBe(false)
  })

  test.each(['newest', 'oldest'] as const)('a search that has begun continues, the %s first', async (order) => {
    const wanted = KEYS.slice(0, 6)
    const begun = wanted.map((key) => keyIndexOf(merging.pool).find(NEWEST, [key], { ...all, order }))
    const found = await Promise.all(begun.map(async (parts) => ((await parts.next()).value as number[]) ?? []))
    expect(await makeRun(merging.pool)).toBe(true)
    for (const [i, parts] of begun.entries()) for await (const part of parts) found[i]!.push(...part)
    for (const [i, key] of wanted.entries())
      expect(found[i]).toEqual(order === 'newest' ? ownersOf(key).reverse() : ownersOf(key))
  })

  test('every query meanwhile gets the same answer', async () => {
    const names = some().filter((_, i) => i % 40 === 0)
    const index = keyIndexOf(merging.pool)
    let isDone = false
    const merged = makeRun(merging.pool).finally(() => {
      isDone = true
    })
    let asked = 0
    while (!isDone || asked < names.length) {
      const { first, keys } = names[asked++ % names.length]!
      const name = keys.at(-1)!
      expect(await index.named(name)).toEqual({ runsEnd: RUN_EVENTS[1], packs: [first], isAll: true })
      expect(await collect(index.find(NEWEST, [name], { ...all, order: 'oldest' }))).toEqual([first])
    }
    expect(await merged).toBe(true)
  })

  test('a process that knows the shorter runs learns that they are gone', async () => {
    const known = new KnownRuns(merging.pool)
    const index = keyIndexOf(merging.pool)
    await known.refresh()
    await known.whole()
    const { first, keys } = some().find(({ first }) => first > 5 * RUN_EVENTS[0])!
    const name = keys.at(-1)!
    // As the key of a name: what begins with the bits 11 is none.
    name[0]! &= 0x7f
    const before = known.thatMayHave(name)
    expect(await makeRun(merging.pool)).toBe(true)
    expect((await index.namedIn(known.thatMayHave(name), name)).isAll).toBe(before.length === 0)
    await known.refresh()
    await known.whole()
    expect(known.end).toBe(RUN_EVENTS[1])
    const long = { scheme: NEWEST, level: 1, start: 0 }
    expect(await index.namedIn([long], keys.at(-2)!)).toEqual({ packs: [first], isAll: true })
  })

  test('an audit that has begun checks the longer run instead', async () => {
    const runs = walkRuns(merging.pool)
    expect(await runs.upTo(RUN_EVENTS[0])).toEqual([])
    expect(await makeRun(merging.pool)).toBe(true)
    const damage = (sql: string) => queryAsOwner(merging.databaseUrl, `set search_path = killick; ${sql}`)
    expect(await runs.upTo(RUN_EVENTS[1])).toEqual([])
    const [first, second] = [walkRuns(merging.pool), walkRuns(merging.pool)]
    await damage('update key_blocks set entries = substr(entries, 9) where first = (select max(first) from key_blocks)')
    expect(await first.upTo(RUN_EVENTS[1])).toHaveLength(1)
    // A short one beside it is one too many.
    await damage(
      `insert into key_blocks select scheme, 0, start, first, entries from key_blocks order by first limit 1`,
    )
    expect(await second.finish()).toHaveLength(1)
  })

  test('the packs of a missing run are looked through, for names too', async () => {
    const { first, keys } = some().find(({ first }) => first > 3 * RUN_EVENTS[0])!
    await queryAsOwner(merging.databaseUrl, `delete from killick.key_blocks where start = ${3 * RUN_EVENTS[0]}`)
    const index = keyIndexOf(merging.pool)
    expect((await index.named(keys.at(-1)!)).isAll).toBe(false)
    for (const order of ['newest', 'oldest'] as const)
      expect(await collect(index.find(NEWEST, [keys.at(-1)!], { ...all, order }))).toContain(first)
  })
})

test.each([
  [
    'an entry is another',
    // The last of them: how many the last block has is chance.
    `update key_blocks set entries = set_byte(entries, length(entries) - 3, get_byte(entries, length(entries) - 3) # 4)`,
  ],
  ['an entry is gone', `update key_blocks set entries = substr(entries, 1, length(entries) - 8)`],
  ['a block says that it begins later', `update key_blocks set first = first + 1`],
  ['a block is gone', `delete from key_blocks`],
])('a run is not right if %s', async (_, change) => {
  const tamper = (sql: string) =>
    queryAsOwner(opened.databaseUrl, `set search_path = killick; set session_replication_role = replica; ${sql}`)
  const block = `where level = 1 and start = ${RUN_EVENTS[1]} and first = (select max(first) from key_blocks where level = 1 and start = ${RUN_EVENTS[1]})`
  await tamper(`create table kept as select * from key_blocks; ${change} ${block}`)
  expect(await isRunRight(opened.pool, { scheme: NEWEST, level: 1, start: RUN_EVENTS[1] })).toBe(false)
  expect(await isRunRight(opened.pool, { scheme: NEWEST, level: 1, start: 0 })).toBe(true)
  await tamper('delete from key_blocks; insert into key_blocks select * from kept; drop table kept')
  expect(await isRunRight(opened.pool, { scheme: NEWEST, level: 1, start: RUN_EVENTS[1] })).toBe(true)
})

test('events with very many keys make a run that is sorted in parts', async () => {
  // 35 MB of keys: more than are sorted at once. The last is the same for all.
  const many = Array.from({ length: 270 }, (_, i) => ({
    first: 1 + i,
    keys: [randomBytes(131_072), Buffer.alloc(8, 7)],
  }))
  const large = await ledgerOf(many, RUN_EVENTS[0])
  expect(await makeRun(large.pool)).toBe(true)
  expect(await makeRun(large.pool)).toBe(false)
  const [count] = await queryAsOwner<{ entries: number; unsorted: number }>(
    large.databaseUrl,
    `select sum(length(entries) / 8)::int as entries,
       count(*) filter (where first <= before)::int as unsorted
     from (select *, lag(first) over (order by first) as before from killick.key_blocks) b`,
  )
  expect(count).toEqual({ entries: (270 * (131_072 + 8)) / 8, unsorted: 0 })
  const all = { from: 0, to: 1000, order: 'oldest' } as const
  const find = async (key: Buffer) => collect(keyIndexOf(large.pool).find(NEWEST, [key], all))
  for (const { first, keys } of [many[0]!, many[77]!, many[269]!])
    for (const at of [0, 65_536, 131_064]) expect(await find(keys[0]!.subarray(at, at + 8))).toContain(first)
  expect(await find(Buffer.alloc(8, 7))).toEqual(many.map(({ first }) => first))
  expect(await isRunRight(large.pool, { scheme: NEWEST, level: 0, start: 0 })).toBe(true)
  await large.close()
})

test('the packs of a name are known, or a filter tells which run may hold it, however many blocks it has', async () => {
  const name = () => {
    const key = randomBytes(8)
    // A leaf hash begins with the bit 0, an id with 10.
    key[0]! &= key[1]! % 2 === 0 ? 0x7f : 0xbf
    return key
  }
  const named = Array.from({ length: 128 }, (_, i) => ({
    first: 1 + 128 * i,
    keys: [...Array.from({ length: 200 }, name), ...Array.from({ length: 40 }, () => Buffer.alloc(8, 0xc0 + i))],
  }))
  const filtered = await ledgerOf(named, 2 * RUN_EVENTS[0])
  while (await makeRun(filtered.pool));
  const { rows } = await filtered.pool.query('select count(*)::int as n from key_blocks where start = 0')
  expect(rows[0].n).toBeGreaterThan(100)
  const [first, second] = runsOf(await readCoverage(filtered.pool))
  const index = keyIndexOf(filtered.pool)
  const others = Array.from({ length: 2000 }, name)
  const known = new KnownRuns(filtered.pool, 0)
  await known.refresh()
  // Before the filters are read, each may hold it.
  expect(known.find(name())).toEqual({ packs: [], runs: [first, second] })
  await known.whole()
  for (const [i, { first: pack, keys }] of named.entries()) {
    for (const key of keys.slice(0, 200)) expect(known.find(key).runs).toContainEqual(first)
    if (i % 16 !== 0) continue
    expect(await index.namedIn(known.thatMayHave(keys[0]!), keys[0]!)).toEqual({ packs: [pack], isAll: true })
  }
  expect(others.filter((key) => known.thatMayHave(key).length > 0).length).toBeLessThan(40)
  expect(known.bytes).toBeLessThan(300_000)

  const placing = new KnownRuns(filtered.pool)
  await placing.refresh()
  await placing.whole()
  for (const { first: pack, keys } of named)
    for (const key of keys.slice(0, 200)) {
      const { packs, runs } = placing.find(key)
      expect(packs).toContain(pack)
      expect(runs).toEqual([])
    }
  expect(others.filter((key) => placing.find(key).packs.length > 0).length).toBeLessThan(10)
  expect(placing.bytes).toBe(2 * 6 * 2 * RUN_EVENTS[0])
  await queryAsOwner(filtered.databaseUrl, 'delete from killick.key_blocks')
  expect((await index.namedIn([first!], named[0]!.keys[0]!)).isAll).toBe(false)
  await known.refresh()
  await placing.refresh()
  for (const { end, find } of [known, placing].map((runs) => ({ end: runs.end, find: runs.find(named[0]!.keys[0]!) })))
    expect([end, find]).toEqual([0, { packs: [], runs: [] }])
  await filtered.close()
})

test('a name that very many packs have is asked for, and none of them is missed', () => {
  const entryOf = (key: bigint, offset: number) => {
    const entry = Buffer.alloc(8)
    entry.writeBigInt64BE((key << 18n) | BigInt(offset))
    return entry
  }
  const few = new RunNames(1000)
  for (let i = 0; i < 200; i++) few.add(entryOf(7n, 1000 - i))
  expect(few.isWhole).toBe(true)
  expect(few.find(entryOf(7n, 0))).toEqual(Array.from({ length: 200 }, (_, i) => 801 + i))
  const many = new RunNames(1000)
  for (let i = 0; i < 300; i++) many.add(entryOf(7n, i))
  expect(many.isWhole).toBe(false)
  expect(many.has(entryOf(8n, 0))).toBe(true)
})

test('a log that jumps, as after a loss, has runs without entries, and continues', async () => {
  const key = randomBytes(8)
  const far = await ledgerOf([{ first: 5 * RUN_EVENTS[1], keys: [key] }], 5 * RUN_EVENTS[1] + RUN_EVENTS[0])
  while (await makeRun(far.pool));
  const indexed = await readCoverage(far.pool)
  expect(indexed.ends[0]).toBe(5 * RUN_EVENTS[1] + RUN_EVENTS[0])
  for (const run of runsOf(indexed)) expect(await isRunRight(far.pool, run)).toBe(true)
  const all = { from: 0, to: indexed.ends[0]!, order: 'newest' } as const
  expect(await collect(keyIndexOf(far.pool).find(NEWEST, [key], all))).toEqual([5 * RUN_EVENTS[1]])
  await far.close()
})

test('of packs that were dropped a run may hold what they had before, until it is made again', async () => {
  const [end, kept, gone] = [RUN_EVENTS[0], randomBytes(8), randomBytes(8)]
  const dropping = await ledgerOf(
    [100, 200, 300].map((first) => ({ first, keys: [kept, gone] })),
    end,
  )
  while (await makeRun(dropping.pool));
  const run = runsOf(await readCoverage(dropping.pool))[0]!
  const asOwner = (sql: string) =>
    queryAsOwner(dropping.databaseUrl, `set search_path = killick; set session_replication_role = replica; ${sql}`)
  const keysOf = (...keys: Buffer[]) => `'\\x${Buffer.concat(keys).toString('hex')}'`
  const isRight = async () => [await isRunRight(dropping.pool, run), await isRunRight(dropping.pool, run, 'refused')]
  await asOwner('update packs set log_index = 5 where first_event = 200')
  await asOwner(`update pack_keys set keys = ${keysOf(kept)} where first_event = 200`)
  // Nothing was dropped.
  expect(await isRight()).toEqual([false, false])
  await asOwner(`insert into retention_policies values (3, 'p', 1, '{}', 1, now(), 1);
    insert into drops values (4, 3, '{[5,6)}', 1, now())`)
  expect(await isRight()).toEqual([true, false])
  expect(await keyIndexOf(dropping.pool).named(kept)).toMatchObject({ packs: [100, 200, 300], isAll: true })
  // What it is to be found by must be there, and what others were found by too.
  await asOwner(`update pack_keys set keys = ${keysOf(kept, randomBytes(8))} where first_event = 200`)
  expect(await isRight()).toEqual([false, false])
  await asOwner(`update pack_keys set keys = ${keysOf(kept)} where first_event in (200, 300)`)
  expect(await isRight()).toEqual([false, false])
  await dropping.close()
})
