// Reading from the service over HTTP: bounded answers, and failures in words.

import { setTimeout as sleep } from 'node:timers/promises'
import { KillickError } from '../core/errors.ts'
import { type JsonValue, parseJson } from '../core/json.ts'
import { problemError, unreachable } from '../core/problem.ts'

export type Api = {
  bytes(path: string, maxBytes?: number): Promise<Uint8Array>
  text(path: string): Promise<string>
  json(path: string): Promise<JsonValue>
  /** Lines of a long answer, as they come. */
  lines(path: string, maxLine: number): AsyncGenerator<string>
}

const TIMEOUT_MS = 60_000
/** How often a request is made again that came too early for the service's rate limit. */
const PATIENCE = 5
const MAX_BYTES = 32 << 20

/**
 * @throws KillickError from each call: `unreachable` when there is no answer or the service is failing; else the service's
 * refusal as `problemError` gives it.
 */
export function openApi(url: string, token: string | undefined): Api {
  const base = url.replace(/\/+$/, '')
  const get = async (path: string, patience = PATIENCE): Promise<Response> => {
    const target = path === '' ? url : base + path
    let response: Response
    try {
      response = await fetch(target, {
        headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
        signal: AbortSignal.timeout(TIMEOUT_MS),
      })
    } catch (error) {
      throw unreachable(target, error as Error)
    }
    if (response.ok) return response
    if (response.status === 429 && patience > 0) {
      await response.body?.cancel()
      // RFC 9110 §10.2.3, in seconds.
      await sleep(1000 * Math.min(Number(response.headers.get('retry-after')) || 1, 60))
      return get(path, patience - 1)
    }
    const body = await response.text().catch(() => '')
    const error = problemError(response.status, body.slice(0, 65_536))
    if (response.status >= 500) throw new KillickError('unreachable', error.message, { ...error.details, url: target })
    throw new KillickError(error.code, `${target}: ${error.message}`, error.details)
  }
  async function* chunks(path: string): AsyncGenerator<Uint8Array> {
    const response = await get(path)
    try {
      for await (const chunk of response.body ?? []) yield chunk
    } catch (error) {
      throw unreachable(base + path, error as Error)
    }
  }
  const bytes = async (path: string, maxBytes = MAX_BYTES) => {
    const parts: Uint8Array[] = []
    let length = 0
    for await (const part of chunks(path)) {
      length += part.length
      if (length > maxBytes)
        throw new KillickError('refused', `${base}${path} answers with more than ${maxBytes} bytes`)
      parts.push(part)
    }
    return new Uint8Array(Buffer.concat(parts))
  }
  const text = async (path: string) => new TextDecoder().decode(await bytes(path))
  async function* lines(path: string, maxLine: number): AsyncGenerator<string> {
    let rest = ''
    for await (const chunk of chunks(path)) {
      const parts = (rest + Buffer.from(chunk).toString('latin1')).split('\n')
      rest = parts.pop() as string
      if (rest.length > maxLine) throw new KillickError('batch_malformed', `${base}${path} holds a line without end`)
      yield* parts
    }
    if (rest !== '') throw new KillickError('batch_malformed', `${base}${path} ends within a line`)
  }
  return { bytes, text, json: async (path) => parseJson(await text(path)), lines }
}
