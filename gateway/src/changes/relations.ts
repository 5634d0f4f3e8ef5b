// How tables are described in events, and what is different from the last time.
import type { Change } from '@killick/sdk'
import type { JsonObject } from '@killick/sdk/core'
import { escapePointer } from '@killick/sdk/core'
import type { RelationNote } from './notes.ts'
import type { Relation } from './pgoutput.ts'

/** A table as it was last seen in the stream; JSON. */
export type Described = RelationNote & {
  table: string
  identity: string
  /** Name, type as people write it, type's oid and modifier, whether it belongs to the replica identity. */
  columns: [name: string, type: string, oid: number, mod: number, isKey: boolean][]
}

/** @param types names of the columns' types, in their order */
export function describe(relation: Relation, id: string, types: readonly string[]): Described {
  const columns = relation.columns.map(({ name, typeOid, typeMod, isKey }, i): Described['columns'][number] => [
    ...([name, types[i]!, typeOid, typeMod, isKey] as const),
  ])
  return { oid: relation.oid, table: id, identity: relation.identity, columns }
}

/** What rows can look different by. The name of a type may change while it stays the same type. */
const essence = ({ table, identity, columns }: Described): string =>
  JSON.stringify([table, identity, columns.map(([name, , oid, mod, isKey]) => [name, oid, mod, isKey])])

export const isSame = (a: RelationNote | undefined, b: Described): boolean =>
  a !== undefined && essence(a as Described) === essence(b)

/** What is different, by JSON pointers into a table with its `name`, `identity`, and `columns` by name. */
export function changesOf(before: RelationNote | undefined, after: Described): Change[] {
  return differences(before === undefined ? {} : flat(before as Described), flat(after))
}

/** Members of two flat objects that differ. */
export function differences(before: JsonObject, after: JsonObject): Change[] {
  const changes: Change[] = []
  for (const path of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [a, b] = [before[path], after[path]]
    if (JSON.stringify(a) === JSON.stringify(b)) continue
    changes.push({ path, ...(a !== undefined && { before: a }), ...(b !== undefined && { after: b }) })
  }
  return changes
}

function flat({ table, identity, columns }: Described): JsonObject {
  const members: JsonObject = { '/name': table, '/identity': identity }
  for (const [name, type, , , isKey] of columns)
    members[`/columns/${escapePointer(name)}`] = { type, ...(isKey && identity !== 'full' && { key: true }) }
  return members
}
