import { type ErrorCode, KillickError, keepThread, type Thread, TOGETHER, threadBeside } from '@killick/sdk/core'
import { Refusal, type ServiceCode } from '../errors.ts'
import type { CheckedBatch } from '../ledger/packs/checked-batch.ts'
import type { EnforcedSource } from '../ledger/registry/catalogues.ts'
import { type Crossing, unpack } from './crossing.ts'
import type { Encoding } from './decode.ts'

/** What a checking thread needs to read keys for itself, and what is enforced as it starts. */
export type CheckerData = { databaseUrl: string; hasRole: boolean; enforced: readonly EnforcedSource[] }

/** Which sources are held to a catalogue from now on. */
export type Enforced = { enforced: readonly EnforcedSource[] }

/** What to check: a body as it was sent, the version of the registry that the ledger has met, and the service's clock in ms. */
export type Sent = { body: Uint8Array; encoding: Encoding; registry: number; now: number }

/**
 * The signatures that one thread verifies: every `of`-th, beginning with number `index`. Only the thread with index 0 builds the
 * batch.
 */
export type Portion = { index: number; of: number }

export type Question = Sent & { share: Portion }

/** Errors lose their class on the way between threads, so a refusal travels as its parts, and an outage as a refusal. */
export type Answer =
  | { batch: CheckedBatch | null }
  | { packed: Crossing }
  | { refusal: { name: string; code: string; message: string; details: Readonly<Record<string, unknown>> } }

export type Checkers = {
  /**
   * How many batches are worth handing in at once, small ones apart: so many that no thread waits for its next batch, and that
   * threads get small ones together.
   */
  readonly width: { readonly small: number; readonly large: number }
  /**
   * `decodeBody` and `checkBatch` on other threads; `body` may be empty afterwards. @throws as they do; Refusal `unavailable`
   * while the database is away
   */
  check(sent: Sent): Promise<CheckedBatch>
  /** From now on, batches of these sources are held to their catalogues, and those of no others. */
  enforce(sources: readonly EnforcedSource[]): void
  /** How many threads have loaded their modules. */
  ready(): number
  /** Answers the open questions, then ends the threads. */
  close(): Promise<void>
}

/**
 * A compressed body of at least this length is checked by several threads if some are idle: each reads it and verifies its share.
 */
const SHARED_BYTES = 32_768
const MAX_HELPERS = 3

/** Bytes of a body, as sent, up to which a batch costs its way between threads more than its check. */
const SMALL_BYTES = 4096
export const isSmall = (body: Uint8Array): boolean => body.length <= SMALL_BYTES

const ALONE: Portion = { index: 0, of: 1 }

const ENTRY = threadBeside(import.meta.url, 'checker')

/** Pause before a thread that broke is started again, ms; one that is the only one is started at once. */
const RESTART_MS = 1_000

type Checker = Thread<Enforced, Question, Answer>

/**
 * Threads that check batches. Checking is nearly all of the service's work; on threads it leaves the event loop free for requests
 * and commits. The first starts with the first batch, since most of what starts a service takes less than it does; the others when a
 * batch comes that they could share, or while another is checked.
 */
export function startCheckers(
  { databaseUrl, hasRole }: Pick<CheckerData, 'databaseUrl' | 'hasRole'>,
  count: number,
): Checkers {
  // What a thread is given when it starts, or starts again.
  const data: CheckerData = { databaseUrl, hasRole, enforced: [] }
  const start = (): Checker => keepThread(ENTRY, { data, restartMs: RESTART_MS, youngMiB: 64 })
  const threads: Checker[] = []

  /** Hands a question to a thread. The body's memory moves to it, unless others are to have it too. */
  async function ask(thread: Checker, sent: Sent, share: Portion): Promise<CheckedBatch | null> {
    return batchOf(await thread.ask({ ...sent, share }, share.index === 0 ? ownBuffer(sent.body) : []))
  }

  /** Which thread gets the next small bodies of this turn of the event loop: together they wake it once. */
  let taker: Checker | null = null
  /** How many of them it still gets. */
  let left = 0

  function forSmall(able: readonly Checker[]): Checker {
    if (taker === null || left === 0 || !able.includes(taker)) {
      if (taker === null)
        setImmediate(() => {
          taker = null
        })
      taker = able.reduce((a, b) => (b.unanswered < a.unanswered ? b : a))
      left = TOGETHER
    }
    left--
    return taker
  }

  let isWorthSharing = false

  const readyThreads = () => threads.filter(({ isReady }) => isReady)

  return {
    width: { small: 64 * count, large: 2 * count },
    enforce(enforced) {
      data.enforced = enforced
      for (const thread of threads) thread.tell({ enforced })
    },
    ready: () => readyThreads().length,
    async check(sent) {
      if (threads.length === 0) threads.push(start())
      const isForMore = sent.body.length >= SHARED_BYTES || threads.every(({ unanswered }) => unanswered > 0)
      if (isForMore) while (threads.length < count) threads.push(start())
      const ready = readyThreads()
      const able = ready.length > 0 ? ready : threads
      if (isSmall(sent.body)) {
        // A copy: its buffer may be a part of a pool, all of which would cross.
        return batchOf(await forSmall(able).askSmall({ ...sent, body: new Uint8Array(sent.body), share: ALONE }))!
      }
      const [first, ...others] = able.toSorted((a, b) => a.unanswered - b.unanswered)
      const idle = others.filter(({ unanswered }) => unanswered === 0)
      const helpers = isWorthSharing && sent.body.length >= SHARED_BYTES ? idle.slice(0, MAX_HELPERS) : []
      const of = helpers.length + 1
      // The thread that gets the body itself is asked last.
      const shares = helpers.map((helper, i) => ask(helper, sent, { index: i + 1, of }))
      const answers = await Promise.allSettled([ask(first!, sent, { index: 0, of }), ...shares])
      const failure = firstFailure(answers)
      if (failure !== null) throw failure
      const { value: batch } = answers[0] as PromiseFulfilledResult<CheckedBatch>
      isWorthSharing = batch.judged?.unsignedLine === null
      return batch
    },
    async close() {
      await Promise.all(threads.map((thread) => thread.end()))
    },
  }
}

function batchOf(answer: Answer): CheckedBatch | null {
  if ('refusal' in answer) throw toError(answer.refusal)
  return 'packed' in answer ? unpack(answer.packed) : answer.batch
}

/** The first fault, if there is one: each thread knows only its own signatures. */
function firstFailure(answers: readonly PromiseSettledResult<unknown>[]): Error | null {
  const lineOf = (error: Error) => (error instanceof KillickError ? Number(error.details.line ?? 0) : 0)
  const failures = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason as Error] : []))
  return failures.toSorted((a, b) => lineOf(a) - lineOf(b))[0] ?? null
}

/** The memory of a body moves to the thread, unless it is part of a pool that others use too. */
function ownBuffer({ buffer, byteLength }: Uint8Array): ArrayBuffer[] {
  return buffer instanceof ArrayBuffer && buffer.byteLength === byteLength ? [buffer] : []
}

function toError({ name, code, message, details }: Extract<Answer, { refusal: unknown }>['refusal']): Error {
  return name === 'Refusal'
    ? new Refusal(code as ServiceCode, message, details)
    : new KillickError(code as ErrorCode, message, details)
}
