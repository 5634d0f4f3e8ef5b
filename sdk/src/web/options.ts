import type { Party, RecordableObject } from '../core/fields.ts'
import { nearest } from '../core/nearest.ts'
import { printable } from '../core/text.ts'
import type { EventOutcome, KitEvent } from '../kit/index.ts'
import { KitError } from '../kit/index.ts'

/** What adapters record into: an audit object of `createAudit`, with or without a catalogue. */
export type RequestSink = {
  /** As `record` of an audit object. */
  record(event: never): Promise<unknown>
  /** As `failed` of an audit object: for a request whose handler threw. */
  failed(event: never, error?: unknown): Promise<unknown>
}

/** What a route says of the events of its requests; all of it may be left out. */
export type RouteAudit<Request = unknown> = {
  /** Default: method and route pattern, such as `POST /invoices/:id`. Never the address, which holds ids and secrets. */
  readonly action?: string | undefined
  /** What it is done to, or how to tell from the request. Default: `{ type: 'route', id: <pattern> }`; none where no route matched. */
  readonly target?: Party | ((request: Request) => Party | undefined) | undefined
  readonly metadata?: RecordableObject | undefined
  /** Pattern of the route, where the framework has none or does not tell: node:http, Next. */
  readonly route?: string | undefined
}

/** A request that is answered, as far as is known when its event is made. */
export type RequestSummary<Request = unknown> = {
  readonly request: Request
  readonly method: string
  /** Pattern of the route; null if none matched, or the request was refused before the router saw it. */
  readonly route: string | null
  /** Null if the client hung up and no answer was made. */
  readonly status: number | null
  readonly outcome: EventOutcome | null
  /** Whether the client hung up before it had the whole answer. */
  readonly aborted: boolean
}

/** Options that all adapters share. Each has a default. */
export type RequestAudit<Request = unknown> = {
  /**
   * Who asks; undefined or null while that is not known. It is asked when the request comes in and, until there is an answer, again when a
   * marked route is reached and when the event is made. Code that signs people in may call `auditContext.set({ actor })` instead.
   */
  readonly actor?: ((request: Request) => Party | null | undefined) | undefined
  /** Id of the tenant, asked as the actor is. */
  readonly tenant?: ((request: Request) => string | null | undefined) | undefined
  /** Name of a header that is believed to hold the request's id, for where a proxy sets it. Default: each request gets a UUID. */
  readonly requestIdHeader?: string | undefined
  /** Requests that are recorded beside those of marked routes: all (true), none (false, the default), or those that a function picks. */
  readonly record?: boolean | ((request: RequestSummary<Request>) => boolean) | undefined
  /**
   * Whether an answer waits until the event of its request is durable; default false. The event then tells of the answer as it begins. If
   * recording fails, the client gets 503 with the code `unrecorded` in its place. If false, the event is made once the answer is sent.
   */
  readonly responseWaits?: boolean | undefined
}

/** Options of the adapters on `node:http`, express, fastify and Nest. */
export type NodeRequestAudit<Request = unknown> = RequestAudit<Request> & {
  /**
   * How long a handler may go on after its client has hung up, in ms; default 5,000. If it answers in that time, the event has its
   * outcome, else none.
   */
  readonly hangUpMs?: number | undefined
}

/** The event of the request that is being handled. */
export type RequestEvent = {
  /** Has this request recorded, as its route was marked. Given again, members that are given win. */
  record(event: RouteAudit<never>): void
  /**
   * Says more of the event, such as `changes`: members that are given win; `metadata` and `context` are merged.
   * @throws KitError `request_event_late` once the event was made
   */
  set(event: Partial<Omit<KitEvent, 'action'>>): void
}

const FUNCTIONS = ['actor', 'tenant', 'ip']
const BOOLEANS = ['responseWaits']
const SHARED = [...FUNCTIONS.slice(0, 2), ...BOOLEANS, 'requestIdHeader', 'record']
const MAX_HANG_UP_MS = 2 ** 31 - 1

/**
 * Refuses options that an adapter does not have, and those of the wrong form.
 * @param more names of options that only this adapter has
 * @throws KitError `option_invalid`
 */
export function checkRequestAudit(options: object, more: readonly string[] = []): void {
  const fail = (option: string, why: string): never => {
    throw new KitError('option_invalid', `Option ${printable(option)} ${why}`, { option })
  }
  const names = [...SHARED, ...more]
  for (const [name, value] of Object.entries(options)) {
    if (!names.includes(name)) {
      const meant = nearest(name, names)
      fail(name, meant === null ? 'is not known' : `is not known. Did you mean ${meant}?`)
    }
    if (value === undefined) continue
    if (FUNCTIONS.includes(name) && typeof value !== 'function') fail(name, 'must be a function')
    if (BOOLEANS.includes(name) && typeof value !== 'boolean') fail(name, 'must be true or false')
    if (name === 'record' && typeof value !== 'boolean' && typeof value !== 'function')
      fail(name, 'must be true, false or a function')
    if (name === 'requestIdHeader' && !/^[!#$%&'*+.^_`|~\w-]+$/.test(`${value}`))
      fail(name, 'must be the name of a header')
    if (name === 'hangUpMs' && !(Number.isSafeInteger(value) && value >= 0 && value <= MAX_HANG_UP_MS))
      fail(name, `must be an integer from 0 to ${MAX_HANG_UP_MS}`)
  }
}

/** @throws KitError `option_invalid` */
export function checkRouteAudit(route: object): void {
  const { action, target, metadata, route: pattern, ...unknown } = route as { [name: string]: unknown }
  const fail = (option: string, why: string): never => {
    throw new KitError('option_invalid', `A route's ${printable(option)} ${why}`, { option })
  }
  for (const name of Object.keys(unknown)) fail(name, 'is not known: a route has action, target, metadata and route')
  if (action !== undefined && (typeof action !== 'string' || action === '' || action.length > 256))
    fail('action', 'must be a text of 1 to 256 characters')
  if (pattern !== undefined && (typeof pattern !== 'string' || pattern === '')) fail('route', 'must be a text')
  if (target !== undefined && typeof target !== 'function' && (typeof target !== 'object' || target === null))
    fail('target', 'must be { type, id } or a function')
  if (metadata !== undefined && (typeof metadata !== 'object' || metadata === null))
    fail('metadata', 'must be an object')
}
