// Proof links: asking the service for one, and withdrawing it.
import { isRedirect, readBody } from '../core/body.ts'
import { fromUtf8 } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { isObject, type JsonObject, parseJson } from '../core/json.ts'
import { problemError, unreachable } from '../core/problem.ts'

export type ShareOptions = {
  /** Names of the fields that the link shows; all others stay hidden. */
  fields: readonly string[]
  /** When the link stops working; default never. */
  expires?: Date | string
}

/** A proof link. Whoever has `url` can open it, so it is a secret until it is given away; the service keeps only its hash. */
export type Share = { id: string; url: string; leafHash: string; fields: string[]; expires: string | null }

export type ShareService = {
  /** Base URL of the service. */
  url: string
  /** A reader token of the service. */
  token: string
  /** ms; default 30,000 */
  timeoutMs?: number
  fetch?: typeof fetch
}

/**
 * Makes a link that shows chosen fields of an event together with its proof.
 * @param eventId the event's id or leaf hash
 * @throws KillickError `unreachable`; `answer_malformed`; `refused` with the service's own code in `details.code`, such as `event_not_found`
 */
export async function shareEvent(service: ShareService, eventId: string, options: ShareOptions): Promise<Share> {
  const { fields, expires } = options
  const body = { eventId, fields, ...(expires !== undefined && { expires: new Date(expires).toISOString() }) }
  return parseShare(await ask(service, 'POST', '/v1/shares', body))
}

/** Someone will open `url`, so it must be one. @throws KillickError answer_malformed */
function parseShare({ id, url, leafHash, fields, expires }: JsonObject): Share {
  const isText = (value: unknown): value is string => typeof value === 'string'
  const isWebUrl = isText(url) && /^https?:$/.test(URL.parse(url)?.protocol ?? '')
  if (!isText(id) || !isWebUrl || !isText(leafHash) || !Array.isArray(fields) || !fields.every(isText))
    throw new KillickError('answer_malformed')
  if (expires !== null && !isText(expires)) throw new KillickError('answer_malformed')
  return { id, url, leafHash, fields, expires }
}

/** Withdraws a link for good. @throws KillickError as `shareEvent` */
export async function revokeShare(service: ShareService, id: string): Promise<void> {
  await ask(service, 'DELETE', `/v1/shares/${encodeURIComponent(id)}`)
}

const MAX_ANSWER_BYTES = 256 * 1024

async function ask(service: ShareService, method: string, path: string, body?: object): Promise<JsonObject> {
  const url = `${service.url.replace(/\/+$/, '')}${path}`
  let status: number
  let text: string | null
  try {
    const response = await (service.fetch ?? fetch)(url, {
      method,
      headers: {
        authorization: `Bearer ${service.token}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      redirect: 'manual',
      signal: AbortSignal.timeout(service.timeoutMs ?? 30_000),
    })
    status = response.status
    if (isRedirect(response)) throw new Error('it leads elsewhere, where the token must not go')
    text = fromUtf8((await readBody(response.body, MAX_ANSWER_BYTES)) ?? new Uint8Array([0xff]))
    if (text === null) throw new Error('its answer is too long, or not UTF-8')
  } catch (error) {
    throw unreachable(url, error as Error)
  }
  if (status >= 400) throw problemError(status, text)
  const answer = parseJson(text)
  if (!isObject(answer)) throw new KillickError('answer_malformed', `${url} did not answer as a Killick service does`)
  return answer
}
