/** `manifest.json`: what a bundle is of, by whom it was made, and what vouches for its log. Everything in it is a claim. */
import { fromHex } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { isCount, isSourceName, isStreamId } from '../core/event.ts'
import { parseHash, printHash } from '../core/hash.ts'
import { hasMembers, isObject, type JsonObject, type JsonValue, parseJson } from '../core/json.ts'
import type { Anchor, EarlierAnchor } from '../core/proof.ts'
import { parseTime, printTime } from '../core/time.ts'

export const BUNDLE_FORMAT = 'killick-bundle/1'
/** Largest manifest, in bytes. */
export const MAX_MANIFEST_BYTES = 4 << 20
/** Most anchors in a bundle. */
export const MAX_BUNDLE_ANCHORS = 1_000

/**
 * What a bundle claims to hold all of.
 *
 * - `stream`: the events `first` to `last` of a stream
 * - `source`: every event of a source that the log accepted in its entries from `from` to before `to`; `since` and `until` (ISO 8601, UTC,
 *   or null) are the times that were asked for
 * - `search`: what the ledger's index found; `conditions` are the search, as the service was asked it
 */
export type BundleScope =
  | {
      readonly kind: 'stream'
      readonly source: string
      readonly stream: string
      readonly first: number
      readonly last: number
    }
  | {
      readonly kind: 'source'
      readonly source: string
      readonly from: number
      readonly to: number
      readonly since: string | null
      readonly until: string | null
    }
  | { readonly kind: 'search'; readonly conditions: Readonly<Record<string, string>> }

/** An anchor whose size is an edge in `log.txt`: its root is that of the entries so far. */
export type BundleAnchor = Pick<Anchor, 'chainId' | 'contract' | 'logId'> & EarlierAnchor

/** A parsed `manifest.json`. */
export type BundleManifest = {
  readonly scope: BundleScope
  /** C2SP signed note; `log.txt` makes its root. */
  readonly checkpoint: string
  /** By rising size. */
  readonly anchors: readonly BundleAnchor[]
  /** Whom the maker asked, and when by the maker's clock. */
  readonly made: { readonly at: string; readonly url: string }
}

export function printManifest({ scope, checkpoint, anchors, made }: BundleManifest): string {
  const printed = anchors.map(({ chainId, contract, logId, size, root, time, transaction, block }) => ({
    ...{ chainId, contract, logId, size, root: printHash(root), time, transaction, block },
  }))
  return `${JSON.stringify({ format: BUNDLE_FORMAT, scope, checkpoint, anchors: printed, made }, null, 1)}\n`
}

/** @throws KillickError `bundle_malformed`, `bundle_version` for a later format, `json_*` */
export function parseManifest(text: string): BundleManifest {
  const manifest = parseJson(text)
  const format = isObject(manifest) ? manifest.format : undefined
  if (typeof format === 'string' && format !== BUNDLE_FORMAT && /^killick-bundle\/\d+$/.test(format))
    throw new KillickError('bundle_version', `The bundle is a ${format}; this program reads ${BUNDLE_FORMAT}`)
  const { scope, checkpoint, anchors, made } = object(manifest, 'it', [
    'format',
    'scope',
    'checkpoint',
    'anchors',
    'made',
  ])
  if (format !== BUNDLE_FORMAT) malformed(`format must be ${BUNDLE_FORMAT}`)
  if (!Array.isArray(anchors) || anchors.length > MAX_BUNDLE_ANCHORS)
    malformed(`anchors must be an array of at most ${MAX_BUNDLE_ANCHORS}`)
  const { at, url } = object(made, 'made', ['at', 'url'])
  const list = anchors.map((anchor, i) => anchorOf(anchor, `anchors/${i}`))
  if (list.some(({ size }, i) => i > 0 && size < list[i - 1]!.size))
    malformed('anchors must be in the order of their sizes')
  return {
    scope: scopeOf(scope),
    checkpoint: text1(checkpoint, 'checkpoint'),
    anchors: list,
    made: { at: time(at, 'made/at'), url: text1(url, 'made/url') },
  }
}

function scopeOf(value: JsonValue | undefined): BundleScope {
  if (!isObject(value)) malformed('scope must be an object')
  if (value.kind === 'stream') {
    const { source, stream, first, last } = object(value, 'scope', ['kind', 'source', 'stream', 'first', 'last'])
    if (!isSourceName(source) || !isStreamId(stream)) malformed('scope must name a source and a stream')
    if (!isCount(first) || !isCount(last) || first > last) malformed('scope/first and last must be a range of places')
    return { kind: 'stream', source, stream, first, last }
  }
  if (value.kind === 'source') {
    const { source, from, to, since, until } = object(value, 'scope', [
      'kind',
      'source',
      'from',
      'to',
      'since',
      'until',
    ])
    if (!isSourceName(source)) malformed('scope must name a source')
    if (!isCount(from) || !isCount(to) || from > to) malformed('scope/from and to must be a range of entries')
    const limit = (member: JsonValue | undefined, where: string) => (member === null ? null : time(member, where))
    return { kind: 'source', source, from, to, since: limit(since, 'scope/since'), until: limit(until, 'scope/until') }
  }
  const { conditions } = object(value, 'scope', ['kind', 'conditions'])
  if (value.kind !== 'search' || !isObject(conditions)) malformed('scope/kind must be stream, source or search')
  const entries = Object.entries(conditions)
  if (entries.length > 20 || entries.some(([, each]) => typeof each !== 'string' || each.length > 512))
    malformed('scope/conditions must be texts')
  return { kind: 'search', conditions: conditions as Record<string, string> }
}

const ANCHOR = ['chainId', 'contract', 'logId', 'size', 'root', 'time', 'transaction', 'block']

function anchorOf(value: JsonValue, where: string): BundleAnchor {
  const { chainId, contract, logId, size, root, time, transaction, block } = object(value, where, ANCHOR)
  const hex = (member: JsonValue | undefined, bytes: number): member is string =>
    typeof member === 'string' && member.startsWith('0x') && fromHex(member.slice(2))?.length === bytes
  const hash = parseHash(root)
  if (!isCount(chainId) || !isCount(size) || !isCount(time) || time >= 2 ** 32 || !isCount(block) || hash === null)
    malformed(`${where} must have numbers and a root`)
  if (!hex(contract, 20) || !hex(logId, 32) || !hex(transaction, 32)) malformed(`${where} must have lower-case hex`)
  return { chainId, contract, logId, size, root: hash, time, transaction, block }
}

function object(value: JsonValue | undefined, where: string, names: string[]): JsonObject {
  if (!isObject(value) || !hasMembers(value, names))
    malformed(`${where} must be an object with exactly ${names.join(', ')}`)
  return value
}

function text1(value: JsonValue | undefined, where: string): string {
  return typeof value === 'string' ? value : malformed(`${where} must be a text`)
}

/** One spelling for each time. */
function time(value: JsonValue | undefined, where: string): string {
  const parsed = parseTime(value)
  return parsed !== null && printTime(parsed) === value ? value : malformed(`${where} must be an ISO 8601 time in UTC`)
}

function malformed(why: string): never {
  throw new KillickError('bundle_malformed', `The manifest of the bundle: ${why}`)
}

/** `trailer.json`: what a reader must have seen by then. */
export type BundleTrailer = {
  /** Lines of `log.txt` that are entries, and that are events. */
  readonly entries: number
  readonly events: number
  /** SHA-256 of each file before it, lower-case hex, by name. */
  readonly files: Readonly<Record<string, string>>
}

export const printTrailer = ({ entries, events, files }: BundleTrailer): string =>
  `${JSON.stringify({ entries, events, files }, null, 1)}\n`

/** Null: it is none. */
export function parseTrailer(text: string): BundleTrailer | null {
  try {
    const { entries, events, files } = object(parseJson(text), 'it', ['entries', 'events', 'files'])
    const isFiles = isObject(files) && Object.values(files).every((each) => typeof each === 'string')
    return isCount(entries) && isCount(events) && isFiles
      ? { entries, events, files: files as Record<string, string> }
      : null
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    return null
  }
}
