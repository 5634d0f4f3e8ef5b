// Asks the service to make a proof link, or to withdraw one.
import { KillickError } from '../core/errors.ts'
import type { JsonObject } from '../core/json.ts'
import { knownOptions } from '../core/options.ts'
import { parseTime, printTime } from '../core/time.ts'
import { askJson } from '../http/ask-json.ts'

/** What a proof link shows, and for how long it works. */
export type ShareOptions = {
  /** Names of the fields that the link shows, such as `action`; all others stay hidden. */
  fields: readonly string[]
  /** When the link stops working: a Date, or RFC 3339 as in `2027-01-31T12:00:00Z`. Default never. */
  expires?: Date | string
}

/**
 * A proof link. Anyone who has `url` can open it, so keep it secret until you give it away; the service keeps only its hash.
 * `id` withdraws the link. `leafHash` names the event (base64url), `fields` the fields shown; `expires` is RFC 3339, null: never.
 */
export type Share = { id: string; url: string; leafHash: string; fields: string[]; expires: string | null }

/** The service that makes links, and the token for it. */
export type ShareService = {
  /** Base URL of the service. */
  url: string
  /** A reader token of the service. */
  token: string
  /** Time limit for one request, from connecting to the end of the answer, in ms; default 30,000. */
  timeoutMs?: number
  /** Another `fetch`, for a proxy or client certificates. Default: the global one. */
  fetch?: typeof fetch
}

/**
 * Makes a link that shows chosen fields of an event together with its proof.
 * @param eventId the event's id or leaf hash
 * @throws KillickError `option_invalid` for an option that there is none of, and where `expires` is no time; `unreachable`; `answer_malformed`; `refused` with the
 * service's own code in `details.code`, such as `event_not_found`
 * @example
 * const service = { url: 'https://audit.example.com', token: process.env.READER_TOKEN }
 * const { url } = await shareEvent(service, id, { fields: ['action', 'targets'], expires: '2027-01-01T00:00:00Z' })
 */
export async function shareEvent(service: ShareService, eventId: string, options: ShareOptions): Promise<Share> {
  const { fields, expires } = knownOptions(options, { fields: true, expires: true })
  const until = expires instanceof Date ? expires.getTime() : parseTime(expires)
  if (expires !== undefined && (until === null || Number.isNaN(until)))
    throw new KillickError('option_invalid', 'expires is no time: give a Date, or RFC 3339', { option: 'expires' })
  const body = { eventId, fields, ...(until !== null && { expires: printTime(until) }) }
  return parseShare(await askJson(service, 'POST', '/v1/shares', body))
}

/** People will open `url`, so it must be a URL. @throws KillickError answer_malformed */
function parseShare({ id, url, leafHash, fields, expires }: JsonObject): Share {
  const isText = (value: unknown): value is string => typeof value === 'string'
  const isWebUrl = isText(url) && /^https?:$/.test(URL.parse(url)?.protocol ?? '')
  if (!isText(id) || !isWebUrl || !isText(leafHash) || !Array.isArray(fields) || !fields.every(isText))
    throw new KillickError('answer_malformed')
  if (expires !== null && !isText(expires)) throw new KillickError('answer_malformed')
  return { id, url, leafHash, fields, expires }
}

/**
 * Withdraws a link permanently: it shows nothing from then on.
 * @param id of the link, not of the event
 * @throws KillickError `unreachable`, `answer_malformed`, `refused`, as `shareEvent`
 */
export async function revokeShare(service: ShareService, id: string): Promise<void> {
  await askJson(service, 'DELETE', `/v1/shares/${encodeURIComponent(id)}`)
}
