// The command `reindex` as a process that is killed again and again. The next process continues where it was, and searches in the
// meantime neither miss an event nor find one twice.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openPool } from '../../../anchor-service/src/database/pool.ts'
import { RUN_EVENTS } from '../../../anchor-service/src/ledger/index/runs.ts'
import { INDEX_LOCK } from '../../../anchor-service/src/ledger/index/write-run.ts'
import { NEWEST } from '../../../anchor-service/src/ledger/packs/filters.ts'
import { makeKeys, readWhole } from '../../../anchor-service/src/ledger/packs/make-keys.ts'
import { type EventConditions, searchEvents } from '../../../anchor-service/src/ledger/read/search.ts'
import { queryAsOwner } from '../../support/postgres.ts'
import { type ChildHandle, startChild } from '../../support/processes.ts'
import { nextBatch, registerSource, type TestLedger, testLedger } from '../support/ledger.ts'
import { newSigner, Producer } from '../support/producer.ts'

const MAIN = fileURLToPath(new URL('../../../anchor-service/src/main.ts', import.meta.url))
const BATCHES = 10
const EVENTS = 4
const PART = RUN_EVENTS[0]
/** Moves the packs apart, as if the log had many more events, so that its parts hold one or two packs each. */
const WIDE = Math.ceil(PART / (2 * EVENTS))

let opened: TestLedger
let folder: string
/** Stops the process by locking what it needs next. */
let blocker: pg.Client
/** First events of the packs, in the order in which reindex comes to them. */
let packs: number[]

const run = (sql: string) => queryAsOwner(opened.databaseUrl, `set search_path = killick; ${sql}`)

beforeAll(async () => {
  opened = await testLedger()
  folder = await mkdtemp(join(tmpdir(), 'killick-reindex-'))
  const producer = new Producer('billing', newSigner(), 'main')
  await registerSource(opened, producer)
  for (let b = 0; b < BATCHES; b++) await opened.ledger.submit(await nextBatch(producer, EVENTS))
  await run(`set session_replication_role = replica; update batches set first_event = ${WIDE} * first_event;
    update packs set first_event = ${WIDE} * first_event; update pack_keys set first_event = ${WIDE} * first_event;
    create table public.newest as table pack_keys`)
  // As a version before this one would have made them.
  const owner = openPool(opened.databaseUrl, false, 2)
  packs = []
  for await (const pack of readWhole(owner, 0, 2 * BATCHES * PART)) {
    const { keys, key_counts } = (await makeKeys(pack, 1))!
    const sql = 'update killick.pack_keys set scheme = 1, keys = $2, key_counts = $3 where first_event = $1'
    await queryAsOwner(opened.databaseUrl, sql, [pack.first_event, keys, key_counts])
    packs.push(pack.first_event)
  }
  await owner.end()
  expect(packs).toHaveLength(BATCHES + 2)
  expect(packs.at(-1)!).toBeGreaterThan(4 * PART)
  blocker = new pg.Client({ connectionString: opened.databaseUrl, options: '-c search_path=killick' })
  await blocker.connect()
}, 60_000)
afterAll(async () => {
  await blocker.end()
  await opened.close()
  await rm(folder, { recursive: true, force: true })
})

const start = (): Promise<ChildHandle> =>
  startChild(process.execPath, [MAIN, 'reindex'], {
    env: { PATH: process.env.PATH ?? '', DATABASE_URL: opened.databaseUrl, KILLICK_DATA: folder },
  })

const SEARCHES: [EventConditions, number][] = [
  [{ source: 'billing', action: 'invoice.*' }, BATCHES * EVENTS],
  [{ stream: 'main' }, BATCHES * EVENTS],
  [{ source: 'billing' }, BATCHES * EVENTS],
]

/** Searches in pages of three, so that a page boundary would show an event that is doubled or left out. */
async function expectFound(): Promise<void> {
  for (const [conditions, count] of SEARCHES) {
    const seen: string[] = []
    for (let before: readonly [number, number] | undefined; ; ) {
      const { events, next } = await searchEvents(opened.pool, { ...conditions, limit: 3, before })
      seen.push(...events.map(({ leafHash }) => leafHash!))
      if (next === null) break
      before = next
    }
    expect(seen.length, JSON.stringify(conditions)).toBe(count)
    expect(new Set(seen).size).toBe(count)
  }
}

/** Waits until the process waits for what the blocker holds. */
async function untilBlocked(child: ChildHandle): Promise<void> {
  const sql = `select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
  await expect
    .poll(
      async () => {
        expect(child.process.exitCode, child.output()).toBeNull()
        return (await queryAsOwner<{ n: number }>(opened.databaseUrl, sql))[0]!.n
      },
      { timeout: 20_000 },
    )
    .toBe(1)
}

const madeAnew = async (upTo = 2 ** 48): Promise<number> => {
  const sql = 'select count(*)::int as n from killick.pack_keys where scheme = $1 and first_event < $2'
  return (await queryAsOwner<{ n: number }>(opened.databaseUrl, sql, [NEWEST, upTo]))[0]!.n
}

/** Up to where the next process need not look. */
const noted = async (): Promise<number> =>
  existsSync(join(folder, 'reindex.json')) ? JSON.parse(await readFile(join(folder, 'reindex.json'), 'utf8')).events : 0

/** Inserts the pack's row of the newest scheme; until that is committed, the process waits when it writes the same row. */
const insertOf = (pack: number) => `insert into pack_keys values (${pack}, ${NEWEST}, '', '')`
/** Locks the row of the older scheme, so that the process waits when it deletes it. */
const rowOf = (pack: number) => `select from pack_keys where first_event = ${pack} and scheme = 1 for update`

test('killed at one point after another, it continues where it was and completes', {
  timeout: 120_000,
}, async () => {
  const POINTS: [string, string, () => number][] = [
    ['before anything', `select pg_advisory_xact_lock(${INDEX_LOCK})`, () => 0],
    ['before the second row is written', insertOf(packs[1]!), () => 0],
    ['in the middle of the second part', rowOf(packs.find((pack) => pack > PART)!), () => PART],
    ['between two rows of one pack', rowOf(packs[6]!), () => packs[6]! - (packs[6]! % PART)],
    ['before the last row is written', insertOf(packs.at(-1)!), () => packs.at(-1)! - (packs.at(-1)! % PART)],
    [
      'before a run is written',
      'lock table key_blocks in exclusive mode',
      () => packs.at(-1)! + PART - (packs.at(-1)! % PART),
    ],
  ]
  let made = 0
  for (const [point, sql, from] of POINTS) {
    await blocker.query(`begin; ${sql}`)
    const child = await start()
    await untilBlocked(child)
    await expectFound()
    await child.kill9()
    await blocker.query('rollback')
    // What it had done durably before, and nothing of the part in which it was.
    expect(await noted(), point).toBe(from())
    await expectFound()
    const now = await madeAnew()
    expect(now, point).toBe(packs.filter((pack) => pack < from()).length)
    expect(now).toBeGreaterThanOrEqual(made)
    made = now
  }

  const child = await start()
  const searches = expectFound()
  await child.exited
  await searches
  const from = await noted()
  expect(from).toBe(0)
  expect(child.output()).toMatch(/^It continued at event \d+, where it had been stopped/)
  expect(child.process.exitCode, child.output()).toBe(0)
  const [{ n }] = (await queryAsOwner<{ n: number }>(
    opened.databaseUrl,
    `select count(*)::int as n from (
       (table killick.pack_keys except table public.newest) union all (table public.newest except table killick.pack_keys)) d`,
  )) as [{ n: number }]
  expect(n).toBe(0)
  await expectFound()
})

test('killed after a part is done but before that is noted, it repeats the part without harm', {
  timeout: 60_000,
}, async () => {
  await run(`delete from pack_keys where first_event = ${packs[0]}`)
  // Opening a pipe for writing waits until somebody reads.
  await promisify(execFile)('mkfifo', [join(folder, 'reindex.json.new')])
  const child = await start()
  await expect.poll(() => madeAnew(PART), { timeout: 20_000 }).toBe(packs.filter((pack) => pack < PART).length)
  await child.kill9()
  expect(await noted()).toBe(0)
  await rm(join(folder, 'reindex.json.new'))
  await expectFound()
  const next = await start()
  await next.exited
  expect(next.output()).toContain('0 mended, 0 added')
  expect(next.process.exitCode, next.output()).toBe(0)
})

test('when the database goes away meanwhile, it says so, and what to do', async () => {
  await blocker.query('begin; lock table key_blocks in exclusive mode')
  const child = await start()
  await untilBlocked(child)
  await run(`select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'`)
  await child.exited
  await blocker.query('rollback')
  expect([child.process.exitCode, child.output()]).toEqual([
    1,
    expect.stringMatching(
      /^The database has gone away, or is not ready: .*\. Run the command again when it is back; .*\n$/,
    ),
  ])
})
