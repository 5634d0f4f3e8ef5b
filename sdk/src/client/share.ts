// Proof links: asking the service for one, and withdrawing it.
import { KillickError } from '../core/errors.ts'
import { isObject, parseJson } from '../core/json.ts'
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
 * @throws KillickError `unreachable`; `refused` with the service's own code in `details.code`, such as `event_not_found`
 */
export async function shareEvent(service: ShareService, eventId: string, options: ShareOptions): Promise<Share> {
  const { fields, expires } = options
  const body = { eventId, fields, ...(expires !== undefined && { expires: new Date(expires).toISOString() }) }
  return (await ask(service, 'POST', '/v1/shares', body)) as Share
}

/** Withdraws a link for good. @throws KillickError as `shareEvent` */
export async function revokeShare(service: ShareService, id: string): Promise<void> {
  await ask(service, 'DELETE', `/v1/shares/${encodeURIComponent(id)}`)
}

async function ask(service: ShareService, method: string, path: string, body?: object): Promise<unknown> {
  const url = `${service.url.replace(/\/+$/, '')}${path}`
  let status: number
  let text: string
  try {
    const response = await (service.fetch ?? fetch)(url, {
      method,
      headers: {
        authorization: `Bearer ${service.token}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      redirect: 'error',
      signal: AbortSignal.timeout(service.timeoutMs ?? 30_000),
    })
    status = response.status
    text = await response.text()
  } catch (error) {
    throw unreachable(url, error as Error)
  }
  if (status >= 400) throw problemError(status, text)
  const answer = parseJson(text)
  if (!isObject(answer)) throw new KillickError('refused', `${url} did not answer as a Killick service does`)
  return answer
}
