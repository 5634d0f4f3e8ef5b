import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'

/** Kept from one database to the next: for the server, a connection is a process. */
let admin: pg.Pool | null = null
function openAdmin(): pg.Pool {
  const pool = new pg.Pool({
    connectionString: inject('postgres'),
    max: 1,
    idleTimeoutMillis: 0,
    allowExitOnIdle: true,
  })
  pool.on('error', () => {})
  return pool
}

/**
 * A fresh database on the PostgreSQL of this test run.
 * @param isMigrated as the migrations have made one at the beginning of the run, which is cheaper than to make it; else empty
 * @returns its URL, of a user who owns it
 */
export async function createDatabase(isMigrated = false): Promise<string> {
  const url = new URL(inject('postgres'))
  const name = `test_${randomBytes(6).toString('hex')}`
  admin ??= openAdmin()
  await admin.query(`create database ${name} ${isMigrated ? 'template migrated' : ''}`)
  url.pathname = `/${name}`
  return url.href
}

/** Runs one query with the owner's rights and closes the connection. */
export async function queryAsOwner<T extends pg.QueryResultRow>(url: string, sql: string, values: unknown[] = []) {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<T>(sql, values)).rows
  } finally {
    await client.end()
  }
}
