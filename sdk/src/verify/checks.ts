/** One function per check. Each answers from the parsed proof and the verifier's trust alone. */
import type { BatchHeader } from '../core/batch.ts'
import { equalBytes } from '../core/bytes.ts'
import type { Checkpoint } from '../core/checkpoint.ts'
import { KillickError } from '../core/errors.ts'
import type { ParsedEvent } from '../core/event.ts'
import { algOf, type PublicJwk, thumbprint } from '../core/jwk.ts'
import { verifyInclusion } from '../core/merkle.ts'
import { openNote, parseNote, splitVkeys } from '../core/note.ts'
import type { Anchor, EarlierAnchor, Proof } from '../core/proof.ts'
import { verifySignature } from '../core/signature.ts'
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

/** The key that the proof offers for a signature, with what the signature is worth under it. */
function signedBy(keys: readonly PublicJwk[], signature: Signature): Finding {
  const key = keys.find((candidate) => thumbprint(candidate) === signature.kid)
  if (key === undefined) return fail('key_absent', `The proof holds no key named ${signature.kid}`)
  if (algOf(key) !== signature.alg) return fail('key_mismatch', `The key is not one for ${signature.alg}`)
  return verifySignature(key, signature.input, signature.bytes)
    ? pass(`${signature.alg} by key ${signature.kid}`)
    : fail('signature_invalid', `The signature does not verify under key ${signature.kid}`)
}

export function eventSignature(event: ParsedEvent, proof: Proof): Finding {
  if (event.signature === undefined)
    return skip('batch_signed', 'This source signs batches, not single events: the batch signature speaks for it')
  return signedBy(proof.keys, event.signature)
}

export function batchSignature(header: BatchHeader, proof: Proof): Finding {
  return signedBy(proof.keys, header.signature)
}

export function batchInclusion(event: ParsedEvent, header: BatchHeader, proof: Proof): Finding {
  const { index, path } = proof.batch
  if (event.source !== header.source || event.stream !== header.stream)
    return fail('place_mismatch', 'Event and batch are of different streams')
  if (event.seq !== header.seq + index)
    return fail(
      'place_mismatch',
      `Event ${event.seq} does not stand at place ${index} of a batch that begins at ${header.seq}`,
    )
  const holds = verifyInclusion({ leafHash: event.leafHash, index, size: header.n, path, root: header.root })
  return holds
    ? pass(`Place ${index} of ${header.n}`)
    : fail('path_invalid', 'The path does not lead from the event to the root in the batch header')
}

/** Every key in the proof must be one that signed, and one that the verifier pinned for this source and this time. */
export function sourceKey(
  event: ParsedEvent,
  header: BatchHeader,
  proof: Proof,
  trust: Trust,
  bounds: Bounds,
): Finding {
  const used = new Set(kidsOf(event, header))
  const offered = proof.keys.map(thumbprint)
  if (new Set(offered).size !== used.size || offered.length !== used.size || !offered.every((kid) => used.has(kid))) {
    return fail('key_mismatch', 'The keys in the proof are not exactly those that signed')
  }
  const pinned = (trust.sourceKeys ?? []).filter(({ source }) => source === undefined || source === event.source)
  if (pinned.length === 0)
    return skip('not_pinned', `No key of ${event.source} was pinned: that it signed is the log operator's word`)
  const findings = offered.map((kid) => {
    const pins = pinned.filter(({ jwk }) => thumbprint(jwk) === kid)
    if (pins.length === 0)
      return fail('pin_mismatch', `Signed by a key that is not among the ones pinned for ${event.source}`)
    return best(pins.map((pin) => pinnedFor(pin, bounds)))
  })
  return worst(findings) ?? pass(`Pinned for ${event.source}`)
}

/** Names of the keys that signed. */
export const kidsOf = (event: ParsedEvent, header: BatchHeader): string[] => [
  ...new Set([header.signature.kid, ...(event.signature ? [event.signature.kid] : [])]),
]

function pinnedFor({ notBefore, notAfter, source }: PinnedKey, bounds: Bounds): Finding {
  const fit = heldAgainst(bounds, parsePinTime(notBefore), parsePinTime(notAfter))
  if (fit === 'outside')
    return fail('pin_expired', 'By the anchors around it, it was signed outside the time for which the key was pinned')
  if (fit === 'open')
    return skip('pin_time_open', 'Whether it was signed within the time for which the key was pinned cannot be told')
  return pass(`Pinned for ${source ?? 'any source'}`)
}

const by = (findings: readonly Finding[], ...order: Finding['status'][]) =>
  order.flatMap((status) => findings.filter((finding) => finding.status === status))[0]
const best = (findings: readonly Finding[]) => by(findings, 'passed', 'skipped', 'failed')!
const worst = (findings: readonly Finding[]) => by(findings, 'failed', 'skipped')

/** Whether all of the event is shown. Hidden by whoever made the proof, and lost by the ledger, are two things. */
export function fieldsShown(event: ParsedEvent, proof: Proof): Finding {
  const hidden = event.fieldCount - event.disclosures.length
  const missing = proof.missing ?? 0
  if (missing > hidden)
    return fail('malformed', `The proof says that ${missing} fields are gone, and only ${hidden} are not shown`)
  const of = (n: number) => `${n} of ${event.fieldCount} fields`
  if (missing > 0)
    return skip(
      'fields_missing',
      `By the word of this proof the ledger no longer holds ${of(missing)}; ${of(hidden)} are not shown in all`,
    )
  return hidden > 0 ? skip('fields_hidden', `${of(hidden)} are not shown`) : pass('Every field is shown')
}

export function logInclusion(header: BatchHeader, checkpoint: Checkpoint, proof: Proof): Finding {
  const { origin, index, size, path } = proof.log
  if (checkpoint.origin !== origin || checkpoint.size !== size)
    return fail('place_mismatch', 'The checkpoint is of another log or another size')
  if (checkpoint.extensions.length > 0)
    return fail('malformed', 'The checkpoint has extension lines, which this format does not know')
  const holds = verifyInclusion({ leafHash: header.leafHash, index, size, path, root: checkpoint.root })
  return holds
    ? pass(`Entry ${index} of ${size} in ${origin}`)
    : fail('path_invalid', 'The path does not lead from the batch to the root of the checkpoint')
}

export function logSignature(proof: Proof, trust: Trust): Finding {
  try {
    const { supported, unsupported } = splitVkeys(trust.logKeys ?? [])
    const besides = unsupported.length > 0 ? `; not read: ${unsupported.join(', ')}` : ''
    if (supported.length === 0) {
      parseNote(proof.checkpoint)
      return skip('not_pinned', `No log key was pinned${besides && ` that can be checked${besides}`}`)
    }
    const note = openNote(proof.checkpoint, supported)
    const own = note.signatures.find(({ name }) => name === proof.log.origin)
    return own
      ? pass(`Signed by ${own.name}${besides}`)
      : fail('pin_mismatch', `No pinned key is named ${proof.log.origin}`)
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    const reason = error.code === 'note_unverified' ? 'pin_mismatch' : error.code
    return fail(reason === 'signature_invalid' || reason === 'pin_mismatch' ? reason : 'malformed', error.message)
  }
}

export function anchorPath(header: BatchHeader, checkpoint: Checkpoint, anchor: Anchor, proof: Proof): Finding {
  const { index, size, path } = proof.log
  if (anchor.size === size) {
    return equalBytes(anchor.root, checkpoint.root)
      ? pass(`The root of the checkpoint of ${size}`)
      : fail('path_invalid', 'The anchored root is not the root of the checkpoint of the same size')
  }
  const claim = { leafHash: header.leafHash, index, size: anchor.size, path: anchor.path ?? path, root: anchor.root }
  return verifyInclusion(claim)
    ? pass(`Entry ${index} of ${anchor.size}`)
    : fail('path_invalid', 'The path does not lead from the batch to the anchored root')
}

/** What is known from the chain about exactly this anchor. */
export function factAbout(anchor: Anchor, trust: Trust): AnchorFact | undefined {
  return weightiest((trust.facts ?? []).filter((fact) => isAbout(fact, anchor)))
}

/** The anchor before, as an anchor of its own: of the same chain, contract and log. */
export function earlierOf({ chainId, contract, logId }: Anchor, before: EarlierAnchor): Anchor {
  return { chainId, contract, logId, ...before }
}

function isAbout(fact: AnchorFact, anchor: Anchor): boolean {
  const names = ['chainId', 'contract', 'logId', 'size', 'time', 'transaction', 'block'] as const
  return names.every((name) => fact[name] === anchor[name]) && equalBytes(fact.root, anchor.root)
}

/**
 * The earlier anchor counts when the contract holds it: since the contract lets a log only grow, an entry that lies beyond
 * its size was not yet in the log as it was anchored then.
 */
export function anchorBefore(anchor: Anchor, before: EarlierAnchor, proof: Proof, trust: Trust): Finding {
  if (before.size === 0 || before.size > proof.log.index || before.size >= anchor.size || before.time > anchor.time)
    return fail('order_mismatch', 'The anchor before is not earlier, or covers the entry')
  const fact = factAbout(earlierOf(anchor, before), trust)
  for (const finding of [anchorContract(fact), anchorBlock(fact)])
    if (finding.status === 'failed' || finding.reason === 'not_asked' || finding.reason === 'node_unreadable')
      return finding
  return pass(`The log had ${before.size} entries as anchored then`)
}

const UNREAD = 'No node was asked'

export function anchorContract(fact: AnchorFact | undefined): Finding {
  if (fact === undefined) return skip('not_asked', UNREAD)
  if ('unreadable' in fact) return skip('node_unreadable', `${fact.node}: ${fact.unreadable}`)
  if (!fact.genuineCode) return fail('code_foreign', `The code at ${fact.contract} is not the published contract`)
  if (!fact.anchored)
    return fail('not_held', 'The contract does not hold this root at this size and time: forged, or reorganised away')
  return pass(`${fact.contract} on chain ${fact.chainId}, read from ${fact.node}`)
}

export function anchorBlock(fact: AnchorFact | undefined): Finding {
  if (fact === undefined) return skip('not_asked', UNREAD)
  if ('unreadable' in fact) return skip('node_unreadable', `${fact.node}: ${fact.unreadable}`)
  if (fact.located === null)
    return skip(
      'block_pruned',
      'The node does not have that block, or no longer; the contract itself speaks for root and time',
    )
  return fact.located
    ? pass(`Block ${fact.block}`)
    : fail('block_mismatch', `Block ${fact.block} has another time, or lacks the transaction`)
}

export function anchorFinal(fact: AnchorFact | undefined, trust: Trust): Finding {
  if (fact === undefined) return skip('not_asked', UNREAD)
  if ('unreadable' in fact) return skip('node_unreadable', `${fact.node}: ${fact.unreadable}`)
  if (fact.finalized === true) return pass('The chain has finalized it')
  const needed = trust.confirmations ?? DEFAULT_CONFIRMATIONS
  if (fact.finalized === null && fact.confirmations >= needed)
    return pass(`${fact.confirmations} confirmations; ${needed} were asked for`)
  return skip(
    'not_final',
    fact.finalized === null
      ? `Only ${fact.confirmations} of ${needed} confirmations yet`
      : 'The chain has not finalized it yet',
  )
}

export function anchorPinned(anchor: Anchor, proof: Proof, trust: Trust): Finding {
  const isPinned = ({ chainId, contract, logId }: Anchor) =>
    (trust.logs ?? []).some(
      (log) => log.chainId === chainId && log.contract.toLowerCase() === contract && log.logId.toLowerCase() === logId,
    )
  if (trust.logs === undefined || trust.logs.length === 0) return skip('not_pinned', 'No contract was pinned')
  if (isPinned(anchor)) return pass('Pinned')
  // One more anchor than the verifier asked for is no fault, as long as another is the one asked for.
  return proof.anchors.some(isPinned)
    ? skip('other_pinned', 'Not among the pinned ones')
    : fail('pin_mismatch', 'Another contract, chain or log than the pinned ones')
}
