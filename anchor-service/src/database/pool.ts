import pg from 'pg'
import { LEDGER_ROLE } from './migrate.ts'

// Log sizes and indices are int8. Beyond 2^53 the service would round them, so it stops there.
function parseInt8(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new RangeError(`${text} exceeds 2^53`)
  return value
}

const types: pg.CustomTypesConfig = {
  getTypeParser: (oid: number, format?: 'text' | 'binary') =>
    oid === pg.types.builtins.INT8 ? parseInt8 : pg.types.getTypeParser(oid, format as 'text'),
}

/**
 * PostgreSQL asks a connection that is silent for 30 s whether its peer is there, and gives it up after a minute. As it comes, it takes the
 * peer to be there for two hours, and what holds a lock for as long as its session lasts (the audit, an erasure) would be done by nobody.
 */
const ALIVE =
  'set tcp_keepalives_idle = 30; set tcp_keepalives_interval = 10; set tcp_keepalives_count = 3; set tcp_user_timeout = 60000'

/** A pool or one of its connections. */
export type Db = Pick<pg.Pool, 'query'>

/** How long PostgreSQL may take for a statement, s. */
const STATEMENT_S = 60
/**
 * How long a transaction may wait for its next statement, s: the log's lock is held in one, and a process that was frozen, or whose machine
 * is gone without a word, would keep all others from committing. Half of `STATEMENT_S`, so that who waits for the lock gets it.
 */
const IDLE_S = 30
/**
 * How long a session may wait for its next statement, s: a lock that is held for as long as its session lasts (the audit, an erasure, a target's
 * worker) would else be kept by a process that was frozen, and nobody would do its work. Who holds one and waits says so: `keepSession`.
 */
const SESSION_S = 60
/** How often a session that is to be kept says something, ms. */
const BEAT_MS = (1000 * SESSION_S) / 4
/**
 * How long until an answer is given up, ms. PostgreSQL ends a statement before that; but one that has stopped, or whose machine is gone
 * without a word, would be waited for as long as the connection is taken to be open.
 */
const ANSWER_MS = 1000 * (STATEMENT_S + 5)

/**
 * What a database or a role may have set otherwise: how times and numbers are printed, how the catalogue's names and texts are, which the audit
 * holds against what they were, what a waiting commit sees once it has the log's lock, and that a commit which has answered is on the
 * disk. Who commits to replicas too, or to this server alone, has a say in that.
 */
const MEANT = `set datestyle = 'ISO'; set extra_float_digits = 1; set default_transaction_isolation = 'read committed';
  set bytea_output = 'hex'; set quote_all_identifiers = off; set standard_conforming_strings = on;
  select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'`

/** Connections to the ledger, in schema `killick` and, if it exists, in the role that may only select and insert. */
export function openPool(databaseUrl: string, hasRole: boolean, max = 10, answerMs = ANSWER_MS): pg.Pool {
  // Every query has an index to use. PostgreSQL could scan a table whose long values are stored apart (TOAST), for it takes such a
  // table to be short. And it could compile a statement that it takes for long: one that is planned for all values looks so.
  const settings = `set timezone = 'UTC'; set statement_timeout = '${STATEMENT_S}s'; set idle_in_transaction_session_timeout = '${IDLE_S}s'; set idle_session_timeout = '${SESSION_S}s'; set enable_seqscan = off; set jit = off; ${MEANT}`
  const setup = `set search_path = killick; ${settings}; ${ALIVE}; ${hasRole ? `set role ${LEDGER_ROLE}` : ''}`
  const options: pg.PoolConfig & { onConnect: (client: pg.ClientBase) => Promise<void> } = {
    connectionString: databaseUrl,
    application_name: 'killick',
    max,
    types,
    connectionTimeoutMillis: 10_000,
    query_timeout: answerMs,
    onConnect: async (client) => {
      await client.query(setup)
    },
  }
  const pool = new pg.Pool(options)
  // If a connection breaks while idle or between two statements, the next query on it fails. Without a listener, the error event
  // would end the process too.
  pool.on('error', () => {})
  pool.on('connect', (client) => void client.on('error', () => {}))
  return pool
}

/**
 * Keeps a session, and its locks, while this process lives and has nothing to ask in it.
 * @param beatMs how often it says something. Default 15,000
 * @returns what ends that; when it resolves, the connection is free for other statements
 */
export function keepSession(client: pg.PoolClient, beatMs = BEAT_MS): () => Promise<void> {
  let beat: Promise<void> | null = null
  const timer = setInterval(() => {
    // Who holds the session learns by its next statement that it has ended.
    beat ??= client.query('select 1').then(
      () => {
        beat = null
      },
      () => {},
    )
  }, beatMs)
  timer.unref()
  return async () => {
    clearInterval(timer)
    await beat
  }
}
