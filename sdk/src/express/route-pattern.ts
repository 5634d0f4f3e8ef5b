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

/** A part of an address, with `:name` for what is the value of a parameter. */
function masked(text: string, params: RoutedRequest['params']): string {
  const values = Object.entries(params ?? {}).flatMap(([name, value]) =>
    [value].flat().map((each) => [`${each}`, name]),
  )
  return text
    .split('/')
    .map((segment) => {
      const found = values.find(([value]) => value !== '' && decoded(segment).includes(value!))
      return found ? decoded(segment).replace(found[0]!, `:${found[1]}`) : segment
    })
    .join('/')
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}
