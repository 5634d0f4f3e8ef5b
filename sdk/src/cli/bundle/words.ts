// A verdict about a bundle in words.
import type {
  BundleCompleteness,
  BundleFault,
  BundleGap,
  BundleReason,
  BundleScope,
  BundleSilence,
  BundleVerdict,
} from '../../bundle/index.ts'
import { count, own, type Printed, paint, type Text, text } from '../terminal.ts'

/** What a bundle is of. */
export function scopeWords(scope: BundleScope): Text {
  if (scope.kind === 'stream')
    return text`events ${scope.first} to ${scope.last} of stream ${scope.stream} of ${scope.source}`
  if (scope.kind === 'search')
    return text`what the ledger’s index finds for ${Object.entries(scope.conditions)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ')}`
  const { source, from, to, since, until } = scope
  const period = [since && `from ${since}`, until && `until ${until}`].filter(Boolean).join(' ')
  return text`every event of ${source} in the log’s entries ${from} to before ${to}${period && `, asked for ${period}`}`
}

const REASONS: Readonly<Record<BundleReason, string>> = {
  malformed: 'is not as it must be, or is cut off',
  header_invalid: 'holds a batch header that cannot be read',
  event_invalid: 'holds an event that cannot be read',
  place_mismatch: 'holds something that cannot stand there',
  chain_broken: 'holds an event that does not follow the one before it',
  stream_forked: 'holds a second event for a place of a stream',
  batch_incomplete: 'holds fewer events of a batch than its header says',
  batch_root_mismatch: 'holds events that are not those of the signed batch',
  log_root_mismatch: 'does not make the root that the checkpoint has',
  registration_invalid: 'holds a registration that does not count',
  key_unregistered: 'holds a signature by a key that the log does not register before it',
  pin_mismatch: 'holds a signature by another key than the pinned one',
  pin_expired: 'holds a signature from another time than the key is pinned for',
  signature_invalid: 'holds a signature that does not verify',
  note_invalid: 'holds a checkpoint that the log’s key did not sign, or that cannot be read',
  anchor_mismatch: 'names an anchor that is not of these entries',
  anchor_denied: 'names an anchor that the chain does not hold',
  trailer_mismatch: 'does not fit the files before it',
}

export function faultWords({ file, line, reason, code, logIndex, source, stream, seq }: BundleFault): Text {
  const place = line === undefined ? file : `${file}:${line}`
  const what = [
    logIndex !== undefined && `entry ${logIndex}`,
    source !== undefined && `${source}/${stream}${seq === undefined ? '' : ` ${seq}`}`,
    code,
  ].filter(Boolean)
  return text`${place} ${REASONS[reason]}${what.length > 0 ? ` (${what.join(', ')})` : ''}`
}

const gapWords = (gap: BundleGap): Text => {
  const range = gap.first === gap.last ? `${gap.first}` : `${gap.first} to ${gap.last}`
  return gap.what === 'entries'
    ? text`entries ${range} of the log`
    : text`events ${range} of stream ${gap.stream} of ${gap.source}`
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
  const { verdict: name, gaps, gapCount, after, by, streams, ended, partlyHidden } = found
  const shown = paint(['bold', COLOURS[name]], NAMES[name])
  return [
    text`${shown}: ${meaning(found, verdict)}`,
    ...gaps.slice(0, LISTED).map((gap) => text`  · missing: ${gapWords(gap)}`),
    ...(gapCount > LISTED ? [text`  · and ${count(gapCount - LISTED, 'more gap')}`] : []),
    ...(after === null ? [] : [text`  · all of it came after ${after}, the time of the last anchor before it`]),
    ...(by === null ? [] : [text`  · all of it was in the log by ${by}, the time of the anchor that covers it`]),
    ...(streams > ended && verdict.scope?.kind === 'source' && name !== 'not_judged'
      ? [
          text`  · ${count(streams - ended, 'stream')} of ${streams} ${streams - ended === 1 ? 'has' : 'have'} not ended: what their recorders still hold comes later in the log`,
        ]
      : []),
    ...(partlyHidden > 0
      ? [text`  · ${count(partlyHidden, 'event')} ${partlyHidden === 1 ? 'does' : 'do'} not show every field`]
      : []),
  ]
}

function meaning({ verdict: name }: BundleCompleteness, { scope, origin }: BundleVerdict): Printed {
  switch (name) {
    case 'complete':
      return scope?.kind === 'stream'
        ? own('every place is there, and each event follows the one before it')
        : own('all entries of the log in this range are there, and with them every event of the source')
    case 'incomplete':
      return own('something of it is not in the bundle')
    case 'open':
      return own(
        'nothing of the range is missing, but no anchor shows that it reaches as far as the times that were asked for',
      )
    case 'as_index_says':
      return text`these are the events that ${origin ?? 'the service'} found; that there are no others is its word`
    default:
      return own('something in the bundle does not hold, so nothing can be said of what is missing')
  }
}

/** Where a source was silent for longer than it promised, and what that rests on. Nothing where nobody promised anything. */
export function silenceLines({ silences }: BundleVerdict): Text[] {
  if (silences === null || (silences.pairs === 0 && silences.foundCount === 0)) return []
  const { pairs, streams, found, foundCount } = silences
  const basis = text`by the recorders’ own clocks, in ${count(pairs, 'pair')} of consecutive events of ${count(streams, 'stream')}`
  if (foundCount === 0) return [text`${paint(['bold', 'green'], 'NO SILENCE')} beyond what was promised, ${basis}`]
  return [
    text`${paint(['bold', 'red'], 'SILENCE')}: ${count(foundCount, 'time')} a stream said nothing for longer than its source promised, ${basis}`,
    ...found.slice(0, LISTED).map((each) => text`  · ${silenceWords(each)}`),
    ...(foundCount > LISTED ? [text`  · and ${count(foundCount - LISTED, 'more silence')}`] : []),
  ]
}

function silenceWords({ source, stream, seq, from, to, promised, maxAge, maxAhead }: BundleSilence): Text {
  const end = to === null ? 'the end of the time that was asked for, as far as had arrived' : to
  const bounds =
    maxAge === null && maxAhead === null
      ? 'the ledger takes any time of it'
      : `the ledger takes times of it ${maxAge === null ? 'any' : `at most ${maxAge} s`} behind and ${maxAhead === null ? 'any' : `at most ${maxAhead} s`} ahead of its own clock`
  return text`stream ${stream} of ${source}, behind event ${seq}: from ${from} to ${end}; promised ${promised} s; ${bounds}`
}

export const faultLines = ({ faults, faultCount }: BundleVerdict): Text[] => [
  ...faults.slice(0, LISTED).map((fault) => text`  ${paint('red', '✗')} ${faultWords(fault)}`),
  ...(faultCount > LISTED ? [text`  and ${count(faultCount - LISTED, 'more fault')}`] : []),
]
