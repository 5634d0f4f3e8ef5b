/** Requests that change something at a service: JSON there, a JSON object back. */
import { fromUtf8 } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { isObject, type JsonObject, type JsonValue, parseJson } from '../core/json.ts'
import { problemError, unreachable } from '../core/problem.ts'
import { addressOf, readAnswer, request, type ServiceRequest } from './request.ts'

const MAX_ANSWER_BYTES = 256 * 1024

/**
 * Asks once.
 * @param path begins with `/`
 * @throws KillickError `unreachable`; `answer_malformed`; the service's refusal, as `problemError` makes it
 */
export async function askJson(
  service: { readonly url: string; readonly timeoutMs?: number } & Pick<ServiceRequest, 'token' | 'fetch'>,
  method: string,
  path: string,
  body?: object,
): Promise<JsonObject> {
  const { token, timeoutMs = 30_000, fetch } = service
  const url = addressOf(service.url, path)
  const json = body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  const response = await request(url, { method, token, timeoutMs, fetch, ...json })
  const { status } = response
  const text = fromUtf8((await readAnswer(url, response, MAX_ANSWER_BYTES)) ?? new Uint8Array([0xff]))
  if (text === null) throw unreachable(url, new Error('its answer is too long, or not UTF-8'))
  if (status >= 400) throw problemError(status, text)
  const answer = parseAnswer(text)
  if (!isObject(answer)) throw new KillickError('answer_malformed', `${url} did not answer as a Killick service does`)
  return answer
}

/** Null if it is not JSON. */
function parseAnswer(text: string): JsonValue {
  try {
    return parseJson(text)
  } catch (error) {
    if (error instanceof KillickError) return null
    throw error
  }
}
