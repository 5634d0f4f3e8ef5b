// One part of an export, as the service gives it.
import { fromUtf8 } from '../../core/bytes.ts'
import { KillickError } from '../../core/errors.ts'
import { hinted, problemError, unreachable } from '../../core/problem.ts'
import { addressOf, readAnswer, request } from '../../http/request.ts'
import type { Access } from '../access.ts'

/** `cursor`: null for the first part. `id`: of the export, once the service has given it one. */
export type PartQuery = {
  readonly path: string
  /** Most events. */
  readonly limit: number
  readonly format: 'ndjson' | 'csv'
  readonly cursor: string | null
  readonly id: string | null
}

/** What a part was: `next` is the cursor of the next one, or `end`. */
export type ExportPart = { readonly events: number; readonly next: string; readonly export: string }

/** One part; a service that says nothing for as long as SILENCE_MS is given up earlier. */
const TIMEOUT_MS = 4 * 3_600_000
const SILENCE_MS = 60_000
const MAX_PROBLEM_BYTES = 64 << 10
/** An event is in its line twice, with a proof of at most 1 MiB. */
const MAX_LINE_BYTES = 4 << 20
const MAX_WAIT_S = 60

/**
 * Gives the bytes of a part to `write` as they arrive.
 * @param onEvents told how many events have been written
 * @param onAnswer told once the service has answered
 * @throws KillickError `unreachable`, also if it breaks off; `answer_malformed`; or the service's refusal
 */
export async function askPart(
  { url: base, token, hint }: Access,
  { path, limit, format, cursor, id }: PartQuery,
  write: (chunk: Uint8Array) => Promise<void>,
  onEvents: (events: number) => void,
  onAnswer: () => void,
): Promise<ExportPart> {
  const url = addressOf(base, path)
  const place = new URLSearchParams({
    limit: String(limit),
    ...(cursor !== null && { cursor }),
    ...(id !== null && { export: id }),
  })
  const cut = (error: Error) => {
    throw unreachable(url, error)
  }
  const silence = new AbortController()
  const timer = setTimeout(() => silence.abort(new Error(`nothing came for ${SILENCE_MS / 1000} s`)), SILENCE_MS)
  try {
    const response = await request(`${url}&${place}`, { token, timeoutMs: TIMEOUT_MS, signal: silence.signal })
    onAnswer()
    if (!response.ok) throw await refusalOf(url, response, hint)
    const { next, export: whole } = placeOf(url, response.headers)
    if (next === cursor) throw new KillickError('answer_malformed', `${url} does not come to an end`)
    const events = counter(format, cursor === null, limit)
    const reader = response.body?.getReader()
    try {
      for (;;) {
        const { value } = (await reader?.read().catch(cut)) ?? {}
        if (value === undefined) break
        events.take(value)
        await write(value)
        timer.refresh()
        onEvents(events.seen())
      }
    } finally {
      reader?.cancel().catch(() => {})
    }
    if (!events.isAtEnd()) throw new KillickError('unreachable', `${url} broke off within an event`, { url })
    return { events: events.seen(), next, export: whole }
  } finally {
    clearTimeout(timer)
  }
}

/** What the service says, before the first byte, of what comes after it. */
function placeOf(url: string, headers: Headers): { next: string; export: string } {
  const next = headers.get('killick-next') ?? ''
  const whole = headers.get('killick-export') ?? ''
  if (!/^(end|[\w.-]{1,64})$/.test(next) || !/^[0-9a-f-]{36}$/.test(whole))
    throw new KillickError('answer_malformed', `${url} does not say what follows its answer`)
  return { next, export: whole }
}

async function refusalOf(url: string, response: Response, hint: string | undefined): Promise<KillickError> {
  const problem = await readAnswer(url, response, MAX_PROBLEM_BYTES)
  const { status, headers } = response
  const error = problemError(status, (problem && fromUtf8(problem)) ?? '')
  const after = headers.get('retry-after') ?? ''
  const details = { ...error.details, url, ...(/^\d{1,9}$/.test(after) && { retryAfter: Number(after) }) }
  if (status >= 500) return new KillickError('unreachable', error.message, details)
  return new KillickError(error.code, hinted(error.message, status, hint), details)
}

/** In how many seconds a service that has too much to do wants to be asked again, a minute at most; undefined: it does not. */
export function retryAfterOf(error: unknown): number | undefined {
  if (!(error instanceof KillickError)) return undefined
  const { status, retryAfter } = error.details
  if ((status !== 429 && status !== 503) || typeof retryAfter !== 'number') return undefined
  return Math.min(Math.max(retryAfter, 1), MAX_WAIT_S)
}

/** Counts events: lines of NDJSON; lines of CSV that are not within quotes, without the header. */
function counter(format: 'ndjson' | 'csv', isFirst: boolean, most: number) {
  let lines = 0
  let length = 0
  let isQuoted = false
  return {
    take: (chunk: Uint8Array): void => {
      for (const byte of chunk) {
        length += 1
        if (byte === 0x22 && format === 'csv') isQuoted = !isQuoted
        else if (byte === 0x0a && !isQuoted) {
          lines += 1
          length = 0
        }
      }
      if (length > MAX_LINE_BYTES || lines > most + 1)
        throw new KillickError(
          'answer_malformed',
          'The service exports more than it was asked for, or a line without end',
        )
    },
    seen: (): number => (format === 'csv' && isFirst ? Math.max(0, lines - 1) : lines),
    isAtEnd: (): boolean => length === 0,
  }
}
