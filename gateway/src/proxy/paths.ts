// The ways in which a server may read the path of a request. A request must not slip past a recorded route by another spelling.

/** A path, and how it may be understood. */
export type ReadPath = {
  /** As it came, without the query. */
  readonly raw: string
  /** The query with its question mark, or empty. */
  readonly query: string
  /** Each way to read it, for the router: first what RFC 3986 says. More than one only where the path is odd. */
  readonly readings: readonly string[]
  /** What makes it odd; empty: servers agree on it. */
  readonly odd: readonly string[]
}

/** Without escapes, parameters, dots as segments, doubled slashes: one reading. */
const PLAIN = /^(?:\/(?!\.{0,2}(?:\/|$))[A-Za-z0-9._~!$&'()*+,=:@-]+)*\/?$/

const MARKS: readonly (readonly [name: string, form: RegExp])[] = [
  ['encoded-slash', /%2f|%5c/i],
  ['double-encoding', /%25/],
  ['encoding', /%(?![0-9a-f]{2})/i],
  ['dot-segments', /(?:^|[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?:[/\\;]|%2f|%5c|%3b|$)/i],
  ['empty-segments', /\/\//],
  ['parameters', /;|%3b/i],
  ['backslash', /\\/],
  ['delimiter', /#|%23|%3f/i],
  ['control', /[\0-\x20\x7f]|%[01][0-9a-f]|%20(?:\/|$)|%7f/i],
  ['width', /[^\0-\x7f]|%[89a-f][0-9a-f]|%u/i],
]

/** As `new URL(req.url, base)` reads it, which many servers in Node do: what follows two slashes is a host. */
const withoutHost = (path: string): string => path.replace(/^[/\\]{2,}[^/\\]*/, '')

/** What servers differ in: each is done or not. */
const DIFFERENCES = [
  (path: string) => decodedWhole(path),
  (path: string) => path.replace(/\\/g, '/'),
  (path: string) => path.replace(/[?#].*$/s, ''),
  // Where a semicolon begins the query, as in Fastify 4.
  (path: string) => path.replace(/;.*$/s, ''),
  (path: string) => path.replace(/;[^/]*/g, ''),
  // What stands before it keeps a long run from being looked through anew at each of its places.
  (path: string) => path.normalize('NFKC').replace(/(?<![\0-\x20\x7f])[\0-\x20\x7f]+(?=\/|$)/g, ''),
  (path: string) => path.replace(/\/{2,}/g, '/'),
  (path: string) => withoutDots(path),
]

/** Of longer odd paths only three readings are made: as it came, and with all that servers may do, with and without a host. */
const LONGEST = 1_024

/** @param target of the request, in origin form: begins with a slash */
export function readPath(target: string): ReadPath {
  const at = target.indexOf('?')
  const raw = at < 0 ? target : target.slice(0, at)
  const query = at < 0 ? '' : target.slice(at)
  if (PLAIN.test(raw)) return { raw, query, readings: [raw], odd: [] }
  let spellings = new Set([raw])
  if (raw.length > LONGEST) {
    for (const begun of [raw, withoutHost(raw)])
      spellings.add(DIFFERENCES.reduce((path, change) => change(path), begun))
  }
  // Apache takes dots out before all else, and once more at the end; Envoy does before it joins slashes.
  else
    for (const change of [withoutHost, withoutDots, ...DIFFERENCES])
      spellings = new Set([...spellings, ...[...spellings].map(change)])
  const readings = new Set([...spellings].map((path) => routable(path.split('/').map(decoded))))
  const isOdd = readings.size > 1
  const odd = isOdd ? MARKS.filter(([, form]) => form.test(raw)).map(([name]) => name) : []
  return { raw, query, readings: [...readings], odd: isOdd && odd.length === 0 ? ['spelling'] : odd }
}

/** For the router, which decodes it again. */
function routable(segments: readonly string[]): string {
  const path = segments.map((segment) => encodeURIComponent(segment.toWellFormed())).join('/')
  return path.startsWith('/') ? path : `/${path}`
}

/** Escapes that are none, and bytes that are not UTF-8, become what a lenient decoder makes of them. */
function decoded(text: string): string {
  if (!text.includes('%')) return text
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (escapes) => Buffer.from(escapes.replaceAll('%', ''), 'hex').toString())
}

function decodedWhole(path: string): string {
  let text = path
  for (let times = 0; times < 4; times++) {
    const once = decoded(text).replace(/%u([0-9a-f]{4})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))
    if (once === text) break
    text = once
  }
  return text
}

function withoutDots(path: string): string {
  const kept: string[] = []
  const segments = path.split('/')
  for (const segment of segments) {
    const plain = segment.replace(/%2e/gi, '.')
    if (plain === '..') kept.pop()
    else if (plain !== '.') kept.push(segment)
  }
  return `/${kept.join('/').replace(/^\//, '')}`
}

/** A path with what looks like an id replaced by `*`, so that requests of one kind have one name. */
export function normalisedPath(reading: string): string {
  const segments = reading.split('/').map((segment) => (isId(segment) ? '*' : segment.toLowerCase()))
  return segments.join('/').replace(/(?<=.)\/$/, '')
}

/** Digits, UUIDs, what mixes letters with digits and is long, addresses, anything encoded. */
function isId(segment: string): boolean {
  if (/^v\d{1,3}$/i.test(segment)) return false
  return segment.length > 40 || /^\d+$|[%@]|^[0-9a-f-]{16,}$/i.test(segment) || /^(?=.*\d)[\w.~-]{8,}$/.test(segment)
}
