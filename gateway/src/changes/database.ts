// What the recorder asks the database beside the stream: what it is, what it publishes, how far the slot is behind.
import { escapePointer, type JsonObject } from '@killick/sdk/core'
import pg from 'pg'
import { parseLsn } from './lsn.ts'
import { clientOptions } from './replication.ts'

/** What kind of server it is, and what the user may do. */
export type ServerFacts = {
  /** Such as 180004. */
  readonly version: number
  readonly walLevel: string
  readonly encoding: string
  readonly database: string
  readonly mayReplicate: boolean
  readonly isStandby: boolean
  readonly system: string
  readonly timeline: number
  /** End of what is written to the log. */
  readonly writtenLsn: bigint
  /** 0: never. */
  readonly walSenderTimeoutMs: number
}

/** A replication slot as `pg_replication_slots` has it. */
export type SlotFacts = {
  readonly plugin: string | null
  readonly database: string | null
  readonly isActive: boolean
  readonly confirmedLsn: bigint | null
  /** `lost` for one that was invalidated. */
  readonly walStatus: string | null
  readonly isTemporary: boolean
  /** Whether transactions are sent when they are prepared. */
  readonly isTwoPhase: boolean
}

/** How long a question may take, ms: the server gives up first. It would not notice that nobody waits for its answer any more. */
const [SERVER_MS, CLIENT_MS] = [55_000, 60_000]

/** @returns a connection that answers questions. @throws the error of the connection */
export async function connectTo(database: string): Promise<pg.Client> {
  const client = new pg.Client({
    ...clientOptions(database, 'killick changes (questions)'),
    ...{ statement_timeout: SERVER_MS, query_timeout: CLIENT_MS },
  })
  // The next question fails, and says why.
  client.on('error', () => {})
  await client.connect()
  return client
}

export async function serverFacts(client: pg.Client): Promise<ServerFacts> {
  const { rows } = await client.query(`
    select current_setting('server_version_num')::int as version, current_setting('wal_level') as wal_level,
      current_setting('server_encoding') as encoding, current_database() as database, pg_is_in_recovery() as is_standby,
      (select system_identifier::text from pg_control_system()) as system,
      (select timeline_id from pg_control_checkpoint()) as checkpoint_timeline,
      case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end::text as written,
      case when pg_is_in_recovery() then null else pg_walfile_name(pg_current_wal_lsn()) end as file,
      (select setting::int from pg_settings where name = 'wal_sender_timeout') as timeout,
      (select rolreplication or rolsuper from pg_roles where rolname = current_user) as may_replicate`)
  const row = rows[0]
  return {
    ...{ version: row.version, walLevel: row.wal_level, encoding: row.encoding, database: row.database },
    ...{ mayReplicate: row.may_replicate === true, isStandby: row.is_standby, system: row.system },
    // A checkpoint may not have been made since this server was promoted; the name of the file tells at once.
    timeline: row.file === null ? row.checkpoint_timeline : Number.parseInt(row.file.slice(0, 8), 16),
    writtenLsn: parseLsn(row.written)!,
    walSenderTimeoutMs: row.timeout,
  }
}

/** Where the log left one timeline for those that led to another; 0: the one did not lead to the other. */
export async function timelineLeftAt(database: string, former: number, timeline: number): Promise<bigint> {
  const options = { ...clientOptions(database, 'killick changes (history)'), replication: 'database' }
  const client = new pg.Client(options as pg.ClientConfig)
  client.on('error', () => {})
  await client.connect()
  try {
    const { rows } = await client.query(`TIMELINE_HISTORY ${timeline}`)
    for (const line of String(rows[0].content).split('\n')) {
      const [id, lsn] = line.trim().split(/\s+/)
      if (Number(id) === former) return parseLsn(lsn) ?? 0n
    }
    // It never was on it: everything that was read there is of another history.
    return 0n
  } finally {
    await client.end()
  }
}

/** @returns null if there is no slot of this name */
export async function slotFacts(client: pg.Client, slot: string): Promise<SlotFacts | null> {
  const { rows } = await client.query(
    `select plugin, database, active, confirmed_flush_lsn::text as confirmed, wal_status, temporary, two_phase
       from pg_replication_slots where slot_name = $1`,
    [slot],
  )
  const row = rows[0]
  if (row === undefined) return null
  return {
    ...{
      plugin: row.plugin,
      database: row.database,
      isActive: row.active,
      isTemporary: row.temporary,
      isTwoPhase: row.two_phase,
    },
    ...{ confirmedLsn: parseLsn(row.confirmed), walStatus: row.wal_status },
  }
}

/** How far the slot is behind, in bytes of the log; null if there is none, or the server is a standby. */
export async function lagOf(client: pg.Client, slot: string): Promise<number | null> {
  const { rows } = await client.query(
    `select pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::float8 as lag
       from pg_replication_slots where slot_name = $1 and not pg_is_in_recovery()`,
    [slot],
  )
  return rows[0]?.lag ?? null
}

/** Whether commits of others wait for whoever reads the slot, as for a standby: `synchronous_standby_names` may be `*`. */
export async function isWaitedFor(client: pg.Client, slot: string): Promise<boolean> {
  const { rows } = await client.query(
    `select from pg_replication_slots s join pg_stat_replication r on r.pid = s.active_pid
       where s.slot_name = $1 and r.sync_state in ('sync', 'quorum')`,
    [slot],
  )
  return rows.length > 0
}

/** @returns null if there is no publication of this name */
export async function publicationFacts(client: pg.Client, name: string): Promise<JsonObject | null> {
  const has15 = (await client.query(`select current_setting('server_version_num')::int >= 150000 as has`)).rows[0].has
  let row = await readPublication(client, name, has15)
  // It may be changed between two statements, and no snapshot holds for the second: PostgreSQL's own function reads its tables.
  for (;;) {
    if (row === undefined) return null
    const tables = await readPublished(client, name, has15)
    const again = await readPublication(client, name, has15)
    if (again?.revision === row.revision) return { ...factsOf(row, tables), ...(await readLabels(client)) }
    row = again
  }
}

/**
 * `revision` shows that it was changed and changed back, or that a table came to those that it publishes, or left them: a partition, or an heir, whose
 * rows are read with theirs and may be in no stream. Versions before 15 publish all columns and rows, and no schemas.
 */
async function readPublication(client: pg.Client, name: string, has15: boolean) {
  const schemas = has15
    ? ` || (select coalesce(string_agg(n.oid || ':' || n.xmin, ',' order by n.oid), '') from pg_publication_namespace n where n.pnpubid = b.oid)`
    : ''
  const ofSchemas = has15
    ? ` union select c.oid from pg_publication_namespace n join pg_class c on c.relnamespace = n.pnnspid and c.relkind in ('r', 'p') where n.pnpubid = b.oid`
    : ''
  const { rows } = await client.query(
    `select b.puballtables as all_tables, b.pubinsert as i, b.pubupdate as u, b.pubdelete as d, b.pubtruncate as t, b.pubviaroot as via_root,
       md5(b.oid || ':' || b.xmin || ' ' || (select coalesce(string_agg(r.oid || ':' || r.xmin, ',' order by r.oid), '')
         from pg_publication_rel r where r.prpubid = b.oid)${schemas} || (select coalesce(string_agg(i.inhrelid || ':' || i.xmin, ',' order by i.inhrelid, i.inhseqno), '')
         from pg_inherits i where i.inhrelid in (with recursive told as (select r.prrelid as oid from pg_publication_rel r where r.prpubid = b.oid${ofSchemas}
           union select h.inhrelid from pg_inherits h where b.puballtables
           union select h.inhrelid from told join pg_inherits h on h.inhparent = told.oid) select oid from told))) as revision
       from pg_publication b where b.pubname = $1`,
    [name],
  )
  return rows[0]
}

/**
 * A table's `revision` shows that all of its rows may have become others without an event: its columns were altered, or it was written anew by an ALTER
 * TABLE, which gives it another place for large values. VACUUM FULL, CLUSTER and TRUNCATE leave that as it is.
 */
async function readPublished(client: pg.Client, name: string, has15: boolean) {
  const parts = has15 ? ['p.attnames::text[]', 'p.rowfilter'] : [ALL_COLUMNS, 'null']
  const { rows } = await client.query(
    `select p.schemaname || '.' || p.tablename as table, c.relreplident as identity, ${parts[0]} as columns, ${parts[1]} as filter, c.oid,
       c.relpersistence = 'u' as unlogged, md5(c.reltoastrelid || ' ' ||
         (select string_agg(a.attnum || ':' || a.xmin, ',' order by a.attnum) from pg_attribute a where a.attrelid = c.oid and a.attnum > 0)) as revision
       from pg_publication_tables p join pg_namespace n on n.nspname = p.schemaname
         join pg_class c on c.relnamespace = n.oid and c.relname = p.tablename
       where p.pubname = $1 order by 1`,
    [name],
  )
  return rows
}

/** Where a label of an enumeration is renamed, other words stand in all rows that have it, and no stream tells it. */
async function readLabels(client: pg.Client): Promise<JsonObject> {
  const { rows } = await client.query(
    `select n.nspname || '.' || t.typname as type, array_agg(e.enumlabel::text order by e.enumsortorder) as labels
       from pg_enum e join pg_type t on t.oid = e.enumtypid join pg_namespace n on n.oid = t.typnamespace group by 1 order by 1`,
  )
  return Object.fromEntries(rows.map(({ type, labels }) => [`/enumerations/${escapePointer(type)}`, labels]))
}

function factsOf(row: pg.QueryResultRow, tables: readonly pg.QueryResultRow[]): JsonObject {
  const facts: JsonObject = {
    '/revision': row.revision,
    '/allTables': row.all_tables,
    '/operations': [row.i && 'insert', row.u && 'update', row.d && 'delete', row.t && 'truncate'].filter(Boolean),
    '/viaRoot': row.via_root,
  }
  for (const { table, identity, columns, filter, oid, unlogged, revision } of tables)
    facts[`/tables/${escapePointer(table)}`] = {
      ...{ identity: IDENTITIES[identity] ?? identity, columns, oid, revision },
      ...(filter && { filter }),
      // A partition may be, of a table that is not: PostgreSQL calls it published.
      ...(unlogged && { unlogged }),
    }
  return facts
}

const ALL_COLUMNS = `(select array_agg(a.attname::text order by a.attnum) from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)`
const IDENTITIES: Record<string, string> = { d: 'default', n: 'nothing', f: 'full', i: 'index' }

/**
 * Tables whose changes never reach the stream, or not under a name: unlogged ones, and those that a publication leaves out. What it publishes is
 * asked for once: PostgreSQL works it out anew each time, for as long as there are tables.
 */
export async function unpublishedTables(
  client: pg.Client,
  publication: string,
): Promise<{ table: string; why: string }[]> {
  const { rows } = await client.query(
    `with published as materialized (select k.oid from pg_publication_tables p join pg_namespace m on m.nspname = p.schemaname
         join pg_class k on k.relnamespace = m.oid and k.relname = p.tablename where p.pubname = $1),
       above as materialized (select a.relid from published p cross join lateral pg_partition_ancestors(p.oid) a)
     select n.nspname || '.' || c.relname as table, case c.relpersistence when 'u' then 'unlogged' else 'not_published' end as why
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where c.relkind in ('r', 'p') and c.relpersistence <> 't' and n.nspname not in ('pg_catalog', 'information_schema')
         and n.nspname not like 'pg_toast%' and (c.relpersistence = 'u' or c.oid not in (select oid from published)
           and not (c.relispartition and exists (select from pg_partition_ancestors(c.oid) a where a.relid in (select oid from published))))
         and not (c.relkind = 'p' and c.oid in (select relid from above))
       order by 1`,
    [publication],
  )
  return rows
}

/** A table of which a publication will tell, and what stands in the way of UPDATE and DELETE on it then. */
export type PublishedTable = {
  /** `schema.table` */
  readonly table: string
  /** The same as SQL names it. */
  readonly quoted: string
  readonly identity: 'default' | 'index' | 'full' | 'nothing'
  /** Whether its rows can be named by the replica identity that it has. */
  readonly isNamed: boolean
  /** Whether it has virtual generated columns (PostgreSQL 18 and later): they are in no stream, so `FULL` may not hold them. */
  readonly hasVirtual: boolean
  /** Whether another publication leaves out some of its columns: `FULL` may not hold what a publication of the table leaves out. */
  readonly isNarrowed: boolean
}

/**
 * What a publication for tables tells of: them, their partitions, and tables that inherit from them. An index that is dropped leaves a replica
 * identity without one behind, and a deferrable primary key names no rows.
 * @param tables null: all tables of the database
 */
export async function tablesToPublish(
  client: pg.Client,
  { version }: Pick<ServerFacts, 'version'>,
  tables: readonly string[] | null,
): Promise<PublishedTable[]> {
  // Versions before 15 publish all columns, and those before 18 never mind generated ones.
  const narrowed =
    version < 150_000
      ? 'false'
      : `exists (select from lists l join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
           where l.oid in (select t.oid union select relid from pg_partition_ancestors(t.oid)) and a.attname <> all (l.attnames)
             and a.attgenerated in ('', ${version < 180_000 ? "''" : "'s'"}))`
  const lists =
    version < 150_000
      ? ''
      : `, lists as materialized (select c.oid, p.attnames from pg_publication_tables p join pg_namespace n on n.nspname = p.schemaname
           join pg_class c on c.relnamespace = n.oid and c.relname = p.tablename join pg_publication b on b.pubname = p.pubname
           where b.pubupdate or b.pubdelete)`
  const { rows } = await client.query(
    `with recursive told as (
         select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where n.nspname not in ('pg_catalog', 'information_schema') and ($1::text[] is null or n.nspname || '.' || c.relname = any ($1))
         union select i.inhrelid from told join pg_inherits i on i.inhparent = told.oid)${lists}
     select n.nspname || '.' || t.relname as table, format('%I.%I', n.nspname, t.relname) as quoted, t.relreplident as identity,
         t.relreplident = 'f' or exists (select from pg_index i where i.indrelid = t.oid
           and (t.relreplident = 'd' and i.indisprimary and i.indimmediate or t.relreplident = 'i' and i.indisreplident)) as "isNamed",
         exists (select from pg_attribute a where a.attrelid = t.oid and a.attgenerated = 'v' and not a.attisdropped) as "hasVirtual",
         ${narrowed} as "isNarrowed"
       from told join pg_class t on t.oid = told.oid join pg_namespace n on n.oid = t.relnamespace
       where t.relkind in ('r', 'p') and t.relpersistence = 'p' order by 1`,
    [tables],
  )
  return rows.map(({ identity, ...row }) => ({ ...row, identity: IDENTITIES[identity] }))
}

/** The primary key of a table as it is now, and the names of types as people write them. */
export async function tableFacts(
  client: pg.Client,
  oid: number,
  types: readonly { oid: number; mod: number }[],
): Promise<{ primaryKey: string[]; types: string[] }> {
  const { rows } = await client.query(
    `select (select array_agg(a.attname::text order by k.place) from pg_index i
         cross join lateral unnest(i.indkey::int2[]) with ordinality as k (attnum, place)
         join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
         where i.indrelid = $1 and i.indisprimary) as key,
       (select array_agg(format_type(t.oid, nullif(t.mod, -1)) order by t.place) from
         unnest($2::oid[], $3::int4[]) with ordinality as t (oid, mod, place)) as types`,
    [oid, types.map((each) => each.oid), types.map((each) => each.mod)],
  )
  return { primaryKey: rows[0].key ?? [], types: rows[0].types ?? [] }
}
