// Holds back what a handler answers on node:http until the event of its request is durable, by public methods of the response alone.
import { type ServerResponse, STATUS_CODES, validateHeaderName, validateHeaderValue } from 'node:http'
import { warnOnce } from '../kit/index.ts'
import { isKept, UNRECORDED } from './unrecorded.ts'

type Call = { make: () => void; callback: ((error?: Error | null) => void) | undefined }

// Of node:http: a head that was written cannot be changed.
const LOCKED = ['setHeader', 'setHeaders', 'appendHeader', 'removeHeader'] as const

/**
 * Calls `answered` with the status as soon as the handler begins to answer, and lets nothing of the answer out until the promise
 * that it returns has resolved. If that rejects, the client gets `UNRECORDED` instead. Meanwhile the response looks as if the answer
 * were on its way: its head is locked, and writers are told to wait for `drain`. Informational answers (1xx) pass.
 * @param answered null: this answer need not wait
 */
export function hold(response: ServerResponse, answered: (status: number) => Promise<unknown> | null): void {
  new Hold(response, answered).begin()
}

class Hold {
  readonly #response: ServerResponse
  readonly #answered: (status: number) => Promise<unknown> | null
  readonly #real: Pick<ServerResponse, 'writeHead' | 'write' | 'end' | 'flushHeaders'>
  #state: 'open' | 'held' | 'released' | 'withheld' = 'open'
  readonly #calls: Call[] = []
  /** What the response had of its own in the place of what is locked. */
  readonly #locked: [string, PropertyDescriptor | undefined][] = []
  #hasEnded = false
  #mustDrain = false

  constructor(response: ServerResponse, answered: (status: number) => Promise<unknown> | null) {
    this.#response = response
    this.#answered = answered
    const { writeHead, write, end, flushHeaders } = response
    this.#real = { writeHead, write, end, flushHeaders }
  }

  begin(): void {
    const response = this.#response
    const real = this.#real
    response.writeHead = ((...args: Parameters<ServerResponse['writeHead']>) => {
      const make = () => real.writeHead.apply(response, args)
      if (this.#state === 'withheld') return response
      if (this.#state === 'held') throw headersSent('write')
      if (this.#state === 'open' && isWritable(args)) {
        // For whoever looks at it before the head is written.
        if (this.#holds(args[0])) response.statusCode = args[0]
        return this.#do(make, undefined, response)
      }
      return make()
    }) as ServerResponse['writeHead']
    response.write = ((...args: Parameters<ServerResponse['write']>) => {
      const make = () => real.write.apply(response, args)
      if (!isChunk(args[0]) || !this.#holds(response.statusCode)) return make()
      this.#mustDrain = true
      return this.#do(make, callbackOf(args), this.#state === 'withheld')
    }) as ServerResponse['write']
    response.end = ((...args: Parameters<ServerResponse['end']>) => {
      const make = () => real.end.apply(response, args)
      const [chunk] = args as unknown[]
      const isEmpty = chunk === undefined || chunk === null || typeof chunk === 'function'
      if (!(isEmpty || isChunk(chunk)) || !this.#holds(response.statusCode)) return make()
      this.#hasEnded = true
      return this.#do(make, callbackOf(args), response)
    }) as ServerResponse['end']
    response.flushHeaders = () => {
      const make = () => real.flushHeaders.apply(response)
      return this.#holds(response.statusCode) ? this.#do(make, undefined, undefined) : make()
    }
  }

  /** Whether what is called now must wait; asks, at the first call. */
  #holds(status: number): boolean {
    // Node throws, and nothing is sent.
    if (!Number.isInteger(status) || status < 100 || status > 999) return false
    if (this.#state === 'open') {
      const durable = this.#answered(status)
      this.#state = durable === null ? 'released' : 'held'
      if (durable) {
        this.#lock()
        durable.then(
          () => this.#release(),
          () => this.#withhold(),
        )
      }
    }
    return this.#state !== 'released'
  }

  /** Puts a call off, or drops it. @returns `result`, at once */
  #do<T>(make: () => unknown, callback: Call['callback'], result: T): T {
    if (this.#state === 'released') make()
    else if (this.#state === 'held') this.#calls.push({ make, callback })
    else if (callback) process.nextTick(callback, withheld())
    return result
  }

  #lock(): void {
    const response = this.#response
    const lock = (name: string, descriptor: PropertyDescriptor) => {
      this.#locked.push([name, Object.getOwnPropertyDescriptor(response, name)])
      Object.defineProperty(response, name, { configurable: true, ...descriptor })
    }
    lock('headersSent', { get: () => true })
    lock('writableEnded', { get: () => this.#hasEnded })
    // Middleware that compresses calls it as long as Node has not made the head.
    if ('_implicitHeader' in response) lock('_implicitHeader', { value: () => {}, writable: true })
    const refuse = () => {
      throw headersSent('set')
    }
    for (const name of LOCKED) lock(name, { value: refuse, writable: true })
  }

  #unlock(): void {
    for (const [name, own] of this.#locked) {
      if (own) Object.defineProperty(this.#response, name, own)
      else Reflect.deleteProperty(this.#response, name)
    }
  }

  #release(): void {
    const response = this.#response
    this.#unlock()
    this.#state = 'released'
    try {
      for (const { make } of this.#calls) make()
    } catch (error) {
      // The handler, which would have been told, is long gone. No answer is better than half of one.
      warnOnce('answer_broken', `An answer that waited for its event could not be sent (said once): ${String(error)}`)
      response.destroy()
    }
    if (this.#mustDrain && !response.writableNeedDrain && !response.writableEnded) response.emit('drain')
  }

  #withhold(): void {
    const response = this.#response
    const { writeHead, end } = this.#real
    this.#unlock()
    this.#state = 'withheld'
    for (const { callback } of this.#calls) if (callback) process.nextTick(callback, withheld())
    for (const name of response.getHeaderNames()) if (!isKept(name)) response.removeHeader(name)
    const { status, type, body } = UNRECORDED
    const headers = { 'content-type': type, 'content-length': Buffer.byteLength(body), 'cache-control': 'no-store' }
    Reflect.apply(writeHead, response, [status, STATUS_CODES[status], headers])
    Reflect.apply(end, response, [body, 'utf8'])
    // Whoever still has something to write may do so, into nothing.
    if (this.#mustDrain) response.emit('drain')
  }
}

const isChunk = (chunk: unknown): boolean => typeof chunk === 'string' || chunk instanceof Uint8Array

const callbackOf = (args: readonly unknown[]): Call['callback'] =>
  args.find((arg) => typeof arg === 'function') as never

const headersSent = (what: string): Error =>
  Object.assign(new Error(`Cannot ${what} headers after they are sent to the client`), {
    code: 'ERR_HTTP_HEADERS_SENT',
  })

const withheld = (): Error =>
  Object.assign(new Error('The answer is withheld: its event was not recorded'), { code: 'unrecorded' })

/** Whether Node would take this head. What it would not take must be refused now, while the handler can be told. */
function isWritable(args: readonly unknown[]): boolean {
  const [status, reason] = args
  const headers = typeof reason === 'string' ? args[2] : (args[2] ?? reason)
  if (!Number.isInteger(status) || Number(status) < 100 || Number(status) > 999) return false
  if (typeof reason === 'string' && /[^\t\x20-\x7e\x80-\xff]/.test(reason)) return false
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers)) return true
  try {
    for (const [name, value] of Object.entries(headers)) {
      if (value === undefined) continue
      if (!name.startsWith(':')) validateHeaderName(name)
      for (const each of Array.isArray(value) ? value : [value]) validateHeaderValue(name, each)
    }
    return true
  } catch {
    return false
  }
}
