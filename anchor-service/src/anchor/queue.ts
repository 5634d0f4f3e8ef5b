import { createPostgresBackend, createRedisBackend, withBackend } from 'bullmq'
import { Redis } from 'ioredis'

/**
 * A doorbell. A ring carries nothing: the worker that answers reads the ledger. Rings that come while one waits
 * count as one; a ring that comes while another is answered is answered after it. Losing the queue loses only rings.
 */
export type Doorbell = {
  /** @throws if the queue cannot be reached within two seconds */
  ring(): Promise<void>
  /** Sets up the ring at every interval. Repeating it is harmless, and necessary after the queue has lost its memory. */
  schedule(): Promise<void>
  status(): { backend: 'redis' | 'postgresql'; isUp: boolean; detail: string | null }
  close(): Promise<void>
}

export type DoorbellOptions = {
  /** Null: PostgreSQL rings. */
  redisUrl: string | null
  /** The owner's URL: BullMQ makes its tables in schema `killick_queue`. */
  databaseUrl: string
  /** The queue's name: no colon in it. */
  name: string
  intervalMs: number
  /** Called when the queue goes down, with the reason, and with null when it is up again. */
  tell?: (trouble: string | null) => void
}

const PATIENCE_MS = 2_000
const SCHEMA = 'killick_queue'

/**
 * A job id must not be given: BullMQ silently ignores an id that it has seen. Deduplication with `keepLastIfActive` ends
 * with the job, so it can hide a ring only behind one that has not yet begun to be answered.
 */
const KEEP_NOTHING = { removeOnComplete: true, removeOnFail: true }
const RING = { deduplication: { id: 'ring', keepLastIfActive: true }, ...KEEP_NOTHING }

/** @param answer called for a ring; it must not throw */
export function openDoorbell(options: DoorbellOptions, answer: () => Promise<void>): Doorbell {
  const { name } = options
  const { queue, worker, backend, ready, isReady, end } =
    options.redisUrl === null ? onPostgres(options.databaseUrl, name, answer) : onRedis(options.redisUrl, name, answer)
  let trouble: string | null = null
  let isStarting = true
  let hasAnswered = false
  function note(next: string | null): void {
    const isNews = (next === null) !== (trouble === null)
    trouble = next
    hasAnswered ||= isReady()
    if (isNews) options.tell?.(next)
  }
  const down = (error: Error) => note(error.message)
  const up = () => note(null)
  queue.on('error', down)
  worker.on('error', down)
  // A connection says less than what the queue has answered since: one that is full takes connections too.
  worker.on('ready', () => {
    if (!hasAnswered) up()
  })

  const away = () => trouble ?? `${backend} cannot be reached`

  async function send(work: () => Promise<unknown>): Promise<void> {
    if (isStarting) await withinTime(ready, '').catch(() => {})
    isStarting = false
    if (!isReady()) note(away())
    else await withinTime(work(), `${backend} does not answer`).then(up, down)
    if (trouble !== null) throw new Error(trouble)
  }

  return {
    ring: () => send(() => queue.add('ring', null, RING)),
    schedule: () =>
      send(() =>
        queue.upsertJobScheduler('interval', { every: options.intervalMs }, { name: 'ring', opts: KEEP_NOTHING }),
      ),
    status: () => {
      const isUp = isReady() && trouble === null
      return { backend, isUp, detail: isUp ? null : away() }
    },
    async close() {
      await withinTime(Promise.all([worker.close(), queue.close()]), '').catch(() => {})
      await end()
    },
  }
}

async function withinTime(work: Promise<unknown>, late: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(late)), PATIENCE_MS)
  })
  work.catch(() => {})
  await Promise.race([work, timeout]).finally(() => clearTimeout(timer))
}

/** The part of BullMQ's classes that is used; their types differ between back ends. */
type Parts = {
  backend: 'redis' | 'postgresql'
  /** Resolves when the queue is reached for the first time. */
  ready: Promise<unknown>
  /** False while rings would only pile up. */
  isReady(): boolean
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
  return {
    backend: 'postgresql',
    ready: Promise.resolve(),
    isReady: () => true,
    queue: new Queue(name, { connection }),
    worker,
    end: async () => {},
  }
}

function onRedis(url: string, name: string, answer: () => Promise<void>): Parts {
  const { Queue, Worker } = withBackend(createRedisBackend)
  const retryStrategy = (times: number) => Math.min(times * 200, 2_000)
  const client = () => new Redis(url, { maxRetriesPerRequest: null, retryStrategy }).on('error', () => {})
  const [ringing, waiting] = [client(), client()]
  return {
    backend: 'redis',
    ready: new Promise((resolve) => ringing.once('ready', resolve)),
    isReady: () => ringing.status === 'ready',
    queue: new Queue(name, { connection: ringing }),
    worker: new Worker(name, answer, { connection: waiting, ...WORKER }),
    async end() {
      ringing.disconnect()
      waiting.disconnect()
    },
  }
}

/** So set, a worker that dies while it answers is replaced within seconds. */
const WORKER = {
  concurrency: 1,
  lockDuration: 10_000,
  stalledInterval: 5_000,
  maxStalledCount: 1_000_000,
  drainDelay: 5,
}
