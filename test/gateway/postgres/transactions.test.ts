// What became of each transaction, where the server's answer is not what was asked for.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { queryAsOwner } from '../../support/postgres.ts'
import { executed, type World, world } from './support.ts'

let it: World
beforeAll(async () => {
  it = await world()
  await queryAsOwner(it.direct, 'create table t (n int)')
})
afterAll(() => it?.remove())

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
