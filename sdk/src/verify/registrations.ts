/** How the keys that signed came to be registered: what the proof carries of the log's own word on them. */
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
import { verifySignature } from '../core/signature.ts'
import { kidsOf } from './checks.ts'
import { type Finding, fail, pass, skip } from './finding.ts'
import { type Bounds, heldAgainst, printTime } from './times.ts'
import type { KeyWord } from './verdict.ts'

/** A confirmed anchor: by then the chain held the log as it was with `size` entries. `time` in ms. */
export type Covering = { readonly size: number; readonly time: number }

/** What speaks for the tree that the carried registrations are shown to be in. */
export type Ground = {
  /** A pinned key of the log signed its root, or a pinned contract holds it. */
  readonly isVouched: boolean
  /** Anchors of the very tree, and others of the same contract and log, which the contract has held to be its parts. */
  readonly anchors: readonly Covering[]
}

type Found = { readonly finding: Finding; readonly words: readonly KeyWord[] }

/**
 * Holds the carried registrations against the tree that holds the event, and the keys that signed against them.
 * @param checkpoint of the log, whose root the event has been shown to be under
 * @param bounds of the event's time
 */
export function registered(
  event: ParsedEvent,
  header: BatchHeader,
  checkpoint: Checkpoint,
  proof: Proof,
  { isVouched, anchors }: Ground,
  bounds: Bounds,
): Found {
  if (proof.registrations === undefined)
    return { finding: skip('registration_absent', 'The proof carries no registration of the key'), words: [] }
  const registry = new Registry()
  const words: KeyWord[] = []
  const doubts: Finding[] = []
  // What counts is what the registry was when the batch came; what was registered later is only told.
  let known: SourceRecord | undefined
  try {
    for (const carried of proof.registrations) {
      const entry = read(carried, event.source, checkpoint, proof, registry)
      const signer = registry.source(SYSTEM.source)?.keys.get(entry.signedBy)
      if (signer && isOutside(boundsAt(entry.logIndex, anchors), signer))
        doubts.push(expired(`The key of the ledger that signed log entry ${entry.logIndex}`))
      const fault = registry.apply(entry)
      if (fault === 'previous') doubts.push(skip('registration_gap', 'A registration is missing between those carried'))
      else if (fault !== null) wrong(`entry ${entry.logIndex} is out of order, or signed by no registered key`)
      if (entry.registration.source === event.source) words.push(...wordsOf(entry, anchors))
      if (entry.logIndex <= proof.log.index) known = registry.source(event.source)
    }
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    return { finding: fail('registration_invalid', error.message), words: [] }
  }
  const finding = judge(event, header, proof, known, bounds, anchors)
  if (finding.status === 'failed') return { finding, words: [] }
  if (!isVouched)
    return { finding: skip('not_pinned', 'No pinned key or contract vouches for the log that registers it'), words: [] }
  const doubt = [...doubts, ...(finding.status === 'skipped' ? [finding] : [])][0]
  return { finding: doubt ? { ...doubt, detail: told(doubt, finding) } : finding, words }
}

const told = (doubt: Finding, finding: Finding) =>
  doubt === finding ? doubt.detail : `${doubt.detail}; ${finding.detail}`

function wrong(why: string): never {
  throw new KillickError('registration_invalid', `A registration does not hold: ${why}`)
}

function read(
  carried: CarriedRegistration,
  source: string,
  checkpoint: Checkpoint,
  proof: Proof,
  registry: Registry,
): RegistryEntry {
  const { index: logIndex, path } = carried
  const event = parseEvent(carried.event)
  const header = parseBatchHeader(carried.header)
  const registration = parseRegistration(event) ?? wrong(`entry ${logIndex} registers nothing`)
  const isAlone = header.n === 1 && header.seq === event.seq && equalBytes(header.root, event.leafHash)
  if (!isAlone || header.source !== event.source || header.stream !== event.stream)
    wrong(`entry ${logIndex} is not the batch of its event`)
  if (registration.source !== source && registration.source !== SYSTEM.source)
    wrong(`entry ${logIndex} is of another source`)
  const { size } = proof.log
  if (!verifyInclusion({ leafHash: header.leafHash, index: logIndex, size, path, root: checkpoint.root }))
    wrong(`the path does not lead from entry ${logIndex} to the root`)
  // A ledger vouches for itself once: where its log begins, for there nobody can put anything any more. A key that signs for
  // itself anywhere else may be anyone's who has got an entry into the log.
  const isFirst = registry.source(SYSTEM.source) === undefined
  if (isFirst && (registration.source !== SYSTEM.source || logIndex !== 0 || header.seq !== 0))
    wrong('the first is not the ledger’s own, which is the first entry of the log')
  const { kid, alg, input, bytes } = header.signature
  const keys = isFirst ? registration.keys : [...registry.source(SYSTEM.source)!.keys.values()]
  const jwk = keys.find((key) => key.kid === kid)?.jwk
  if (jwk === undefined || algOf(jwk) !== alg || !verifySignature(jwk, input, bytes))
    wrong(`entry ${logIndex} is not signed by a key of the ledger that is registered before it`)
  return { registration, logIndex, leafHash: event.leafHash, signedBy: kid }
}

function wordsOf({ registration, logIndex }: RegistryEntry, anchors: readonly Covering[]): KeyWord[] {
  return registration.keys.map(({ kid, notBefore, notAfter }) => ({
    ...{ logIndex, kid, notBefore: printTime(notBefore), notAfter: printTime(notAfter) },
    anchoredAt: printTime(boundsAt(logIndex, anchors).by),
  }))
}

/** What the anchors of a log say of the time of one of its entries. */
function boundsAt(logIndex: number, anchors: readonly Covering[]): Bounds {
  const times = (isWithout: boolean) =>
    anchors.filter(({ size }) => size <= logIndex === isWithout).map(({ time }) => time)
  const [before, since] = [times(true), times(false)]
  return {
    after: before.length === 0 ? null : Math.max(...before),
    by: since.length === 0 ? null : Math.min(...since),
  }
}

const isOutside = (bounds: Bounds, { notBefore, notAfter }: RegisteredKey) =>
  heldAgainst(bounds, notBefore, notAfter) === 'outside'

/** Pointed out, and no more: the ledger judged by its own clock, and an anchor may wait for its block while entries come in. */
const expired = (what: string) =>
  skip(
    'registration_expired',
    `${what} was, by the anchors around it, used outside the time for which it was registered`,
  )

/** @param known the source as it was registered before the batch */
function judge(
  event: ParsedEvent,
  header: BatchHeader,
  proof: Proof,
  known: SourceRecord | undefined,
  bounds: Bounds,
  anchors: readonly Covering[],
): Finding {
  const lines: string[] = []
  let doubt: Finding | null = null
  for (const kid of kidsOf(event, header)) {
    const key = known?.keys.get(kid)
    // The log's first entry alone is signed with the key that it registers.
    if (key === undefined || (key.registeredAt >= proof.log.index && proof.log.index !== 0))
      return fail(
        'registration_late',
        `Key ${kid} was not registered for ${event.source} before entry ${proof.log.index}`,
      )
    if (isOutside(bounds, key)) doubt = expired(`Key ${kid}`)
    const since = printTime(boundsAt(key.registeredAt, anchors).by)
    lines.push(
      `key ${kid} registered at log entry ${key.registeredAt}, ${since ? `anchored since ${since}` : 'not shown to be anchored'}`,
    )
  }
  return doubt ? { ...doubt, detail: `${doubt.detail}; ${lines.join('; ')}` } : pass(lines.join('; '))
}
