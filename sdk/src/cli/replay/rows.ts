// Events of a session as a service lists them. What is said of an event is read from its own bytes; of the rest of a row only its place
// in the log is taken, on the service's word.
import type { Api } from '../../audit/api.ts'
import { KillickError } from '../../core/errors.ts'
import { isCount, type ParsedEvent, parseEvent } from '../../core/event.ts'
import { isObject, type JsonObject, type JsonValue } from '../../core/json.ts'
import { nodePrimitives } from '../../node/primitives.ts'
import { SESSION_TARGET, sealedIn, sealedNames } from '../../words/index.ts'

/** An event that belongs to the session. */
export type SessionRow = Readable | Altered

export type Readable = {
  readonly event: ParsedEvent
  readonly logIndex: number
  /** Digests that show no field: hidden, lost, or decoys. */
  readonly hidden: number
  /** Fields that are sealed: nothing of what they say is shown. */
  readonly sealed: number
}

/** One whose bytes are not those of an event any more; where it stands may be unknown. `isDropped`: by a policy, on the service's word. */
export type Altered = {
  readonly event: null
  readonly id: string
  readonly source: string | null
  readonly stream: string | null
  readonly seq: number | null
  readonly logIndex: number
  readonly why: string
  readonly isDropped: boolean
}

/** A page of what a service found, and the cursor of the next; null: there is none. */
export type SessionPage = { readonly rows: readonly SessionRow[]; readonly found: number; readonly next: string | null }

/** Largest answer that is read: a page of a hundred of the largest events has 45 MB, and then the page is made smaller. */
const MAX_PAGE_BYTES = 16 << 20

/**
 * A page of a search, newest first: those events that name the session. An event whose targets are not shown counts as one, since the
 * service found it by its target.
 * @param path with its query, limit included
 * @throws KillickError as `Api`; `answer_malformed`
 */
export async function readPage(api: Api, path: string, session: string): Promise<SessionPage> {
  const page = await api.json(path, MAX_PAGE_BYTES)
  const list = isObject(page) ? page.events : undefined
  if (!isObject(page) || !Array.isArray(list)) throw malformed(`${path} is not a list of events`)
  const { next } = page
  if (next !== null && (typeof next !== 'string' || list.length === 0))
    throw malformed(`${path} does not come to an end`)
  const rows = list.map((row) => readRow(row, path))
  return { rows: rows.filter((row) => isOf(row, session)), found: rows.length, next: next as string | null }
}

const malformed = (what: string) => new KillickError('answer_malformed', `The service answered with nonsense: ${what}`)

/** Whether an answer was not read because it is too large. */
export const isTooLarge = (error: unknown): boolean =>
  error instanceof KillickError && error.code === 'refused' && error.details.status === undefined

/** @throws KillickError `answer_malformed` */
export function readRow(row: JsonValue, path: string): SessionRow {
  if (!isObject(row) || !(typeof row.id === 'string' || isObject(row.error)) || !isCount(row.logIndex))
    throw malformed(`${path} holds something else than events`)
  const { logIndex } = row
  if (isObject(row.error)) {
    const { code, detail } = row.error
    return { ...altered(row, logIndex, String(detail ?? code)), isDropped: code === 'event_dropped' }
  }
  if (typeof row.token !== 'string') throw malformed(`${path} holds an event without its bytes`)
  try {
    const event = parseEvent(row.token, nodePrimitives)
    const hidden = event.fieldCount - event.disclosures.length
    return { event, logIndex, hidden, sealed: sealedNames(event.fields).length }
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    return altered(row, logIndex, `${error.code}: ${error.message}`)
  }
}

function altered({ id = '', source, stream, seq }: JsonObject, logIndex: number, why: string): Altered {
  const text = (value: JsonValue | undefined) => (typeof value === 'string' ? value : null)
  return {
    ...{ event: null, id: String(id), logIndex, why, isDropped: false },
    ...{ source: text(source), stream: text(stream), seq: isCount(seq) ? seq : null },
  }
}

const isOf = (row: SessionRow, session: string): boolean => row.event === null || names(row, session) !== false

/** Whether an event names a session. Null: its targets are not shown, or sealed, so nobody can tell. */
export function names({ event, hidden }: Readable, session: string): boolean | null {
  const { targets } = event.fields
  if (!Array.isArray(targets)) return hidden > 0 ? null : false
  if (sealedIn('targets', targets) !== null) return null
  return targets.some((target) => isObject(target) && target.type === SESSION_TARGET && target.id === session)
}

/** Where an event stands in its stream; null where that is not known. */
export function placeOf(row: SessionRow): { source: string; stream: string; seq: number } | null {
  const { source, stream, seq } = row.event ?? row
  return source === null || stream === null || seq === null ? null : { source, stream, seq }
}
