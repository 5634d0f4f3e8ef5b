/** Which key may sign at which place: by the verifier's pins, else by what the carried entries register. */
import { KillickError } from '../core/errors.ts'
import type { ParsedEvent } from '../core/event.ts'
import { type PublicJwk, thumbprint } from '../core/jwk.ts'
import { parseRegistration, type Registration, Registry, SYSTEM } from '../core/registry.ts'
import { type Bounds, heldAgainst } from '../verify/times.ts'
import { type PinnedKey, parsePinTime } from '../verify/trust.ts'
import { type BundleKeyOutside, type BundleReason, Few } from './verdict.ts'

/** A key to check a signature with, or why there is none. */
export type FoundKey = { readonly jwk: PublicJwk } | { readonly reason: BundleReason }

type Pin = { jwk: PublicJwk; notBefore: number | null; notAfter: number | null }

export class BundleKeys {
  /** Sources whose keys were asked for: whether pins answered, and answered in time. */
  readonly sources = new Map<string, 'pinned' | 'open' | 'registered'>()
  /** Keys that were used outside of the time for which they are registered. */
  readonly outside = new Few<BundleKeyOutside>()
  readonly #registry = new Registry()
  readonly #pins = new Map<string, Map<string, Pin>>()
  readonly #boundsOf: (logIndex: number) => Bounds
  #lastOutside: BundleKeyOutside | null = null
  #lastBounds: { readonly logIndex: number; readonly bounds: Bounds } | null = null
  readonly #all: PublicJwk[] = []

  /** @param boundsOf what anchors that the chain confirms say of the time of an entry */
  constructor(pinned: readonly PinnedKey[], boundsOf: (logIndex: number) => Bounds) {
    this.#boundsOf = boundsOf
    for (const { source = '', jwk, notBefore, notAfter } of pinned) {
      this.#all.push(jwk)
      const pin = { jwk, notBefore: parsePinTime(notBefore), notAfter: parsePinTime(notAfter) }
      this.#pins.set(source, (this.#pins.get(source) ?? new Map()).set(thumbprint(jwk), pin))
    }
  }

  /** Keys that may sign something, as far as is known now, in the order in which they came to be known. */
  get all(): readonly PublicJwk[] {
    return this.#all
  }

  /** @param registration what this very entry registers: the ledger's first key is registered by the entry that it signs */
  find(source: string, kid: string, logIndex: number, registration: Registration | null = null): FoundKey {
    const own = this.#registry.source(source)?.keys
    const named = this.#pins.get(source)
    // A pin without a source counts for the sources that the key is registered for.
    const nameless = this.#pins.get('')
    const pin = (own?.has(kid) ? nameless?.get(kid) : undefined) ?? named?.get(kid)
    const isPinned = () => named !== undefined || [...(nameless?.keys() ?? [])].some((name) => own?.has(name))
    if (pin === undefined && isPinned()) return { reason: 'pin_mismatch' }
    const fit = pin && heldAgainst(this.#bounds(logIndex), pin.notBefore, pin.notAfter)
    if (fit === 'outside') return { reason: 'pin_expired' }
    const record = own?.get(kid)
    if (record && heldAgainst(this.#bounds(logIndex), record.notBefore, record.notAfter) === 'outside')
      this.#noteOutside({ logIndex, source, kid })
    const first = source === SYSTEM.source && registration?.source === source && own === undefined
    const registered = record?.jwk ?? (first ? registration.keys.find((key) => key.kid === kid)?.jwk : undefined)
    const jwk = pin?.jwk ?? registered
    if (jwk === undefined) return { reason: 'key_unregistered' }
    this.#note(source, fit === 'inside' ? 'pinned' : fit === 'open' ? 'open' : 'registered')
    return { jwk }
  }

  /** @returns whether it counts: it is signed by a key of the ledger that was registered before, and in order */
  apply(registration: Registration, event: ParsedEvent, logIndex: number, signedBy: string): boolean {
    const trusted = new Set(this.#pins.get(SYSTEM.source)?.keys())
    const fault = this.#registry.apply({ registration, logIndex, leafHash: event.leafHash, signedBy }, trusted)
    if (fault === null) this.#all.push(...registration.keys.map(({ jwk }) => jwk))
    return fault === null
  }

  /** Whether events of a source may hold digests that stand for no field, as far as the carried registrations say. */
  hasDecoys(source: string): boolean {
    return this.#registry.source(source)?.decoys ?? false
  }

  /** Those of one entry are asked for again and again. */
  #bounds(logIndex: number): Bounds {
    if (this.#lastBounds?.logIndex !== logIndex) this.#lastBounds = { logIndex, bounds: this.#boundsOf(logIndex) }
    return this.#lastBounds.bounds
  }

  /** A batch and its events are often signed by the same key. */
  #noteOutside(found: BundleKeyOutside): void {
    const last = this.#lastOutside
    this.#lastOutside = found
    if (last?.logIndex !== found.logIndex || last.kid !== found.kid) this.outside.add(found)
  }

  /** The worst of what was found for a source counts. */
  #note(source: string, found: 'pinned' | 'open' | 'registered'): void {
    const order = ['pinned', 'open', 'registered'] as const
    const known = this.sources.get(source) ?? 'pinned'
    this.sources.set(source, order[Math.max(order.indexOf(known), order.indexOf(found))]!)
  }
}

/** What an event registers; null: nothing. `fault`: it should register something, and cannot be read. */
export function registrationIn(event: ParsedEvent): Registration | 'fault' | null {
  try {
    return parseRegistration(event)
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    return 'fault'
  }
}
