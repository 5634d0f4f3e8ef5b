// What `runAll` relies on although pg does not promise it. Written against pg 8.23.1; with another version, read what changed in its
// lib/client.js, lib/connection.js and lib/query.js, then name that version here.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TupleWriter } from '../../../anchor-service/src/database/copy.ts'
import { runAll } from '../../../anchor-service/src/database/exchange.ts'
import { isOutage } from '../../../anchor-service/src/database/outage.ts'
import { openPool } from '../../../anchor-service/src/database/pool.ts'
import { createDatabase, queryAsOwner } from '../../support/postgres.ts'

const VERSION = '8.23.1'

let url: string
let client: pg.Client
beforeAll(async () => {
  url = await createDatabase()
  await queryAsOwner(url, 'create table words (n bigint primary key, word bytea not null)')
  client = new pg.Client({ connectionString: url })
  await client.connect()
})
afterAll(() => client.end())

test('the service takes this version of pg and no other', () => {
  const manifest = new URL('../../../anchor-service/package.json', import.meta.url)
  expect(createRequire(manifest)('pg/package.json').version).toBe(VERSION)
  expect(JSON.parse(readFileSync(manifest, 'utf8')).dependencies.pg).toBe(VERSION)
})

const COPY = 'copy words (n, word) from stdin (format binary)'

function rows(from: number, count: number, word: Uint8Array = Buffer.from('word')) {
  const writer = new TupleWriter(64)
  for (let n = from; n < from + count; n++) {
    writer.begin(2)
    writer.int8(n)
    writer.bytes(word)
  }
  return writer.done()
}
const stored = async () => Number((await queryAsOwner<{ n: string }>(url, 'select count(*) as n from words'))[0]!.n)
/** Checks that a connection works as any other after an exchange. */
const expectAlive = async () => expect((await client.query('select $1::int + 1 as n', [41])).rows).toEqual([{ n: 42 }])

test('statements and copies travel together, and all are done when it resolves', async () => {
  const copy = (from: number, parts = 1) => ({
    sql: COPY,
    tuples: Array.from({ length: parts }, (_, i) => rows(from + 10 * i, 10)),
  })
  const end = { sql: 'commit' }
  await runAll(client, [{ sql: 'begin' }, copy(0), copy(100, 3), { sql: 'update words set word = $$x$$' }, end])
  expect(await stored()).toBe(40)
  await expectAlive()
  await runAll(client, [copy(200)])
  expect(await stored()).toBe(50)
})

test('a copy larger than any buffer on the way arrives whole', async () => {
  const word = new Uint8Array(1 << 20).fill(7)
  await runAll(client, [{ sql: COPY, tuples: [rows(1000, 24, word)] }])
  const sql = 'select sum(length(word))::int as bytes from words where n >= 1000'
  expect(await queryAsOwner(url, sql)).toEqual([{ bytes: 24 << 20 }])
  await queryAsOwner(url, 'delete from words where n >= 1000')
})

test.each([
  ['a statement that is none', [{ sql: 'begin' }, { sql: 'select nonsense from nowhere' }], '42P01'],
  ['a copy of what is there already', [{ sql: 'begin' }, { sql: COPY, tuples: [rows(0, 3)] }], '23505'],
  ['a copy into no table', [{ sql: COPY.replace('words', 'nowhere'), tuples: [rows(500, 3)] }], '42P01'],
  [
    'a copy that is cut off',
    [{ sql: COPY, tuples: [{ ...rows(500, 3), bytes: rows(500, 3).bytes.subarray(0, 40) }] }],
    '22P04',
  ],
])(
  '%s fails with its own code, keeps those behind it from being run, and leaves the connection usable',
  async (_, first, code) => {
    const before = await stored()
    const behind = [{ sql: COPY, tuples: [rows(600, 3)] }, { sql: 'commit' }]
    await expect(runAll(client, [...first, ...behind])).rejects.toMatchObject({ code })
    await client.query('rollback')
    expect(await stored()).toBe(before)
    await expectAlive()
  },
)

test('it rejects if the connection breaks', async () => {
  const broken = new pg.Client({ connectionString: url })
  await broken.connect()
  broken.on('error', () => {})
  const { rows: found } = await broken.query('select pg_backend_pid() as pid')
  const running = runAll(broken, [{ sql: 'select pg_sleep(60)' }])
  const failed = expect(running).rejects.toThrow()
  await expect
    .poll(() => queryAsOwner(url, `select wait_event from pg_stat_activity where pid = ${found[0].pid}`))
    .toEqual([{ wait_event: 'PgSleep' }])
  await queryAsOwner(url, `select pg_terminate_backend(${found[0].pid})`)
  await failed
})

test('an answer that does not come is given up, and the connection with it', async () => {
  const { hostname, port } = new URL(url)
  const servers: Socket[] = []
  const between = createServer((socket) => {
    const server = connect(Number(port), hostname)
    servers.push(server)
    for (const end of [socket, server]) end.on('error', () => {})
    socket.on('close', () => server.destroy())
    socket.pipe(server).pipe(socket)
  })
  await new Promise<void>((listens) => between.listen(0, '127.0.0.1', listens))
  const through = new URL(url)
  through.host = `127.0.0.1:${(between.address() as AddressInfo).port}`
  const pool = openPool(through.href, false, 1, 500)
  /** As where PostgreSQL has stopped, or its machine is gone without a word: connections stay open, and new ones find another. */
  const silence = () => {
    for (const server of servers.splice(0)) server.unpipe().pause()
  }
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  try {
    await pool.query('select 1')
    silence()
    await expect(pool.query('select 1')).rejects.toSatisfy(isOutage)
    const held = await pool.connect()
    const before = timers()
    await runAll(held, [{ sql: 'select 1' }])
    await expect(runAll(held, [{ sql: 'select nonsense' }])).rejects.toMatchObject({ code: '42703' })
    expect(timers()).toBe(before)
    silence()
    await expect(runAll(held, [{ sql: 'select 1' }])).rejects.toSatisfy(isOutage)
    held.release(true)
    expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }])
  } finally {
    await pool.end()
    between.close()
  }
})
