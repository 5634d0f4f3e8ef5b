import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { isOutage } from '../database/outage.ts'
import { Refusal } from '../errors.ts'
import {
  type Accepted,
  type CommitContext,
  type CommitResult,
  commitGroup,
  type Known,
  type Submission,
} from './commit.ts'
import type { HeadMemory } from './head-memory.ts'
import { freeRows } from './packs/packer.ts'

/** Bounds of the queue and of one transaction. */
export type SequencerLimits = {
  /** Submissions that may wait. Default 1,024. */
  queued: number
  /** Bytes of events that may wait. Default 128 MiB. */
  queuedBytes: number
  /** Events in one transaction, beyond its first submission. Default 20,000. */
  groupEvents: number
  /** While more are about to come, a transaction of fewer events than this … Default 1,000. */
  gatherEvents: number
  /** … begins no sooner after the one before it began, ms. Default 20. */
  gatherMs: number
}

export const SEQUENCER_LIMITS: SequencerLimits = {
  queued: 1024,
  queuedBytes: 128 * 1024 * 1024,
  groupEvents: 20_000,
  gatherEvents: 1000,
  gatherMs: 20,
}

export type SequencerContext = CommitContext & { memory: HeadMemory }

export type SequencerHooks = {
  /** Are more submissions about to come than can be made ready at a time? Default: no. */
  isPressed?: () => boolean
  /** After each transaction: how long it took, in seconds, and what became of its submissions. */
  committed?: (seconds: number, outcomes: readonly CommitResult[]) => void
  /** After each transaction: so many events the log has now. */
  grown?: (events: number) => void
}

type Waiting = {
  submission: Submission
  events: number
  bytes: number
  resolve: (accepted: Accepted) => void
  reject: (error: unknown) => void
}

export type Sequencer = {
  /** Resolves once the submission is durable; rejects with a Refusal, or what a `write` threw. */
  submit(submission: Submission): Promise<Accepted>
  /** How many submissions wait for their transaction to begin. */
  depth(): number
  /** Refuses new submissions and waits for those it has. */
  close(): Promise<void>
}

/**
 * Feeds the commit point: one transaction at a time, and whatever arrives meanwhile shares the next one. So the cost of
 * a commit (a lock, an fsync, a signature) is paid once per group, and the group grows with the load.
 */
export function startSequencer(
  pool: pg.Pool,
  context: SequencerContext,
  limits: SequencerLimits = SEQUENCER_LIMITS,
  hooks: SequencerHooks = {},
): Sequencer {
  const queue: Waiting[] = []
  let queuedBytes = 0
  let queuedEvents = 0
  let began = Number.NEGATIVE_INFINITY
  let isClosed = false
  let running: Promise<void> | null = null
  let known: Known | null = null
  const answering = new Set<Promise<void>>()

  async function drain(): Promise<void> {
    // Let everything that arrives in this turn of the event loop into the first group.
    await new Promise(setImmediate)
    while (queue.length > 0) {
      await gather()
      await commitAll(takeGroup())
    }
    running = null
  }

  /** A transaction costs much the same however little it holds: where there is more to do than can be done, it waits for more. */
  async function gather(): Promise<void> {
    const wait = began + limits.gatherMs - performance.now()
    if (wait > 0 && queuedEvents < limits.gatherEvents && hooks.isPressed?.()) await sleep(wait)
    began = performance.now()
  }

  function takeGroup(): Waiting[] {
    let size = 0
    let events = 0
    while (size < queue.length && (size === 0 || events + queue[size]!.events <= limits.groupEvents)) {
      events += queue[size]!.events
      size++
      // What stands behind a registration is judged by it, and so belongs to the next transaction.
      if (isRegistration(queue[size - 1]!.submission)) break
    }
    const group = queue.splice(0, size)
    queuedBytes -= group.reduce((total, waiting) => total + waiting.bytes, 0)
    queuedEvents -= events
    return group
  }

  async function commitAll(group: readonly Waiting[]): Promise<void> {
    const start = performance.now()
    try {
      const from = known
      // Until the commit is known to be durable, nothing is known.
      known = null
      const { outcomes, known: next } = await inTransaction(pool, group, context, from)
      known = next
      hooks.committed?.((performance.now() - start) / 1000, outcomes)
      if (known !== null) hooks.grown?.(known.nextNumber)
      // The next transaction need not wait for what these answers wait for.
      const answered = answer(group, outcomes, known).finally(() => answering.delete(answered))
      answering.add(answered)
      for (const { submission } of group) if ('batch' in submission) freeRows(submission.batch)
    } catch (error) {
      if (group.length > 1 && !isOutage(error) && !(error instanceof Refusal)) {
        // One submission that the database cannot take must not take the others down.
        for (const waiting of group) await commitAll([waiting])
      } else {
        const reason = isOutage(error) ? new Refusal('unavailable', undefined, { cause: String(error) }) : error
        for (const waiting of group) waiting.reject(reason)
      }
    }
  }

  /** A receipt is given once its head would be known after a crash of this process, whatever the database then says. */
  async function answer(
    group: readonly Waiting[],
    outcomes: readonly CommitResult[],
    known: Known | null,
  ): Promise<void> {
    const failure = await (known === null ? null : context.memory.remember(known.head).catch((error) => error as Error))
    for (const [i, outcome] of outcomes.entries()) {
      if ('refusal' in outcome) group[i]!.reject(outcome.refusal)
      else if (failure) group[i]!.reject(failure)
      else group[i]!.resolve(outcome)
    }
  }

  return {
    submit(submission) {
      const { events, bytes } = weigh(submission)
      const isFull = queue.length >= limits.queued || (queue.length > 0 && queuedBytes + bytes > limits.queuedBytes)
      if (isClosed || isFull) return Promise.reject(new Refusal('overloaded'))
      return new Promise((resolve, reject) => {
        queue.push({ submission, events, bytes, resolve, reject })
        queuedBytes += bytes
        queuedEvents += events
        running ??= drain()
      })
    },
    depth: () => queue.length,
    async close() {
      isClosed = true
      await running
      await Promise.all(answering)
    },
  }
}

const isRegistration = (submission: Submission) => 'event' in submission && typeof submission.event === 'function'

function weigh(submission: Submission): { events: number; bytes: number } {
  if ('event' in submission) return { events: 1, bytes: 1024 }
  const { header, rows, keyRows } = submission.batch
  return { events: header.n, bytes: rows.bytes.length + keyRows.bytes.length }
}

async function inTransaction(pool: pg.Pool, group: readonly Waiting[], context: CommitContext, known: Known | null) {
  const client = await pool.connect()
  let failure: Error | undefined
  try {
    return await commitGroup(
      client,
      group.map((waiting) => waiting.submission),
      context,
      known,
    )
  } catch (error) {
    failure = error as Error
    await client.query('rollback').then(
      () => {
        failure = undefined
      },
      () => {},
    )
    throw error
  } finally {
    // A connection that could not even roll back is thrown away.
    client.release(failure)
  }
}
