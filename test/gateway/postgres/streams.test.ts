import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer } from 'node:net'
import { duplexPair } from 'node:stream'
import { setTimeout } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import pg from 'pg'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { queryAsOwner } from '../../support/postgres.ts'
import { wordsIn } from '../sealed/support.ts'
import { certifier, serialIn, shownSerial, withLooks } from '../support.ts'
import { loggedIn, message, NO_LIMIT, seen, statements, type Told, type World, world } from './support.ts'

let it: World
beforeAll(async () => {
  it = await world()
  await queryAsOwner(it.direct, 'create table t (n int, note text)')
})
afterAll(() => it?.remove())

const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest('hex')

test('COPY in both directions, by either protocol: bytes, rows and hash, whatever it is cut into', async () => {
  const raw = await loggedIn(it)
  const lines = Array.from({ length: 40_000 }, (_, i) => `${i}\tline ${i}\n`).join('')
  const data = Buffer.from(lines)
  const pieces: Buffer[] = []
  for (let at = 0; at < data.length; at += 30_011) pieces.push(message('d', data.subarray(at, at + 30_011)))
  raw.socket.write(message('Q', 'copy t from stdin'))
  expect((await raw.until('G')).types).toBe('G')
  // Cut where messages are not.
  const bytes = Buffer.concat([...pieces, message('c')])
  for (let at = 0; at < bytes.length; at += 50_021) raw.socket.write(bytes.subarray(at, at + 50_021))
  expect((await raw.until('Z')).types).toBe('CZ')

  raw.socket.write(message('Q', 'copy t to stdout'))
  const { all } = await raw.until('Z')
  const sent = Buffer.concat(all.filter(({ type }) => type === 'd').map(({ body }) => body))
  expect(sent.equals(data)).toBe(true)

  // As libpq does it: the first sync comes before the data, and the server ignores it.
  const ask = [message('P', '', 'copy t from stdin', 0), message('B', '', '', 0, 0, 0), message('E', '', NO_LIMIT)]
  raw.socket.write(Buffer.concat([...ask, message('S')]))
  expect((await raw.until('G')).types).toBe('12G')
  raw.socket.write(Buffer.concat([message('d', Buffer.from('1\tone\n')), message('c'), message('S')]))
  expect((await raw.until('Z')).types).toBe('CZ')
  raw.socket.write(Buffer.concat([...ask, message('S')]))
  await raw.until('G')
  raw.socket.write(Buffer.concat([message('d', Buffer.from('no number\tx\n')), message('c'), message('S')]))
  expect((await raw.until('Z')).types).toBe('EZ')
  raw.socket.write(message('Q', 'copy t from stdin'))
  await raw.until('G')
  raw.socket.write(message('f', 'thought better of it'))
  expect((await raw.until('Z')).types).toBe('EZ')
  raw.socket.write(message('Q', 'select 1'))
  expect((await raw.until('Z')).types).toBe('TDCZ')
  raw.socket.end(message('X'))
  await raw.ended()
  const found = statements(await it.events()).map(({ end }) => end)
  await it.start()
  expect(found.map(({ copy, rows, outcome }) => [copy, rows, outcome])).toEqual([
    [{ direction: 'in', bytes: data.length, sha256: sha256(data), isWhole: true }, 40_000, 'success'],
    [{ direction: 'out', bytes: data.length, sha256: sha256(data), isWhole: true }, 40_000, 'success'],
    [{ direction: 'in', bytes: 6, sha256: sha256('1\tone\n'), isWhole: true }, 1, 'success'],
    [{ direction: 'in', bytes: 12, sha256: sha256('no number\tx\n'), isWhole: false }, undefined, 'failure'],
    [{ direction: 'in', bytes: 0, sha256: sha256(''), isWhole: false }, undefined, 'failure'],
    [undefined, 1, 'success'],
  ])
})

test('COPY whose data does not wait to be asked for: what is said of it is what has passed', async () => {
  await queryAsOwner(it.direct, 'truncate t')
  const raw = await loggedIn(it)
  const data = (text: string) => message('d', Buffer.from(text))
  const done = message('c')
  const copy = message('Q', 'copy t from stdin')
  const ask = [message('P', '', 'copy t from stdin', 0), message('B', '', '', 0, 0, 0), message('E', '', NO_LIMIT)]
  // Behind the end of the data the server ignores data.
  raw.socket.write(Buffer.concat([copy, data('1\tone\n'), data('2\ttwo\n'), done, data('3\tthree\n')]))
  expect((await raw.until('Z')).types).toBe('GCZ')
  raw.socket.write(Buffer.concat([copy, data('4\tfour\n')]))
  await raw.until('G')
  raw.socket.write(Buffer.concat([data('5\tfive\n'), done, message('Q', 'select 1')]))
  expect([(await raw.until('Z')).types, (await raw.until('Z')).types]).toEqual(['CZ', 'TDCZ'])
  raw.socket.write(Buffer.concat([...ask, data('6\tsix\n'), done, message('S'), copy, data('7\tseven\n'), done]))
  expect([(await raw.until('Z')).types, (await raw.until('Z')).types]).toEqual(['12GCZ', 'GCZ'])
  raw.socket.write(message('Q', 'copy t from stdin; copy t from stdin'))
  raw.socket.write(Buffer.concat([data('8\teight\n'), done, data('9\tnine\n'), done]))
  expect((await raw.until('Z')).types).toBe('GCGCZ')
  raw.socket.write(Buffer.concat([message('Q', 'copy nowhere from stdin'), data('0\tno\n'), done, copy, done]))
  expect([(await raw.until('Z')).types, (await raw.until('Z')).types]).toEqual(['EZ', 'GCZ'])
  // All of what it carries has passed, although what comes behind it fails.
  const out = Array.from({ length: 22 }, (_, i) => `copy (select ${10 + i}) to stdout;`)
  raw.socket.write(message('Q', `${out.join('')} select 1/0`))
  expect((await raw.until('Z')).types).toMatch(/CEZ$/)
  raw.socket.end(message('X'))
  await raw.ended()
  const found = statements(await it.events())
    .map(({ end }) => end)
    .slice(-9)
  await it.start()
  const of = (text: string, direction = 'in') => ({
    ...{ direction, bytes: text.length, sha256: sha256(text), isWhole: true },
  })
  expect(found.map(({ copy, state }) => [copy, state])).toEqual([
    [of('1\tone\n2\ttwo\n'), 'answered'],
    [of('4\tfour\n5\tfive\n'), 'answered'],
    [undefined, 'answered'],
    [of('6\tsix\n'), 'answered'],
    [of('7\tseven\n'), 'answered'],
    [[of('8\teight\n'), of('9\tnine\n')], 'answered'],
    [undefined, 'answered'],
    [of(''), 'answered'],
    [out.slice(0, 20).map((_, i) => of(`${10 + i}\n`, 'out')), 'answered'],
  ])
  expect(found.at(-1).moreCopies).toEqual({ count: 2, bytes: 6 })
})

test('a result of any size is never kept: a client that does not read stops the server, and then gets all of it', async () => {
  const raw = await loggedIn(it)
  raw.socket.pause()
  raw.socket.write(message('Q', "select repeat('x', 1000000) from generate_series(1, 60) /* slow */"))
  const waits =
    "select wait_event as at from pg_stat_activity where query like '%/* slow */' and pid <> pg_backend_pid()"
  for (let times = 0; times < 5; ) {
    const [row] = await queryAsOwner<{ at: string | null }>(it.direct, waits)
    times = row?.at === 'ClientWrite' ? times + 1 : 0
  }
  let [bytes, end] = [0, Buffer.alloc(0)]
  raw.socket.removeAllListeners('data')
  await new Promise<void>((resolve) => {
    raw.socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      end = Buffer.concat([end, chunk]).subarray(-6)
      if (end.equals(Buffer.from('Z\0\0\0\x05I'))) resolve()
    })
    raw.socket.resume()
  })
  raw.socket.destroy()
  expect(bytes).toBeGreaterThan(60_000_000)
})

test('a cancel request is passed on, and recorded in the session that it cancels', async () => {
  const client = new pg.Client({ connectionString: it.url, application_name: 'cancelled' })
  await client.connect()
  const waits = client.query('select pg_sleep(60)')
  waits.catch(() => {})
  // It is recorded before the server is sent it: what is cancelled before is nothing.
  const at = "select wait_event as at from pg_stat_activity where application_name = 'cancelled'"
  await expect.poll(() => queryAsOwner(it.direct, at)).toEqual([{ at: 'PgSleep' }])
  // @ts-expect-error pg has no types for what the server has told it
  const { processID, secretKey } = client
  const other = new pg.Client({ connectionString: it.url })
  // @ts-expect-error neither for this
  other.cancel(
    { processID, secretKey, activeQuery: 'it', host: '127.0.0.1', port: it.relay.port, connection: client.connection },
    'it',
  )
  await expect(waits).rejects.toMatchObject({ code: '57014' })
  await client.end()
  const events = (await it.events()).map(seen)
  await it.start()
  const cancel = events.find(({ action }) => action === 'postgres.cancel')!
  expect(cancel).toMatchObject({ context: { application: 'cancelled' }, known: { isKnown: true, pid: processID } })
  const session = events.filter(({ context }) => context.session === cancel.context.session)
  expect(session.find(({ outcome }) => outcome === 'failure')!.known).toMatchObject({ sqlstate: '57014' })
})

test('the server ends a session: what it was in is a failure, or unknown; the transaction is rolled back', async () => {
  await it
    .with(
      async (client) => {
        await client.query('begin')
        await client.query("insert into t values (0, 'lost')")
        const pid = (await client.query('select pg_backend_pid() as pid')).rows[0].pid
        const waits = client.query('select pg_sleep(60)')
        waits.catch(() => {})
        // It is recorded before the server is sent it: one that ends first has nothing to fail.
        const at = `select wait_event as at from pg_stat_activity where pid = ${pid}`
        await expect.poll(() => queryAsOwner(it.direct, at)).toEqual([{ at: 'PgSleep' }])
        await queryAsOwner(it.direct, `select pg_terminate_backend(${pid})`)
        await expect(waits).rejects.toThrow()
      },
      { application_name: 'terminated' },
    )
    .catch(() => {})
  const events = await it.events()
  await it.start()
  const found = statements(events.filter(({ fields }) => (fields.context as Told).application === 'terminated'))
  expect(found.at(-1)!.end).toMatchObject({ sqlstate: '57P01', outcome: 'failure' })
  const [ended] = events
    .map(seen)
    .filter(({ action, context }) => action.endsWith('session.end') && context.application === 'terminated')
  expect(ended!.known).toMatchObject({ by: 'server', transaction: { state: 'rolled_back' } })
})

test('what is asked once the server has said that it ends the session is not sent, so there is no doubt what became of it', async () => {
  const raw = await loggedIn(it)
  const ask = async (text: string) => {
    raw.socket.write(message('Q', text))
    return (await raw.until('Z')).types.at(-1)
  }
  expect(await ask("set application_name = 'ending'; create temporary table held (n int)")).toBe('Z')
  expect(await ask("begin; insert into t values (0, 'lost')")).toBe('Z')
  const [held] = await queryAsOwner<{ pid: number; name: string }>(
    it.direct,
    `select pid, relnamespace::regnamespace || '.held' as name from pg_class, pg_stat_activity
       where relname = 'held' and application_name = 'ending'`,
  )
  // Between its last word and the end of the connection the server drops temporary tables: it waits for this one.
  const other = new pg.Client({ connectionString: it.direct })
  await other.connect()
  await other.query(`begin; lock table ${held!.name} in access share mode`)
  await other.query('select pg_terminate_backend($1)', [held!.pid])
  expect((await raw.until('E')).last.includes('57P01')).toBe(true)
  raw.socket.write(message('Q', "insert into t values (1, 'too late')"))
  await expect.poll(() => wordsIn(it.folder, ['too late'])).toHaveLength(1)
  await other.query('rollback')
  await other.end()
  await raw.ended()
  const events = await it.events()
  await it.start()
  const { intent, end } = statements(events).at(-1)!
  expect(JSON.stringify(intent.statement)).toContain('too late')
  expect(end).toMatchObject({ state: 'not_sent', outcome: undefined })
  const ended = events.map(seen).findLast(({ action }) => action.endsWith('session.end'))
  expect(ended!.known).toMatchObject({ by: 'server', transaction: { state: 'rolled_back' } })
  expect(await queryAsOwner(it.direct, `select from t where note in ('lost', 'too late')`)).toEqual([])
})

test('what the server said before it ended the connection is read to the end, although nothing can be sent to it any more', async ({
  skip,
}) => {
  if (process.platform !== 'linux') skip('how much waits in a socket is read from /proc')
  const raw = await loggedIn(it)
  raw.socket.write(message('Q', `set application_name = 'unread'`))
  await raw.until('Z')
  const state = `select pid, client_port, state, query from pg_stat_activity where application_name = 'unread'`
  type State = { pid: number; client_port: number; state: string; query: string }
  const at = () => queryAsOwner<State>(it.direct, state)
  const [{ pid, client_port: port }] = (await at()) as [State]

  // The client reads nothing: relay and kernel take what fits between the two, and then the relay does not read either. What the
  // kernel of the server has not passed on yet is lost with a reset; so the client reads until all of that waits before the relay.
  raw.socket.pause()
  const unreadByRelay = async () => {
    for (;;) {
      const { arrived, unsent } = await settled(() => waitingOn(port))
      if (unsent === 0) return arrived
      raw.socket.resume()
      await once(raw.socket, 'data')
      raw.socket.pause()
    }
  }
  let asked = 0
  while ((await unreadByRelay()) === 0) {
    if (asked === 100) throw new Error('20 MB fit between relay and client.')
    const text = `select repeat('x', 200000) /* ${asked++} */`
    raw.socket.write(message('Q', text))
    await expect.poll(at).toMatchObject([{ state: 'idle', query: text }])
  }

  await queryAsOwner(it.direct, `select pg_terminate_backend(${pid})`)
  await expect.poll(at).toEqual([])
  expect(await unreadByRelay()).toBeGreaterThan(0)
  // The first is answered by a reset, and the others find the connection broken.
  const late = ['late one', 'late two', 'late three']
  for (const word of late) {
    raw.socket.write(message('Q', `select '${word}'`))
    await expect.poll(() => wordsIn(it.folder, [word])).toHaveLength(1)
  }
  raw.socket.resume()
  expect((await raw.until('E')).last.includes('57P01')).toBe(true)
  await raw.ended()
  const events = await it.events()
  await it.start()
  const found = statements(events.filter(({ fields }) => (fields.context as Told).application === 'unread'))
  const outcomes = found.map(({ end }) => end.sqlstate ?? end.outcome ?? end.state)
  const read = Array.from({ length: asked }, () => 'success')
  expect(outcomes.slice(-late.length - asked)).toEqual([...read, '57P01', 'unknown', 'unknown'])
})

/** Bytes in the kernel between the server and the relay, which is connected to it from `port`. */
async function waitingOn(port: number): Promise<{ arrived: number; unsent: number }> {
  const queues = { arrived: 0, unsent: 0 }
  for (const line of (await readFile('/proc/net/tcp', 'utf8')).split('\n').slice(1)) {
    const [, local, remote, , waiting] = line.trim().split(/\s+/)
    const [unsent, arrived] = (waiting ?? '').split(':')
    if (local?.endsWith(`:${hex(port)}`)) queues.arrived += parseInt(arrived!, 16)
    if (remote?.endsWith(`:${hex(port)}`)) queues.unsent += parseInt(unsent!, 16)
  }
  return queues
}

const hex = (port: number) => port.toString(16).toUpperCase().padStart(4, '0')

/** What `look` finds, once it has found the same three times running. */
async function settled<T>(look: () => Promise<T>): Promise<T> {
  const seen: string[] = []
  for (;;) {
    const found = await look()
    seen.push(JSON.stringify(found))
    if (seen.length > 2 && new Set(seen.slice(-3)).size === 1) return found
    await setTimeout(20)
  }
}

test('two-phase commit, a call of a function, cursors and portals that are read in parts', async () => {
  const raw = await loggedIn(it)
  const ask = async (...messages: Buffer[]) => {
    raw.socket.write(Buffer.concat(messages))
    return (await raw.until('Z')).types
  }
  // The test run's server allows no prepared transactions: that it refuses them is recorded too.
  expect(await ask(message('Q', "begin; prepare transaction 'x'"))).toBe('CEZ')
  expect(await ask(message('Q', 'rollback'))).toBe('NCZ')
  // int4abs(-7), by its OID.
  const call = [Buffer.from([0, 0, 4, 227]), 1, 1, 1, Buffer.from([0, 0, 0, 4, 255, 255, 255, 249]), 1]
  expect(await ask(message('F', ...call))).toBe('VZ')
  const two = Buffer.from([0, 0, 0, 2])
  expect(
    await ask(
      message('P', '', 'select * from generate_series(1, 3)', 0),
      ...[message('B', 'part', '', 0, 0, 0), message('E', 'part', two), message('E', 'part', two), message('S')],
    ),
  ).toBe('12DDsDCZ')
  // A jsonb in binary form, as drivers send it that name its type.
  const json = Buffer.from('\x01{"pin":4711}')
  expect(
    await ask(
      message('P', '', 'select $1', 1, Buffer.from([0, 0, 14, 218])),
      ...[message('B', '', '', 1, 1, 1, Buffer.from([0, 0, 0, json.length]), json, 0), message('E', '', NO_LIMIT)],
      message('S'),
    ),
  ).toBe('12DCZ')
  raw.socket.end(message('X'))
  await raw.ended()
  const found = statements(await it.events()).slice(-6)
  await it.start()
  expect(found[2]).toMatchObject({
    intent: {
      action: 'postgres.function',
      parameters: [{ hex: 'fffffff9' }],
      known: { function: 1251, isFullyKnown: false },
    },
    end: { outcome: 'success' },
  })
  expect(found.slice(3, 5).map(({ intent, end }) => [intent.known.portal, intent.known.continues, end.state])).toEqual([
    ['part', undefined, 'suspended'],
    ['part', true, 'answered'],
  ])
  expect(found[5]!.intent.parameters).toEqual(['{"pin":"[redacted:secret]"}'])
})

test('TLS ends at the relay; one with the certificate of the server keeps channel binding', async () => {
  const made = certifier(it.folder)
  made.issue('relay', 'DNS:localhost,IP:127.0.0.1')
  await it.events()
  await it.start({ tls: { cert: 'relay.crt', key: 'relay.key', require: true } })
  const ssl = { rejectUnauthorized: false }
  const secure = await it.with((client) => client.query('select 1 as one'), { ssl })
  expect(secure.rows).toEqual([{ one: 1 }])
  await expect(it.with(async () => {})).rejects.toMatchObject({ code: '28000' })
  await expect(
    it.with((client) => client.query('select 1'), { ssl, enableChannelBinding: true } as pg.ClientConfig),
  ).resolves.toBeDefined()
  const starts = (await it.events())
    .map(seen)
    .filter(({ action, known }) => action === 'postgres.session.start' && known.tls?.client)
  await it.start()
  expect(starts).toHaveLength(2)
})

test('a certificate that was renewed is shown to those who come then; a pair that is none is not, and is told of once', async () => {
  const made = certifier(it.folder)
  made.issue('relay', 'DNS:localhost')
  await it.events()
  writeFileSync(made.file('empty'), '')
  const faulty = it.start({ server: { host: 'localhost', port: 1, tls: { ca: 'empty' } } })
  await expect(faulty).rejects.toThrow('/server/tls/ca cannot be read: it holds no certificate')
  await withLooks(async (look) => {
    // One that cannot start takes no more connections, and looks no more.
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const admin = { port: (taken.address() as AddressInfo).port }
    const open = () => process.getActiveResourcesInfo().filter((kind) => kind === 'TCPServerWrap').length
    const before = open()
    await expect(it.start({ tls: { cert: 'relay.crt', key: 'relay.key' }, admin })).rejects.toThrow('EADDRINUSE')
    // Those of another file may be closed only now.
    expect(open()).toBeLessThanOrEqual(before)
    expect(vi.getTimerCount()).toBe(0)
    taken.close()
    await it.start({ tls: { cert: 'relay.crt', key: 'relay.key' } })
    const ask = () => it.with((client) => client.query('select 1 as one'), { ssl: { rejectUnauthorized: false } })
    const shown = async () => {
      const [host, port] = it.relay.address.split(':') as [string, string]
      const socket = connect(Number(port), host)
      socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]))
      await once(socket, 'data')
      return shownSerial(0, { socket })
    }
    const old = serialIn(made.file('relay.crt'))
    expect(await shown()).toBe(old)
    const key = readFileSync(made.file('relay.key'))
    made.issue('relay', 'DNS:localhost')
    const renewed = [serialIn(made.file('relay.crt')), readFileSync(made.file('relay.key'))] as const
    writeFileSync(made.file('relay.key'), key)
    // Nobody takes the events, which is said too.
    const told = () => it.said.filter((line) => line.startsWith('TLS: '))
    it.said.length = 0
    look()
    look()
    expect(told()).toEqual([
      expect.stringMatching(/^TLS: the certificate stays as it is, and ends 20\d\d-.*: .*mismatch/),
    ])
    expect(await shown()).toBe(old)
    writeFileSync(made.file('relay.key'), renewed[1])
    look()
    look()
    expect(told().slice(1)).toEqual([
      expect.stringMatching(/^TLS: the files of the certificate have changed; .*ends 20/),
    ])
    expect(await shown()).toBe(renewed[0])
    expect((await ask()).rows).toEqual([{ one: 1 }])
    await it.events()
  })
  await it.start()
})

test('a cancel request inside of TLS ends as TLS does: libpq takes an end without a word for a failure', async () => {
  certifier(it.folder).issue('relay', 'DNS:localhost,IP:127.0.0.1')
  await it.events()
  await it.start({ tls: { cert: 'relay.crt', key: 'relay.key' } })
  const [inner, outer] = duplexPair()
  const [host, port] = it.relay.address.split(':') as [string, string]
  const socket = connect(Number(port), host)
  const told: Buffer[] = []
  socket.on('data', (chunk) => told.push(chunk))
  outer.pipe(socket).pipe(outer)
  // In this version an alert can be told from other messages without a key.
  const asked = { maxVersion: 'TLSv1.2', rejectUnauthorized: false, ALPNProtocols: ['postgresql'] } as const
  const secure = connectTls({ socket: inner, ...asked })
  const packet = Buffer.alloc(16)
  for (const [i, value] of [16, 80_877_102, 4711, 4712].entries()) packet.writeInt32BE(value, 4 * i)
  secure.on('error', () => {}).write(packet)
  await once(socket, 'end')
  secure.destroy()
  socket.destroy()
  const records: number[] = []
  const bytes = Buffer.concat(told)
  for (let at = 0; at < bytes.length; at += 5 + bytes.readUInt16BE(at + 3)) records.push(bytes[at]!)
  await it.events()
  await it.start()
  expect(records.at(-1)).toBe(ALERT)
})

const ALERT = 21
