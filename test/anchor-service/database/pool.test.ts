import { expect, test } from 'vitest'
import { isOutage } from '../../../anchor-service/src/database/outage.ts'
import { keepSession, openPool } from '../../../anchor-service/src/database/pool.ts'
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
