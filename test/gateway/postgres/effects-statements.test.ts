// What statements do, by their text, held against what PostgreSQL does with them. statements.json has them, each with what it is known to
// do; `unseen` are tables that it touches and no text could show.
import fc from 'fast-check'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest'
import made from '../../../gateway/src/postgres/effects/builtins.json' with { type: 'json' }
import { effectsOf, loadParser, type StatementEffect } from '../../../gateway/src/postgres/effects/index.ts'
import { scan } from '../../../gateway/src/postgres/effects/parser.ts'
import { createDatabase } from '../../support/postgres.ts'
import statements from './statements.json' with { type: 'json' }

type Vector = {
  sql: string
  /** All kinds, the first one first. */
  kinds: string
  reads: string[]
  writes: string[]
  isFullyKnown: boolean
  unknownWhy?: string[]
  calls?: string[]
  withoutWhere?: string[]
  unseen?: string[]
  /** False: it cannot be run in a transaction, on this machine, or at all. */
  isRun?: boolean
  note?: string
}

const vectors = statements as Vector[]

const SETUP = `
  create schema hr;
  create sequence s;
  create type mood as enum ('glad', 'sad');
  create table users (id int primary key, name text);
  create table accounts (id int primary key, owner int, balance numeric);
  create table "a.b" (x int);
  create table log (id serial, msg text);
  create table hr.salaries (id int primary key, amount numeric);
  create table ordered (id int);
  create table parts (a int) partition by list (a);
  create table part9 (a int);
  create table parent (a int);
  create table child (a int);
  create view v_users as select id, name from users;
  create materialized view m_users as select * from users;
  create function f_write() returns int language plpgsql as $$begin insert into log (msg) values ('x'); return 1; end$$;
  create function f_check(text) returns boolean language plpgsql as $$begin insert into log (msg) values ('x'); return true; end$$;
  create function f_imm(text) returns text language sql immutable as $$select $1$$;
  create function upper2(text) returns text language sql as $$select upper($1)$$;
  create function f_trig() returns trigger language plpgsql as $$begin insert into log (msg) values ('x'); return old; end$$;
  create trigger t_ordered before delete on ordered for each row execute function f_trig();
  create procedure p_write() language sql as $$delete from accounts$$;
  create domain d_write as text check (f_check(value));
  insert into users select n, 'name ' || n from generate_series(1, 5) n;
  insert into accounts select n, n, 10 from generate_series(1, 5) n;
  insert into hr.salaries select n, 10 from generate_series(1, 5) n;
  insert into ordered values (1);
  select nextval('s');`

let client: pg.Client

beforeAll(async () => {
  await loadParser()
  client = new pg.Client({ connectionString: await createDatabase() })
  await client.connect()
  await client.query(SETUP)
})
afterAll(() => client.end())

const effectOf = (sql: string): StatementEffect => {
  const effects = effectsOf(sql)
  expect(effects).toHaveLength(1)
  return effects[0]!
}

test.each(vectors)('$sql', (vector) => {
  const effect = effectOf(vector.sql)
  expect((effect.kinds ?? [effect.kind]).join(' ')).toBe(vector.kinds)
  expect(effect.kind).toBe(vector.kinds.split(' ')[0])
  const { reads, writes, isFullyKnown, unknownWhy, calls, withoutWhere } = effect
  expect({ reads, writes, isFullyKnown, unknownWhy, calls, withoutWhere }).toEqual({
    ...{ reads: vector.reads, writes: vector.writes, isFullyKnown: vector.isFullyKnown },
    ...{ unknownWhy: vector.unknownWhy ?? [], calls: vector.calls, withoutWhere: vector.withoutWhere },
  })
  expect(isFullyKnown).toBe(unknownWhy.length === 0)
})

describe('PostgreSQL touches what the text says', () => {
  const LOCKS = `
    select l.relation, n.nspname || '.' || c.relname as name, bool_or(l.mode not in ('AccessShareLock', 'RowShareLock')) as writes
    from pg_locks l left join pg_class c on c.oid = l.relation left join pg_namespace n on n.oid = c.relnamespace
    where l.pid = pg_backend_pid() and l.locktype = 'relation'
      and (c.oid is null or (c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and n.nspname !~ '^(pg_|information_schema)'))
    group by 1, 2`
  /** Counted since the last time that the server wrote its statistics, so before and after. */
  const ROWS = 'select relid, n_tup_ins + n_tup_upd + n_tup_del as n from pg_stat_xact_user_tables'
  const countRows = async () =>
    new Map((await client.query<{ relid: string; n: string }>(ROWS)).rows.map(({ relid, n }) => [relid, Number(n)]))

  /** With its schema, unquoted, as the catalog has it. */
  const whole = (name: string) => (/^"|^[^.]*$/.test(name) ? `public.${name.replaceAll('"', '')}` : name)

  it.each(vectors.filter(({ isRun }) => isRun !== false))(
    '$sql',
    async ({ sql, kinds, reads, writes, isFullyKnown, unseen = [] }) => {
      const named = (
        await client.query(`select c.oid, n.nspname || '.' || relname as name from pg_class c
      join pg_namespace n on n.oid = relnamespace where relkind in ('r', 'p', 'v', 'm', 'S', 'f')`)
      ).rows
      const before = new Map(named.map(({ oid, name }) => [oid, name]))
      await client.query('begin')
      try {
        const counted = await countRows()
        await client.query(sql)
        const { rows } = await client.query(LOCKS)
        const names = new Map(rows.map(({ relation, name }) => [relation, name as string]))
        const locks = rows.flatMap(({ relation, name, writes }) => {
          const known = before.get(relation) ?? name
          return known === null ? [] : [{ name: known as string, writes: writes as boolean }]
        })
        const changed = [...(await countRows())]
          .filter(([relation, n]) => n > (counted.get(relation) ?? 0))
          .map(([relation]) => before.get(relation) ?? names.get(relation) ?? `table ${relation}`)
        // Both take the lock of one who writes.
        const isLock = ['lock', 'explain'].includes(kinds)
        const done = new Set([...changed, ...locks.filter((each) => each.writes && !isLock).map(({ name }) => name)])
        const touched = new Set([...done, ...locks.map(({ name }) => name)])
        const [written, seen] = [new Set(writes.map(whole)), new Set([...reads, ...writes].map(whole))]
        const missing = [
          ...[...done].filter((name) => !written.has(name)),
          ...[...touched].filter((name) => !seen.has(name)),
        ]
        if (isFullyKnown) expect(new Set(missing)).toEqual(new Set(unseen.map(whole)))
        // Nor is more said than is so.
        expect([...seen].filter((name) => !touched.has(name))).toEqual([])
      } finally {
        await client.query('rollback')
      }
    },
  )

  it('is not said of what writes behind a function', () => {
    const hidden = vectors.filter(
      ({ sql }) => /f_write\(|d_write|do \$|call |query_to_xml/.test(sql) && !/^(create|drop)/.test(sql),
    )
    expect(hidden.length).toBeGreaterThan(10)
    for (const { sql } of hidden) expect(effectOf(sql).isFullyKnown, sql).toBe(false)
  })
})

describe('a statement written in another way does the same', () => {
  const known = vectors.filter(({ kinds }) => kinds !== 'unparsed')

  /** The words of a text with what is between them. */
  function words(sql: string): { text: string; name: string }[] {
    return scan(sql)!
      .filter(({ tokenName }) => !/COMMENT/.test(tokenName))
      .map(({ text, tokenName }) => ({ text, name: tokenName }))
  }

  it('with comments, capitals, quoted names and other space', () => {
    // libpg-query 18.1 takes no comment before UESCAPE, as PostgreSQL does: such a statement is unparsed.
    const some = known.filter(({ sql }) => !/uescape/.test(sql))
    const gap = fc.constantFrom(' ', '\n', '\t', '/* ; drop table x */', '--\'"$$\n', '/* a /* b */ c */')
    fc.assert(
      fc.property(
        fc.constantFrom(...some),
        fc.infiniteStream(gap),
        fc.infiniteStream(fc.nat(3)),
        ({ sql }, gaps, ways) => {
          const isPlain = /^[a-z_][a-z0-9_]*$/
          const written = words(sql).map(({ text, name }) => {
            const way = ways.next().value!
            if (!isPlain.test(text)) return text
            if (way === 1) return text.toUpperCase()
            return way === 2 && name === 'IDENT' ? `"${text}"` : text
          })
          // Two texts side by side, with a line feed between them, would be one.
          const whole = written.reduce((done, word) => `${done}${gaps.next().value}${word}`, '')
          expect({ whole, effects: effectsOf(whole) }).toEqual({ whole, effects: effectsOf(sql) })
        },
      ),
      { numRuns: process.env.CI ? 5_000 : 400 },
    )
  })

  it('in a WITH, in a sub-select, in EXPLAIN ANALYZE, under a name, behind another statement', () => {
    const rows = known.filter(
      ({ sql, kinds }) => /^(select|insert|update|delete|merge|with|values|table)/.test(sql) && !/ddl/.test(kinds),
    )
    expect(rows.length).toBeGreaterThan(80)
    for (const { sql } of rows) {
      const plain = effectOf(sql)
      const same = (other: StatementEffect, how: string) => {
        for (const name of ['reads', 'writes', 'unknownWhy', 'withoutWhere'] as const)
          expect(new Set(other[name]), `${how}: ${sql}`).toEqual(new Set(plain[name]))
        const kinds = other.kinds ?? [other.kind]
        for (const kind of plain.kinds ?? [plain.kind])
          if (kind !== 'select') expect(kinds, `${how}: ${sql}`).toContain(kind)
      }
      same(effectOf(`explain (verbose, analyze) ${sql}`), 'explain')
      same(effectOf(`prepare p as ${sql}`), 'prepare')
      same(effectOf(`prepare p as ${sql}`).prepared!, 'prepared')
      same(effectsOf(`select 1; ${sql};`)[1]!, 'second')
      const returning = /^(insert|update|delete|merge)/.test(sql) && !/returning/.test(sql) ? ' returning 1' : ''
      const part = effectOf(`with zz as (${sql}${returning}\n) select * from zz`)
      if (returning === '') same(part, 'with')
      else expect(part.writes).toEqual(plain.writes)
      if (plain.kind === 'select' && !/ for (update|share)/.test(sql))
        same(effectOf(`select exists (${sql}\n)`), 'sub-select')
    }
  })
})

describe('several statements', () => {
  it('are told one by one', () => {
    const effects = effectsOf(
      `begin; set local search_path = hr; select * from users; select * from hr.salaries; commit`,
    )
    expect(effects.map(({ kind }) => kind)).toEqual(['transaction', 'set', 'select', 'select', 'transaction'])
    expect(effects.map(({ unknownWhy }) => unknownWhy)).toEqual([[], [], ['search_path'], [], []])
  })

  it.each([
    `select set_config('search_path', 'x', false)`,
    `select set_config(name, 'x', false) from users`,
    'do $$begin end$$',
    'call p()',
    'execute p',
    'reset all',
  ])('that may have changed what names stand for: %s', (sql) => {
    expect(effectsOf(`${sql}; delete from users where id = 1`)[1]!.unknownWhy).toEqual(['search_path'])
  })

  it.each([
    'select case 1 when 2 then 3 end',
    'select 1 in (select 2)',
    'select from public.a join public.b using (id)',
  ])('of which one compares by what is called = by now: %s', (sql) => {
    expect(effectsOf(`set search_path = evil, pg_catalog; ${sql}`)[1]!.unknownWhy).toEqual(['search_path'])
  })

  it('of which one does not parse are not known at all, as the server executes none', () => {
    expect(effectsOf('delete from users; selec').map(({ kind }) => kind)).toEqual(['unparsed'])
  })
})

describe('facts of single kinds', () => {
  it.each([
    ['begin', { transaction: 'begin' }],
    ['rollback to A', { transaction: 'rollback_to', savepoint: 'a' }],
    ['discard all', { discardsAll: true }],
    ['prepare transaction $$x$$', { transaction: 'prepare' }],
    [`SET LOCAL Killick.Reason TO 'it''s due'`, { set: { name: 'killick.reason', value: `it's due`, isLocal: true } }],
    ['set search_path = a, "B c"', { set: { name: 'search_path', value: 'a, B c' } }],
    ['set work_mem = 4', { set: { name: 'work_mem', value: '4' } }],
    ['set jit = on', { set: { name: 'jit', value: 'on' } }],
    ['set role to default', { set: { name: 'role', value: null } }],
    ['reset all', { set: { name: 'all', value: null } }],
    [`select set_config('Killick.Actor', 'user:ada', false)`, { set: { name: 'killick.actor', value: 'user:ada' } }],
    ...['true', "'t'", 'true::bool'].map((local): [string, object] => [
      `select set_config('killick.actor', 'user:ada', ${local})`,
      { set: { name: 'killick.actor', value: 'user:ada', isLocal: true } },
    ]),
    ...['false', "'of'", 'null', "'n'::bool"].map((local): [string, object] => [
      `select set_config('killick.actor', 'ada', ${local})`,
      { set: { name: 'killick.actor', value: 'ada' } },
    ]),
    [`select set_config('killick.actor', 'ada', $1)`, { set: { name: 'killick.actor', value: null } }],
    [
      `select set_config('killick.actor', 'ada', true), set_config('killick.reason', 'due', true)`,
      {
        ...{ set: { name: 'killick.actor', value: 'ada', isLocal: true }, isFullyKnown: true },
        alsoSets: [{ name: 'killick.reason', value: 'due', isLocal: true }],
      },
    ],
    [`select set_config('a.b', 'x', true), set_config('a.c', 'y', true)`, { unknownWhy: ['function'] }],
    ['prepare "P 1" as select 1', { prepares: 'P 1' }],
    ['execute P1', { executes: 'p1' }],
    ['create table t as execute p1', { executes: 'p1' }],
    ['explain analyze execute p1', { executes: 'p1' }],
    ['deallocate p1', { deallocates: 'p1' }],
    ['deallocate all', { deallocates: null }],
  ])('%s', (sql, facts) => {
    expect(effectOf(sql)).toMatchObject(facts)
  })

  it.each([
    `alter function f() set killick.actor = 'user:ada'`,
    `create function f() returns int language sql set killick.actor = 'user:ada' as 'select 1'`,
    `create function f() returns text return set_config('killick.actor', 'user:ada', false)`,
    `create view v as select set_config('killick.actor', 'user:ada', false)`,
    `alter role ada set killick.actor = 'user:ada'`,
  ])('sets nothing in its session: %s', (sql) => {
    expect(effectOf(sql).set).toBe(undefined)
  })

  it('the version that has all of its functions', () => {
    expect(effectOf('select now()').sinceVersion).toBe(undefined)
    expect(effectOf('select now(), regexp_like(a, b), any_value(c) from t').sinceVersion).toBe(16)
    expect(effectOf('explain select uuidv7()').sinceVersion).toBe(18)
    for (const call of ['json_object()', 'json_array(a)', 'json_arrayagg(a)'])
      expect(effectOf(`select ${call} from t`).sinceVersion).toBe(16)
    const ofJson = ['json(a)', 'json_scalar(a)', 'json_serialize(a)', "json_exists(a, '$')", "json_value(a, '$')"]
    for (const call of [...ofJson, "json_query(a, '$')", 'merge_action()'])
      expect(effectOf(`select ${call} from t`).sinceVersion).toBe(17)
  })

  it('columns, with the table where the statement tells it', () => {
    const columns = (sql: string) => effectOf(sql).columns
    expect(columns('select u.name, s.*, x from users u, hr.salaries s')).toEqual(['users.name', 'hr.salaries.*', 'x'])
    expect(columns('insert into users (id, "Name") values (1, 2)')).toEqual(['id', '"Name"'])
    expect(columns('update users set name = 1 where users.id = 2')).toEqual(['name', 'users.id'])
    expect(columns('select t.a from users t where exists (select t.b from accounts t)')).toEqual(['t.a', 't.b'])
    expect(columns('copy users (id) to stdout')).toEqual(['id'])
    expect(columns('grant select (name) on users to bob')).toEqual(['name'])
  })
})

describe("PostgreSQL's own names", () => {
  const PSEUDO = `'internal','cstring','trigger','event_trigger','language_handler','fdw_handler','index_am_handler','table_am_handler','tsm_handler'`
  const FUNCTIONS = `
    select proname as name, bool_or(provolatile = 'v') as volatile from pg_proc
    where pronamespace = 'pg_catalog'::regnamespace and prorettype::regtype::text not in (${PSEUDO})
      and not exists (select from unnest(proargtypes) t where t::regtype::text in (${PSEUDO}))
    group by 1`

  it('are those of the catalog that are not volatile, but for a few that are known', async () => {
    const { rows } = await client.query<{ name: string; volatile: boolean }>(FUNCTIONS)
    const listed = new Set(Object.values(made.functions).flatMap((names) => names.split(' ')))
    const stable = rows.filter(({ volatile }) => !volatile).map(({ name }) => name)
    expect([...listed].filter((name) => !rows.some((row) => row.name === name))).toEqual([])
    // They execute what they are given, or read what it names.
    expect(stable.filter((name) => !listed.has(name) && !/_to_xml|^pg_input_/.test(name))).toEqual([])
    expect(stable.filter((name) => listed.has(name) && /_to_xml|^pg_input_/.test(name))).toEqual([])
    const harmless =
      /^(random|setseed|clock_|timeofday|gen_random|uuidv|currval|lastval|current_query|array_s|pg_sleep|pg_is_in|pg_current_wal|pg_last|pg_(total_)?(relation|table|indexes|database|tablespace)_size|pg_(try_)?advisory|pg_blocking|pg_xact_|txid_status|pg_jit|pg_notification|pg_lock_status|pg_prepared_xact|pg_partition|pg_stat_get_xact)/
    for (const { name, volatile } of rows) if (volatile && listed.has(name)) expect(name).toMatch(harmless)
  })

  it('are operators and types of the catalog', async () => {
    const names = async (sql: string) =>
      new Set((await client.query<{ name: string }>(sql)).rows.map(({ name }) => name))
    const operators = await names(
      `select distinct oprname as name from pg_operator where oprnamespace = 'pg_catalog'::regnamespace`,
    )
    expect(made.operators.split(' ').filter((name) => !operators.has(name))).toEqual([])
    const types = await names(`select typname as name from pg_type where typnamespace = 'pg_catalog'::regnamespace`)
    expect(made.types.split(' ').filter((name) => !types.has(name))).toEqual([])
    const classes = await names(
      `select opcname as name from pg_opclass where opcnamespace = 'pg_catalog'::regnamespace`,
    )
    expect(made.operatorClasses.split(' ').filter((name) => !classes.has(name))).toEqual([])
    // Only contents and statistics are in the others.
    const catalogs = await names(
      `select relname as name from pg_class where relnamespace = 'pg_catalog'::regnamespace and relkind = 'r'
       or relkind = 'v' and relname <> 'pg_settings' and pg_relation_is_updatable(oid, false) & 28 in (16, 28)
       and relnamespace in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)`,
    )
    const others = ['pg_largeobject', 'pg_statistic', 'pg_statistic_ext_data', 'pg_stat_database_conflicts']
    expect([...catalogs].filter((name) => !made.catalogs.split(' ').includes(name) && !others.includes(name))).toEqual(
      [],
    )
  })
})
