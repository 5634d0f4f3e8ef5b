import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { isOutage } from '../database/outage.ts'
import { Refusal } from '../errors.ts'
import { type Accepted, type CommitResult, commitGroup, type Known } from './commit.ts'
import type { HeadMemory } from './head-memory.ts'
import { freeRows } from './packs/packer.ts'
import { streamKey } from './registry/streams.ts'
import type { CommitContext, Submission } from './submissions.ts'

/** Bounds of the queue and of one transaction. */
export type SequencerLimits = {
  /** How many submissions may wait. Default 2,048. */
  queued: number
  /** How many bytes of events may wait. Default 128 MiB. */
  queuedBytes: number
  /** Most events in one transaction, beyond its first submission. Default 20,000. */
  groupEvents: number
  /** While more submissions are about to come, a transaction with fewer events than this waits for them. Default 1,000. */
  gatherEvents: number
  /** The longest time from the beginning of the last transaction to that of such a small one, ms. Default 20. */
  gatherMs: number
}

export const SEQUENCER_LIMITS: SequencerLimits = {
  queued: 2048,
  queuedBytes: 128 * 1024 * 1024,
  groupEvents: 20_000,
  gatherEvents: 1000,
  gatherMs: 20,
}

export type SequencerContext = CommitContext & { memory: HeadMemory }

export type SequencerHooks = {
  /** Whether more submissions are about to come. Default: no. */
  isPressed?: () => boolean
  /** Called after each transaction: how long it took, in seconds, and the results of its submissions. */
  committed?: (seconds: number, outcomes: readonly CommitResult[]) => void
  /** Called after each transaction with the number of events in the log. */
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
 * Feeds the commit point: one transaction at a time. Submissions that arrive meanwhile share the next one, so the cost of a
 * commit (a lock, an fsync, a signature) is paid once per group, and the group grows with the load.
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
    // The first group takes everything that arrives in this turn of the event loop.
    await new Promise(setImmediate)
    while (queue.length > 0) {
      await gather()
      await commitAll(takeGroup())
    }
    running = null
  }

  /** A small transaction costs almost as much as a large one, so it waits for submissions that are about to come. */
  async function gather(): Promise<void> {
    const until = began + limits.gatherMs
    while (performance.now() < until && queuedEvents < limits.gatherEvents && hooks.isPressed?.()) await sleep(1)
    began = performance.now()
  }

  function takeGroup(): Waiting[] {
    let size = 0
    let events = 0
    const places = keepPlaces()
    while (size < queue.length && (size === 0 || events + queue[size]!.events <= limits.groupEvents)) {
      // Evidence against a source refers to a stored batch, so what may contradict one of this transaction belongs to the next.
      if (!places.take(queue[size]!.submission)) break
      events += queue[size]!.events
      size++
      // Submissions after a registration are judged by it, so they belong to the next transaction.
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
      // Nothing is known until the commit is known to be durable.
      known = null
      const { outcomes, known: next } = await inTransaction(pool, group, context, from)
      known = next
      hooks.committed?.((performance.now() - start) / 1000, outcomes)
      if (known !== null) hooks.grown?.(known.nextNumber)
      // The next transaction does not wait for these answers.
      const answered = answer(group, outcomes, known).finally(() => answering.delete(answered))
      answering.add(answered)
      for (const { submission } of group) if ('batch' in submission) freeRows(submission.batch)
    } catch (error) {
      if (group.length > 1 && !isOutage(error) && !(error instanceof Refusal)) {
        // One submission that the database cannot store must not fail the others.
        for (const waiting of group) await commitAll([waiting])
      } else {
        const reason = isOutage(error) ? new Refusal('unavailable', undefined, { cause: String(error) }) : error
        for (const waiting of group) waiting.reject(reason)
      }
    }
  }

  /** Gives a receipt only once its head would be known after a crash of this process, whatever the database then says. */
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

/** Which places of which streams the batches of a transaction claim. */
function keepPlaces() {
  const ends = new Map<string, number>()
  const headers = new Set<string>()
  return {
    /** @returns false if another batch has claimed a place of this one */
    take(submission: Submission): boolean {
      if ('event' in submission) return true
      const { header } = submission.batch
      const stream = streamKey(header)
      const end = ends.get(stream) ?? 0
      if (header.seq < end && !headers.has(header.text)) return false
      ends.set(stream, Math.max(end, header.seq + header.n))
      headers.add(header.text)
      return true
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
    // A connection that could not even roll back is discarded.
    client.release(failure)
  }
}
