import { createPostgresBackend, createRedisBackend, withBackend } from 'bullmq'
import { Redis } from 'ioredis'

/**
 * A doorbell for a target. A ring carries nothing: whoever answers reads the ledger. Rings that come while one waits are
 * one; a ring that comes while one is being answered is answered once more after it. Losing the queue loses rings, and
 * nothing else.
 */
export type Bell = {
  /** @throws where the queue cannot be reached within two seconds */
  ring(): Promise<void>
  /** Sets up the ring at every interval; again is harmless, and needed after the queue has lost its memory. */
  schedule(): Promise<void>
  status(): { backend: 'redis' | 'postgresql'; isUp: boolean; detail: string | null }
  close(): Promise<void>
}

export type BellOptions = {
  /** Null: PostgreSQL rings. */
  redisUrl: string | null
  /** The owner's URL: BullMQ makes its tables in schema `killick_queue`. */
  databaseUrl: string
  /** Of the target. */
  name: string
  intervalMs: number
}

const RING_MS = 2_000
const SCHEMA = 'killick_queue'

/**
 * A job id must not be given: BullMQ silently ignores an id that it has seen. Deduplication with `keepLastIfActive` ends
 * with the job, so it can hide a ring only behind one that has not yet begun to be answered.
 */
const KEEP_NOTHING = { removeOnComplete: true, removeOnFail: true }
const RING = { deduplication: { id: 'ring', keepLastIfActive: true }, ...KEEP_NOTHING }

/** @param answer called for a ring; it must not throw */
export async function openBell(options: BellOptions, answer: () => Promise<void>): Promise<Bell> {
  const name = `killick-anchor-${options.name}`
  const { queue, worker, backend, end } =
    options.redisUrl === null ? onPostgres(options.databaseUrl, name, answer) : onRedis(options.redisUrl, name, answer)
  let trouble: string | null = null
  const down = (error: Error) => {
    trouble = error.message
  }
  queue.on('error', down)
  worker.on('error', down)
  worker.on('ready', () => {
    trouble = null
  })

  const withinTime = async (work: Promise<unknown>): Promise<void> => {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${backend} does not answer`)), RING_MS)
    })
    try {
      await Promise.race([work, late])
      trouble = null
    } catch (error) {
      work.catch(() => {})
      down(error as Error)
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  return {
    ring: () => withinTime(queue.add('ring', null, RING)),
    schedule: () =>
      withinTime(
        queue.upsertJobScheduler('interval', { every: options.intervalMs }, { name: 'ring', opts: KEEP_NOTHING }),
      ),
    status: () => ({ backend, isUp: trouble === null, detail: trouble }),
    async close() {
      await withinTime(Promise.all([worker.close(), queue.close()])).catch(() => {})
      await end()
    },
  }
}

/** What is used of BullMQ's classes, whose types differ from back end to back end. */
type Parts = {
  backend: 'redis' | 'postgresql'
  queue: {
    add(name: string, data: null, options: typeof RING): Promise<unknown>
    upsertJobScheduler(
      id: string,
      repeat: { every: number },
      template: { name: string; opts: typeof KEEP_NOTHING },
    ): Promise<unknown>
    on(event: 'error', listener: (error: Error) => void): unknown
    close(): Promise<void>
  }
  worker: {
    on(event: 'error' | 'ready', listener: (error: Error) => void): unknown
    close(force?: boolean): Promise<void>
  }
  end(): Promise<void>
}

function onPostgres(databaseUrl: string, name: string, answer: () => Promise<void>): Parts {
  const { Queue, Worker } = withBackend(createPostgresBackend)
  const connection = { connectionString: databaseUrl, schema: SCHEMA, migrate: true, max: 2 }
  const worker = new Worker(name, answer, { connection, ...WORKER })
  return { backend: 'postgresql', queue: new Queue(name, { connection }), worker, end: async () => {} }
}

function onRedis(url: string, name: string, answer: () => Promise<void>): Parts {
  const { Queue, Worker } = withBackend(createRedisBackend)
  const retryStrategy = (times: number) => Math.min(times * 200, 2_000)
  // The bell must fail fast when it is rung; the worker waits for as long as it takes.
  const ringing = new Redis(url, { maxRetriesPerRequest: 1, enableOfflineQueue: false, retryStrategy })
  const waiting = new Redis(url, { maxRetriesPerRequest: null, retryStrategy })
  for (const client of [ringing, waiting]) client.on('error', () => {})
  return {
    backend: 'redis',
    queue: new Queue(name, { connection: ringing, skipWaitingForReady: true }),
    worker: new Worker(name, answer, { connection: waiting, ...WORKER }),
    async end() {
      ringing.disconnect()
      waiting.disconnect()
    },
  }
}

/** A worker that dies while it answers is replaced within seconds. */
const WORKER = {
  concurrency: 1,
  lockDuration: 10_000,
  stalledInterval: 5_000,
  maxStalledCount: 1_000_000,
  drainDelay: 5,
}
