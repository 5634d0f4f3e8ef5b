// A statement as events show it: its text, and what the parser says that it does.
import { isUtf8 } from 'node:buffer'
import type { JsonObject, JsonValue } from '@killick/sdk/core'
import type { Redaction } from '@killick/sdk/kit'
import { hashOf } from '../sessions/disclosed.ts'
import type { Thing } from '../sessions/event.ts'
import { effectsOf, type StatementEffect } from './effects/index.ts'

/** What the session says about how the server reads a text. */
export type Reading = {
  /** `client_encoding`, as the server has reported it. */
  encoding: string
  /** `server_encoding`: that of the database. */
  serverEncoding: string
  /** Whether `standard_conforming_strings` is on. */
  isStandard: boolean
  /** Whether `search_path` may be another than PostgreSQL's default: the session has set it, or the server (18 or later) says so. */
  hasSearchPath: boolean
  /** The server's major version, as it has said. */
  version: number
  /** Something is under way that may change this, or the session has only begun: the server says what holds before it is ready again. */
  isUnsettled: boolean
  /** Counts statements of which nobody can tell whether they have prepared something under a name. */
  doubts: number
}

/** What a text of a client does. */
export type SqlText = {
  readonly text: string
  readonly bytes: number
  readonly effects: readonly StatementEffect[]
  readonly isFullyKnown: boolean
  readonly unknownWhy: readonly string[]
  /** `doubts` of the session when it was prepared. */
  readonly doubts: number
  /** Types of its parameters, as far as the client gave them. */
  readonly types: readonly number[]
}

/** So many plain SELECTs are remembered with what they do; `effectsOf` remembers other texts. */
const MAX_REMEMBERED = 1_000
const remembered = new Map<string, readonly StatementEffect[]>()

/** Of plain SELECTs that differ in numbers only, the first one's effects are those of all. */
const PLAIN_SELECT = /^[ \t\r\n]*select\b[\w \t\r\n.,()*=<>+%!|]*;?[ \t\r\n]*$/i
const NUMBER = /\b\d+\b/g
const MAX_PLAIN = 4_096

/** @param text the bytes that came, without the zero byte behind them */
export function readStatement(text: Buffer, reading: Reading, types: readonly number[] = []): SqlText {
  const isOfUtf8 = isUtf8(text)
  const read = isOfUtf8 ? text.toString('utf8') : text.toString('latin1')
  const effects = rememberedEffects(read)
  const known = summed(effects)
  const why = whyUnsettled(text, read, isOfUtf8, reading, known)
  return {
    text: read,
    bytes: text.length,
    effects,
    isFullyKnown: known.isFullyKnown && why.length === 0,
    unknownWhy: why.length === 0 ? known.unknownWhy : [...new Set([...known.unknownWhy, ...why])],
    doubts: reading.doubts,
    types,
  }
}

/** Why a text may do something else in this session than the parser says. */
function whyUnsettled(text: Buffer, read: string, isOfUtf8: boolean, reading: Reading, known: Summed): string[] {
  const why: string[] = []
  // What the parser reads as one character the server may read as another, and a backslash as the end of a text.
  const { isUnsettled } = reading
  const isOfOther = reading.encoding !== 'UTF8' || !isOfUtf8 || isUnsettled
  if (isOfOther && (read.length !== text.length || !isOfUtf8)) why.push('encoding')
  else if (reading.serverEncoding !== 'UTF8' && known.tables.some((name) => mayBeFolded(name, reading)))
    why.push('encoding')
  if ((!reading.isStandard || isUnsettled) && read.includes('\\')) why.push('standard_conforming_strings')
  if (hasOtherPath(reading) && known.usesSearchPath) why.push('search_path')
  if (known.sinceVersion > reading.version) why.push('server_version')
  return why
}

/** Beyond ASCII the server makes small letters of a name only where a character is a byte, by the locale of the database; the parser does not. */
const mayBeFolded = (name: string, { serverEncoding }: Reading): boolean =>
  BEYOND_ASCII.test(name) && (serverEncoding === 'SQL_ASCII' || name !== name.toLowerCase())
const BEYOND_ASCII = /[^\0-\x7f]/

const hasOtherPath = ({ hasSearchPath, isUnsettled }: Reading): boolean => hasSearchPath || isUnsettled

/** Why a prepared text may do something else now than when it was prepared: the server looks names up again if `search_path` was set since. */
export const whyReadAgain = ({ effects }: SqlText, reading: Reading): readonly string[] =>
  hasOtherPath(reading) && summed(effects).usesSearchPath ? ['search_path'] : []

/** What the effects of a text say together. */
type Summed = {
  readonly unknownWhy: readonly string[]
  readonly isFullyKnown: boolean
  readonly usesSearchPath: boolean
  readonly sinceVersion: number
  readonly tables: readonly string[]
}

/** Of effects that are remembered by their text, summed up once. */
const sums = new WeakMap<readonly StatementEffect[], Summed>()

function summed(effects: readonly StatementEffect[]): Summed {
  const known = sums.get(effects)
  if (known !== undefined) return known
  const unknownWhy = [...new Set<string>(effects.flatMap((effect) => effect.unknownWhy))]
  const sum: Summed = {
    unknownWhy,
    isFullyKnown: unknownWhy.length === 0 && effects.every((effect) => effect.isFullyKnown),
    usesSearchPath: effects.some(({ usesSearchPath }) => usesSearchPath),
    sinceVersion: Math.max(0, ...effects.map(({ sinceVersion = 0 }) => sinceVersion)),
    tables: effects.flatMap(({ reads, writes }) => [...reads, ...writes]),
  }
  sums.set(effects, sum)
  return sum
}

function rememberedEffects(text: string): readonly StatementEffect[] {
  if (text.length > MAX_PLAIN || !PLAIN_SELECT.test(text)) return effectsOf(text)
  const key = text.replace(NUMBER, '0')
  const known = remembered.get(key)
  if (known !== undefined) return known
  const effects = effectsOf(text)
  if (remembered.size >= MAX_REMEMBERED) remembered.clear()
  remembered.set(key, effects)
  return effects
}

/** Statements, tables and columns that an event lists; of the others it has the number. */
const MAX_LISTED = 20
const MAX_TABLES = 50

/** What a text does, as events show it. */
type ShownEffects = {
  /** For `metadata.postgres`. */
  readonly effects: JsonObject
  /** The tables that it names, each once. */
  readonly tables: readonly Thing[]
  readonly onlyReads: boolean
}

/** Of effects that are remembered by their text, made once. */
const shown = new WeakMap<readonly StatementEffect[], ShownEffects>()

export function shownEffects(effects: readonly StatementEffect[]): ShownEffects {
  let known = shown.get(effects)
  if (known === undefined) {
    known = { effects: effectsShown(effects), tables: tablesOf(effects), onlyReads: onlyReads(effects) }
    shown.set(effects, known)
  }
  return known
}

const onlyReads = (effects: readonly StatementEffect[]): boolean =>
  effects.length > 0 &&
  // A sequence that SELECT advances is written.
  effects.every(
    ({ kind, kinds = [kind], writes }) =>
      writes.length === 0 && kinds.every((each) => each === 'select' || each === 'show'),
  )

function effectsShown(effects: readonly StatementEffect[]): JsonObject {
  const listed = effects.slice(0, MAX_LISTED).map((effect) => ({
    kind: effect.kind,
    ...(effect.kinds !== undefined && { kinds: effect.kinds }),
    ...(effect.reads.length > 0 && { reads: effect.reads.slice(0, MAX_TABLES) }),
    ...(effect.writes.length > 0 && { writes: effect.writes.slice(0, MAX_TABLES) }),
    ...(effect.columns !== undefined && { columns: effect.columns.slice(0, MAX_TABLES) }),
    ...(effect.withoutWhere !== undefined && { withoutWhere: effect.withoutWhere.slice(0, MAX_TABLES) }),
    ...(effect.calls !== undefined && { calls: effect.calls.slice(0, MAX_TABLES) }),
    ...(effect.set !== undefined && { sets: effect.set.name }),
    ...(effect.prepares !== undefined && { prepares: effect.prepares }),
    ...(effect.executes !== undefined && { executes: effect.executes }),
    ...(effect.transaction !== undefined && { transaction: effect.transaction }),
  }))
  return {
    effects: listed as unknown as JsonValue,
    ...(effects.length > MAX_LISTED && { statements: effects.length }),
  }
}

function tablesOf(effects: readonly StatementEffect[]): Thing[] {
  const names = new Set(effects.flatMap(({ writes, reads }) => [...writes, ...reads]))
  return [...names].slice(0, MAX_TABLES).map((id) => ({ type: 'table', id }))
}

/** Characters of each end of a long text that are shown, at most. */
const MAX_END = 1_024

/** The text, or what stands for one that is too long: both ends, length and hash; no hash where a rule finds something in it. */
export function textShown({ text, bytes }: SqlText, maxBytes: number, redaction: Redaction): JsonValue {
  if (bytes <= maxBytes && (bytes * 6 <= maxBytes || Buffer.byteLength(JSON.stringify(text)) <= maxBytes)) return text
  const { removals } = redaction.redactValue(text)
  const end = Math.min(MAX_END, maxBytes >> 4)
  const ends = { begin: text.slice(0, end).toWellFormed(), end: text.slice(text.length - end).toWellFormed(), bytes }
  return removals.length > 0
    ? { ...ends, begin: '', end: '', why: 'redaction' }
    : { ...ends, sha256: hashOf(text).sha256 }
}
