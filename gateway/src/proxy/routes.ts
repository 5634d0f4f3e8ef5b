// Which route a request belongs to, and whether it is recorded.
import { METHODS } from 'node:http'
import findMyWay, { type HTTPMethod } from 'find-my-way'
import { normalisedPath, readPath } from './paths.ts'

/** How the requests of one route are recorded. */
export type HttpRoute = {
  /**
   * Method and template, e.g. `POST /users/:id`; `*` stands for every method, and at the end of a template for everything. Templates are
   * those of find-my-way, without regard to case and to a slash at the end. `GET` takes `HEAD` too, since servers answer it so.
   */
  route: string
  /** Action of its events. Default `http.request`. */
  action: string | null
  /** What it acts on: type, and an id in which `:name` stands for a parameter of the template. Default: none, only the route itself. */
  target: { type: string; id: string } | null
  /** False: its requests are passed on and not recorded, however they are spelt in the plain form. Default true. */
  record: boolean
  /**
   * Of bodies: nothing but their size (`none`, the default), their SHA-256 as well (`hash`), or JSON itself too, after redaction and up to
   * `limits.discloseBytes` (`show`).
   */
  bodies: 'none' | 'hash' | 'show'
  /** Overrides `mode`. Default: as that. */
  mode: 'strict' | 'observe' | null
}

/** What a request was found to be. */
export type RouteMatch = {
  /** Null where no route fits. */
  readonly route: HttpRoute | null
  readonly params: Readonly<Record<string, string | undefined>>
  readonly isRecorded: boolean
  /** The path as it came, and its name: the template, or the path with its ids left out. */
  readonly raw: string
  readonly query: string
  readonly name: string
  /** Why the path may be read in another way; empty for most. */
  readonly odd: readonly string[]
  /** Other recorded routes that another reading of it leads to. */
  readonly also: readonly string[]
}

/**
 * How servers look up a path; what `record: false` leaves out goes by the first. To Fastify and Hono `/HEALTH` is not `/health` but `/:tenant`, and
 * to Fastify a slash at the end is one with nothing behind it: `/users/` is `/users/:id`, `/files/` is `/files/*`.
 */
const TABLES = [
  { caseSensitive: false, ignoreTrailingSlash: true },
  { caseSensitive: false, ignoreTrailingSlash: false },
  { caseSensitive: true, ignoreTrailingSlash: true },
  { caseSensitive: true, ignoreTrailingSlash: false },
] as const

/** Finds the route of a request. */
export type Router = (method: string, target: string, overrides: readonly string[]) => RouteMatch

/** Splits `POST /users/:id`; null if it is no route. */
export function routeParts(route: string): { method: string; path: string } | null {
  const [, method, path] = /^([A-Z-]+|\*) (\/\S*)$/.exec(route) ?? []
  if (method === undefined || path === undefined) return null
  return method === '*' || METHODS.includes(method) ? { method, path } : null
}

/**
 * Makes the router.
 * @param recordsUnmatched whether requests of no route are recorded
 * @param fault told of a route that cannot be: its place in the list, and why
 */
export function makeRouter(
  routes: readonly HttpRoute[],
  recordsUnmatched: boolean,
  fault: (i: number, why: string) => void,
): Router {
  // What is longer than that would be of no route; a path has its bound in `limits.headerBytes`.
  const tables = TABLES.map((table) => findMyWay({ ...table, maxParamLength: Number.MAX_SAFE_INTEGER }))
  const add = (methods: readonly string[], path: string, route: HttpRoute) => {
    for (const table of tables) table.on(methods as HTTPMethod[], path, () => {}, route)
  }
  for (const [i, route] of routes.entries()) {
    const parts = routeParts(route.route)
    if (parts === null) {
      fault(i, 'must be a method and a template, such as POST /users/:id')
      continue
    }
    try {
      add(parts.method === '*' ? METHODS : [parts.method], parts.path, route)
    } catch (error) {
      fault(i, `cannot be: ${(error as Error).message}`)
    }
  }
  for (const route of routes) {
    const parts = routeParts(route.route)
    // Not where HEAD has a route of its own.
    if (parts?.method === 'GET' && !tables[0]!.hasRoute('HEAD', parts.path))
      try {
        add(['HEAD'], parts.path, route)
      } catch {
        // Said above.
      }
  }
  const find = (method: string, path: string) =>
    tables.map((table) => {
      const found = table.find(method as HTTPMethod, path)
      return found === null ? null : { route: found.store as HttpRoute, params: found.params }
    })
  return (method, target, overrides) => {
    const { raw, query, readings, odd } = readPath(target)
    const methods = [method, ...overrides]
    const [first] = readings
    const found = methods.flatMap((each) => readings.flatMap((reading) => find(each, reading)))
    const plain = found[0]!
    const recorded = found.filter((each) => each?.route.record === true)
    const match = recorded[0] ?? plain
    const isOdd = odd.length > 0
    // What is left out for the method of the request is not left out for another one that a header names.
    const isUnmatched = methods.some((_, i) => found[i * readings.length * TABLES.length] === null)
    const also = new Set(recorded.map((each) => each!.route.route))
    if (match !== null) also.delete(match.route.route)
    return {
      ...{ raw, query, odd, also: [...also] },
      ...{ route: match?.route ?? null, params: match?.params ?? {} },
      // What servers may read in several ways is recorded, whatever is set for the way that is read here.
      isRecorded: recorded.length > 0 || isOdd || (isUnmatched && recordsUnmatched),
      name: match === null ? `${method} ${normalisedPath(first!)}` : match.route.route,
    }
  }
}

/** The target's id of a request: the template with its parameters. */
export function targetIdOf(template: string, params: RouteMatch['params']): string {
  return template.replace(/:(\w+)/g, (_, name: string) => params[name] ?? '')
}
