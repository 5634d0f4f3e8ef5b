/** The service's own API, asked with the session of this browser. */
import type { JsonObject, JsonValue, Party } from '@killick/sdk/core'
import type { EventAnswer } from '../../src/http/answers.ts'

export class ApiError extends Error {
  readonly code: string
  readonly status: number

  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

/** @throws ApiError with the service's code; `unreachable` where it gave no answer */
export async function api<T>(path: string, method = 'GET', body?: object): Promise<T> {
  const response = await fetch(path, {
    method,
    // No other site can make a browser send this header, so the session alone is not enough to change anything.
    headers: { 'x-killick-console': '1', ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  }).catch(() => {
    throw new ApiError(0, 'unreachable', 'The service cannot be reached.')
  })
  const answer = (await response.json().catch(() => ({}))) as T & { code?: string; detail?: string }
  if (!response.ok && response.status !== 503) {
    throw new ApiError(
      response.status,
      answer.code ?? 'unknown',
      answer.detail ?? `The service answered ${response.status}.`,
    )
  }
  return answer
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
