// What became of each transaction, where the server's answer is not what was asked for.
import { setTimeout as sleep } from 'node:timers/promises'
import { tellStep } from '@killick/sdk/words'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { queryAsOwner } from '../../support/postgres.ts'
import { executed, loggedIn, message, NO_LIMIT, seen, type World, world } from './support.ts'

let it: World
beforeAll(async () => {
  it = await world()
  await queryAsOwner(it.direct, 'create table t (n int)')
})
afterAll(() => it?.remove())

const execution = (text: string): Buffer =>
  Buffer.concat([message('P', '', text, 0), message('B', '', '', 0, 0, 0), message('E', '', NO_LIMIT)])

test('COMMIT and PREPARE TRANSACTION of what has failed: it is rolled back, and what comes behind is another one', async () => {
  const ends = [
    'commit and chain',
    'commit; insert into t values (2)',
    "prepare transaction 'p'; insert into t values (2)",
  ]
  for (const end of ends)
    await it.with(async (client) => {
      await client.query('begin')
      await client.query('insert into t values (1)')
      await expect(client.query('select 1/0')).rejects.toMatchObject({ code: '22012' })
      await client.query(end)
      await client.query('insert into t values (2)')
      await client.query('commit')
    })
  expect((await queryAsOwner(it.direct, 'select n from t')).map(({ n }) => n)).toEqual([2, 2, 2, 2, 2])
  const told = executed(await it.events()).flatMap(({ intent, end }) =>
    (end.results ?? [end]).map((each: { transaction: { id: number; state: string } }) => ({
      ...{ session: intent.context.session, statement: intent.statement, transaction: each.transaction },
    })),
  )
  // What is recorded before a transaction ends says how it is; what comes last in it says what became of it.
  const found = told.map(({ session, statement, transaction }) => {
    const last = told.findLast((one) => one.session === session && one.transaction.id === transaction.id)!
    return [statement, last.transaction]
  })
  const [rolledBack, committed] = ['rolled_back', 'committed'].map((state, i) => ({ id: i + 1, state }))
  const first = [
    ['begin', rolledBack],
    ['insert into t values (1)', rolledBack],
    ['select 1/0', rolledBack],
  ]
  expect(found).toEqual([
    ...first,
    ['commit and chain', rolledBack],
    ['insert into t values (2)', committed],
    ['commit', committed],
    ...ends
      .slice(1)
      .flatMap((end) => [
        ...first,
        [end, rolledBack],
        [end, committed],
        ['insert into t values (2)', { id: 3, state: 'committed' }],
        ['commit', { id: 4, state: 'committed' }],
      ]),
  ])
})

test('a transaction that fails as it is committed: its last statement has failed with that, and all of it is rolled back', async () => {
  await queryAsOwner(it.direct, 'create table d (n int unique deferrable initially deferred)')
  await it.events()
  await it.start()
  await it.with(async (client) => {
    await client.query('insert into d values ($1)', [1])
    await expect(client.query('insert into d values ($1)', [1])).rejects.toMatchObject({ code: '23505' })
  })
  const raw = await loggedIn(it)
  const texts = ['insert into d values (1)', 'select 1']
  raw.socket.write(Buffer.concat([...texts.map(execution), message('S')]))
  expect((await raw.until('Z')).types).toBe('12C12DCEZ')
  raw.socket.end(message('X'))
  await raw.ended()
  const told = executed(await it.events()).slice(-4)
  expect(told.map(({ end }) => [end.outcome, end.sqlstate, end.error?.message, end.tag, end.transaction])).toEqual([
    ['success', undefined, undefined, 'INSERT 0 1', { id: 1, state: 'committed' }],
    ['failure', '23505', expect.stringContaining('d_n_key'), 'INSERT 0 1', { id: 2, state: 'rolled_back' }],
    ['success', undefined, undefined, 'INSERT 0 1', { id: 1, state: 'rolled_back' }],
    ['failure', '23505', expect.stringContaining('d_n_key'), 'SELECT 1', { id: 1, state: 'rolled_back' }],
  ])
})

test('DISCARD ALL is committed by itself, also where what follows before the sync fails', async () => {
  await it.events()
  await it.start()
  const raw = await loggedIn(it)
  raw.socket.write(message('Q', "set killick.actor = 'ada'"))
  await raw.until('Z')
  raw.socket.write(Buffer.concat([...['discard all', 'select 1/0'].map(execution), message('S')]))
  expect((await raw.until('Z')).types).toBe('12C1EZ')
  raw.socket.write(Buffer.concat([message('Q', "select current_setting('killick.actor')"), message('X')]))
  const { all } = await raw.until('D')
  expect(all.at(-1)!.body.readInt32BE(2)).toBe(0)
  await raw.ended()
  const told = executed(await it.events()).slice(-3)
  expect(told.map(({ intent, end }) => [intent.context.claimedActor?.id, end.transaction.state])).toEqual([
    ['ada', 'committed'],
    [undefined, 'rolled_back'],
    [undefined, 'committed'],
  ])
})

test('in pipelines who asks waits for no answer that does not come, and is who the server has', async () => {
  await it.events()
  await it.start()
  await queryAsOwner(it.direct, 'create table copied (n int)')
  const raw = await loggedIn(it)
  const begun = async () => {
    raw.socket.write(message('Q', "rollback; begin; set local killick.actor = 'ada'"))
    await raw.until('Z')
  }
  const [sync, flush] = [message('S'), message('H')]
  const asked = async (...messages: Buffer[]) => {
    raw.socket.write(Buffer.concat(messages))
    return (await raw.until('Z')).types
  }
  // A text before the sync behind what has failed is not looked at.
  for (const [i, skipped] of [message('Q', 'select 5'), message('F', Buffer.from([0, 0, 4, 223]), 0, 0, 0)].entries()) {
    await begun()
    expect(await asked(execution('select 1/0'), skipped, sync, execution('commit'), sync)).toBe('1EZ')
    expect((await raw.until('Z')).types).toBe('12CZ')
    await begun()
    raw.socket.write(Buffer.concat([execution('select 1/0'), flush]))
    await raw.until('E')
    const said = i === 0 ? message('Q', "set local killick.actor = 'bob'") : skipped
    expect(await asked(said, execution('rollback'), sync, execution('select 6'), sync)).toBe('Z')
    expect((await raw.until('Z')).types).toBe('EZ')
  }
  // What ends a failure is asked for before the server has told of it.
  await begun()
  const again = ['rollback', 'begin', "set killick.actor = 'kim'", 'commit', 'select 7'].map(execution)
  expect(await asked(execution('select 1/0'), sync, ...again, sync)).toBe('1EZ')
  expect((await raw.until('Z')).types).toBe('12C12C12C12C12DCZ')
  // COMMIT of what has failed takes back what was said, also for what is asked before the failure is told.
  raw.socket.write(message('Q', "begin; set killick.actor = 'ada'"))
  await raw.until('Z')
  expect(await asked(execution('select 1/0'), sync, execution('commit'), execution('select 9'), sync)).toBe('1EZ')
  expect((await raw.until('Z')).types).toBe('12C12DCZ')
  // The server ignores a sync before the end of the data that it waits for.
  await begun()
  const copy = [execution('copy copied from stdin'), sync, message('d', Buffer.from('1\n')), message('c'), sync]
  expect(await asked(execution("set local killick.actor = 'bob'"), ...copy)).toBe('12C12GCZ')
  expect(await asked(execution('select 8'), sync, execution('commit'), sync)).toBe('12DCZ')
  expect((await raw.until('Z')).types).toBe('12CZ')
  raw.socket.end(message('X'))
  await raw.ended()
  const told = executed(await it.events())
  const of = (text: string) => told.find(({ intent }) => intent.statement === text)!
  expect(of('select 7').intent.context.claimedActor?.id).toBe('kim')
  expect(of('select 9').intent.context.claimedActor?.id).toBe('kim')
  expect(of('select 8').intent.context.claimedActor.id).toBe('bob')
  expect(of('select 8').end.tag).toBe('SELECT 1')
})

test('the session ends while the server commits: what became of the transaction is not known', async () => {
  await queryAsOwner(
    it.direct,
    `create table slow (n int); create function wait() returns trigger language plpgsql as
     'begin perform pg_advisory_xact_lock(4711); return null; end';
     create constraint trigger wait after insert on slow deferrable initially deferred for each row execute function wait()`,
  )
  await it.events()
  await it.start()
  const holder = new pg.Client({ connectionString: it.direct })
  await holder.connect()
  try {
    await holder.query('select pg_advisory_lock(4711)')
    const raw = await loggedIn(it)
    raw.socket.write(Buffer.concat([execution('insert into slow values (1)'), message('H')]))
    await raw.until('C')
    raw.socket.write(message('S'))
    const waiting = "select from pg_locks where locktype = 'advisory' and not granted"
    await expect.poll(async () => (await holder.query(waiting)).rowCount).toBe(1)
    const events = (await it.events()).map(seen)
    await holder.query('select pg_advisory_unlock(4711)')
    await expect.poll(async () => (await holder.query('select from slow')).rowCount).toBe(1)
    const [statement, session] = events.slice(-2).map(({ action, known }) => [action, known.transaction])
    expect(statement).toEqual(['postgres.statement.result', { id: 1, state: 'unknown' }])
    expect(session).toEqual(['postgres.session.end', { id: 1, state: 'unknown' }])
  } finally {
    await holder.end()
  }
})

test('more statements without a sync than are kept: what became of their transaction is said of the last', async () => {
  await it.events()
  await it.start()
  const raw = await loggedIn(it)
  const count = 257
  raw.socket.write(Buffer.concat([...Array(count).fill(execution('insert into t values (3)')), message('H')]))
  for (let i = 0; i < count; i++) await raw.until('C')
  // Successes wait for others for a fourth of a second.
  await sleep(400)
  raw.socket.write(message('S'))
  await raw.until('Z')
  raw.socket.end(message('X'))
  await raw.ended()
  const ends = executed(await it.events()).slice(-count)
  expect(ends.at(-1)?.end.transaction).toEqual({ id: 1, state: 'committed' })
})

test('one statement of a text was committed and the next one has failed: each is said to be what it is', async () => {
  await it.events()
  await it.start()
  await it.with(async (client) => {
    await client.query('begin; insert into t values (6)')
    await expect(client.query('commit; select 1/0')).rejects.toMatchObject({ code: '22012' })
  })
  const end = executed(await it.events()).at(-1)!.end
  expect(end).toMatchObject({ sqlstate: '22012', transaction: { id: 2, state: 'rolled_back' } })
  expect(end.results).toEqual([{ tag: 'COMMIT', transaction: { id: 1, state: 'committed' } }])
  expect(end.tag).toBeUndefined()
})

test('in words: what was executed and not committed does not read as done, and what only read is told too', async () => {
  const before = (await it.events()).length
  await it.start({ mode: 'observe' })
  await it.with(async (client) => {
    await client.query('select 1')
    await client.query('select 2')
    // Of what comes later an event says nothing: so all in one.
    await client.query('begin; insert into t values (4); rollback')
    const fails = (text: string) => expect(client.query(text)).rejects.toMatchObject({ code: '22012' })
    await fails('begin; insert into t values (7); commit; select 1/0')
    await fails('do $$ begin commit; perform 1/0; end $$')
    await fails('insert into t values (8); select 1/0')
    await client.query('begin; insert into t values (5)')
  })
  const told = (await it.events()).slice(before).map((event) =>
    tellStep(event)
      .map((each) => (typeof each === 'string' ? each : each.said))
      .join(''),
  )
  // They share an event if they come within a tenth of a second.
  expect(told.join('\n')).toMatch(/^select 1(; select 2 \(2 statements\))?$/m)
  expect(told).toContain('BEGIN, rolled back; INSERT 0 1, 1 row, rolled back; ROLLBACK, rolled back')
  expect(told.filter((each) => each.startsWith('error'))).toEqual([
    'error 22012 division by zero; before it, and not undone: BEGIN; INSERT 0 1, 1 row; COMMIT',
    'error 22012 division by zero, perhaps committed in part',
    'error 22012 division by zero',
  ])
  expect(told.at(-1)).toBe('the session ends, by client, what was open in it is rolled back')
})
