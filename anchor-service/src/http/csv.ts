/** Events as CSV (RFC 4180), safe to open in a spreadsheet. */
import { type JsonObject, type JsonValue, sealedIn } from '@killick/sdk/core'
import type { FoundEvent, UnreadableEvent } from '../ledger/read/events.ts'

/** Columns from the event's place in the log, from its fields, and what became of it; scripts rely on first and last staying. */
const COLUMNS = [
  ...['id', 'recordedAt', 'source', 'stream', 'seq', 'logIndex', 'action', 'actor', 'targets', 'outcome'],
  ...['occurredAt', 'actorName', 'actorEmail', 'targetNames', 'changes', 'context', 'metadata', 'otherFields'],
  ...['leafHash', 'missing', 'erased', 'expired', 'error'],
]
export const CSV_HEADER = `${COLUMNS.join(',')}\r\n`

/**
 * What spreadsheets run as a formula, full-width signs too, at the start of a cell or where one that splits at other characters
 * would begin another.
 */
const FORMULA = /(^|[;,|\t\r\n"'])(?=\s*[=+\-@\t\r＝＋－＠])/g

/** Every cell is quoted; a quote before what would be run keeps it text. */
function cell(value: unknown): string {
  const harmless = String(value ?? '').replace(FORMULA, "$1'")
  return `"${harmless.replaceAll('"', '""')}"`
}

const party = (value: unknown) => {
  const { type, id } = (value ?? {}) as JsonObject
  return type === undefined ? '' : `${type}:${id}`
}

/** A value for people; NDJSON has it for programs. */
const told = (value: JsonValue): string => (typeof value === 'string' ? value : JSON.stringify(value))

/** What is told in the place of a value that is sealed: its ciphertext is none, and may be longer than a cell of a spreadsheet can be. */
function sealedWords(field: string, value: JsonValue | undefined): string | null {
  const sealed = sealedIn(field, value)
  return sealed && `sealed, under key ${sealed.id}`
}

/** "ip: 203.0.113.7; requestId: req-8f2c" */
const members = (value: JsonValue | undefined, say: (member: JsonValue, name: string) => string = told): string =>
  Object.entries((value ?? {}) as JsonObject)
    .map(([name, member]) => `${name}: ${say(member, name)}`)
    .join('; ')

/** "/status: draft → approved; /note: (nothing) → new" */
function changesOf(value: JsonValue | undefined): string {
  const side = (member: JsonValue | undefined) => (member === undefined ? '(nothing)' : told(member))
  return ((value ?? []) as JsonObject[])
    .map(({ path, before, after }) => `${path}: ${side(before)} → ${side(after)}`)
    .join('; ')
}

export function csvLine(event: FoundEvent | UnreadableEvent): string {
  const { id, recordedAt, source, stream, seq, logIndex, leafHash } = event
  const fields: JsonObject = 'error' in event ? {} : event.fields
  const { action, actor, targets, outcome, occurredAt, changes, context, metadata, ...others } = fields
  const parties = (targets ?? []) as JsonObject[]
  const { name: actorName, email: actorEmail } = (actor ?? {}) as JsonObject
  const names = parties.map(({ name }) => name ?? '')
  const cells = [
    ...[id, recordedAt, source, stream, seq, logIndex],
    ...[action, party(actor), parties.map(party).join(' '), outcome],
    ...[occurredAt, actorName, actorEmail === undefined ? '' : told(actorEmail)],
    names.some((name) => name !== '') ? names.join('; ') : '',
    sealedWords('changes', changes) ?? changesOf(changes),
    ...[sealedWords('context', context) ?? members(context), sealedWords('metadata', metadata) ?? members(metadata)],
    members(others, (member, name) => sealedWords(name, member) ?? told(member)),
    leafHash,
    ...('error' in event ? ['', '', ''] : [event.missing, event.erased, event.expired]),
    'error' in event ? event.error.code : '',
  ]
  return `${cells.map(cell).join(',')}\r\n`
}
