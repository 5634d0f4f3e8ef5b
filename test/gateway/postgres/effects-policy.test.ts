// Which statements the policy of the PostgreSQL recorder lets through.
import type { JsonValue } from '@killick/sdk/core'
import { beforeAll, describe, expect, it, test } from 'vitest'
import { members } from '../../../gateway/src/members.ts'
import { decide, effectsOf, loadParser, matchesTable, policyOf } from '../../../gateway/src/postgres/effects/index.ts'

beforeAll(loadParser)

const NOW = new Date('2026-03-04T10:00:00Z') // a Wednesday

function policy(value: JsonValue) {
  const faults: string[] = []
  const made = policyOf(members(value, '/policy', faults), faults)
  return { made, faults }
}

/** The rule that denies, or null. */
function denied(value: JsonValue, sql: string, facts: object = {}) {
  const { made, faults } = policy(value)
  expect(faults).toEqual([])
  const given = { actor: null, reason: null, database: 'shop', user: 'app', now: NOW, ...facts }
  return decide(made, effectsOf(sql), given)?.rule ?? null
}

const rules = (...list: JsonValue[]): JsonValue => ({ rules: list })

test('without rules everything passes, parsed or not', () => {
  for (const sql of ['select 1', 'drop table t', 'do $$ begin end $$', 'selec', '']) expect(denied({}, sql)).toBe(null)
})

describe('a rule on what a statement does', () => {
  const noDdl = rules({ name: 'no-ddl', does: ['ddl', 'grant'] })

  it.each([
    'create table t (a int)',
    'select * into t from u',
    'create table t as select 1',
    'alter table t owner to bob',
    'grant all on t to bob',
    'create role bob superuser',
    'select 1; drop table t',
    'prepare p as select 1; /* */ comment on table t is $$x$$',
    'security label on table t is $$x$$',
  ])('%s', (sql) => {
    expect(denied(noDdl, sql)).toBe('no-ddl')
  })

  it.each([
    'select * from t',
    'insert into t values (1)',
    'begin',
    'set search_path = x',
    'select now(), count(*) from t',
  ])('not %s', (sql) => {
    expect(denied(noDdl, sql)).toBe(null)
  })
})

describe('what is not fully known', () => {
  const evasions = [
    'do $$ begin execute $x$drop table t$x$; end $$',
    'call wipe()',
    'select wipe()',
    'select * from wipe()',
    'select 1 where a <=> b',
    "select 'x'::evil",
    "copy t from program 'x'",
    'create extension x',
    'drop tabel t',
    `select query_to_xml('drop table t', true, true, '')`,
    `explain select wipe()`,
    `select (json_to_record('{}')).a from t, json_to_record('{}') as r(a evil)`,
  ]

  it.each(evasions)('is denied by a rule that cannot be excluded: %s', (sql) => {
    expect(denied(rules({ name: 'no-ddl', does: ['ddl'] }), sql)).toBe('no-ddl')
  })

  it.each(evasions)('is denied by a rule on a table: %s', (sql) => {
    expect(denied(rules({ name: 'hr', tables: ['hr.*'] }), sql)).toBe('hr')
  })

  it.each(evasions.filter((sql) => !/extension/.test(sql)))('passes where that is asked for: %s', (sql) => {
    expect(denied({ unknown: 'pass', ...(rules({ name: 'no-ddl', does: ['ddl'] }) as object) }, sql)).toBe(null)
  })

  it('is denied by name', () => {
    const value = { unknown: 'pass', rules: [{ name: 'known', does: ['unknown'] }] }
    for (const sql of evasions) expect(denied(value, sql)).toBe('known')
    expect(denied(value, 'select upper(a) from t')).toBe(null)
  })

  it('is known where its names are trusted', () => {
    const value = { trust: ['similarity', 'geo.*', 'vector', '<=>'], rules: [{ name: 'no-ddl', does: ['ddl'] }] }
    expect(denied(value, `select similarity(a, 'x'), geo.area(b) from t order by v <=> '[1]'::vector`)).toBe(null)
    expect(denied(value, 'select similarity(a), wipe() from t')).toBe('no-ddl')
    expect(denied(value, 'select similarity(a); do $$ begin end $$')).toBe('no-ddl')
    expect(denied(value, 'call geo.measure(); select 1 operator(geo.<+>) 2')).toBe(null)
    // Names with a dot, which are in another schema.
    for (const sql of ['call "geo.wipe"()', 'call "geo.x".wipe()', 'select 1 operator("geo.x".+) 2'])
      expect(denied(value, sql)).toBe('no-ddl')
  })

  it('is also what the caller knows of', () => {
    expect(denied(rules({ name: 'x', does: ['ddl'] }), 'select 1', { unknownWhy: ['encoding'] })).toBe('x')
  })
})

describe('a rule on UPDATE and DELETE without WHERE', () => {
  const where = rules({ name: 'where', does: ['update', 'delete'], withoutWhere: true })

  it.each([
    'delete from t',
    'update t set a = 1',
    'delete from t where true',
    'delete from t where 1 = 1',
    'with d as (delete from t returning *) select * from d',
    'explain analyze delete from t',
    'prepare p as delete from t',
    'merge into t using s on true when matched then delete',
    'merge into t using s on t.a = s.a when not matched by source then delete',
    'create rule r as on insert to u do also delete from t',
    '/* where a = 1 */ delete from t -- where a = 1',
  ])('%s', (sql) => {
    expect(denied(where, sql)).toBe('where')
  })

  it.each([
    'delete from t where a = 1',
    'delete from t where current of c',
    'select * from t',
    'merge into t using s on t.a = s.a when matched then delete',
    'merge into t using s on t.a = s.a when not matched by source and t.b = 1 then delete',
    'explain delete from t',
    'truncate t',
  ])('not %s', (sql) => {
    expect(denied(where, sql)).toBe(null)
  })

  it('is for the tables that it names', () => {
    const value = rules({ name: 'where', does: ['delete'], withoutWhere: true, tables: ['accounts'] })
    expect(denied(value, 'delete from t where a in (select a from accounts)')).toBe(null)
    expect(denied(value, 'delete from only public.accounts')).toBe('where')
  })
})

describe('a rule on tables', () => {
  const hr = rules({ name: 'hr', tables: ['hr.salaries'] })

  it.each([
    'select * from hr.salaries',
    'select * from salaries',
    'select * from HR."salaries"',
    'select * from U&"h\\0072".salaries',
    'select 1 from t where exists (select from hr.salaries)',
    'copy hr.salaries to stdout',
    'copy (select * from hr.salaries) to stdout',
    'create view v as select * from hr.salaries',
    'truncate hr.salaries',
    'truncate t cascade',
    'grant select on hr.salaries to bob',
    'grant select on all tables in schema hr to bob',
    'lock table hr.salaries',
    'explain select * from hr.salaries',
    'declare c cursor for select * from hr.salaries',
    'refresh materialized view v',
    'alter table hr.salaries rename to s',
    'drop table t, hr.salaries',
    'with salaries as (select * from hr.salaries) select * from salaries',
    'insert into mine select * from hr.salaries',
    'insert into mine values ((select pay from hr.salaries limit 1)) returning *',
    'update mine set pay = (select max(pay) from hr.salaries) where id = 1 returning pay',
    'delete from mine using hr.salaries s where s.id = mine.id returning s.*',
    'delete from mine where id in (select id from salaries)',
    "select nextval('hr.salaries')",
    'merge into mine using hr.salaries s on true when matched then update set pay = s.pay',
  ])('%s', (sql) => {
    expect(denied(hr, sql)).toBe('hr')
  })

  it.each([
    'select * from public.salaries',
    'select * from "hr.salaries"',
    'with salaries as (select 1) select * from salaries',
    `select 'hr.salaries'`,
    'set search_path = hr',
    'commit',
  ])('not %s', (sql) => {
    expect(denied(hr, sql)).toBe(null)
  })

  it.each([
    ['Übersicht', 'delete from Übersicht where id = 1'],
    ['STRAßE', 'select * from straße'],
    ['n'.repeat(70), `select * from ${'n'.repeat(64)}`],
    ['é'.repeat(40), `select * from "${'é'.repeat(32)}"`],
    ['Å_nr', "select nextval('Å_NR')"],
  ])('has the name that the parser makes of %s', (table, sql) => {
    expect(denied(rules({ name: 'named', tables: [table] }), sql)).toBe('named')
  })

  it('is about what is read, or written, if it says so', () => {
    const write = rules({ name: 'w', does: ['write'], tables: ['accounts'] })
    expect(denied(write, 'select * from accounts')).toBe(null)
    expect(denied(write, 'insert into t select * from accounts')).toBe(null)
    expect(denied(write, 'insert into accounts select * from t')).toBe('w')
    expect(denied(rules({ name: 'r', does: ['read'], tables: ['accounts'] }), 'insert into accounts values (1)')).toBe(
      null,
    )
  })

  it.each([
    ['hr.salaries', 'hr.salaries', true],
    ['hr.*', 'hr.x', true],
    ['hr.*', 'public.x', false],
    ['*', 'hr.x', true],
    ['sal*', 'hr.salaries', true],
    ['hr.x', 'db.hr.x', true],
    ['HR.X', 'hr.x', true],
    ['"HR".x', 'hr.x', false],
    ['x', '"hr.x"', false],
  ])('%s and %s: %s', (pattern, name, fits) => {
    expect(matchesTable(pattern, name)).toBe(fits)
  })
})

describe('hours', () => {
  const office = { timeZone: 'Europe/Berlin', days: ['mon', 'tue', 'wed', 'thu', 'fri'], from: '08:00', to: '18:00' }
  const at = (time: string) => ({ now: new Date(time) })

  it.each([
    ['2026-03-04T06:59:59Z', true],
    ['2026-03-04T07:00:00Z', false],
    ['2026-03-04T16:59:59Z', false],
    ['2026-03-04T17:00:00Z', true],
    ['2026-03-07T10:00:00Z', true],
    ['2026-07-01T06:00:00Z', false], // summer time
    ['2026-07-01T16:00:00Z', true],
  ])('outside of office hours: %s %s', (time, isDenied) => {
    const value = rules({ name: 'hr', tables: ['hr.*'], outside: office })
    expect(denied(value, 'select * from hr.x', at(time))).toBe(isDenied ? 'hr' : null)
    expect(denied(value, 'select * from shop.x', at(time))).toBe(null)
  })

  it('go beyond midnight, and belong to the day on which they begin', () => {
    const value = rules({ name: 'batch', within: { timeZone: 'UTC', days: ['fri'], from: '22:00', to: '06:00' } })
    const read = (time: string) => denied(value, 'select * from t', at(time))
    expect(read('2026-03-06T21:59:00Z')).toBe(null)
    expect(read('2026-03-06T22:00:00Z')).toBe('batch')
    expect(read('2026-03-07T05:59:00Z')).toBe('batch')
    expect(read('2026-03-07T06:00:00Z')).toBe(null)
    expect(read('2026-03-06T05:00:00Z')).toBe(null)
  })
})

describe('a reason', () => {
  const why = rules({ name: 'why', answer: 'require_reason', does: ['write'], tables: ['accounts'] })

  it('lets through what needs one', () => {
    expect(denied(why, 'update accounts set a = 1 where b = 2')).toBe('why')
    expect(denied(why, 'update accounts set a = 1 where b = 2', { reason: '  ' })).toBe('why')
    expect(denied(why, 'update accounts set a = 1 where b = 2', { reason: 'ticket 7' })).toBe(null)
    expect(denied(why, 'select * from accounts')).toBe(null)
  })

  it('does not lift another rule', () => {
    const value = rules({ name: 'why', answer: 'require_reason' }, { name: 'no-ddl', does: ['ddl'] })
    expect(denied(value, 'drop table t', { reason: 'x' })).toBe('no-ddl')
    expect(denied(value, 'drop table t')).toBe('why')
    expect(denied(value, `set killick.reason = 'x'`)).toBe(null)
    expect(denied(value, 'begin; commit')).toBe(null)
  })
})

test('users and databases', () => {
  expect(denied({ users: ['app', 'r_*'] }, 'select 1', { user: 'bob' })).toBe('users')
  expect(denied({ users: ['app', 'r_*'] }, 'select 1', { user: 'r_1' })).toBe(null)
  expect(denied({ databases: ['hr'] }, 'select 1')).toBe('databases')
  const value = rules({ name: 'no-ddl', does: ['ddl'], except: ['migrator'], databases: ['shop'] })
  expect(denied(value, 'drop table t', { user: 'migrator' })).toBe(null)
  expect(denied(value, 'drop table t', { database: 'test' })).toBe(null)
  expect(denied(value, 'drop table t')).toBe('no-ddl')
})

test('a denial says what it found', () => {
  const say = (value: JsonValue, sql: string) =>
    decide(policy(value).made, effectsOf(sql), { actor: null, reason: null, database: 'shop', user: 'app', now: NOW })
      ?.why
  expect(say(rules({ name: 'x', does: ['delete'], withoutWhere: true }), 'delete from hr.t')).toBe(
    'The statement does delete without WHERE on hr.t, which is denied.',
  )
  expect(say(rules({ name: 'x', does: ['ddl'] }), 'select hr.f(1)')).toBe(
    'It is not known what the statement does (function, hr.f), which is denied.',
  )
})

test('all faults of a policy are named at once', () => {
  const { faults } = policy({
    users: [1],
    unknown: 'maybe',
    colour: 1,
    rules: [
      { name: 'a b', does: ['fly'], tables: ['a..b'] },
      { name: 'x', does: ['select'], withoutWhere: true, within: { timeZone: 'Mars/Base' }, outside: { from: '8' } },
      { name: 'x', does: [], answer: 'shrug' },
    ],
  })
  expect(faults.map((fault) => fault.split(' ')[0])).toEqual([
    '/policy/users',
    '/policy/rules/0/name',
    '/policy/rules/0/does',
    '/policy/rules/0/tables',
    '/policy/rules/1/within/timeZone',
    '/policy/rules/1/outside/timeZone',
    '/policy/rules/1/outside/from',
    '/policy/rules/1/withoutWhere',
    '/policy/rules/1',
    '/policy/rules/2/answer',
    '/policy/rules/2/does',
    '/policy/unknown',
    '/policy/colour',
    '/policy/rules/2/name',
  ])
})
