/** One function for each check. Each needs only the parsed proof and the verifier's trust. */
import type { BatchHeader } from '../core/batch.ts'
import { equalBytes } from '../core/bytes.ts'
import type { Checkpoint } from '../core/checkpoint.ts'
import { KillickError } from '../core/errors.ts'
import type { ParsedEvent } from '../core/event.ts'
import { algOf, type PublicJwk, thumbprint } from '../core/jwk.ts'
import { verifyInclusion } from '../core/merkle.ts'
import { openNote, parseNote, splitVkeys } from '../core/note.ts'
import type { Anchor, EarlierAnchor, Proof } from '../core/proof.ts'
import type { Engine } from './engine.ts'
import { type Finding, fail, pass, skip } from './finding.ts'
import { type Bounds, heldAgainst } from './times.ts'
import {
  type AnchorFact,
  DEFAULT_CONFIRMATIONS,
  type PinnedKey,
  parsePinTime,
  type Trust,
  weightiest,
} from './trust.ts'

type Signature = NonNullable<ParsedEvent['signature']>

/** Checks a signature with the key that the proof holds for it. */
function signedBy(keys: readonly PublicJwk[], signature: Signature, verify: Engine['verify']) {
  const key = keys.find((candidate) => thumbprint(candidate) === signature.kid)
  if (key === undefined) return fail('key_absent', { kid: signature.kid })
  if (algOf(key) !== signature.alg) return fail('key_mismatch', { alg: signature.alg })
  return verify(key, signature.input, signature.bytes)
    ? pass({ alg: signature.alg, kid: signature.kid })
    : fail('signature_invalid', { kid: signature.kid })
}

export function eventSignature(event: ParsedEvent, proof: Proof, verify: Engine['verify']): Finding<'event.signature'> {
  if (event.signature === undefined) return skip('batch_signed')
  return signedBy(proof.keys, event.signature, verify)
}

export function batchSignature(
  header: BatchHeader,
  proof: Proof,
  verify: Engine['verify'],
): Finding<'batch.signature'> {
  return signedBy(proof.keys, header.signature, verify)
}

export function batchInclusion(event: ParsedEvent, header: BatchHeader, proof: Proof): Finding<'batch.inclusion'> {
  const { index, path } = proof.batch
  if (event.source !== header.source || event.stream !== header.stream)
    return fail('place_mismatch', { what: 'stream' })
  if (event.seq !== header.seq + index)
    return fail('place_mismatch', { what: 'seq', seq: event.seq, index, first: header.seq })
  const holds = verifyInclusion({ leafHash: event.leafHash, index, size: header.n, path, root: header.root })
  return holds ? pass({ index, size: header.n }) : fail('path_invalid')
}

/** Every key in the proof must be one that signed, and one that the verifier pinned for this source and this time. */
export function sourceKey(
  event: ParsedEvent,
  header: BatchHeader,
  proof: Proof,
  trust: Trust,
  bounds: Bounds,
): Finding<'source.key'> {
  const { source } = event
  const used = new Set(kidsOf(event, header))
  const offered = proof.keys.map(thumbprint)
  if (new Set(offered).size !== used.size || offered.length !== used.size || !offered.every((kid) => used.has(kid))) {
    return fail('key_mismatch')
  }
  const pinned = (trust.sourceKeys ?? []).filter((pin) => pin.source === undefined || pin.source === source)
  if (pinned.length === 0) return skip('not_pinned', { source })
  const findings = offered.map((kid): OfKey => {
    const pins = pinned.filter(({ jwk }) => thumbprint(jwk) === kid)
    return pins.length === 0
      ? fail('pin_mismatch', { source })
      : best(pins.map((pin) => pinnedFor(pin, source, bounds)))
  })
  return worst(findings) ?? pass({ source })
}

/** The thumbprints of the keys that signed. */
export const kidsOf = (event: ParsedEvent, header: BatchHeader): string[] => [
  ...new Set([header.signature.kid, ...(event.signature ? [event.signature.kid] : [])]),
]

function pinnedFor({ notBefore, notAfter }: PinnedKey, source: string, bounds: Bounds): Finding<'source.key'> {
  const fit = heldAgainst(bounds, parsePinTime(notBefore), parsePinTime(notAfter))
  if (fit === 'outside') return fail('pin_expired')
  return fit === 'open' ? skip('pin_time_open') : pass({ source })
}

type OfKey = Finding<'source.key'>
const by = (findings: readonly OfKey[], ...order: OfKey['status'][]) =>
  order.flatMap((status) => findings.filter((finding) => finding.status === status))[0]
const best = (findings: readonly OfKey[]) => by(findings, 'passed', 'skipped', 'failed')!
const worst = (findings: readonly OfKey[]) => by(findings, 'failed', 'skipped')

/**
 * Whether every field is shown. Fields that the proof hides are told apart from fields that the ledger has lost, and both from
 * those that were erased.
 */
export function fieldsShown(
  event: ParsedEvent,
  proof: Proof,
  erased: number,
  isExpired: boolean,
): Finding<'event.fields'> {
  const fields = event.fieldCount
  const hidden = fields - event.disclosures.length
  const missing = proof.missing ?? 0
  if (missing + erased > hidden) return fail('malformed', { missing, hidden })
  if (missing > 0) return skip('fields_missing', { missing, hidden, fields })
  if (erased > 0) return skip(isExpired ? 'fields_expired' : 'fields_erased', { erased, hidden, fields })
  return hidden > 0 ? skip('fields_hidden', { hidden, fields }) : pass({ fields })
}

export function logInclusion(header: BatchHeader, checkpoint: Checkpoint, proof: Proof): Finding<'log.inclusion'> {
  const { origin, index, size, path } = proof.log
  if (checkpoint.origin !== origin || checkpoint.size !== size) return fail('place_mismatch')
  if (checkpoint.extensions.length > 0)
    return fail('malformed', {
      code: 'checkpoint_malformed',
      message: 'The checkpoint has extension lines, which this format does not know',
    })
  const holds = verifyInclusion({ leafHash: header.leafHash, index, size, path, root: checkpoint.root })
  return holds ? pass({ index, size, origin }) : fail('path_invalid')
}

export function logSignature(proof: Proof, trust: Trust, verify: Engine['verify']): Finding<'log.signature'> {
  const { origin } = proof.log
  try {
    const { supported, unsupported: unread } = splitVkeys(trust.logKeys ?? [])
    if (supported.length === 0) {
      parseNote(proof.checkpoint)
      return skip('not_pinned', { unread })
    }
    const note = openNote(proof.checkpoint, supported, verify)
    const own = note.signatures.some(({ name }) => name === origin)
    return own ? pass({ name: origin, unread }) : fail('pin_mismatch', { origin, signed: true })
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    const { code, message, details } = error
    if (code === 'note_unverified') return fail('pin_mismatch', { origin, signed: false })
    if (code === 'signature_invalid') return fail('signature_invalid', { name: String(details.name) })
    return fail('malformed', { code, message })
  }
}

export function anchorPath(
  header: BatchHeader,
  checkpoint: Checkpoint,
  anchor: Anchor,
  proof: Proof,
): Finding<'anchor.path'> {
  const { index, size, path } = proof.log
  if (anchor.size === size)
    return equalBytes(anchor.root, checkpoint.root)
      ? pass({ index, size, same: true })
      : fail('path_invalid', { same: true })
  const claim = { leafHash: header.leafHash, index, size: anchor.size, path: anchor.path ?? path, root: anchor.root }
  return verifyInclusion(claim)
    ? pass({ index, size: anchor.size, same: false })
    : fail('path_invalid', { same: false })
}

/** What a node answered about exactly this anchor; undefined if none was asked. */
export function factAbout(anchor: Anchor, trust: Trust): AnchorFact | undefined {
  return weightiest((trust.facts ?? []).filter((fact) => isAbout(fact, anchor)))
}

/** The anchor before this one, with the chain, contract and log that both have in common. */
export function earlierOf({ chainId, contract, logId }: Anchor, before: EarlierAnchor): Anchor {
  return { chainId, contract, logId, ...before }
}

/** Whether a fact is about an anchor: all that names it is the same. */
export function isAbout(fact: AnchorFact, anchor: Omit<Anchor, 'path' | 'before' | 'succeeds'>): boolean {
  const names = ['chainId', 'contract', 'logId', 'size', 'time', 'transaction', 'block'] as const
  return names.every((name) => fact[name] === anchor[name]) && equalBytes(fact.root, anchor.root)
}

/**
 * The earlier anchor counts if the contract holds it. In the contract a log can only grow, so the log that was anchored then did
 * not hold an entry beyond that anchor's size yet.
 */
export function anchorBefore(
  anchor: Anchor,
  before: EarlierAnchor,
  proof: Proof,
  trust: Trust,
): Finding<'anchor.before'> {
  if (before.size === 0 || before.size > proof.log.index || before.size >= anchor.size || before.time > anchor.time)
    return fail('order_mismatch')
  const fact = factAbout(earlierOf(anchor, before), trust)
  for (const finding of [anchorContract(fact), anchorBlock(fact)])
    if (finding.reason !== 'ok' && finding.reason !== 'block_pruned') return finding
  return pass({ size: before.size })
}

/** No node was asked, or none gave a usable answer. */
function unanswered(fact: Extract<AnchorFact, { unreadable: string }> | undefined) {
  if (fact === undefined) return skip('not_asked')
  return skip('node_unreadable', { node: fact.node, said: fact.unreadable, fault: fact.fault ?? null })
}

export function anchorContract(fact: AnchorFact | undefined): Finding<'anchor.contract'> {
  if (fact === undefined || 'unreadable' in fact) return unanswered(fact)
  const { contract, chainId, node } = fact
  if (!fact.genuineCode) return fail('code_foreign', { contract })
  return fact.anchored ? pass({ contract, chainId, node }) : fail('not_held')
}

export function anchorBlock(fact: AnchorFact | undefined): Finding<'anchor.block'> {
  if (fact === undefined || 'unreadable' in fact) return unanswered(fact)
  const { block } = fact
  if (fact.located === null) return skip('block_pruned')
  return fact.located ? pass({ block }) : fail('block_mismatch', { block })
}

export function anchorFinal(fact: AnchorFact | undefined, trust: Trust): Finding<'anchor.final'> {
  if (fact === undefined || 'unreadable' in fact) return unanswered(fact)
  const needed = trust.confirmations ?? DEFAULT_CONFIRMATIONS
  const confirmations = fact.finalized === null ? fact.confirmations : null
  const isFinal = confirmations === null ? fact.finalized === true : confirmations >= needed
  return isFinal ? pass({ confirmations, needed }) : skip('not_final', { confirmations, needed })
}

export function anchorPinned(anchor: Anchor, proof: Proof, trust: Trust): Finding<'anchor.log'> {
  const isPinned = ({ chainId, contract, logId }: Anchor) =>
    (trust.logs ?? []).some(
      (log) => log.chainId === chainId && log.contract.toLowerCase() === contract && log.logId.toLowerCase() === logId,
    )
  if (trust.logs === undefined || trust.logs.length === 0) return skip('not_pinned')
  if (isPinned(anchor)) return pass()
  // An anchor that the verifier did not ask for is no fault, as long as the proof has one that the verifier asked for.
  return proof.anchors.some(isPinned) ? skip('other_pinned') : fail('pin_mismatch')
}
