// From a row of the stream to what an event says of it: which columns changed, from what to what, and what nobody told.
import type { Change } from '@killick/sdk'
import type { JsonObject, JsonValue } from '@killick/sdk/core'
import { hashOf } from '../sessions/disclosed.ts'
import type { LargeValue, RowMessage, Tuple } from './pgoutput.ts'
import { rowId, type Table } from './table.ts'

/** What is known of one changed row. */
export type RowFacts = {
  readonly operation: 'insert' | 'update' | 'delete'
  readonly table: Table
  /** `schema.table:key`; null where the stream tells no key. */
  readonly row: string | null
  /** The row's name before, if the key was changed. */
  readonly formerRow: string | null
  readonly changes: readonly Change[]
  /** What is missing from `changes`, and why. */
  readonly notes: JsonObject
  /** About how many bytes of JSON `changes` takes, and never fewer than a sixth of it. */
  readonly weight: number
}

type Value = string | null | { omitted: { why: string; sha256: string; bytes: number } }

/** Weight of a change beside its path and values. */
const CHANGE_WEIGHT = 40
/** Weight up to which `changes` fits into an event, however its texts are escaped. */
const LIGHT = 16_000
/** Most bytes of JSON for `changes`; an event has twice as much, less a third for base64url. */
const MAX_JSON = 90_000
/** Most characters of a list of columns. */
const MAX_NAMES = 8_000

/** @param maxBytes of a value that is shown; of a larger one there is a hash, over the text in UTF-8 */
export function rowFacts(message: RowMessage, table: Table, maxBytes: number): RowFacts {
  const { kind } = message
  const changes: Change[] = []
  const unchanged: string[] = []
  const show = (value: string | LargeValue | null): Value => shown(value, maxBytes)
  for (const { name, path, isKey } of table.columns) {
    const before = (message.old ?? message.key)?.[name]
    if (message.new === null) {
      if (before !== undefined) changes.push({ path, before: show(before) })
      continue
    }
    const after = message.new[name]
    if (after === undefined) {
      if (kind === 'update') unchanged.push(name)
    } else if (kind === 'insert') changes.push({ path, after: show(after) })
    else if (before !== undefined) {
      if (!isSame(before, after)) changes.push({ path, before: show(before), after: show(after) })
    }
    // A key that was changed would have come along as it was before.
    else if (!isKey || message.key !== null) changes.push({ path, after: show(after) })
  }
  const now = message.new ?? message.old ?? message.key!
  const row = rowId(table, now)
  const former = message.new === null ? null : formerOf(message, table)
  const notes: JsonObject = {
    ...(kind !== 'insert' && message.old === null && { before: 'key_only' }),
    ...(unchanged.length > 0 && { unchanged: listed(unchanged) }),
    ...(table.excluded.length > 0 && { excluded: listed(table.excluded) }),
    ...(table.keyOf !== 'replica_identity' && { key: table.keyOf }),
  }
  const facts = { operation: kind, table, row, formerRow: former === row ? null : former, notes }
  const weight = weightOf(changes)
  return weight <= LIGHT ? { ...facts, changes, weight } : { ...facts, ...fitted(changes, notes) }
}

function formerOf({ old, key }: RowMessage, table: Table): string | null {
  const before: Tuple | null = old ?? key
  return before === null ? null : rowId(table, before)
}

/** Of large values the hashes tell. */
function isSame(a: Tuple[string], b: Tuple[string]): boolean {
  if (a === b) return true
  return isLarge(a) && isLarge(b) && a.sha256 === b.sha256
}

const isLarge = (value: Tuple[string]): value is LargeValue => typeof value === 'object' && value !== null

function shown(text: string | LargeValue | null, maxBytes: number): Value {
  if (isLarge(text)) return { omitted: { why: 'size', ...text } }
  // A character has at most three bytes of UTF-8.
  if (text === null || text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes) return text
  return omitted(text)
}

const omitted = (text: string): Value => ({ omitted: { why: 'size', ...hashOf(text) } })

const lengthOf = (value: unknown): number => (typeof value === 'string' ? value.length : value === null ? 4 : 120)

/** Names of columns, or of too many how many they are. */
function listed(names: readonly string[]): JsonValue {
  const length = names.reduce((sum, name) => sum + name.length, 0)
  return length <= MAX_NAMES ? [...names] : { columns: names.length, ...hashOf(JSON.stringify(names)) }
}

function weightOf(changes: readonly Change[]): number {
  let weight = 0
  for (const { path, before, after } of changes)
    weight += path.length + CHANGE_WEIGHT + lengthOf(before) + lengthOf(after)
  return weight
}

/** Puts hashes in the place of the largest values until the rest fits. */
function fitted(changes: readonly Change[], notes: JsonObject): Pick<RowFacts, 'changes' | 'notes' | 'weight'> {
  let json = JSON.stringify(changes)
  const whole = json
  let list = changes
  for (let limit = 8_192; Buffer.byteLength(json) > MAX_JSON && limit >= 128; limit /= 4) {
    const less = (value: unknown) => (typeof value === 'string' && value.length > limit ? omitted(value) : value)
    list = list.map(
      (change) =>
        ({
          path: change.path,
          ...(change.before !== undefined && { before: less(change.before) }),
          ...(change.after !== undefined && { after: less(change.after) }),
        }) as Change,
    )
    json = JSON.stringify(list)
  }
  if (Buffer.byteLength(json) <= MAX_JSON) return { changes: list, notes, weight: Buffer.byteLength(json) }
  return {
    changes: [],
    notes: { ...notes, omitted: { why: 'size', changes: changes.length, ...hashOf(whole) } },
    weight: 0,
  }
}
