// What the session adds to what a text says, and the policy through the relay.
import { afterEach, expect, test } from 'vitest'
import { statements, type World, world } from './support.ts'

let it: World | undefined
afterEach(async () => {
  await it?.remove()
  it = undefined
})

test('names along a search_path that the session has set are not fully known, until it is the default again', async () => {
  it = await world()
  await it.with(async (client) => {
    await client.query('create table users (a int)')
    await client.query('select a from users -- 1')
    await client.query('begin')
    await client.query('set local search_path = public, pg_catalog')
    await client.query('select a from users -- 2')
    await client.query('select 1 -- 3')
    await client.query('commit')
    await client.query('select a from users -- 4')
  })
  const why = statements(await it.events()).flatMap(({ intent }) => {
    const n = /-- (\d)$/.exec(intent.statement)?.[1]
    return n === undefined ? [] : [[n, intent.known.unknownWhy ?? []]]
  })
  expect(Object.fromEntries(why)).toEqual({ 1: [], 2: ['search_path'], 3: [], 4: [] })
})

test('a policy cannot be walked around', async () => {
  it = await world({
    policy: {
      rules: [
        { name: 'where', does: ['delete'], withoutWhere: true },
        { name: 'why', answer: 'require_reason', does: ['write'], tables: ['accounts'] },
      ],
    },
  })
  await it.with(async (client) => {
    await client.query('create table users (a int)')
    await client.query('create table accounts (a int)', []).then(
      () => expect.unreachable(),
      (error) => expect(error).toMatchObject({ code: '42501' }),
    )
    await client.query('create table accounts (a int) /* reason: begin */')
    await client.query('insert into users values (1), (2)')
    const walks = [
      'delete from users',
      'with x as (delete from users returning a) select count(*) from x',
      'explain analyze delete from users',
      'prepare p as delete from users',
      'select 1; delete from users; select 2',
      'do $$begin delete from users; end$$',
      'delete from users where true',
      'delete/* where a = 1 */from"users"',
      'copy (delete from users returning a) to stdout',
      "select query_to_xml('delete from users', true, true, '')",
      'create function f() returns int language sql as $$delete from users; select 1$$; select f()',
      "insert into accounts values (1); select '/* reason: none */'",
    ]
    for (const sql of walks) await expect(client.query(sql), sql).rejects.toMatchObject({ code: '42501' })
    await expect(client.query({ text: 'delete from users', name: 'p1' })).rejects.toMatchObject({ code: '42501' })
    expect((await client.query('select a from users')).rows).toHaveLength(2)
    await client.query("set killick.reason = 'ticket 7'")
    await client.query('insert into accounts values (1)')
    await client.query('delete from users where a = 1')
  })
})
