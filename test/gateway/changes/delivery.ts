import { execFileSync, spawnSync } from 'node:child_process'
import { appendFileSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { ChangesRecorder, checkChangesConfig, setupChanges } from '@killick/gateway'
import { openAuditLog, publicJwk } from '@killick/sdk'
import type { JsonObject } from '@killick/sdk/core'
import { contextIn, recordIn } from '@killick/sdk/postgres'
import pg from 'pg'
import { expect, inject, onTestFinished, test, vi } from 'vitest'
import { publicationFacts, unpublishedTables } from '../../../gateway/src/changes/database.ts'
import { runChanges } from '../../../gateway/src/changes/index.ts'
import { parseLsn } from '../../../gateway/src/changes/lsn.ts'
import { differences } from '../../../gateway/src/changes/relations.ts'
import { Replication } from '../../../gateway/src/changes/replication.ts'
import { verifyChanges } from '../../../gateway/src/changes/verify.ts'
import { seeded } from '../../../scripts/crash/random.ts'
import { type ChildHandle, startNode } from '../../../scripts/lib/processes.ts'
import { call, ERASER, READER, register, testService } from '../../anchor-service/support/service.ts'
import { problem, startLog } from '../../sdk/client/support.ts'
import { caughtUp, configFile, eventsIn, ofAction, postgres, type Told, world } from './support.ts'

const MAIN = fileURLToPath(new URL('../../../gateway/src/main.ts', import.meta.url))
const TABLE = 'create table a (id int primary key, x int)'
/** What shows that a table is still the same, beside what it looks like. */
const DESCRIBED = { oid: expect.any(Number), revision: expect.stringMatching(/^[0-9a-f]{32}$/) }

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    ({ code }) => code,
  )

/** Rows and fills in the order in which they were recorded. */
const recordedIn = (events: readonly Told[]): string[] =>
  events.flatMap(({ action, targets }) => {
    if (action === 'changes.insert') return [targets[0].id.split(':')[1]]
    return action === 'a.fill' ? [`fill ${targets[0].id}`] : []
  })

const gaps = (events: readonly Told[]): string[] =>
  events
    .filter(({ action }) => action.startsWith('changes.gap'))
    .map(({ action, metadata }) => `${action} ${metadata.changes.why}`)

test('killed at any moment, also amid a transaction, each committed change is recorded exactly once, in order', async () => {
  const seed = Math.floor(Math.random() * 2 ** 32)
  const random = seeded(seed)
  const log = await startLog()
  const made = await world(TABLE, { url: log.url, admin: { port: 0 } })
  const { client, slot, folder } = made
  const file = configFile(made)
  let child: ChildHandle
  let url = ''
  const start = async () => {
    child = await startNode([MAIN, 'changes', '--config', file])
    url = (await child.printed(/records the changes of \S+; (\S+)\/readyz/))[1]!
  }
  const committed: string[] = []
  let n = 0
  let next = 1
  const fill = async (size: number, isKept = true) => {
    const event = { action: 'a.fill', actor: { type: 'user', id: 'ada' }, targets: [{ type: 'fill', id: `${n}` }] }
    await client.query('begin')
    await client.query('insert into a select i, i from generate_series($1::int, $2::int) i', [next, next + size - 1])
    await recordIn(client, event)
    await client.query(isKept ? 'commit' : 'rollback')
    if (isKept) committed.push(...Array.from({ length: size }, (_, i) => `${next + i}`), `fill ${n}`)
    next += size
    n += 1
  }
  await start()
  try {
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 8; i++) await fill(1 + random.int(3), random.int(5) > 0)
      await fill(520)
      await sleep(random.int(150))
      await child!.kill9()
      await fill(2)
      await start()
    }
    const over = child!.exited.then(() => Promise.reject(new Error(`seed ${seed}: it has ended: ${child!.output()}`)))
    await Promise.race([caughtUp(client, slot), over])
    const ready = await fetch(`${url}/readyz`)
    expect([ready.status, await ready.json()]).toMatchObject([200, { status: 'ready', isConnected: true }])
    expect(await (await fetch(`${url}/metrics`)).text()).toMatch(/^killick_changes_recorded_events \d+$/m)
    await child!.stop()
    expect((await child!.exited).code, child!.output()).toBe(0)
    const spool = await openAuditLog({
      url: log.url,
      source: 'ledger-db',
      key: join(folder, 'key.json'),
      spool: join(folder, 'spool'),
    })
    await spool.flush()
    await spool.close()
    const events = log.batches.flatMap((batch) => batch.events.map(({ fields }) => fields as Told))
    expect(recordedIn(events), `seed ${seed}`).toEqual(committed)
    expect(committed.length).toBeGreaterThan(1000)
    expect(events.at(-1)!.action).toBe('changes.session.end')
  } finally {
    await child!.kill9()
  }
})

test('a slot that was dropped, moved or invalidated is a gap: recorded once, and gone over only where somebody says so', async () => {
  const made = await world(TABLE)
  const { client, slot } = made
  await made.finish(await made.start())
  await client.query('select pg_drop_replication_slot($1)', [slot])
  await client.query('insert into a values (1, 1)')
  for (let i = 0; i < 2; i++) expect(await codeOf((await made.start()).ended)).toBe('changes_gap')
  expect(gaps(await made.events())).toEqual(['changes.gap slot_missing'])
  let recorder = await made.start({}, { acceptGap: true })
  await expect.poll(() => recorder.status.isConnected).toBe(true)
  await client.query('insert into a values (2, 2)')
  await made.finish(recorder)
  expect(gaps(await made.events())).toEqual(['changes.gap slot_missing', 'changes.gap.accept slot_missing'])
  expect(recordedIn(await made.events())).toEqual(['2'])

  await client.query('insert into a values (3, 3)')
  await client.query('select pg_replication_slot_advance($1, pg_current_wal_lsn())', [slot])
  expect(await codeOf((await made.start()).ended)).toBe('changes_gap')
  recorder = await made.start({ onGap: 'accept' })
  await expect.poll(() => recorder.status.isConnected).toBe(true)
  await client.query('insert into a values (4, 4)')
  // Dropped under its hands.
  await client.query('select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1', [slot])
  await expect.poll(() => recorder.status.reconnects).toBe(1)
  await made.finish(recorder)

  await setupChanges(made.config({ slot: `${slot}_lost`, verifySlot: true }), () => {})
  await client.query(`alter system set max_slot_wal_keep_size = '1MB'`)
  await client.query('select pg_reload_conf()')
  for (let i = 0; i < 3; i++) {
    await client.query('insert into a values ($1, 1)', [10 + i])
    await client.query('select pg_switch_wal()')
  }
  await client.query('checkpoint')
  await client.query('alter system reset max_slot_wal_keep_size')
  await client.query('select pg_reload_conf()')
  const lost = { slot: `${slot}_lost`, verifySlot: true }
  const verified = verifyChanges(made.config(lost), { token: 'any' }).catch(String)
  expect(await verified).toMatch(/_lost_verify" was invalidated, because .+ changes setup, which makes it anew\.$/)
  const told: string[] = []
  await setupChanges(made.config(lost), (line) => told.push(line.split(':')[1]!))
  expect(told.slice(1)).toEqual([
    expect.stringMatching(/was invalidated, and is dropped/),
    expect.stringMatching(/made at/),
    expect.stringMatching(/left as it is; nothing can be read from it/),
  ])
  for (const name of [lost.slot, `${lost.slot}_verify`])
    await client.query('select pg_drop_replication_slot($1)', [name])
  recorder = await made.start({ onGap: 'accept' })
  await expect.poll(() => recorder.status.isConnected).toBe(true)
  await client.query('insert into a values (5, 5)')
  await made.finish(recorder)
  // A file of the log is deleted that the slot needs, and the server no more.
  const { rows } = await client.query(
    `select pg_walfile_name(restart_lsn) as file, pg_switch_wal() from pg_replication_slots where slot_name = $1`,
    [slot],
  )
  await client.query('checkpoint')
  rmSync(join(postgres.folder, 'postgres/pg_wal', rows[0].file))
  expect(await codeOf((await made.start()).ended)).toBe('changes_gap')
  recorder = await made.start({ onGap: 'accept' })
  await expect.poll(() => recorder.status.reconnects).toBe(1)
  await client.query('insert into a values (6, 6)')
  await made.finish(recorder)
  const events = await made.events()
  expect(gaps(events).slice(2)).toEqual([
    ...['changes.gap slot_moved', 'changes.gap.accept slot_moved'],
    ...['changes.gap slot_lost', 'changes.gap.accept slot_lost'],
    ...['changes.gap log_missing', 'changes.gap.accept log_missing'],
  ])
  expect(recordedIn(events)).toEqual(['2', '4', '5', '6'])
  const [found, accepted] = events.filter(({ action }) => action.startsWith('changes.gap'))
  expect(found.outcome).toBe('failure')
  expect(accepted.metadata.changes).toMatchObject({
    epoch: 2,
    from: found.metadata.changes.from,
    to: expect.stringMatching(/^0\/[0-9A-F]{8}$/),
  })
})

test('a full spool makes the database wait and not the memory; the alarm is red meanwhile, and the connection stays', async () => {
  await postgres.query(`alter system set wal_sender_timeout = '1s'; `)
  await postgres.query('select pg_reload_conf()')
  const log = await startLog()
  let isAway = true
  log.faults.push(
    ...Array.from(
      { length: 10_000 },
      () =>
        (...args: Parameters<ReturnType<typeof problem>>) =>
          isAway && problem(503, 'overloaded')(...args),
    ),
  )
  const made = await world(TABLE, {
    url: log.url,
    limits: { spoolBytes: 1 << 20, lagBytes: 100_000, lookMs: 50 },
  })
  const { client } = made
  const recorder = await made.start()
  await client.query('insert into a select i, i from generate_series(1, 2000) i')
  const bytes = () => recorder.status.log.spoolBytes
  await expect.poll(bytes).toBeGreaterThan(1 << 20)
  await expect.poll(() => recorder.status.isReady).toBe(false)
  const full = bytes()
  // More than twice as long as the server waits for a word.
  await sleep(2_500)
  expect(bytes()).toBeLessThan(full + (4 << 20))
  expect([recorder.status.isConnected, recorder.status.reconnects, recorder.status.isReady]).toEqual([true, 0, false])
  expect(recorder.status.lagBytes).toBeGreaterThan(100_000)
  expect(made.said.filter((line) => /more than limits.lagBytes/.test(line))).toHaveLength(1)
  isAway = false
  await expect.poll(() => recorder.status.isReady, { timeout: 30_000 }).toBe(true)
  await made.finish(recorder)
  await postgres.query('alter system reset wal_sender_timeout')
  await postgres.query('select pg_reload_conf()')
  expect(made.said.some((line) => /within limits.lagBytes again/.test(line))).toBe(true)
})

test('told to stop while the spool is full, the command ends', async () => {
  const made = await world(TABLE, { admin: { port: 0 }, limits: { spoolBytes: 1 << 20 } })
  const child = await startNode([MAIN, 'changes', '--config', configFile(made)])
  const url = (await child.printed(/records the changes of \S+; (\S+)\/readyz/))[1]!
  await made.client.query('insert into a select i, i from generate_series(1, 3000) i')
  const bytes = async () => Number(/spool_bytes (\d+)/.exec(await (await fetch(`${url}/metrics`)).text())?.[1])
  await expect.poll(bytes).toBeGreaterThan(1 << 20)
  await child.stop(20_000)
  expect(await child.exited, child.output()).toEqual({ code: 0, signal: null })
})

test('while an event for each row is too much for the processor, rows of a transaction share one, and each is there once', async () => {
  const made = await world(TABLE, { group: 'auto' })
  const recorder = await made.start()
  const count = 20_000
  await made.client.query('insert into a values (0, 0)')
  await made.client.query(`insert into a select i, i from generate_series(1, ${count}) i`)
  await made.finish(recorder)
  const events = await made.events()
  const single = ofAction(events, 'changes.insert').map(({ metadata }) => metadata.changes)
  const grouped = ofAction(events, 'changes.transaction').map(({ metadata }) => metadata.changes)
  expect([single.length > 1, grouped.length > 0]).toEqual([true, true])
  const numbers = [...single.slice(1), ...grouped].flatMap(({ first, index }) =>
    Array.from({ length: index - (first ?? index) + 1 }, (_, i) => (first ?? index) + i),
  )
  expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i + 1))
})

test('a server that restarts is waited for, and one that went back to an earlier time is a gap', async () => {
  const made = await world(TABLE, { limits: { reconnectMs: 200 } })
  let recorder = await made.start()
  await made.client.query('insert into a values (1, 1)')
  await made.finish(recorder)
  await made.client.end()
  const data = join(postgres.folder, 'postgres')
  const backup = `${data}.backup`
  // As of a crash, after which the slot does not know that the first event was read.
  const copied = async () => {
    await postgres.query('checkpoint')
    execFileSync('cp', ['-a', data, backup])
    rmSync(join(backup, 'postmaster.pid'))
  }
  await copied()
  const query = async (sql: string) => {
    const client = new pg.Client({ connectionString: made.url })
    await client.connect()
    await client.query(sql).finally(() => client.end())
  }
  const caught = async () => {
    const client = new pg.Client({ connectionString: made.url })
    await client.connect()
    await caughtUp(client, made.slot).finally(() => client.end())
  }
  recorder = await made.start()
  await expect.poll(() => recorder.status.isConnected).toBe(true)
  await query('insert into a values (2, 2)')
  await postgres.restart()
  await query('insert into a values (3, 3)')
  await expect.poll(() => recorder.status.reconnects).toBeGreaterThan(0)
  await caught()
  await recorder.close()
  expect(recordedIn(await made.events())).toEqual(['1', '2', '3'])
  // The backup, which begins a timeline of its own, and soon has more log than was read of the other.
  await postgres.restart(() => {
    rmSync(data, { recursive: true })
    renameSync(backup, data)
    writeFileSync(join(data, 'recovery.signal'), '')
    appendFileSync(join(data, 'postgresql.auto.conf'), "restore_command = '/bin/false'\n")
  })
  const isOver = async () => (await postgres.query('select not pg_is_in_recovery() as is_over')).rows[0].is_over
  await expect.poll(isOver).toBe(true)
  await query(`insert into a select i, i from generate_series(4, 600) i`)
  expect(await codeOf((await made.start()).ended)).toBe('changes_gap')
  expect(gaps(await made.events())).toEqual(['changes.gap database_went_back'])
  recorder = await made.start({}, { acceptGap: true })
  await expect.poll(() => recorder.status.isConnected).toBe(true)
  await query(`insert into a values (5000, 1)`)
  await caught()
  await recorder.close()
  expect(recordedIn(await made.events()).slice(3)).toEqual([
    ...Array.from({ length: 597 }, (_, i) => `${4 + i}`),
    '5000',
  ])
  // A disk that is put back begins no timeline, and has soon more log than was read, too.
  await copied()
  recorder = await made.start()
  await query('insert into a values (6000, 1)')
  await caught()
  await recorder.close()
  await postgres.restart(() => {
    rmSync(data, { recursive: true })
    renameSync(backup, data)
  })
  await query('insert into a select i, i from generate_series(6001, 6400) i')
  for (let i = 0; i < 2; i++) expect(await codeOf((await made.start()).ended)).toBe('changes_gap')
  expect(gaps(await made.events()).slice(2)).toEqual(['changes.gap database_went_back'])
  recorder = await made.start({}, { acceptGap: true })
  await expect.poll(() => recorder.status.isConnected).toBe(true)
  await caught()
  await recorder.close()
  const inNewEpoch = (await made.events()).filter(({ metadata }) => metadata.changes.epoch === 3)
  expect(recordedIn(inNewEpoch).slice(-400)).toEqual(Array.from({ length: 400 }, (_, i) => `${6001 + i}`))
})

test('what is missing is said in a sentence with what to do, and setup makes it', async () => {
  const refusal = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => 'none',
      ({ code, message }) => `${code}: ${message}`,
    )
  const made = await world(`${TABLE}; create table nameless (x int); create table "Odd.name" (x int)`)
  const { client, folder, settings } = made
  const config = (more: object) => checkChangesConfig({ ...settings, ...more } as typeof settings, folder)
  const said: string[] = []
  const run = async (more: object) =>
    (await ChangesRecorder.start(config({ spool: 'other', ...more }), { say: () => {} })).ended
  const setup = (more: object) => setupChanges(config(more), (line) => said.push(line))

  expect(await refusal(setup({ database: inject('postgres') }))).toMatch(
    /^changes_database_unsuitable: wal_level is replica\. Set it: /,
  )
  expect(await refusal(run({ slot: 'none' }))).toMatch(/^changes_slot_missing: .+Run: killick-gateway changes setup$/)
  expect(await refusal(run({ publication: 'none' }))).toMatch(/^changes_publication_missing: /)
  await client.query(`create publication half for table a with (publish = 'insert')`)
  expect(await refusal(run({ publication: 'half' }))).toMatch(/leaves out update, delete, truncate/)
  expect(await refusal(run({ database: `${settings.database}`.replace(/:[^:@]+@/, ':wrong@') }))).toMatch(/^28P01/)
  await client.query(`select pg_create_logical_replication_slot('test_decoding_slot', 'test_decoding')`)
  expect(await refusal(run({ slot: 'test_decoding_slot' }))).toMatch(
    /^changes_slot_unsuitable: .+ is for test_decoding/,
  )
  await client.query(`select pg_drop_replication_slot('test_decoding_slot')`)
  await client.query(`select pg_create_logical_replication_slot('two_phase_slot', 'pgoutput', false, true)`)
  expect(await refusal(run({ slot: 'two_phase_slot' }))).toMatch(/^changes_slot_unsuitable: .+ when they are prepared/)
  await client.query(`select pg_drop_replication_slot('two_phase_slot')`)
  await client.query(`create role plain login password 'plain'`)
  const plain = `${settings.database}`.replace(/\/\/[^@]+@/, '//plain:plain@')
  expect(await refusal(setup({ database: plain }))).toMatch(
    /^changes_database_unsuitable: The user may not replicate\./,
  )
  // The recorder's user may record, and not make a publication.
  await client.query('alter role plain replication')
  const tables = ['public.a']
  expect(await refusal(setup({ database: plain, publication: 'all', tables }))).toMatch(
    /^changes_database_unsuitable: .+ permission denied for database .+ names a superuser$/,
  )
  await client.query('drop role plain')
  const wrong = join(folder, 'wrong.json')
  writeFileSync(wrong, JSON.stringify({ ...settings, database: `${settings.database}`.replace(/\/[^/]*$/, '/none') }))
  const { stderr } = spawnSync(process.execPath, [MAIN, 'changes', 'setup', '--config', wrong], { encoding: 'utf8' })
  expect(stderr).toBe('database "none" does not exist (3D000)\n')
  expect(await refusal(setup({ publication: 'all' }))).toMatch(
    /^changes_identity_missing: .+public\.Odd\.name, public\.nameless/,
  )
  await setup({ publication: 'some', slot: 'some_slot', tables: ['public.a', 'public.nameless'], identity: 'full' })
  expect(said).toEqual([
    expect.stringMatching(/^table public\.a: replica identity full/),
    expect.stringMatching(/^table public\.nameless: replica identity full/),
    'publication some: made for public.a, public.nameless',
    expect.stringMatching(/^slot some_slot: made at 0\/[0-9A-F]{8}, for physical standbys/),
  ])
  const { rows } = await client.query(`select failover, plugin from pg_replication_slots where slot_name = 'some_slot'`)
  expect(rows).toEqual([{ failover: true, plugin: 'pgoutput' }])
  await setup({ publication: 'some', slot: 'some_slot' })
  expect(said.slice(4)).toEqual([
    'publication some: was there, left as it is',
    'slot some_slot: was there, left as it is',
  ])
  await client.query(`select pg_drop_replication_slot('some_slot')`)
  // Whoever uses these tables must not find out that they can no longer be written to.
  await client.query(`create table odd (id int primary key, n int, twice int generated always as (n * 2) virtual)`)
  await client.query(`create table keyless (n int, twice int generated always as (n * 2) virtual)`)
  const odd = { publication: 'odd', slot: 'odd_slot', tables: ['public.odd'], identity: 'full' }
  expect(await refusal(setup({ ...odd, tables: ['public.odd', 'public.keyless'] }))).toMatch(
    /^changes_identity_missing: These tables have virtual generated columns, .+ identity: public\.keyless\. /,
  )
  await client.query('alter table odd replica identity full')
  expect(await refusal(setup({ ...odd, identity: 'keep' }))).toMatch(/^changes_identity_missing: .+: public\.odd\. /)
  await client.query('alter table odd replica identity default')
  said.length = 0
  await setup(odd)
  expect(said[0]).toMatch(
    /^table public\.odd: replica identity left as it is, because of its virtual generated columns/,
  )
  await client.query('insert into odd values (1, 1); update odd set n = 2; delete from odd')
  await client.query(`select pg_drop_replication_slot('odd_slot')`)
  await client.query(`create table parent (id int, n int) partition by range (id);
    create table part partition of parent for values from (0) to (9);
    create table base (id int primary key, n int); create table heir () inherits (base);
    create table deferred (id int primary key deferrable, n int);
    create table bare (id int not null, n int); create unique index bare_id on bare (id);
    alter table bare replica identity using index bare_id; drop index bare_id;
    create table shared (id int primary key, n int, m int); create table bare_shared (id int, n int);
    create table computed (id int primary key, n int, m int generated always as (n * 2) stored);
    create publication other for table shared (id, n), bare_shared (id), computed`)
  const names = ['parent', 'base', 'deferred', 'bare', 'shared', 'computed']
  const others = { publication: 'others', slot: 'others_slot', tables: names.map((name) => `public.${name}`) }
  expect(await refusal(setup(others))).toMatch(
    /^changes_identity_missing: .+: public\.bare, public\.deferred, public\.heir, public\.parent, public\.part\. /,
  )
  const withBare = { ...others, tables: [...others.tables, 'public.bare_shared'], identity: 'full' }
  expect(await refusal(setup(withBare))).toMatch(
    /^changes_identity_missing: Another publication .+: public\.bare_shared\. /,
  )
  said.length = 0
  await setup({ ...others, identity: 'full' })
  expect(
    said.filter((line) => line.includes('another publication leaves out')).map((line) => line.split(':')[0]),
  ).toEqual(['table public.computed', 'table public.shared'])
  for (const name of [...names, 'heir'])
    await client.query(`insert into ${name} (id, n) values (1, 1); update ${name} set n = 2; delete from ${name}`)
  await client.query(`select pg_drop_replication_slot('others_slot')`)
  const faults = () => config({ slot: 'Bad-Slot', exclude: ['a.b'], mode: 'observe', spool: 'x-{worker}', odd: 1 })
  expect(faults).toThrow(
    /\/mode is not a setting: .+\n- \/slot must be .+\n- \/exclude must be .+\n- \/spool may not .+\n- \/odd is not a setting$/,
  )
})

test('neither setup nor the recorder makes others wait, or waits for ever for a table or for transactions of others', async () => {
  const made = await world(`${TABLE}; create table held (id int)`)
  const { client, config, slot } = made
  const other = new pg.Client({ connectionString: made.url })
  await other.connect()
  onTestFinished(() => other.end())
  const waiting = async () =>
    (await client.query('select from pg_locks join pg_class c on c.oid = relation where not granted')).rowCount
  const setup = (more: JsonObject) =>
    setupChanges(config(more), () => {}, { patienceMs: 1 }).catch(({ code, message }) => `${code}: ${message}`)
  const held = { publication: 'held', slot: 'held_slot', tables: ['public.held'], identity: 'full' }
  await other.query('begin; select from held')
  const { rows } = await other.query('select pg_backend_pid() as pid')
  const who = `while transactions of others are open, of the processes ${rows[0].pid} \\(since 2.+Z\\)\\. `
  expect(await setup(held)).toMatch(
    new RegExp(`^changes_database_busy: The replica identity of public\\.held cannot be set ${who}`),
  )
  expect(await waiting()).toBe(0)
  await other.query('select pg_current_xact_id()')
  expect(await setup({ slot: 'held_slot' })).toMatch(
    new RegExp(`^changes_database_busy: The slot held_slot cannot be made ${who}`),
  )
  await other.query('rollback')
  const known = `select from pg_replication_slots where slot_name = 'held_slot'`
  expect((await client.query(known)).rowCount).toBe(0)

  const recorder = await made.start({ limits: { drainMs: 0, lookMs: 50 } })
  await expect.poll(() => recorder.status.isConnected).toBe(true)
  const standbys = async (sql: string) => {
    await client.query(`alter system ${sql}`)
    await client.query('select pg_reload_conf()')
  }
  await standbys(`set synchronous_standby_names = '*'`)
  try {
    await expect.poll(() => made.said.filter((each) => each.includes('synchronous standby')).length).toBe(1)
  } finally {
    await standbys('reset synchronous_standby_names')
  }
  await other.query('begin; lock table held in access exclusive mode')
  await expect.poll(waiting, { interval: 20, timeout: 5_000 }).toBe(1)
  await expect.poll(waiting, { interval: 20, timeout: 5_000 }).toBe(0)
  await client.query('insert into a values (1, 1)')
  await caughtUp(client, slot)
  await other.query('alter table held replica identity full; commit')
  await made.finish(recorder)
  expect(recorder.status.reconnects).toBe(0)
  expect(recordedIn(await made.events())).toEqual(['1'])
})

test('a transaction that ends with a page of the log is caught up with', async () => {
  const made = await world(TABLE)
  const { client } = made
  const recorder = await made.start()
  const where = async () => {
    const { rows } = await client.query(
      'select pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn() as ahead, pg_current_wal_insert_lsn()::text as lsn',
    )
    return { isAhead: Number(rows[0].ahead) > 0, left: 8192 - (Number.parseInt(rows[0].lsn.split('/')[1], 16) % 8192) }
  }
  const toTheEnd = async () => {
    let n = 0
    // A message and its commit take 94 bytes or a little more beside the text; which sizes come to the end of a page is found by trying.
    for (let at = await where(); !at.isAhead; at = await where()) {
      expect(n).toBeLessThan(2_000)
      const length = Math.max(1, at.left - 94 - (n % 100))
      await client.query(`select pg_logical_emit_message(true, 'x', repeat('y', $1::int))`, [length])
      n += 1
    }
  }
  // Every 15 s the server writes something of its own, so that there is a next page after all.
  await expect
    .poll(async () => {
      await toTheEnd()
      await caughtUp(client, made.slot)
      return (await where()).isAhead
    })
    .toBe(true)
  await made.finish(recorder)
})

test('a message of no transaction is no gap, and the commit that follows it is recorded whole, behind a restart too', async () => {
  const made = await world('create table t (id int primary key)')
  const recorder = await made.start()
  const { recorded } = recorder.status
  await made.client.query('begin; insert into t values (1)')
  // At once on disk, from PostgreSQL 17 on: nothing else may come between it and the commit.
  await made.client.query("select pg_logical_emit_message(false, 'killick', '{}', true)")
  await expect.poll(() => recorder.status.recorded, { timeout: 5_000 }).toBeGreaterThan(recorded)
  await made.finish(recorder)
  await made.client.query('commit')
  const again = await made.start()
  await made.client.query('insert into t values (2)')
  await made.finish(again)
  const events = (await made.events()).filter(({ metadata }) => /row|message/.test(metadata.changes.kind))
  expect(events.map(({ action }) => action)).toEqual(['changes.message.invalid', 'changes.insert', 'changes.insert'])
  expect(new Set(events.map(({ metadata }) => metadata.changes.commitLsn)).size).toBe(3)
})

test('what is published is noticed when it changes, changed back too', async () => {
  const made = await world(
    `${TABLE}; create unlogged table fast (id int primary key); create table b (id int primary key);
     create table parts (x int) partition by list (x); create table part partition of parts default partition by list (x);
     create table leaf partition of part default`,
    {
      ...{ tables: ['public.a'], publication: 'watched' },
      limits: { lookMs: 50 },
    },
  )
  const { client } = made
  const recorder = await made.start()
  await expect.poll(() => recorder.status.recorded + recorder.status.log.recorded).toBeGreaterThan(1)
  const publications = () => recorder.status.log.recorded
  const before = publications()
  await client.query('alter publication watched drop table a; alter publication watched add table a')
  await expect.poll(publications).toBe(before + 1)
  await client.query('alter publication watched add table b (id) where (id > 3)')
  await expect.poll(publications).toBe(before + 2)
  await client.query('alter publication watched add table parts')
  await expect.poll(publications).toBe(before + 3)
  await client.query(
    'alter table parts detach partition part; update part set x = 0; alter table parts attach partition part default',
  )
  await expect.poll(publications).toBe(before + 4)
  await client.query('drop publication watched')
  expect(await codeOf(recorder.ended)).toBe('changes_publication_missing')
  const [first, back, added, parts, attached, gone] = ofAction(await eventsIn(made.folder), 'changes.publication')
  expect(first.metadata.changes.notRecorded).toEqual([
    { table: 'public.b', why: 'not_published' },
    { table: 'public.fast', why: 'unlogged' },
    { table: 'public.leaf', why: 'not_published' },
    { table: 'public.part', why: 'not_published' },
    { table: 'public.parts', why: 'not_published' },
  ])
  // A partition of partitions has no rows but theirs.
  expect(parts.metadata.changes.notRecorded).toEqual([{ table: 'public.fast', why: 'unlogged' }])
  for (const { changes } of [back, attached]) expect(changes.map(({ path }: Told) => path)).toEqual(['/revision'])
  expect(added.changes[1]).toEqual({
    path: '/tables/public.b',
    after: { ...{ identity: 'default', columns: ['id'], filter: '(id > 3)' }, ...DESCRIBED },
  })
  expect(gone.changes.every((change: Told) => change.after === undefined)).toBe(true)
})

test('what makes other rows of those that there are, or rows that no stream tells, is noticed too', async () => {
  const { client } = await world(
    `create table a (id int primary key, x int); create table words (id int primary key, word text); create index on words (word);
     create table parts (x int) partition by list (x); create type mood as enum ('yes', 'no'); create publication few for table a, parts`,
  )
  const noticed = async (publication: string, sql: string) => {
    const before = (await publicationFacts(client, publication))!
    await client.query(sql)
    return differences(before, (await publicationFacts(client, publication))!)
  }
  const paths = async (sql: string) => (await noticed('killick', sql)).map(({ path }) => path)
  expect(
    await noticed('killick', 'begin; drop table a cascade; create table a (id int primary key, x int); commit'),
  ).toEqual([
    {
      path: '/tables/public.a',
      before: { identity: 'default', columns: ['id', 'x'], ...DESCRIBED },
      after: { identity: 'default', columns: ['id', 'x'], ...DESCRIBED },
    },
  ])
  expect(await paths('alter table a alter column x type int using x * 7')).toEqual(['/tables/public.a'])
  expect(await paths('alter table a drop column x, add column x int default 666')).toEqual(['/tables/public.a'])
  expect(await paths('alter table a rename to b; create table a (like b including all); drop table b')).toEqual([
    '/tables/public.a',
  ])
  expect(await paths('alter table words set unlogged; alter table words set logged')).toEqual(['/tables/public.words'])
  expect(await noticed('killick', `alter type mood rename value 'yes' to 'perhaps'`)).toEqual([
    { path: '/enumerations/public.mood', before: ['yes', 'no'], after: ['perhaps', 'no'] },
  ])
  expect(await paths('create unlogged table part partition of parts default')).toEqual(['/revision'])
  // PostgreSQL says that it is published.
  await client.query('alter publication few add table a')
  expect((await publicationFacts(client, 'few'))!['/tables/public.part']).toMatchObject({ unlogged: true })
  expect((await noticed('few', 'create table heir () inherits (a)')).map(({ path }) => path)).toEqual(['/revision'])
  expect(await unpublishedTables(client, 'few')).toEqual([
    { table: 'public.heir', why: 'not_published' },
    { table: 'public.part', why: 'unlogged' },
    { table: 'public.words', why: 'not_published' },
  ])
  // What is done in the usual keeping of tables is nothing of that.
  for (const sql of [
    'vacuum full words',
    'cluster words using words_word_idx',
    'truncate words',
    'vacuum full pg_attribute',
  ])
    expect(await paths(sql), sql).toEqual([])
})

test('nothing that others have named like what is PostgreSQL’s own is used, whatever the database is set to', async () => {
  const made = await world(
    `${TABLE}; create table ran (); create schema shadow; create table shadow.pg_publication (oid oid, pubname name);
     create function joined(name, text) returns text language plpgsql as 'begin insert into public.ran default values; return $1; end';
     create operator || (leftarg = name, rightarg = text, function = joined)`,
  )
  const { client } = made
  await client.query(
    `do $$ begin execute format('alter database %I set search_path = shadow, pg_catalog, public', current_database()); end $$`,
  )
  const recorder = await made.start()
  await expect.poll(() => recorder.status.isConnected).toBe(true)
  await made.finish(recorder)
  // By setup, with the rights of a superuser, and by the recorder.
  expect((await client.query('select from ran')).rowCount).toBe(0)
})

test('the ledger is held against the log of the database: what it lacks is found, and what is whole is let go', async () => {
  const service = await testService()
  onTestFinished(() => service.stop())
  const made = await world(TABLE, { url: service.url, verifySlot: true, limits: { drainMs: 20_000 } })
  const { client, folder, slot } = made
  onTestFinished(async () => {
    await postgres.query(`select pg_drop_replication_slot('${slot}_verify')`)
  })
  const jwk = publicJwk(JSON.parse(readFileSync(join(folder, 'key.json'), 'utf8')))
  await register(service.url, 'ledger-db', [{ jwk }])
  const file = configFile(made)
  const printed: string[] = []
  const verify = async (...args: string[]) => {
    printed.length = 0
    process.env.KILLICK_TOKEN = READER
    const ends = { print: (text: string) => printed.push(text), say: () => {}, stop: new AbortController().signal }
    return runChanges(['verify', '--config', file, ...args], ends).finally(() => delete process.env.KILLICK_TOKEN)
  }
  let recorder = await made.start()
  // As a subscription does whose publisher has another time.
  await client.query(
    `select pg_replication_origin_create('${slot}'), pg_replication_origin_session_setup('${slot}'); begin`,
  )
  await client.query("select pg_replication_origin_xact_setup('0/1', now() + interval '1 day')")
  await client.query('insert into a values (0, 0); commit; select pg_replication_origin_session_reset()')
  await client.query('insert into a values (1, 1), (2, 2); update a set x = 3 where id = 1')
  await client.query('begin')
  await contextIn(client, { actor: { type: 'user', id: 'ada' } })
  await recordIn(client, { action: 'a.b', actor: { type: 'user', id: 'ada' } })
  await client.query('delete from a where id = 2; commit')
  await client.query(`insert into a select i, i from generate_series(10, 60) i`)
  await client.query(`select pg_logical_emit_message(true, 'killick.context', 'none')`)
  await client.query('truncate a')
  await made.finish(recorder)
  const { rows } = await client.query('select pg_current_wal_lsn()::text as lsn')
  expect(await verify('--from', '0/1')).toBe(0)
  expect(printed.join('')).toMatch(
    /^from \S+ to \S+: 6 transactions with 59 changes in the log of the database\n {2}delete public\.a: 1\n {2}insert public\.a: 54\n {2}message: 2\n {2}truncate: 1\n {2}update public\.a: 1\nnot checked, since the log is not there any more: 0\/00000001 to \S+\ncomplete: /,
  )
  // What is not compared is not forgotten.
  await expect(verify('--from', rows[0].lsn, '--advance')).rejects.toThrow('which --from leaves out')
  expect(await verify('--from', '0/1', '--json')).toBe(0)
  expect(JSON.parse(printed.join('')).transactions).toBe(6)
  // Somebody moves the slot, so that one change is never read, and says that this may be.
  await client.query('insert into a values (3, 3)')
  await client.query('select pg_replication_slot_advance($1, pg_current_wal_lsn())', [slot])
  recorder = await made.start({ onGap: 'accept' })
  await expect.poll(() => recorder.status.isConnected).toBe(true)
  await client.query('insert into a values (4, 4)')
  await made.finish(recorder)
  expect(await verify('--json', '--advance')).toBe(1)
  const result = JSON.parse(printed.join(''))
  expect([result.missing.count, result.different.count, result.unexpected.count, result.transactions]).toEqual([
    1, 0, 0, 8,
  ])
  // Before it sends what was committed, a server may say that it has sent all before the place of the commit.
  const [commit] = result.missing.first
  const { start } = Replication.prototype
  const spied = vi.spyOn(Replication.prototype, 'start').mockImplementationOnce(function (
    this: Replication,
    how,
    events,
  ) {
    events.keepalive(parseLsn(commit)!, false)
    const later = {
      data: (bytes: Buffer, lsn: bigint) => void setTimeout(events.data, 100, Buffer.from(bytes), lsn),
      keepalive: (end: bigint, isAsked: boolean) => void setTimeout(events.keepalive, 100, end, isAsked),
    }
    return start.call(this, how, later)
  })
  expect(await verify('--from', commit, '--to', commit)).toBe(1)
  spied.mockRestore()
  // A range that has nothing is not complete.
  await expect(verify('--to', '0/1')).rejects.toThrow('up to --to 0/00000001: it begins at')
  await expect(verify('--from', 'FF/1')).rejects.toThrow('before --from FF/00000001')
  await expect(verify('--from', commit, '--to', rows[0].lsn)).rejects.toThrow('is behind --to')
  // Whoever has read from the slot keeps it for a moment, as the server sees it.
  const holder = await Replication.connect(made.config().database)
  const held = { slot: `${slot}_verify`, publication: 'watched', from: 0n, statusMs: 1_000 }
  await holder.start(held, { data: () => {}, keepalive: () => {} })
  const waiting = verify('--to', rows[0].lsn, '--advance')
  const looks = `select from pg_stat_activity where query like '%from pg_replication_slots where slot_name%' and pid <> pg_backend_pid()`
  await Promise.race([waiting, expect.poll(async () => (await client.query(looks)).rowCount).toBe(1)])
  await holder.close()
  expect(await waiting).toBe(0)
  expect(await verify('--json')).toBe(1)
  expect(JSON.parse(printed.join(''))).toMatchObject({
    transactions: 2,
    missing: { count: 1, first: result.missing.first },
    unread: 0,
  })
  // What was erased is still in the ledger, and does not show it.
  const { events } = (await call(service.url, '/v1/events?action=changes.insert&limit=1')).json
  const order = { ids: [events[0].id], fields: ['metadata'], reason: 'test' }
  const headers = { 'content-type': 'application/json' }
  const sent = { method: 'POST', headers, body: JSON.stringify(order) }
  const { json } = await call(service.url, '/v1/erasures', ERASER, sent)
  await expect.poll(async () => (await call(service.url, `/v1/erasures/${json.id}`)).json.state).toBe('done')
  expect(await verify()).toBe(1)
  expect(printed.join('')).toMatch(/^2 transactions are not in the ledger.+\n1 events of ledger-db do not show which/m)
  expect(await codeOf(runChanges(['verify', '--config', file, '--odd'], {} as never))).toBe('gateway_start_failed')
})
