import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { contextIn, recordIn, type Transaction } from '@killick/sdk/postgres'
import pg from 'pg'
import { expect, test } from 'vitest'
import { installCached } from '../../../scripts/lib/install-beside.ts'
import { findTool, TOOLS } from '../../../scripts/lib/tools.ts'
import { ofAction, type Told, world } from './support.ts'

const modules = installCached('postgres-clients', join(import.meta.dirname, 'clients'))

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const targets = (event: Told): string[] => event.targets.map(({ type, id }: Told) => `${type} ${id}`)
const rows = (events: readonly Told[]): Told[] => events.filter(({ metadata }) => metadata.changes?.kind === 'row')

/** A value of each type as PostgreSQL prints it, and as it is written in SQL. */
const VALUES = {
  n: ['12345678901234567890.12345678901234567890', '12345678901234567890.12345678901234567890'],
  nan: ['NaN', `'NaN'`],
  big: ['9223372036854775807', '9223372036854775807'],
  f: ['0.1', '0.1'],
  inf: ['-Infinity', `'-Infinity'`],
  bytes: ['\\x00ff10', `'\\x00ff10'`],
  j: ['{"a": 1e400, "b": [null, "ü\\u0001"]}', `'{"a": 1e400, "b": [null, "ü\\u0001"]}'`],
  list: ['{1,NULL,3}', `'{1,null,3}'`],
  at: ['2026-02-03 03:05:06.123456+00', `'2026-02-03 04:05:06.123456+01'`],
  ever: ['infinity', `'infinity'`],
  span: ['1 year 2 days 03:00:00.000001', `'1 year 2 days 3 hours 1 microsecond'`],
  t: ['naïve 🦀 "quoted"\n', `E'naïve 🦀 "quoted"\\n'`],
  mark: ['\uFEFFid', `U&'\\FEFFid'`],
  flag: ['t', 'true'],
  mood: ['low', `'low'`],
  home: ['public.v', `'public.v'`],
} as const

test('values stand as PostgreSQL prints them, before and after', async () => {
  const made = await world(`create type mood as enum ('low', 'high');
     create table v (id int primary key, n numeric, nan numeric, big int8, f float4, inf float8, bytes bytea, j json, list int[],
       at timestamptz, ever date, span interval, t text, mark text, flag bool, mood mood, home regclass, twice numeric generated always as (n * 2) stored);
     alter table v replica identity full;
     alter role current_user set datestyle = 'German'; alter role current_user set bytea_output = 'escape'`)
  const options = encodeURIComponent('-c timezone=Asia/Tokyo -c geqo=off')
  const recorder = await made.start({ database: `${made.url}&options=${options}` })
  const names = Object.keys(VALUES)
  await made.client.query(
    `insert into v (id, ${names}) values (1, ${Object.values(VALUES).map(([, sql]) => sql)}), (2${',null'.repeat(names.length)})`,
  )
  await made.client.query(`update v set flag = null, n = n + 1, mark = 'id' where id = 1`)
  await made.client.query(`delete from v where id = 2`)
  await made.finish(recorder)
  await made.client.query('alter role current_user reset all')
  const events = rows(await made.events())
  const [first, second, update, gone] = events
  expect(first.changes).toEqual([
    { path: '/id', after: '1' },
    ...Object.entries(VALUES).map(([name, [text]]) => ({ path: `/${name}`, after: text })),
    { path: '/twice', after: '24691357802469135780.24691357802469135780' },
  ])
  expect(second.changes.slice(1).map(({ after }: Told) => after)).toEqual([...names, 'twice'].map(() => null))
  expect(update.changes).toEqual([
    { path: '/n', before: VALUES.n[0], after: '12345678901234567891.12345678901234567890' },
    { path: '/mark', before: '\uFEFFid', after: 'id' },
    { path: '/flag', before: 't', after: null },
    {
      path: '/twice',
      before: '24691357802469135780.24691357802469135780',
      after: '24691357802469135782.24691357802469135780',
    },
  ])
  expect(gone.changes.slice(0, 2)).toEqual([
    { path: '/id', before: '2' },
    { path: '/n', before: null },
  ])
  expect(targets(update).slice(0, 2)).toEqual(['row public.v:1', 'table public.v'])
  expect(update.metadata.changes).not.toHaveProperty('before')
  // Two rows of one transaction, of which each says where it stands.
  expect([first, second].map(({ metadata }) => [metadata.changes.index, metadata.changes.of])).toEqual([
    [1, 2],
    [2, 2],
  ])
  expect(targets(first).at(-1)).toBe(targets(second).at(-1))
  expect(first.outcome).toBe('success')
  expect(first.occurredAt).toMatch(/^2\d{3}-.+Z$/)
})

test('what the stream does not tell is said, and not shown as a change', async () => {
  const made = await world(
    `create table d (id int primary key, body text, n int); alter table d alter body set storage external;
     create table f (body text, n int); alter table f replica identity full; alter table f alter body set storage external;
     create table i (a int, b int not null, c int); create unique index i_b on i (b); alter table i replica identity using index i_b;
     create table two (a text, b text, n int, primary key (a, b));
     create table n (n int)`,
    { limits: { discloseBytes: 1000 } },
  )
  const recorder = await made.start()
  const { client } = made
  await client.query(`insert into d values (1, repeat('é', 5000), 1); update d set n = 2`)
  await client.query('update d set id = 7')
  await client.query(
    `insert into f values (repeat('y', 5000), 1); update f set n = 2; update f set body = 'short'; delete from f`,
  )
  await client.query(`insert into i values (1, 2, 3); update i set c = 4; delete from i`)
  await client.query(`insert into two values ('x,y', 'z', 1); update two set n = 2`)
  await client.query('insert into n values (1)')
  await made.finish(recorder)
  const of = (name: string) => rows(events).filter((event) => targets(event).includes(`table public.${name}`))
  const events = await made.events()

  const [inserted, updated, renamed] = of('d')
  const hash = { omitted: { why: 'size', sha256: sha256('é'.repeat(5000)), bytes: 10_000 } }
  expect(inserted.changes[1]).toEqual({ path: '/body', after: hash })
  expect(updated.changes).toEqual([{ path: '/n', after: '2' }])
  expect(updated.metadata.changes).toMatchObject({
    before: 'key_only',
    unchanged: ['body'],
    relation: { identity: 'default' },
  })
  expect(renamed.changes).toEqual([
    { path: '/id', before: '1', after: '7' },
    { path: '/n', after: '2' },
  ])
  expect(targets(renamed).slice(0, 2)).toEqual(['row public.d:7', 'row public.d:1'])

  const [, unchanged, shortened, deleted] = of('f')
  expect(unchanged.changes).toEqual([{ path: '/n', before: '1', after: '2' }])
  expect(unchanged.metadata.changes).not.toHaveProperty('unchanged')
  expect(shortened.changes).toEqual([
    {
      path: '/body',
      before: { omitted: { why: 'size', sha256: sha256('y'.repeat(5000)), bytes: 5000 } },
      after: 'short',
    },
  ])
  expect(deleted.changes).toEqual([
    { path: '/body', before: 'short' },
    { path: '/n', before: '2' },
  ])
  expect(deleted.metadata.changes.key).toBe('none')
  expect(targets(deleted)[0]).toBe('table public.f')

  const [, byIndex, goneByIndex] = of('i')
  expect(targets(byIndex)[0]).toBe('row public.i:2')
  expect(byIndex.changes).toEqual([
    { path: '/a', after: '1' },
    { path: '/c', after: '4' },
  ])
  expect(goneByIndex.changes).toEqual([{ path: '/b', before: '2' }])
  expect(goneByIndex.metadata.changes.before).toBe('key_only')
  expect(targets(of('two')[1])[0]).toBe('row public.two:x\\,y,z')
  expect(of('n')[0].metadata.changes.key).toBe('none')
})

test('tables that change are described when a row of them comes, in the transaction that changed them too', async () => {
  const made = await world('create table a (id int primary key, x int)')
  const { client } = made
  let recorder = await made.start()
  await client.query(
    'begin; insert into a values (1, 1); alter table a add y text; insert into a values (2, 2, $$b$$); commit',
  )
  await client.query('alter table a alter x type bigint; alter table a replica identity full')
  await made.finish(recorder)
  // Noticed by another process.
  recorder = await made.start()
  await client.query('update a set x = 3 where id = 2; truncate a, only a')
  await client.query('alter table a rename to b; insert into b values (3, 3, null)')
  await made.finish(recorder)
  const events = await made.events()
  const relations = ofAction(events, 'changes.relation')
  expect(relations.map(({ changes }) => changes)).toEqual([
    [
      { path: '/name', after: 'public.a' },
      { path: '/identity', after: 'default' },
      { path: '/columns/id', after: { type: 'integer', key: true } },
      { path: '/columns/x', after: { type: 'integer' } },
    ],
    [{ path: '/columns/y', after: { type: 'text' } }],
    [
      { path: '/identity', before: 'default', after: 'full' },
      { path: '/columns/id', before: { type: 'integer', key: true }, after: { type: 'integer' } },
      { path: '/columns/x', before: { type: 'integer' }, after: { type: 'bigint' } },
    ],
    [{ path: '/name', before: 'public.a', after: 'public.b' }],
  ])
  expect(relations.map(({ metadata }) => metadata.changes.isFirst)).toEqual([true, false, false, false])
  const isOfTable = (action: string) => !/session|publication/.test(action)
  expect(events.map(({ action }) => action).filter(isOfTable)).toEqual([
    ...['changes.relation', 'changes.insert', 'changes.relation', 'changes.insert'],
    ...['changes.relation', 'changes.update', 'changes.truncate', 'changes.relation', 'changes.insert'],
  ])
  const [truncate] = ofAction(events, 'changes.truncate')
  expect(targets(truncate)[0]).toBe('table public.a')
  // The primary key names rows, where the stream does not tell it.
  expect(targets(ofAction(events, 'changes.update')[0])[0]).toBe('row public.a:2')
})

test('what an application says is committed with its transaction or not at all, and speaks for the rows behind it', async () => {
  const made = await world('create table a (id int primary key, x int)', { context: { tenant: 'acme' } })
  const { client } = made
  const recorder = await made.start()
  const said = (id: string) => ({
    action: 'invoice.refund',
    actor: { type: 'user', id: 'ada' },
    targets: [{ type: 'invoice', id }],
  })
  await client.query('begin')
  await client.query('insert into a values (1, 1)')
  await contextIn(client, { actor: { type: 'user', id: 'ada' }, requestId: 'r-1' })
  await client.query('insert into a values (2, 2)')
  await recordIn(client, { ...said('7'), metadata: { reason: 'ü' }, context: { requestId: 'r-1' } })
  await client.query('savepoint s')
  await recordIn(client, said('never'))
  await contextIn(client, { requestId: 'never' })
  await client.query('rollback to s')
  await contextIn(client, { step: 2 })
  await client.query('insert into a values (3, 3)')
  await client.query('commit')
  await client.query('begin')
  await recordIn(client, said('rolled back'))
  await client.query('insert into a values (4, 4)')
  await client.query('rollback')
  // Plain SQL, as from any program.
  await client.query(`begin; select pg_logical_emit_message(true, 'killick.context', '{"actor":{"type":"job","id":"j-1"}}'); update a set x = 0 where id = 1;
    select pg_logical_emit_message(true, 'killick', '{"action":"a.b","actor":{"type":"job","id":"j-1"},"occurredAt":"2020-01-01T00:00:00Z"}'); commit`)
  for (const [prefix, text] of [
    ['killick', '{"action":"x"}'],
    ['killick', 'no json'],
    ['killick', '{"action":"a","actor":{"type":"t","id":"i"},"metadata":{"changes":{}}}'],
    ['killick', `{"action":"${'a'.repeat(170_000)}"}`],
    ['killick.context', '{"actor":"ada"}'],
    ['killick.context', JSON.stringify({ much: 'x'.repeat(17_000) })],
    // Short enough, but not what becomes of them: numbers are printed longer, and each removal is listed with its place.
    ['killick', `{"action":"a","actor":{"type":"t","id":"i"},"metadata":{"n":[${Array(30_000).fill('9e15')}]}}`],
    [
      'killick',
      `{"action":"a","actor":{"type":"t","id":"i"},"metadata":{"${'k'.repeat(360)}":[${Array(400).fill('{"password":1}')}],"x":"${'y'.repeat(150_000)}"}}`,
    ],
    ['another', 'not for us'],
  ])
    await client.query('select pg_logical_emit_message(true, $1, $2)', [prefix, text])
  await client.query(`select pg_logical_emit_message(false, 'killick', '{"action":"a","actor":{"type":"t","id":"i"}}')`)
  await client.query(`select pg_logical_emit_message(true, 'killick', '\\xff'::bytea)`)
  await made.finish(recorder)
  const events = await made.events()
  const [first, second, third] = ofAction(events, 'changes.insert')
  expect([first.actor.type, first.context]).toEqual(['database', { tenant: 'acme' }])
  expect([second.actor, second.context]).toEqual([
    { type: 'user', id: 'ada' },
    { tenant: 'acme', requestId: 'r-1' },
  ])
  expect(third.context).toEqual({ tenant: 'acme', requestId: 'r-1', step: 2 })
  expect(first.metadata.changes).not.toHaveProperty('contextBy')
  expect(second.metadata.changes.contextBy).toBe('application')
  const [refund, ...more] = ofAction(events, 'invoice.refund')
  expect(more).toEqual([])
  expect(refund).toMatchObject({
    actor: { type: 'user', id: 'ada' },
    targets: [
      { type: 'invoice', id: '7' },
      { type: 'transaction', id: first.targets.at(-1).id },
    ],
    occurredAt: first.occurredAt,
    context: { tenant: 'acme', requestId: 'r-1' },
    metadata: { reason: 'ü', changes: { kind: 'message', vouchedBy: 'application', index: 3, of: 4 } },
  })
  expect(ofAction(events, 'changes.update')[0].actor).toEqual({ type: 'job', id: 'j-1' })
  expect(ofAction(events, 'a.b')[0].occurredAt).toBe('2020-01-01T00:00:00Z')
  const invalid = ofAction(events, 'changes.message.invalid').map(({ metadata }) => metadata.changes)
  expect(invalid.map(({ why, field }) => [why, field])).toEqual([
    ['field_invalid', '/actor'],
    ['json_invalid', undefined],
    ['field_invalid', '/metadata/changes'],
    ['too_large', undefined],
    ['field_invalid', '/actor'],
    ['too_large', undefined],
    ['too_large', undefined],
    ['too_large', undefined],
    ['not_transactional', undefined],
    ['not_utf8', undefined],
  ])
  expect(invalid[1].message).toEqual({ sha256: sha256('no json'), bytes: 7 })
  expect(JSON.stringify(events)).not.toMatch(/never|rolled back|not for us/)
})

test('what an application says is read in the encoding of the database', async () => {
  const made = await world('create table a (id text primary key)', {}, 'LATIN1')
  const recorder = await made.start()
  await made.client.query('begin')
  await contextIn(made.client, { actor: { type: 'user', id: 'José' } })
  await made.client.query(`insert into a values ('ä')`)
  await recordIn(made.client, { action: 'a.b', actor: { type: 'user', id: 'André' }, metadata: { by: 'Àÿ' } })
  // The bytes of an application are as it made them.
  await made.client.query(`select pg_logical_emit_message(true, 'killick', $1::bytea)`, [
    Buffer.from('{"action":"a.c","actor":{"type":"user","id":"€"}}'),
  ])
  await made.client.query('commit')
  await made.finish(recorder)
  const events = await made.events()
  expect(ofAction(events, 'changes.insert')[0]).toMatchObject({ actor: { id: 'José' }, changes: [{ after: 'ä' }] })
  expect(ofAction(events, 'a.b')[0]).toMatchObject({ actor: { id: 'André' }, metadata: { by: 'Àÿ' } })
  expect(ofAction(events, 'a.c')[0].actor.id).toBe('€')
  expect(ofAction(events, 'changes.message.invalid')).toEqual([])
})

/** Runs a transaction of each library: rows, context and event in it. @returns by name, what does it */
async function clients(client: pg.Client, url: string, modules: string) {
  // biome-ignore lint/suspicious/noExplicitAny: they are not installed where this is compiled
  const load = (file: string): Promise<any> => import(join(modules, file))
  const { drizzle } = await load('drizzle-orm/node-postgres/index.js')
  const { sql } = await load('drizzle-orm/index.js')
  const { Kysely, PostgresDialect, CompiledQuery } = await load('kysely/dist/index.js')
  const { default: typeorm } = await load('typeorm/index.js')
  const pool = new pg.Pool({ connectionString: url, max: 1 })
  const work = async (tx: Transaction, name: string, insert: () => Promise<unknown>) => {
    await contextIn(tx, { actor: { type: 'user', id: name } })
    await insert()
    await recordIn(tx, { action: 'a.b', actor: { type: 'user', id: name }, metadata: { quote: `it's "$1"` } })
  }
  return {
    pg: async () => {
      await client.query('begin')
      await work(client, 'pg', () => client.query(`insert into a values ('pg')`))
      await client.query('commit')
    },
    drizzle: () =>
      drizzle(pool).transaction((tx: Told) => {
        const run = (text: string, [json]: string[]) => {
          const [before, after] = text.split('$1') as [string, string]
          return tx.execute(sql`${sql.raw(before)}${json}${sql.raw(after)}`)
        }
        return work(run, 'drizzle', () => tx.execute(sql`insert into a values ('drizzle')`))
      }),
    kysely: () =>
      new Kysely({ dialect: new PostgresDialect({ pool }) }).transaction().execute((tx: Told) => {
        const run = (text: string, params: string[]) => tx.executeQuery(CompiledQuery.raw(text, params))
        return work(run, 'kysely', () => tx.insertInto('a').values({ name: 'kysely' }).execute())
      }),
    async typeorm() {
      const source = await new typeorm.DataSource({ type: 'postgres', url, driver: pg }).initialize()
      await source.transaction((manager: Told) =>
        work(manager, 'typeorm', () => manager.query(`insert into a values ('typeorm')`)),
      )
      await source.destroy()
    },
    close: () => pool.end(),
  }
}

const PYTHON = `
import json, sys, psycopg2
with psycopg2.connect(sys.argv[1]) as connection, connection.cursor() as cursor:
    actor = {"type": "user", "id": "psycopg"}
    cursor.execute("select pg_logical_emit_message(true, 'killick.context', %s)", (json.dumps({"actor": actor}),))
    cursor.execute("insert into a values ('psycopg')")
    event = {"action": "a.b", "actor": actor, "metadata": {"quote": 'it\\'s "$1"'}}
    cursor.execute("select pg_logical_emit_message(true, 'killick', %s)", (json.dumps(event),))
`

/** A Python that has psycopg2, or null. */
const python = [findTool('python3-psycopg2'), '/usr/bin/python3'].find(
  (program) => program !== null && spawnSync(program, ['-c', 'import psycopg2'], { stdio: 'ignore' }).status === 0,
)

test.skipIf(modules === null)('each library says it in its own transaction', async () => {
  const made = await world('create table a (name text primary key)')
  const recorder = await made.start()
  const { close, ...run } = await clients(made.client, made.url, modules!)
  for (const each of Object.values(run)) await each()
  await close()
  if (python) execFileSync(python, ['-c', PYTHON, made.url])
  else console.warn(`python3 lacks psycopg2, so it is left out: ${TOOLS['python3-psycopg2'].install}`)
  await made.finish(recorder)
  const events = await made.events()
  const names = [...Object.keys(run), ...(python ? ['psycopg'] : [])]
  const told = (action: string) => ofAction(events, action).map(({ actor, targets: all }) => [actor.id, all.at(-1).id])
  expect(told('a.b').map(([id]) => id)).toEqual(names)
  expect(told('changes.insert')).toEqual(told('a.b'))
  expect(new Set(ofAction(events, 'a.b').map(({ metadata }) => metadata.quote))).toEqual(new Set([`it's "$1"`]))
})

test('bad input of recordIn and contextIn is refused before anything is sent', async () => {
  const sent: string[] = []
  const tx = async (sql: string, params: string[]) => void sent.push(sql, ...params)
  const event = { action: 'a.b', actor: { type: 'user', id: 'ada' } }
  const refused = (work: Promise<void>) =>
    work.then(
      () => 'taken',
      ({ code, details }) => `${code} ${details?.field ?? ''}`,
    )
  expect(await refused(recordIn(tx, { action: 'a.b' } as never))).toBe('field_invalid /actor')
  expect(await refused(recordIn(tx, { ...event, own: 1 } as never))).toBe('field_invalid /own')
  expect(await refused(recordIn(tx, { ...event, metadata: { changes: 1 } }))).toBe('field_invalid /metadata/changes')
  expect(await refused(recordIn(tx, { ...event, metadata: { a: 'x'.repeat(170_000) } }))).toBe('event_too_large ')
  expect(await refused(contextIn(tx, { actor: { type: 'user' } } as never))).toBe('field_invalid /actor/id')
  expect(await refused(contextIn(tx, { n: Number.NaN }))).toBe('field_invalid /context/n')
  expect(await refused(contextIn(tx, { a: 'x'.repeat(17_000) }))).toBe('event_too_large ')
  expect(await refused(contextIn(tx, null as never))).toBe('field_invalid ')
  expect(await refused(recordIn({} as never, event))).toBe('option_invalid ')
  expect(sent).toEqual([])
  // As where `return` was forgotten: some libraries run nothing before somebody waits for it.
  for (const lazy of [() => {}, () => ({ sql: 'select' }), { query: () => {} }])
    expect(await refused(recordIn(lazy as never, event))).toBe('option_invalid ')
  await recordIn(tx, event)
  expect(sent).toEqual([
    `select pg_logical_emit_message(true, 'killick', $1::text)::text`,
    JSON.stringify({ ...event, targets: [] }),
  ])
})

test('rules remove what must not be kept, out of the names of rows too, and excluded columns never come', async () => {
  const made = await world(
    `create table session (token text primary key, password text, note text, ssn text, api_key_id int, profile jsonb)`,
    { exclude: ['*.session.ssn'], redaction: [{ name: 'iban', values: ['DE[0-9]{20}'] }] },
  )
  const recorder = await made.start()
  await made.client.query(
    `insert into session values ('tok-1', 'hunter2', 'pay to DE89370400440532013000', '123-45', 1, '{"name": "ada", "password": "hunter2"}')`,
  )
  await made.client.query(`update session set note = 'none'; delete from session`)
  await contextIn(made.client, { token: 'tok-1' })
  await made.finish(recorder)
  const events = await made.events()
  expect(JSON.stringify(events)).not.toMatch(/tok-1|hunter2|DE8937|123-45/)
  const [insert, update] = rows(events)
  expect(targets(insert)[0]).toBe('row public.session:[redacted:secret]')
  expect(insert.changes.map(({ path, after }: Told) => [path, after])).toEqual([
    ['/token', '[redacted:secret]'],
    ['/password', '[redacted:secret]'],
    ['/note', 'pay to [redacted:iban]'],
    ['/api_key_id', '1'],
    ['/profile', '{"name":"ada","password":"[redacted:secret]"}'],
  ])
  expect(insert.metadata.changes.excluded).toEqual(['ssn'])
  const removed = insert.metadata.redactions.map(({ path, rule }: Told) => `${rule} ${path}`)
  expect(removed).toEqual([
    'secret /changes/4/after/password',
    expect.stringMatching(/^secret /),
    expect.stringMatching(/^secret /),
    expect.stringMatching(/^iban /),
  ])
  expect(update.metadata.changes.excluded).toEqual(['ssn'])
})

test('what rules put in the place of short values does not make an event too large', async () => {
  const name = 'long-name-'.padEnd(64, 'x')
  const columns = Array.from({ length: 7 }, (_, i) => `c${i} text`).join(', ')
  const made = await world(`create table wide (id int primary key, ${columns})`, {
    redaction: [{ name, values: ['!'] }],
  })
  const { client } = made
  const recorder = await made.start()
  const insert = async (id: number, said: number) => {
    const members = Array.from({ length: said }, (_, i) => [i.toString(36), '!'])
    await client.query('begin')
    await contextIn(client, { ...Object.fromEntries(members), who: 'ada' })
    const values = Array(7)
      .fill(`'${'y'.repeat(12_000)}'`)
      .join(', ')
    await client.query(`insert into wide values (${id}, ${values}); commit`)
  }
  // About 42 KB become of the second, and 140 KB of the third.
  for (const [id, said] of [1, 500, 1_700].entries()) await insert(id, said)
  await made.finish(recorder)
  const events = rows(await made.events())
  expect(events.map(({ context, changes }) => [context?.who, changes?.length])).toEqual([
    ['ada', 8],
    ['ada', 8],
    [undefined, 8],
  ])
  expect(events.map(({ metadata }) => [metadata.changes.contextBy, metadata.changes.contextOmitted])).toEqual([
    ['application', undefined],
    ['application', undefined],
    [undefined, { why: 'size' }],
  ])
})

test('a transaction can be one event, and one that is too long says at its end how many there were', async () => {
  const made = await world(`create table a (id int primary key, x text); alter table a replica identity full`)
  const { client } = made
  let recorder = await made.start({ group: 'transaction' })
  await client.query('begin; insert into a values (1, $$x$$), (2, $$y$$); update a set x = $$z$$ where id = 1')
  await recordIn(client, { action: 'a.b', actor: { type: 'user', id: 'ada' } })
  await client.query('delete from a where id = 2; commit')
  await client.query('insert into a select i, i from generate_series(10, 609) i')
  await made.finish(recorder)
  recorder = await made.start({ group: 'row' })
  await client.query(`begin; update a set x = 'new' where id >= 10; truncate a; truncate a; commit`)
  await made.finish(recorder)
  const events = await made.events()
  const [first, last, ...long] = ofAction(events, 'changes.transaction')
  expect(targets(first).slice(0, 3)).toEqual(['row public.a:1', 'table public.a', 'row public.a:2'])
  expect(first.changes).toEqual([
    { path: '/0/id', after: '1' },
    { path: '/0/x', after: 'x' },
    { path: '/1/id', after: '2' },
    { path: '/1/x', after: 'y' },
    { path: '/2/x', before: 'x', after: 'z' },
  ])
  expect(first.metadata.changes).toMatchObject({ first: 1, index: 3, of: 5 })
  expect(first.metadata.changes.rows).toEqual(
    [
      { operation: 'insert', table: 1, row: 0 },
      { operation: 'insert', table: 1, row: 2 },
      { operation: 'update', table: 1, row: 0, key: 'primary_key' },
    ].map((row) => ({ ...row, key: 'primary_key' })),
  )
  expect(last.metadata.changes).toMatchObject({ index: 5, of: 5 })
  expect(long.map(({ metadata }) => metadata.changes.first)).toEqual([
    1,
    ...long.slice(0, -1).map(({ metadata }) => metadata.changes.index + 1),
  ])
  const commits = ofAction(events, 'changes.commit').map(({ metadata }) => metadata.changes)
  expect(commits.map(({ counts, changes, index }) => ({ counts, changes, index }))).toEqual([
    { counts: { 'insert public.a': 600 }, changes: 600, index: 601 },
    { counts: { 'update public.a': 600, 'truncate public.a': 2 }, changes: 602, index: 603 },
  ])
  const updates = ofAction(events, 'changes.update')
  expect(updates.map(({ metadata }) => metadata.changes.index)).toEqual(Array.from({ length: 600 }, (_, i) => i + 1))
  expect(new Set(updates.map(({ metadata }) => metadata.changes.commitLsn)).size).toBe(1)
})

test('a row that does not fit is recorded by hashes, however wide it is', async () => {
  const names = Array.from({ length: 1500 }, (_, i) => `${'c'.repeat(50)}${i}`)
  const made = await world(`create table wide (id int primary key, ${names.map((name) => `${name} int`)});
     create table deep (id int primary key, a text, b text, c text)`)
  const recorder = await made.start()
  await made.client.query(`insert into wide (id, ${names}) select 1, ${names.map((_, i) => i)}`)
  await made.client.query(
    `insert into deep values (1, repeat(chr(1), 15000), repeat(chr(1), 15000), repeat('é', 8000))`,
  )
  await made.finish(recorder)
  const events = await made.events()
  const [wide, deep] = ofAction(events, 'changes.insert')
  expect(ofAction(events, 'changes.relation')[0].metadata.changes.omitted.why).toBe('size')
  expect(wide.changes).toBeUndefined()
  expect(wide.metadata.changes.omitted).toMatchObject({ why: 'size', changes: 1501 })
  expect(targets(wide)[0]).toBe('row public.wide:1')
  const hash = { omitted: { why: 'size', sha256: sha256('\u0001'.repeat(15_000)), bytes: 15_000 } }
  expect(deep.changes.slice(1, 3)).toEqual([
    { path: '/a', after: hash },
    { path: '/b', after: hash },
  ])
})
