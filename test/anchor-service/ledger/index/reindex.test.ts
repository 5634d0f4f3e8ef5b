// Search keys can be made again from the packs, even if that is interrupted anywhere; searches in the meantime are right.
import { parseBatch, utf8 } from '@killick/sdk/core'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openPool } from '../../../../anchor-service/src/database/pool.ts'
import { type Reindexed, reindex } from '../../../../anchor-service/src/ledger/index/reindex.ts'
import { RUN_EVENTS, readCoverage, runsOf, strayRuns } from '../../../../anchor-service/src/ledger/index/runs.ts'
import { isRunRight, makeRun } from '../../../../anchor-service/src/ledger/index/write-run.ts'
import { NEWEST } from '../../../../anchor-service/src/ledger/packs/filters.ts'
import { makeKeys, readWhole } from '../../../../anchor-service/src/ledger/packs/make-keys.ts'
import { packBatch } from '../../../../anchor-service/src/ledger/packs/packer.ts'
import { readProof } from '../../../../anchor-service/src/ledger/read/proofs.ts'
import { type EventConditions, searchEvents } from '../../../../anchor-service/src/ledger/read/search.ts'
import { queryAsOwner } from '../../../support/postgres.ts'
import { registerSource, type TestLedger, testLedger } from '../../support/ledger.ts'
import { alterToken } from '../../support/packs.ts'
import { newSigner, Producer } from '../../support/producer.ts'

let opened: TestLedger
/** As the owner, who may delete. */
let owner: pg.Pool
const OUTCOMES = ['success', 'failure', 'denied', undefined] as const
const STREAMS = ['main', 'night']
const BATCHES = 3
const N = 4

beforeAll(async () => {
  opened = await testLedger()
  owner = openPool(opened.databaseUrl, false, 2)
  const signer = newSigner()
  await registerSource(opened, { source: 'billing', signer })
  const producers = STREAMS.map((stream) => new Producer('billing', signer, stream))
  for (let b = 0; b < BATCHES; b++)
    for (const [s, producer] of producers.entries()) {
      const inputs = Array.from({ length: N }, (_, i) => ({
        action: `invoice.${i % 2 === 0 ? 'line' : 'page'}.add`,
        actor: { type: 'user', id: `u-${s}` },
        targets: [{ type: 'invoice', id: `inv-${b}` }],
        ...(OUTCOMES[i] && { outcome: OUTCOMES[i] }),
      }))
      const batch = await producer.batch(inputs)
      batch.advance()
      await opened.ledger.submit(packBatch(parseBatch(utf8(batch.body))))
    }
  await keep('newest')
  // As a version before this one would have made them.
  for await (const pack of readWhole(owner, 0, 1e6)) {
    const { keys, key_counts } = (await makeKeys(pack, 1))!
    const sql = 'update killick.pack_keys set scheme = 1, keys = $2, key_counts = $3 where first_event = $1'
    await queryAsOwner(opened.databaseUrl, sql, [pack.first_event, keys, key_counts])
  }
  await keep('older')
}, 60_000)
afterAll(async () => {
  await owner.end()
  await opened.close()
})

const run = (sql: string) => queryAsOwner(opened.databaseUrl, `set search_path = killick; ${sql}`)
const keep = (name: string) => run(`create table public.${name} as table pack_keys`)
const putBack = (name: string) => run(`delete from pack_keys; insert into pack_keys select * from public.${name}`)

async function differences(): Promise<number> {
  const [row] = await queryAsOwner<{ n: number }>(
    opened.databaseUrl,
    `select count(*)::int as n from (
       (table killick.pack_keys except table public.newest) union all (table public.newest except table killick.pack_keys)) d`,
  )
  return row!.n
}

const EACH = BATCHES * STREAMS.length
const SEARCHES: [EventConditions, number][] = [
  [{ action: 'invoice.line.add' }, 2 * EACH],
  [{ action: 'invoice.line.*' }, 2 * EACH],
  [{ action: 'invoice.*' }, 4 * EACH],
  [{ action: 'invoice' }, 0],
  [{ action: 'line.*' }, 0],
  [{ outcome: 'failure' }, EACH],
  [{ outcome: 'success', action: 'invoice.*', stream: 'night' }, BATCHES],
  [{ stream: 'main' }, N * BATCHES],
  [{ stream: 'main', source: 'billing', target: 'inv-1' }, N],
  [{ stream: 'main', source: 'killick' }, 0],
  [{ outcome: 'denied', actor: 'u-1', target: 'inv-2' }, 1],
]

/** Searches in pages of three, so that a page boundary would show an event that is doubled or left out. */
async function expectFound(): Promise<void> {
  for (const [conditions, count] of SEARCHES) {
    const seen: string[] = []
    for (let before: [number, number] | undefined; ; ) {
      const { events, next } = await searchEvents(opened.pool, { ...conditions, limit: 3, before })
      seen.push(...events.map(({ leafHash }) => leafHash!))
      if (next === null) break
      before = [...next] as [number, number]
    }
    expect(seen.length, JSON.stringify(conditions)).toBe(count)
    expect(new Set(seen).size).toBe(count)
  }
}

/** A connection that fails at its `end`-th query, as if the process had been killed. */
function endingPool(end: number): pg.Pool {
  let asked = 0
  const ask = <T>(work: () => T): T => {
    if (++asked === end) throw new Error('killed')
    return work()
  }
  const query =
    (on: pg.Pool | pg.PoolClient) =>
    (...args: unknown[]) =>
      ask(() => (on.query as (...args: unknown[]) => unknown)(...args))
  return {
    query: query(owner),
    async connect() {
      const client = await owner.connect()
      return { query: query(client), release: (error?: Error) => client.release(error) }
    },
  } as unknown as pg.Pool
}

const PART = 8

describe('with rows of an older scheme', () => {
  beforeEach(() => putBack('older'))

  test('everything is found and proven all the same', async () => {
    await expectFound()
    await run('delete from pack_keys where first_event > 6')
    await expectFound()
    const { events } = await searchEvents(opened.pool, { limit: 500 })
    for (const { id, leafHash } of events)
      for (const name of [id!, leafHash!])
        expect(JSON.parse(await readProof(opened.ledger, name)).format).toBe('killick-proof/1')
  })

  test('reindexing makes the rows that a commit would have made', async () => {
    const done = await reindex(owner, { part: PART })
    expect(done).toMatchObject({ mended: 0, added: EACH + 2, dropped: EACH + 2, runs: 0, left: 0 })
    expect(await differences()).toBe(0)
    await expectFound()
  })

  test('a reindex that ended at any point continues from there, and nothing is lost or doubled meanwhile', async () => {
    let points = 0
    for (let end = 1; ; end++) {
      await putBack('older')
      let from = 0
      const passed = async (events: number) => {
        from = events
      }
      const killed = await reindex(endingPool(end), { part: PART, passed }).then(
        () => false,
        (error: Error) => {
          expect(error.message).toBe('killed')
          return true
        },
      )
      if (!killed) break
      points++
      if (end % 7 === 0) await expectFound()
      const rest = await reindex(owner, { part: PART, from })
      if (from >= PART) expect(rest.packs).toBeLessThan(EACH + 2)
      expect(await differences()).toBe(0)
    }
    expect(points).toBeGreaterThan(30)
  }, 120_000)
})

describe('with rows that somebody altered', () => {
  beforeEach(() => putBack('newest'))

  test.each<[string, string, Partial<Reindexed>]>([
    ['a key is another', 'update pack_keys set keys = set_byte(keys, 40, 7) where first_event = 6', { mended: 1 }],
    [
      'counts are others',
      `update pack_keys set key_counts = key_counts || '\\x0001' where first_event = 6`,
      { mended: 1 },
    ],
    ['rows are gone', 'delete from pack_keys where first_event < 10', { added: 4 }],
    [
      'a row is of no pack',
      'update pack_keys set first_event = first_event + 1 where first_event = 6',
      { mended: 1, added: 1 },
    ],
    [
      'a row is behind the log',
      'update pack_keys set first_event = 1000000 where first_event = 6',
      { mended: 1, added: 1 },
    ],
    [
      'a row is of a scheme to come',
      'update pack_keys set scheme = 99 where first_event = 6',
      { added: 1, dropped: 1 },
    ],
    ['there is a run that the log has no room for', `insert into key_blocks values (2, 0, 0, 0, '')`, { runs: 1 }],
    ['there is a run of a scheme to come', `insert into key_blocks values (99, 0, 0, 0, '')`, { runs: 1 }],
  ])('%s', async (_, sql, expected) => {
    await run(sql)
    expect(await reindex(owner, { part: PART })).toMatchObject({
      ...{ mended: 0, added: 0, dropped: 0, runs: 0, left: 0 },
      ...expected,
    })
    expect(await differences()).toBe(0)
    expect(await queryAsOwner(opened.databaseUrl, 'select from killick.key_blocks')).toEqual([])
    expect(await reindex(owner, { part: PART })).toMatchObject({ mended: 0, added: 0, dropped: 0, runs: 0 })
  })

  test('keys of events that cannot be read stay', async () => {
    await run('set session_replication_role = replica; create table public.kept_packs as table packs')
    await alterToken(opened.databaseUrl, 6, () => '')
    try {
      expect(await reindex(owner, { part: PART })).toMatchObject({ mended: 0, added: 0, left: 1 })
      expect(await differences()).toBe(0)
      await run('delete from pack_keys')
      const { events } = await searchEvents(opened.pool, { outcome: 'success', limit: 500 })
      expect(events.filter((event) => 'error' in event)).toHaveLength(1)
      expect(await reindex(owner, { part: PART })).toMatchObject({ added: EACH + 2, left: 1 })
    } finally {
      await run(
        'set session_replication_role = replica; delete from packs; insert into packs select * from public.kept_packs',
      )
    }
  })
})

describe('a log of several runs', () => {
  // As if it had so many events that its packs lie in two long runs.
  const wide = Math.ceil((RUN_EVENTS[1] + RUN_EVENTS[0]) / (EACH * N - N))
  const widen = `set session_replication_role = replica; update batches set first_event = ${wide} * first_event;
    update packs set first_event = ${wide} * first_event; update pack_keys set first_event = ${wide} * first_event`
  const found = async (conditions: EventConditions) => {
    const { events } = await searchEvents(opened.pool, { ...conditions, limit: 500 })
    expect(new Set(events.map(({ leafHash }) => leafHash)).size).toBe(events.length)
    return events.length
  }
  const expectBoth = async () => {
    expect(await found({ action: 'invoice.line.add' })).toBe(2 * EACH)
    expect(await found({ outcome: 'denied' })).toBe(EACH)
  }

  test('services add the keys of the newest scheme, run by run, and everything is found meanwhile', async () => {
    await putBack('older')
    await run(widen)
    do await expectBoth()
    while (await makeRun(opened.pool))
    const { ends } = await readCoverage(owner)
    expect(ends[1]).toBe(RUN_EVENTS[1])
    const [row] = await queryAsOwner<{ n: number; packs: number }>(
      opened.databaseUrl,
      `select (select count(*)::int from killick.pack_keys where scheme = ${NEWEST}) as n,
         (select count(*)::int from killick.packs where first_event < ${ends[0]}) as packs`,
    )
    expect(row!.n).toBe(row!.packs)
    await expectBoth()
  })

  test('an altered run is made again, and a missing one is replaced by looking through its packs', async () => {
    const coverage = await readCoverage(owner)
    await run('delete from key_blocks where start = 0')
    await expectBoth()
    await run('delete from key_blocks where level = 1')
    await expectBoth()
    expect((await reindex(owner)).runs).toBeGreaterThan(0)
    expect(await readCoverage(owner)).toEqual(coverage)
    for (const each of runsOf(coverage)) expect(await isRunRight(owner, each)).toBe(true)
    expect(await strayRuns(owner)).toEqual([])
    await expectBoth()
    await run('update key_blocks set entries = substr(entries, 9) where length(entries) > 8')
    expect((await reindex(owner)).runs).toBeGreaterThan(0)
    await expectBoth()
  })
})
