// A recorder on a thread of its own: what it does for an event takes longer than to pass a message on, and waits for the disk.
import { extname } from 'node:path'
import { setImmediate } from 'node:timers'
import { Worker } from 'node:worker_threads'
import { KillickError } from '@killick/sdk/core'
import { KitError, type RedactionRules } from '@killick/sdk/kit'
import { isDeep } from './disclosed.ts'
import type { EventFacts } from './event.ts'
import type { RecorderParts, RecorderStatus, SessionRecorder } from './recorder.ts'
import type { Durable, ToRecord } from './recording.ts'
import type { RecorderSettings } from './settings.ts'

/** What the thread is given. */
export type ThreadData = Pick<RecorderParts, 'kind' | 'fields'> & {
  readonly settings: Omit<RecorderSettings, 'redaction'> & { readonly redaction: RedactionRules }
}

/** What the thread is told: a list of `ToRecord` in JSON, or to say how it stands, or to close. */
export type ToThread = string | 'status' | 'close'

/** What the thread tells. Events are numbered in the order in which it was given them, from 0. */
export type FromThread =
  | { readonly what: 'opened' }
  | { readonly what: 'not_opened'; readonly error: PlainError }
  /** Numbers and ids of events that are durable, by turns. */
  | { readonly what: 'durable'; readonly events: readonly (number | string)[] }
  | { readonly what: 'failed'; readonly event: number; readonly error: PlainError }
  | { readonly what: 'status'; readonly status: RecorderStatus }
  | { readonly what: 'said'; readonly text: string }
  | { readonly what: 'closed'; readonly error: PlainError | null }

/** What an error has that must not be lost on the way between threads. */
export type PlainError = {
  readonly name: string
  readonly message: string
  readonly code: string | null
  readonly details: Readonly<Record<string, unknown>>
  readonly stack: string
}

/** How many events may wait in memory, as with a recorder on the same thread: the thread may be waiting for a disk that does not answer. */
const MAX_WAITING = 10_000

/** How many events go over at once, at most. While the thread makes them, this one goes on: were all sent at the end of its turn, one would wait for the other. */
const MOST_GATHERED = 16

/** The file of the thread, as source or compiled. */
const ENTRY = new URL(`./recorder-thread${extname(import.meta.url)}`, import.meta.url)

/**
 * Opens a recorder on a thread of its own. Events are recorded in the order of the calls.
 * @throws as `openRecorder`
 */
export async function openRecorderThread({ kind, settings, fields, say }: RecorderParts): Promise<SessionRecorder> {
  const data: ThreadData = { kind, fields: [...fields], settings: plainSettings(settings) }
  // Flags of the process are not for its threads.
  const worker = new Worker(ENTRY, { workerData: data, execArgv: [] })
  const thread = new RecorderThread(worker, say)
  await thread.opened
  return thread
}

class RecorderThread implements SessionRecorder {
  readonly opened: Promise<void>
  readonly #worker: Worker
  readonly #say: (text: string) => void
  readonly #opening = Promise.withResolvers<void>()
  readonly #closing = Promise.withResolvers<void>()
  /** By their numbers. */
  readonly #waiting = new Map<number, PromiseWithResolvers<Durable>>()
  #statuses: ((status: RecorderStatus) => void)[] = []
  #next = 0
  /** What is recorded in this turn of the event loop, as JSON, and not sent yet: to wake a thread costs more than an event. */
  #gathered: string[] = []
  #isOpen = false
  #isClosing = false
  #failure: Error | null = null

  constructor(worker: Worker, say: (text: string) => void) {
    this.#worker = worker
    this.#say = say
    this.opened = this.#opening.promise
    this.#closing.promise.catch(() => {})
    worker.on('message', (message: FromThread) => this.#hear(message))
    worker.on('error', (error) => this.#fail(hasEnded(`: ${(error as Error).message}`)))
    worker.on('exit', () => this.#fail(hasEnded()))
  }

  record(it: ToRecord): Promise<Durable> {
    if (this.#failure !== null) return Promise.reject(this.#failure)
    if (this.#waiting.size >= MAX_WAITING)
      return Promise.reject(new KillickError('spool_full', `${MAX_WAITING} events are waiting for the disk already`))
    // Before it gets a number: what cannot be printed has none.
    const text = printed(it)
    const asked = Promise.withResolvers<Durable>()
    this.#waiting.set(this.#next, asked)
    this.#next += 1
    const gathered = this.#gathered.push(text)
    if (gathered === MOST_GATHERED) this.#flush()
    else if (gathered === 1) setImmediate(() => this.#flush())
    return asked.promise
  }

  status(): Promise<RecorderStatus> {
    if (this.#failure !== null) return Promise.resolve(statusAfter(this.#failure))
    return new Promise((resolve) => {
      if (this.#statuses.push(resolve) === 1) this.#post('status')
    })
  }

  close(): Promise<void> {
    this.#isClosing = true
    if (this.#failure === null) {
      this.#flush()
      this.#post('close')
    }
    return this.#closing.promise
  }

  #post(message: ToThread): void {
    this.#worker.postMessage(message)
  }

  #flush(): void {
    const gathered = this.#gathered
    if (gathered.length === 0) return
    this.#gathered = []
    this.#post(`[${gathered.join(',')}]`)
  }

  #hear(message: FromThread): void {
    switch (message.what) {
      case 'durable':
        for (let i = 0; i < message.events.length; i += 2)
          this.#settle(message.events[i] as number)?.resolve({ id: message.events[i + 1] as string })
        break
      case 'failed':
        this.#settle(message.event)?.reject(errorOf(message.error))
        break
      case 'status':
        for (const resolve of this.#statuses.splice(0)) resolve(message.status)
        break
      case 'said':
        this.#say(message.text)
        break
      case 'opened':
        this.#isOpen = true
        this.#opening.resolve()
        break
      case 'not_opened':
        this.#opening.reject(errorOf(message.error))
        break
      case 'closed':
        if (message.error === null) this.#closing.resolve()
        else this.#closing.reject(errorOf(message.error))
    }
  }

  #settle(event: number): PromiseWithResolvers<Durable> | undefined {
    const asked = this.#waiting.get(event)
    this.#waiting.delete(event)
    return asked
  }

  /** From now on nothing can be recorded. */
  #fail(failure: Error): void {
    if (this.#failure !== null) return
    this.#failure = failure
    if (this.#isOpen && !this.#isClosing) this.#say(`nothing can be recorded any more: ${failure.message}`)
    this.#opening.reject(failure)
    this.#closing.reject(failure)
    for (const { reject } of this.#waiting.values()) reject(failure)
    this.#waiting.clear()
    for (const resolve of this.#statuses.splice(0)) resolve(statusAfter(failure))
  }
}

/** Nothing is begun anew by itself: what the thread has left on disk is looked through by the next start only. */
const hasEnded = (why = ''): KillickError =>
  new KillickError('log_closed', `The thread that records has ended${why}; start the gateway again`)

const statusAfter = ({ message }: Error): RecorderStatus => ({
  ...{ state: 'closed', pending: 0, spoolBytes: 0, retries: 0, lastError: message },
})

function plainSettings(settings: RecorderSettings): ThreadData['settings'] {
  const { url, source, key, spool, state, logKey, mode, actor, context, redaction, sealed } = settings
  const { discloseBytes, spoolBytes, spoolWaitMs, drainMs } = settings.limits
  const limits = { discloseBytes, spoolBytes, spoolWaitMs, drainMs }
  return { url, source, key, spool, state, logKey, mode, actor, context, redaction: redaction.rules, sealed, limits }
}

function printed(it: ToRecord): string {
  try {
    return JSON.stringify(it)
  } catch (error) {
    // Nested deeper than the stack is. No event could show it.
    if (!(error instanceof RangeError)) throw error
    return JSON.stringify({ ...it, facts: withoutDeep(it.facts) })
  }
}

const TOO_DEEP = { why: 'form' }

function withoutDeep({ fields = {}, told, ...facts }: EventFacts): EventFacts {
  const deep = Object.keys(fields).filter((name) => fields[name] !== undefined && isDeep(fields[name]))
  return {
    ...facts,
    ...(told !== undefined && { told: isDeep(told) ? { omitted: TOO_DEEP } : told }),
    fields: Object.fromEntries(Object.entries(fields).filter(([name]) => !deep.includes(name))),
    omitted: Object.fromEntries(deep.map((name) => [name, TOO_DEEP])),
  }
}

/** An error as it goes between threads. */
export function plainError(error: unknown): PlainError {
  const { name, message, stack, code, details } = error as KillickError
  return {
    ...{ name, message, code: typeof code === 'string' ? code : null, stack: stack ?? message },
    details: JSON.parse(JSON.stringify(details ?? {})) as PlainError['details'],
  }
}

function errorOf({ name, message, code, details, stack }: PlainError): Error {
  if (name === 'KillickError') return new KillickError(code as KillickError['code'], message, details)
  if (name === 'KitError') return new KitError(code as KitError['code'], message, details)
  return Object.assign(new Error(message), { name, stack, ...(code !== null && { code }) })
}
