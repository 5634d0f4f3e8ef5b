import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TLSSocket } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { migrate } from '../../../anchor-service/src/database/migrate.ts'
import { isOutage } from '../../../anchor-service/src/database/outage.ts'
import { keepSession, openPool } from '../../../anchor-service/src/database/pool.ts'
import { findTool } from '../../../scripts/lib/tools.ts'
import { certifier } from '../../gateway/support.ts'
import { createDatabase, queryAsOwner } from '../../support/postgres.ts'

const EXPIRES = '2027-01-12T00:00:00.000Z'
const ASKED = `select '${EXPIRES}'::timestamptz as time, 1234567890123::float8 as number, current_setting('synchronous_commit') as durable,
  current_setting('transaction_isolation') as isolation`

/** Answers of a connection to a database where sessions begin with these settings. */
async function answer(...settings: string[]) {
  const url = await createDatabase()
  const name = new URL(url).pathname.slice(1)
  for (const setting of settings) await queryAsOwner(url, `alter database ${name} set ${setting}`)
  const pool = openPool(url, false, 1)
  try {
    return (await pool.query(ASKED)).rows[0]
  } finally {
    await pool.end()
  }
}

test('settings of a database change no time, no number, and not what a commit is', async () => {
  const meant = { time: new Date(EXPIRES), number: 1234567890123, durable: 'on', isolation: 'read committed' }
  // The time would be read as none, and the number as 1e+12.
  const altered = ["datestyle = 'SQL, DMY'", 'extra_float_digits = -15', 'synchronous_commit = off']
  expect(await answer(...altered, "default_transaction_isolation = 'repeatable read'")).toEqual(meant)
  // Stricter than needed stays.
  expect(await answer('synchronous_commit = remote_apply')).toEqual({ ...meant, durable: 'remote_apply' })
})

test('a transaction that nobody goes on with ends, and gives its locks back', async () => {
  const pool = openPool(await createDatabase(), false, 2)
  const frozen = await pool.connect()
  const { rows } = await frozen.query(`select current_setting('idle_in_transaction_session_timeout') as most`)
  expect(rows).toEqual([{ most: '30s' }])
  await frozen.query(`set idle_in_transaction_session_timeout = '50ms'; begin; select pg_advisory_xact_lock(1)`)
  const { promise: ended, resolve: end } = Promise.withResolvers<void>()
  frozen.once('end', end)
  await Promise.all([ended, pool.query('begin; select pg_advisory_xact_lock(1); commit')])
  const late = await frozen.query('commit').catch((error) => error)
  expect(isOutage(late)).toBe(true)
  frozen.release(late)
  await pool.end()
})

test('a peer that is gone without a word is given up by the server after a minute', async () => {
  const pool = openPool(await createDatabase(), false, 1)
  const names = ['tcp_keepalives_idle', 'tcp_keepalives_interval', 'tcp_keepalives_count']
  const { rows } = await pool.query('select current_setting(name) as value from unnest($1::text[]) name', [names])
  expect(rows.map(({ value }) => value)).toEqual(['30', '10', '3'])
  await pool.end()
})

test('a lock of a session that says nothing is given back, and a session that is kept says something', async () => {
  const url = await createDatabase()
  const pool = openPool(url, false, 3)
  const [frozen, kept] = [await pool.connect(), await pool.connect()]
  const { rows } = await frozen.query(`select current_setting('idle_session_timeout') as most`)
  expect(rows).toEqual([{ most: '1min' }])
  const lock = 'select pg_advisory_lock(1)'
  await frozen.query(`set idle_session_timeout = '50ms'; ${lock}`)
  const { promise: ended, resolve: end } = Promise.withResolvers<void>()
  frozen.once('end', end)
  await Promise.all([ended, pool.query(lock)])
  const late = await frozen.query('select 1').catch((error) => error)
  expect(isOutage(late)).toBe(true)

  const { pid } = (await kept.query('select pg_backend_pid() as pid')).rows[0]
  const leave = keepSession(kept, 5)
  const said = `select query from pg_stat_activity where pid = ${pid}`
  await expect.poll(() => queryAsOwner(url, said)).toEqual([{ query: 'select 1' }])
  await leave()
  expect((await kept.query('select 2 as free')).rows).toEqual([{ free: 2 }])
  kept.release()
  frozen.release(late)
  await pool.end()
})

test('an address without its password, or with a file that is not there, is told in a sentence', async () => {
  const url = new URL(await createDatabase())
  url.password = ''
  await expect(migrate(url.href)).rejects.toThrow(/^DATABASE_URL: PostgreSQL refuses: .*password/)
  await expect(migrate(`${url.href}?sslmode=verify-full&sslrootcert=/none.crt`)).rejects.toThrow(
    /^DATABASE_URL: .*'\/none.crt'\.$/,
  )
})

// Node makes no certificates.
test.skipIf(findTool('openssl') === null)(
  'a certificate that does not hold is an outage, and told as one',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'killick-database-tls-'))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    const { issue, file } = certifier(folder)
    issue('elsewhere', 'DNS:elsewhere')
    issue('foreign', 'DNS:localhost', false)
    let name = ''
    // What PostgreSQL does before it has read anything of a connection: it agrees to TLS.
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => {
        socket.write('S')
        const [cert, key] = [readFileSync(file(`${name}.crt`)), readFileSync(file(`${name}.key`))]
        new TLSSocket(socket, { isServer: true, cert, key }).on('error', () => {})
      })
    }).listen(0, 'localhost')
    await once(server, 'listening')
    onTestFinished(() => void server.close())
    const { port } = server.address() as AddressInfo
    const url = `postgres://killick:secret@localhost:${port}/killick?sslmode=verify-full&sslrootcert=${file('ca.crt')}`
    const pool = openPool(url, false, 1)
    onTestFinished(() => pool.end())
    for (const [given, code] of [
      ['elsewhere', 'ERR_TLS_CERT_ALTNAME_INVALID'],
      ['foreign', 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ] as const) {
      name = given
      expect(isOutage(await pool.query('select 1').catch((error) => error))).toBe(true)
      await expect(migrate(url)).rejects.toThrow(
        new RegExp(`^DATABASE_URL: no TLS with the PostgreSQL there: .*${code}`),
      )
    }
  },
)
