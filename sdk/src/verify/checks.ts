/** One function per check. Each answers from the parsed proof and the verifier's trust alone. */
import type { BatchHeader } from '../core/batch.ts'
import { equalBytes } from '../core/bytes.ts'
import type { Checkpoint } from '../core/checkpoint.ts'
import { KillickError } from '../core/errors.ts'
import type { ParsedEvent } from '../core/event.ts'
import { algOf, type PublicJwk, thumbprint } from '../core/jwk.ts'
import { verifyInclusion } from '../core/merkle.ts'
import { openNote, parseNote } from '../core/note.ts'
import type { Anchor, Proof } from '../core/proof.ts'
import { verifySignature } from '../core/signature.ts'
import { type AnchorFact, DEFAULT_CONFIRMATIONS, type Trust, weightiest } from './trust.ts'
import type { CheckStatus } from './verdict.ts'

export type Finding = { readonly status: CheckStatus; readonly detail: string }

export const pass = (detail: string): Finding => ({ status: 'passed', detail })
export const fail = (detail: string): Finding => ({ status: 'failed', detail })
export const skip = (detail: string): Finding => ({ status: 'skipped', detail })

type Signature = NonNullable<ParsedEvent['signature']>

/** The key that the proof offers for a signature, with what the signature is worth under it. */
function signedBy(keys: readonly PublicJwk[], signature: Signature): Finding {
  const key = keys.find((candidate) => thumbprint(candidate) === signature.kid)
  if (key === undefined) return fail(`The proof holds no key named ${signature.kid}`)
  if (algOf(key) !== signature.alg) return fail(`The key is not one for ${signature.alg}`)
  return verifySignature(key, signature.input, signature.bytes)
    ? pass(`${signature.alg} by key ${signature.kid}`)
    : fail(`The signature does not verify under key ${signature.kid}`)
}

export function eventSignature(event: ParsedEvent, proof: Proof): Finding {
  if (event.signature === undefined)
    return skip('This source signs batches, not single events: the batch signature speaks for it')
  return signedBy(proof.keys, event.signature)
}

export function batchSignature(header: BatchHeader, proof: Proof): Finding {
  return signedBy(proof.keys, header.signature)
}

export function batchInclusion(event: ParsedEvent, header: BatchHeader, proof: Proof): Finding {
  const { index, path } = proof.batch
  if (event.source !== header.source || event.stream !== header.stream)
    return fail('Event and batch are of different streams')
  if (event.seq !== header.seq + index)
    return fail(`Event ${event.seq} does not stand at place ${index} of a batch that begins at ${header.seq}`)
  const holds = verifyInclusion({ leafHash: event.leafHash, index, size: header.n, path, root: header.root })
  return holds
    ? pass(`Place ${index} of ${header.n}`)
    : fail('The path does not lead from the event to the root in the batch header')
}

/** Every key in the proof must be one that signed, and one that the verifier pinned for this source. */
export function sourceKey(event: ParsedEvent, header: BatchHeader, proof: Proof, trust: Trust): Finding {
  const used = new Set([header.signature.kid, ...(event.signature ? [event.signature.kid] : [])])
  const offered = proof.keys.map(thumbprint)
  if (new Set(offered).size !== used.size || offered.length !== used.size || !offered.every((kid) => used.has(kid))) {
    return fail('The keys in the proof are not exactly those that signed')
  }
  const pinned = (trust.sourceKeys ?? []).filter(({ source }) => source === undefined || source === event.source)
  if (pinned.length === 0)
    return skip(`No key of ${event.source} was pinned: that it signed is the log operator's word`)
  const known = new Set(pinned.map(({ jwk }) => thumbprint(jwk)))
  return offered.every((kid) => known.has(kid))
    ? pass(`Pinned for ${event.source}`)
    : fail(`Signed by a key that is not among the ones pinned for ${event.source}`)
}

export function logInclusion(header: BatchHeader, checkpoint: Checkpoint, proof: Proof): Finding {
  const { origin, index, size, path } = proof.log
  if (checkpoint.origin !== origin || checkpoint.size !== size)
    return fail('The checkpoint is of another log or another size')
  if (checkpoint.extensions.length > 0)
    return fail('The checkpoint has extension lines, which this format does not know')
  const holds = verifyInclusion({ leafHash: header.leafHash, index, size, path, root: checkpoint.root })
  return holds
    ? pass(`Entry ${index} of ${size} in ${origin}`)
    : fail('The path does not lead from the batch to the root of the checkpoint')
}

export function logSignature(proof: Proof, trust: Trust): Finding {
  try {
    if (trust.logKeys === undefined || trust.logKeys.length === 0) {
      parseNote(proof.checkpoint)
      return skip('No log key was pinned')
    }
    const note = openNote(proof.checkpoint, trust.logKeys)
    const own = note.signatures.find(({ name }) => name === proof.log.origin)
    return own ? pass(`Signed by ${own.name}`) : fail(`No pinned key is named ${proof.log.origin}`)
  } catch (error) {
    if (error instanceof KillickError) return fail(error.message)
    throw error
  }
}

export function anchorPath(header: BatchHeader, checkpoint: Checkpoint, anchor: Anchor, proof: Proof): Finding {
  const { index, size, path } = proof.log
  if (anchor.size === size) {
    return equalBytes(anchor.root, checkpoint.root)
      ? pass(`The root of the checkpoint of ${size}`)
      : fail('The anchored root is not the root of the checkpoint of the same size')
  }
  const claim = { leafHash: header.leafHash, index, size: anchor.size, path: anchor.path ?? path, root: anchor.root }
  return verifyInclusion(claim)
    ? pass(`Entry ${index} of ${anchor.size}`)
    : fail('The path does not lead from the batch to the anchored root')
}

/** What is known from the chain about exactly this anchor. */
export function factAbout(anchor: Anchor, trust: Trust): AnchorFact | undefined {
  return weightiest((trust.facts ?? []).filter((fact) => isAbout(fact, anchor)))
}

function isAbout(fact: AnchorFact, anchor: Anchor): boolean {
  const names = ['chainId', 'contract', 'logId', 'size', 'time', 'transaction', 'block'] as const
  return names.every((name) => fact[name] === anchor[name]) && equalBytes(fact.root, anchor.root)
}

const UNREAD = 'No node was asked'

export function anchorContract(fact: AnchorFact | undefined): Finding {
  if (fact === undefined) return skip(UNREAD)
  if ('unreadable' in fact) return skip(`${fact.node}: ${fact.unreadable}`)
  if (!fact.genuineCode) return fail(`The code at ${fact.contract} is not the published contract`)
  if (!fact.anchored)
    return fail('The contract does not hold this root at this size and time: forged, or reorganised away')
  return pass(`${fact.contract} on chain ${fact.chainId}, read from ${fact.node}`)
}

export function anchorBlock(fact: AnchorFact | undefined): Finding {
  if (fact === undefined) return skip(UNREAD)
  if ('unreadable' in fact) return skip(`${fact.node}: ${fact.unreadable}`)
  if (fact.located === null)
    return skip('The node does not have that block, or no longer; the contract itself speaks for root and time')
  return fact.located
    ? pass(`Block ${fact.block}`)
    : fail(`Block ${fact.block} has another time, or lacks the transaction`)
}

export function anchorFinal(fact: AnchorFact | undefined, trust: Trust): Finding {
  if (fact === undefined) return skip(UNREAD)
  if ('unreadable' in fact) return skip(`${fact.node}: ${fact.unreadable}`)
  if (fact.finalized === true) return pass('The chain has finalized it')
  const needed = trust.confirmations ?? DEFAULT_CONFIRMATIONS
  if (fact.finalized === null && fact.confirmations >= needed)
    return pass(`${fact.confirmations} confirmations; ${needed} were asked for`)
  return skip(
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
  if (trust.logs === undefined || trust.logs.length === 0) return skip('No contract was pinned')
  if (isPinned(anchor)) return pass('Pinned')
  // One more anchor than the verifier asked for is no fault, as long as another is the one asked for.
  return proof.anchors.some(isPinned)
    ? skip('Not among the pinned ones')
    : fail('Another contract, chain or log than the pinned ones')
}
