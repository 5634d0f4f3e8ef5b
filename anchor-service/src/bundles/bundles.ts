import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Registry } from 'prom-client'
import type { Doorbell } from '../anchor/queue.ts'
import { Refusal } from '../errors.ts'
import { openFolder } from './folder.ts'
import { type BundleJob, keyOf, NOTHING_YET, type RequestedBundle } from './job.ts'
import { openMaker } from './maker.ts'
import { makeBundleMetrics } from './metrics.ts'
import type { BundleSettings } from './settings.ts'

export type BundlesDeps = {
  settings: BundleSettings
  dataFolder: string
  redisUrl: string | null
  databaseUrl: string
  /** A reader's. */
  token: string
  /** Where others find the service; null: where it listens. */
  publicUrl: string | null
  /** The newest log entry by which something of events is gone: what was begun before it may hold that. Null: there is none. */
  lastGone: () => Promise<number | null>
  registry: Registry
}

export type Bundles = Awaited<ReturnType<typeof openBundles>>

/** Bundles that may wait at a time, and that may be kept in all. */
const MAX_WAITING = 8
const MAX_KEPT = 500
/** How often one is begun: a process may be killed while it is made, but not again and again because of it. */
const MAX_ATTEMPTS = 3
/** Less room than this is none. */
const LEAST_BYTES = 64 << 10
/** How often to see what is too old, and whether the queue has lost a ring. ms */
const LOOK_EVERY_MS = 15_000
const DAY_MS = 86_400_000

/**
 * Makes bundles, one at a time, into the data folder. State files there hold the truth: with Redis a BullMQ queue says that something
 * waits, without it this process tells itself, and nothing is lost with a queue or a killed process.
 */
export async function openBundles(deps: BundlesDeps) {
  const { settings, redisUrl, databaseUrl, token } = deps
  const folder = await openFolder(join(deps.dataFolder, 'bundles'))
  const jobs = new Map((await folder.load()).map((job) => [job.id, job]))
  const metrics = makeBundleMetrics(deps.registry, () => [...jobs.values()])
  const maker = openMaker()
  const stop = new AbortController()
  let url: string | null = null
  let log: FastifyBaseLogger | undefined
  let bell: Promise<Doorbell> | null = null
  let working: Promise<void> = Promise.resolve()
  let isWorking = false
  let current: { id: string; cancel: AbortController; ended: Promise<void> } | null = null
  /** Ends what is still being read of a bundle once it is removed, by its id: who takes long would be told later what was erased meanwhile. */
  const removed = new Map<string, AbortController>()
  /** Requests are taken one after the other, so that two that ask for the same meet. */
  let taking: Promise<unknown> = Promise.resolve()

  const inState = (state: BundleJob['state']) => [...jobs.values()].filter((job) => job.state === state)
  const room = () => settings.maxBytes - [...jobs.values()].reduce((sum, job) => sum + job.bytes, 0)

  async function save(job: BundleJob): Promise<void> {
    await folder.save(job)
    jobs.set(job.id, job)
  }

  async function forget(id: string): Promise<void> {
    jobs.delete(id)
    removed.get(id)?.abort()
    removed.delete(id)
    await folder.remove(id)
  }

  async function fail(job: BundleJob, code: string, detail: string): Promise<void> {
    metrics.ended('failed')
    log?.warn({ bundle: job.id, code, detail }, 'a bundle could not be made')
    const { startedAt } = job
    const failed = {
      ...job,
      ...NOTHING_YET,
      startedAt,
      state: 'failed',
      finishedAt: now(),
      error: { code, detail },
    } as const
    // Whether it can be kept or not: it is not begun again in this process.
    jobs.set(job.id, failed)
    await folder.save(failed)
  }

  async function makeOne(waiting: BundleJob): Promise<void> {
    const { id, conditions, attempts } = waiting
    const cancel = new AbortController()
    const { promise: ended, resolve: end } = Promise.withResolvers<void>()
    current = { id, cancel, ended }
    let job: BundleJob = { ...waiting, ...NOTHING_YET, state: 'running', startedAt: now(), attempts: attempts + 1 }
    try {
      job = { ...job, gone: await deps.lastGone() }
      const maxBytes = room()
      await save(job)
      const own = url!
      const making = { url: own, token, publicUrl: deps.publicUrl ?? own, conditions, file: folder.file(id), maxBytes }
      const signal = AbortSignal.any([stop.signal, cancel.signal])
      const result = await maker.make(making, (progress) => jobs.set(id, { ...job, ...progress }), signal)
      if ('refused' in result) return await fail(job, result.refused.code, result.refused.detail)
      const { entries, events, bytes, sha256, scope } = result.made
      await save({ ...job, state: 'done', finishedAt: now(), entries, events, bytes, of: entries, sha256, scope })
      metrics.ended('done')
    } catch (error) {
      if (cancel.signal.aborted) await forget(id)
      else if (stop.signal.aborted) await save(waiting)
      else if (error instanceof Refusal) await fail(job, error.code, error.message)
      else {
        log?.error({ err: error, bundle: id }, 'a bundle could not be made')
        await fail(job, 'internal', 'The service is at fault; its log says more.')
      }
    } finally {
      current = null
      end()
    }
  }

  /** Makes what waits, oldest first. Called while it works, it goes on with that. */
  function work(): Promise<void> {
    if (!isWorking) {
      isWorking = true
      working = workOff()
    }
    return working
  }

  async function workOff(): Promise<void> {
    try {
      for (;;) {
        const [next] = inState('waiting')
        if (next === undefined || url === null || stop.signal.aborted) return
        await makeOne(next)
      }
    } catch (error) {
      log?.error({ err: error }, 'the folder of bundles cannot be written')
    } finally {
      isWorking = false
    }
  }

  async function ring(): Promise<void> {
    if (redisUrl === null) return void work()
    try {
      bell ??= openBell(redisUrl)
      await (await bell).ring()
    } catch (error) {
      log?.warn({ err: error }, 'the queue cannot be reached; the bundle is made without it')
      void work()
    }
  }

  async function openBell(redis: string): Promise<Doorbell> {
    // Loaded when it is needed: most services never make a bundle.
    const { openDoorbell } = await import('../anchor/queue.ts')
    const name = `killick-bundles-${await folder.queueName()}`
    return openDoorbell({ redisUrl: redis, databaseUrl, name, intervalMs: LOOK_EVERY_MS }, work)
  }

  async function removeOld(): Promise<void> {
    const oldest = Date.now() - settings.keepDays * DAY_MS
    const lastGone = (await deps.lastGone()) ?? -1
    const isPast = ({ startedAt, finishedAt, gone }: BundleJob) => {
      if (startedAt === null || finishedAt === null) return false
      // By the log, since clocks may be set. A log that went back has less than the bundle knew, and what it erases next may be in it.
      return Date.parse(finishedAt) <= oldest || lastGone !== (gone ?? -1)
    }
    for (const job of jobs.values()) {
      if (isPast(job)) await forget(job.id)
    }
    await folder.removeLeft(isPast)
  }

  async function look(): Promise<void> {
    while (!stop.signal.aborted) {
      await removeOld().catch((error) => log?.warn({ err: error }, 'old bundles could not be removed'))
      // Also what a queue was to be told of, and has lost.
      void work()
      await sleep(LOOK_EVERY_MS, undefined, { signal: stop.signal }).catch(() => {})
    }
  }
  let looking: Promise<void> = Promise.resolve()

  /**
   * What a process that was killed had begun is begun again, some times. Its file says so already: nothing is written, for a full disk must
   * not keep the service from starting.
   */
  for (const job of inState('running'))
    if (job.attempts < MAX_ATTEMPTS) jobs.set(job.id, { ...job, ...NOTHING_YET, state: 'waiting' })
    else {
      const why = `The service ended ${job.attempts} times while it made this bundle.`
      await fail(job, 'bundle_interrupted', why).catch(() => {})
    }

  async function takeNext(
    conditions: RequestedBundle,
    by: string,
    isAgain: boolean,
    record: (id: string) => Promise<unknown>,
  ): Promise<{ job: BundleJob; isNew: boolean }> {
    const key = keyOf(conditions)
    const same = [...jobs.values()].findLast((job) => job.state !== 'failed' && keyOf(job.conditions) === key)
    if (same !== undefined && !isAgain && (await isThere(same))) return { job: same, isNew: false }
    if (inState('waiting').length >= MAX_WAITING) throw new Refusal('bundles_waiting')
    if (jobs.size >= MAX_KEPT || room() < LEAST_BYTES) throw new Refusal('bundles_full')
    const id = randomUUID()
    await record(id)
    const job: BundleJob = { id, state: 'waiting', conditions, by, askedAt: now(), attempts: 0, ...NOTHING_YET }
    await save(job)
    await ring()
    return { job, isNew: true }
  }

  return {
    /** Newest first. */
    list: (): BundleJob[] => [...jobs.values()].reverse(),
    /** @throws Refusal bundle_not_found */
    find,
    /** Where its file is, and what ends the reading of it. @throws Refusal bundle_not_found | bundle_not_ready */
    async file(id: string): Promise<{ job: BundleJob; path: string; removed: AbortSignal }> {
      const job = find(id)
      if (job.state !== 'done') throw new Refusal('bundle_not_ready', undefined, { state: job.state })
      if (!(await isThere(job)) || !jobs.has(id)) throw new Refusal('bundle_not_found')
      const end = removed.get(id) ?? new AbortController()
      removed.set(id, end)
      return { job, path: folder.file(id), removed: end.signal }
    },
    /** When it is removed; null: it is not made yet. */
    removedAt: ({ finishedAt }: BundleJob): string | null =>
      finishedAt === null ? null : new Date(Date.parse(finishedAt) + settings.keepDays * DAY_MS).toISOString(),
    /**
     * Takes a request. One that asks for the same as another, which waits, runs or is done, is that one, unless `isAgain`.
     * @param record called before a new one is kept
     * @throws Refusal bundles_waiting | bundles_full
     */
    take(
      conditions: RequestedBundle,
      by: string,
      isAgain: boolean,
      record: (id: string) => Promise<unknown>,
    ): Promise<{ job: BundleJob; isNew: boolean }> {
      const taken = taking.then(() => takeNext(conditions, by, isAgain, record))
      taking = taken.catch(() => {})
      return taken
    },
    /** Gives up one that waits or runs, and removes the file of one that is done. @throws Refusal bundle_not_found */
    async remove(id: string): Promise<void> {
      find(id)
      if (current?.id === id) {
        const { cancel, ended } = current
        cancel.abort()
        await ended
      }
      await forget(id)
    },
    /** Removes what is too old, and what was made before fields were erased; else that is done every few seconds. */
    removeOld,
    /** From now on bundles are made. @param at where the service listens */
    begin(at: string, logger: FastifyBaseLogger): void {
      url = at
      log = logger
      looking = look()
    },
    /** What runs is begun again at the next start. */
    async close(): Promise<void> {
      stop.abort()
      await looking
      await working
      await maker.close()
      await (await bell?.catch(() => null))?.close()
      folder.close()
    },
  }

  /** Whether a bundle is still to be had. One whose file somebody has removed, or cut off, is forgotten. */
  async function isThere(job: BundleJob): Promise<boolean> {
    if (job.state !== 'done' || (await folder.hasFile(job))) return true
    await forget(job.id)
    return false
  }

  function find(id: string): BundleJob {
    const job = jobs.get(id)
    if (job === undefined) throw new Refusal('bundle_not_found')
    return job
  }
}

const now = () => new Date().toISOString()
