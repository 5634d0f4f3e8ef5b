// What the server refuses before it executes anything: when it reads a prepared text, or when it binds its parameters.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { queryAsOwner } from '../../support/postgres.ts'
import { executed, loggedIn, message, NO_LIMIT, type World, world } from './support.ts'

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
