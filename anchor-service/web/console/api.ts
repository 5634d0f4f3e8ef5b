/** The service's own API, asked with the session of this browser. */
import type { JsonObject, JsonValue, Party } from '@killick/sdk/core'
import type { EventAnswer, ReadinessAnswer } from '../../src/http/answers.ts'

export class ApiError extends Error {
  readonly code: string
  readonly status: number

  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

/** How much the clock of this machine is behind that of the service, ms. */
let behind = 0

/**
 * The time by the clock of the service, as its last answer told, ms. That of this machine may be wrong, and then a call that waits would be
 * taken for one whose time is up, and what is a year old for new.
 */
export const serviceNow = (): number => Date.now() + behind

/** Longer than the service itself waits for its database. ms */
const ANSWER_MS = 120_000

/**
 * The text of what the service answered.
 * @throws ApiError with the service's code; `unreachable` where it gave no answer, or none within two minutes
 */
export async function apiText(path: string, method = 'GET', body?: object): Promise<string> {
  // Of a machine that is gone without a word a browser waits for ever.
  const signal = AbortSignal.timeout(ANSWER_MS)
  const unreachable = () => {
    const late = method === 'GET' ? '' : ' What it was asked to do may be done even so.'
    throw new ApiError(
      0,
      'unreachable',
      signal.aborted ? `The service has not answered for two minutes.${late}` : 'The service cannot be reached.',
    )
  }
  const response = await fetch(path, {
    ...{ method, signal },
    // No other site can make a browser send this header, so the session alone is not enough to change anything.
    headers: { 'x-killick-console': '1', ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  }).catch(unreachable)
  const told = Date.parse(response.headers.get('date') ?? '')
  if (!Number.isNaN(told)) behind = told - Date.now()
  const text = await response.text().catch(unreachable)
  const problem = response.ok ? null : jsonOf<{ code?: string; detail?: string; status?: unknown }>(text)
  // How ready the service is comes with 503 too, where it is not; in every other 503 the status is that number.
  if (response.ok || (response.status === 503 && typeof problem?.status === 'string')) return text
  const { code = 'unknown', detail = `The service answered ${response.status}.` } = problem ?? {}
  throw new ApiError(response.status, code, detail)
}

/** @throws ApiError as `apiText`; `unreadable` where something between here and the service answered in its place */
export async function api<T>(path: string, method = 'GET', body?: object): Promise<T> {
  const text = await apiText(path, method, body)
  // 204: it was done, and there is nothing to say.
  if (text === '') return {} as T
  const answer = jsonOf<T>(text)
  if (answer === null) throw new ApiError(200, 'unreadable', 'What came in place of an answer cannot be read.')
  return answer
}

/** How ready the service is. @throws ApiError also where it tells this browser no more than whether it is ready */
export async function readiness(): Promise<ReadinessAnswer> {
  const answer = await api<Partial<ReadinessAnswer>>('/readyz')
  if (answer.audit !== undefined) return answer as ReadinessAnswer
  throw answer.status === 'ready'
    ? new ApiError(401, 'unauthorized', 'Nobody is signed in.')
    : new ApiError(503, 'not_ready', 'The service is not ready, and does not know now who is signed in.')
}

function jsonOf<T>(text: string): T | null {
  try {
    return JSON.parse(text) as T
  } catch {
    return null
  }
}

/** What events may hold, as the service checked it when it took them (docs/PROTOCOL.md §5); fields of the source's own besides. */
export type Fields = {
  action?: string
  actor?: Party
  targets?: Party[]
  outcome?: string
  occurredAt?: string
  changes?: { path: string; before?: JsonValue; after?: JsonValue }[]
  context?: JsonObject
} & { [name: string]: JsonValue | undefined }

/** One that was altered in the database; where it stands may be unknown. */
export type AlteredEvent = Extract<EventAnswer, { error: object }>
export type ReadableEvent = Omit<Exclude<EventAnswer, AlteredEvent>, 'fields'> & { fields: Fields }
export type ListedEvent = ReadableEvent | AlteredEvent
