/** How the keys that signed came to be registered: what the proof carries of the log's own word on them. */
import { type BatchHeader, parseBatchHeader } from '../core/batch.ts'
import { equalBytes } from '../core/bytes.ts'
import type { Checkpoint } from '../core/checkpoint.ts'
import { KillickError } from '../core/errors.ts'
import { type ParsedEvent, parseEvent } from '../core/event.ts'
import { verifyInclusion } from '../core/merkle.ts'
import type { CarriedRegistration, Proof } from '../core/proof.ts'
import { parseRegistration, type Registration, Registry, type RegistryEntry, SYSTEM } from '../core/registry.ts'
import { verifySignature } from '../core/signature.ts'
import { kidsOf } from './checks.ts'
import { type Finding, fail, pass, skip } from './finding.ts'
import { type Bounds, heldAgainst, printTime } from './times.ts'
import type { KeyWord } from './verdict.ts'

/** A confirmed anchor: what the log held by then. `time` in ms. */
export type Covering = { readonly size: number; readonly time: number }

type Found = { finding: Finding; words: readonly KeyWord[] }

/**
 * Holds the carried registrations against the tree that holds the event, and the keys that signed against them.
 * @param checkpoint of the log, whose root the event has been shown to be under
 */
export function registered(
  event: ParsedEvent,
  header: BatchHeader,
  checkpoint: Checkpoint,
  proof: Proof,
  bounds: Bounds,
  anchors: readonly Covering[],
): Found {
  if (proof.registrations === undefined)
    return { finding: skip('registration_absent', 'The proof carries no registration of the key'), words: [] }
  const registry = new Registry()
  const words: KeyWord[] = []
  let gap = false
  try {
    for (const carried of proof.registrations) {
      const entry = read(carried, checkpoint, proof, registry)
      const fault = registry.apply(entry)
      if (fault === 'previous') gap = true
      else if (fault !== null) wrong(`entry ${entry.logIndex} is not signed by a registered key, or out of order`)
      if (entry.registration.source === event.source) words.push(...wordsOf(entry, anchors))
    }
    return { finding: judge(event, header, proof, registry, bounds, anchors, gap), words }
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    return { finding: fail('registration_invalid', error.message), words: [] }
  }
}

function wrong(why: string): never {
  throw new KillickError('registration_invalid', `A registration does not hold: ${why}`)
}

function read(carried: CarriedRegistration, checkpoint: Checkpoint, proof: Proof, registry: Registry): RegistryEntry {
  const { index: logIndex, path } = carried
  const event = parseEvent(carried.event)
  const header = parseBatchHeader(carried.header)
  const registration = parseRegistration(event) ?? wrong(`entry ${logIndex} registers nothing`)
  const isAlone = header.n === 1 && header.seq === event.seq && equalBytes(header.root, event.leafHash)
  if (!isAlone || header.source !== event.source || header.stream !== event.stream)
    wrong(`entry ${logIndex} is not the batch of its event`)
  if (logIndex > proof.log.index) wrong(`entry ${logIndex} is later than the event`)
  const { size } = proof.log
  if (!verifyInclusion({ leafHash: header.leafHash, index: logIndex, size, path, root: checkpoint.root }))
    wrong(`the path does not lead from entry ${logIndex} to the root`)
  const signedBy = header.signature.kid
  const key = signerOf(signedBy, registration, registry)
  if (key === undefined || !verifySignature(key, header.signature.input, header.signature.bytes))
    wrong(`entry ${logIndex} is not signed by a key of the ledger that is registered before it`)
  return { registration, logIndex, leafHash: event.leafHash, signedBy }
}

/** A key of the ledger that is registered; for the ledger's own first registration, one that this registers. */
function signerOf(kid: string, { source, keys }: Registration, registry: Registry) {
  const system = registry.source(SYSTEM.source)
  const own = system === undefined && source === SYSTEM.source ? keys.find((key) => key.kid === kid) : undefined
  return system?.keys.get(kid)?.jwk ?? own?.jwk
}

function wordsOf({ registration, logIndex }: RegistryEntry, anchors: readonly Covering[]): KeyWord[] {
  return registration.keys.map(({ kid, notBefore, notAfter }) => ({
    ...{ logIndex, kid, notBefore: printTime(notBefore), notAfter: printTime(notAfter) },
    anchoredAt: printTime(firstCover(logIndex, anchors)),
  }))
}

function firstCover(logIndex: number, anchors: readonly Covering[]): number | null {
  const times = anchors.filter(({ size }) => size > logIndex).map(({ time }) => time)
  return times.length === 0 ? null : Math.min(...times)
}

function judge(
  event: ParsedEvent,
  header: BatchHeader,
  proof: Proof,
  registry: Registry,
  bounds: Bounds,
  anchors: readonly Covering[],
  gap: boolean,
): Finding {
  const source = registry.source(event.source)
  const told: string[] = []
  for (const kid of kidsOf(event, header)) {
    const key = source?.keys.get(kid)
    // Only the ledger's own first registration is signed with the key that it registers.
    const isOwnFirst = event.source === SYSTEM.source && header.seq === 0 && key?.registeredAt === proof.log.index
    if (key === undefined || (key.registeredAt >= proof.log.index && !isOwnFirst))
      return fail(
        'registration_late',
        `Key ${kid} was not registered for ${event.source} before entry ${proof.log.index}`,
      )
    if (heldAgainst(bounds, key.notBefore, key.notAfter) === 'outside')
      return fail('registration_expired', `Key ${kid} was used outside the time for which it was registered`)
    const since = printTime(firstCover(key.registeredAt, anchors))
    told.push(
      `key ${kid} registered at log entry ${key.registeredAt}, ${since ? `anchored since ${since}` : 'not anchored yet'}`,
    )
  }
  if (gap) return skip('registration_gap', `A registration is missing between those carried; ${told.join('; ')}`)
  return pass(told.join('; '))
}
