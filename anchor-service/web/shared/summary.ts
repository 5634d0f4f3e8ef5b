/** What a verdict comes to, in words for someone who is no engineer. Green is earned only when everything was checked. */
import type { AnchorFact, Check, CheckName, Proof, Reason, Verdict } from '@killick/sdk/verify'
import { checkInWords } from '@killick/sdk/words'
import { type Language, words } from './language.ts'
import { isPartial, isUndone, outcomeOf } from './outcome.ts'
import type { By } from './trust.ts'
import { chainName, isTestChain, weightyAnchors } from './words.ts'

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

/** What it comes to when a check fails: the state by name, and its words. */
const FAILURES: { readonly [N in CheckName]: readonly [state: string, words: keyof Language['failures']] } = {
  'event.form': ['altered', 'form'],
  'event.fields': ['failed', 'other'],
  'event.erasure': ['failed', 'other'],
  'event.signature': ['altered', 'signature'],
  'event.time': ['failed', 'other'],
  'batch.signature': ['altered', 'signature'],
  'batch.inclusion': ['altered', 'inclusion'],
  'source.key': ['wrong-key', 'key'],
  'source.registration': ['late-key', 'registration'],
  'log.inclusion': ['altered', 'log'],
  'log.signature': ['wrong-log', 'checkpoint'],
  anchor: ['failed', 'other'],
  'anchor.path': ['altered', 'path'],
  'anchor.contract': ['not-on-chain', 'contract'],
  'anchor.block': ['reorganised', 'block'],
  'anchor.final': ['failed', 'other'],
  'anchor.log': ['wrong-contract', 'place'],
  'anchor.before': ['wrong-time', 'before'],
}

/** The batch's signature speaks for the event; a short proof; no bounds of time; what is told beside the headline. */
const BESIDE_THE_POINT = new Set<Reason>([
  ...(['batch_signed', 'registration_absent', 'registration_gap', 'fields_hidden', 'fields_missing'] as const),
  ...(['fields_erased', 'fields_expired', 'time_unbounded', 'time_outside'] as const),
])
const TOLD_IN_WORDS = /^(source\.key|event\.erasure|anchor\.\d+\.before)$/

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
  return words.summary.genuine(event !== null && isPartial(event), isUndone(outcome) ? outcome : null)
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
    return { name: 'unchecked', words: words.rungs.unchecked }
  if (status('source.key') === 'passed' && Object.values(by).every((who) => who === 'you'))
    return { name: 'pinned', words: words.rungs.pinned }
  const whose = Object.values(by).includes('publisher') ? (publisher ?? words.anonymous) : proof.log.origin
  return { name: 'word', words: words.rungs.word(whose) }
}

/** @param testChain - Its name, where the anchor is on one. */
function caveatsOf({ event, times, registrations, checks }: Verdict, testChain: string | null): string[] {
  const missing = event?.missingFields ?? 0
  const reason = (id: string) => checks.find((check) => check.id === id)?.reason
  const keys = new Set(registrations.map(({ kid }) => kid))
  const { caveats } = words.summary
  return [
    ...(missing > 0 ? [caveats.missing(missing)] : []),
    ...(times?.outside === 'before' ? [caveats.before(times.recordedAt, times.after!)] : []),
    ...(times?.outside === 'after' ? [caveats.after(times.by!)] : []),
    ...(keys.size > 1 ? [caveats.keys(keys.size, event?.source ?? null)] : []),
    ...(reason('source.key') === 'pin_time_open' ? [caveats.pinTime] : []),
    ...(testChain === null ? [] : [caveats.testChain(testChain)]),
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
  const told = words.summary
  if (proof.anchors.length === 0) {
    const [headline, why] = told.notAnchored(verdict.level === 'logged')
    return { ...common, rung: null, tone: 'wait', state: 'not-anchored', headline, reason: why }
  }
  if (asked.asking) {
    return {
      ...{ ...common, rung: null, caveats: [], tone: 'wait', state: 'asking' },
      headline: told.asking,
      reason: told.waitingFor(asked.nodes),
    }
  }
  if (asked.nodes.length === 0) {
    return {
      ...{ ...common, tone: 'open', state: 'not-asked' },
      headline: told.notAsked,
      reason: told.notAskedWhy(chain),
    }
  }
  const unread = asked.facts.filter((fact) => 'unreadable' in fact)
  // A node may have answered about an anchor before, or in a log that was left, and about none that holds the record.
  if (unread.length === asked.facts.length || !weighty.confirmed) {
    const [first] = unread
    const silence = first ? words.silence(first.unreadable, first.fault ?? null) : null
    return {
      ...{ ...common, tone: 'open', state: 'unreachable' },
      headline: told.unreachable,
      reason: told.unreachableWhy(first?.fault?.what === 'none' ? null : (first?.node ?? null), silence),
    }
  }
  if (rung.name === 'unchecked') {
    const missing = verdict.missing.map((what) => words.verdict.missing[what])
    return {
      ...{ ...common, tone: 'open', state: 'not-pinned' },
      headline: told.notPinned,
      reason: told.notPinnedWhy(chain, missing),
    }
  }
  const skipped = verdict.checks.filter(
    (check) => check.status === 'skipped' && !isBesideThePoint(check, verdict.checks),
  )
  if (verdict.level !== 'final' || skipped.some(({ id }) => id.endsWith('.final'))) {
    const [headline, why] = told.notFinal
    return { ...common, tone: 'wait', state: 'not-final', headline, reason: why }
  }
  if (skipped.length > 0) {
    return {
      ...{ ...common, tone: 'open', state: 'partly-checked' },
      headline: told.partly,
      reason: told.partlyWhy(skipped.length, checkInWords(skipped[0]!, words.verdict).detail),
    }
  }
  return {
    ...{ ...common, tone: rung.name === 'pinned' ? 'good' : 'word', state: 'genuine' },
    headline: headlineOf(verdict.event),
    reason: told.exactly(verdict.event !== null && isPartial(verdict.event), isTest ? null : chain),
  }
}

function failure(verdict: Verdict): Summary {
  const failed = verdict.checks.find(({ status }) => status === 'failed')!
  const [state, name] = FAILURES[failed.id.replace(/^anchor\.\d+/, 'anchor') as CheckName]
  const [headline, why] = words.failures[name]
  const { detail } = checkInWords(failed, words.verdict)
  return { tone: 'bad', state, headline, reason: words.summary.failed(why, detail), caveats: [], rung: null }
}
