// What the recorder knows of a table beside what the stream tells: its primary key, and which columns stay out.
import { escapePointer } from '@killick/sdk/core'
import type { Redaction } from '@killick/sdk/kit'
import { shortened } from '../sessions/disclosed.ts'
import type { Relation, Tuple } from './pgoutput.ts'

/** A table as the rows behind one description of it are recorded. */
export type Table = {
  readonly relation: Relation
  /** `schema.table` */
  readonly id: string
  /** Columns by which a row is named; empty: rows have no name. */
  readonly key: readonly string[]
  readonly keyOf: 'primary_key' | 'replica_identity' | 'none'
  /** Columns that the configuration keeps out. */
  readonly excluded: readonly string[]
  /** Of the other columns: name and JSON pointer. */
  readonly columns: readonly { readonly name: string; readonly path: string; readonly isKey: boolean }[]
  /** What stands in a row's name for a column that may not be shown there. */
  readonly masks: ReadonlyMap<string, string>
}

/**
 * @param primaryKey as the database has it now; of a table with FULL the stream does not tell it
 * @param exclude `schema.table.column`, with `*` for any name
 */
export function tableOf(
  relation: Relation,
  primaryKey: readonly string[],
  exclude: readonly string[],
  redaction: Redaction,
): Table {
  const { schema, name, identity, columns } = relation
  const isExcluded = (column: string) => exclude.some((pattern) => fits(pattern, [schema, name, column]))
  const excluded = columns.map((column) => column.name).filter(isExcluded)
  const ofIdentity = columns.filter(({ isKey }) => isKey).map((column) => column.name)
  const has = (column: string) => columns.some((each) => each.name === column)
  const isTold = identity !== 'full' && ofIdentity.length > 0
  const isPrimary = !isTold && primaryKey.length > 0 && primaryKey.every(has)
  const key = isTold ? ofIdentity : isPrimary ? primaryKey : []
  const masks = new Map<string, string>()
  for (const column of key) {
    const mask = excluded.includes(column) ? '[excluded]' : maskOf(column, redaction)
    if (mask !== null) masks.set(column, mask)
  }
  return {
    ...{ relation, key, excluded, masks },
    id: shortened(`${schema}.${name}`),
    keyOf: isTold ? 'replica_identity' : isPrimary ? 'primary_key' : 'none',
    columns: columns
      .filter((column) => !excluded.includes(column.name))
      .map((column) => ({
        name: column.name,
        path: `/${escapePointer(column.name)}`,
        isKey: column.isKey && identity !== 'full',
      })),
  }
}

/** The name of a row: `schema.table:key`, several columns with commas between them; null if its key is not told. */
export function rowId({ id, key, masks }: Table, tuple: Tuple): string | null {
  if (key.length === 0) return null
  const parts: string[] = []
  for (const column of key) {
    const value = masks.get(column) ?? tuple[column]
    if (typeof value !== 'string') return null
    parts.push(key.length === 1 ? value : value.replace(/[\\,]/g, '\\$&'))
  }
  return shortened(`${id}:${parts.join(',')}`)
}

/** A rule that removes what stands under a name must not be got around by the name of the row. */
function maskOf(column: string, redaction: Redaction): string | null {
  const { value, removals } = redaction.redactValue({ [column]: 'x' })
  return removals.length > 0 ? String(Object.values(value as object)[0]) : null
}

function fits(pattern: string, names: readonly string[]): boolean {
  return pattern.split('.').every((part, i) => part === '*' || part === names[i])
}
