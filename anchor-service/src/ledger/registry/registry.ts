/**
 * The sources that the log registers. Only events of the system stream say who may sign for a source. So this walks that stream
 * from its first event on, and compares with it the tables and what a batch was judged by.
 */

import {
  equalBytes,
  type KeyRecord,
  type PublicJwk,
  parseBatchHeader,
  planInclusion,
  Registry,
  type SourceRecord,
  SYSTEM,
  verifyInclusion,
} from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import { Refusal } from '../../errors.ts'
import { type Verifier, verifierOf } from '../../verifier.ts'
import type { StreamHead } from '../packs/checked-batch.ts'
import { type LogKey, readHead } from '../tree/checkpoints.ts'
import { readPlans } from '../tree/tiles.ts'
import { type Catalogues, keepCatalogues } from './catalogues.ts'
import { explainErased } from './erasures.ts'
import {
  differences,
  foldSource,
  type Registered,
  RegistryAltered,
  readOthers,
  readRegistered,
  readRows,
} from './registrations.ts'
import { readPeriod } from './sources.ts'
import { BEGINNING, follow, PAGE, readPage } from './system-stream.ts'

/** The state of the registry that `/readyz` reports. */
export type RegistryStatus = {
  /** Whether the whole tables have been compared with the log once. */
  checked: boolean
  /** Faults: the database does not hold what was registered. `source` is null if a fault concerns all sources. */
  altered: { source: string | null; detail: string }[]
}

export type LedgerRegistry = {
  /** The key with which this service signs for the source `killick`. */
  readonly systemKid: string
  /**
   * Walks the system stream to its end, or to the head that a transaction has found under the log's lock.
   * @throws Refusal registry_altered
   */
  catchUp(db: Db, head?: StreamHead | null): Promise<void>
  /** Whether the system stream has been walked to its end once. */
  isWalked(): boolean
  /** Whether the system stream was walked to this `seq` without a fault. Then there is nothing to catch up with. */
  isWalkedTo(seq: number): boolean
  /** How many events of the system stream were walked, and the names of the sources that they registered. */
  walked(): number
  names(): readonly string[]
  /**
   * When the key with which this service signs for `killick` may be used, if that is not now. What is signed with it all the same, every
   * audit reports for good. @param head as for `catchUp`
   */
  ownKeyOutside(
    db: Db,
    now: number,
    head?: StreamHead | null,
  ): Promise<Pick<KeyRecord, 'notBefore' | 'notAfter'> | null>
  /** A source by the registrations walked so far; undefined: it was never registered. */
  source(name: string): SourceRecord | undefined
  /** A source's registrations in the log, of those walked so far. @throws Refusal registry_altered */
  read(db: Db, source: string): Promise<readonly Registered[]>
  /**
   * Says of events that lack fields why, as far as the log says: what erasures name is `erased`, and not `missing`. Of events whose
   * source was registered with decoys when they were accepted, nothing is missing: their digests without a disclosure may be decoys.
   */
  explainMissing(
    db: Db,
    events: readonly {
      source?: string
      leafHash?: string
      logIndex: number
      missing?: number
      erased?: number
      expired?: number
    }[],
  ): Promise<void>
  /** Compares the rows of a source with its registrations, and remembers faults. @returns the first fault */
  compare(db: Db, source: string): Promise<string | null>
  /** Walks the system stream, and compares the whole tables with it. @throws Refusal registry_altered */
  compareAll(db: Db): Promise<void>
  /** `report`: a caller found the database altered. `acquit`: a caller found the rows of a source whole. */
  report(source: string | null, detail: string): void
  acquit(source: string): void
  /** How many registrations were walked. */
  version(): number
  /** The catalogue of a source, and what is enforced, by the events walked so far. */
  catalogue: Catalogues['of']
  readonly enforcement: Pick<Catalogues, 'enforcedBy' | 'enforced' | 'enforcedVersion'>
  status(): RegistryStatus
}

/** For how many sources registrations are kept in memory, about 4 KiB each; for the others, only their log indices. */
const MAX_SOURCES = 1_000
/** How many sources are compared with their rows at a time. */
const SOURCES_AT_ONCE = 500
/** In ms: after this time the system stream is walked again, since somebody may have restored it. */
const RETRY_MS = 15_000
/** How many faults are reported. */
const MAX_FAULTS = 16

/**
 * @param system the key with which this service signs for the source `killick`; it counts whatever the log says of it
 * @param onFault called with a fault that was not known before
 * @param turns grows each time that the log was found to be another: then nothing that was walked counts
 */
export function keepRegistry(
  log: LogKey,
  system: { kid: string; jwk: PublicJwk },
  onFault: (source: string | null, detail: string) => void = () => {},
  turns: () => number = () => 0,
): LedgerRegistry {
  let seen = turns()
  let registry = new Registry()
  /** Log indices of the registrations, by source. */
  const places = new Map<string, number[]>()
  const known = new Map<string, Registered[]>()
  const catalogues = keepCatalogues()
  const trusted = new Set([system.kid])
  const faults = new Map<string | null, string>()
  let end = BEGINNING
  let failedAt = 0
  let version = 0
  let isChecked = false
  /** Up to which `seq` a signature vouches for the walked stream, and whether the log's key vouches for its beginning. */
  let vouched = { seq: 0, byLog: false }
  let walking: Promise<unknown> = Promise.resolve()

  function report(source: string | null, detail: string): void {
    if (faults.has(source) || faults.size >= MAX_FAULTS) return
    faults.set(source, detail)
    onFault(source, detail)
  }

  function refuse(source: string | null): never {
    const detail = faults.get(source) ?? [...faults.values()][0]
    throw new Refusal('registry_altered', detail, source === null ? {} : { source })
  }

  /** One walk at a time. */
  function catchUp(db: Db, head?: StreamHead | null): Promise<void> {
    const walked = walking.then(() => walk(db, head))
    walking = walked.catch(() => {})
    return walked
  }

  async function walk(db: Db, head: StreamHead | null | undefined): Promise<void> {
    // The system stream may be as long as before, with another end.
    if (seen !== turns()) {
      seen = turns()
      reset()
    }
    if (faults.has(null)) {
      if (performance.now() - failedAt < RETRY_MS) refuse(null)
      reset()
    }
    if (head !== undefined && end.seq === (head?.seq ?? 0)) return
    try {
      await walkOn(db, head).catch((error) => {
        // After an operator has accepted an earlier head, the stream goes on from there.
        if (!(error instanceof RegistryAltered) || !vouched.byLog) throw error
        reset()
        return walkOn(db, head)
      })
      faults.delete(null)
    } catch (error) {
      if (!(error instanceof RegistryAltered)) throw error
      failedAt = performance.now()
      report(null, error.message)
      refuse(null)
    }
  }

  async function walkOn(db: Db, head: StreamHead | null | undefined): Promise<void> {
    for (let rows = await readPage(db, end.seq); rows.length > 0; ) {
      for (const row of rows) {
        const next = follow(end, row)
        if (next.registered) take(next.registered)
        if (next.catalogued && !catalogues.take(next.catalogued))
          throw new RegistryAltered(null, `a catalogue before log entry ${next.end.logIndex} is missing`)
        end = next.end
      }
      rows = rows.length < PAGE ? [] : await readPage(db, end.seq)
    }
    if (head !== undefined && end.seq !== (head?.seq ?? 0))
      throw new RegistryAltered(null, `the system stream ends at ${end.seq}, not where its head says`)
    if (end.seq !== vouched.seq) await checkEnd(db)
  }

  function reset(): void {
    registry = new Registry()
    places.clear()
    known.clear()
    catalogues.clear()
    end = BEGINNING
    vouched = { seq: 0, byLog: false }
  }

  function take(registered: Registered): void {
    const { registration, logIndex, leafHash, event, header } = registered
    const { source, keys } = registration
    const signatures = [event.signature!, parseBatchHeader(header).signature]
    const signedBy = signatures[1]!.kid
    // The ledger's first registration must vouch for itself. The log's own key vouches that it is the first.
    const isFirst = registry.source(SYSTEM.source) === undefined
    const find = (kid: string) => (isFirst ? keys.find((key) => key.kid === kid)?.jwk : systemKey(kid))
    const isSigned = signatures.every((signature) => signature.kid === signedBy && holds(find(signedBy), signature))
    const fault = isSigned ? registry.apply({ registration, logIndex, leafHash, signedBy }, trusted) : 'signer'
    if (fault === 'signer')
      throw new RegistryAltered(null, `log entry ${logIndex} is signed by no key of ${SYSTEM.source}`)
    if (fault !== null) throw new RegistryAltered(null, `a registration before log entry ${logIndex} is missing`)
    const at = places.get(source) ?? []
    const all = known.get(source) ?? []
    const isKnown = all.length === at.length
    at.push(logIndex)
    places.set(source, at)
    if (isKnown) remember(source, [...all, registered])
    version++
  }

  function remember(source: string, all: Registered[]): void {
    known.delete(source)
    known.set(source, all)
    if (known.size > MAX_SOURCES) known.delete(known.keys().next().value!)
  }

  const systemKey = (kid: string) =>
    kid === system.kid ? system.jwk : registry.source(SYSTEM.source)?.keys.get(kid)?.jwk

  /**
   * Each batch names the one before it, so a signature over the last covers all: the ledger's, and the first time the log's too.
   */
  async function checkEnd(db: Db): Promise<void> {
    const { seq, header, logIndex, batch } = end
    const fail = (why: string): never => {
      throw new RegistryAltered(null, `log entry ${logIndex}, the last of the system stream, ${why}`)
    }
    const { signature } = parseBatchHeader(header)
    if (!holds(systemKey(signature.kid), signature)) fail(`is signed by no key of ${SYSTEM.source}`)
    if (vouched.byLog) {
      vouched = { seq, byLog: true }
      return
    }
    const head = await readHead(db)
    // Ed25519 is deterministic: what this key signed, it signs again.
    if (head === null || log.signCheckpoint(head.size, head.root) !== head.note)
      return fail('is in no signed checkpoint')
    if (logIndex >= head.size) return fail('is in no signed checkpoint')
    const [path] = await readPlans(db, [planInclusion(logIndex, head.size)])
    const inclusion = { leafHash: batch!, index: logIndex, size: head.size, path: path!, root: head.root }
    if (!verifyInclusion(inclusion)) fail('is not in the log')
    vouched = { seq, byLog: true }
  }

  async function read(db: Db, source: string): Promise<readonly Registered[]> {
    const indices = places.get(source) ?? []
    const newest = registry.source(source)?.newest
    const before = known.get(source) ?? []
    if (newest === undefined || before.length >= indices.length) return before
    try {
      const all = [...before, ...(await readRegistered(db, source, indices.slice(before.length)))]
      if (!equalBytes(foldSource(source, all)!.newest, newest))
        throw new RegistryAltered(source, `log entry ${indices.at(-1)} is not the registration that was accepted`)
      if ((known.get(source)?.length ?? 0) < all.length) remember(source, all)
      return all
    } catch (error) {
      if (!(error instanceof RegistryAltered)) throw error
      report(source, error.message)
      return refuse(source)
    }
  }

  async function compare(db: Db, source: string): Promise<string | null> {
    const registered = await read(db, source)
    const [fault] = differences(registered, await readRows(db, [source]))
    if (fault === undefined) {
      faults.delete(source)
      return null
    }
    // Another process may have registered it again between the walk and the rows.
    await catchUp(db)
    if ((places.get(source)?.length ?? 0) > registered.length) return compare(db, source)
    report(source, fault.message)
    return fault.message
  }

  async function ownKeyOutside(db: Db, now: number, head?: StreamHead | null) {
    // The row costs little, and is but a cache: where it says no, the log decides, if that can be read.
    const row = await readPeriod(db, SYSTEM.source, system.kid)
    if (row === null || isValid(row, now)) return null
    await catchUp(db, head).catch(ignoreFault)
    const key = registry.source(SYSTEM.source)?.keys.get(system.kid)
    return key === undefined || isValid(key, now) ? null : key
  }

  return {
    systemKid: system.kid,
    catchUp,
    ownKeyOutside,
    isWalked: () => vouched.byLog,
    isWalkedTo: (seq) => seen === turns() && vouched.byLog && end.seq === seq && !faults.has(null),
    walked: () => end.seq,
    names: () => registry.names,
    source: (name) => registry.source(name),
    read,
    compare,
    async explainMissing(db, events) {
      await explainErased(db, events)
      const lacking = events.filter(({ missing }) => missing !== undefined)
      if (lacking.length === 0) return
      await catchUp(db).catch(ignoreFault)
      for (const event of lacking) {
        const all = await read(db, event.source!).catch(ignoreFault)
        const settings = all?.findLast(({ logIndex }) => logIndex < event.logIndex)?.registration
        if (settings?.decoys) delete event.missing
      }
    },
    async compareAll(db) {
      await catchUp(db)
      const { names } = registry
      const suspects = new Set<string>()
      for (let at = 0; at < names.length; at += SOURCES_AT_ONCE) {
        const some = names.slice(at, at + SOURCES_AT_ONCE)
        const all = (await Promise.all(some.map((name) => read(db, name)))).flat()
        for (const { source } of differences(all, await readRows(db, some))) suspects.add(source)
      }
      const others = await readOthers(db, names)
      // Sources may have been registered, or changed, since the walk.
      if (suspects.size + others.length > 0) await catchUp(db)
      for (const source of [...suspects, ...others]) {
        if (registry.source(source) === undefined) report(source, 'sources: a row that no registration stands for')
        else await compare(db, source)
      }
      isChecked = true
    },
    report,
    acquit: (source) => void faults.delete(source),
    version: () => version,
    catalogue: catalogues.of,
    enforcement: catalogues,
    status: () => ({
      checked: isChecked,
      altered: [...faults].map(([source, detail]) => ({ source, detail })),
    }),
  }
}

/** A caller that only reads gets what can be read. */
function ignoreFault(error: unknown): undefined {
  if (!(error instanceof Refusal)) throw error
}

/** Times in ms. */
const isValid = ({ notBefore, notAfter }: Pick<KeyRecord, 'notBefore' | 'notAfter'>, now: number): boolean =>
  (notBefore === null || now >= notBefore) && (notAfter === null || now < notAfter)

/** Made once for each key: that takes as long as a signature. */
const verifiers = new WeakMap<PublicJwk, Verifier>()

/** Whether a signature verifies under a key. */
function holds(
  jwk: PublicJwk | undefined,
  { alg, input, bytes }: { alg: string; input: Uint8Array; bytes: Uint8Array },
): boolean {
  if (jwk === undefined) return false
  const verifier = verifiers.get(jwk) ?? verifierOf(jwk)
  verifiers.set(jwk, verifier)
  return verifier(alg, input, bytes)
}
