/** What a verdict comes to, in words for someone who is no engineer. Green is earned only when everything was checked. */
import type { AnchorFact, Check, Proof, Verdict } from '@killick/sdk/verify'
import { chainName, listed, plural, weightyAnchors } from './words.ts'

/** `good` green, `bad` red; `wait`: time will tell; `open`: someone has to do something before it can be told. */
export type Tone = 'good' | 'wait' | 'open' | 'bad'

export type Summary = {
  readonly tone: Tone
  /** The state by name, for styles, tests and screen readers alike. */
  readonly state: string
  readonly headline: string
  readonly reason: string
}

/** How far asking the chain has come. */
export type Asked = {
  readonly nodes: readonly string[]
  readonly asking: boolean
  readonly facts: readonly AnchorFact[]
}

const FAILURES: [pattern: RegExp, state: string, headline: string, reason: string][] = [
  [/^event\.form$/, 'altered', 'This record was altered', 'What it says is not what was signed and recorded.'],
  [
    /^(event|batch)\.signature$/,
    'altered',
    'This record was altered',
    'The signature of the system that is said to have recorded it does not fit.',
  ],
  [
    /^batch\.inclusion$/,
    'altered',
    'This record was altered',
    'It does not stand where it claims to, among the events it was recorded with.',
  ],
  [
    /^source\.key$/,
    'wrong-key',
    'Signed by the wrong key',
    'The key that signed is not one of those pinned for this source.',
  ],
  [
    /^log\.inclusion$/,
    'altered',
    'This record does not belong to this log',
    'The path does not lead from the record to the root of the log.',
  ],
  [
    /^log\.signature$/,
    'wrong-log',
    'The log did not sign this',
    'The checkpoint of the log is not signed by a key pinned for it.',
  ],
  [
    /^anchor\.\d+\.path$/,
    'altered',
    'The anchor does not cover this record',
    'The path does not lead from the record to the root that was anchored.',
  ],
  [
    /^anchor\.\d+\.contract$/,
    'not-on-chain',
    'The chain does not hold this anchor',
    'It is forged, or its block was reorganised away. If it was anchored minutes ago, ask for a fresh proof.',
  ],
  [
    /^anchor\.\d+\.block$/,
    'reorganised',
    'The block is not the one that this proof names',
    'The block was reorganised, or the proof was altered. Ask for a fresh proof.',
  ],
  [
    /^anchor\.\d+\.log$/,
    'wrong-contract',
    'Anchored in the wrong place',
    'Contract, chain or log are not the ones that were pinned.',
  ],
]

/** A check that says "does not apply", rather than "was not looked at". */
function isBesideThePoint(check: Check, checks: readonly Check[]): boolean {
  if (check.id === 'event.signature') return check.detail.startsWith('This source signs batches')
  // One anchor that was checked through is enough: others of the same proof add to it, and take nothing away.
  const anchor = /^anchor\.\d+\./.exec(check.id)?.[0]
  if (anchor === undefined) return false
  const others = new Set(checks.map(({ id }) => /^anchor\.\d+\./.exec(id)?.[0]).filter((id) => id !== anchor))
  return [...others].some(
    (id) => id !== undefined && checks.every((c) => !c.id.startsWith(id) || c.status === 'passed'),
  )
}

export function summarize(verdict: Verdict, proof: Proof, asked: Asked): Summary {
  if (verdict.outcome === 'failed') return failure(verdict)
  if (proof.anchors.length === 0) {
    return {
      tone: 'wait',
      state: 'not-anchored',
      headline: 'Not anchored yet',
      reason:
        'It is signed and stands in the log, but no chain holds the log’s root yet: until then the operator could still replace it. Ask for a new proof later.',
    }
  }
  if (asked.asking) {
    return {
      tone: 'wait',
      state: 'asking',
      headline: 'Asking the chain…',
      reason: `Waiting for ${listed(asked.nodes)}.`,
    }
  }
  const chain = chainName(weightyAnchors(proof, verdict).anchors[0]!.chainId)
  if (asked.nodes.length === 0) {
    return {
      tone: 'open',
      state: 'not-asked',
      headline: 'The chain was not asked',
      reason: `The signatures hold. Whether ${chain} holds the anchor is not known: name a node to ask, below.`,
    }
  }
  const unread = asked.facts.filter((fact) => 'unreadable' in fact)
  if (unread.length === asked.facts.length) {
    return {
      tone: 'open',
      state: 'unreachable',
      headline: 'Could not check with the chain',
      reason: `${unread[0]?.node ?? 'The node'} gave no answer: ${unread[0]?.unreadable ?? 'nothing'}. Nothing is known to be wrong; try again, or ask another node.`,
    }
  }
  if (verdict.outcome === 'undecided') {
    return {
      tone: 'open',
      state: 'not-pinned',
      headline: 'Holds together, but whose keys are these?',
      reason: `Nothing was altered since it was signed, and ${chain} holds its anchor. To tell that it is genuine, one thing is missing: ${listed(verdict.missing)}.`,
    }
  }
  const skipped = verdict.checks.filter(
    (check) => check.status === 'skipped' && !isBesideThePoint(check, verdict.checks),
  )
  if (verdict.level !== 'final' || skipped.some(({ id }) => id.endsWith('.final'))) {
    return {
      tone: 'wait',
      state: 'not-final',
      headline: 'Genuine so far, and not final yet',
      reason:
        'The chain holds the anchor, but so recently that its block could still be replaced. Check again in some minutes.',
    }
  }
  if (skipped.length > 0) {
    return {
      tone: 'open',
      state: 'partly-checked',
      headline: 'Genuine, as far as could be checked',
      reason: `${plural(skipped.length, 'check')} could not be made: ${skipped[0]!.detail}.`,
    }
  }
  return {
    tone: 'good',
    state: 'genuine',
    headline: 'This record is genuine',
    reason: 'It is exactly what was recorded, and nobody has changed it since.',
  }
}

function failure(verdict: Verdict): Summary {
  const failed = verdict.checks.find(({ status }) => status === 'failed')!
  const known = FAILURES.find(([pattern]) => pattern.test(failed.id))
  const [, state, headline, reason] = known ?? [null, 'failed', 'This record is not genuine', 'A check failed.']
  return { tone: 'bad', state, headline, reason: `${reason} ${failed.detail.replace(/\.$/, '')}.` }
}
