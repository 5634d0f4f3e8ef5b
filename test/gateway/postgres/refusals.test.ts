import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import type { Worker } from 'node:worker_threads'
import { GATEWAY_CODES, MCP_CODES, POSTGRES_CODES } from '@killick/gateway'
import { ERROR_CODES } from '@killick/sdk'
import pg from 'pg'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import { queryAsOwner } from '../../support/postgres.ts'
import { loggedIn, message, NO_LIMIT, RawClient, seen, statements, type Told, type World, world } from './support.ts'

const worlds: World[] = []
afterEach(async () => {
  for (const it of worlds.splice(0)) await it.remove()
})
async function relay(settings?: Parameters<typeof world>[0]): Promise<World> {
  const it = await world(settings)
  worlds.push(it)
  return it
}
const rowsOf = async (it: World, sql: string) =>
  (await queryAsOwner(it.direct, sql)).map((row) => Object.values(row)[0])

/** How TLS begins. */
const HELLO = Buffer.from('\x16 hello')

const portOf = (server: Server): number => (server.address() as AddressInfo).port

/** Code and first detail of an ErrorResponse. */
function errorIn(body: Buffer): { code: string; detail: string } {
  const fields = Object.fromEntries(
    body
      .toString()
      .split('\0')
      .filter(Boolean)
      .map((field) => [field[0], field.slice(1)]),
  )
  return { code: fields.C!, detail: fields.D ?? '' }
}

test('docs/ERRORS.md lists every code of the relay with its SQLSTATE and meaning, and no other', async () => {
  const page = await readFile(new URL('../../../docs/ERRORS.md', import.meta.url), 'utf8')
  const listed = [...page.matchAll(/^\| `(postgres_\w+)` \| (\w{5}) \| (.+) \|$/gm)].map(([, code, sqlstate, text]) => [
    code,
    [sqlstate, text],
  ])
  expect(listed).toEqual(Object.entries(POSTGRES_CODES))
  const taken = { ...ERROR_CODES, ...GATEWAY_CODES, ...MCP_CODES }
  expect(Object.keys(POSTGRES_CODES).filter((code) => code in taken)).toEqual([])
})

test('what the policy denies the server does not see, and the session goes on as after any error', async () => {
  const rules = [{ name: 'no-truncate', does: ['truncate', 'delete'] }]
  const it = await relay({ policy: { rules }, admin: { port: 0 } })
  await queryAsOwner(it.direct, 'create table t (id int)')
  const raw = await loggedIn(it)
  const ask = async (...messages: Buffer[]) => {
    raw.socket.write(Buffer.concat(messages))
    return raw.until('Z')
  }
  const simple = await ask(message('Q', 'truncate t'))
  expect(simple.types).toBe('EZ')
  expect(errorIn(simple.all[0]!.body)).toMatchObject({ code: '42501', detail: expect.stringContaining('no-truncate') })
  expect(simple.last.toString()).toBe('I')
  expect((await ask(message('Q', 'begin'))).last.toString()).toBe('T')
  expect((await ask(message('Q', 'delete from t'))).last.toString()).toBe('E')
  expect((await ask(message('Q', 'rollback'))).last.toString()).toBe('I')
  const bind = [message('B', '', '', 0, 0, 0), message('E', '', NO_LIMIT)]
  const extended = await ask(
    ...[message('P', '', 'insert into t values (1)', 0), ...bind],
    ...[message('P', '', 'delete from t', 0), ...bind, message('Q', 'insert into t values (2)'), message('S')],
  )
  // The insert before it is of the same transaction; what comes behind it, up to the sync, is skipped.
  expect([extended.types, extended.last.toString()]).toEqual(['12CEZ', 'I'])
  expect((await ask(message('Q', 'insert into t values (3)'))).types).toBe('CZ')
  // Prepared by a name, and by SQL.
  const named = await ask(message('Q', 'prepare d as delete from t'), message('S'))
  expect(named.types).toBe('EZ')
  raw.socket.end()
  await raw.ended()
  expect(await rowsOf(it, 'select id from t')).toEqual([3])
  // A session in which nothing comes to an execution is counted too.
  const other = await loggedIn(it)
  other.socket.write(message('Q', 'truncate t'))
  await other.until('Z')
  other.socket.write(Buffer.concat([message('P', '', 'select * from nowhere', 0), message('S'), message('X')]))
  await other.ended()
  await vi.waitFor(async () => {
    const metrics = await (await fetch(`${it.relay.adminUrl}/metrics`)).text()
    const counted = [...metrics.matchAll(/^killick_postgres_statements_total\{became="(\w+)"\} (\d+)$/gm)]
    expect(Object.fromEntries(counted.map(([, became, count]) => [became, Number(count)]))).toEqual({
      ...{ passed: 4, failed: 1, denied: 5, refused: 0 },
    })
  })
  expect(it.said.join('\n')).not.toContain('dropped')
  const events = (await it.events()).map(seen)
  const denied = events.filter(({ outcome }) => outcome === 'denied')
  expect(denied.map(({ statement }) => statement)).toEqual([
    ...['truncate t', 'delete from t', 'delete from t', 'prepare d as delete from t', 'truncate t'],
  ])
  expect(denied[0]!.known).toMatchObject({ kind: 'denial', state: 'denied', rule: 'no-truncate' })
  expect(denied[0]!.targets[0]).toEqual({ type: 'table', id: 't' })
})

test('strict: no room in the spool, so statements are refused with an error that says why, and the server sees none', async () => {
  const it = await relay({ limits: { spoolBytes: 1 << 20, spoolWaitMs: 0, discloseBytes: 90 << 10 } })
  await queryAsOwner(it.direct, 'create table t (n serial, note text)')
  const raw = await loggedIn(it)
  const note = 'x'.repeat(60 << 10)
  let passed = 0
  for (;;) {
    raw.socket.write(message('Q', `insert into t (note) values ('${note}')`))
    const { all } = await raw.until('Z')
    if (all[0]!.type === 'E') {
      expect(errorIn(all[0]!.body)).toMatchObject({ code: '53100', detail: expect.stringContaining('spool_full') })
      break
    }
    passed += 1
  }
  expect(passed).toBeGreaterThan(5)
  // Whatever way it is asked.
  raw.socket.write(
    Buffer.concat([
      message('P', '', 'insert into t (note) values ($1)', 0),
      message('B', '', '', 0, 1, Buffer.from([0, 0, 0, 1, 0x61]), 0),
      ...[message('E', '', NO_LIMIT), message('E', '', NO_LIMIT), message('S')],
    ]),
  )
  expect((await raw.until('Z')).types).toBe('EZ')
  raw.socket.write(message('Q', 'begin; insert into t (note) values (1); commit'))
  expect((await raw.until('Z')).types).toBe('EZ')
  raw.socket.destroy()
  // Not even a session begins.
  await expect(it.with(async () => {})).rejects.toMatchObject({ code: '53100' })
  expect(await rowsOf(it, 'select count(*)::int from t')).toEqual([passed])
  const rows = statements(await it.events())
  expect(rows).toHaveLength(passed)
  expect(it.said.join()).toMatch(/not recorded \(spool_full\), postgres\.statement:/)

  await it.start({ mode: 'observe' })
  await it.with((client) => client.query("insert into t (note) values ('goes on')"))
  await vi.waitFor(() => expect(it.said.join()).toMatch(/events were not recorded/), 20_000)
  expect(await rowsOf(it, 'select count(*)::int from t')).toEqual([passed + 1])
})

test('the thread that records dies: what is asked is refused and not executed, seen in metrics, and the next start sorts it out', async () => {
  const threads: Worker[] = []
  const note = (thread: Worker) => void threads.push(thread)
  process.on('worker', note)
  const it = await relay({ admin: { port: 0 } })
  process.off('worker', note)
  const get = async (path: string) => (await fetch(`${it.relay.adminUrl}${path}`)).text()
  await queryAsOwner(it.direct, 'create table t (n int)')
  await it.with(async (client) => {
    await client.query('insert into t values (1)')
    expect(await get('/metrics')).toMatch(/^killick_postgres_can_record 1$/m)
    // One is under way, and waits for another session of the server. Its intent is on disk, of its outcome nobody can be told.
    const other = new pg.Client({ connectionString: it.direct })
    await other.connect()
    await other.query('begin; lock table t')
    const underWay = client.query('insert into t values (2)')
    const waits = async () => (await other.query('select 1 from pg_locks where not granted')).rowCount
    await vi.waitFor(async () => expect(await waits()).toBe(1), 20_000)
    await threads[0]!.terminate()
    await other.query('commit')
    await other.end()
    expect(await underWay).toMatchObject({ rowCount: 1 })
    const refused = { code: '58030', detail: expect.stringMatching(/log_closed: The thread that records has ended/) }
    await expect(client.query('insert into t values (3)')).rejects.toMatchObject(refused)
    await expect(client.query('insert into t values ($1)', [4])).rejects.toMatchObject(refused)
    await expect(client.query('begin; insert into t values (5); commit')).rejects.toMatchObject(refused)
  })
  await expect(it.with(async () => {})).rejects.toMatchObject({ code: '58030' })
  expect(await get('/readyz')).toMatch(/Nothing can be recorded: The thread that records has ended/)
  await vi.waitFor(
    async () => expect(await get('/metrics')).toMatch(/statements_total\{became="refused"\} 3$/m),
    20_000,
  )
  const metrics = await get('/metrics')
  expect(metrics).toMatch(/^killick_postgres_can_record 0$/m)
  expect(Number(/^killick_postgres_unrecorded_events_total (\d+)$/m.exec(metrics)![1])).toBeGreaterThanOrEqual(3)
  expect(it.said.join('\n')).toMatch(/nothing can be recorded any more/)
  await expect(it.relay.close()).rejects.toMatchObject({ code: 'log_closed' })

  await it.start()
  await it.with((client) => client.query('insert into t values (6)'))
  expect(await rowsOf(it, 'select n from t order by n')).toEqual([1, 2, 6])
  const rows = statements(await it.events()).map(({ intent, end }) => [intent.statement, end.state])
  expect(rows).toEqual([
    // Its end was written if the thread lived for long enough.
    ['insert into t values (1)', expect.stringMatching(/^(answered|unknown)$/)],
    ['insert into t values (2)', 'unknown'],
    ['insert into t values (6)', 'answered'],
  ])
})

test('TLS that passes through: its server may break off at once, and where nothing can be recorded nothing of it is left', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', (first) => {
      if (first[0] === HELLO[0]) socket.end('no more')
      else socket.write('S', () => socket.resetAndDestroy())
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const threads: Worker[] = []
  const note = (thread: Worker) => void threads.push(thread)
  process.on('worker', note)
  const it = await relay({
    tls: { passthrough: true },
    server: { host: '127.0.0.1', port: portOf(server) },
    admin: { port: 0 },
  })
  process.off('worker', note)
  const [host, port] = it.relay.address.split(':') as [string, string]
  // A client that never ends the connection by itself.
  const begins = async (first: Buffer) => {
    const socket = connect({ host, port: Number(port), allowHalfOpen: true })
    socket.on('error', () => {}).write(first)
    return Buffer.concat(await socket.toArray().catch(() => [])).toString()
  }
  const question = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])
  for (let i = 0; i < 5; i++) await begins(question)
  expect(await begins(HELLO)).toBe('no more')
  await vi.waitFor(async () => {
    expect(await (await fetch(`${it.relay.adminUrl}/metrics`)).text()).toMatch(/^killick_postgres_sessions 0$/m)
  }, 10_000)
  await threads[0]!.terminate()
  expect(await begins(question)).toContain('58030')
  // In the middle of a handshake it is told nothing.
  expect(await begins(HELLO)).toBe('')
  await expect(it.relay.close()).rejects.toMatchObject({ code: 'log_closed' })
  await it.start()
})

test('a message that is too long is refused, and what comes behind it is not touched by that', async () => {
  const it = await relay({ limits: { statementBytes: 10_000 } })
  await queryAsOwner(it.direct, 'create table t (note text)')
  await it.with(async (client) => {
    const long = 'x'.repeat(2 << 20)
    const refused = { code: '54000', detail: expect.stringContaining('postgres_statement_too_large') }
    await expect(client.query(`insert into t values ('${long}')`)).rejects.toMatchObject(refused)
    await expect(client.query('insert into t values ($1)', [long])).rejects.toMatchObject(refused)
    await client.query('insert into t values ($1)', ['short'])
  })
  // Nor what waits for answers before it.
  const raw = await loggedIn(it)
  const texts = ["set killick.actor = 'ada'", 'select 1', `select ${'x'.repeat(10_000)}`, 'select 2']
  raw.socket.write(Buffer.concat(texts.map((text) => message('Q', text))))
  const answers: string[] = []
  for (const _ of texts) answers.push((await raw.until('Z')).types)
  expect(answers).toEqual(['CZ', 'TDCZ', 'EZ', 'TDCZ'])
  raw.socket.end(message('X'))
  await raw.ended()
  expect(await rowsOf(it, 'select note from t')).toEqual(['short'])
  const events = (await it.events()).map(seen)
  expect(events.filter(({ outcome }) => outcome === 'denied').map(({ known }) => known.code)).toEqual([
    'postgres_statement_too_large',
    'postgres_statement_too_large',
    'postgres_statement_too_large',
  ])
})

test('a long statement has both ends, its length and its hash, and none where a rule finds something in it', async () => {
  const it = await relay({ limits: { discloseBytes: 1_000 } })
  const long = `select 'begin${'é'.repeat(3_000)}end'`
  await it.with(async (client) => {
    await client.query(long)
    await client.query(`${long}, 'sk_live_${'a'.repeat(30)}'`)
  })
  const [first, second] = statements(await it.events()).map(({ intent }) => intent.statement)
  const { createHash } = await import('node:crypto')
  expect(first).toMatchObject({
    bytes: Buffer.byteLength(long),
    sha256: createHash('sha256').update(long).digest('hex'),
    end: expect.stringMatching(/éend'$/),
  })
  expect(second).toMatchObject({ why: 'redaction' })
  expect(JSON.stringify(second)).not.toMatch(/sk_live|sha256/)
})

test('hostile packets: bounded, refused, and recorded', async () => {
  const it = await relay({ limits: { halfOpen: 20, startupMs: 60_000 } })
  const { host, port } = new URL(`tcp://${it.relay.address}`)
  expect(host).toContain(port)
  const sendsAndEnds = async (bytes: Buffer) => {
    const raw = new RawClient(it.relay.address)
    raw.socket.write(bytes)
    await raw.ended()
  }
  const int = (...values: number[]) => {
    const bytes = Buffer.alloc(4 * values.length)
    for (const [i, value] of values.entries()) bytes.writeInt32BE(value, 4 * i)
    return bytes
  }
  await sendsAndEnds(int(-1, 196_608))
  await sendsAndEnds(int(2 ** 31 - 1, 196_608))
  await sendsAndEnds(int(10_001, 196_608))
  await sendsAndEnds(int(8, 131_072))
  await sendsAndEnds(Buffer.concat([int(9, 196_608), Buffer.from([0])]))
  await sendsAndEnds(Buffer.concat([int(14, 196_608), Buffer.from('user\0x')]))
  // A startup packet that never ends, a thousand times: the oldest give way, and one who means it gets in.
  const idle = Array.from({ length: 200 }, () => connect(Number(port), '127.0.0.1').on('error', () => {}))
  for (const socket of idle) socket.write(int(10_000))
  await Promise.all(idle.slice(0, 150).map((socket) => new Promise((resolve) => socket.once('close', resolve))))
  expect((await it.with((client) => client.query('select 1 as one'))).rows).toEqual([{ one: 1 }])
  for (const socket of idle) socket.destroy()

  // Behind the door.
  const frames: [Buffer, string][] = [
    [Buffer.concat([Buffer.from('Q'), int(-1)]), '08P01'],
    [Buffer.concat([Buffer.from('Q'), int(2 ** 31 - 1)]), '08P01'],
    [Buffer.concat([Buffer.from('S'), int(100_000)]), '08P01'],
    [Buffer.concat([Buffer.from([0x00]), int(4)]), '08P01'],
    [Buffer.concat([Buffer.from('y'), int(4)]), '08P01'],
    [message('p', 'password'), '08P01'],
  ]
  for (const [bytes, code] of frames) {
    const raw = await loggedIn(it)
    raw.socket.write(bytes)
    const { all } = await raw.until('E')
    expect(errorIn(all[0]!.body).code).toBe(code)
    if (bytes[0] !== 'p'.charCodeAt(0)) await raw.ended()
    raw.socket.destroy()
  }
  // Bodies that contradict themselves: refused as errors of the statement.
  const raw = await loggedIn(it)
  for (const bytes of [message('Q', 'select 1', 'more'), message('Q', Buffer.from('no end')), message('F', int(1))]) {
    raw.socket.write(bytes)
    expect((await raw.until('Z')).types).toBe('EZ')
  }
  for (const bytes of [
    message('P', 'a', 'select 1', 9),
    message('B', '', '', 0, 1, int(-2)),
    message('B', '', '', 0, 1, int(2 ** 31 - 1)),
    message('E', ''),
    message('C', Buffer.from('S')),
  ]) {
    raw.socket.write(Buffer.concat([bytes, message('S')]))
    expect((await raw.until('Z')).types).toBe('EZ')
  }
  // Anything at all.
  for (let i = 0; i < 20; i++) {
    const socket = (await loggedIn(it)).socket
    socket.end(randomBytes(200))
    await new Promise((resolve) => socket.once('close', resolve))
  }
  raw.socket.write(message('Q', 'select 1'))
  expect((await raw.until('Z')).types).toBe('TDCZ')
  raw.socket.destroy()
  const events = (await it.events()).map(seen)
  expect(events.filter(({ action }) => action === 'postgres.session.refused').length).toBeGreaterThan(50)
  const counted = events.find(({ action }) => action === 'postgres.sessions.refused')!
  expect(counted.known.counts.postgres_message_invalid).toBeGreaterThan(0)
  const texts = statements(await it.events()).map(({ intent }) => intent.statement)
  expect(texts.filter((text: Told) => text !== 'select 1' && text !== 'select 1 as one')).toEqual([])
})

test('a login that fails is recorded with what the server says', async () => {
  const it = await relay()
  await expect(
    it.with(async () => {}, {
      password: 'wrong',
      connectionString: undefined,
      host: '127.0.0.1',
      port: it.relay.port,
      user: 'killick',
      database: 'x',
    }),
  ).rejects.toMatchObject({ code: '28P01' })
  const [refused] = (await it.events()).map(seen)
  expect(refused).toMatchObject({
    ...{ action: 'postgres.session.refused', outcome: 'failure', actor: { type: 'database-user', id: 'killick' } },
    known: { sqlstate: '28P01' },
  })
  expect(JSON.stringify(refused)).not.toContain('wrong')
})

test('the server cannot be reached: the client is told so, and nothing is left open', async () => {
  const it = await relay({ server: { host: '127.0.0.1', port: 9 } })
  await expect(it.with(async () => {})).rejects.toMatchObject({ code: '08001' })
  expect((await it.events()).map(seen)).toMatchObject([
    { action: 'postgres.session.refused', known: { code: 'postgres_server_unreachable' } },
  ])
})

/** The first packet of a client. */
const BEGINS = Buffer.concat([Buffer.from([0, 0, 0, 17, 0, 3, 0, 0]), Buffer.from('user\0me\0\0')])

test('a login that comes to no end is put down to whoever was silent', async () => {
  // As a pooler that has no connection for it, it asks for the password, and is silent.
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.write(message('R', Buffer.from([0, 0, 0, 3]))))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void server.close())
  const it = await relay({ server: { host: '127.0.0.1', port: portOf(server) }, limits: { authenticationMs: 200 } })
  const clients = [new RawClient(it.relay.address), new RawClient(it.relay.address)]
  for (const { socket } of clients) socket.write(BEGINS)
  await clients[0]!.until('R')
  clients[0]!.socket.write(message('p', 'secret'))
  const told = await Promise.all(clients.map(async (client) => errorIn((await client.until('E')).last)))
  expect(told).toEqual([
    { code: '08001', detail: 'postgres_server_unreachable: It did not answer the login in time.' },
    { code: '08P01', detail: 'postgres_message_invalid: The client did not authenticate in time.' },
  ])
  const codes = (await it.events()).map(seen).map(({ known }) => known.code)
  expect(codes.sort()).toEqual(['postgres_message_invalid', 'postgres_server_unreachable'])
})

/** Asks to cancel a session. Resolves when the connection has ended. */
async function cancel(it: World, pid: number, secret: number): Promise<void> {
  const raw = new RawClient(it.relay.address)
  const packet = Buffer.alloc(16)
  for (const [i, value] of [16, 80_877_102, pid, secret].entries()) packet.writeInt32BE(value, 4 * i)
  raw.socket.write(packet)
  await raw.ended()
}
const cancelMany = (it: World, count: number) => Promise.all(Array.from({ length: count }, (_, i) => cancel(it, i, 1)))

test('requests to cancel that name no session here are counted beyond 100 a minute; one that names one is recorded', async () => {
  const it = await relay()
  await it.with(async (client) => {
    // @ts-expect-error pg has no types for what the server has told it
    const { processID, secretKey } = client
    await cancelMany(it, 130)
    const waits = client.query('select pg_sleep(60)')
    waits.catch(() => {})
    const at = `select wait_event as at from pg_stat_activity where pid = ${processID}`
    await expect.poll(() => queryAsOwner(it.direct, at), { timeout: 20_000 }).toEqual([{ at: 'PgSleep' }])
    await cancel(it, processID, secretKey)
    await expect(waits).rejects.toMatchObject({ code: '57014' })
  })
  const events = (await it.events()).map(seen)
  const cancels = events.filter(({ action }) => action === 'postgres.cancel').map(({ known }) => known.isKnown)
  expect(cancels).toEqual([...Array(100).fill(false), true])
  const refused = events.filter(({ action }) => action === 'postgres.sessions.refused')
  expect(refused.map(({ known }) => known.counts)).toEqual([{ cancel: 30 }])
})

test('a key that a pooler has given to the next session too is still that of the next one when the first has ended', async () => {
  const ready = message('Z', Buffer.from('I'))
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () =>
      socket.write(Buffer.concat([message('R', NO_LIMIT), message('K', Buffer.from([0, 0, 0, 7, 0, 0, 0, 8])), ready])),
    )
    socket.on('end', () => socket.end())
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void server.close())
  const it = await relay({ server: { host: '127.0.0.1', port: portOf(server) }, admin: { port: 0 } })
  const [first, next] = [new RawClient(it.relay.address), new RawClient(it.relay.address)]
  for (const raw of [first, next]) {
    raw.socket.write(BEGINS)
    await raw.until('Z')
  }
  first.socket.end(message('X'))
  await vi.waitFor(async () => {
    expect(await (await fetch(`${it.relay.adminUrl}/metrics`)).text()).toMatch(/^killick_postgres_sessions 1$/m)
  }, 10_000)
  await cancel(it, 7, 8)
  next.socket.end(message('X'))
  await next.ended()
  const events = (await it.events()).map(seen)
  const starts = events.filter(({ action }) => action === 'postgres.session.start')
  expect(events.find(({ action }) => action === 'postgres.cancel')).toMatchObject({
    ...{ known: { isKnown: true }, context: { session: starts[1]!.context.session } },
  })
})

test('a server sees no request to cancel that has no event, and is not waited for without end', async () => {
  let taken = 0
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    socket.on('data', () => {
      taken += 1
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const it = await relay({ server: { host: '127.0.0.1', port }, limits: { startupMs: 2_000 } })
  await cancelMany(it, 110)
  const events = (await it.events()).map(seen)
  expect(events.filter(({ action }) => action === 'postgres.cancel')).toHaveLength(100)
  expect(taken).toBe(100)
  server.close()
})
