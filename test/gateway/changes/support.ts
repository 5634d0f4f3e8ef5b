import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ChangesConfig, ChangesRecorder, checkChangesConfig, setupChanges } from '@killick/gateway'
import { generateKey, openAuditLog, writeKeyFile } from '@killick/sdk'
import { type JsonObject, type ParsedEvent, parseEvent } from '@killick/sdk/core'
import pg from 'pg'
import { expect, onTestFinished } from 'vitest'
import { type Cluster, startCluster } from '../../../anchor-service/src/database/embedded/cluster.ts'
import { NOWHERE } from '../support.ts'

let cluster: Cluster
let begin: (folder: string) => Promise<Cluster> = startCluster
let made = 0

/** A PostgreSQL of its own whose log can be decoded, for all tests of this folder: to make one takes longer than most of them. */
export const postgres = {
  folder: '',
  /** @param server starts it on a folder; default: the one that the service brings along */
  async start(server: (folder: string) => Promise<Cluster> = startCluster): Promise<void> {
    begin = server
    postgres.folder = mkdtempSync(join(tmpdir(), 'killick-changes-pg-'))
    cluster = await begin(postgres.folder)
    const { username, password } = new URL(await cluster.databaseUrl('postgres'))
    // Servers before 16 have no such setting, and 4,096 rounds.
    if (server === startCluster)
      await postgres.query(`set scram_iterations = 1; alter role ${username} password '${password}'`)
    const settings = "wal_level = 'logical'\nmax_replication_slots = 40\n"
    await postgres.restart(() => appendFileSync(join(postgres.folder, 'postgres', 'postgresql.auto.conf'), settings))
  },
  async stop(): Promise<void> {
    await cluster.close()
    rmSync(postgres.folder, { recursive: true, force: true })
  },
  /** @param between what is done while it is stopped */
  async restart(between: () => void = () => {}): Promise<void> {
    await cluster.close()
    between()
    cluster = await begin(postgres.folder)
  },
  /** URL of a fresh database. @param encoding default: UTF8 */
  async database(encoding = 'UTF8'): Promise<string> {
    const name = `changes_${++made}`
    if (encoding !== 'UTF8')
      await postgres.query(`create database ${name} template template0 locale 'C' encoding '${encoding}'`)
    return cluster.databaseUrl(name)
  },
  async query(sql: string): Promise<pg.QueryResult> {
    const client = new pg.Client({ connectionString: await cluster.databaseUrl('postgres') })
    await client.connect()
    return client.query(sql).finally(() => client.end())
  },
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into it
export type Told = any

export type World = {
  readonly folder: string
  readonly url: string
  readonly client: pg.Client
  readonly slot: string
  readonly config: (more?: JsonObject) => ChangesConfig
  readonly settings: JsonObject
  /** Runs a recorder in this process. */
  start(more?: JsonObject, options?: { acceptGap?: boolean }): Promise<ChangesRecorder>
  /** Stops it when it has recorded everything that was committed so far. */
  finish(recorder: ChangesRecorder): Promise<void>
  /** Everything recorded, in order; no recorder may run. */
  events(): Promise<Told[]>
  readonly said: string[]
}

let worlds = 0

/**
 * A database with tables, a key, a spool and a configuration. Nothing leaves the spool, so all of it can be read there.
 * @param encoding of the database
 */
export async function world(tables: string, more: JsonObject = {}, encoding?: string): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'killick-changes-'))
  const url = await postgres.database(encoding)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(tables)
  await writeKeyFile(join(folder, 'key.json'), generateKey())
  const slot = `killick_${++worlds}`
  const settings: JsonObject = {
    ...{ url: NOWHERE, source: 'ledger-db', key: 'key.json', spool: 'spool', database: url, slot, group: 'row' },
    ...more,
    limits: { drainMs: 0, ...(more.limits as JsonObject) },
  }
  const said: string[] = []
  const running = new Set<ChangesRecorder>()
  const config = (changed: JsonObject = {}) => checkChangesConfig({ ...settings, ...changed }, folder)
  await setupChanges(config(), () => {}, { force: true })
  onTestFinished(async () => {
    for (const recorder of running) await recorder.close().catch(() => {})
    await client.end().catch(() => {})
    await postgres.query(
      `select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '${slot}' and not active`,
    )
    rmSync(folder, { recursive: true, force: true })
  })
  return {
    ...{ folder, url, client, slot, config, settings, said },
    async start(changed = {}, options = {}) {
      const recorder = await ChangesRecorder.start(config(changed), { say: (text) => said.push(text), ...options })
      running.add(recorder)
      return recorder
    },
    async finish(recorder) {
      const failed = recorder.ended.then(() => Promise.reject(new Error('it has ended before')))
      await Promise.race([caughtUp(client, slot), failed])
      failed.catch(() => {})
      await recorder.close()
      running.delete(recorder)
      // The server sees the end of the connection a moment later, and lets nobody drop or move the slot before.
      const active = 'select from pg_replication_slots where slot_name = $1 and active'
      await expect.poll(async () => (await client.query(active, [slot])).rowCount).toBe(0)
    },
    events: () => eventsIn(folder),
  }
}

/**
 * Resolves when the slot has nothing left to say of what is committed now. Not asked for is where the next record would be inserted: behind a
 * record that ends with a page of the log that is behind the next page's head, which no slot reaches before something more is written. What is
 * flushed may end within a record, as behind hints that a mere read has left: then a transaction without changes, which writes its end, helps.
 */
export async function caughtUp(client: pg.Client, slot: string): Promise<void> {
  const { rows } = await client.query('select pg_current_wal_flush_lsn()::text as lsn')
  let asked = 0
  await expect
    .poll(
      async () => {
        if (++asked % 200 === 0) await client.query('select pg_current_xact_id()')
        const { rows: at } = await client.query(
          'select confirmed_flush_lsn >= $1::pg_lsn as is_done from pg_replication_slots where slot_name = $2',
          [rows[0].lsn, slot],
        )
        return at[0]?.is_done
      },
      { interval: 30 },
    )
    .toBe(true)
}

/** Everything in the spool of a folder, in order. */
export async function eventsIn(folder: string): Promise<Told[]> {
  const found: ParsedEvent[] = []
  const spool = await openAuditLog({
    ...{ url: NOWHERE, source: 'ledger-db', key: join(folder, 'key.json'), spool: join(folder, 'spool') },
    onError: () => {},
    onFound: (event) => void found.push(parseEvent(event)),
  })
  await spool.close({ timeoutMs: 0 })
  return found.map(({ id, fields }) => ({ id, ...fields }))
}

export const ofAction = (events: readonly Told[], action: string): Told[] =>
  events.filter((event) => event.action === action)

/** A configuration as a file, for the command. */
export function configFile({ folder, settings }: World): string {
  const file = join(folder, 'changes.json')
  writeFileSync(file, JSON.stringify(settings))
  return file
}
