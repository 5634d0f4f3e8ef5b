// Whose keys are whose: what the verifier pinned, else what the service says.
import { type PublicJwk, thumbprint } from '../core/jwk.ts'
import { parseSourceRow, readPages } from './answers.ts'
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
  for await (const { rows } of readPages(api, '/v1/sources', 'sources', () => 500, parseSourceRow))
    for (const { source, keys } of rows) claimed.set(source, new Map(keys.map((jwk) => [thumbprint(jwk), jwk])))
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
