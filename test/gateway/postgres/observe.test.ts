import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { promisify } from 'node:util'
import pg from 'pg'
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { findTool } from '../../../scripts/lib/tools.ts'
import { queryAsOwner } from '../../support/postgres.ts'
import { seen, statements, type Told, type World, world } from './support.ts'

let it: World
beforeAll(async () => {
  it = await world({ mode: 'observe', admin: { port: 0 }, limits: { graceMs: 5_000 } })
  await queryAsOwner(it.direct, 'create table t (id int primary key, note text); create sequence s')
})
afterAll(() => it?.remove())

test('observe: what only reads shares events of its session; all else has an intent and an outcome', async () => {
  await it.with(
    async (client) => {
      for (let i = 0; i < 100; i++) await client.query(`select ${i}`)
      for (let i = 0; i < 3; i++) await client.query('select note from t where id = $1', [i])
      await client.query("insert into t values (1, 'a')")
      await expect(client.query('select nothing from nowhere')).rejects.toMatchObject({ code: '42P01' })
      await client.query('do $$ begin end $$')
      await client.query("select nextval('s')")
    },
    { application_name: 'observed' },
  )
  const events = (await it.events()).filter(({ fields }) => (fields.context as Told).application === 'observed')
  await it.start()
  const shared = events.map(seen).filter(({ action }) => action === 'postgres.statements')
  const all = shared.flatMap(({ statement, parameters, known }) =>
    known.statements.map(({ text, rows }: Told, i: number) => [statement[text], parameters?.[i] ?? null, rows]),
  )
  expect(all).toEqual([
    ...Array.from({ length: 100 }, (_, i) => [`select ${i}`, null, 1]),
    ...['0', '1', '2'].map((id) => ['select note from t where id = $1', [id], 0]),
  ])
  expect(shared.length).toBeLessThan(50)
  expect(shared.find(({ targets }) => targets[0].type === 'table')!.targets[0].id).toBe('t')
  expect(shared[0]!.known.statements[0]).toMatchObject({ tag: 'SELECT 1', transaction: { id: 1, state: 'committed' } })
  expect(statements(events).map(({ intent, end }) => [intent.statement, end.outcome])).toEqual([
    ["insert into t values (1, 'a')", 'success'],
    ['select nothing from nowhere', 'failure'],
    ['do $$ begin end $$', 'success'],
    ["select nextval('s')", 'success'],
  ])
})

test('what only reads, and what has succeeded, is told with who asked for it, whoever asks by then', async () => {
  await it.with(
    async (client) => {
      for (const name of ['ada', 'bob', 'eve']) {
        await client.query(`begin; set local killick.actor = '${name}'`)
        await client.query(`select '${name}'`)
        await client.query(`insert into t values (${name.charCodeAt(0)}) /* ${name} */`)
        await client.query('rollback')
      }
    },
    { application_name: 'many' },
  )
  const events = (await it.events()).filter(({ fields }) => (fields.context as Told).application === 'many')
  await it.start()
  const all = events.map(seen)
  const reads = all.filter(({ action }) => action === 'postgres.statements')
  expect(reads.map(({ statement, context }) => [statement, context.claimedActor?.id])).toEqual(
    ['ada', 'bob', 'eve'].map((name) => [[`select '${name}'`], name]),
  )
  const inserts = statements(events).filter(({ intent }) => `${intent.statement}`.startsWith('insert'))
  const ends = inserts.map(({ intent }) =>
    all.find(({ known }) => [known, ...(known.outcomes ?? [])].some((one: Told) => one.intent === intent.id)),
  )
  expect(ends.map((end) => end!.context.claimedActor?.id)).toEqual(['ada', 'bob', 'eve'])
})

test('metrics and health; a relay that is stopped lets sessions end what they are in', async () => {
  const url = it.relay.adminUrl!
  const get = async (path: string) => {
    const response = await fetch(`${url}${path}`)
    return [response.status, await response.text()] as const
  }
  const client = new pg.Client({ connectionString: it.url })
  const idle = new pg.Client({ connectionString: it.url })
  const errors: string[] = []
  idle.on('error', (error: Error & { code?: string }) => errors.push(error.code ?? ''))
  client.on('error', () => {})
  await client.connect()
  await idle.connect()
  await client.query('begin')
  expect(await get('/readyz')).toEqual([200, 'ok\n'])
  expect((await get('/metrics'))[1]).toMatch(/^killick_postgres_sessions 2$/m)
  expect((await get('/nowhere'))[0]).toBe(404)
  const closing = it.events()
  await vi.waitFor(() => expect(errors).toContain('57P01'), 20_000)
  // Nobody gets in any more, and who is in a transaction can end it.
  await expect(it.with(async () => {})).rejects.toThrow()
  await client.query("insert into t values (2, 'in time')")
  await client.query('commit')
  const events = (await closing).map(seen)
  await it.start()
  expect(await queryAsOwner(it.direct, 'select note from t where id = 2')).toEqual([{ note: 'in time' }])
  const ends = events.filter(
    ({ action, known }) => action === 'postgres.session.end' && known.code === 'postgres_draining',
  )
  expect(ends).toHaveLength(2)
})

test('TLS that goes through to the server: only the beginning and the end are recorded', async () => {
  await it.events()
  // Of a server that speaks TLS no more is seen here than that.
  const server = createServer((socket) => {
    socket.once('data', (first) => {
      socket.write(first[0] === HANDSHAKE[0] ? first : 'S')
      socket.once('data', (hello) => socket.write(hello))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  await it.start({
    tls: { passthrough: true },
    server: { host: '127.0.0.1', port: (server.address() as AddressInfo).port },
  })
  expect(it.said.at(-1)).toMatch(/TLS passes through.*recorded$/)
  const socket = await asksForTls()
  expect(await answer(socket)).toBe('S')
  socket.write('what nobody can read')
  expect(await answer(socket)).toBe('what nobody can read')
  // sslnegotiation=direct: TLS begins without a question.
  const direct = await connects()
  direct.write(HANDSHAKE)
  expect(await answer(direct)).toBe(`${HANDSHAKE}`)
  // One that is open ends with the relay, which is not too busy with waiting to record it.
  let longest = 0
  let last = performance.now()
  const ticks = setInterval(() => {
    longest = Math.max(longest, performance.now() - last)
    last = performance.now()
  }, 20)
  const [events] = await Promise.all([it.events(), once(socket, 'close')])
  clearInterval(ticks)
  expect(longest).toBeLessThan(4_000)
  await it.start()
  const passed = events.map(seen).filter(({ known }) => known.isPassedThrough)
  const start = { action: 'postgres.session.start', actor: { type: 'database-client' } }
  expect(passed).toMatchObject([start, start])
  const ends = passed.map(({ id }) => events.map(seen).find(({ known }) => known.intent === id))
  expect(ends).toMatchObject([
    { action: 'postgres.session.end', known: { bytesFromClient: 8 + 20, bytesFromServer: 1 + 20 } },
    { action: 'postgres.session.end', known: { bytesFromClient: HANDSHAKE.length, bytesFromServer: HANDSHAKE.length } },
  ])
})

test('a relay that is stopped lets go of a client whose server has not answered yet', async () => {
  await it.events()
  // It takes connections, and says nothing.
  const asked = Promise.withResolvers<void>()
  const server = createServer((socket) => void socket.once('data', () => asked.resolve()))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  await it.start({ tls: { passthrough: true }, server: { host: '127.0.0.1', port } })
  const socket = await asksForTls()
  await asked.promise
  const start = performance.now()
  await Promise.all([it.relay.close(), once(socket, 'close')])
  // Within the grace period, which is not for who has not begun anything.
  expect(performance.now() - start).toBeLessThan(5_000)
  await it.start()
})

test('where the server has no TLS that could go through, a client that asks for it is recorded in full', async () => {
  const isPassed = ({ known }: { known: Told }) => known.isPassedThrough
  const before = (await it.events()).map(seen).filter(isPassed)
  await it.start({ tls: { passthrough: true }, policy: { rules: [{ name: 'no-ddl', does: ['ddl'] }] } })
  expect(it.said.at(-1)).toMatch(/policy does not apply/)
  const socket = await asksForTls()
  expect(await answer(socket)).toBe('N')
  socket.destroy()
  // As libpq does by default: it goes on without.
  const stream = await asksForTls()
  expect(await answer(stream)).toBe('N')
  const config = {
    stream: () => Object.assign(stream, { connect: () => void setImmediate(() => stream.emit('connect')) }),
  }
  await it.with(async (client) => {
    await client.query('select 1 as one')
    await expect(client.query('create table sneaky (id int)')).rejects.toMatchObject({ code: '42501' })
  }, config)
  const events = (await it.events()).map(seen)
  await it.start()
  expect(events.filter(isPassed)).toEqual(before)
  expect(JSON.stringify(events.map(({ statement, outcome }) => [statement, outcome]))).toContain(
    '["create table sneaky (id int)","denied"]',
  )
})

/** How TLS begins. */
const HANDSHAKE = Buffer.from('\x16 hello')

/** A connection that has asked for TLS. */
async function asksForTls(): Promise<Socket> {
  const socket = await connects()
  socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]))
  return socket
}

async function connects(): Promise<Socket> {
  const [host, port] = it.relay.address.split(':') as [string, string]
  return connect(Number(port), host)
}

const answer = async (socket: Socket): Promise<string> =>
  `${await new Promise((resolve) => socket.once('data', resolve))}`

test.runIf(findTool('psql') !== null)('psql does not notice', async () => {
  const run = promisify(execFile)
  const psql = async (url: string) => {
    const commands = ['\\d t', '\\timing off', 'select * from t order by id', 'copy t to stdout', '\\copy t to stdout']
    const args = commands.flatMap((command) => ['-c', command])
    return (await run('psql', ['-X', '-v', 'ON_ERROR_STOP=1', ...args, url])).stdout
  }
  expect(await psql(it.url)).toBe(await psql(it.direct))
})
