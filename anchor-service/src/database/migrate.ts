import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import pg from 'pg'
import { StartError } from '../errors.ts'
import { isOutage, isTlsFault } from './outage.ts'
import { changesSessions } from './pooler.ts'

/** The role of the service: it may only select and insert in schema `killick`. */
export const LEDGER_ROLE = 'killick_ledger'

const FOLDER = new URL('./migrations/', import.meta.url)
const MIGRATION_LOCK = 7_019_319
/** Longest time that the migrations of another process are waited for, ms. */
const PATIENCE_MS = 60_000
/** After this, PostgreSQL ends the session of a process that is frozen amid its migrations, and with it the lock. Less than `PATIENCE_MS` */
const IDLE = '30s'
/** Longest time until a database that takes a connection answers, ms. */
const CONNECT_MS = 10_000
/** The oldest PostgreSQL that has what the ledger uses: from it on a role can be granted without the right to inherit from it. */
const OLDEST = 16
/** What a database may be in: all that events say, or bytes that nobody looks into. */
const ENCODINGS = ['UTF8', 'SQL_ASCII']

export type MigrationReport = {
  /** Names of the migrations that this call applied. */
  applied: string[]
  /** False if the database user may not create roles: then only the triggers keep the ledger append-only. */
  hasRole: boolean
}

/**
 * Brings the schema `killick` up to date: forward only, each migration once, all in one transaction, under a lock, so that
 * several processes may start together. Safe to run at every start.
 *
 * @param patienceMs how long another process that migrates is waited for. Default 60,000
 * @throws StartError, and changes nothing, if no database can be reached, it is too old or in an encoding that cannot hold events, a
 * pooler gives each transaction another session, another process migrates for too long, another program or a newer version made the
 * schema, or a version with a different file of the same name, or it is not as its migrations have left it
 */
export async function migrate(databaseUrl: string, patienceMs = PATIENCE_MS): Promise<MigrationReport> {
  try {
    return await migrated(databaseUrl, patienceMs)
  } catch (error) {
    throw describeOutage(error as Error)
  }
}

async function migrated(databaseUrl: string, patienceMs: number): Promise<MigrationReport> {
  const client = await connect(databaseUrl)
  try {
    await refuseServer(client, databaseUrl)
    await client.query(`set idle_session_timeout = '${IDLE}'; set idle_in_transaction_session_timeout = '${IDLE}'`)
    await takeTurn(client, patienceMs)
    // Before anything is made, the role too, which all databases of the server share.
    const pending = await readPending(client)
    const hasRole = await ensureRole(client)
    await client.query('begin')
    const applied = await applyMigrations(client, pending)
    if (hasRole) await grant(client)
    await client.query('commit')
    return { applied, hasRole }
  } finally {
    await client.end()
  }
}

/** @throws StartError if another process keeps the migrations for longer than `patienceMs` */
async function takeTurn(client: pg.Client, patienceMs: number): Promise<void> {
  try {
    await client.query(`set lock_timeout = ${patienceMs}`)
    await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK])
    await client.query('reset lock_timeout')
  } catch (error) {
    if ((error as pg.DatabaseError).code !== '55P03') throw error
    const { rows } = await client.query<{ pid: number }>(
      `select pid from pg_locks where locktype = 'advisory' and granted and classid = 0 and objid = $1
         and database = (select oid from pg_database where datname = current_database())`,
      [MIGRATION_LOCK],
    )
    const holders = rows.map(({ pid }) => pid).join(', ') || 'which has ended'
    throw new StartError(
      `Another process has been migrating this database for more than ${patienceMs / 1000} s (PostgreSQL session ${holders}; pg_stat_activity says where it came from). Start again when it is done, or end it if it hangs.`,
    )
  }
}

/** @throws StartError if a file that the address names, such as `sslrootcert`, cannot be read */
function openClient(databaseUrl: string): pg.Client {
  try {
    return new pg.Client({
      ...{ connectionString: databaseUrl, application_name: 'killick migrations' },
      connectionTimeoutMillis: CONNECT_MS,
    })
  } catch (error) {
    throw new StartError(`DATABASE_URL: ${(error as Error).message}.`)
  }
}

async function connect(databaseUrl: string): Promise<pg.Client> {
  const client = openClient(databaseUrl)
  // A connection that breaks between two statements: the next one fails.
  client.on('error', () => {})
  await client.connect()
  return client
}

/** A sentence for the usual reasons why a database cannot be reached; its URL may hold a password and is not shown. */
function describeOutage(error: Error & { code?: string }): Error {
  const { code = '', message } = error
  // pg says so itself where PostgreSQL asks for a password and there is none, and gives no code.
  if (/^(28P01|28000|3D000|42501)$/.test(code) || message.startsWith('SASL: '))
    return new StartError(`DATABASE_URL: PostgreSQL refuses: ${message}.`)
  if (!isOutage(error)) return error
  if (isTlsFault(error)) return new StartError(`DATABASE_URL: no TLS with the PostgreSQL there: ${message} (${code}).`)
  return error instanceof pg.DatabaseError
    ? new StartError(`DATABASE_URL: PostgreSQL is not ready: ${message} (${code}). Start again when it is.`)
    : new StartError(
        `DATABASE_URL: no PostgreSQL answers there (${code || message}). Start it, or correct the address.`,
      )
}

async function refuseServer(client: pg.Client, databaseUrl: string): Promise<void> {
  const { rows } = await client.query<{ version: string; encoding: string; pid: number }>(
    `select current_setting('server_version') as version, current_setting('server_encoding') as encoding, pg_backend_pid() as pid`,
  )
  const { version, encoding, pid } = rows[0]!
  if (Number.parseInt(version, 10) < OLDEST)
    throw new StartError(`The database is a PostgreSQL ${version}; the ledger needs ${OLDEST} or later (DATABASE_URL).`)
  if (!ENCODINGS.includes(encoding))
    throw new StartError(
      `The database is in ${encoding}, which cannot hold all that events say. Give DATABASE_URL one that is made with: create database … template template0 encoding 'UTF8'`,
    )
  if (await changesSessions(client, pid, () => connect(databaseUrl)))
    throw new StartError(
      'DATABASE_URL leads to a pooler that gives a connection another session for each transaction, where the locks and settings of the ledger would be lost. Give the address of PostgreSQL itself, or of a pool that leaves each connection its session (pgbouncer: pool_mode = session).',
    )
}

type Migration = { name: string; sql: string; checksum: string }

/**
 * The migrations that are to be applied. Reads only.
 * @throws StartError if another program, or a version that this one cannot follow, has made the schema
 */
async function readPending(client: pg.Client): Promise<Migration[]> {
  const { rows: tables } = await client.query<{ name: string; columns: string[] }>(
    `select relname as name, array(select attname::text from pg_attribute where attrelid = c.oid and attnum > 0) as columns
     from pg_class c where relnamespace = to_regnamespace('killick') and relkind in ('r', 'p', 'v', 'm', 'f')`,
  )
  const migrations = await readMigrations()
  if (tables.length === 0) return migrations
  const own = tables.find(({ name }) => name === 'migrations')?.columns ?? []
  if (!['name', 'checksum'].every((column) => own.includes(column)))
    throw new StartError(
      'The database has a schema "killick" with tables of another program, which the ledger does not touch. Use another database (DATABASE_URL).',
    )
  const { rows } = await client.query<Migration>('select name, checksum from killick.migrations')
  const done = new Map(rows.map((row) => [row.name, row.checksum]))
  const unknown = [...done.keys()].filter((known) => !migrations.some(({ name }) => name === known))
  if (unknown.length > 0)
    throw new StartError(
      `The database has been migrated by a newer version (${unknown.join(', ')}); this one cannot open it. Start that version.`,
    )
  const differing = migrations.find(({ name, checksum }) => done.has(name) && done.get(name) !== checksum)
  if (differing !== undefined)
    throw new StartError(
      `The database was made by another version, whose ${differing.name} is not the one of this version, which therefore cannot open it. Start that version.`,
    )
  return migrations.filter(({ name }) => !done.has(name))
}

/**
 * @returns the names of what it applied
 * @throws StartError if the schema is not as those that it lists have left it, as where rows of that list were lost
 */
async function applyMigrations(client: pg.Client, pending: readonly Migration[]): Promise<string[]> {
  await client.query(`
    create schema if not exists killick;
    set local search_path = killick;
    create table if not exists migrations (
      name text primary key, checksum text not null);`)
  for (const { name, sql, checksum } of pending) {
    await client.query(sql).catch((error: Error & { code?: string }) => {
      // 42: something is there already, or is missing.
      if (!error.code?.startsWith('42') || error.code === '42501') throw error
      throw new StartError(
        `The schema "killick" is not as the migrations that it lists have left it: ${name} cannot be applied: ${error.message}. Nothing was changed. Restore a whole backup.`,
      )
    })
    await client.query('insert into migrations (name, checksum) values ($1, $2)', [name, checksum])
  }
  return pending.map(({ name }) => name)
}

/** The migrations of this version, in order, each with its SHA-256 in hex. */
export async function readMigrations(): Promise<Migration[]> {
  const names = (await readdir(FOLDER)).filter((name) => name.endsWith('.sql')).sort()
  return Promise.all(
    names.map(async (name) => {
      const sql = await readFile(new URL(name, FOLDER), 'utf8')
      return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
    }),
  )
}

async function ensureRole(client: pg.Client): Promise<boolean> {
  const exists = async () =>
    (await client.query('select from pg_roles where rolname = $1', [LEDGER_ROLE])).rowCount === 1
  try {
    if (!(await exists())) await client.query(`create role ${LEDGER_ROLE} nologin`)
  } catch (error) {
    // Another database of this cluster may have been migrated at the same moment.
    if (!(await exists())) {
      if ((error as pg.DatabaseError).code === '42501') return false
      throw error
    }
  }
  const { rows } = await client.query(`select pg_has_role(current_user, '${LEDGER_ROLE}', 'set') as member`)
  if (rows[0].member) return true
  return client.query(`grant ${LEDGER_ROLE} to current_user with set true`).then(
    () => true,
    () => false,
  )
}

async function grant(client: pg.Client): Promise<void> {
  await client.query(`
    grant usage on schema killick to ${LEDGER_ROLE};
    grant select, insert on all tables in schema killick to ${LEDGER_ROLE};
    grant select on all sequences in schema killick to ${LEDGER_ROLE};
    revoke insert on killick.migrations from ${LEDGER_ROLE}`)
}
