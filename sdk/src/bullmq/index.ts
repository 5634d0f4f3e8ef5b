/**
 * `@killick/sdk/bullmq`: the audit context of whoever adds a job goes with it to the worker. For BullMQ.
 */
import { isObject } from '../core/json.ts'
import { knownOptions } from '../core/options.ts'
import { optionFault } from '../kit/errors.ts'
import { type AuditContext, auditContext, KitError, parseContext } from '../kit/index.ts'

/** The member of a job's data that carries the context. */
export const CONTEXT_MEMBER = '$audit'

/** Options of `carryContext`. */
export type CarryOptions = {
  /** Where there is no context for `add()` and `addBulk()` to carry: `throw` (default): nothing is added. `allow`: it is added without. */
  readonly onMissingContext?: 'throw' | 'allow' | undefined
}

/** Options of `restoreContext`. */
export type RestoreOptions = {
  /** For a job that carries no context: `throw` (default): it fails. `allow`: it runs in the `fallback`. */
  readonly onMissingContext?: 'throw' | 'allow' | undefined
  /** The context of jobs that carry none, such as those of a scheduler that nobody set up: `{ actor: { type: 'service', id: 'scheduler' } }`; default none. */
  readonly fallback?: AuditContext | undefined
}

type Job = { name?: unknown; data?: unknown; children?: readonly Job[] }
type WorkedOn = { queueName?: string; id?: string; attemptsMade?: number; repeatJobKey?: string }
type Method = (...args: unknown[]) => unknown

/**
 * Has a `Queue` or a `FlowProducer` put the context of the caller into the data of each job that it adds, as the member `$audit`.
 * Returns the same object. A scheduler's jobs carry the context in which `upsertJobScheduler()` was called last: it is part of the
 * template that BullMQ makes them of. One that is set up in no context, as when a program starts, makes jobs that carry none.
 * @throws KitError before anything is added: `context_missing` from `add()` and `addBulk()`; `job_invalid` from these and
 * `upsertJobScheduler()` if the data is no object, so that nothing can be put into it
 * @example
 * const queue = carryContext(new Queue('mails', { connection }))
 */
export function carryContext<Producer extends { add: unknown; addBulk: unknown }>(
  producer: Producer,
  options?: CarryOptions,
): Producer {
  const { onMissingContext = 'throw' } = knownOptions(options, { onMissingContext: true }, optionFault)
  const { add, addBulk, upsertJobScheduler } = producer as unknown as {
    add: Method
    addBulk: Method
    upsertJobScheduler?: Method
  }
  const contextFor = (name: unknown) => {
    const context = auditContext.serialize()
    if (context === null && onMissingContext === 'throw')
      throw new KitError(
        'context_missing',
        `The job ${name} would be added without an audit context: none has begun here`,
      )
    return context
  }
  const carrying = <T extends Job>(job: T): T => {
    const context = contextFor(job.name)
    if (context === null) return job
    const data = { ...membersOf(job), [CONTEXT_MEMBER]: context }
    return { ...job, data, ...(job.children && { children: job.children.map(carrying) }) }
  }
  // A flow producer has no schedulers.
  const scheduling = upsertJobScheduler && {
    upsertJobScheduler: async (id: unknown, repeat: unknown, template: Job = {}, ...rest: unknown[]) => {
      const made = auditContext.serialize() === null ? template : carrying({ name: id, ...template })
      return upsertJobScheduler.call(producer, id, repeat, made, ...rest)
    },
  }
  return Object.assign(producer, {
    ...scheduling,
    // A queue is given a name and data; a flow producer, a job with children.
    add: async (first: unknown, ...rest: unknown[]) =>
      typeof first === 'string'
        ? add.call(producer, first, carrying({ name: first, data: rest[0] }).data, ...rest.slice(1))
        : add.call(producer, carrying(first as Job), ...rest),
    addBulk: async (jobs: readonly Job[], ...rest: unknown[]) => addBulk.call(producer, jobs.map(carrying), ...rest),
  })
}

function membersOf({ name, data = {} }: Job): object {
  // As BullMQ would have written it.
  const written =
    isObject(data) && typeof (data.toJSON as unknown) === 'function'
      ? (data.toJSON as unknown as Method).call(data)
      : data
  if (!isObject(written))
    throw new KitError('job_invalid', `The data of the job ${name} must be an object to carry an audit context`)
  return written
}

/**
 * Makes a processor that runs in the context that its job carries, with `job: { queue, name, id, attempt }` beside it in the
 * event's `context`, and `scheduler`, its id, in that of a scheduler's job. Whoever runs the worker has no part in it.
 * @throws KitError from the processor, so that the job fails: `context_missing`, `context_invalid`
 * @example
 * new Worker('mails', restoreContext(async (job) => send(job.data)), { connection })
 */
export function restoreContext<
  // biome-ignore lint/suspicious/noExplicitAny: a function that is written in its place would have a job of any other type given here
  Processor extends (...args: any[]) => Promise<unknown>,
>(processor: Processor, options?: RestoreOptions): Processor {
  const { onMissingContext = 'throw', fallback = {} } = knownOptions(
    options,
    { onMissingContext: true, fallback: true },
    optionFault,
  )
  const standing = parseContext(fallback)
  return (async (...args: Parameters<Processor>) => {
    const job = args[0] as unknown as Job & WorkedOn
    const context = contextOf(job, onMissingContext) ?? standing
    const { queueName: queue, id, attemptsMade = 0, repeatJobKey: scheduler } = job
    const about = { queue, name: `${job.name}`, id, attempt: attemptsMade + 1, ...(scheduler && { scheduler }) }
    return auditContext.run({ ...context, more: { ...context.more, job: about } }, () => processor(...args), {
      inherit: false,
    })
  }) as Processor
}

function contextOf({ name, data }: Job, onMissing: 'throw' | 'allow'): AuditContext | null {
  const carried = isObject(data) && Object.hasOwn(data, CONTEXT_MEMBER) ? data[CONTEXT_MEMBER] : undefined
  if (carried !== undefined) return parseContext(carried)
  if (onMissing === 'allow') return null
  throw new KitError(
    'context_missing',
    `The job ${name} carries no audit context: its queue is not one of carryContext()`,
  )
}
