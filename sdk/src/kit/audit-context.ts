// The context of what runs now travels with promises and timers by itself (AsyncLocalStorage); callbacks and emitters that others
// call are bound.
import { AsyncLocalStorage } from 'node:async_hooks'
import { types } from 'node:util'
import { knownOptions, type OptionNames } from '../core/options.ts'
import { type AuditContext, mergeContexts, parseContext, type SerializedContext } from './context.ts'
import { KitError, optionFault } from './errors.ts'
import { once } from './once.ts'
import { warnOnce } from './warn.ts'

/** Options of `auditContext.run` and `begin`. */
export type ScopeOptions = {
  /**
   * Whether the context around it goes on inside; default true. False where what begins has nothing to do with what is around:
   * a request or a job is not on behalf of whoever started the server.
   */
  readonly inherit?: boolean | undefined
  /** The platform's own `waitUntil`: each promise that is given to the scope's goes there too. */
  readonly waitUntil?: ((promise: Promise<unknown>) => void) | undefined
}

const SCOPE_OPTIONS: OptionNames<ScopeOptions> = { inherit: true, waitUntil: true }

/**
 * One lifetime of a context, such as a request or a job. It has ended when `end()` was called and each promise given to
 * `waitUntil` has settled. What is recorded after that is recorded with the context all the same, but says so (`context.contextEnded`),
 * is counted (`auditContext.counts.late`), and warned of the first time.
 */
export type ContextScope = {
  /** The context as it is now. */
  readonly context: AuditContext
  readonly hasEnded: boolean
  /** Calls `fn` in this scope, with all that it starts, and returns what `fn` returns. The scope goes on. */
  run<T>(fn: () => T): T
  /**
   * Adds to the context, for what is recorded in this scope from now on; members that are given win. Scopes that were begun inside
   * before keep what they had.
   * @throws KitError `context_invalid`
   */
  set(context: AuditContext): void
  /** Keeps the scope from ending until the promise has settled, and returns the promise. A rejection is warned of, the first time. */
  waitUntil<T>(promise: Promise<T>): Promise<T>
  /** Ends the scope as soon as nothing keeps it. More calls than one do no harm. */
  end(): void
}

const storage = once('storage', () => new AsyncLocalStorage<ContextScope | undefined>())
const late = once('late', () => ({ count: 0 }))
const SCOPE = Symbol.for('killick.kit.scope')

class Scope implements ContextScope {
  context: AuditContext
  hasEnded = false
  /** What keeps the scope: its own life, and promises that it waits for. */
  #holds = 1
  #isOver = false
  readonly #waitUntil: ScopeOptions['waitUntil']

  constructor(context: AuditContext, waitUntil: ScopeOptions['waitUntil']) {
    this.context = context
    this.#waitUntil = waitUntil
  }

  run<T>(fn: () => T): T {
    return storage.run(this, fn)
  }

  set(context: AuditContext): void {
    const added = parseContext(context)
    noticeLate(this, 'set')
    this.context = mergeContexts(this.context, added)
  }

  waitUntil<T>(promise: Promise<T>): Promise<T> {
    this.#holds += 1
    promise.then(
      () => this.#release(),
      (error) => {
        this.#release()
        // To have looked at the promise keeps Node from speaking of its rejection; a platform that was given it does.
        if (!this.#waitUntil)
          warnOnce('wait_until_rejected', `A promise given to waitUntil() was rejected (said once): ${String(error)}`)
      },
    )
    this.#waitUntil?.(promise)
    return promise
  }

  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#release()
  }

  #release(): void {
    this.#holds -= 1
    if (this.#holds === 0) this.hasEnded = true
  }
}

/** Counts what comes after the end of its context, and warns the first time: elsewhere such data is lost without a word. */
export function noticeLate(scope: ContextScope | undefined, what: 'record' | 'set'): void {
  if (!scope?.hasEnded) return
  late.count += 1
  if (what === 'record')
    warnOnce(
      'record_after_end',
      'An event was recorded after its context had ended: the response or job was over. It is recorded; but a process that stops then may lose it (await record(), or hand the promise to auditContext.waitUntil()), and where a pool or a connection called back, the context is that of whoever opened it (await a promise, or auditContext.bind() the callback).',
    )
  else
    warnOnce(
      'set_after_end',
      'An audit context was added to after it had ended: what was recorded in it before does not have the addition.',
    )
}

/** Whoever does not handle a rejection hears of it from Node, so the promise goes on through here. */
async function endingWith<T>(promise: Promise<T>, scope: ContextScope): Promise<T> {
  try {
    return await promise
  } finally {
    scope.end()
  }
}

/** The context of what runs now. There is one in a process, however many copies of the module are loaded. */
export const auditContext = {
  /**
   * Calls `fn` in a scope of its own: the context around it, with `context` over it. The scope ends when `fn` has returned, or
   * when the promise that it returns has settled. Returns what `fn` returns (of a promise, another that settles alike), and throws
   * what it throws.
   * @throws KitError `context_invalid`, `option_invalid`, before `fn` is called
   * @example
   * auditContext.run({ actor: { type: 'user', id: 'ada' }, requestId: 'r-1' }, () => refund(invoice))
   */
  run<T>(context: AuditContext, fn: () => T, options?: ScopeOptions): T {
    const scope = auditContext.begin(context, options)
    let result: T
    try {
      result = scope.run(fn)
    } catch (error) {
      scope.end()
      throw error
    }
    // Only promises: to ask another thenable, such as a query, is to start it.
    if (types.isPromise(result)) return endingWith(result, scope) as T
    scope.end()
    return result
  },

  /**
   * Begins a scope that the caller ends: for frameworks, in which a request is more than one function.
   * @throws KitError `context_invalid`, `option_invalid`
   */
  begin(context: AuditContext, options?: ScopeOptions): ContextScope {
    const { inherit, waitUntil } = knownOptions(options, SCOPE_OPTIONS, optionFault)
    const around = inherit === false ? undefined : storage.getStore()?.context
    return new Scope(mergeContexts(around, parseContext(context)), waitUntil)
  },

  /** The context here and now; undefined outside of any scope. */
  get(): AuditContext | undefined {
    return storage.getStore()?.context
  },

  /** The scope here and now; undefined outside of any. */
  scope(): ContextScope | undefined {
    return storage.getStore()
  },

  /**
   * Adds to the context here and now, such as the actor once a session was checked.
   * @throws KitError `context_missing` outside of any scope, `context_invalid`
   */
  set(context: AuditContext): void {
    const scope = storage.getStore()
    if (!scope) throw new KitError('context_missing')
    scope.set(context)
  },

  /** Makes a function that runs in the scope in which it was bound, wherever it is called. */
  bind<F extends (...args: never[]) => unknown>(fn: F): F {
    const scope = storage.getStore()
    return function bound(this: unknown, ...args: never[]) {
      return storage.run(scope, () => Reflect.apply(fn, this, args))
    } as F
  },

  /**
   * Has an emitter, such as a stream, emit in the scope in which it was bound; bound again, in the newer one. Returns the emitter.
   * For emitters that serve one request or job: not for a socket that is kept for the next.
   */
  bindEmitter<E extends { emit(event: string | symbol, ...args: never[]): boolean }>(emitter: E): E {
    const bound = emitter as E & { [SCOPE]?: { scope: ContextScope | undefined } }
    const scope = storage.getStore()
    if (bound[SCOPE]) {
      bound[SCOPE].scope = scope
      return emitter
    }
    const holder = { scope }
    const { emit } = emitter
    Object.defineProperty(bound, SCOPE, { value: holder })
    bound.emit = function (this: unknown, ...args: Parameters<E['emit']>) {
      return storage.run(holder.scope, () => Reflect.apply(emit, this, args))
    } as E['emit']
    return emitter
  },

  /** Keeps the scope here and now from ending until the promise has settled; outside of any it does nothing. Returns the promise. */
  waitUntil<T>(promise: Promise<T>): Promise<T> {
    return storage.getStore()?.waitUntil(promise) ?? promise
  },

  /** The context here and now as plain JSON; null outside of any scope. */
  serialize(): SerializedContext | null {
    const context = storage.getStore()?.context
    return context === undefined ? null : JSON.parse(JSON.stringify({ v: 1, ...context }))
  },

  /** `late`: calls of `record()` and `set()` after their context had ended, since the process began. */
  get counts(): { readonly late: number } {
    return { late: late.count }
  },
}
