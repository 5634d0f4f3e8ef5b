// What the server refuses before it executes anything: when it reads a prepared text, or when it binds its parameters. And what was not the
// server that said it.
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { queryAsOwner } from '../../support/postgres.ts'
import { executed, loggedIn, message, NO_LIMIT, RawClient, seen, type World, world } from './support.ts'

let it: World
beforeAll(async () => {
  it = await world()
  await queryAsOwner(it.direct, 'create table t (n int)')
})
afterAll(() => it?.remove())

test.each(['strict', 'observe'])(
  '%s: its outcome is a failure with the error, and not that it was skipped',
  async (mode) => {
    await it.events()
    await it.start({ mode })
    await it.with(async (client) => {
      await expect(client.query('select * from nowhere where n = $1', [1])).rejects.toMatchObject({ code: '42P01' })
      await expect(client.query('select * from t where n = $1', ['x'])).rejects.toMatchObject({ code: '22P02' })
      await client.query('set role pg_monitor')
      // Whether somebody may is looked at when the portal is bound.
      await expect(client.query('delete from t where n = $1', [1])).rejects.toMatchObject({ code: '42501' })
      await client.query('reset role')
      await client.query({ name: 'kept', text: 'select n / $1::int from t', values: [1] })
      await expect(client.query({ name: 'kept', text: '', values: ['x'] })).rejects.toThrow()
    })
    const raw = await loggedIn(it)
    const bound = (text: string) => [
      message('P', '', text, 0),
      message('B', '', '', 0, 0, 0),
      message('E', '', NO_LIMIT),
    ]
    raw.socket.write(Buffer.concat([...bound('insert into t values (1/0)'), ...bound('select 7'), message('S')]))
    expect((await raw.until('Z')).types).toBe('1EZ')
    raw.socket.end(message('X'))
    await raw.ended()
    const found = executed(await it.events())
      .filter(({ end }) => end.outcome !== 'success')
      .slice(-6)
      .map(({ intent, end }) => [intent.statement, end.state, end.outcome, end.sqlstate, end.transaction?.state])
    expect(found).toEqual([
      ['select * from nowhere where n = $1', 'answered', 'failure', '42P01', 'rolled_back'],
      ['select * from t where n = $1', 'answered', 'failure', '22P02', 'rolled_back'],
      ['delete from t where n = $1', 'answered', 'failure', '42501', 'rolled_back'],
      ['select n / $1::int from t', 'answered', 'failure', '22P02', 'rolled_back'],
      ['insert into t values (1/0)', 'answered', 'failure', '22012', 'rolled_back'],
      ['select 7', 'skipped', undefined, undefined, undefined],
    ])
  },
)

test('an end that a pooler has made of the session says nothing of what the server has done', async () => {
  // As pgbouncer has it behind its query_timeout, or where its connection broke; the server names a routine too.
  const fatal = (...more: string[]) =>
    message('E', ...['SFATAL', 'VFATAL', 'C08P01', 'Mquery timeout', ...more], Buffer.from([0]))
  let end = fatal()
  const server = createServer((socket) => {
    socket.on('error', () => {})
    const ready = (state: string) => message('Z', Buffer.from(state))
    socket.on('data', (chunk) => {
      if (chunk.includes('user')) socket.write(Buffer.concat([message('R', NO_LIMIT), ready('I')]))
      else if (chunk.includes('begin')) socket.write(Buffer.concat([message('C', 'BEGIN'), ready('T')]))
      // As pgcat does.
      else if (chunk.includes('goes on')) socket.write(Buffer.concat([fatal(), ready('I')]))
      else socket.end(end)
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void server.close())
  await it.events()
  await it.start({ server: { host: '127.0.0.1', port: (server.address() as AddressInfo).port } })
  const ends = async (...asked: Buffer[]) => {
    const raw = new RawClient(it.relay.address)
    raw.socket.write(Buffer.concat([Buffer.from([0, 0, 0, 17, 0, 3, 0, 0]), Buffer.from('user\0me\0\0')]))
    for (const each of asked) {
      await raw.until('Z')
      raw.socket.write(each)
    }
    await raw.ended()
  }
  const step = [message('B', '', '', 0, 0, 0), message('E', '', NO_LIMIT)]
  const piped = ['insert into t values (4)', 'insert into t values (5)'].map((text) => [
    message('P', '', text, 0),
    ...step,
  ])
  await ends(message('Q', 'insert into t values (1)'))
  await ends(message('Q', 'begin'), message('Q', 'commit /* 2 */'))
  await ends(Buffer.concat([...piped.flat(), message('S')]))
  const goesOn = message('P', '', 'insert into t values (3) /* goes on */', 0)
  await ends(
    message('Q', 'delete from t /* 7, goes on */'),
    Buffer.concat([goesOn, ...step, message('S')]),
    message('X'),
  )
  end = fatal('RProcessInterrupts')
  await ends(message('Q', 'insert into t values (6)'))
  // As pgpool adds to what the server has said.
  end = Buffer.concat([end, fatal()])
  await ends(message('Q', 'insert into t values (7)'))
  const events = await it.events()
  const found = executed(events).filter(({ intent }) => /\d/.test(intent.statement))
  const told = found.map(({ end: { state, outcome, sqlstate, transaction } }) => [
    state,
    outcome,
    sqlstate,
    transaction,
  ])
  expect(told.slice(-8)).toEqual([
    ['unknown', undefined, '08P01', { id: 1, state: 'unknown' }],
    ['unknown', undefined, '08P01', { id: 1, state: 'unknown' }],
    ['unknown', undefined, '08P01', { id: 1, state: 'unknown' }],
    ['unknown', undefined, undefined, { id: 1, state: 'unknown' }],
    ['unknown', undefined, '08P01', { id: 1, state: 'unknown' }],
    ['unknown', undefined, '08P01', { id: 2, state: 'unknown' }],
    ['answered', 'failure', '08P01', { id: 1, state: 'rolled_back' }],
    ['answered', 'failure', '08P01', { id: 1, state: 'rolled_back' }],
  ])
  const sessions = events.map(seen).filter(({ action }) => action === 'postgres.session.end')
  const states = sessions.slice(-6).map(({ known }) => known.transaction?.state)
  expect(states).toEqual(['unknown', 'unknown', 'unknown', undefined, 'rolled_back', 'rolled_back'])
})
