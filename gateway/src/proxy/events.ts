// The events of one request or websocket: what every one of them says.
import type { JsonObject, JsonValue } from '@killick/sdk/core'
import { shortened } from '../sessions/disclosed.ts'
import type { EventFacts, Thing } from '../sessions/event.ts'
import type { HttpConfig } from './config.ts'
import { type RouteMatch, targetIdOf } from './routes.ts'
import type { Voucher } from './who.ts'

/** What is known of a request before it goes on. */
export type AskedRequest = {
  readonly method: string
  readonly match: RouteMatch
  readonly who: Voucher
  readonly mode: 'strict' | 'observe'
  /** Address of the client, and who says so; protocol; host; traceparent. */
  readonly client: JsonObject
  readonly version: string
  readonly host: string
  readonly traceparent: string | undefined
  /** What the method is said to be instead, in a header. */
  readonly override: string | null
}

/** What an event is made of. */
export type HttpFacts = {
  /** Behind the action: empty for an intent, `.result` for an outcome; or `session.start`, `session.end`. */
  action: '' | '.result' | 'session.start' | 'session.end'
  outcome?: EventFacts['outcome']
  known: JsonObject
  told?: JsonObject
  bodies?: { requestBody?: JsonValue | undefined; responseBody?: JsonValue | undefined }
}

/** What the events of one request say. */
export class HttpEvents {
  readonly #config: HttpConfig
  readonly #asked: AskedRequest
  readonly #action: string

  constructor(config: HttpConfig, asked: AskedRequest) {
    this.#config = config
    this.#asked = asked
    this.#action = asked.match.route?.action ?? 'http.request'
  }

  facts({ action, outcome, known, told, bodies }: HttpFacts): EventFacts {
    const { match, who, method, client, version, host, traceparent, override, mode } = this.#asked
    const isSession = action.startsWith('session.')
    return {
      action: isSession ? action : `request${action}`,
      actor: who.actor,
      targets: this.#targets(),
      outcome,
      fields: bodies ?? {},
      hasJsonTexts: true,
      told: { ...told, ...(action === '.result' || action === 'session.end' ? {} : this.#request()) },
      known: {
        ...known,
        method,
        route: match.route?.route ?? null,
        ...(isSession && match.route?.action && { action: match.route.action }),
        ...(match.odd.length > 0 && { odd: [...match.odd] }),
        ...(match.also.length > 0 && { also: [...match.also] }),
        ...(override !== null && { methodOverride: override }),
      },
      circumstances: {
        client,
        protocol: `HTTP/${version}`,
        host: shortened(host, 255),
        vouched: { by: who.by, ...who.through },
        ...(who.claimed !== null && { claimed: who.claimed }),
      },
      traceparent,
      mode,
      hashed: HASHED,
      ...(!isSession && { wholeAction: `${this.#action}${action}` }),
    }
  }

  #targets(): Thing[] {
    const { match, method } = this.#asked
    const target = match.route?.target
    const own = target ? [{ type: target.type, id: targetIdOf(target.id, match.params) }] : []
    // A route for every method would not say which one.
    const name = match.name.startsWith('* ') ? `${method}${match.name.slice(1)}` : match.name
    return [...own, { type: 'http-route', id: name }]
  }

  #request(): JsonObject {
    const { raw, query } = this.#asked.match
    const path = { path: shortened(raw, 2_000) }
    if (query === '') return path
    const pairs = [...new URLSearchParams(query)]
    if (this.#config.query === 'names')
      return { ...path, queryNames: [...new Set(pairs.map(([name]) => shortened(name)))] }
    const values: Record<string, JsonValue> = {}
    for (const [name, value] of pairs) {
      const key = shortened(name)
      const before = Object.hasOwn(values, key) ? [values[key]!].flat() : []
      Object.defineProperty(values, key, {
        value: before.length === 0 ? value : [...before, value],
        enumerable: true,
        configurable: true,
        writable: true,
      })
    }
    return { ...path, query: values }
  }
}

/** Where the hashes of bodies stand. */
const HASHED = { requestBody: 'request', responseBody: 'response' }
