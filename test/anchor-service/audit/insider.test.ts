/**
 * Whoever owns the database cannot alter, add or remove anything unseen. The catalogue is walked: a column without its attack
 * fails, and so does an attack that an audit does not find where it should.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import pg, { type QueryResult } from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { checkIndexes } from '../../../anchor-service/src/audit/indexes.ts'
import { walkRuns } from '../../../anchor-service/src/audit/runs.ts'
import { checkSchema } from '../../../anchor-service/src/audit/schema.ts'
import { openPool } from '../../../anchor-service/src/database/pool.ts'
import { makeRun } from '../../../anchor-service/src/ledger/index/write-run.ts'
import { PARTITION } from '../../../anchor-service/src/ledger/packs/read-pack.ts'
import { queryAsOwner } from '../../support/postgres.ts'
import { nextBatch, type TestLedger, testLedger } from '../support/ledger.ts'
import { newSigner, Producer } from '../support/producer.ts'
import {
  COLUMNS,
  DROPS,
  GENERATED,
  INDEX,
  isFoundAtItsBatch,
  ROWS,
  rowOfBatch,
  SCHEMA,
  TABLES,
} from './support/attacks.ts'
import { type Insider, openInsider } from './support/insider.ts'

let insider: Insider
/** With what the ledger records of itself, it has more entries than one tile holds. A whole pass over it takes three times as long. */
let tall: Insider
beforeAll(async () => {
  insider = await openInsider(80)
  tall = await openInsider(240)
}, 120_000)
afterAll(async () => {
  await insider?.stop()
  await tall?.stop()
})

test('what nobody altered passes both audits', async () => {
  for (const { audit, auditBeside, pool } of [insider, tall]) {
    expect([...(await audit(true, true)).internal]).toEqual([])
    expect([...(await auditBeside()).internal]).toEqual([])
    expect((await checkSchema(pool, true).finish()).faults).toEqual([])
  }
})

test('an extension that has forms of indexes for types of no column passes', async () => {
  const { client, pool } = insider
  await client.query('create extension btree_gist schema public')
  try {
    expect((await checkSchema(pool, true).finish()).faults).toEqual([])
  } finally {
    await client.query('drop extension btree_gist')
  }
})

test('every column of every table has its attack', async () => {
  const { rows } = await insider.client.query<{ name: string }>(
    `select relname || '.' || attname as name from pg_class c join pg_attribute a on attrelid = c.oid
     where relnamespace = 'killick'::regnamespace and relkind in ('r', 'p') and not relispartition and attnum > 0 and not attisdropped`,
  )
  const ofDrops = Object.keys(DROPS).map((column) => `drops.${column}`)
  const known = [...Object.keys(COLUMNS), ...GENERATED, ...INDEX, ...ofDrops]
  // The table holds one row, whose key is that there is one.
  expect(
    rows
      .map(({ name }) => name)
      .filter((name) => name !== 'ledger.one')
      .sort(),
  ).toEqual(known.sort())
})

/** What the log is read from. */
const LOG = ['batches', 'packs', 'pack_keys', 'tiles', 'checkpoints']

/**
 * Attacks, audits, and puts the tables back.
 * @param isServed whether to walk the log, over HTTP, even where the attack leaves it alone
 * @param isLookedUp whether to search for events then, and verify proofs
 */
async function attack(tables: readonly string[], sql: string, isServed: boolean, isLookedUp = false) {
  const { client, audit, auditBeside, restore } = tables.includes('tiles') ? tall : insider
  try {
    const results = [await client.query(sql)].flat()
    const isEffective = ({ command, rowCount }: QueryResult) => command !== 'UPDATE' || rowCount! > 0
    expect(
      results.some(({ rowCount }) => (rowCount ?? 1) > 0) && results.every(isEffective),
      'the attack did nothing',
    ).toBe(true)
    if (!isServed && !tables.some((name) => LOG.includes(name))) return await auditBeside()
    const isOfEvents = tables.some((name) => name === 'batches' || name === 'packs' || name === 'pack_keys')
    return await audit(isOfEvents, isLookedUp)
  } finally {
    await restore(tables)
  }
}

/** The records are checked beside the log as well as with it. */
const needsWalk = (external: string | null) => external !== null && external !== 'records'

type Found = Awaited<ReturnType<typeof attack>>

function expectFound({ internal, external }: Found, check: string, begins: RegExp, outside: string | null): void {
  expect([...internal], 'by the service').toContainEqual([check, expect.stringMatching(begins)])
  if (outside !== null) expect([...external.keys()], 'from outside').toContain(outside)
}

describe('a column altered', () => {
  const besideOthers = Object.entries(COLUMNS).filter((column) => isFoundAtItsBatch(column))
  const alone = Object.entries(COLUMNS).filter((column) => !isFoundAtItsBatch(column))

  test.each(alone)('%s', async (name, [value, [check, begins], external, row]) => {
    const [table, column] = name.split('.') as [string, string]
    const sql = `update ${table} set ${column} = ${value} where ${row ?? ROWS[table]!.one}`
    const found = await attack([table], sql, needsWalk(external))
    expectFound(found, check, begins, external)
  })

  // An audit takes a second. Each of these is found at its batch, so one audit finds them all, each in another batch.
  describe('in a batch of its own', () => {
    const at = (i: number) => 30 + 2 * i
    let faults: Found['faults']
    beforeAll(async () => {
      const sql = besideOthers.map(([name, [value]], i) => {
        const [table, column] = name.split('.') as [string, string]
        return `update ${table} set ${column} = ${value} where ${rowOfBatch(table, at(i))}`
      })
      ;({ faults } = await attack(['batches', 'pack_keys', 'packs'], sql.join('; '), false))
    })

    test.each(besideOthers.map(([name, column], i) => [name, column, at(i)] as const))(
      '%s',
      (_, [, [check, begins]], logIndex) => {
        expect(faults).toContainEqual({ check, message: expect.stringMatching(begins), logIndex })
      },
    )

    test('and no other batch is named', () => {
      const named = new Set(faults.flatMap(({ check, logIndex }) => (check === 'columns' ? (logIndex ?? []) : [])))
      expect([...named].sort((a, b) => a - b)).toEqual(besideOthers.map((_, i) => at(i)))
    })
  })
})

describe.each(Object.entries(TABLES))('rows of %s', (table, { check, external, forged, swapped }) => {
  const { one, other, key } = ROWS[table]!

  test('one deleted', async () => {
    expectFound(await attack([table], `delete from ${table} where ${one}`, needsWalk(external)), check, /./, external)
  })

  // A table that can hold one row only has no second one to forge, or to swap with.
  if (forged !== undefined)
    test('one forged', async () => {
      const sql = `create temp table forged as select * from ${table} where ${one} limit 1; update forged set ${forged};
      insert into ${table} (${insider.columnsOf(table)}) overriding system value select ${insider.columnsOf(table)} from forged; drop table forged`
      expectFound(await attack([table], sql, false), check, /./, null)
    })

  if (other !== 'false')
    test('two swapped', async () => {
      const sql = `create temp table pair as select ${key} as key, ${one} as first from ${table} where (${one}) or (${other});
      create temp table moved as select * from ${table} where ${key} in (select key from pair) and ((${one}) or (${other}));
      delete from ${table} where (${one}) or (${other});
      update moved set ${key} = (select key from pair p where p.key <> moved.${key} limit 1);
      insert into ${table} (${insider.columnsOf(table)}) overriding system value select ${insider.columnsOf(table)} from moved; drop table pair, moved`
      expectFound(await attack([table], sql, false), swapped ?? check, /./, null)
    })

  test('all gone', async () => {
    const { internal } = await attack(await insider.emptiedWith(table), `truncate ${table} cascade`, false)
    expect(internal.size).toBeGreaterThan(0)
  })
})

// What its proof is made of is held against other things too; but who is shown it relies on the proof as a whole.
describe('the proof of an event that nobody altered is verified, and fails with another', () => {
  const anchored = `(anchor, seq) in (select anchor, seq from anchor_states where state in ('confirmed', 'final')
    and anchor = (select id from anchors where size > 0 order by size limit 1))`

  test.each([
    ['transaction', `update anchor_states set transaction = '0x' || repeat('ab', 32) where ${anchored}`],
    ['time', `update anchor_states set time = time + 1 where ${anchored}`],
  ])('%s of its anchor', async (_, sql) => {
    expectFound(
      await attack(['anchor_states'], sql, true, true),
      'lookups',
      /^The proof of event \S+ \(killick\/system 0\) fails: anchor/,
      null,
    )
  })
})

describe('the schema', () => {
  afterEach(() => insider.client.query('rollback'))

  test.each(SCHEMA)('%s', async (_, sql) => {
    await insider.client.query(`begin; set local session_replication_role = default; ${sql}`)
    const { faults } = await checkSchema(insider.client, true).finish()
    expect(faults).not.toEqual([])
  })

  test('a sequence set back', async () => {
    await insider.client.query(`alter sequence anchors_id_seq restart with 1`)
    const { internal } = await insider.auditBeside()
    expect([...internal]).toContainEqual(['anchors.rows', expect.stringMatching(/^anchors\.id/)])
    await insider.client.query(`select setval('anchors_id_seq', 1000)`)
  })
})

// The row is as it was; only what leads to it is not.
test('an index that passes over a row, whichever it is', async () => {
  const { client, pool, tables, columnsOf, restore } = insider
  expect(await checkIndexes(pool)).toEqual([])
  const { rows } = await client.query<{ table: string; index: string }>(
    `select c.relname as table, x.relname as index from pg_index i join pg_class c on c.oid = indrelid join pg_class x on x.oid = indexrelid
     where c.relnamespace = 'killick'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition order by 1, 2`,
  )
  const filled: typeof rows = []
  for (const row of rows) if ((await client.query(`select from ${row.table} limit 1`)).rowCount! > 0) filled.push(row)
  expect(new Set(filled.map(({ table }) => table)).size).toBeGreaterThan(tables.length - 3)
  const ready = (isReady: boolean) =>
    client.query(
      `update pg_index set indisready = ${isReady} from pg_class c where c.oid = indrelid and relnamespace = 'killick'::regnamespace`,
    )
  try {
    await ready(false)
    for (const table of new Set(filled.map(({ table }) => table)))
      await client.query(
        `create temp table moved as select * from ${table} limit 1; delete from ${table};
         insert into ${table} (${columnsOf(table)}) overriding system value select ${columnsOf(table)} from moved; drop table moved`,
      )
    await ready(true)
    const found = (await checkIndexes(pool)).map(({ message }) => message)
    for (const { table, index } of filled)
      expect(found).toContainEqual(expect.stringMatching(`^${table}: by its index ${index} not every row is found`))
  } finally {
    await ready(true)
    await restore(tables)
  }
})

// Whoever reads the whole index meets the row; whoever looks for it does not, and takes its stream to end before it.
test('an index that has a row at a wrong place, though nothing lies any more', async () => {
  const { service, pool, columnsOf } = insider
  // Each in a session of its own, since a session remembers how an index compares.
  const run = (sql: string) => queryAsOwner(service.databaseUrl, `set search_path = killick; ${sql}`)
  const found = async () => (await checkIndexes(pool)).map(({ message }) => message)
  await run(`create function public.turned(text, text) returns int language sql immutable as
      $$ select case when ($1 = 's-3') <> ($2 = 's-3') then -1 else 1 end * bttextcmp($1, $2) $$;
    update pg_amproc set amproc = 'public.turned(text, text)'::regprocedure
      where amproc = 'bttextcmp'::regproc and (amproclefttype, amprocrighttype) = ('text'::regtype, 'text'::regtype)`)
  await run(`set session_replication_role = replica;
    create temp table moved as select * from batches where log_index = (select max(log_index) from batches where stream || '' = 's-3');
    delete from batches where log_index = (select log_index from moved);
    insert into batches (${columnsOf('batches')}) select ${columnsOf('batches')} from moved`)
  await run(`update pg_amproc set amproc = 'bttextcmp'::regproc where amproc = 'public.turned(text, text)'::regprocedure;
    drop function public.turned(text, text)`)
  expect(await found()).toEqual([
    expect.stringMatching(/^batches: by its index batches_source_stream_seq_key not every row is found/),
  ])
  await run('reindex index batches_source_stream_seq_key')
  expect(await found()).toEqual([])
})

/** What the check of indexes asks, while it finds nothing. */
async function askedOfIndexes(): Promise<string[]> {
  const asked = vi.spyOn(pg.Client.prototype, 'query')
  try {
    expect(await checkIndexes(insider.pool)).toEqual([])
    const texts = asked.mock.calls.map(([query]) => (query as { text?: string }).text ?? '')
    return texts.filter((text) => text.startsWith('select count(*)'))
  } finally {
    asked.mockRestore()
  }
}

// To look for each row by one that has no such order, or not all rows, would take all rows each time.
test('an index that is not of this schema is left to the check that names it', async () => {
  const { client, pool } = insider
  const own = await askedOfIndexes()
  try {
    await client.query(
      `create index other_1 on batches (log_index desc); create index other_2 on batches (stream desc, n);
       create index other_3 on batches (n) where n > 3; create index other_4 on batches (stream text_pattern_ops);
       create index other_5 on batches (stream nulls first); create index other_6 on batches (stream collate "C")`,
    )
    expect(await askedOfIndexes()).toEqual(own)
    expect((await checkSchema(pool, true).finish()).faults.length).toBeGreaterThanOrEqual(6)
  } finally {
    await client.query('drop index other_1, other_2, other_3, other_4, other_5, other_6')
  }
})

test('the check of indexes takes as long as it takes, whatever limits the transactions of others', async () => {
  const { client, service } = insider
  const hurried = openPool(`${service.databaseUrl}?options=-c%20transaction_timeout%3D1s`, true, 1)
  try {
    await client.query('begin; lock table holds')
    const checked = checkIndexes(hurried)
    await Promise.race([checked, sleep(1_300)])
    await client.query('rollback')
    expect(await checked).toEqual([])
  } finally {
    await client.query('rollback')
    await hurried.end()
  }
})

test('a row is looked for in its own partition alone', async () => {
  const { client } = insider
  await client.query(
    `select extend_partitions(${PARTITION}); set enable_seqscan = on;
     insert into pack_keys (first_event, scheme, keys, key_counts) values (${PARTITION}, 1, '', '');
     insert into key_blocks (scheme, level, start, first, entries) values (1, 1, ${PARTITION}, 0, '')`,
  )
  try {
    const asked = await askedOfIndexes()
    for (const table of ['pack_keys', 'key_blocks']) {
      const { rows } = await client.query<{ n: number }>(`select count(*)::int as n from ${table}`)
      const text = asked.find((each) => each.includes(`from "${table}" a where`))
      const { rows: plan } = await client.query(`explain (analyze, format json) ${text}`)
      const looks = [...JSON.stringify(plan).matchAll(/"Alias":"b[_\d]*".*?"Actual Loops":(\d+)/g)]
      expect([table, looks.length, looks.reduce((sum, [, n]) => sum + Number(n), 0)]).toEqual([table, 2, rows[0]!.n])
    }
  } finally {
    await client.query('reset enable_seqscan; drop table packs_1, pack_keys_1, key_blocks_1')
  }
})

// That whole runs are gone harms nothing: what no run holds is looked for in the packs, and the runs are made again.
describe('the index of keys', () => {
  let opened: TestLedger
  const EVENTS = 16_500
  beforeAll(async () => {
    opened = await testLedger()
    const producer = new Producer('killick', newSigner(), 'many')
    // Nobody looks at their signatures.
    for (let n = 0; n < EVENTS; n += 5_500)
      await opened.ledger.submit(await nextBatch(producer, 5_500, { eventSigner: null }))
    while (await makeRun(opened.pool));
  }, 60_000)
  afterAll(() => opened.close())

  test.each([
    ['scheme', 'update key_blocks set scheme = 99 where first = (select max(first) from key_blocks)'],
    ['level', 'update key_blocks set level = 1 where first = (select max(first) from key_blocks)'],
    ['start', 'update key_blocks set start = start + 1 where first = (select max(first) from key_blocks)'],
    ['first', 'update key_blocks set first = first + 1 where first = (select max(first) from key_blocks)'],
    [
      'entries',
      'update key_blocks set entries = set_byte(entries, 7, get_byte(entries, 7) # 1) where first = (select max(first) from key_blocks)',
    ],
    ['a block deleted', 'delete from key_blocks where first = (select max(first) from key_blocks)'],
    [
      'a block forged',
      'insert into key_blocks select scheme, level, start, first + 1, entries from key_blocks order by first desc limit 1',
    ],
    [
      'a run forged',
      'insert into key_blocks select scheme, level, start + 5, first, entries from key_blocks order by first desc limit 1',
    ],
    [
      'two blocks swapped',
      `update key_blocks a set entries = b.entries from key_blocks b where a.first <> b.first
         and a.first in (select first from key_blocks order by first limit 2) and b.first in (select first from key_blocks order by first limit 2)`,
    ],
  ])('%s', async (_, sql) => {
    const run = (text: string) =>
      queryAsOwner(opened.databaseUrl, `set search_path = killick; set session_replication_role = replica; ${text}`)
    await run(`create schema kept; create table kept.key_blocks as table key_blocks; ${sql}`)
    const pool = openPool(opened.databaseUrl, true, 1)
    try {
      const runs = walkRuns(pool)
      const faults = [...(await runs.upTo(EVENTS)), ...(await runs.finish())]
      expect(faults.map(({ message }) => message).join()).toMatch(/^key_blocks/)
    } finally {
      await pool.end()
      await run(
        'delete from key_blocks; insert into key_blocks select * from kept.key_blocks; drop schema kept cascade',
      )
    }
  })
})
