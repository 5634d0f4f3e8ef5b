// Express tells the pattern of a route, but of routers above it only what the address has there, ids and all.

/** What Express puts on a request while it looks for the route. */
export type RoutedRequest = {
  baseUrl: string
  route?: { path?: unknown } | undefined
  params?: Readonly<Record<string, string | string[]>> | undefined
}

/**
 * Follows a request through the routers. What it passes is known there and then only: Express takes it back on the way to error
 * middleware.
 * @returns tells the pattern of the last route that matched; null if none has
 */
export function watchRoute(request: RoutedRequest): () => string | null {
  let route = request.route
  // Undefined before and after all routers.
  let base: string | undefined = request.baseUrl
  let pattern: string | null = null
  const prefixes = new Map([['', '']])
  const prefixOf = (value: string, above: string) => {
    if (!prefixes.has(value))
      prefixes.set(value, (prefixes.get(above) ?? '') + masked(value.slice(above.length), request.params))
    return prefixes.get(value)!
  }
  prefixOf(base ?? '', '')
  Object.defineProperty(request, 'baseUrl', {
    ...{ configurable: true, enumerable: true },
    get: () => base,
    set(value: string | undefined) {
      prefixOf(value ?? '', base ?? '')
      base = value
    },
  })
  Object.defineProperty(request, 'route', {
    ...{ configurable: true, enumerable: true },
    get: () => route,
    set(value: RoutedRequest['route']) {
      route = value
      if (value) pattern = prefixOf(base ?? '', '') + printed(value.path)
    },
  })
  return () => pattern
}

/** A route may have several paths, and not tell which one it was. */
const printed = (path: unknown): string => [path].flat().map(String).join('|')

/**
 * A part of an address, with `:name` for what is the value of a parameter. A segment that is a value has its name; only where a value is
 * no segment is it looked for inside of them, or a short one would be found in a long one and leave the rest of it.
 */
function masked(text: string, params: RoutedRequest['params']): string {
  const values = Object.entries(params ?? {})
    .flatMap(([name, value]) => [value].flat().map((each): [string, string] => [`${each}`, `:${name}`]))
    .filter(([value]) => value !== '')
  const segments = text.split('/')
  const plain = segments.map(decoded)
  const whole = values.filter(([value]) => plain.includes(value))
  // Of two parameters with the same value each has a segment.
  const left = [...whole]
  const parts = values.filter(([value]) => !plain.includes(value))
  const names = new Map(values)
  const longestFirst = [...names.keys()].sort((a, b) => b.length - a.length)
  const inside = new RegExp(longestFirst.map(escaped).join('|'), 'g')
  return segments
    .map((segment, i) => {
      const own = left.findIndex(([value]) => value === plain[i])
      const found = own === -1 ? whole.find(([value]) => value === plain[i]) : left.splice(own, 1)[0]
      if (found) return found[1]
      const isMixed = parts.some(([value]) => plain[i]!.includes(value))
      return isMixed ? plain[i]!.replace(inside, (value) => names.get(value)!) : segment
    })
    .join('/')
}

const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}
