// A verdict about a bundle in words.
import type { BundleCompleteness, BundleFault, BundleScope, BundleVerdict } from '../../bundle/index.ts'
import { bundleEnglish } from '../../words/index.ts'
import { count, own, paint, type Text, text } from '../terminal.ts'

const PHRASES = bundleEnglish()

/** What a bundle is of. */
export const scopeWords = (scope: BundleScope): Text => text`${PHRASES.scope(scope)}`

export function faultWords({ file, line, reason, code, logIndex, source, stream, seq }: BundleFault): Text {
  const place = line === undefined ? file : `${file}:${line}`
  const what = [
    logIndex !== undefined && `entry ${logIndex}`,
    source !== undefined && `${source}/${stream}${seq === undefined ? '' : ` ${seq}`}`,
    code,
  ].filter(Boolean)
  return text`${place} ${PHRASES.reasons[reason]}${what.length > 0 ? ` (${what.join(', ')})` : ''}`
}

const LISTED = 10
const COLOURS = {
  complete: 'green',
  incomplete: 'red',
  open: 'yellow',
  as_index_says: 'yellow',
  not_judged: 'red',
} as const
const NAMES = {
  complete: 'COMPLETE',
  incomplete: 'NOT COMPLETE',
  open: 'OPEN',
  as_index_says: 'AS THE INDEX SAYS',
  not_judged: 'NOT JUDGED',
} as const

/** Whether it is all there is, and what that rests on. */
export function completenessLines(found: BundleCompleteness, verdict: BundleVerdict): Text[] {
  const { verdict: name, gaps, gapCount, absent, dropped, isReached, heads, after, by, streams, ended } = found
  const shown = paint(['bold', isOnlyDropped(found) ? 'yellow' : COLOURS[name]], NAMES[name])
  return [
    text`${shown}: ${meaning(found, verdict)}`,
    ...gaps.slice(0, LISTED).map((gap) => text`  · missing: ${PHRASES.gap(gap)}`),
    ...(gapCount > LISTED ? [text`  · and ${count(gapCount - LISTED, 'more gap')}`] : []),
    ...(name === 'incomplete' && gapCount > 0
      ? [text`  · ${PHRASES.completeness.absent(absent.events, absent.entries)}`]
      : []),
    ...(dropped.events > 0 && !isOnlyDropped(found) ? [text`  · ${PHRASES.dropped.found(dropped.events)}`] : []),
    ...dropped.found.slice(0, LISTED).map((each) => text`  · dropped: ${PHRASES.dropped.one(each)}`),
    ...(dropped.foundCount > LISTED ? [text`  · and ${dropped.foundCount - LISTED} more dropped`] : []),
    ...(name === 'incomplete' && !isReached ? [text`  · ${PHRASES.completeness.notReached}`] : []),
    ...(after === null ? [] : [text`  · ${PHRASES.completeness.after(after)}`]),
    ...(by === null ? [] : [text`  · ${PHRASES.completeness.by(by)}`]),
    ...heads.map((head) => text`  · ${PHRASES.completeness.head(head)}`),
    ...(streams > ended && verdict.scope?.kind === 'source' && name !== 'not_judged'
      ? [text`  · ${PHRASES.completeness.notEnded(streams - ended, streams)}`]
      : []),
  ]
}

const OUTCOMES = { verified: 'green', failed: 'red', undecided: 'yellow' } as const

const MISSING: Readonly<Record<BundleVerdict['missing'][number], string>> = {
  anchor: 'an anchor',
  chain: 'an answer from the chain',
  source_key: 'a pinned key of each source',
  key_time: 'anchors that tell whether a pinned key was used in its time',
  log_key: 'a pinned key of the log',
  contract: 'a pinned contract that the chain confirms',
}

/** Whether what it holds is genuine, and what that lacks. @param whose pins it rests on */
export const genuineLines = ({ outcome, missing, unanchored }: BundleVerdict, whose = ''): Text[] => [
  text`${paint(['bold', OUTCOMES[outcome]], outcome === 'verified' ? 'GENUINE' : outcome.toUpperCase())}${whose}`,
  ...(missing.length > 0 ? [own('Missing for "genuine":'), ...missing.map((each) => text`  · ${MISSING[each]}`)] : []),
  ...(unanchored ? [text`${paint('yellow', '!')} ${PHRASES.unanchored(unanchored)}`] : []),
]

/** What events lack, and why, and which keys were used outside of their time. Nothing where there is nothing of either. */
export function fieldLines({ fields, keysOutside }: BundleVerdict): Text[] {
  const { found, foundCount } = keysOutside
  return [
    ...(fields === null ? [] : lackingLines(fields)),
    ...(foundCount > 0 ? [text`${paint('yellow', '!')} ${PHRASES.keysOutside.found(foundCount)}`] : []),
    ...found.slice(0, LISTED).map((use) => text`  · ${PHRASES.keysOutside.one(use)}`),
    ...(foundCount > LISTED ? [text`  · and ${count(foundCount - LISTED, 'more use')}`] : []),
  ]
}

function lackingLines(fields: NonNullable<BundleVerdict['fields']>): Text[] {
  const { erasures, erasureCount } = fields
  const told = PHRASES.fields
  const marks = { erased: '·', expired: '·', undecided: '·', hidden: paint('yellow', '!') } as const
  const names = ['erased', 'expired', 'hidden', 'undecided'] as const
  return [
    ...names.filter((name) => fields[name] > 0).map((name) => text`${marks[name]} ${told[name](fields[name])}`),
    ...erasures.slice(0, LISTED).map((erasure) => text`  · ${told.one(erasure)}`),
    ...(erasureCount > LISTED ? [text`  · and ${count(erasureCount - LISTED, 'more erasure')}`] : []),
  ]
}

/** Whether it is not complete only because policies have dropped some of it, as the ledger's log says. */
export const isOnlyDropped = ({ verdict, gapCount }: BundleCompleteness): boolean =>
  verdict === 'incomplete' && gapCount === 0

function meaning(found: BundleCompleteness, { scope, origin }: BundleVerdict): string {
  const told = PHRASES.completeness
  const { verdict: name, gapCount, dropped } = found
  if (isOnlyDropped(found)) return `${PHRASES.dropped.found(dropped.events)} ${PHRASES.dropped.nothingElse}`
  switch (name) {
    case 'complete':
      return scope?.kind === 'stream' ? told.complete.stream : told.complete.source
    case 'incomplete':
      return told.incomplete(gapCount)
    case 'as_index_says':
      return told.as_index_says(origin)
    default:
      return told[name]
  }
}

/** Where a source was silent for longer than it promised, and what that rests on. Nothing where nobody promised anything. */
export function silenceLines({ silences }: BundleVerdict): Text[] {
  if (silences === null || (silences.pairs === 0 && silences.foundCount === 0)) return []
  const { pairs, streams, found, foundCount } = silences
  const told = PHRASES.silence
  const basis = told.basis(pairs, streams)
  if (foundCount === 0)
    return [text`${paint(['bold', 'green'], 'NO SILENCE')} beyond what the registrations in it promise, ${basis}`]
  return [
    text`${paint(['bold', 'red'], 'SILENCE')}: ${told.found(foundCount)}, ${basis}`,
    ...found.slice(0, LISTED).map((each) => text`  · ${told.one(each)}`),
    ...(foundCount > LISTED ? [text`  · and ${count(foundCount - LISTED, 'more silence')}`] : []),
  ]
}

export const faultLines = ({ faults, faultCount }: BundleVerdict): Text[] => [
  ...faults.slice(0, LISTED).map((fault) => text`  ${paint('red', '✗')} ${faultWords(fault)}`),
  ...(faultCount > LISTED ? [text`  and ${count(faultCount - LISTED, 'more fault')}`] : []),
]
