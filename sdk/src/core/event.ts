/**
 * An event is an SD-JWT (RFC 9901): `<JWS>~<disclosure>~…~`. Its bytes are made once, when it is recorded; nobody
 * re-encodes it. The payload holds structure only; every field is a disclosure with a salt of its own, so that it
 * can be hidden or erased while the JWS, and every proof over it, stays unchanged.
 */
import { toBase64url, utf8 } from './bytes.ts'
import { type ErrorCode, KillickError } from './errors.ts'
import { type AnyEventInput, checkEventInput, checkField, type EventInput, MAX_EVENT_BYTES } from './fields.ts'
import { type Hash, isHashText, leafHash, parseHash, printHash, sha256 } from './hash.ts'
import { hasMembers, isObject, type JsonObject, type JsonValue, parseJson } from './json.ts'
import type { Alg } from './jwk.ts'
import { parseJws, parseSegment, type ReadHeader, signJws } from './jws.ts'
import { PORTABLE, type Primitives } from './primitives.ts'
import type { Signer } from './signature.ts'

export { MAX_EVENT_BYTES } from './fields.ts'

export const EVENT_TYP = 'audit-event+sd-jwt'
/** Canonical base64url of 16 bytes. */
const SALT = /^[\w-]{21}[AQgw]$/

/**
 * An event's place: number `seq` (from 0) in a stream of a source. `prev` is the leaf hash of the event before it; the first
 * event of a stream has none.
 */
export type Position = {
  readonly source: string
  readonly stream: string
  readonly seq: number
  readonly prev?: Hash | undefined
}

/**
 * What makes an event unique. `id`: a UUIDv7. `time`: by the recorder's clock, ms since 1970. `salt`: returns 16 fresh random
 * bytes.
 */
export type Mint = {
  readonly id: string
  readonly time: number
  /** Called once for each field. */
  readonly salt: () => Uint8Array
}

/** A field that an event shows: `text` is its SD-JWT disclosure (RFC 9901 §4.2), base64url. */
export type Disclosure = { readonly text: string; readonly name: string; readonly value: JsonValue }

/** A parsed event. `time` is by the recorder's clock, ms since 1970. */
export type ParsedEvent = Position & {
  readonly token: string
  /** The token before its first `~`: the JWS, or the bare payload of an unsigned event. Its ASCII is the leaf. */
  readonly leaf: string
  readonly leafHash: Hash
  /** Absent for an unsigned event. Not verified yet: 64 `bytes` over `input`, by the key whose thumbprint is `kid`. */
  readonly signature?: {
    readonly alg: Alg
    readonly kid: string
    readonly input: Uint8Array
    readonly bytes: Uint8Array
  }
  readonly id: string
  readonly time: number
  /** How many fields the event has, disclosed or not, and the digests of them all (`_sd`). */
  readonly fieldCount: number
  readonly digests: readonly string[]
  readonly disclosures: readonly Disclosure[]
  /** The disclosed fields by name. */
  readonly fields: JsonObject
}

const STREAM_CLOSE = 'stream.close'
const STREAM_HEARTBEAT = 'stream.heartbeat'
const SOURCE = /^[a-z0-9][a-z0-9._-]{0,63}$/
const STREAM = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const MAX_TIME = Date.UTC(10_000, 0)

/**
 * Whether this is a source's name: 1 to 64 lower-case letters, digits, dots, underscores and hyphens; first a letter or digit.
 */
export function isSourceName(value: unknown): value is string {
  return typeof value === 'string' && SOURCE.test(value)
}

/** Whether this is a stream's id: 1 to 64 letters, digits, dots, underscores and hyphens; first a letter or digit. */
export function isStreamId(value: unknown): value is string {
  return typeof value === 'string' && STREAM.test(value)
}

/** Whether this is an event's id: a UUIDv7 (RFC 9562) in lower case. */
export function isEventId(value: unknown): value is string {
  return typeof value === 'string' && UUID_V7.test(value)
}

export function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

/** Milliseconds from a NumericDate with at most three decimals, or null. */
export function parseTime(iat: unknown): number | null {
  if (typeof iat !== 'number' || iat < 0) return null
  const ms = Math.round(iat * 1000)
  return ms < MAX_TIME && ms / 1000 === iat ? ms : null
}

/**
 * What a clock says, as an event can tell it: a clock may be set to before 1970 or to behind the year 9999, and then the nearest time counts.
 * @param ms since 1970, a whole number
 */
export const nearestTime = (ms: number): number => Math.min(Math.max(ms, 0), MAX_TIME - 1)

function disclose(name: string, value: unknown, salt: Uint8Array): string {
  return toBase64url(utf8(JSON.stringify([toBase64url(salt), name, value])))
}

function payloadOf(position: Position, mint: Mint, disclosures: readonly string[]): JsonObject {
  const { source, stream, seq, prev } = position
  return {
    iss: source,
    stm: stream,
    seq,
    ...(prev && { prev: printHash(prev) }),
    jti: mint.id,
    iat: mint.time / 1000,
    // Sorted, so that their order does not tell which field a hidden digest stands for (RFC 9901 §4.2.4.1).
    _sd: disclosures.map((text) => printHash(sha256(utf8(text)))).sort(),
    _sd_alg: 'sha-256',
  }
}

/**
 * Makes an event token. Without a signer it is an unsigned one, for sources registered with `eventSignatures: optional`.
 * @throws KillickError `field_invalid` (with `details.field`, a JSON pointer), `event_too_large`
 */
export async function makeEvent(
  input: AnyEventInput,
  position: Position,
  mint: Mint,
  signer?: Signer,
): Promise<{ token: string; leafHash: Hash }> {
  const disclosures = checkEventInput(input).map(([name, value]) => disclose(name, value, mint.salt()))
  const payload = payloadOf(position, mint, disclosures)
  const leaf = signer ? await signJws(payload, EVENT_TYP, signer) : toBase64url(utf8(JSON.stringify(payload)))
  const token = `${[leaf, ...disclosures].join('~')}~`
  if (token.length > MAX_EVENT_BYTES)
    throw new KillickError(
      'event_too_large',
      `The event has ${token.length} bytes; at most ${MAX_EVENT_BYTES} are allowed`,
    )
  return { token, leafHash: leafHash(utf8(leaf)) }
}

function parseDisclosure(text: string, { decodeText }: Primitives): Disclosure {
  const json = decodeText(text)
  const parts = json === null ? null : parseJson(json)
  if (!Array.isArray(parts) || parts.length !== 3) throw new KillickError('disclosure_malformed')
  const salt = parts[0]
  const name = parts[1]
  const value = parts[2]
  if (typeof salt !== 'string' || !SALT.test(salt) || typeof name !== 'string') {
    throw new KillickError('disclosure_malformed')
  }
  checkField(name, value, (path, why) => {
    throw new KillickError('disclosure_field_invalid', `${path} ${why}`, { field: path })
  })
  return { text, name, value: value! }
}

function parseDisclosures(
  texts: readonly string[],
  digests: ReadonlySet<string>,
  primitives: Primitives,
): Disclosure[] {
  const seen = new Set<string>()
  const disclosures: Disclosure[] = []
  for (const text of texts) {
    const digest = primitives.digest(text)
    if (!digests.has(digest)) throw new KillickError('disclosure_unmatched')
    const disclosure = parseDisclosure(text, primitives)
    // Equal digests mean equal texts, and so equal names.
    if (seen.has(disclosure.name))
      throw new KillickError('disclosure_duplicate', `Field ${disclosure.name} is disclosed twice`)
    seen.add(disclosure.name)
    disclosures.push(disclosure)
  }
  return disclosures
}

function invalid(why: string, code: ErrorCode = 'event_payload_invalid'): never {
  throw new KillickError(code, `Event payload: ${why}`)
}

/**
 * Reads an event token, an SD-JWT (RFC 9901): its structure, digests and fields. The caller checks its signature.
 * @param primitives a platform's own, for many events; default: portable ones
 * @param read reads the header of its signature, for many that are alike; default: each is read by itself
 * @throws KillickError `event_*`, `disclosure_*`, `jws_*`, `json_*`
 */
export function parseEvent(token: string, primitives: Primitives = PORTABLE, read?: ReadHeader): ParsedEvent {
  if (typeof token !== 'string') throw new KillickError('event_malformed')
  if (token.length > MAX_EVENT_BYTES) throw new KillickError('event_too_large')
  const [leaf, ...texts] = token.split('~')
  // RFC 9901 §4: a token without key binding ends in "~".
  if (!leaf || texts.pop() !== '')
    throw new KillickError('event_malformed', 'An event token is <JWS>~<disclosure>~…~, ending in "~"')
  const jws = leaf.includes('.') ? parseJws(leaf, EVENT_TYP, primitives, read) : null
  const payload = jws?.payload ?? parseSegment(leaf, primitives)
  if (payload === null) throw new KillickError('event_malformed')

  const { iss, stm, seq, jti, iat, _sd } = payload
  if (!hasMembers(payload, ['iss', 'stm', 'seq', 'jti', 'iat', '_sd', '_sd_alg'], ['prev'])) {
    invalid('it must have iss, stm, seq, jti, iat, _sd and _sd_alg, prev after the first event, and nothing else')
  }
  if (!isSourceName(iss)) invalid('iss is not a source name')
  if (!isStreamId(stm)) invalid('stm is not a stream id')
  if (!isCount(seq)) invalid('seq is not an integer from 0')
  if (!isEventId(jti)) invalid('jti is not a lower-case UUIDv7')
  const time = parseTime(iat)
  if (time === null) invalid('iat is not a time in seconds with at most three decimals')
  const prev = payload.prev === undefined ? undefined : parseHash(payload.prev)
  if (prev === null || (prev === undefined) !== (seq === 0))
    invalid('prev must be a hash, and absent exactly when seq is 0')
  if (payload._sd_alg !== 'sha-256') invalid('_sd_alg must be sha-256')
  if (!Array.isArray(_sd) || !_sd.every(isHashText)) invalid('_sd must be an array of SHA-256 digests')
  const digests = new Set(_sd as string[])
  if (digests.size !== _sd.length) throw new KillickError('disclosure_duplicate', 'A digest is in _sd twice')

  const disclosures = parseDisclosures(texts, digests, primitives)
  return {
    token,
    leaf,
    leafHash: primitives.leafHash(leaf),
    ...(jws && { signature: { alg: jws.alg, kid: jws.kid, input: jws.signingInput, bytes: jws.signature } }),
    source: iss,
    stream: stm,
    seq,
    prev,
    id: jti,
    time,
    fieldCount: _sd.length,
    digests: _sd as string[],
    disclosures,
    fields: Object.fromEntries(disclosures.map(({ name, value }) => [name, value])),
  }
}

/** The event's token with only the named fields disclosed. Its JWS, and so its leaf hash, stays the same. */
export function hideFields(event: ParsedEvent, shown: readonly string[]): string {
  const kept = event.disclosures.filter(({ name }) => shown.includes(name)).map(({ text }) => text)
  return `${[event.leaf, ...kept].join('~')}~`
}

/** The event by which a recorder ends a stream: docs/PROTOCOL.md §5. */
export const streamClose = (source: string, stream: string): EventInput => ({
  action: STREAM_CLOSE,
  actor: { type: 'source', id: source },
  targets: [{ type: 'stream', id: stream }],
})

/** The event by which a recorder shows that it lives: docs/PROTOCOL.md §5. */
export const streamHeartbeat = (source: string, stream: string): EventInput => ({
  ...streamClose(source, stream),
  action: STREAM_HEARTBEAT,
})

/** Whether an event says that its stream ends with it. */
export const endsStream = (event: Pick<ParsedEvent, 'stream' | 'fields'>): boolean => isOfStream(event, STREAM_CLOSE)

/**
 * The same of an event that has lost fields, as far as it still tells: when it expires its action stays, and its targets go. Null: nobody
 * knows any more.
 */
export function stillEndsStream(event: Pick<ParsedEvent, 'stream' | 'fields'>): boolean | null {
  const { action, targets } = event.fields
  if (action === undefined) return null
  return endsStream(event) || (action === STREAM_CLOSE && targets === undefined)
}

/** Whether an event says only that its recorder lives. */
export const isHeartbeat = (event: Pick<ParsedEvent, 'stream' | 'fields'>): boolean =>
  isOfStream(event, STREAM_HEARTBEAT)

function isOfStream({ stream, fields }: Pick<ParsedEvent, 'stream' | 'fields'>, wanted: string): boolean {
  const { action, targets } = fields
  if (action !== wanted || !Array.isArray(targets) || targets.length !== 1) return false
  const [target] = targets
  return isObject(target) && hasMembers(target, ['type', 'id']) && target.type === 'stream' && target.id === stream
}
