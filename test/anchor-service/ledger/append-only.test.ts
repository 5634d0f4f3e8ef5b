import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LEDGER_ROLE, migrate } from '../../../anchor-service/src/database/migrate.ts'
import { openPool } from '../../../anchor-service/src/database/pool.ts'
import { openLedger } from '../../../anchor-service/src/ledger/ledger.ts'
import { createDatabase, queryAsOwner } from '../../support/postgres.ts'
import { logSigner, nextBatch, systemSigner, type TestLedger, testLedger } from '../support/ledger.ts'
import { newSigner, Producer } from '../support/producer.ts'

let it: TestLedger
const TABLES = [
  ...['migrations', 'ledger', 'sources', 'source_keys', 'batches', 'packs', 'packs_0', 'tiles', 'checkpoints'],
  ...['equivocations', 'anchors', 'anchor_states', 'shares', 'share_revocations'],
  ...['erasures', 'erased', 'erasure_ends', 'holds', 'hold_ends', 'retention_policies', 'retention_ends'],
  ...['proposals', 'proposed', 'proposal_ends', 'prunings', 'drops'],
]

beforeAll(async () => {
  it = await testLedger()
  await it.ledger.submit(await nextBatch(new Producer('billing', newSigner()), 3))
})
afterAll(() => it.close())

/** Tables that can be made again from the others, by their owner. The service may only add to them. */
const DERIVED = ['pack_keys', 'pack_keys_0', 'key_blocks', 'key_blocks_0']

test('the list of tables is complete', async () => {
  const rows = await queryAsOwner<{ tablename: string }>(
    it.databaseUrl,
    "select tablename from pg_tables where schemaname = 'killick'",
  )
  expect(rows.map((row) => row.tablename).sort()).toEqual([...TABLES, ...DERIVED].sort())
})

describe.each(TABLES)('table %s', (table) => {
  test.each([
    `update killick.${table} set "COLUMN" = "COLUMN"`,
    `delete from killick.${table}`,
    `truncate killick.${table} cascade`,
  ])('refuses "%s", even from its owner', async (statement) => {
    const [column] = await queryAsOwner<{ column_name: string }>(
      it.databaseUrl,
      "select column_name from information_schema.columns where table_schema = 'killick' and table_name = $1 and is_identity = 'NO' limit 1",
      [table],
    )
    const sql = statement.replaceAll('COLUMN', column!.column_name)
    await expect(queryAsOwner(it.databaseUrl, sql)).rejects.toThrow(/append-only/)
    await expect(it.pool.query(sql)).rejects.toMatchObject({ code: '42501' })
  })
})

test.each(DERIVED)('the service may not change %s', async (table) => {
  for (const sql of [
    `update killick.${table} set scheme = scheme`,
    `delete from killick.${table}`,
    `truncate killick.${table}`,
  ]) {
    await expect(it.pool.query(sql)).rejects.toMatchObject({ code: '42501' })
    await queryAsOwner(it.databaseUrl, `begin; ${sql}; rollback`)
  }
})

test('the service may replace or empty a pack only as an erasure under way or a drop says', async () => {
  for (const door of [
    `erase_pack(0, '', '{}')`,
    `erase_keys(0, 2, '', '')`,
    `erase_entries(0, 2, 0, 0, array[1::bigint])`,
  ])
    await expect(it.pool.query(`select ${door}`)).rejects.toThrow(/no erasure that is under way names an event/)
  await expect(it.pool.query(`select drop_pack(0, '{3}', '{""}', '')`)).rejects.toThrow(/no drop names the batch/)
  await expect(
    it.pool
      .query(`select set_config('killick.erasing', 'on', false)`)
      .then(() => it.pool.query(`update packs set body = ''`)),
  ).rejects.toMatchObject({ code: '42501' })
})

test('the service may drop runs of the index that a longer run replaces', async () => {
  const levels = async () =>
    (await it.pool.query('select level from key_blocks order by level')).rows.map(({ level }) => level)
  await it.pool.query(`insert into key_blocks values (2, 0, 0, 0, ''), (2, 0, 16384, 0, ''), (2, 0, 262144, 0, '')`)
  await it.pool.query('select drop_merged(2, 1, 0, 262144)')
  expect(await levels()).toEqual([0, 0, 0])
  await it.pool.query(`insert into key_blocks values (2, 1, 0, 0, '')`)
  await it.pool.query('select drop_merged(2, 1, 0, 262144)')
  expect(await levels()).toEqual([0, 1])
  await queryAsOwner(it.databaseUrl, 'delete from killick.key_blocks')
})

test('the service works with a role that may only select and insert', async () => {
  const { rows } = await it.pool.query('select current_user as role')
  expect(rows[0].role).toBe(LEDGER_ROLE)
  const privileges = await queryAsOwner<{ privilege_type: string }>(
    it.databaseUrl,
    'select distinct privilege_type from information_schema.role_table_grants where grantee = $1',
    [LEDGER_ROLE],
  )
  expect(privileges.map((row) => row.privilege_type).sort()).toEqual(['INSERT', 'SELECT'])
})

describe('migrations', () => {
  test('run once, even if two processes start together', async () => {
    const url = await createDatabase()
    const reports = await Promise.all([migrate(url), migrate(url)])
    expect(reports.flatMap((report) => report.applied).sort()).toEqual([
      '0001_ledger.sql',
      '0002_anchors.sql',
      '0003_shares.sql',
      '0004_paths.sql',
      '0005_merged_runs.sql',
      '0006_frames.sql',
      '0007_erasures.sql',
      '0008_heartbeat.sql',
      '0009_retention.sql',
      '0010_proposals.sql',
      '0011_prunings.sql',
      '0012_drops.sql',
      '0013_statistics.sql',
    ])
    expect((await migrate(url)).applied).toEqual([])
  })

  test('refuse a database of a newer version, and one whose applied migrations differ', async () => {
    const newer = await createDatabase()
    await migrate(newer)
    await queryAsOwner(newer, "insert into killick.migrations (name, checksum) values ('9999_later.sql', 'x')")
    await expect(migrate(newer)).rejects.toThrow(/newer version \(9999_later\.sql\)/)
    await queryAsOwner(newer, 'set session_replication_role = replica; delete from killick.migrations')
    const error = await migrate(newer).catch((error) => error)
    expect([error.name, error.message]).toEqual([
      'StartError',
      expect.stringMatching(/list.* 0001_ledger\.sql cannot be applied: .* already exists.*\. Nothing was changed\./),
    ])

    const edited = await createDatabase()
    await queryAsOwner(edited, 'create schema killick')
    await queryAsOwner(edited, 'create table killick.migrations (name text primary key, checksum text not null)')
    await queryAsOwner(edited, "insert into killick.migrations values ('0001_ledger.sql', 'other')")
    await expect(migrate(edited)).rejects.toThrow(
      /made by another version, whose 0001_ledger\.sql is not the one of this version, which therefore cannot open it/,
    )
  })

  test('a ledger of another origin is refused', async () => {
    const pool = openPool(it.databaseUrl, true)
    const opened = openLedger({ pool, origin: 'other.test/log', logSigner, systemSigner })
    await expect(opened).rejects.toThrow(/holds the log "log\.test\/killick"/)
    await pool.end()
  })

  test('a ledger under another log key is refused: the log can only continue under its own', async () => {
    const pool = openPool(it.databaseUrl, true)
    const opened = openLedger({ pool, origin: 'log.test/killick', logSigner: systemSigner, systemSigner })
    await expect(opened).rejects.toThrow(/the log key in use is .* Restore the key file/)
    await pool.end()
  })
})
