// What was played so far: its hash, which outcome belongs to which step, and what the replay comes to in the end.
import { createHash } from 'node:crypto'
import { EXIT } from '../command.ts'
import { count, jsonLine, lines, own, paint, type Text, text } from '../terminal.ts'
import { type Backing, trustLines } from '../trust-words.ts'
import type { Between } from './between.ts'
import type { Numbered } from './print.ts'
import type { StepProof } from './proofs.ts'
import type { SessionRow } from './rows.ts'
import { type Scan, type StreamPart, stepOf } from './scan.ts'

/** Steps without an outcome that are named one by one at the end; of more there is a count. */
const MAX_NAMED = 20
/** Different grounds that verdicts of one session rest on, at most; a ledger has few. */
const MAX_GROUNDS = 8

export class Played {
  readonly isVerifying: boolean
  /** Steps told so far. */
  steps = 0
  readonly #session: string
  readonly #parts: readonly StreamPart[]
  readonly #scan: Scan
  readonly #hash = createHash('sha256')
  /** Steps whose outcome is still to come, by what names them. */
  readonly #open = new Map<string, number>()
  readonly #tally = { verified: 0, undecided: 0, failed: 0, altered: 0, anchored: 0, accepted: 0, hidden: 0 }
  readonly #places = { others: 0, unnamed: 0, dropped: 0, unseen: 0, gaps: 0 }
  readonly #withoutOutcome: number[] = []
  #lacking = 0
  readonly #grounds = new Map<string, { backing: readonly Backing[]; steps: number }>()
  /** What verdicts lack that stayed undecided. */
  readonly #missing = new Set<string>()

  constructor(session: string, parts: readonly StreamPart[], scan: Scan, isVerifying: boolean) {
    this.#session = session
    this.#parts = parts
    this.#scan = scan
    this.isVerifying = isVerifying
  }

  between({ gaps, others, unnamed, unseen }: Between): void {
    for (const { why, from, to } of gaps) {
      if (why === 'dropped') this.#places.dropped += to - from + 1
      else this.#places.gaps += 1
    }
    this.#places.others += others
    this.#places.unnamed += unnamed
    this.#places.unseen += unseen
  }

  /** Counts a step as played. */
  take(row: SessionRow, proof: StepProof, part: StreamPart): Numbered {
    const number = ++this.steps
    this.#count(row, proof)
    if (row.event === null) return { number, row, proof, step: null, of: [], isOpen: false, after: null }
    // Each event's bytes and a line feed: what `jq -r .event` prints of the lines of JSON.
    this.#hash.update(row.event.token).update('\n')
    const step = stepOf(row)
    const { opens, closes } = step
    const of = closes.flatMap((each) => this.#open.get(each) ?? [])
    for (const each of closes) this.#open.delete(each)
    const isOpen = opens !== null && !this.#scan.hasOutcome(step)
    if (opens !== null && !isOpen) this.#open.set(opens, number)
    if (isOpen) {
      this.#lacking += 1
      if (this.#withoutOutcome.length < MAX_NAMED) this.#withoutOutcome.push(number)
    }
    const after = part.from === null ? null : row.event.time - part.from
    return { number, row, proof, step, of, isOpen, after }
  }

  #count(row: SessionRow, { outcome, level, why, backing }: StepProof): void {
    if (row.event === null) {
      this.#tally.altered += 1
      return
    }
    this.#tally[outcome ?? (level === 'anchored' ? 'anchored' : 'accepted')] += 1
    if (row.hidden + row.sealed > 0) this.#tally.hidden += 1
    if (outcome === 'undecided') for (const each of why) if (this.#missing.size < MAX_NAMED) this.#missing.add(each)
    if (backing === null) return
    const key = JSON.stringify(backing)
    const ground = this.#grounds.get(key)
    if (ground) ground.steps += 1
    else if (this.#grounds.size < MAX_GROUNDS) this.#grounds.set(key, { backing, steps: 1 })
  }

  /** 1: something does not hold. 3: it was to be verified, and something stayed undecided, such as whose events lie between. */
  get exit(): number {
    const { failed, altered, undecided } = this.#tally
    if (failed + altered + this.#places.gaps + this.#scan.unplaced > 0) return EXIT.failed
    const { unnamed, dropped } = this.#places
    return undecided + unnamed + dropped > 0 ? EXIT.undecided : EXIT.ok
  }

  /** Lower-case hex. To be called once, at the end. */
  #digest(): string {
    return this.#hash.digest('hex')
  }

  json(isStopped: boolean): Text {
    const { verified, undecided, failed, altered, anchored, accepted, hidden } = this.#tally
    const { unplaced, hasBegun, hasEnded } = this.#scan
    return jsonLine({
      session: this.#session,
      streams: this.#parts.map(({ source, stream, first, last, steps }) => ({ source, stream, first, last, steps })),
      ...{ played: this.steps, isWhole: !isStopped, hasBegun, hasEnded },
      withoutOutcome: { steps: this.#withoutOutcome, count: this.#lacking },
      proofs: this.isVerifying ? { verified, undecided, failed } : { anchored, accepted },
      ...{ altered, unplaced, hidden, places: this.#places, sha256: this.#digest() },
    })
  }

  report(isStopped: boolean): Text {
    const { altered, hidden } = this.#tally
    const { unplaced, hasBegun, hasEnded } = this.#scan
    const total = this.#parts.reduce((sum, { steps }) => sum + steps, 0)
    const worry = (words: string) => paint('yellow', words)
    return lines([
      '',
      isStopped
        ? worry(`Stopped after ${count(this.steps, 'step')} of ${total.toLocaleString('en')}.`)
        : `${count(this.steps, 'step')} played.`,
      ...(hasBegun ? [] : [worry('Nothing of it says how the session began.')]),
      ...(hasEnded
        ? []
        : [
            worry(
              'Nothing of it says that the session has ended: it goes on, its end is not accepted yet, or is not found any more.',
            ),
          ]),
      ...(this.#lacking === 0 ? [] : [worry(this.#lackingWords())]),
      ...(hidden === 0 ? [] : [worry(`Of ${count(hidden, 'step')} not every field is shown.`)]),
      ...(altered + unplaced === 0
        ? []
        : [paint('red', `${count(altered + unplaced, 'event')} of the ledger cannot be read any more.`)]),
      ...this.#proofWords(),
      ...this.#placeWords(),
      '',
      text`SHA-256 of what was played: ${paint('bold', this.#digest())}`,
    ])
  }

  #lackingWords(): string {
    const more = this.#lacking - this.#withoutOutcome.length
    const named = `${this.#withoutOutcome.join(', ')}${more > 0 ? ` and ${more.toLocaleString('en')} more` : ''}`
    return `No outcome is found of ${this.#lacking === 1 ? 'step' : 'steps'} ${named}. What was dropped, or no longer shows what it belongs to, never is.`
  }

  #proofWords(): (Text | string)[] {
    const { verified, undecided, failed, anchored, accepted } = this.#tally
    if (verified + undecided + failed + anchored + accepted === 0) return []
    if (!this.isVerifying) {
      const said = [anchored > 0 && `${anchored} anchored`, accepted > 0 && `${accepted} accepted and not anchored yet`]
      return [`Proofs: ${said.filter(Boolean).join(', ')}, on the service’s word; --verify checks each.`]
    }
    const sums = [
      verified > 0 && `${verified} verified`,
      undecided > 0 && `${undecided} undecided`,
      failed > 0 && `${failed} failed`,
    ]
    const colour = failed > 0 ? 'red' : undecided > 0 ? 'yellow' : 'green'
    return [
      ...[...this.#grounds.values()].flatMap(({ backing, steps }) => [
        ...(this.#grounds.size > 1 ? [text`${count(steps, 'step')}:`] : []),
        trustLines(backing),
      ]),
      text`Proofs: ${paint(['bold', colour], sums.filter(Boolean).join(', '))}.`,
      ...(this.#missing.size === 0 ? [] : [own('Missing for "verified":')]),
      ...[...this.#missing].map((each) => text`  · ${each}`),
    ]
  }

  #placeWords(): (Text | string)[] {
    const { others, unnamed, dropped, unseen, gaps } = this.#places
    if (this.steps < 2) return []
    if (gaps > 0)
      return [paint('red', `The stream has ${count(gaps, 'gap')}; each is told in front of the step behind it.`)]
    const untold = [
      ...(unnamed > 0
        ? [
            `Between them ${count(unnamed, 'event')} of the stream ${unnamed === 1 ? 'does' : 'do'} not show whose ${unnamed === 1 ? 'it is' : 'they are'}.`,
          ]
        : []),
      ...(dropped > 0
        ? [
            `Between them ${count(dropped, 'event')} of the stream ${dropped === 1 ? 'was' : 'were'} dropped by a retention policy, on the service’s word; killick audit tells whether that is so.`,
          ]
        : []),
    ].map((words) => paint('yellow', words))
    if (unseen > 0)
      return [
        `Between them ${unseen === 1 ? 'lies' : 'lie'} ${count(unseen, 'place')} of the stream that ${unseen === 1 ? 'was' : 'were'} not looked at; --verify looks whether each is there, and whose.`,
      ]
    // Of an altered event nobody knows the hash.
    if (this.#tally.altered + dropped > 0) return untold
    const between = others === 0 ? '' : `, ${count(others, 'place')} of them with events of others`
    return this.isVerifying
      ? [
          ...untold,
          `From the first step to the last no place of the stream is missing${between}, and each names the hash of the one before it.`,
        ]
      : ['Between them no place of the stream is missing, and each names the hash of the one before it.']
  }
}
