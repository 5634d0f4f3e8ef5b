// Real queues on a real Redis: what a caller's context becomes in the worker.
import { FlowProducer, type Job, Queue, QueueEvents, Worker } from 'bullmq'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CONTEXT_MEMBER, carryContext, restoreContext } from '../../../sdk/src/bullmq/index.ts'
import { type AuditContext, auditContext } from '../../../sdk/src/kit/index.ts'
import { type Redis, redisAvailable, startRedis } from '../../support/redis.ts'

const caller: AuditContext = {
  actor: { type: 'user', id: 'ada' },
  tenant: 't-1',
  requestId: 'r-1',
  more: { region: 'eu' },
}
const NAME = 'mails'

describe.skipIf(!redisAvailable())('jobs', () => {
  let redis: Redis
  let events: QueueEvents
  let plain: Queue
  let carrying: Queue
  let worker: Worker
  /** What each job saw when it ran, by its name. */
  const seen = new Map<string, unknown[]>()

  beforeAll(async () => {
    redis = await startRedis()
    const connection = { port: redis.port, host: '127.0.0.1', maxRetriesPerRequest: null }
    events = new QueueEvents(NAME, { connection })
    plain = new Queue(NAME, { connection })
    carrying = carryContext(new Queue(NAME, { connection }))
    const processor = async (job: Job) => {
      seen.set(job.name, [...(seen.get(job.name) ?? []), auditContext.get()])
      await new Promise((resolve) => setImmediate(resolve))
      if (job.name === 'twice' && job.attemptsMade === 0) throw new Error('again')
      return auditContext.get()?.actor?.id ?? null
    }
    // Whoever starts the worker is not the one on whose behalf its jobs run.
    worker = auditContext.run(
      { actor: { type: 'user', id: 'operator' }, ip: '10.9.9.9' },
      () =>
        new Worker(
          NAME,
          restoreContext(async (job) => processor(job)),
          { connection },
        ),
    )
    await Promise.all([events.waitUntilReady(), worker.waitUntilReady()])
  })
  afterAll(async () => {
    await Promise.all([worker.close(), events.close(), plain.close(), carrying.close()])
    await redis.stop()
  })
  const ended = (job: Job) => job.waitUntilFinished(events)

  test('run in the context of whoever added them, at each attempt, and know which job they are', async () => {
    const jobs = await auditContext.run(caller, () =>
      Promise.all([
        carrying.add('once', { to: 'bob' }),
        carrying.add('twice', { to: 'bob' }, { attempts: 2 }),
        carrying.add('empty', undefined),
      ]),
    )
    expect(await Promise.all(jobs.map(ended))).toEqual(['ada', 'ada', 'ada'])
    const about = (name: string, attempt = 1) => {
      const { id } = jobs.find((job) => job.name === name)!
      return { ...caller, more: { region: 'eu', job: { queue: NAME, name, id, attempt } } }
    }
    expect(seen.get('once')).toEqual([about('once')])
    expect(seen.get('twice')).toEqual([about('twice', 1), about('twice', 2)])
    expect(jobs[0]!.data).toEqual({ to: 'bob', [CONTEXT_MEMBER]: { v: 1, ...caller } })
  })

  test('added many at once, or as a flow, carry it each', async () => {
    const flows = carryContext(new FlowProducer({ connection: { port: redis.port, host: '127.0.0.1' } }))
    const [bulk, flow] = await auditContext.run(caller, () =>
      Promise.all([
        carrying.addBulk([
          { name: 'bulk', data: { n: 1 } },
          { name: 'bulk', data: { n: 2 } },
        ]),
        flows.add({ name: 'parent', queueName: NAME, children: [{ name: 'child', queueName: NAME, data: { n: 3 } }] }),
      ]),
    )
    expect(await Promise.all([...bulk.map(ended), ended(flow.job)])).toEqual(['ada', 'ada', 'ada'])
    expect(seen.get('child')).toEqual([expect.objectContaining({ actor: caller.actor })])
    await flows.close()
  })

  test('without a context are not added, and fail where they come from elsewhere', async () => {
    await expect(carrying.add('lost', {})).rejects.toThrow(expect.objectContaining({ code: 'context_missing' }))
    await expect(carrying.addBulk([{ name: 'lost', data: {} }])).rejects.toThrow(
      expect.objectContaining({ code: 'context_missing' }),
    )
    await expect(ended(await plain.add('foreign', {}))).rejects.toThrow('carries no audit context')
    await expect(ended(await plain.add('forged', { [CONTEXT_MEMBER]: { v: 1, actor: 'root' } }))).rejects.toThrow(
      '/actor',
    )
    expect([seen.get('lost'), seen.get('foreign'), seen.get('forged')]).toEqual([undefined, undefined, undefined])
  })

  test('of a scheduler run in the context of whoever set it up, again and again', async () => {
    const connection = { port: redis.port, host: '127.0.0.1', maxRetriesPerRequest: null }
    const queue = carryContext(new Queue('nightly', { connection }))
    const runs: unknown[] = []
    const process = restoreContext(async (job: Job) => void runs.push([job.name, job.data.n, auditContext.get()]), {
      onMissingContext: 'allow',
      fallback: { actor: { type: 'service', id: 'scheduler' } },
    })
    const nightly = new Worker('nightly', process, { connection })
    const every = { every: 50, limit: 3 }
    const job = { queue: 'nightly', name: 'clean', id: expect.any(String), attempt: 1, scheduler: 'clean' }
    try {
      await auditContext.run(caller, () => queue.upsertJobScheduler('clean', every, { data: { n: 1 } }))
      await expect.poll(() => runs.length).toBe(3)
      expect(runs).toEqual(Array(3).fill(['clean', 1, { ...caller, more: { region: 'eu', job } }]))
      // Without a context it is set up too, and then runs on nobody's behalf.
      await queue.upsertJobScheduler('own', { ...every, limit: 1 }, { name: 'report', data: { n: 2 } })
      await expect.poll(() => runs.length).toBe(4)
      expect(runs[3]).toMatchObject(['report', 2, { actor: { id: 'scheduler' }, more: { job: { scheduler: 'own' } } }])
      const odd = () => queue.upsertJobScheduler('odd', every, { data: 'text' })
      await expect(auditContext.run(caller, odd)).rejects.toThrow(expect.objectContaining({ code: 'job_invalid' }))
      expect(await queue.getJobScheduler('odd')).toBeUndefined()
    } finally {
      await Promise.all([nightly.close(), queue.close()])
    }
  })

  test('whose data cannot hold a context are not added', async () => {
    await auditContext.run(caller, async () => {
      for (const data of ['text', 7, null, ['a']])
        await expect(carrying.add('odd', data)).rejects.toThrow(expect.objectContaining({ code: 'job_invalid' }))
    })
    expect(seen.get('odd')).toBeUndefined()
  })

  test('by option go without a context, and run in one that stands for it', async () => {
    const connection = { port: redis.port, host: '127.0.0.1', maxRetriesPerRequest: null }
    const queue = carryContext(new Queue('free', { connection }), { onMissingContext: 'allow' })
    const fallback = { actor: { type: 'service', id: 'scheduler' } }
    const process = restoreContext(async () => auditContext.get()?.actor?.id, { onMissingContext: 'allow', fallback })
    const free = new Worker('free', process, { connection })
    const freeEvents = new QueueEvents('free', { connection })
    await freeEvents.waitUntilReady()
    const own = await queue.add('n', { a: 1 })
    const theirs = await auditContext.run(caller, () => queue.add('n', { a: 1 }))
    expect(own.data).toEqual({ a: 1 })
    expect(await Promise.all([own, theirs].map((job) => job.waitUntilFinished(freeEvents)))).toEqual([
      'scheduler',
      'ada',
    ])
    await Promise.all([free.close(), freeEvents.close(), queue.close()])
  })
})

test('a fallback that is no context is refused when the worker is made', () => {
  expect(() => restoreContext(async () => {}, { fallback: { actor: 7 } as never })).toThrow(
    expect.objectContaining({ code: 'context_invalid' }),
  )
})
