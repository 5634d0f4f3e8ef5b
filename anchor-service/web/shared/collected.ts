/** Whom a collector recorded an event for: docs/PROTOCOL.md §5. Pure. */

const AUTHS = ['key', 'certificate', 'socket', 'hmac', 'file', 'none'] as const

/** `source`: the system that it came from, as the emitter says; `auth`: how the emitter showed the collector who it is. */
export type CollectedFrom = { readonly source: string; readonly emitter: string; readonly auth: (typeof AUTHS)[number] }

/** Null where the event does not say so of its own source: what another source claims means nothing. */
export function collectedFrom(event: {
  readonly source: string
  readonly fields: { readonly collected?: unknown }
}): CollectedFrom | null {
  const { by, source, emitter, auth } = (event.fields.collected ?? {}) as Record<string, unknown>
  const how = AUTHS.find((name) => name === auth)
  if (by !== event.source || typeof source !== 'string' || typeof emitter !== 'string' || how === undefined) return null
  return { source, emitter, auth: how }
}
