/** Events as CSV (RFC 4180), safe to open in a spreadsheet. */
import type { JsonObject } from '@killick/sdk'
import type { FoundEvent, UnreadableEvent } from '../ledger/found.ts'

export const CSV_HEADER =
  'id,recordedAt,source,stream,seq,logIndex,action,actor,targets,outcome,leafHash,missing,error\r\n'

/** A cell that begins like a formula would be run as one by spreadsheets; a quote before it keeps it text. */
function cell(value: unknown): string {
  const text = String(value ?? '')
  const harmless = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless
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
