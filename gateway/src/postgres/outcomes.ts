// How what was asked for has ended, as events. Successes of a session share an event, failures have one each.
import type { JsonObject, JsonValue } from '@killick/sdk/core'
import { type SessionRecording, untilNext } from '../sessions/recording.ts'
import type { PostgresFacts } from './events.ts'
import { ObservedReads } from './observed-reads.ts'
import { shownEffects } from './sql-text.ts'
import type { Result, Work } from './work.ts'

/** Successes that share an event, and how long the first of them waits for others, ms. */
const MAX_SHARED = 64
const SHARED_MS = 250
/** Results of one text that are listed; of the others there is the number. */
const MAX_RESULTS = 20

export class Outcomes {
  readonly #recording: SessionRecording<PostgresFacts>
  readonly #observed: ObservedReads
  #shared: Work[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(recording: SessionRecording<PostgresFacts>) {
    this.#recording = recording
    this.#observed = new ObservedReads(recording)
  }

  /** Records how these have ended, soon. */
  take(works: readonly Work[]): void {
    for (const work of works) {
      if (!isPlain(work)) this.#single(work, work.state)
      else if (work.observed === null) this.#share(work)
      else this.#observed.take(work, shownOf(work))
    }
  }

  /** Records that nobody has seen how these have ended, or that they were not sent. */
  unanswered(works: readonly Work[], why: string): void {
    for (const work of works) {
      if (work.state === 'asked' || work.state === 'unknown') this.#single(work, 'unknown', why)
      else this.#single(work, work.state)
    }
  }

  /** Records at once what waits. */
  flush(): void {
    this.#observed.flush()
    clearTimeout(this.#timer)
    this.#timer = undefined
    const works = this.#shared.splice(0)
    if (works.length === 0) return
    if (works.length === 1) {
      this.#single(works[0]!, 'answered')
      return
    }
    this.#recording.endAll(
      works.map(({ begun }) => begun),
      (intents) => ({
        action: `${works[0]!.action}.result`,
        who: works[0]!.who,
        outcome: 'success',
        known: {
          kind: 'outcome',
          state: 'answered',
          outcomes: works.map((work, i): JsonObject => ({ intent: intents[i]!, ...shownOf(work) })),
        },
      }),
    )
  }

  #share(work: Work): void {
    if (this.#shared.length > 0 && this.#shared[0]!.who !== work.who) this.flush()
    this.#shared.push(work)
    if (this.#shared.length >= MAX_SHARED) this.flush()
    else this.#timer ??= setTimeout(() => this.flush(), untilNext(SHARED_MS))
  }

  #single(work: Work, state: Work['state'], why?: string): void {
    const { action, statement, who, error, observed, copies } = work
    // It has not ended as it should, so it has events of its own after all.
    if (observed !== null) work.begun = this.#recording.begin(observed.intent()).catch(() => null)
    const isKnown = state === 'answered' || state === 'suspended'
    const facts: PostgresFacts = {
      action: `${action}.result`,
      who,
      targets: statement === null ? [] : shownEffects(statement.effects).tables,
      ...(isKnown && { outcome: error === null ? 'success' : 'failure' }),
      ...(error !== null && { error: { message: error.message, severity: error.severity } }),
      known: {
        ...{ kind: 'outcome', state },
        ...(why !== undefined && { why }),
        ...(error !== null && { sqlstate: error.sqlstate }),
        ...shownOf(work),
      },
      // What a COPY carries is given to its statement, or taken from it, as parameters are.
      ...(copies.length > 0 && { hashed: { parameters: 'copy' } }),
    }
    this.#recording.end(work.begun, facts)
  }
}

/** Whether its outcome may stand beside those of others. */
function isPlain({ state, error, copies, results, action }: Work): boolean {
  return state === 'answered' && error === null && copies.length === 0 && results.length <= 1 && action === 'statement'
}

function shownOf({ sent, ended, results, copies, moreCopies, transaction, error }: Work): JsonObject {
  // What fails behind a COMMIT, in one text, is part of another transaction than what was complete.
  const isOne = results.length === 1 && (error === null || results[0]!.transaction === transaction)
  const one = isOne ? results[0]! : null
  const shown: JsonObject = {}
  if (ended > 0) shown.ms = Math.round((ended - sent) * 1_000) / 1_000
  if (one !== null) {
    if (one.tag !== null) shown.tag = one.tag
    if (one.rows !== null) shown.rows = one.rows
    shown.transaction = transactionShown(one.transaction)
  } else if (results.length > 0) {
    shown.results = results.slice(0, MAX_RESULTS).map(resultShown)
    if (results.length > MAX_RESULTS) shown.count = results.length
  }
  // Of a failure too: what it was part of.
  if (transaction !== null && one === null) shown.transaction = transactionShown(transaction)
  if (copies.length === 1) shown.copy = copies[0]!.shown()
  else if (copies.length > 1) shown.copy = copies.map((each) => each.shown())
  if (moreCopies.count > 0) shown.moreCopies = { ...moreCopies }
  return shown
}

const resultShown = ({ tag, rows, transaction }: Result): JsonObject => ({
  ...(tag !== null && { tag }),
  ...(rows !== null && { rows }),
  transaction: transactionShown(transaction),
})

const transactionShown = ({ id, state }: Result['transaction']): JsonValue => ({ id, state })
