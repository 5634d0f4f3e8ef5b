import { randomUUID } from 'node:crypto'
import pg from 'pg'

/** Each time, the pooler may have given the other connection a session that nobody had. */
const TRIES = 3
const PROTOCOL_VIOLATION = '08P01'

/**
 * Whether something between here and PostgreSQL gives a connection another session for each transaction, as pgbouncer does with
 * `pool_mode = transaction`, or for each statement. Locks, role, settings and prepared statements would then be made in one session,
 * and missing in the next.
 * @param client connected, and in no transaction
 * @param pid of the session that `client` has now
 * @param again opens another connection in the same way
 */
export async function changesSessions(
  client: pg.Client,
  pid: number,
  again: () => Promise<pg.Client>,
): Promise<boolean> {
  // pg keeps what a connection was told at its beginning: the number of its session, or one that a pooler has made up. It is no documented
  // member: without it, this takes one connection more.
  if ((client as { processID?: number }).processID === pid) return false
  const other = await again()
  try {
    for (let i = 0; i < TRIES; i++) {
      const mark = randomUUID()
      await client.query(`select set_config('killick.session', $1, false)`, [mark])
      // It takes the session that was left last, and keeps it until the transaction ends.
      if (!(await begins(other))) return true
      const { rows } = await client.query(`select current_setting('killick.session', true) as mark`)
      await other.query('commit')
      if (rows[0].mark !== mark) return true
    }
    return false
  } finally {
    await other.end()
  }
}

/** Whether it may begin a transaction: with `pool_mode = statement` it may not. */
async function begins(client: pg.Client): Promise<boolean> {
  try {
    await client.query('begin')
    return true
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === PROTOCOL_VIOLATION) return false
    throw error
  }
}
