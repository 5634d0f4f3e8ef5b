import pg from 'pg'
import { keepSession } from '../database/pool.ts'

/** Which of all processes on a database audits. */
export type Seat = {
  /** Takes the lock if it is free, and makes sure that it is still ours. @throws Error if the database does not answer */
  take(): Promise<boolean>
  close(): Promise<void>
}

/**
 * A session lock of PostgreSQL on its own connection, so it is free again when the process ends, however that ends, and a minute after it was frozen. If the
 * connection breaks unseen, two processes may audit until the next `take`, which does no harm.
 */
export function openSeat(pool: pg.Pool): Seat {
  const own = new pg.Pool({ ...pool.options, max: 1 })
  // The next query notices a broken connection.
  own.on('error', () => {})
  let client: pg.PoolClient | null = null
  let rest = async () => {}

  function leave(error?: Error): void {
    void rest()
    client?.release(error ?? true)
    client = null
  }

  return {
    async take() {
      const hadIt = client !== null
      client ??= await own.connect()
      try {
        if (hadIt) {
          await rest()
          await client.query('select 1')
          rest = keepSession(client)
          return true
        }
        client.on('error', () => {})
        const { rows } = await client.query(`select pg_try_advisory_lock(hashtextextended('audit', 7019321)) as mine`)
        if (rows[0].mine) {
          rest = keepSession(client)
          return true
        }
        leave()
        return false
      } catch (error) {
        leave(error as Error)
        throw error
      }
    },
    async close() {
      leave()
      await own.end()
    },
  }
}
