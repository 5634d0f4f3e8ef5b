/**
 * Everything in the schema that could change what readers see: policies, rules, triggers, views, functions, defaults,
 * constraints, privileges, settings. It is printed as lines, from the catalogue, and compared with the lines of a schema that
 * these migrations have just made (schema.json).
 */

import type { AuditReason, OwnCheck } from '@killick/sdk/audit'
import { LEDGER_ROLE } from '../database/migrate.ts'
import type { Db } from '../database/pool.ts'
import { PARTITION } from '../ledger/packs/read-pack.ts'
import made from './schema.json' with { type: 'json' }
import { fault } from './walk.ts'

/** Partitions have numbers; all of one table must be alike. */
const PARTITIONED = ['packs', 'pack_keys', 'key_blocks']

/**
 * PostgreSQL's own functions that it has in SQL. It calls its other functions by their number and looks at no definition, but
 * puts the definition of a function in SQL in the place of the call, even where it made that function in C. Of functions that versions
 * from 19 on may add, with higher numbers, nothing is known.
 */
const OF_SQL = `age,anytextcat,bit_length,col_description,date_part,int8pl_inet,integer_pl_date,interval_pl_date,interval_pl_time,
  interval_pl_timestamp,interval_pl_timestamptz,interval_pl_timetz,log,log10,lpad,numeric_pl_pg_lsn,obj_description,overlaps,path_contain_pt,
  pg_relation_size,pg_sleep_for,pg_sleep_until,polygon,quote_literal,quote_nullable,round,rpad,shobj_description,substring,textanycat,
  timedate_pl,timestamptz,timetzdate_pl,trunc,ts_debug,xpath,xpath_exists`
const NEWER = 6431

/**
 * What the lines below are printed from. A view of the owner's in front of one of them could keep back what it likes, itself too; that a
 * name is PostgreSQL's own is looked up without any of them.
 */
const CATALOGUES =
  `pg_aggregate,pg_am,pg_amop,pg_amproc,pg_attrdef,pg_attribute,pg_auth_members,pg_cast,pg_class,pg_constraint,pg_database,pg_db_role_setting,
  pg_default_acl,pg_depend,pg_event_trigger,pg_index,pg_inherits,pg_language,pg_namespace,pg_opclass,pg_operator,pg_opfamily,pg_policy,pg_proc,
  pg_range,pg_rewrite,pg_sequence,pg_statistic_ext,pg_trigger,pg_type`
    .split(',')
    .map((name) => name.trim())

/**
 * One line for each object. `owner` is nobody's name but that of the schema's owner; names that PostgreSQL gives to what it makes
 * by itself are left out.
 */
const LINES = `
  with spaces as (select oid, nspowner from pg_namespace where nspname = 'killick'),
  tables as (
    select c.*, case when c.relispartition then regexp_replace(c.relname, '_\\d+', '_#') else c.relname end as name
    from pg_class c where relnamespace = (select oid from spaces)),
  -- Functions of extensions, in code that somebody has loaded. Anything else can be made part of an extension that is there already.
  loaded as (
    select p.oid from pg_proc p join pg_language l on l.oid = prolang
    where lanname = 'c' and exists (select from pg_depend where objid = p.oid and classid = 'pg_proc'::regclass and deptype = 'e')),
  -- The types of all columns, and of what their arrays hold; and the one that large numbers are read as.
  types as (
    select 'float8'::regtype::oid as oid union
    select atttypid from tables join pg_attribute on attrelid = tables.oid where relkind in ('r', 'p') and attnum > 0 and not attisdropped
    union select typelem from tables join pg_attribute on attrelid = tables.oid join pg_type t on t.oid = atttypid
    where relkind in ('r', 'p') and attnum > 0 and not attisdropped and typcategory = 'A'),
  operands as (
    select oid from types union
    select oid from pg_type where oid < 16384 and typname in ('anyarray', 'anycompatiblearray', 'anycompatible', 'anyrange', 'anymultirange', 'anyelement')),
  grants (what, acl, owner) as (
    select 'schema', nspacl, nspowner from pg_namespace where nspname = 'killick'
    union all select relkind::text || ' ' || name, relacl, relowner from tables
    union all select 'column ' || name || '.' || attname, attacl, relowner from tables join pg_attribute a on attrelid = tables.oid where attacl is not null
    union all select 'function ' || proname, proacl, proowner from pg_proc where pronamespace = (select oid from spaces))
  select line, count(*)::int from (
    select format('relation %s: kind %s, persistence %s, row security %s %s, options %s, replica %s', name, relkind, relpersistence,
      relrowsecurity, relforcerowsecurity, reloptions, relreplident) as line from tables where relkind not in ('i', 'I')
    union all
    select format('column %s.%s: %s, not null %s, default %s, generated %s, identity %s, storage %s', name, attname,
      format_type(atttypid, atttypmod), attnotnull, regexp_replace(pg_get_expr(adbin, adrelid), '_\\d+', '_#'), attgenerated, attidentity, attstorage)
    from tables join pg_attribute a on attrelid = tables.oid left join pg_attrdef d on (adrelid, adnum) = (attrelid, attnum)
    where attnum > 0 and not attisdropped and relkind in ('r', 'p', 'v', 'm', 'f', 'c')
    union all
    select format('constraint %s: %s, valid %s', name, pg_get_constraintdef(k.oid), convalidated)
    from tables join pg_constraint k on conrelid = tables.oid where contype not in ('n', 't')
    union all
    select format('index %s: %s, valid %s', t.name, regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING', case when indisunique then 'unique' else '' end), indisvalid)
    from tables t join pg_index i on i.indrelid = t.oid where not (t.relkind = 't')
    union all
    select format('trigger %s: %s, %s, type %s, enabled %s, when %s', name, case when tgisinternal then 'of a constraint' else tgname end, p.proname, tgtype, tgenabled, tgqual is not null)
    from tables join pg_trigger t on tgrelid = tables.oid join pg_proc p on p.oid = tgfoid
    union all
    -- PostgreSQL looks for any of these only where a table's own row says that there are some.
    select format('%s does as if it had no %s', name, what) from tables c cross join lateral (values
      ('indexes', not relhasindex and exists (select from pg_index where indrelid = c.oid)),
      ('triggers', not relhastriggers and exists (select from pg_trigger where tgrelid = c.oid)),
      ('rules', not relhasrules and exists (select from pg_rewrite where ev_class = c.oid)),
      ('partitions', not relhassubclass and exists (select from pg_inherits where inhparent = c.oid)),
      ('checks', relchecks < (select count(*) from pg_constraint where conrelid = c.oid and contype = 'c'))) flags (what, is_denied) where is_denied
    union all
    select format('index of %s is not kept', t.name) from tables t join pg_index on indrelid = t.oid where not (indisready and indislive)
    union all
    select format('rule %s: %s, enabled %s, %s', name, rulename, ev_enabled, case when rulename = '_RETURN' then pg_get_viewdef(tables.oid) else pg_get_ruledef(r.oid) end)
    from tables join pg_rewrite r on ev_class = tables.oid
    union all
    select format('policy %s: %s', name, polname) from tables join pg_policy on polrelid = tables.oid
    union all
    select format('heir of %s: %s', p.relname, case when c.relispartition and c.relnamespace = p.relnamespace then regexp_replace(c.relname, '_\\d+', '_#') ||
      case when pg_get_expr(c.relpartbound, c.oid) = format('FOR VALUES FROM (''%s'') TO (''%s'')', n * ${PARTITION}, (n + 1) * ${PARTITION}) then '' else ' of other numbers' end
      else c.relname end)
    from pg_inherits join tables p on p.oid = inhparent join pg_class c on c.oid = inhrelid
      cross join lateral (select substring(c.relname from '_(\\d+)')::bigint as n) numbers
    where p.relkind in ('r', 'p')
    union all
    select format('partitions of %s: by %s', name, pg_get_partkeydef(oid)) from tables where relkind = 'p'
    union all
    select format('function %s(%s) returns %s: %s, %s, volatile %s, security definer %s, settings %s, %s', proname, pg_get_function_identity_arguments(p.oid),
      pg_get_function_result(p.oid), prokind, lanname, provolatile, prosecdef, proconfig, prosrc)
    from pg_proc p join pg_language l on l.oid = prolang where pronamespace = (select oid from spaces)
    union all
    select format('type %s: %s', typname, typtype) from pg_type t
    where typnamespace = (select oid from spaces) and typelem = 0 and (typrelid = 0 or typrelid not in (select oid from tables))
    union all
    select format('operator %s', oprname) from pg_operator where oprnamespace = (select oid from spaces)
    union all
    select format('statistics %s', stxname) from pg_statistic_ext where stxnamespace = (select oid from spaces)
    union all
    select format('owner of %s', name) from tables where relowner <> (select nspowner from spaces)
    union all
    select format('owner of %s', proname) from pg_proc where pronamespace = (select oid from spaces) and proowner <> (select nspowner from spaces)
    union all
    select format('grant on %s: %s to %s%s', what, privilege_type, coalesce(nullif(grantee, 0)::regrole::text, 'all'), case when is_grantable then ', to give away' else '' end)
    from grants cross join lateral aclexplode(acl) where grantee <> owner
    union all
    -- What a role may that has been given another role, or was made a superuser: no grant on a table says it.
    select format('whoever the service works as may %s %s', may, name) from tables cross join unnest(array['update', 'delete', 'truncate']) as may
    where relkind in ('r', 'p') and has_table_privilege(to_regrole('${LEDGER_ROLE}'), tables.oid, may)
    union all
    select format('whoever the service works as may be %s', roleid::regrole) from pg_auth_members where member = to_regrole('${LEDGER_ROLE}')
    union all
    select format('default grants in the schema') from pg_default_acl where defaclnamespace = (select oid from spaces)
    union all
    select format('sequence %s: from %s by %s to %s, %s', name, seqstart, seqincrement, seqmax, seqcycle)
    from pg_sequence join tables on tables.oid = seqrelid
    union all
    -- What a session begins with, where it changes what its queries mean. The role is not there where nobody could make it.
    select format('setting of %s in %s: %s', coalesce(nullif(setrole, 0)::regrole::text, 'all'), case when setdatabase = 0 then 'all databases' else 'the database' end, setting)
    from pg_db_role_setting cross join lateral unnest(setconfig) as setting
    where (setdatabase = 0 or setdatabase = (select oid from pg_database where datname = current_database()))
      and (setrole = 0 or setrole in (session_user::regrole, to_regrole('${LEDGER_ROLE}')))
      and split_part(setting, '=', 1) = any ('{search_path,role,session_authorization,session_replication_role,row_security,session_preload_libraries,local_preload_libraries}')
    union all
    -- Whatever made it so, such as the server's own configuration, of which no catalogue tells.
    select 'triggers do nothing: session_replication_role is ' || current_setting('session_replication_role')
    where current_setting('session_replication_role') <> 'origin'
    union all
    select format('event trigger %s, %s', evtname, evtevent) from pg_event_trigger where evtevent = 'login' and evtenabled <> 'D'
    union all
    -- Names that are looked for before any of the schema's own.
    select format('%s added to pg_catalog', proname) from pg_proc p where pronamespace = 'pg_catalog'::regnamespace and p.oid >= 16384 and p.oid not in (select oid from loaded)
    union all
    select format('%s added to pg_catalog', relname) from pg_class c where relnamespace = 'pg_catalog'::regnamespace and c.oid >= 16384
      and (relname in (select relname from tables) or not exists (select from pg_depend where objid = c.oid and classid = 'pg_class'::regclass and deptype = 'e'))
    union all
    select format('%s added to pg_catalog', oprname) from pg_operator o where oprnamespace = 'pg_catalog'::regnamespace and o.oid >= 16384
      and oprcode::oid not in (select oid from loaded)
    union all
    select format('cast from %s to %s added', castsource::regtype, casttarget::regtype) from pg_cast c
    where castsource < 16384 and casttarget < 16384 and (c.oid >= 16384 or castfunc >= 16384)
      and castfunc not in (select oid from loaded)
    union all
    select format('%s in pg_catalog replaced', proname) from pg_proc p join pg_language l on l.oid = prolang
    where pronamespace = 'pg_catalog'::regnamespace and p.oid < 16384
      and (lanname not in ('internal', 'c', 'sql') or (lanname = 'sql' and p.oid < ${NEWER} and proname <> all ('{${OF_SQL}}')))
    union all
    select format('operator %s in pg_catalog replaced', oprname) from pg_operator o where o.oid < 16384 and oprcode::oid >= 16384
    union all
    select format('aggregate %s in pg_catalog replaced', aggfnoid::regproc) from pg_aggregate
    where aggfnoid::oid < 16384 and greatest(aggtransfn::oid, aggfinalfn::oid, aggcombinefn::oid, aggserialfn::oid, aggdeserialfn::oid,
      aggmtransfn::oid, aggminvtransfn::oid, aggmfinalfn::oid) >= 16384
    union all
    select format('%s in pg_catalog replaced', name) from (values ${CATALOGUES.map((name) => `('${name}', 'pg_catalog.${name}'::regclass::oid)`).join(', ')}) as catalogues (name, oid)
    where catalogues.oid >= 16384
    union all
    -- How indexes, sorting and ranges compare: what lies here lies to one query and not to another, and no row is altered.
    select format('comparison of %s in pg_catalog replaced', opfname) from pg_amproc join pg_opfamily f on f.oid = amprocfamily
    where f.oid < 16384 and amproc::oid >= 16384 and amproc::oid not in (select oid from loaded)
    union all
    select format('operator of %s in pg_catalog replaced', opfname) from pg_amop join pg_opfamily f on f.oid = amopfamily join pg_operator o on o.oid = amopopr
    where f.oid < 16384 and amopopr >= 16384 and oprcode::oid not in (select oid from loaded)
    union all
    -- One of PostgreSQL's own functions in the place of another lies as well as anybody's. How its own compare, convert and sum up what is
    -- in the tables has been the same in all versions.
    -- What turns an operator round, or denies it, takes its place in a plan.
    select format('operator %s(%s, %s): %s, turned round %s, denied %s', oprname, oprleft::regtype, oprright::regtype, oprcode::regprocedure,
      oprcom::regoperator, oprnegate::regoperator) from pg_operator o
    where o.oid < 16384 and oprname = any ('{=,<>,<,<=,>,>=,+,-,||,&&,@>,<@}') and oprleft in (select oid from operands) and oprright in (select oid from operands)
    union all
    select format('operator class %s of %s: %s, default %s', opcname, amname, opfname, opcdefault)
    from pg_opclass c join pg_opfamily f on f.oid = opcfamily join pg_am m on m.oid = opcmethod
    where c.oid < 16384 and amname in ('btree', 'hash', 'gist') and opcintype in (select oid from operands)
    union all
    select format('comparison of %s and %s in %s: %s', amproclefttype::regtype, amprocrighttype::regtype, amname,
      -- From version 18 on these have functions of their own, which do the same.
      case amproc::text when 'hashbool' then 'hashchar' when 'hashbytea' then 'hashvarlena' when 'timestamptz_hash' then 'timestamp_hash' else amproc::text end)
    from pg_amproc p join pg_opfamily f on f.oid = amprocfamily join pg_am m on m.oid = opfmethod
    where p.oid < 16384 and amname in ('btree', 'hash') and (amprocnum = 1 or (amprocnum = 2 and amname = 'btree')) and amproclefttype in (select oid from types) and amprocrighttype in (select oid from types)
    union all
    select format('member %s of %s: %s', amopstrategy, amname, amopopr::regoperator)
    from pg_amop p join pg_opfamily f on f.oid = amopfamily join pg_am m on m.oid = opfmethod
    where p.oid < 16384 and amname in ('btree', 'hash', 'gist') and amoplefttype in (select oid from operands) and amoprighttype in (select oid from operands)
    union all
    -- The greatest is read off an index, where the aggregate says which order that is.
    select format('aggregate %s: %s, then %s, from %s, by %s', aggfnoid::regprocedure, aggtransfn::regprocedure, aggfinalfn::regprocedure, agginitval,
      aggsortop::regoperator) from pg_aggregate join pg_proc p on p.oid = aggfnoid
    where p.oid < 16384 and proname in ('count', 'max', 'min', 'sum') and pronamespace = 'pg_catalog'::regnamespace
      and (pronargs = 0 or proargtypes[0] in (select oid from types where oid <> 'bytea'::regtype) or proargtypes[0] = '"any"'::regtype)
    union all
    select format('cast from %s to %s: by %s, %s, %s', castsource::regtype, casttarget::regtype, castfunc::regprocedure, castmethod, castcontext)
    from pg_cast c where c.oid < 16384 and castcontext <> 'e' and castsource in (select oid from types) and casttarget in (select oid from types)
    union all
    select format('type %s: read by %s and %s, printed by %s and %s', oid::regtype, typinput, typreceive, typoutput, typsend)
    from pg_type where oid < 16384 and oid in (select oid from types)
    union all
    select format('operator class %s made a default', opcname) from pg_opclass c where c.oid >= 16384 and opcdefault and opcintype in (select oid from operands)
      and opcintype in (select opcintype from pg_opclass where oid < 16384 and opcmethod = c.opcmethod)
    union all
    select format('range %s in pg_catalog replaced', rngtypid::regtype) from pg_range where rngtypid < 16384 and greatest(rngcanonical::oid, rngsubdiff::oid) >= 16384
    union all
    select format('collation of %s.%s: %s', name, attname, attcollation::regcollation) from tables join pg_attribute a on attrelid = tables.oid
      join pg_type t on t.oid = atttypid where attnum > 0 and not attisdropped and attcollation <> typcollation
  ) all_lines group by line`

/** The lines of a schema, sorted; of partitions as many as one of each has. */
export async function readSchema(db: Db): Promise<{ lines: string[]; unlike: string[] }> {
  const { rows } = await db.query<{ line: string; count: number }>(LINES)
  const tables = PARTITIONED.map((name) => {
    const relation = `relation ${name}_#:`
    return { name: `${name}_#`, partitions: rows.find(({ line }) => line.startsWith(relation))?.count ?? 1 }
  })
  const unlike: string[] = []
  const lines = rows.flatMap(({ line, count }) => {
    const table = tables.find(({ name }) => line.includes(name))
    // Privileges on partitions are given at the next start, on some sooner than on others; nobody reads by them.
    if (table !== undefined && line.startsWith('grant on')) return count > 0 && isUsual(line) ? [] : [line]
    const partitions = table?.partitions ?? 1
    if (count % partitions !== 0) unlike.push(line)
    return Array<string>(Math.max(1, Math.round(count / partitions))).fill(line)
  })
  return { lines: lines.sort(), unlike }
}

const isUsual = (line: string) => /: (SELECT|INSERT) to killick_ledger$/.test(line)

/** If the database user may not make roles, only the owner has privileges. */
const isOfRole = (line: string) => line.endsWith(` to ${LEDGER_ROLE}`)

/** @param hasRole whether the service works as the role that may select and insert alone */
export function checkSchema(db: Db, hasRole: boolean): OwnCheck {
  return {
    id: 'schema',
    title: 'The schema is the one that the migrations make',
    isApart: true,
    async finish() {
      const { lines, unlike } = await readSchema(db)
      const wanted = (made as string[]).filter((line) => hasRole || !isOfRole(line))
      const more: string[] = []
      for (const line of lines) {
        const at = wanted.indexOf(line)
        if (at < 0) more.push(line)
        else wanted.splice(at, 1)
      }
      const say = (reason: AuditReason, why: string) => (line: string) =>
        fault(null, reason, `${why}: ${line.slice(0, 200)}`)
      const faults = [
        ...more.map(say('untold', 'there is')),
        ...wanted.map(say('absent', 'there is not')),
        ...unlike.map(say('different', 'partitions differ')),
      ]
      return { faults, detail: `${lines.length} objects` }
    },
  }
}
