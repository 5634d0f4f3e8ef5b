import type pg from 'pg'
import { keepSession } from '../database/pool.ts'

/**
 * Runs `work` while no other process runs work under the same name; null when one does. The lock is a session lock of
 * PostgreSQL on a connection of its own, so it ends with the process, and a minute after it was frozen. When the connection breaks, the lock is lost while
 * `work` goes on: so callers must be safe without it, and use it only so that two processes rarely do the same work.
 */
export async function withLock<T>(pool: pg.Pool, name: string, work: () => Promise<T>): Promise<T | null> {
  const client = await pool.connect()
  let failure: Error | undefined
  const note = (error: Error) => {
    failure = error
  }
  client.on('error', note)
  try {
    const lock = await client.query('select pg_try_advisory_lock(hashtextextended($1, 7019321)) as mine', [name])
    if (!lock.rows[0].mine) return null
    const leave = keepSession(client)
    try {
      return await work()
    } finally {
      await leave()
      await client.query('select pg_advisory_unlock(hashtextextended($1, 7019321))', [name]).catch(note)
    }
  } finally {
    client.off('error', note)
    client.release(failure)
  }
}
