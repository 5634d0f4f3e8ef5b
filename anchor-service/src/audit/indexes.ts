/**
 * Whoever owns the database can make an index pass over a row, and everybody who reads by that index too: then an event is not found
 * by its source although no row was altered. So each index must lead to every row that its table has, also whoever looks for that
 * row alone: what stands at a wrong place of a B-tree is there for those who read all of it.
 */
import type { Fault } from '@killick/sdk/audit'
import type pg from 'pg'
import { PARTITION } from '../ledger/packs/read-pack.ts'
import { fault } from './walk.ts'

/**
 * `order`: what a B-tree gives its rows by; null: it has none. `up`, `down`: the columns of it, as they count. `part`: what the table is
 * partitioned by; null: it is not.
 */
type Index = {
  table: string
  part: string | null
  index: string
  of: string
  order: string | null
  up: readonly string[]
  down: readonly string[]
}

// An index of another form is not of this schema, which another check says: it has not all rows, or no order that a query could ask for, and
// to look for each row without it would take all rows each time.
const INDEXES = `
  select c.relname as table, x.relname as index, pg_get_indexdef(x.oid, 1, false) as of,
    (select quote_ident(attname) from pg_partitioned_table join pg_attribute on attrelid = partrelid and attnum = partattrs[0] where partrelid = c.oid) as part,
    case when amname = 'btree' then (
      select string_agg(pg_get_indexdef(x.oid, k, false) || case when indoption[k - 1] & 1 = 1 then ' desc' else '' end, ', ' order by k)
      from generate_series(1, indnkeyatts) as k) end as order,
    array(select pg_get_indexdef(x.oid, k, false) from generate_series(1, indnkeyatts) as k where indoption[k - 1] & 1 = 0 order by k) as up,
    array(select pg_get_indexdef(x.oid, k, false) from generate_series(1, indnkeyatts) as k where indoption[k - 1] & 1 = 1 order by k) as down
  from pg_class c join pg_index i on indrelid = c.oid join pg_class x on x.oid = indexrelid join pg_am am on am.oid = x.relam
  where c.relnamespace = 'killick'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition and indisvalid
    and has_table_privilege(c.oid, 'select') and (amname = 'gist' or (
      amname = 'btree' and indexprs is null and indpred is null and indoption::text ~ '^0( 0)*( 3)?$' and not exists (
        select from generate_series(0, indnkeyatts - 1) as k join pg_attribute a on attrelid = c.oid and attnum = indkey[k]
        join pg_opclass o on o.oid = indclass[k] where attcollation <> indcollation[k] or not opcdefault))) order by 1, 2`

/** The two indexes of ranges, which have no order, and what every range meets. */
const EVERY: { readonly [of: string]: string } = {
  "tstzrange(earliest, latest, '[]'::text)": "tstzrange '(,)'",
  entries: "int8range '(,)'",
}

// A table may take hours, so what limits statements is off, and what limits transactions, which PostgreSQL has from version 17 on.
const BEGIN = `begin isolation level repeatable read read only; set local statement_timeout = 0;
  select set_config(name, '0', true) from pg_settings where name = 'transaction_timeout'`

/** So is the limit for an answer, as far as a timer goes, ms. */
const query_timeout = 2 ** 31 - 1

const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`

/**
 * The rows that are not the first from their own key on. Only the index in question gives this order, which would else take a sort.
 * Columns that count down, of which there is one at most, stand behind those that count up. Each row is looked for in its own partition
 * alone: an index need not be in the order of the partitions, and a look would read all of them (240 took 2.9 ms).
 */
function lostRows({ table, part, up, down, order }: Index): string {
  const name = quoted(table)
  const row = (of: string, columns: readonly string[]) => `(${columns.map((column) => `${of}.${column}`).join(', ')})`
  const all = [...up, ...down]
  const behind =
    down.length === 0 ? '' : ` and (${row('b', up)} > ${row('a', up)} or ${row('b', down)} <= ${row('a', down)})`
  const own = `a.${part} / ${PARTITION}`
  const near =
    part === null ? '' : ` and b.${part} >= ${own} * ${PARTITION} and b.${part} < (${own} + 1) * ${PARTITION}`
  return `${name} a where ${all.map((column) => `a.${column} is not null`).join(' and ')} and (
    select ${row('b', all)} = ${row('a', all)} from ${name} b where ${row('b', up)} >= ${row('a', up)}${behind}${near}
    order by ${order} limit 1) is not true`
}

/**
 * Counts the rows of each table as they lie, and by each of its indexes, and looks for each of them by each index: each table as of one moment, for
 * what is open for long keeps vacuum and migrations from their work.
 */
export async function checkIndexes(db: pg.Pool): Promise<Fault[]> {
  const client = await db.connect()
  try {
    await client.query(BEGIN)
    const faults: Fault[] = []
    let [current, all] = ['', 0]
    for (const one of (await client.query<Index>(INDEXES)).rows) {
      const { table, index, order, of } = one
      if (order === null && EVERY[of] === undefined) continue
      const name = quoted(table)
      const count = async (settings: Scans, from: string) => {
        await client.query(
          Object.entries(settings)
            .map(([scan, isOn]) => `set local enable_${scan} = ${isOn}`)
            .join('; '),
        )
        return (
          await client.query<{ n: number }>({
            text: `select count(*)::float8 as n from ${from}`,
            query_timeout,
          } as pg.QueryConfig)
        ).rows[0]!.n
      }
      if (table !== current) {
        await client.query(`commit; ${BEGIN}`)
        current = table
        all = await count(AS_THEY_LIE, name)
      }
      const found = await (order !== null
        ? count(BY_ORDER, `(select from ${name} order by ${order} offset 0) found`)
        : count(BY_CONDITION, `${name} where ${of} && ${EVERY[of]}`))
      const lost = found === all && order !== null ? await count(ONE_BY_ONE, lostRows(one)) : 0
      if (found !== all || lost > 0) {
        const led = found !== all ? found : all - lost
        faults.push(
          fault(null, 'not_found', `${table}: by its index ${index} not every row is found, but ${led} of ${all}`),
        )
      }
    }
    await client.query('commit')
    client.release()
    return faults
  } catch (error) {
    client.release(error as Error)
    throw error
  }
}

/** Which ways to rows the planner may take. */
type Scans = { readonly [scan: string]: boolean }

const NONE = {
  seqscan: false,
  indexscan: false,
  indexonlyscan: false,
  bitmapscan: false,
  sort: false,
  incremental_sort: false,
}
const AS_THEY_LIE: Scans = { ...NONE, seqscan: true }
// With sorting off, only the index that has this order gives it.
const BY_ORDER: Scans = { ...NONE, indexscan: true, indexonlyscan: true }
// Rows as they lie, each looked for in the order of the index.
const ONE_BY_ONE: Scans = { ...AS_THEY_LIE, indexscan: true }
// An index that this condition is not made for could only be read in full, which takes an index-only scan.
const BY_CONDITION: Scans = { ...NONE, indexscan: true }
