/** Checks the registrations that a proof carries: what the log itself says about the keys that signed. */
import { type BatchHeader, parseBatchHeader } from '../core/batch.ts'
import { equalBytes } from '../core/bytes.ts'
import type { Checkpoint } from '../core/checkpoint.ts'
import { KillickError } from '../core/errors.ts'
import { type ParsedEvent, parseEvent } from '../core/event.ts'
import { algOf } from '../core/jwk.ts'
import { verifyInclusion } from '../core/merkle.ts'
import type { CarriedRegistration, Proof } from '../core/proof.ts'
import {
  parseRegistration,
  type RegisteredKey,
  Registry,
  type RegistryEntry,
  type SourceRecord,
  SYSTEM,
} from '../core/registry.ts'
import { printTime } from '../core/time.ts'
import { kidsOf } from './checks.ts'
import type { Engine } from './engine.ts'
import { type Finding, fail, pass, skip } from './finding.ts'
import { type Bounds, boundsFrom, heldAgainst } from './times.ts'
import type { KeyFindings, RegistrationFault } from './values.ts'
import type { KeyWord } from './verdict.ts'

/** A confirmed anchor: at `time` (ms) the chain held the log's first `size` entries. */
export type Covering = { readonly size: number; readonly time: number }

/** What vouches for the tree that the carried registrations are shown to be in. */
export type Ground = {
  /** A pinned key of the log signed its root, or a pinned contract holds it. */
  readonly isVouched: boolean
  /** Anchors of this tree, and others of the same contract and log: the contract has checked that they are parts of one tree. */
  readonly anchors: readonly Covering[]
}

type OfRegistration = Finding<'source.registration'>
type Found = { readonly finding: OfRegistration; readonly words: readonly KeyWord[] }

/**
 * Checks that the carried registrations are in the tree that holds the event, and that they register the keys that signed.
 * @param checkpoint of the log; the event has been shown to be under its root
 * @param bounds of the event's time
 */
export function registered(
  event: ParsedEvent,
  header: BatchHeader,
  checkpoint: Checkpoint,
  proof: Proof,
  { isVouched, anchors }: Ground,
  bounds: Bounds,
  engine: Engine,
): Found {
  if (proof.registrations === undefined) return { finding: skip('registration_absent'), words: [] }
  const registry = new Registry()
  const words: KeyWord[] = []
  let isGap = false
  let expiredAt: number | null = null
  // The registry counts as it was when the batch came; later registrations are only reported.
  let known: SourceRecord | undefined
  try {
    for (const carried of proof.registrations) {
      const entry = read(carried, event.source, checkpoint, proof, registry, engine)
      const signer = registry.source(SYSTEM.source)?.keys.get(entry.signedBy)
      if (signer && isOutside(boundsAt(entry.logIndex, anchors), signer)) expiredAt ??= entry.logIndex
      const fault = registry.apply(entry)
      if (fault === 'previous') isGap = true
      else if (fault !== null) wrong({ what: 'out_of_order', entry: entry.logIndex })
      if (entry.registration.source === event.source) words.push(...wordsOf(entry, anchors))
      if (entry.logIndex <= proof.log.index) known = registry.source(event.source)
    }
  } catch (error) {
    if (error instanceof Wrong) return { finding: fail('registration_invalid', error.fault), words: [] }
    if (!(error instanceof KillickError)) throw error
    const { code, message } = error
    return { finding: fail('registration_invalid', { what: 'unreadable', refusal: { code, message } }), words: [] }
  }
  const judged = judge(event, header, proof, known, bounds, anchors)
  if ('status' in judged) return { finding: judged, words: [] }
  if (!isVouched) return { finding: skip('not_pinned'), words: [] }
  const values = { ...judged, expiredAt }
  if (isGap) return { finding: skip('registration_gap', values), words }
  // Reported, but no failure: the ledger went by its own clock, and an anchor may wait for its block while entries come in.
  if (expiredAt !== null || judged.expired !== null) return { finding: skip('registration_expired', values), words }
  return { finding: pass(values), words }
}

/** Thrown at a registration that does not hold. No more of them are read then. */
class Wrong extends Error {
  readonly fault: RegistrationFault
  constructor(fault: RegistrationFault) {
    super(fault.what)
    this.fault = fault
  }
}

function wrong(fault: RegistrationFault): never {
  throw new Wrong(fault)
}

function read(
  carried: CarriedRegistration,
  source: string,
  checkpoint: Checkpoint,
  proof: Proof,
  registry: Registry,
  { verify, primitives }: Engine,
): RegistryEntry {
  const { index: entry, path } = carried
  const event = parseEvent(carried.event, primitives)
  const header = parseBatchHeader(carried.header)
  const registration = parseRegistration(event) ?? wrong({ what: 'registers_nothing', entry })
  const isAlone = header.n === 1 && header.seq === event.seq && equalBytes(header.root, event.leafHash)
  if (!isAlone || header.source !== event.source || header.stream !== event.stream) wrong({ what: 'not_alone', entry })
  if (registration.source !== source && registration.source !== SYSTEM.source) wrong({ what: 'other_source', entry })
  const { size } = proof.log
  if (!verifyInclusion({ leafHash: header.leafHash, index: entry, size, path, root: checkpoint.root }))
    wrong({ what: 'path', entry })
  // A ledger vouches for its own key once, in the log's first entry, which nobody can add later. A key that vouches for itself
  // anywhere else may belong to anyone who got an entry into the log.
  const isFirst = registry.source(SYSTEM.source) === undefined
  if (isFirst && (registration.source !== SYSTEM.source || entry !== 0 || header.seq !== 0))
    wrong({ what: 'not_first' })
  const { kid, alg, input, bytes } = header.signature
  const keys = isFirst ? registration.keys : [...registry.source(SYSTEM.source)!.keys.values()]
  const jwk = keys.find((key) => key.kid === kid)?.jwk
  if (jwk === undefined || algOf(jwk) !== alg || !verify(jwk, input, bytes)) wrong({ what: 'not_signed', entry })
  return { registration, logIndex: entry, leafHash: event.leafHash, signedBy: kid }
}

function wordsOf({ registration, logIndex }: RegistryEntry, anchors: readonly Covering[]): KeyWord[] {
  return registration.keys.map(({ kid, notBefore, notAfter }) => ({
    ...{ logIndex, kid, notBefore: printTime(notBefore), notAfter: printTime(notAfter) },
    anchoredAt: printTime(boundsAt(logIndex, anchors).by),
  }))
}

/** What a log's anchors say about when one of its entries came in. */
function boundsAt(logIndex: number, anchors: readonly Covering[]): Bounds {
  const times = (isWithout: boolean) =>
    anchors.filter(({ size }) => size <= logIndex === isWithout).map(({ time }) => time)
  return boundsFrom(times(true), times(false))
}

const isOutside = (bounds: Bounds, { notBefore, notAfter }: RegisteredKey) =>
  heldAgainst(bounds, notBefore, notAfter) === 'outside'

/**
 * Fails if a key was not registered in time. Otherwise it tells what is known about the keys that signed.
 * @param known the source as it was registered before the batch
 */
function judge(
  event: ParsedEvent,
  header: BatchHeader,
  proof: Proof,
  known: SourceRecord | undefined,
  bounds: Bounds,
  anchors: readonly Covering[],
): OfRegistration | Pick<KeyFindings, 'keys' | 'expired'> {
  const keys: KeyFindings['keys'][number][] = []
  let expired: string | null = null
  for (const kid of kidsOf(event, header)) {
    const key = known?.keys.get(kid)
    // Only the log's first entry is signed with a key that it registers itself.
    if (key === undefined || (key.registeredAt >= proof.log.index && proof.log.index !== 0))
      return fail('registration_late', { kid, source: event.source, entry: proof.log.index })
    if (isOutside(bounds, key)) expired = kid
    keys.push({ kid, entry: key.registeredAt, since: printTime(boundsAt(key.registeredAt, anchors).by) })
  }
  return { keys, expired }
}
