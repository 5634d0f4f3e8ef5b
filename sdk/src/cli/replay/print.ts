// Steps on a terminal, and as JSON. Nothing here depends on the time of day, so the same steps are printed as the same bytes.
import { printHash } from '../../core/hash.ts'
import { printTime } from '../../core/time.ts'
import { endingInWords, type SessionStep, type ToldStep, tellStep } from '../../words/index.ts'
import { count, jsonLine, lines, type Printed, padded, paint, Text, text } from '../terminal.ts'
import type { Gap } from './between.ts'
import type { StepProof } from './proofs.ts'
import type { Readable, SessionRow } from './rows.ts'
import type { StreamPart } from './scan.ts'

/** A step that is about to be told. */
export type Numbered = {
  readonly number: number
  readonly row: SessionRow
  readonly proof: StepProof
  /** Null for an event that cannot be read. */
  readonly step: SessionStep | null
  /** Numbers of the steps that it is the outcome of, as far as they were played. */
  readonly of: readonly number[]
  /** Whether an outcome is still to come that never does. */
  readonly isOpen: boolean
  /** Time since the first step of its stream, ms. */
  readonly after: number | null
}

const WHY: Readonly<Record<Gap['why'], string>> = {
  missing: 'the service does not show what stands there',
  unread: 'what stands there cannot be read',
  dropped: 'by the service’s word a retention policy has dropped what stood there',
  broken: 'what stands there does not name the event before it',
  left_out: 'what stands there belongs to this session, and the search left it out',
  order: 'the search put it behind a later one',
}

/** What a gap is, in words. */
export const gapInWords = ({ why, from, to }: Gap): string =>
  `${from === to ? `place ${from}` : `places ${from} to ${to}`} of the stream: ${WHY[why]}`

export function head(session: string, { source, stream, first, last, steps, from, to }: StreamPart): Text {
  const span =
    from === null || to === null ? [] : [text`from ${printTime(from)} to ${printTime(to)}, by the recorder’s clock`]
  return lines([
    text`${paint('bold', text`session ${session}`)}`,
    text`${count(steps, 'step')}, recorded by ${paint('bold', source)} in stream ${stream}, places ${first} to ${last}`,
    ...span,
    '',
  ])
}

export function stepLine({ number, row, proof, step, of, isOpen, after }: Numbered, width: number): Text {
  const start = text`${padded(number, width, 'left')}  ${elapsed(after)}  ${mark(proof, row)}`
  if (row.event === null) return text`${start}  ${paint('red', 'it was altered and cannot be read')}: ${row.why}`
  const told = joinTold(tellStep(sessionEvent(row), step!))
  const more = of.length > MAX_LINKS ? ` and ${of.length - MAX_LINKS} more` : ''
  const link = of.length === 0 ? '' : paint('dim', `↳ ${of.slice(0, MAX_LINKS).join(', ')}${more} `)
  const ending = isOpen ? paint('yellow', 'no outcome found') : endingText(step!)
  const unshown = [
    ...(row.hidden > 0 ? [`${count(row.hidden, 'field')} not shown`] : []),
    ...(row.sealed > 0 ? [`${count(row.sealed, 'field')} sealed`] : []),
  ]
  const hidden = unshown.length === 0 ? '' : paint('yellow', ` (${unshown.join(', ')})`)
  const why = proof.outcome === 'failed' ? paint('red', text`  ${proof.why.join('; ')}`) : ''
  return text`${start}  ${link}${told}${ending === '' ? '' : text`  ${ending}`}${hidden}${why}`
}

export const gapLine = (gap: Gap, width: number): Text =>
  text`${padded('', width)}  ${paint(gap.why === 'dropped' ? 'yellow' : 'red', `gap: ${gapInWords(gap)}`)}`

/** Steps that are named as those that an outcome belongs to. */
const MAX_LINKS = 5

const sessionEvent = ({ event, hidden }: Readable) => ({ id: event.id, fields: event.fields, missing: hidden })

const joinTold = (told: ToldStep): Text => {
  let line = ''
  for (const part of told) line += typeof part === 'string' ? part : text`${part.said}`.raw
  return new Text(line)
}

/** Of a fixed width for sessions of less than ten hours: `+0:00:01.204`. */
function elapsed(ms: number | null): string {
  if (ms === null) return padded('', 12).raw
  const abs = Math.abs(ms)
  const part = (value: number, width: number) => String(Math.floor(value)).padStart(width, '0')
  const [hours, minutes, seconds] = [abs / 3_600_000, (abs / 60_000) % 60, (abs / 1000) % 60]
  return `${ms < 0 ? '-' : '+'}${part(hours, 1)}:${part(minutes, 2)}:${part(seconds, 2)}.${part(abs % 1000, 3)}`
}

const LEVELS = { none: 'nothing', signed: 'signed', logged: 'accepted', anchored: 'anchored', final: 'final' } as const
const MARKS = { verified: ['green', '✓'], undecided: ['yellow', '–'], failed: ['red', '✗'] } as const

function mark({ outcome, level }: StepProof, { event }: SessionRow): Text {
  if (event === null) return paint('red', padded('altered', 10))
  if (outcome === null) return paint(level === 'anchored' ? 'reset' : 'yellow', padded(LEVELS[level], 10))
  const [colour, sign] = MARKS[outcome]
  return paint(colour, padded(`${sign} ${outcome === 'failed' ? 'failed' : LEVELS[level]}`, 10))
}

const COLOURS = {
  denied: 'red',
  failure: 'red',
  unknown: 'yellow',
  hidden: 'yellow',
  success: 'green',
  none: 'dim',
} as const

function endingText(step: SessionStep): Printed {
  const words = endingInWords(step)
  return words === '' ? '' : paint(COLOURS[step.ending], words)
}

/** A step as one line of JSON; `event` is what the hash is made of. */
export function stepJson({ number, row, proof: { outcome, level, why }, step, of, isOpen }: Numbered): Text {
  const proof = { state: LEVELS[level], ...(outcome !== null && { outcome, why }) }
  if (row.event === null) {
    const { id, source, stream, seq, logIndex } = row
    return jsonLine({ step: number, id, source, stream, seq, logIndex, altered: row.why, event: null })
  }
  const { id, leafHash, source, stream, seq, time, fields, token } = row.event
  const told = tellStep(sessionEvent(row), step!).map((part) => (typeof part === 'string' ? part : part.said))
  return jsonLine({
    ...{ step: number, id, leafHash: printHash(leafHash), source, stream, seq, recordedAt: printTime(time) },
    ...{ logIndex: row.logIndex, proof, role: step!.role, of, ending: step!.ending, state: step!.state },
    ...{ noOutcome: isOpen, hidden: row.hidden, sealed: row.sealed, told: told.join(''), fields, event: token },
  })
}

export const gapJson = (gap: Gap, { source, stream }: StreamPart): Text => jsonLine({ gap: { source, stream, ...gap } })
