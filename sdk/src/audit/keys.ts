// Whose keys are whose: what the verifier pinned, else what the service says.
import { isObject } from '../core/json.ts'
import { type PublicJwk, parsePublicJwk, thumbprint } from '../core/jwk.ts'
import type { Api } from './api.ts'

export type PinnedKey = { source?: string; jwk: PublicJwk }

export type KeyRing = {
  /** The key of this name that may speak for the source, or the reason why none may. */
  find(source: string, kid: string): PublicJwk | string
  /** Sources for which the service's word was taken. */
  readonly unpinned: ReadonlySet<string>
}

export async function readKeys(api: Api, pinned: readonly PinnedKey[]): Promise<KeyRing> {
  const claimed = new Map<string, Map<string, PublicJwk>>()
  for (let cursor = ''; ; ) {
    const page = await api.json(`/v1/sources?limit=500${cursor}`)
    for (const item of isObject(page) && Array.isArray(page.sources) ? page.sources : []) {
      if (!isObject(item) || typeof item.source !== 'string' || !Array.isArray(item.keys)) continue
      const jwks = item.keys.map((key) => parsePublicJwk(isObject(key) ? key.jwk : key))
      claimed.set(item.source, new Map(jwks.map((jwk) => [thumbprint(jwk), jwk])))
    }
    if (!isObject(page) || typeof page.next !== 'string') break
    cursor = `&cursor=${encodeURIComponent(page.next)}`
  }
  const unpinned = new Set<string>()
  const pinsOf = (source: string): Map<string, PublicJwk> => {
    const mine = pinned
      .filter((pin) => (pin.source ?? source) === source)
      .map((pin) => [thumbprint(pin.jwk), pin] as const)
    // A pin without a name belongs to the sources that the service lists it for.
    const kept = mine.filter(([kid, pin]) => pin.source !== undefined || claimed.get(source)?.has(kid))
    return new Map(kept.map(([kid, { jwk }]) => [kid, jwk]))
  }
  const cache = new Map<string, Map<string, PublicJwk>>()
  return {
    unpinned,
    find: (source, kid) => {
      let pins = cache.get(source)
      if (!pins) {
        pins = pinsOf(source)
        cache.set(source, pins)
      }
      if (pins.size > 0) return pins.get(kid) ?? `key ${kid} is not among the keys pinned for ${source}`
      unpinned.add(source)
      return claimed.get(source)?.get(kid) ?? `no key ${kid} is registered for ${source}`
    },
  }
}
