// One request where a handler takes a Request and returns a Response.
import type { AuditedRequest, RequestEnd } from './audited-request.ts'
import { isKept, UNRECORDED } from './unrecorded.ts'

/** What a client gets if recording failed, with those headers of the withheld answer that are not of its content. */
export function unrecordedResponse(headers?: Headers): Response {
  const kept = [...(headers ?? [])].filter(([name]) => isKept(name))
  const more = { 'content-type': UNRECORDED.type, 'cache-control': 'no-store' }
  return new Response(UNRECORDED.body, { status: UNRECORDED.status, headers: [...kept, ...Object.entries(more)] })
}

/**
 * Makes the event of an answered request and ends it.
 * @param waits whether to wait until the event is durable
 * @returns whether the answer may leave
 */
export async function endFetchRequest(
  request: Pick<AuditedRequest, 'ended' | 'scope'>,
  end: RequestEnd,
  waits: boolean,
): Promise<boolean> {
  const durable = request.ended(end)
  // Where a platform freezes what has answered, it is told to wait. The audit object reports what it cannot record.
  const settled = durable?.then(
    () => true,
    () => false,
  )
  if (settled) request.scope.waitUntil(settled)
  request.scope.end()
  return waits && settled ? await settled : true
}
