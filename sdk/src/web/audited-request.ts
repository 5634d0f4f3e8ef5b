// One request: the context that its handler runs in, and the event that is made of it at the end.
import { AsyncLocalStorage } from 'node:async_hooks'
import { printable } from '../core/text.ts'
import { reasonOf } from '../kit/denial.ts'
import {
  type AuditContext,
  auditContext,
  type ContextScope,
  contextOfHeaders,
  type EventOutcome,
  KitError,
  type KitEvent,
  outcomeOfStatus,
  warnOnce,
} from '../kit/index.ts'
import { once } from '../kit/once.ts'
import type { RequestAudit, RequestEvent, RequestSink, RouteAudit } from './options.ts'

/** What an adapter tells of a request of its framework. */
export type RequestFacts<Request> = {
  /** As the application's own functions get it. */
  request: Request
  method: string
  /** Asked when the event is made. */
  route: () => string | null
  /** By the framework's own rule of which proxies are believed. */
  ip: string | undefined
  header: (name: string) => string | readonly string[] | null | undefined
  waitUntil?: ((promise: Promise<unknown>) => void) | undefined
}

/**
 * How a request ended; `status` null: the client hung up, and nothing was answered. `outcome`: where it is known without the status.
 */
export type RequestEnd = { status: number | null; aborted: boolean; outcome?: EventOutcome }

const ANONYMOUS = { type: 'anonymous', id: 'anonymous' }
const MAX_ACTION = 256
const current = once('request', () => new AsyncLocalStorage<AuditedRequest>())
const byScope = once('request.scopes', () => new WeakMap<ContextScope, AuditedRequest>())

/**
 * The event of the request that is being handled here, on whatever depth.
 * @throws KitError `context_missing` where no adapter has begun a request
 * @example
 * requestEvent().set({ changes: diff(before, after) })
 */
export function requestEvent(): RequestEvent {
  const scope = auditContext.scope()
  // An emitter of the request has brought the scope along, and nothing else.
  const request = current.getStore() ?? (scope && byScope.get(scope))
  if (!request)
    throw new KitError('context_missing', 'No request is being handled here, or its context was lost on the way')
  return request
}

export class AuditedRequest<Request = unknown> implements RequestEvent {
  readonly scope: ContextScope
  /** What the handler threw, where the framework tells. */
  error: unknown
  readonly #sink: RequestSink
  readonly #options: RequestAudit<Request>
  readonly #facts: RequestFacts<Request>
  #mark: RouteAudit<Request> | null = null
  #said: Partial<KitEvent> = {}
  #made = false
  /** Options whose function threw: the event says that what they tell is not known, unless they told it when they were asked again. */
  readonly #unknown: string[] = []

  constructor(sink: RequestSink, options: RequestAudit<Request>, facts: RequestFacts<Request>) {
    this.#sink = sink
    this.#options = options
    this.#facts = facts
    const { ip, header, waitUntil } = facts
    const told = contextOfHeaders(header, { requestIdHeader: options.requestIdHeader })
    const context = { ...told, requestId: told.requestId ?? crypto.randomUUID(), ip }
    // A request is not on behalf of whoever has started the server.
    this.scope = auditContext.begin(context, { inherit: false, waitUntil })
    byScope.set(this.scope, this as AuditedRequest)
    this.identify()
  }

  /** Calls `fn` in the context of the request. */
  run<T>(fn: () => T): T {
    return this.scope.run(() => current.run(this as AuditedRequest, fn))
  }

  /** Asks for actor and tenant, if they are not known yet. */
  identify(): void {
    for (const name of ['actor', 'tenant'] as const) {
      const ask = this.#options[name]
      if (!ask || this.scope.context[name] !== undefined) continue
      this.#attempt(name, () => this.scope.set({ [name]: ask(this.#facts.request) ?? undefined } as AuditContext))
    }
  }

  /** Has the request recorded, for its route is marked. */
  record(event: RouteAudit<Request>): void {
    this.identify()
    this.#mark = { ...this.#mark, ...event }
  }

  /** A target that is told now, while the router still knows the parameters. */
  recordNow(event: RouteAudit<Request>): void {
    const { target } = event
    if (typeof target !== 'function') this.record(event)
    else this.record({ ...event, target: this.#attempt('target', () => target(this.#facts.request)) })
  }

  set(event: Partial<Omit<KitEvent, 'action'>>): void {
    if (this.#made) throw new KitError('request_event_late')
    const { metadata, context } = this.#said
    this.#said = {
      ...this.#said,
      ...event,
      ...(event.metadata && { metadata: { ...metadata, ...event.metadata } }),
      ...(event.context && { context: { ...context, ...event.context } }),
    }
  }

  /**
   * Makes and records the event, once.
   * @returns resolves when it is durable; null if the request is not to be recorded, or was before
   */
  ended({ status, aborted, outcome: known }: RequestEnd): Promise<unknown> | null {
    if (this.#made) return null
    this.#made = true
    this.identify()
    const { request, method } = this.#facts
    const route = this.#mark?.route ?? this.#attempt('route', this.#facts.route) ?? null
    const outcome = known ?? (status === null ? null : outcomeOfStatus(status))
    const { record = false } = this.#options
    const isPicked = () =>
      typeof record === 'function'
        ? record({ request, method: methodOf(method), route, status, outcome, aborted })
        : record
    // Where it cannot be told, an event too many is better than one too few.
    if (this.#mark === null && !(this.#attempt('record', isPicked) ?? true)) return null
    // Once it is being recorded, nothing more can go wrong here without a rejection.
    return this.run(() => this.#record(this.#eventOf(route, status, aborted), outcome))
  }

  #record(event: KitEvent, outcome: EventOutcome | null): Promise<unknown> {
    const { error } = this
    const reason = outcome === 'denied' ? reasonOf(error) : undefined
    const whole = {
      ...event,
      ...(outcome !== null && { outcome }),
      ...(reason !== undefined && event.reason === undefined && { reason }),
      // Nobody has signed in, or nobody had the time to say who.
      ...(outcome !== 'success' && !event.actor && !this.scope.context.actor && { actor: ANONYMOUS }),
    } as never
    const isFailure = outcome === 'failure' && error !== undefined
    return isFailure ? this.#sink.failed(whole, error) : this.#sink.record(whole)
  }

  #eventOf(route: string | null, status: number | null, aborted: boolean): KitEvent {
    const { request } = this.#facts
    const method = methodOf(this.#facts.method)
    const { action, target, metadata } = this.#mark ?? {}
    const told = typeof target === 'function' ? this.#attempt('target', () => target(request)) : target
    const found = told ?? (route === null ? undefined : { type: 'route', id: clipped(route, 512) })
    const isKnown = (name: string) => (name === 'actor' || name === 'tenant') && this.scope.context[name] !== undefined
    const unknown = [...new Set(this.#unknown)].filter((name) => !isKnown(name))
    const http = {
      method,
      ...(route !== null && { route }),
      ...(status !== null && { status }),
      ...(aborted && { aborted }),
      ...(unknown.length > 0 && { unknown }),
    }
    return {
      action: action ?? clipped(route === null ? method : `${method} ${route}`, MAX_ACTION),
      ...(found && !this.#said.target && !this.#said.targets && { target: found }),
      ...this.#said,
      ...((metadata || this.#said.metadata) && { metadata: { ...metadata, ...this.#said.metadata } }),
      context: { ...this.#said.context, http },
    }
  }

  /** A function of the application must not keep a request from being recorded. */
  #attempt<T>(name: string, fn: () => T): T | undefined {
    try {
      return fn()
    } catch (error) {
      this.#unknown.push(name)
      const why = printable(error instanceof Error ? error.message : String(error))
      warnOnce(
        `request_${name}_unknown`,
        `An event was recorded without what ${name} should have told (said once): ${why}`,
      )
      return undefined
    }
  }
}

/** Methods as clients write them are no good as names of actions. */
const methodOf = (method: string): string => (/^[A-Z]{1,20}$/.test(method) ? method : 'HTTP')

/** Cut between characters: half of one is none, and no event can hold it. */
const clipped = (text: string, max: number): string =>
  text.length <= max ? text : `${text.slice(0, max - 1).replace(/[\ud800-\udbff]$/, '')}…`
