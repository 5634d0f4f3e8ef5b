import { createServer, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { queryAsOwner } from '../../support/postgres.ts'
import {
  executed,
  loggedIn,
  message,
  NO_LIMIT,
  type Played,
  RawClient,
  seen,
  statements,
  type Told,
  type World,
  world,
} from './support.ts'

let it: World
beforeAll(async () => {
  it = await world({ admin: { port: 0 } })
  await queryAsOwner(it.direct, 'create table t (id int)')
})
afterAll(() => it?.remove())

const bind = (name: string) => [message('B', '', name, 0, 0, 0), message('E', '', NO_LIMIT)]
const parse = (name: string, text: string) => message('P', name, text, 0)

/** What one connection asks, answer by answer, and what was recorded of it. */
async function asks(...groups: (readonly Buffer[])[]): Promise<{ types: string[]; found: Told[]; steps: Played[] }> {
  const raw = await loggedIn(it)
  const types: string[] = []
  for (const group of groups) {
    raw.socket.write(Buffer.concat(group))
    types.push((await raw.until('Z')).types)
  }
  const session = raw.socket.localPort
  raw.socket.end(message('X'))
  await raw.ended()
  const events = (await it.events()).filter(({ fields }) => (fields.context as Told).address.endsWith(`:${session}`))
  await it.start()
  return {
    types,
    found: executed(events).map(({ intent }) => [intent.statement, intent.known.unknownWhy ?? []]),
    steps: statements(events).filter(({ intent }) => intent.known.step !== undefined),
  }
}

test('names that are one to the server are one here: it looks at 63 bytes', async () => {
  const long = 'n'.repeat(63)
  const { types, found } = await asks(
    [parse(`${long}-harmless`, 'select 1'), message('S')],
    [message('C', Buffer.from(`S${long}-other\0`)), parse(`${long}-third`, 'delete from t'), message('S')],
    [...bind(`${long}-harmless`), message('S')],
  )
  expect(types).toEqual(['1Z', '31Z', '2CZ'])
  expect(found).toEqual([['delete from t', []]])
})

test('a name beyond ASCII is not believed where the server converts it: two encodings have other bytes for one name', async () => {
  const [latin1, utf8] = [Buffer.from('é\0', 'latin1'), Buffer.from('é\0')]
  // What UTF-8 has for é, LATIN1 has for two other letters.
  const other = Buffer.from('Ã©\0')
  const named = (name: Buffer) => [message('B', '', name, 0, 0, 0), message('E', '', NO_LIMIT)]
  const { types, found } = await asks(
    [message('P', utf8, 'select 1', 0), message('P', other, 'delete from t', 0), message('S')],
    [...named(utf8), message('S')],
    [message('Q', "set client_encoding = 'LATIN1'")],
    [...named(utf8), message('S')],
    [message('C', Buffer.from('S'), latin1), message('P', latin1, 'delete from t', 0), message('S')],
    [message('Q', "begin; set client_encoding = 'UTF8'")],
    [...named(utf8), message('S')],
    // Names of portals, too.
    [parse('p', 'select 2'), parse('q', 'delete from t'), message('B', utf8, 'p', 0, 0, 0), message('S')],
    [message('Q', "set client_encoding = 'LATIN1'")],
    [message('C', Buffer.from('P'), latin1), message('B', latin1, 'q', 0, 0, 0), message('S')],
    [message('Q', "set client_encoding = 'UTF8'")],
    [message('E', utf8, NO_LIMIT), message('S')],
  )
  expect(types).toEqual(['11Z', '2DCZ', 'CSZ', '2CZ', '31Z', 'CCSZ', '2CZ', '112Z', 'CSZ', '32Z', 'CSZ', 'CZ'])
  const unsaid = found.filter(([text]) => !text?.includes('client_encoding'))
  expect(unsaid).toEqual([
    ['select 1', []],
    [undefined, ['prepared_name']],
    ['select 1', ['prepared_name']],
    ['select 2', ['prepared_name']],
  ])
})

test('a name that was given anew where nobody saw it is not believed', async () => {
  const again = "do $$ begin execute 'deallocate p'; execute 'prepare p as delete from t'; end $$"
  const { types, found } = await asks(
    [parse('p', 'select 1'), ...bind('p'), message('S')],
    [message('Q', again)],
    [...bind('p'), message('S')],
    [message('Q', 'execute p')],
    // By the names of others: a cursor of SQL is a portal of the protocol.
    [message('Q', 'begin; declare c cursor for select * from t')],
    [message('E', 'c', NO_LIMIT), message('S')],
  )
  expect(types).toEqual(['12DCZ', 'CZ', '2CZ', 'CZ', 'CCZ', 'CZ'])
  expect(found.map(([, why]) => why)).toEqual([
    [],
    ['do_block'],
    ['prepared_name'],
    expect.arrayContaining(['prepared_name']),
    [],
    ['prepared_name'],
  ])
})

test('what a cursor does is done when it is read, or held beyond its transaction', async () => {
  const text = "select '\\', ' ; delete from t; --'"
  const config = "set_config('standard_conforming_strings', 'off', false)"
  const set = `declare c cursor for select ${config}`
  const again = "execute 'deallocate p'; execute 'prepare p as delete from t'; return 1"
  await queryAsOwner(it.direct, `create function again() returns int language plpgsql as $$begin ${again}; end$$`)
  const held = 'declare c cursor with hold for select again()'
  const { found } = await asks(
    [message('Q', 'prepare p as select 1')],
    [message('Q', `begin; ${set}`)],
    [message('Q', text)],
    // Read by the server before it has told the relay of the setting: the second text deletes.
    [message('Q', 'fetch c'), message('Q', text)],
    [],
    [message('Q', 'rollback')],
    [message('Q', 'begin; declare c cursor for select again()')],
    [message('Q', 'deallocate p; prepare p as select 2')],
    [message('Q', 'execute p')],
    [message('Q', 'fetch c')],
    [message('Q', 'execute p')],
    [message('Q', `deallocate p; prepare p as select 3; close c; ${held}`)],
    [message('Q', 'deallocate p; prepare p as select 3')],
    [message('Q', 'commit')],
    [message('Q', 'execute p')],
    // Without a transaction that anybody has begun a sync commits.
    [message('Q', 'close c; deallocate p')],
    [parse('', held), ...bind(''), parse('p', 'select 4'), message('S')],
    [...bind('p'), message('S')],
    // One that only reads leaves everything as it was.
    [parse('q', 'select 5'), message('S')],
    [message('Q', 'begin; declare d cursor for select 1')],
    [message('Q', 'fetch d'), message('Q', text)],
    [],
    [message('Q', 'commit')],
    [...bind('q'), message('S')],
    // A portal of the protocol is read as a cursor, too.
    [
      ...[message('Q', 'begin'), parse('', `select ${config}`), message('B', 'e', '', 0, 0, 0), message('S')],
      ...[message('Q', 'fetch e'), message('Q', text)],
    ],
    ...[[], [], []],
    [message('Q', 'rollback')],
    [message('Q', 'begin'), parse('', 'select again()'), message('B', 'f', '', 0, 0, 0), message('S')],
    [],
    [message('Q', 'deallocate all; prepare p as select 6')],
    [message('Q', 'fetch f')],
    [message('Q', 'execute p')],
  )
  const whyOf = (asked: string) => found.filter(([each]) => each === asked).map(([, why]) => why)
  const strings = ['standard_conforming_strings']
  expect(whyOf(text)).toEqual([[], strings, [], strings])
  expect(whyOf('execute p').map((why) => why.includes('prepared_name'))).toEqual([false, true, true, true])
  expect(whyOf('select 4')).toEqual([['prepared_name']])
  expect(whyOf('select 5')).toEqual([[]])
})

test('what was prepared is read again by the server once search_path is another', async () => {
  const text = "select lower('X')"
  const set = 'set search_path = elsewhere, pg_catalog'
  const { types, found, steps } = await asks(
    [parse('p', text), message('S')],
    [message('Q', `prepare q as ${text}`)],
    [...bind('p'), message('S')],
    [message('Q', set)],
    [...bind('p'), message('S')],
    [message('Q', 'execute q')],
    [message('D', Buffer.from('Sp\0')), message('S')],
    [message('Q', 'reset search_path')],
    [...bind('p'), message('S')],
    // What was bound before is what it was.
    [
      parse('s', set),
      message('B', 'early', 'p', 0, 0, 0),
      ...bind('s'),
      message('E', 'early', NO_LIMIT),
      ...bind('p'),
      message('S'),
    ],
  )
  expect(types.at(-1)).toBe('122C' + 'DC' + '2DCSZ')
  expect(found.map(([, why]) => why)).toEqual([
    ...[[], [], [], ['search_path'], ['search_path'], [], []],
    ...[[], [], ['search_path']],
  ])
  expect(steps.map(({ intent }) => [intent.known.step, intent.known.unknownWhy])).toContainEqual([
    'describe',
    ['search_path'],
  ])
})

test('a portal whose name a cursor of SQL may have by now is not believed', async () => {
  const portal = (name: string) => message('B', name, '', 0, 0, 0)
  const execute = (name: string) => message('E', name, NO_LIMIT)
  const declare = 'declare c cursor for select * from t'
  const opens = "do $$ declare c refcursor := 'c'; begin open c for select * from t; end $$"
  const { types, found } = await asks(
    // It ends with its transaction, and its name is free then.
    [parse('', 'select 1'), portal('c'), execute('c'), message('S')],
    [message('Q', `begin; ${declare}`)],
    [execute('c'), message('S')],
    // The same in one pipeline, before anything is answered.
    [message('Q', 'close c')],
    [
      ...[parse('', 'select 2'), portal('c'), parse('', 'close c'), portal(''), execute('')],
      ...[parse('', declare), portal(''), execute(''), execute('c'), message('S')],
    ],
    [message('Q', 'close c')],
    [parse('', 'select 3'), portal('d'), message('H'), parse('', opens), portal(''), execute(''), message('S')],
    [execute('d'), message('S')],
    // FETCH gives nothing a name.
    [parse('', 'select 4'), portal('e'), parse('', 'fetch c'), portal(''), execute(''), execute('e'), message('S')],
  )
  expect(types).toEqual(['12DCZ', 'CCZ', 'CZ', 'CZ', '1212C12CCZ', 'CZ', '1212CZ', 'DCZ', '1212CDCZ'])
  expect(found.filter(([text]) => text === undefined || text.length === 8)).toEqual([
    ['select 1', []],
    // A portal is given up with its transaction: what it was is not said of the cursor.
    [undefined, ['prepared_name']],
    ['select 2', ['prepared_name']],
    ['select 3', ['prepared_name']],
    ['select 4', []],
  ])
})

test('a name that is refused keeps its old meaning, also where nobody waits for the answer', async () => {
  const { types, found } = await asks(
    [parse('p', 'select 1'), message('S'), parse('p', 'delete from t'), message('S'), ...bind('p'), message('S')],
    [],
    [],
  )
  expect(types).toEqual(['1Z', 'EZ', '2DCZ'])
  expect(found).toEqual([['select 1', []]])
})

test('a PREPARE that is refused gives no name, also where nobody waits for the answer', async () => {
  const again = "do $$ begin execute 'prepare r as delete from t'; end $$"
  const { types, found } = await asks(
    [parse('p', 'delete from t'), message('S')],
    // A text ends its own segment: what comes behind one that fails is executed.
    [message('Q', 'prepare p as select 1'), ...bind('p'), message('S')],
    [],
    [message('Q', 'prepare p as select 2'), message('Q', 'execute p')],
    [],
    // Nobody here knows that the name is given.
    [message('Q', again)],
    [message('Q', 'prepare r as select 3'), message('Q', 'execute r')],
    [],
    // A cursor of that name is read in place of the portal.
    [message('Q', 'begin; declare c cursor for select * from t')],
    [parse('', 'select 4'), message('B', 'c', '', 0, 0, 0), message('S'), message('E', 'c', NO_LIMIT), message('S')],
    [],
  )
  expect(types).toEqual(['1Z', 'EZ', '2CZ', 'EZ', 'CZ', 'CZ', 'EZ', 'CZ', 'CCZ', '1EZ', 'EZ'])
  const executions = found.filter(([text]) => !text?.startsWith('prepare'))
  expect(executions).toEqual([
    ['delete from t', []],
    ['execute p', []],
    [again, ['do_block']],
    ['execute r', expect.arrayContaining(['prepared_name'])],
    ['begin; declare c cursor for select * from t', []],
    [undefined, ['prepared_name']],
  ])
})

test('what the server executes while it prepares and binds has an intent, although nobody asks for an execution', async () => {
  await queryAsOwner(
    it.direct,
    `create table done (by text);
     create function writes(text) returns boolean language plpgsql as
       $$ begin insert into done values ($1); return true; end $$;
     create function constant(text) returns boolean immutable language plpgsql as $$ begin return writes($1); end $$;
     create domain checked as text check (writes(value));
     create table listed (a checked[]);
     create view seen as select constant('bind');
     grant all on done, listed, seen to public`,
  )
  const literal = "select * from listed where a = '{parse}'"
  const { types, found, steps } = await asks(
    [parse('', literal), message('S')],
    [parse('v', 'select * from seen'), message('B', '', 'v', 0, 0, 0), message('H'), message('S')],
    [
      message('P', '', 'select 1 / $1::int', 0),
      message('B', 'p', '', 0, 1, Buffer.from([0, 0, 0, 1, 0x30]), 0),
      message('S'),
    ],
    [parse('', 'select 1'), parse('x', 'select 2'), ...bind(''), message('S')],
    [message('D', Buffer.from('Sv\0')), message('S')],
    [parse('', literal), message('Q', 'select 3')],
  )
  expect(types).toEqual(['1Z', '12Z', '1EZ', '112DCZ', 'tTZ', '1TDCZ'])
  expect(await queryAsOwner(it.direct, 'select by, count(*)::int from done group by by order by by')).toEqual([
    { by: 'bind', count: 1 },
    { by: 'parse', count: 2 },
  ])
  expect(found.map(([text]) => text)).toEqual(['select 1', 'select 3'])
  expect(steps.map(({ intent: { known, statement }, end }) => [known.step, statement, end.state, end.outcome])).toEqual(
    [
      ['parse', literal, 'answered', 'success'],
      ['parse', 'select * from seen', 'answered', 'success'],
      ['bind', 'select * from seen', 'answered', 'success'],
      ['parse', 'select 1 / $1::int', 'answered', 'success'],
      ['bind', 'select 1 / $1::int', 'answered', 'failure'],
      ['parse', 'select 2', 'answered', 'success'],
      ['describe', 'select * from seen', 'answered', 'success'],
      ['parse', literal, 'answered', 'success'],
    ],
  )
  await queryAsOwner(
    it.direct,
    'drop view seen; drop table listed, done; drop domain checked; drop function constant, writes',
  )
})

test('what the parser reads otherwise than the server is not fully known', async () => {
  const plain = "select 'a\\', '; delete from t; --'"
  const { found, types } = await asks(
    [message('Q', "set client_encoding = 'SJIS'")],
    [message('Q', Buffer.from("select '\u3042\\'\0"))],
    [message('Q', 'select 1')],
    [message('Q', "set client_encoding = 'UTF8'; set standard_conforming_strings = off")],
    [message('Q', "select 'a\\'; delete from t; --'")],
    [message('Q', 'select 2')],
    // Nobody waits until the server says what holds now: what was set, what a transaction takes back, what a function may have set.
    [message('Q', 'reset standard_conforming_strings')],
    [message('Q', 'set standard_conforming_strings = off'), message('Q', plain)],
    [],
    [message('Q', 'begin; set local standard_conforming_strings = on')],
    [message('Q', 'rollback'), message('Q', plain)],
    [],
    [message('Q', 'reset standard_conforming_strings')],
    [message('Q', 'do $$ begin set standard_conforming_strings = off; end $$'), message('Q', plain)],
    [],
    [message('Q', 'reset standard_conforming_strings')],
    [message('Q', "set client_encoding = 'SJIS'"), message('Q', "select E'\u3043\\'; delete from t; --'")],
    [],
  )
  const strings = ['standard_conforming_strings']
  // To the server each of them is two statements.
  expect(types.filter((each) => each.endsWith('TDCCZ'))).toHaveLength(4)
  expect(found.map(([, why]) => why)).toEqual([
    ...[[], ['encoding'], [], [], strings, []],
    ...[[], [], strings, [], [], strings],
    ...[[], ['do_block'], strings, [], [], ['encoding', ...strings]],
  ])
})

test('more sessions than there may be, and more memory', async () => {
  await it.events()
  await it.start({ limits: { drainMs: 0, graceMs: 0, sessions: 2, heldBytes: 1 << 20 } })
  const [first, second] = [await loggedIn(it), await loggedIn(it)]
  await expect(it.with(async () => {})).rejects.toMatchObject({ code: '53300' })
  // Half of each message, and each is more than half of what there is room for.
  const long = message('Q', `select '${'x'.repeat(900_000)}'`)
  first.socket.write(long.subarray(0, 800_000))
  await expect.poll(() => heldBytes()).toBeGreaterThan(700_000)
  second.socket.write(long)
  const { types, all } = await second.until('Z')
  expect([types, all[0]!.body.toString()]).toEqual(['EZ', expect.stringContaining('postgres_memory')])
  first.socket.write(long.subarray(800_000))
  expect((await first.until('Z')).types).toBe('TDCZ')
  // What was held is given back.
  await expect.poll(() => heldBytes()).toBe(0)
  for (const each of [first, second]) each.socket.end()
  await second.ended()
  await it.events()
  await it.start()
})

test('a server that answers what nobody has asked ends the session: nothing is put down to a wrong statement', async () => {
  const ok = Buffer.concat([message('R', Buffer.alloc(4)), message('Z', Buffer.from('I'))])
  let odd: Buffer = Buffer.alloc(0)
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.once('data', () => {
      socket.write(ok)
      socket.once('data', () => socket.write(odd))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  await it.events()
  await it.start({ server: { host: '127.0.0.1', port: (server.address() as { port: number }).port } })
  const zero = Buffer.from([0x43, 0, 0, 0, 0])
  for (odd of [
    message('1'),
    message('Z', Buffer.from('I')),
    message('n'),
    zero,
    Buffer.concat([message('G'), message('3')]),
  ]) {
    const raw = new RawClient(it.relay.address)
    raw.socket.write(Buffer.concat([Buffer.from([0, 0, 0, 17, 0, 3, 0, 0]), Buffer.from('user\0me\0\0')]))
    await raw.until('Z')
    raw.socket.write(
      Buffer.concat([message('P', 'x', 'select 1', 0), ...bind('x'), message('S')].slice(odd[0] === 0x31 ? 3 : 1)),
    )
    const { all } = await raw.until('E')
    expect(all.at(-1)!.body.toString()).toContain('postgres_session_lost')
    await raw.ended()
  }
  const ends = (await it.events()).map(seen).filter(({ known }) => known.code === 'postgres_session_lost')
  for (const socket of sockets) socket.destroy()
  server.close()
  await it.start()
  expect(ends).toHaveLength(5)
})

const heldBytes = async (): Promise<number> => {
  const text = await (await fetch(`${it.relay.adminUrl}/metrics`)).text()
  return Number(/^killick_postgres_held_bytes (\d+)/m.exec(text)![1])
}

test('what is asked in the middle of the data of a COPY ends the session, and each intent has an outcome', async () => {
  const it = await world()
  onTestFinished(() => it.remove())
  const raw = await loggedIn(it)
  raw.socket.write(message('Q', 'create table copied (a int)'))
  await raw.until('Z')
  raw.socket.write(message('Q', 'copy copied from stdin'))
  await raw.until('G')
  raw.socket.write(Buffer.concat([message('P', '', 'select 4711', 0), message('S')]))
  expect((await raw.until('E')).last.toString()).toContain('postgres_session_lost')
  const all = statements(await it.events())
  expect(all.map(({ intent, end }) => [intent.statement, end?.state])).toEqual([
    ['create table copied (a int)', 'answered'],
    ['copy copied from stdin', 'unknown'],
    ['select 4711', 'unknown'],
  ])
})

test('what waits for an answer that ends the session is not asked for any more, and has no intent', async () => {
  const ready = message('Z', Buffer.from('I'))
  // All in one piece: what makes the name certain, and what ends the session.
  const answers = Buffer.concat([message('1'), ready, message('1'), ready, message('G', Buffer.alloc(3))])
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => {
      socket.write(Buffer.concat([message('R', Buffer.alloc(4)), ready]))
      socket.on('data', (chunk) => {
        if (chunk.includes('select 3')) socket.write(answers)
      })
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const it = await world({ server: { host: '127.0.0.1', port: (server.address() as { port: number }).port } })
  onTestFinished(() => it.remove())
  const raw = new RawClient(it.relay.address)
  raw.socket.write(Buffer.concat([Buffer.from([0, 0, 0, 17, 0, 3, 0, 0]), Buffer.from('user\0me\0\0')]))
  await raw.until('Z')
  const named = ['select 1', 'select 2'].flatMap((text) => [message('P', 'x', text, 0), message('S')])
  const copy = [message('Q', 'copy copied from stdin'), message('Q', 'select 3')]
  raw.socket.write(Buffer.concat([...named, ...copy, ...bind('x'), message('S')]))
  expect((await raw.until('E')).last.toString()).toContain('postgres_session_lost')
  await raw.ended()
  const all = statements(await it.events())
  expect(all.map(({ intent, end }) => [intent.statement, end?.state])).toEqual([
    ['select 1', 'answered'],
    ['select 2', 'answered'],
    ['copy copied from stdin', 'unknown'],
    ['select 3', 'unknown'],
  ])
})
