// Finds the source of a key: by the verifier's pins, else by what the log registered before the key was used.
import { requiredAbsent } from '../core/batch.ts'
import { KillickError } from '../core/errors.ts'
import type { ParsedEvent } from '../core/event.ts'
import { type PublicJwk, thumbprint } from '../core/jwk.ts'
import type { Anchor } from '../core/proof.ts'
import {
  type KeyRecord,
  parseRegistration,
  type Registration,
  Registry,
  type SourceRecord,
  SYSTEM,
} from '../core/registry.ts'
import { printTime } from '../core/time.ts'
import { boundsFrom, type Bounds as EntryBounds, heldAgainst } from '../verify/times.ts'
import { type PinnedKey, parsePinTime } from '../verify/trust.ts'
import type { AuditReason } from './codes.ts'
import type { ErasureCheck } from './erasures.ts'
import type { FaultPlace, Findings } from './findings.ts'
import type { WalkedBatch } from './own-check.ts'
import type { BatchReading } from './readings.ts'
import type { Listed } from './sources.ts'

/**
 * A key that the auditor knows to belong to a source; without a name it counts for every source that it is registered for. A
 * period is held against the anchors around an entry, as in `PinnedKey`: where they show a use outside of it, that is a fault, and
 * where they leave it open, the key counts as not pinned.
 */
export type PinnedSourceKey = PinnedKey

/** How far outside its period the anchors must show a key's use before that is a fault, ms: clocks and chains differ. */
const TOLERANCE_MS = 3_600_000

/** What a `KeyRing` knows beside what the log registers: sources whose keys were taken on the log's word, and its counts. */
export type KeptKeys = { readonly unpinned: readonly string[]; readonly used: number; readonly withDecoys: number }

const FAULTS = {
  signer: 'no key of the ledger that was registered before has signed it',
  previous: 'it does not follow the registration of the source before it',
  order: 'it stands before one that was read already',
} as const

export type KeyRingOptions = {
  pinned: readonly PinnedSourceKey[]
  /** The service's list of sources. */
  listed: Listed
  /** How many entries the log had before the list was read: everything that they register must be in the list. */
  listedAt: number
  /** Anchors that show when something was in the log: settled, and if the chain is asked, those that it is asked about. */
  anchors: readonly Anchor[]
  findings: Findings
  /** Takes events that lack fields. */
  erasures: Pick<ErasureCheck, 'lacks'>
}

/**
 * The keys at each place of the log. Walk the log in its order: before an entry call `judge`, then `find`; after it `apply`.
 */
export class KeyRing {
  /** Sources whose keys were taken on the log's word. */
  readonly unpinned = new Set<string>()
  readonly #registry = new Registry()
  readonly #options: KeyRingOptions
  readonly #findings: Findings
  /** Pins by source and kid; pins without a source under ''. */
  readonly #pins = new Map<string, Map<string, Pin>>()
  readonly #bounds: Bounds
  /** The states of a source since the list was read, which may show any of them; the last is the newest. */
  readonly #since = new Map<string, { record: SourceRecord; seq: number; isBefore: boolean }[]>()
  #used = 0
  #withDecoys = 0

  constructor(options: KeyRingOptions) {
    this.#options = options
    this.#findings = options.findings
    this.#bounds = new Bounds(options.anchors)
    for (const fault of options.listed.faults) this.#findings.fail('registry', 'unreadable', fault)
    for (const { source = '', jwk, notBefore, notAfter } of options.pinned) {
      const pin: Pin = { jwk, notBefore: parsePinTime(notBefore), notAfter: parsePinTime(notAfter) }
      this.#pins.set(source, (this.#pins.get(source) ?? new Map()).set(thumbprint(jwk), pin))
    }
  }

  /** The key of this name that may sign for the source at this place, or the reason why there is none. */
  find(source: string, kid: string, walked: WalkedBatch): PublicJwk | string {
    const own = this.#registry.source(source)?.keys
    const listed = this.#options.listed.rows.get(source)
    // A pin without a source counts for the sources that the key is registered for.
    const nameless = [...(this.#pins.get('') ?? [])].filter(([name]) => own?.has(name) || listed?.keys.has(name))
    const pins = new Map([...(this.#pins.get(source) ?? []), ...nameless])
    const pin = pins.get(kid)
    if (pins.size > 0 && pin === undefined) return `key ${kid} is not among the keys pinned for ${source}`
    const fit = pin && heldAgainst(this.#bounds.around(walked.logIndex), pin.notBefore, pin.notAfter)
    if (fit === 'outside') return `key ${kid} is pinned for another time than anchors show for the entry`
    if (fit === 'inside') return pin!.jwk
    this.unpinned.add(source)
    const first = own === undefined && source === SYSTEM.source ? keysOf(walked) : undefined
    return (own ?? first)?.get(kid)?.jwk ?? `no key ${kid} is registered for ${source} in the log before it`
  }

  /** Keys that may have signed for a source, as far as is known when the walk comes to it. Whether they were allowed to is another question. */
  known(source: string): PublicJwk[] {
    const pins = [...(this.#pins.get(source)?.values() ?? []), ...(this.#pins.get('')?.values() ?? [])]
    const registered = this.#registry.source(source)?.keys.values() ?? []
    const listed = this.#options.listed.rows.get(source)?.keys.values() ?? []
    return [...pins, ...registered, ...listed].map(({ jwk }) => jwk)
  }

  /** Checks that each key that signs here was registered before and used in its period, and that the events are whole. */
  judge(walked: WalkedBatch, { signers, lacking }: Pick<BatchReading, 'signers' | 'lacking'>): void {
    const { header, logIndex } = walked
    const at = { logIndex, source: header.source, stream: header.stream, seq: header.seq }
    const record = this.#registry.source(header.source)
    // The registry itself judges registrations that a system key signs.
    const isRegistration = registrationsOf(walked).length > 0
    const { kid } = header.signature
    const named = ({ source, stream, seq, id }: ParsedEvent) =>
      [`Event ${id} (${source}/${stream} ${seq})`, { logIndex, source, stream, seq, id }] as const
    if (!isRegistration) this.#judgeKey(this.#unfit(record, kid, at), 1, () => [[`Batch ${logIndex}`, at]])
    for (const [signer, uses] of signers)
      if (!isRegistration || signer !== kid)
        this.#judgeKey(this.#unfit(record, signer, at), uses, () =>
          walked.events!.filter(({ signature }) => signature?.kid === signer).map(named),
        )
    for (const i of lacking) {
      const event = walked.event(i)!
      this.#judgeFields(record, event, ...named(event))
    }
    if (logIndex === 0 && registrationsOf(walked)[0]?.source !== SYSTEM.source)
      this.#findings.fail(
        'registry',
        'registration_invalid',
        'The log does not begin with the registration of its own key',
        at,
      )
  }

  /** Applies what the entry registers. @param isSigned whether its batch's signature verifies under the key from `find` */
  apply(walked: WalkedBatch, isSigned: boolean): void {
    for (const registration of registrationsOf(walked)) {
      const { logIndex, header } = walked
      const { seq, id, leafHash } = walked.event(0)!
      const place = { logIndex, ...SYSTEM, seq, id }
      if ('fault' in registration) {
        this.#findings.fail(
          'registry',
          'registration_invalid',
          `The registration at log entry ${logIndex}: ${registration.fault}`,
          place,
        )
        continue
      }
      const fail = (why: string) =>
        this.#findings.fail(
          'registry',
          'registration_invalid',
          `The registration of ${registration.source} at log entry ${logIndex}: ${why}`,
          place,
        )
      if (!isSigned) {
        fail('it is not signed by a key of the ledger that was registered before')
        continue
      }
      const trusted = new Set(this.#pins.get(SYSTEM.source)?.keys())
      const entry = { registration, logIndex, leafHash, signedBy: header.signature.kid }
      const fault = this.#registry.apply(entry, trusted)
      if (fault !== null) fail(FAULTS[fault])
      const record = this.#registry.source(registration.source)
      if (record?.logIndex !== logIndex) continue
      const isBefore = logIndex < this.#options.listedAt
      const earlier = isBefore ? [] : (this.#since.get(record.source) ?? [])
      this.#since.set(record.source, [...earlier, { record, seq, isBefore }])
    }
  }

  /** Whether this batch registers something. */
  isRegistration(walked: WalkedBatch): boolean {
    return registrationsOf(walked).length > 0
  }

  /** What it knows beside what the log registers. */
  save(): KeptKeys {
    return { unpinned: [...this.unpinned], used: this.#used, withDecoys: this.#withDecoys }
  }

  /** Goes on with what was kept, once the log's registrations have been applied. @param isSame whether the same audit goes on */
  load({ unpinned, used, withDecoys }: KeptKeys, isSame: boolean): void {
    for (const source of unpinned) this.unpinned.add(source)
    this.#used = isSame ? used : 0
    this.#withDecoys = isSame ? withDecoys : 0
  }

  /** How many events lack fields that may be decoys. */
  get withDecoys(): number {
    return this.#withDecoys
  }

  /** Compares the service's list with what the log has registered. */
  finish(): void {
    const { listed } = this.#options
    for (const [source, states] of this.#since) {
      const { record, seq } = states.at(-1)!
      const place = { logIndex: record.logIndex, ...SYSTEM, seq }
      const fail = (reason: AuditReason, what: string) =>
        this.#findings.fail('registry', reason, `/v1/sources, ${source}: ${what}`, place)
      const row = listed.rows.get(source)
      if (row === undefined) {
        if (states[0]!.isBefore && !listed.isCut) fail('absent', 'it is not listed, though the log registers it')
        continue
      }
      const [why] = states.map((state) => differenceOf(row, state.record)).reverse()
      if (states.every((state) => differenceOf(row, state.record) !== null)) fail('different', why!)
    }
    for (const source of listed.rows.keys())
      if (!this.#since.has(source))
        this.#findings.fail(
          'registry',
          'untold',
          `/v1/sources, ${source}: it is listed, and the log never registered it`,
        )
    const sources = this.#since.size.toLocaleString('en')
    this.#findings.pass('registry', `${sources} registered; ${this.#used.toLocaleString('en')} uses of keys`)
  }

  /** Why a key may not be used here; null: it may. */
  #unfit(record: SourceRecord | undefined, kid: string, { logIndex, source }: FaultPlace): string | null {
    const key = record?.keys.get(kid)
    if (key === undefined) return `key ${kid} signs for ${source}, and the log does not register it before`
    return this.#bounds.outside(key, logIndex)
  }

  /** @param used what was signed with it, each with its name in findings: asked for only where it may not be used */
  #judgeKey(
    unfit: string | null,
    uses: number,
    used: () => readonly (readonly [what: string, place: FaultPlace])[],
  ): void {
    this.#used += uses
    if (unfit === null) return
    for (const [what, place] of used()) this.#findings.fail('registry', 'key_unregistered', `${what}: ${unfit}`, place)
  }

  #judgeFields(record: SourceRecord | undefined, event: ParsedEvent, what: string, place: FaultPlace): void {
    const gone = event.fieldCount - event.disclosures.length
    // Of a source that may hide fields, nobody can tell which digests are decoys; but each event has entered with some fields.
    if (record?.decoys) this.#withDecoys += 1
    const certain = record?.decoys ? requiredAbsent(event).length : gone
    if (certain > 0) this.#options.erasures.lacks(event, certain, what, place)
  }
}

/** Times in ms since 1970. */
type Pin = { jwk: PublicJwk; notBefore: number | null; notAfter: number | null }

type Registered = Registration | { source?: undefined; fault: string }

/** What entries register, by the entry: it is asked for several times, and read once. */
const read = new WeakMap<WalkedBatch, Registered[]>()

/** What an entry registers, or why that cannot be read. Registrations are alone in their batches. */
function registrationsOf(walked: WalkedBatch): Registered[] {
  if (!read.has(walked)) read.set(walked, readRegistrations(walked))
  return read.get(walked)!
}

function readRegistrations(walked: WalkedBatch): Registered[] {
  const { header } = walked
  if (header.source !== SYSTEM.source || header.stream !== SYSTEM.stream) return []
  const { events } = walked
  const found = (events ?? []).map(readRegistration).filter((registration) => registration !== null)
  return found.length > 0 && events!.length > 1 ? [{ fault: 'it does not stand alone in its batch' }] : found
}

function readRegistration(event: ParsedEvent): Registered | null {
  try {
    return parseRegistration(event)
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    return { fault: error.message }
  }
}

/** The keys that an entry registers for the ledger itself. */
function keysOf(walked: WalkedBatch): ReadonlyMap<string, { jwk: PublicJwk }> | undefined {
  const [registration] = registrationsOf(walked)
  if (registration?.source !== SYSTEM.source) return undefined
  return new Map(registration.keys.map((key) => [key.kid, key]))
}

/** How a row of the list differs from the source; null: it does not. */
function differenceOf(
  row: Listed extends { rows: ReadonlyMap<string, infer Row> } ? Row : never,
  record: SourceRecord,
) {
  for (const name of ['eventSignatures', 'decoys', 'maxAge', 'maxAhead', 'heartbeat', 'logIndex'] as const)
    if (row[name] !== record[name]) return `${name} is ${row[name]}, the log says ${record[name]}`
  for (const [kid, { notBefore, notAfter, registeredAt }] of record.keys) {
    const key = row.keys.get(kid)
    if (key === undefined) return `key ${kid} is not listed`
    if (key.notBefore !== notBefore || key.notAfter !== notAfter)
      return `key ${kid} has another validity than the log says`
    if (key.logIndex !== registeredAt)
      return `key ${kid} is listed as of log entry ${key.logIndex}, registered at ${registeredAt}`
  }
  const other = [...row.keys.keys()].find((kid) => !record.keys.has(kid))
  return other === undefined ? null : `key ${other} is listed, and the log never registered it`
}

/** When an entry came into the log, by its anchors. Times in ms. */
class Bounds {
  /** Of each log on a chain, by rising size, and so by rising time. */
  readonly #logs: { size: number; time: number }[][]

  constructor(anchors: readonly Anchor[]) {
    const logs = Map.groupBy(anchors, ({ chainId, contract, logId }) => [chainId, contract, logId].join().toLowerCase())
    this.#logs = [...logs.values()].map((own) =>
      own.map(({ size, time }) => ({ size, time: 1000 * time })).sort((a, b) => a.size - b.size),
    )
  }

  around(logIndex: number): EntryBounds {
    const having: number[] = []
    const without: number[] = []
    for (const log of this.#logs) {
      const covering = log[firstNot(log, ({ size }) => size <= logIndex)]
      if (covering) having.push(covering.time)
    }
    const by = having.length === 0 ? Number.POSITIVE_INFINITY : Math.min(...having)
    for (const log of this.#logs) {
      const last = log[firstNot(log, ({ size, time }) => size <= logIndex && time <= by) - 1]
      if (last) without.push(last.time)
    }
    return boundsFrom(without, having)
  }

  /** In words, how the entry is outside the key's period; null if it is not, as far as anchors show. */
  outside({ notBefore, notAfter }: KeyRecord, logIndex: number): string | null {
    if (notBefore === null && notAfter === null) return null
    const { after, by } = this.around(logIndex)
    if (notAfter !== null && after !== null && after > notAfter + TOLERANCE_MS)
      return `its key was valid until ${printTime(notAfter)}, and the entry was not yet in the log as anchored at ${printTime(after)}`
    if (notBefore !== null && by !== null && by < notBefore - TOLERANCE_MS)
      return `its key is valid from ${printTime(notBefore)} on, and the entry was in the log as anchored at ${printTime(by)}`
    return null
  }
}

/** How many of a list come before the first that is not so. */
function firstNot<T>(list: readonly T[], isSo: (one: T) => boolean): number {
  let [low, high] = [0, list.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (isSo(list[middle]!)) low = middle + 1
    else high = middle
  }
  return low
}
