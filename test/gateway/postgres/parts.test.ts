// What commits by itself, beside something that fails: the transaction is not said to be rolled back.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { queryAsOwner } from '../../support/postgres.ts'
import { executed, loggedIn, message, NO_LIMIT, type RawClient, type World, world } from './support.ts'

let it: World
beforeAll(async () => {
  it = await world()
  await queryAsOwner(
    it.direct,
    `create table t (n int);
     create procedure p() language plpgsql as 'begin insert into t values (1); commit; insert into t values (2); raise exception ''no''; end'`,
  )
})
afterAll(() => it?.remove())

async function pipelined(raw: RawClient, ...texts: string[]): Promise<string> {
  const execute = (text: string) => [
    ...[message('P', '', text, 0), message('B', '', '', 0, 0, 0), message('E', '', NO_LIMIT)],
  ]
  raw.socket.write(Buffer.concat([...texts.flatMap(execute), message('S')]))
  return (await raw.until('Z')).types.replaceAll(/[12]/g, '')
}

test('it is committed where the server has committed it, and unknown where it may have', async () => {
  const raw = await loggedIn(it)
  expect(await pipelined(raw, 'vacuum t', 'insert into t values (3)', 'select 1/0')).toBe('CCEZ')
  expect(await pipelined(raw, 'create index concurrently on t (n)', 'select 1/0')).toBe('CEZ')
  raw.socket.end(message('X'))
  await raw.ended()
  await it.with(async (client) => {
    await expect(client.query('call p()')).rejects.toThrow('no')
    await expect(client.query('do $$begin perform 1/0; end$$')).rejects.toThrow('division')
    await expect(client.query('create unique index concurrently on t ((1/(n-1)))')).rejects.toThrow('division')
    await expect(client.query('insert into t values (4); do $$begin perform 1/0; end$$')).rejects.toThrow('division')
    await client.query('begin')
    await expect(client.query('call p()')).rejects.toThrow('invalid transaction termination')
    await client.query('rollback')
    await expect(client.query('selec')).rejects.toThrow('syntax')
  })
  expect((await queryAsOwner(it.direct, 'select n from t')).map(({ n }) => n)).toEqual([1])
  const found = executed(await it.events()).map(({ intent, end }) => [
    intent.statement,
    (end.transaction ?? end.results?.[0].transaction)?.state ?? end.state,
  ])
  // Successes are recorded four times a second, so one of them may be before the end of its transaction is known.
  const begun = found.find(([statement]) => statement === 'begin')!
  expect(['open', 'rolled_back']).toContain(begun.pop())
  expect(found).toEqual([
    ['vacuum t', 'committed'],
    ['insert into t values (3)', 'rolled_back'],
    ['select 1/0', 'rolled_back'],
    ['create index concurrently on t (n)', 'unknown'],
    ['select 1/0', 'unknown'],
    ['call p()', 'unknown'],
    ['do $$begin perform 1/0; end$$', 'unknown'],
    ['create unique index concurrently on t ((1/(n-1)))', 'unknown'],
    ['insert into t values (4); do $$begin perform 1/0; end$$', 'rolled_back'],
    ['begin'],
    ['call p()', 'failed'],
    ['rollback', 'rolled_back'],
    ['selec', 'rolled_back'],
  ])
})
