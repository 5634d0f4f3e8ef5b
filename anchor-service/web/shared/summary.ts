/** What a verdict comes to, in words for someone who is no engineer. Green is earned only when everything was checked. */
import type { AnchorFact, Check, Proof, Reason, Verdict } from '@killick/sdk/verify'
import { checkInWords, english } from '@killick/sdk/words'
import { isPartial, isUndone, outcomeOf } from './outcome.ts'
import type { By } from './trust.ts'
import { chainName, isTestChain, listed, plural, possessive, timeInWords, weightyAnchors } from './words.ts'

/**
 * `good` green, for what the reader pinned; `word`: all holds, on the word of somebody else; `wait`: time will tell;
 * `open`: someone has to do something before it can be told; `bad` red.
 */
export type Tone = 'good' | 'word' | 'wait' | 'open' | 'bad'

/** The ladder of words for trust, the same wherever a verdict is shown. */
export type Rung = 'pinned' | 'word' | 'unchecked'

/** Whose word keys and contract are: by whom each kind was pinned, and how the publisher of the page is called. */
export type Word = { readonly by: By; readonly publisher?: string | undefined }

export type Summary = {
  readonly tone: Tone
  /** The state by name, for styles, tests and screen readers alike. */
  readonly state: string
  readonly headline: string
  readonly reason: string
  /** What takes something away from the headline, to be told beside it. */
  readonly caveats: readonly string[]
  /** How far up the ladder of trust the answer stands, and the words for it; null where nothing holds. */
  readonly rung: { readonly name: Rung; readonly words: string } | null
}

/** How far asking the chain has come. */
export type Asked = {
  readonly nodes: readonly string[]
  readonly asking: boolean
  readonly facts: readonly AnchorFact[]
  /** Requests that were sent for it. */
  readonly requests?: number
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
    /^source\.registration$/,
    'late-key',
    'The key was not registered when it was used',
    'What the log says of the key that signed does not hold, or came only after it was used.',
  ],
  [
    /^anchor\.\d+\.before$/,
    'wrong-time',
    'The time of this record does not hold',
    'The anchor that it names as the one before is none, or covers it.',
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

/** The batch's signature speaks for the event; a short proof; no bounds of time; what is told beside the headline. */
const BESIDE_THE_POINT = new Set<Reason>([
  ...(['batch_signed', 'registration_absent', 'registration_gap', 'fields_hidden', 'fields_missing'] as const),
  ...(['time_unbounded', 'time_outside'] as const),
])
const TOLD_IN_WORDS = /^(source\.key|anchor\.\d+\.before)$/

/** What a verdict can do without, because it does not apply or because it is told in words of its own. */
function isBesideThePoint({ id, reason }: Check, checks: readonly Check[]): boolean {
  if (BESIDE_THE_POINT.has(reason) || TOLD_IN_WORDS.test(id)) return true
  // One anchor that was checked through is enough: others of the same proof add to it, and take nothing away.
  const anchor = /^anchor\.\d+\./.exec(id)?.[0]
  if (anchor === undefined) return false
  const others = new Set(
    checks.map((check) => /^anchor\.\d+\./.exec(check.id)?.[0]).filter((other) => other !== anchor),
  )
  return [...others].some(
    (other) =>
      other !== undefined &&
      checks.every((c) => !c.id.startsWith(other) || c.id.endsWith('.before') || c.status === 'passed'),
  )
}

/** What a record whose every check holds comes to be called. */
function headlineOf(event: Verdict['event']): string {
  const outcome = event === null ? 'none' : outcomeOf(event)
  const subject = event !== null && isPartial(event) ? 'What is shown' : 'This record'
  return `${subject} is genuine${isUndone(outcome) ? `: a ${outcome === 'denied' ? 'denied' : 'failed'} action` : ''}`
}

/**
 * Where log and contract are vouched for, the log has taken the event in under its source's name: so which key is the
 * source's is the log's word, where nobody pinned it. Without them, whoever made the proof may have made it all up.
 */
function rungOf(verdict: Verdict, proof: Proof, { by, publisher }: Word): NonNullable<Summary['rung']> {
  const status = (id: string) => verdict.checks.find((check) => check.id === id)?.status
  const isHeld = proof.anchors.some((_, i) =>
    ['path', 'contract', 'log'].every((name) => status(`anchor.${i}.${name}`) === 'passed'),
  )
  const isVouchedFor = status('log.signature') === 'passed' && isHeld && status('batch.signature') === 'passed'
  if (!isVouchedFor || by.logKeys === 'nobody' || by.logs === 'nobody')
    return { name: 'unchecked', words: 'not checked' }
  if (status('source.key') === 'passed' && Object.values(by).every((who) => who === 'you'))
    return { name: 'pinned', words: 'pinned by you' }
  const whose = Object.values(by).includes('publisher') ? (publisher ?? proof.log.origin) : proof.log.origin
  return { name: 'word', words: `on ${possessive(whose)} word` }
}

/** @param testChain - Its name, where the anchor is on one. */
function caveatsOf({ event, times, registrations, checks }: Verdict, testChain: string | null): string[] {
  const missing = event?.missingFields ?? 0
  const reason = (id: string) => checks.find((check) => check.id === id)?.reason
  const keys = new Set(registrations.map(({ kid }) => kid))
  return [
    ...(missing > 0
      ? [
          `The ledger no longer holds ${plural(missing, 'field')} of this event: somebody has taken ${missing === 1 ? 'it' : 'them'} out.`,
        ]
      : []),
    ...(times?.outside === 'before'
      ? [
          `It claims to be recorded at ${timeInWords(times.recordedAt)}, but was not yet in the log as anchored at ${timeInWords(times.after!)}.`,
        ]
      : []),
    ...(times?.outside === 'after'
      ? [`It claims a time after ${timeInWords(times.by!)}, when it was in the log already.`]
      : []),
    ...(keys.size > 1
      ? [
          `The log has registered ${keys.size} keys for ${event?.source ?? 'this source'}; which, and since when, is told below.`,
        ]
      : []),
    ...(reason('source.key') === 'pin_time_open'
      ? ['Whether the key was used within the time for which it was pinned cannot be told.']
      : []),
    ...(testChain === null
      ? []
      : [
          `The anchor is on ${testChain}, and whoever runs that chain can rewrite it: good for trying this out, no proof to anyone else.`,
        ]),
  ]
}

export function summarize(verdict: Verdict, proof: Proof, asked: Asked, word: Word): Summary {
  if (verdict.outcome === 'failed') return failure(verdict)
  const weighty = weightyAnchors(proof, verdict)
  const isTest = weighty.anchors.length > 0 && weighty.anchors.every(({ chainId }) => isTestChain(chainId))
  const chain = weighty.anchors[0] ? chainName(weighty.anchors[0].chainId) : ''
  const rung = rungOf(verdict, proof, word)
  const caveats = caveatsOf(verdict, isTest ? chain : null)
  const common = { caveats, rung }
  if (proof.anchors.length === 0) {
    return {
      ...{ ...common, rung: null, tone: 'wait', state: 'not-anchored' },
      headline: 'Not anchored yet',
      reason:
        'It is signed and stands in the log, but no chain holds the log’s root yet: until then the operator could still replace it. Ask for a new proof later.',
    }
  }
  if (asked.asking) {
    return {
      ...{ ...common, rung: null, caveats: [], tone: 'wait', state: 'asking' },
      headline: 'Asking the chain…',
      reason: `Waiting for ${listed(asked.nodes)}.`,
    }
  }
  if (asked.nodes.length === 0) {
    return {
      ...{ ...common, tone: 'open', state: 'not-asked' },
      headline: 'The chain was not asked',
      reason: `The signatures hold. Whether ${chain} holds the anchor is not known: name a node to ask, below.`,
    }
  }
  const unread = asked.facts.filter((fact) => 'unreadable' in fact)
  if (unread.length === asked.facts.length) {
    return {
      ...{ ...common, tone: 'open', state: 'unreachable' },
      headline: 'Could not check with the chain',
      reason: `${unread[0]?.node ?? 'The node'} gave no answer: ${unread[0]?.unreadable ?? 'nothing'}. Nothing is known to be wrong; try again, or ask another node.`,
    }
  }
  if (rung.name === 'unchecked') {
    return {
      ...{ ...common, tone: 'open', state: 'not-pinned' },
      headline: 'Holds together, but whose keys are these?',
      reason: `Nothing was altered since it was signed, and ${chain} holds its anchor. But anyone can make keys: to tell that it is genuine, it lacks ${listed(verdict.missing.map((what) => english().missing[what]))}.`,
    }
  }
  const skipped = verdict.checks.filter(
    (check) => check.status === 'skipped' && !isBesideThePoint(check, verdict.checks),
  )
  if (verdict.level !== 'final' || skipped.some(({ id }) => id.endsWith('.final'))) {
    return {
      ...{ ...common, tone: 'wait', state: 'not-final' },
      headline: 'Genuine so far, and not final yet',
      reason:
        'The chain holds the anchor, but so recently that its block could still be replaced. Check again in some minutes.',
    }
  }
  if (skipped.length > 0) {
    return {
      ...{ ...common, tone: 'open', state: 'partly-checked' },
      headline: 'Genuine, as far as could be checked',
      reason: `${plural(skipped.length, 'check')} could not be made: ${checkInWords(skipped[0]!).detail}.`,
    }
  }
  const exact = `${verdict.event !== null && isPartial(verdict.event) ? 'What is shown' : 'It'} is exactly what was recorded`
  return {
    ...{ ...common, tone: rung.name === 'pinned' ? 'good' : 'word', state: 'genuine' },
    headline: headlineOf(verdict.event),
    // On a chain that somebody can rewrite, nobody can say that nothing was changed.
    reason: isTest ? `${exact}.` : `${exact}, and nobody has changed it since ${chain} holds it.`,
  }
}

function failure(verdict: Verdict): Summary {
  const failed = verdict.checks.find(({ status }) => status === 'failed')!
  const known = FAILURES.find(([pattern]) => pattern.test(failed.id))
  const [, state, headline, reason] = known ?? [null, 'failed', 'This record is not genuine', 'A check failed.']
  const detail = checkInWords(failed).detail.replace(/\.$/, '')
  return { tone: 'bad', state, headline, reason: `${reason} ${detail}.`, caveats: [], rung: null }
}
