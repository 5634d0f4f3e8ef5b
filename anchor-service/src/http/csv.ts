/** Events as CSV (RFC 4180), safe to open in a spreadsheet. */
import type { JsonObject } from '@killick/sdk/core'
import type { FoundEvent, UnreadableEvent } from '../ledger/read/events.ts'

export const CSV_HEADER =
  'id,recordedAt,source,stream,seq,logIndex,action,actor,targets,outcome,leafHash,missing,error\r\n'

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

export function csvLine(event: FoundEvent | UnreadableEvent): string {
  const { id, recordedAt, source, stream, seq, logIndex, leafHash } = event
  const fields: JsonObject = 'error' in event ? {} : event.fields
  const targets = ((fields.targets as JsonObject[] | undefined) ?? []).map(party).join(' ')
  const cells = [
    id,
    recordedAt,
    source,
    stream,
    seq,
    logIndex,
    fields.action,
    party(fields.actor),
    targets,
    fields.outcome,
    leafHash,
    'error' in event ? '' : event.missing,
    'error' in event ? event.error.code : '',
  ]
  return `${cells.map(cell).join(',')}\r\n`
}
