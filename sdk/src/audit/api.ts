// Reading from the service over HTTP: answers bounded in bytes and time, no redirects, and failures in words.

import { setTimeout as sleep } from 'node:timers/promises'
import { fromUtf8 } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { type JsonValue, parseJson } from '../core/json.ts'
import { hinted, problemError, reading, unreachable } from '../core/problem.ts'
import { addressOf, readAnswer, request } from '../http/request.ts'

/**
 * The answers of one service to GET. Each is bounded in bytes and time, and redirects are not followed. Paths begin with `/`.
 * Calls reject with `KillickError`: `unreachable` if no answer comes or the service fails (5xx), else its refusal.
 */
export type Api = {
  /** @param maxBytes default 32 MiB @throws KillickError `refused` if there are more */
  bytes(path: string, maxBytes?: number): Promise<Uint8Array>
  /** @throws KillickError `answer_malformed` if it is not UTF-8 */
  text(path: string, maxBytes?: number): Promise<string>
  /** @throws KillickError `json_*` */
  json(path: string, maxBytes?: number): Promise<JsonValue>
  /** Lines of a long answer, as they arrive. */
  lines(path: string, maxLine: number): AsyncGenerator<string>
  /** Bytes of a long answer, as they arrive. Each is there until the next is asked for. */
  chunks(path: string): AsyncGenerator<Uint8Array>
}

/** How a service is asked. */
export type ApiOptions = {
  /** How often a request is repeated if it came too early for the service's rate limit. Default 5. */
  patience?: number
  /**
   * Time limit for one request, from connecting to the last byte of the answer, milliseconds. Of an answer that is read as it arrives,
   * only the time counts for which the service was waited for. Default 60,000.
   */
  timeoutMs?: number
  /** Added to the error message if the service asks for a token. */
  hint?: string
}

const MAX_BYTES = 32 << 20
const MAX_PROBLEM_BYTES = 64 << 10

/**
 * Opens a service for reading; nothing is sent before the first call.
 * @param url base URL of the service
 * @param token of a reader; undefined: none is sent
 */
export function openApi(url: string, token: string | undefined, options: ApiOptions = {}): Api {
  const addressTo = (path: string) => (path === '' ? url : addressOf(url, path))
  const limitMs = options.timeoutMs ?? 60_000
  /** @param wait for the answer; default: the limit for a request */
  const get = async (path: string, wait?: Wait, patience = options.patience ?? 5): Promise<Response> => {
    const target = addressTo(path)
    const limit = wait ? { timeoutMs: FOREVER_MS, signal: wait.signal } : { timeoutMs: limitMs }
    const response = await request(target, { token, ...limit, again: true })
    if (response.ok) return response
    const problem = await readAnswer(target, response, MAX_PROBLEM_BYTES)
    const { status, headers } = response
    if (status === 429 && patience > 0) {
      await sleep(1000 * retryAfter(headers.get('retry-after')))
      return get(path, wait, patience - 1)
    }
    const error = problemError(status, (problem && fromUtf8(problem)) ?? '')
    if (status >= 500) throw new KillickError('unreachable', error.message, { ...error.details, url: target })
    throw new KillickError(error.code, `${target}: ${hinted(error.message, status, options.hint)}`, error.details)
  }
  async function* chunks(path: string): AsyncGenerator<Uint8Array> {
    const wait = limitWait(limitMs)
    try {
      const response = await wait.during(get(path, wait))
      const reader = response.body?.getReader()
      try {
        for (;;) {
          const { value } = await wait.during<{ value?: Uint8Array }>(reader?.read() ?? NOTHING)
          if (value === undefined) return
          yield value
          giveBack(value)
        }
      } catch (error) {
        throw unreachable(addressTo(path), error as Error)
      } finally {
        // Whoever has enough does not wait for the rest.
        reader?.cancel().catch(() => {})
      }
    } finally {
      wait.end()
    }
  }
  const bytes = async (path: string, maxBytes = MAX_BYTES) => {
    const response = await get(path)
    const body = await readAnswer(addressTo(path), response, maxBytes)
    if (body === null) throw new KillickError('refused', `${addressTo(path)} answers with more than ${maxBytes} bytes`)
    return body
  }
  const text = async (path: string, maxBytes?: number) => {
    const body = fromUtf8(await bytes(path, maxBytes))
    if (body === null) throw new KillickError('answer_malformed', `${addressTo(path)} is not UTF-8`)
    return body
  }
  async function* lines(path: string, maxLine: number): AsyncGenerator<string> {
    let rest = ''
    for await (const chunk of chunks(path)) {
      const parts = (rest + Buffer.from(chunk).toString('latin1')).split('\n')
      rest = parts.pop() as string
      if (rest.length > maxLine)
        throw new KillickError('batch_malformed', `${addressTo(path)} holds a line without end`)
      yield* parts
    }
    if (rest !== '') throw new KillickError('batch_malformed', `${addressTo(path)} ends within a line`)
  }
  const json = async (path: string, maxBytes?: number) => {
    const answer = await text(path, maxBytes)
    return reading(`${addressTo(path)} does not answer in JSON`, () => parseJson(answer))
  }
  return { bytes, text, json, lines, chunks }
}

/**
 * Gives back the memory of bytes that have it to themselves, which are empty afterwards. The collector counts memory outside of its heap,
 * and would look through the heap again and again: docs/decisions/0007-memory-given-back.md.
 */
export function giveBack({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
}

/** Longer than any request: the longest that a timer takes. */
const FOREVER_MS = 2 ** 31 - 1
const NOTHING = Promise.resolve({})

type Wait = { readonly signal: AbortSignal; during<T>(answer: Promise<T>): Promise<T>; end(): void }

const tooLate = () => new DOMException('The operation was aborted due to timeout', 'TimeoutError')

/** Aborts when answers have been waited for longer than this, all together. */
function limitWait(ms: number): Wait {
  const controller = new AbortController()
  let left = ms
  return {
    signal: controller.signal,
    async during(answer) {
      const start = performance.now()
      const timer = setTimeout(() => controller.abort(tooLate()), left)
      try {
        return await answer
      } finally {
        clearTimeout(timer)
        left = Math.max(1, left - (performance.now() - start))
      }
    },
    end: () => controller.abort(),
  }
}

/** Retry-After (RFC 9110 §10.2.3): between one second and a minute, whatever the service asks for. */
function retryAfter(value: string | null): number {
  return Math.min(Math.max(/^\d{1,9}$/.test(value ?? '') ? Number(value) : 1, 1), 60)
}
