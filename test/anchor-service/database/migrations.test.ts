import { randomBytes } from 'node:crypto'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import pg from 'pg'
import { describe, expect, inject, test } from 'vitest'
import { migrate, readMigrations } from '../../../anchor-service/src/database/migrate.ts'
import { StartError } from '../../../anchor-service/src/errors.ts'
import { startBouncer } from '../../../scripts/lib/pgbouncer.ts'
import { findTool } from '../../../scripts/lib/tools.ts'
import { createDatabase, queryAsOwner } from '../../support/postgres.ts'

// Databases were made by this file. A change of the schema is a new file with the next number.
const FROZEN = { '0001_ledger.sql': '557386800b52961e44e5e769f98cda0d85cfe360a5431dac1c8f3de49cfb1930' }

test('a frozen migration is never changed, or databases made by it could not be opened any more', async () => {
  const found = (await readMigrations()).filter(({ name }) => Object.hasOwn(FROZEN, name))
  expect(Object.fromEntries(found.map(({ name, checksum }) => [name, checksum]))).toEqual(FROZEN)
})

test('migrations are numbered without a gap, in the order in which they are applied', async () => {
  const names = (await readMigrations()).map(({ name }) => name)
  expect(names.map((name) => Number(/^(\d{4})_\w+\.sql$/.exec(name)?.[1]))).toEqual(names.map((_, i) => i + 1))
})

/** Migrates a database that does with each connection what is said. */
async function refused(connected: (socket: Socket) => void): Promise<unknown> {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    connected(socket.on('error', () => {}))
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  const error = await migrate(`postgres://a:hunter2@127.0.0.1:${port}/x`).catch((reason) => reason)
  for (const socket of sockets) socket.destroy()
  server.close()
  return error
}

test('a database that is not the ledger’s is told of in a sentence, and stays as it is', async () => {
  const tables = (url: string) =>
    queryAsOwner(url, "select relname from pg_class where relnamespace = to_regnamespace('killick')")
  const another = [
    'create table killick.migrations (id int, run_at timestamptz)',
    'create view killick.events as select 1',
  ]
  for (const sql of another) {
    const url = await createDatabase()
    await queryAsOwner(url, 'create schema killick')
    await queryAsOwner(url, sql)
    const held = await tables(url)
    const error = await migrate(url).catch((reason) => reason)
    expect(error).toBeInstanceOf(StartError)
    expect(error.message).toMatch(/^The database has a schema "killick" with tables of another program, .*DATABASE_URL/)
    expect(await tables(url)).toEqual(held)
  }

  const empty = await createDatabase()
  await queryAsOwner(empty, 'create schema killick')
  expect((await migrate(empty)).applied).not.toEqual([])

  const latin = new URL(inject('postgres'))
  const name = `latin_${randomBytes(6).toString('hex')}`
  latin.pathname = `/${name}`
  await queryAsOwner(inject('postgres'), `create database ${name} template template0 encoding 'LATIN1' locale 'C'`)
  await expect(migrate(latin.href)).rejects.toThrow(/^The database is in LATIN1, .*encoding 'UTF8'$/)
  expect(await tables(latin.href)).toEqual([])
})

test('a database that takes a connection and says nothing, or that it is not ready, is told of in a sentence', async () => {
  const fields = ['SFATAL', 'C57P03', 'Mthe database system is starting up', ''].map((field) => `${field}\0`).join('')
  const length = Buffer.alloc(4)
  length.writeInt32BE(4 + fields.length)
  const starting = (socket: Socket) =>
    socket.once('data', () => socket.end(Buffer.concat([Buffer.from('E'), length, Buffer.from(fields)])))
  const errors = await Promise.all([refused(starting), refused(() => {})])
  for (const error of errors) expect(error).toBeInstanceOf(StartError)
  expect(errors.map(String)).toEqual([
    expect.stringMatching(/is not ready: the database system is starting up \(57P03\)/),
    expect.stringMatching(/no PostgreSQL answers there \(timeout expired\)/),
  ])
}, 30_000)

test('migrations of a process that hangs are not waited for without end, and a sentence says whose they are', async () => {
  const url = await createDatabase(true)
  const hung = new pg.Client({ connectionString: url })
  await hung.connect()
  const { rows } = await hung.query('select pg_advisory_lock(7019319), pg_backend_pid() as pid')
  const error = await migrate(url, 50).catch((reason) => reason)
  expect(error).toBeInstanceOf(StartError)
  expect(error.message).toMatch(
    new RegExp(`^Another process has been migrating this database for more than 0.05 s .*session ${rows[0].pid};`),
  )
  await hung.end()
  expect((await migrate(url, 10_000)).applied).toEqual([])
})

describe.skipIf(findTool('pgbouncer') === null)('behind pgbouncer', () => {
  test('a pool that changes sessions is refused before anything is made, and one that leaves them is taken', async () => {
    const direct = await createDatabase()
    const through = async (mode: 'session' | 'transaction' | 'statement') => {
      const { child, url } = await startBouncer(direct, mode)
      return migrate(url)
        .catch((reason) => reason)
        .finally(() => child.stop())
    }
    for (const mode of ['transaction', 'statement'] as const) {
      const error = await through(mode)
      expect(error).toBeInstanceOf(StartError)
      expect(error.message).toMatch(
        /^DATABASE_URL leads to a pooler that gives a connection another session .*pool_mode = session/,
      )
    }
    expect(await queryAsOwner(direct, `select to_regnamespace('killick') as schema`)).toEqual([{ schema: null }])
    expect((await through('session')).applied).not.toEqual([])
  })
})
