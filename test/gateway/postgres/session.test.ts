import { createHash } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { queryAsOwner } from '../../support/postgres.ts'
import {
  executed,
  loggedIn,
  message,
  NO_LIMIT,
  played,
  type Seen,
  seen,
  statements,
  type Told,
  type World,
  world,
} from './support.ts'

// One relay does all of it; what it recorded is read once, at the end.
let it: World
let all: Awaited<ReturnType<World['events']>>

/** The session that called itself so: its events. */
const of = (application: string) => all.filter(({ fields }) => (fields.context as Told).application === application)
const texts = (application: string) => statements(of(application)).map(({ intent }) => intent.statement)
const ends = (application: string): Told[] => statements(of(application)).map(({ end }) => end)
const as = (application_name: string): pg.ClientConfig => ({ application_name })
const BIG = 'x'.repeat(50_000)
/** Texts of one session; between them the server is asked what it holds. */
const TAKEN_BACK = [
  "set killick.actor = 'ada'",
  ...['begin', "set killick.actor = 'bob'", 'rollback'],
  ...['begin', "set local killick.actor = 'bob'", 'savepoint a', "set local killick.actor = 'eve'", 'savepoint "A"'],
  ...["set killick.actor = 'joe'", 'rollback to a', 'select 1/0', "set local killick.actor = 'joe'", 'rollback to a'],
  ...["set local killick.actor = 'kim'", 'release a', 'discard all', 'rollback to a', 'commit'],
  ...['begin', "set killick.actor = 'bob'", 'select 1/0', 'commit', "set killick.actor = 'bob'; select 1/0"],
  ...['begin', 'savepoint a', "set killick.actor = 'bob'", 'savepoint a', "set killick.actor = 'eve'", 'rollback to a'],
  ...['release a', 'rollback to a', "set local killick.actor = 'kim'", 'release a', 'commit and chain', 'commit'],
  ...["begin; set killick.actor = 'eve'; commit; begin; set killick.actor = 'joe'; rollback", 'reset killick.actor'],
  ...["set local killick.actor = 'bob'", "begin; savepoint a; set killick.actor = 'kim'; release a; commit"],
  ...["begin; savepoint b; savepoint a; set local killick.actor = 'bob'", 'savepoint b', 'release a', 'rollback to b'],
  ...["commit; prepare p as select set_config('killick.actor', 'eve', false)", 'begin; execute p; rollback'],
  'reset killick.actor',
  ...['1::bool', 'is_local => true', "'on'::bpchar::bool", 'not false'].map(
    (local) => `begin; select set_config('killick.actor', 'joe', ${local}); commit`,
  ),
]
const LATIN1 = ['select * from gehälter', 'select * from GEHÄLTER', "select 'Ä'", 'prepare Ä as select 1', 'execute Ä']
/** By their numbers. */
const held = new Map<number, string | undefined>()

beforeAll(async () => {
  it = await world({ policy: {} })
  await queryAsOwner(
    it.direct,
    'create table t (id int primary key, note text); create table logged (n serial, what text)',
  )

  await it.with(async (client) => {
    await client.query('select 1 as one')
    await client.query("insert into t values (1, 'a'), (2, 'b')")
    await client.query("select 2; update t set note = 'c'; select 3")
    await expect(client.query('select nothing from nowhere')).rejects.toMatchObject({ code: '42P01' })
    await client.query('')
  }, as('simple'))

  await it.with(async (client) => {
    const { rows } = await client.query('select $1::int + $2::int as sum', [1, null])
    expect(rows).toEqual([{ sum: null }])
    await client.query({ name: 'by-name', text: 'select note from t where id = $1', values: [1] })
    await client.query({ name: 'by-name', text: 'select note from t where id = $1', values: [2] })
    await client.query('select $1::bytea as raw', [Buffer.from([0, 1, 255])])
    await expect(client.query('insert into t values ($1, $2)', [1, 'twice'])).rejects.toMatchObject({ code: '23505' })
    await client.query('select length($1)', [BIG])
  }, as('extended'))

  await it.with(async (client) => {
    await client.query('begin')
    await client.query("insert into t values (10, 'rolled back')")
    await client.query('savepoint s')
    await expect(client.query('select 1/0')).rejects.toMatchObject({ code: '22012' })
    await client.query('rollback to s')
    await client.query('rollback')
    await client.query('begin')
    await client.query("insert into t values (11, 'stays')")
    await client.query('commit')
    await client.query('begin')
    await expect(client.query('select 1/0')).rejects.toMatchObject({ code: '22012' })
    // The server answers with ROLLBACK.
    await client.query('commit')
    await client.query("begin; insert into t values (12, 'x'); commit; begin; insert into t values (13, 'y'); rollback")
  }, as('transactions'))

  await it.with(async (client) => {
    await client.query('prepare p as delete from t where id = 99')
    await client.query('execute p')
    await client.query('deallocate p')
    await expect(client.query('execute p')).rejects.toMatchObject({ code: '26000' })
  }, as('by another name'))

  await it.with(async (client) => {
    await client.query("set killick.actor = 'ada'")
    await client.query("set killick.reason = 'ticket 7'")
    await client.query('select 1')
    await client.query('begin')
    // Not within a transaction; where it may be, it is for later sessions.
    await expect(client.query("alter system set killick.actor = 'eve'")).rejects.toMatchObject({ code: '25001' })
    await client.query('rollback; begin')
    await client.query("set local killick.reason = 'only here'")
    await client.query('select 2')
    await client.query('commit')
    await client.query('select 3')
    await client.query('reset killick.actor')
    await client.query('select 4 /* reason: because */')
    await client.query('discard all')
    await client.query('select 5')
  }, as('claims'))
  await it.with(async (client) => {
    await client.query("set killick.actor = 'eve'")
    await client.query("begin; set local killick.actor = 'ada'; set killick.actor = 'bob'; commit")
    await client.query('select 6')
    await client.query("begin; set local killick.actor = 'ada'; reset all; commit")
    await client.query('select 7')
    await client.query("begin; select set_config('killick.actor', 'ada', true)")
    await client.query('select 10')
    await client.query('commit')
    await client.query('select 11')
    await client.query("set killick.actor = 'eve'")
    await client.query("begin; set local killick.actor = 'ada'; select 12; commit; set killick.actor = 'bob'")
    await client.query(
      "select set_config('killick.actor', 'kim', true), set_config('killick.reason', 'due', true); select 13",
    )
    await client.query('select 14')
  }, as('claims for a while'))
  await it.with(async (client) => {
    for (const [i, text] of TAKEN_BACK.entries()) {
      await client.query(text).catch(() => {})
      const asked = client.query(`select ${i}, current_setting('killick.actor', true) as holds`)
      // Where the transaction has failed it is not told.
      await asked.then(
        ({ rows }) => held.set(i, rows[0].holds || undefined),
        () => {},
      )
    }
  }, as('claims taken back'))
  const raw = await loggedIn(it)
  raw.socket.write(message('Q', "set application_name = 'claims for a while'"))
  await raw.until('Z')
  const ask = ["begin; set local killick.actor = 'ada'", 'commit', 'select 8', "begin; set local killick.actor = 'eve'"]
  raw.socket.write(Buffer.concat(ask.map((text) => message('Q', text))))
  for (const _ of ask) await raw.until('Z')
  raw.socket.write(message('Q', 'select 9; rollback'))
  await raw.until('Z')
  const failing = [
    "set killick.actor = 'ada'; select 1/0",
    'select 15',
    "begin; set killick.actor = 'bob'",
    'select 1/0',
  ]
  const asked = [...failing.map((text) => message('Q', text)), message('P', '', 'commit', 0)]
  asked.push(message('B', '', '', 0, 0, 0), message('E', '', NO_LIMIT), message('S'), message('Q', 'select 16'))
  // Also where the client goes, and does not wait for the answers itself.
  raw.socket.end(Buffer.concat(asked))
  await raw.ended()

  await it.with(async (client) => {
    const notes: string[] = []
    client.on('notification', ({ channel }) => notes.push(channel))
    await client.query('listen here')
    await queryAsOwner(it.direct, 'notify here')
    await vi.waitFor(() => expect(notes).toEqual(['here']), 20_000)
  }, as('listens'))

  await it.with(async (client) => {
    await client.query("create role somebody_else_in_relay password 'do-not-record'").catch(() => {})
    await client.query('drop role if exists somebody_else_in_relay')
    // What these are for is not there.
    for (const text of [
      "alter role nobody password'do-not-record\\'",
      "alter role nobody password -- of today\n 'x'\n 'do-not-record'",
      'alter user mapping for nobody server none options (set "password" \'do-not-record\')',
      "alter subscription none connection 'host=db user=''a b'' password=do-not-record port=1'",
      "alter subscription none connection 'postgres://a:do-not-record@db/x'",
      // In a text that is executed, its quotes are doubled.
      "do $$ begin execute 'alter role nobody password ''do-not-record'' createdb'; end $$",
      "do 'begin execute ''alter role nobody password ''''do-not-record''''''; end'",
      "do $$ begin execute E'alter role nobody password \\'do-not-record\\''; end $$",
      "alter role nobody password '' createdb; select 'x'",
      "select 'app.password', 'none' = 'a password', 'and then', password = 'x'",
      // Looked at in every way in which spaces can be shared out, this would take hours.
      `select none where ${'a=          '.repeat(12)}password = x`,
    ])
      await client.query(text).catch(() => {})
    await client.query('select $1::jsonb, $2', [{ name: 'ada', password: 'do-not-record' }, '{a,b}'])
  }, as('secrets'))

  const latin1 = new URL(it.url)
  latin1.pathname += '_latin1'
  await queryAsOwner(
    it.direct,
    `create database ${latin1.pathname.slice(1)} template template0 locale 'C' encoding 'LATIN1'`,
  )
  const client = new pg.Client({ connectionString: latin1.href, options: '-c killick.actor=ada', ...as('of LATIN1') })
  // pg sends no settings of others.
  const parts: { getStartupConf(): object } = client as Told
  const conf = parts.getStartupConf.bind(client)
  parts.getStartupConf = () => ({ ...conf(), 'killick.actor': 'kim' })
  await client.connect()
  expect((await client.query('show killick.actor')).rows).toEqual([{ 'killick.actor': 'kim' }])
  for (const text of LATIN1) await client.query(text).catch(() => {})
  await client.end()

  all = await it.events()
})
afterAll(() => it?.remove())

test('a session: its start and its end, and each statement before and after', () => {
  const [start, ...rest] = played(all.filter(({ fields }) => (fields.context as Told).session === sessionOf('simple')))
  expect(start!.intent).toMatchObject({
    action: 'postgres.session.start',
    actor: { type: 'database-user', id: 'killick' },
    metadata: { startup: { application_name: 'simple' } },
    known: { authentication: 'scram-sha-256', tls: { client: false, server: false } },
  })
  expect(start!.intent.targets).toEqual([
    { type: 'database', id: new URL(it.direct).pathname.slice(1) },
    { type: 'session', id: sessionOf('simple') },
  ])
  expect(start!.end).toMatchObject({ by: 'client', statements: 5, failed: 1 })
  expect(rest.map(({ intent }) => intent.statement)).toEqual([
    'select 1 as one',
    "insert into t values (1, 'a'), (2, 'b')",
    "select 2; update t set note = 'c'; select 3",
    'select nothing from nowhere',
    '',
  ])
  expect(rest.map(({ end }) => end.outcome)).toEqual(['success', 'success', 'success', 'failure', 'success'])
  expect(rest[0]!.end).toMatchObject({ tag: 'SELECT 1', rows: 1, transaction: { state: 'committed' } })
  expect(rest[1]!.end).toMatchObject({ tag: 'INSERT 0 2', rows: 2 })
  expect(rest[2]!.end.results.map(({ tag }: Told) => tag)).toEqual(['SELECT 1', 'UPDATE 2', 'SELECT 1'])
  expect(rest[3]!.end).toMatchObject({ sqlstate: '42P01', transaction: { state: 'rolled_back' } })
  expect(rest[3]!.end.error.message).toMatch(/nowhere/)
  for (const { end } of rest) expect(end.ms).toBeGreaterThan(0)
})

test('what a statement does is there before the server sees it', () => {
  const insert = find('simple', 'insert')
  expect(insert.known).toMatchObject({
    ...{ kind: 'intent', protocol: 'simple', isFullyKnown: true },
    effects: [{ kind: 'insert', writes: ['t'] }],
  })
  expect(insert.targets[0]).toEqual({ type: 'table', id: 't' })
})

test('prepared statements: each execution, with its text and its parameters', () => {
  const found = statements(of('extended'))
  expect(found.map(({ intent }) => [intent.statement, intent.parameters])).toEqual([
    ['select $1::int + $2::int as sum', ['1', null]],
    ['select note from t where id = $1', ['1']],
    ['select note from t where id = $1', ['2']],
    ['select $1::bytea as raw', [{ hex: '0001ff' }]],
    ['insert into t values ($1, $2)', ['1', 'twice']],
    ['select length($1)', [{ sha256: createHash('sha256').update(BIG).digest('hex'), bytes: BIG.length }]],
  ])
  expect(found[1]!.intent.known).toMatchObject({ protocol: 'extended', prepared: 'by-name' })
  expect(found[4]!.end).toMatchObject({ outcome: 'failure', sqlstate: '23505' })
})

test('each statement says which transaction it was part of, and that one how it ended', () => {
  const found = ends('transactions')
  const ids = found.map(({ transaction, results }) => (transaction ?? results[0].transaction).id)
  expect(ids.slice(0, 12)).toEqual([1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3])
  const state = (i: number) => found[i].transaction.state
  expect([state(5), state(8), state(11)]).toEqual(['rolled_back', 'committed', 'rolled_back'])
  expect(found[12].results.map(({ transaction }: Told) => transaction.state)).toEqual([
    ...['committed', 'committed', 'committed'],
    ...['rolled_back', 'rolled_back', 'rolled_back'],
  ])
})

test('PREPARE and EXECUTE: what runs is known by the name', () => {
  const [, execute, , unknown] = statements(of('by another name'))
  expect(execute!.intent.known).toMatchObject({ isFullyKnown: true })
  expect(execute!.intent.known.effects.map(({ kind }: Told) => kind)).toEqual(['execute', 'delete'])
  expect(execute!.intent.targets[0]).toEqual({ type: 'table', id: 't' })
  expect(unknown!.intent.known.isFullyKnown).toBe(false)
  expect(unknown!.intent.known.unknownWhy).toContain('prepared_name')
})

test('killick.actor and killick.reason stand in the context until they are reset; SET LOCAL ends with its transaction', () => {
  const said = (text: string) => {
    const { context } = find('claims', text)
    return [context.claimedActor?.id, context.reason]
  }
  expect(said('select 1')).toEqual(['ada', 'ticket 7'])
  expect(said('select 2')).toEqual(['ada', 'only here'])
  expect(said('select 3')).toEqual(['ada', 'ticket 7'])
  expect(said('select 4')).toEqual([undefined, 'ticket 7'])
  expect(said('select 5')).toEqual([undefined, undefined])
  // A plain SET, or RESET, outlives the transaction, also behind one that does not.
  expect(find('claims for a while', 'select 6').context.claimedActor.id).toBe('bob')
  expect(find('claims for a while', 'select 7').context.claimedActor).toBeUndefined()
  // So does what set_config() sets for a transaction.
  expect(find('claims for a while', 'select 10').context.claimedActor.id).toBe('ada')
  expect(find('claims for a while', 'select 11').context.claimedActor).toBeUndefined()
  // What stands at the beginning of a text holds for what follows in it.
  const twelve = find('claims for a while', "begin; set local killick.actor = 'ada'; select 12")
  expect(twelve.context.claimedActor.id).toBe('ada')
  const thirteen = find('claims for a while', "select set_config('killick.actor', 'kim', true), ")
  expect([thirteen.context.claimedActor.id, thirteen.context.reason]).toEqual(['kim', 'due'])
  expect(find('claims for a while', 'select 14').context).toMatchObject({ claimedActor: { id: 'bob' } })
  expect(find('claims for a while', 'select 14').context.reason).toBeUndefined()
  // Also where nobody waits for the end of one before the next one begins.
  expect(find('claims for a while', 'select 8').context.claimedActor).toBeUndefined()
  expect(find('claims for a while', 'select 9').context.claimedActor.id).toBe('eve')
  // Nor for the answers that say whether they have failed.
  expect(find('claims for a while', 'select 15').context.claimedActor).toBeUndefined()
  expect(find('claims for a while', 'select 16').context.claimedActor).toBeUndefined()
  expect(ends('claims for a while').at(-1)).toMatchObject({ state: 'answered', tag: 'SELECT 1' })
  expect(all.some(({ fields }) => (fields.metadata as Told).postgres.continues)).toBe(false)
  expect(find('claims', 'select 4').metadata.reason).toBe('because')
  expect(find('claims', 'select 1').context.claimedActor.vouchedBy).toBe('session')
  expect(find('claims', 'select 1').actor.type).toBe('database-user')
})

test('what the first packet sets by name holds, whatever its options say of the same', () => {
  expect(find('of LATIN1', 'show').context.claimedActor.id).toBe('kim')
})

test('nothing is known by a name whose capitals the server may fold beyond ASCII', () => {
  const [, ...found] = statements(of('of LATIN1'))
  expect(found.map(({ intent }) => intent.statement)).toEqual(LATIN1)
  expect(found.map(({ intent }) => intent.known.unknownWhy)).toEqual([
    ...[undefined, ['encoding'], undefined, undefined],
    ['execute', 'prepared_name'],
  ])
})

test('a password in a statement is removed before anything is signed', () => {
  const [made, , ...others] = texts('secrets')
  expect(made).toBe('create role somebody_else_in_relay [redacted:sql-password]')
  expect(others).toEqual([
    'alter role nobody [redacted:sql-password]',
    'alter role nobody [redacted:sql-password]',
    'alter user mapping for nobody server none options (set "[redacted:sql-password])',
    "alter subscription none connection 'host=db user=''a b'' [redacted:sql-password] port=1'",
    "alter subscription none connection 'postgres://a:[redacted:url-password]@db/x'",
    "do $$ begin execute 'alter role nobody [redacted:sql-password] createdb'; end $$",
    "do 'begin execute ''alter role nobody [redacted:sql-password]''; end'",
    "do $$ begin execute E'alter role nobody [redacted:sql-password]'; end $$",
    "alter role nobody [redacted:sql-password] createdb; select 'x'",
    "select 'app.password', 'none' = 'a password', 'and then', password = 'x'",
    expect.stringMatching(/ password = x$/),
    'select $1::jsonb, $2',
  ])
  const { parameters, metadata } = find('secrets', 'select $1')
  expect(parameters).toEqual(['{"name":"ada","password":"[redacted:secret]"}', '{a,b}'])
  expect(metadata.redactions).toEqual([{ path: '/parameters/0/password', rule: 'secret' }])
  expect(JSON.stringify(all.map(({ fields }) => fields))).not.toContain('do-not-record')
})

test('the events of a session are found by their last target', () => {
  for (const { targets, context } of all.map(seen))
    expect(targets.at(-1)).toEqual({ type: 'session', id: context.session })
})

const sessionOf = (application: string): string => (of(application)[0]!.fields.context as Told).session
const find = (application: string, text: string): Seen =>
  statements(of(application)).find(({ intent }) => `${intent.statement}`.startsWith(text))!.intent

test('killick.actor is claimed as long as the server holds it: not what failed, nor what a rollback took back', () => {
  const claimed = (i: number) => find('claims taken back', `select ${i},`).context.claimedActor?.id
  expect(held.size).toBeGreaterThan(TAKEN_BACK.length / 2)
  for (const [i, holds] of held) expect([TAKEN_BACK[i], claimed(i)]).toEqual([TAKEN_BACK[i], holds])
})

test('pipelined: several in flight keep their order, and after an error what comes before the sync is skipped', async () => {
  const other = await world()
  try {
    await queryAsOwner(other.direct, 'create table t (id int primary key)')
    const raw = await loggedIn(other)
    const ask = (text: string) => [message('P', '', text, 0), message('B', '', '', 0, 0, 0), message('E', '', NO_LIMIT)]
    raw.socket.write(
      Buffer.concat([
        ...ask('insert into t values (1)'),
        ...ask('insert into t values (1)'),
        ...ask('insert into t values (2)'),
        message('S'),
        ...ask('insert into t values (3)'),
        message('S'),
        message('Q', 'insert into t values (4)'),
        // Before the server has answered anything: given up, given anew, executed.
        message('P', 'n', 'insert into t values (5)', 0),
        message('S'),
        message('C', Buffer.from('Sn\0')),
        message('P', 'n', 'insert into t values (6)', 0),
        message('S'),
        message('B', '', 'n', 0, 0, 0),
        message('E', '', NO_LIMIT),
        message('S'),
      ]),
    )
    const answers = []
    for (let i = 0; i < 6; i++) answers.push((await raw.until('Z')).types)
    expect(answers).toEqual(['12C12EZ', '12CZ', 'CZ', '1Z', '31Z', '2CZ'])
    // What the client does not wait for is asked for all the same.
    raw.socket.write(Buffer.concat([message('Q', 'insert into t values (7)'), message('X')]))
    await raw.ended()
    expect(await queryAsOwner(other.direct, 'select id from t order by id')).toEqual([3, 4, 6, 7].map((id) => ({ id })))
    const events = await other.events()
    expect(
      statements(events).flatMap(({ intent: { statement, known } }) =>
        known.step === undefined ? [] : [[known.step, statement]],
      ),
    ).toEqual([
      ['parse', 'insert into t values (5)'],
      ['parse', 'insert into t values (6)'],
    ])
    const found = executed(events)
    expect(found.map(({ intent, end }) => [intent.statement, end.state, end.outcome])).toEqual([
      ['insert into t values (1)', 'answered', 'success'],
      ['insert into t values (1)', 'answered', 'failure'],
      ['insert into t values (2)', 'skipped', undefined],
      ['insert into t values (3)', 'answered', 'success'],
      ['insert into t values (4)', 'answered', 'success'],
      ['insert into t values (6)', 'answered', 'success'],
      ['insert into t values (7)', 'answered', 'success'],
    ])
    expect(found[0]!.end.transaction.state).toBe('rolled_back')
  } finally {
    await other.remove()
  }
})
