import { isUtf8 } from 'node:buffer'
import crypto from 'node:crypto'
import { KillickError } from '../core/errors.ts'
import { MAX_EVENT_BYTES } from '../core/event.ts'
import { checkField } from '../core/fields.ts'
import { byteOf, Decoded, JsonScanner, literal, NO, skip } from './scan.ts'

// Not imported by its name: on a Node without it, the import itself would fail before version.ts could say so.
const { hash } = crypto

const TILDE = byteOf('~')
const FULL_STOP = byteOf('.')
const LINE_FEED = byteOf('\n')
const QUOTE = byteOf('"')
const COMMA = byteOf(',')
const CLOSE_ARRAY = byteOf(']')
const HYPHEN = byteOf('-')
const ZERO = byteOf('0')
const PREV = literal(',"prev":"')
const JTI = literal(',"jti":"')
const IAT = literal('","iat":')
const SD = literal(',"_sd":["')
const SD_END = literal('],"_sd_alg":"sha-256"}')
const SALT_BEGIN = literal('["')
const SALT_END = literal('",')

/** Characters: of a salt, a signature, a digest, and from one digest in `_sd` to the next. */
const SALT = 22
export const SIGNATURE = 86
const DIGEST = 43
const STRIDE = DIGEST + 3
/** Fields of an event beyond which core decides. */
const MAX_FIELDS = 30
const MAX_ACTION = 256
const MAX_TIME = Date.UTC(10_000, 0)

const setOf = (chars: string) => {
  const set = new Uint8Array(256)
  for (const byte of literal(chars)) set[byte] = 1
  return set
}
const BASE64URL = setOf('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_')
/** The last character of canonical base64url: after one remaining byte, and after two. */
const LAST_OF_ONE = setOf('AQgw')
const LAST_OF_TWO = setOf('048AEIMQUYcgkosw')

const HEX = new Int8Array(256).fill(-1)
for (const [i, byte] of literal('0123456789abcdef').entries()) HEX[byte] = i

const FIELDS = ['action', 'actor', 'targets', 'outcome', 'context', 'metadata', 'changes'] as const
const FIELD_NAMES = FIELDS.map(literal)
/** The first three, as bits. */
const REQUIRED = 0b111
const OUTCOMES = ['success', 'failure', 'denied'].map(literal)

/** What is noted of an event while it is read; one serves many events. */
export type EventNotes = {
  /** Leaf hash, base64url. */
  readonly leafHash: string
  /** 16 bytes, written before `begin`. */
  readonly id: Uint8Array
  /** When it was recorded, ms since 1970; written before `begin`. */
  time: number
  /** Begins a new event. */
  begin(leafHash: string): void
  /** It discloses this: the text is UTF-8 in `bytes[from, to)`. */
  term(kind: 'action' | 'actor' | 'target' | 'outcome', bytes: Uint8Array, from: number, to: number): void
  /** Its context, a JSON object. */
  context(json: Buffer): void
}

/** Notes of an event for who needs no more than its name, place and time. */
export class PlainNotes implements EventNotes {
  leafHash = ''
  readonly id: Uint8Array = new Uint8Array(16)
  time = 0
  begin(leafHash: string): void {
    this.leafHash = leafHash
  }
  term(): void {}
  context(): void {}
}

/**
 * Reads events as recorders print them: members in the order of docs/PROTOCOL.md, digests sorted, no white space. It checks
 * everything that core's parseEvent checks; the caller checks the signature. For any other formatting it returns NO and the
 * caller falls back to core's parser, so nothing is refused here that core would take.
 */
export class EventReader<Notes extends EventNotes> {
  readonly sketch: Notes
  /** Its `prev`: a leaf hash, base64url; '' for the first event of a stream. */
  prev = ''
  /** Where the 86 characters of its signature begin; NO for an unsigned one. */
  signatureAt: number = NO
  /** How many digests it does not disclose. */
  hidden = 0
  #opening: Uint8Array = literal('')
  readonly #payload = new Decoded(MAX_EVENT_BYTES)
  readonly #disclosure = new Decoded(MAX_EVENT_BYTES)
  readonly #json = new JsonScanner(this.#disclosure.bytes)
  readonly #leaf = Buffer.alloc(1 + MAX_EVENT_BYTES)
  /** Digests in the payload: where the first begins, how many there are, and as bits, which ones are disclosed. */
  #digestsAt = 0
  #digests = 0
  #disclosed = 0
  /** Fields seen: those of FIELDS as bits, and the names of others. */
  #fields = 0
  #others: string[] = []

  /** @param sketch serves for all of its events */
  constructor(sketch: Notes) {
    this.sketch = sketch
  }

  /** From now on events are of this stream. */
  open(source: string, stream: string): void {
    this.#opening = literal(`{"iss":"${source}","stm":"${stream}","seq":`)
  }

  /**
   * The event on the line that begins at `at`, which must be the `seq`-th of the stream.
   * @param head its JWS header, base64url with the full stop; empty for an unsigned event
   * @returns where the next line begins, or NO
   */
  read(text: Buffer, at: number, head: Uint8Array, seq: number): number {
    let end = skip(text, at, head)
    if (end !== NO) end = this.#payload.decode(text, end)
    if (end === NO || !this.#readPayload(seq)) return NO
    this.signatureAt = NO
    if (head.length > 0) {
      this.signatureAt = end + 1
      end = text[end] === FULL_STOP ? skipBase64url(text, end + 1, SIGNATURE, LAST_OF_ONE) : NO
    }
    if (end === NO || text[end] !== TILDE) return NO
    this.#leaf.set(text.subarray(at, end), 1)
    this.sketch.begin(hash('sha256', this.#leaf.subarray(0, 1 + end - at), 'base64url'))
    end = this.#readDisclosures(text, end + 1)
    return end === NO || text[end] !== LINE_FEED || end - at > MAX_EVENT_BYTES ? NO : end + 1
  }

  #readPayload(seq: number): boolean {
    const { bytes, length } = this.#payload
    let at = skip(bytes, 0, this.#opening)
    if (at !== NO) at = skipInteger(bytes, at, seq)
    if (at !== NO) at = this.#readPrev(at, seq)
    if (at !== NO) at = skip(bytes, at, JTI)
    if (at !== NO) at = readUuid(bytes, at, this.sketch.id)
    if (at !== NO) at = skip(bytes, at, IAT)
    if (at !== NO) at = this.#readTime(at)
    if (at !== NO) at = skip(bytes, at, SD)
    if (at === NO) return false
    const count = (length - SD_END.length + 2 - at) / STRIDE
    if (!Number.isInteger(count) || count < 1 || count > MAX_FIELDS) return false
    this.#digestsAt = at
    this.#digests = count
    for (let last = at + (count - 1) * STRIDE; at < last; at += STRIDE) {
      const isNext =
        bytes[at + DIGEST] === QUOTE && bytes[at + DIGEST + 1] === COMMA && bytes[at + DIGEST + 2] === QUOTE
      // In order, so none occurs twice.
      if (!isNext || !isBefore(bytes, at, at + STRIDE)) return false
    }
    return bytes[at + DIGEST] === QUOTE && skip(bytes, at + DIGEST + 1, SD_END) === length
  }

  #readPrev(at: number, seq: number): number {
    const { bytes } = this.#payload
    this.prev = ''
    if (seq === 0) return at
    const from = skip(bytes, at, PREV)
    const end = from === NO ? NO : skipBase64url(bytes, from, DIGEST, LAST_OF_TWO)
    if (end === NO || bytes[end] !== QUOTE) return NO
    this.prev = bytes.toString('latin1', from, end)
    return end + 1
  }

  /** Seconds with at most three decimals. */
  #readTime(at: number): number {
    const { bytes } = this.#payload
    let ms = 0
    let end = at
    for (let digit = digitAt(bytes, end); digit >= 0; digit = digitAt(bytes, ++end)) ms = ms * 10 + digit
    if (end === at || end - at > 12 || (bytes[at] === ZERO && end - at > 1)) return NO
    let unit = 1000
    if (bytes[end] === FULL_STOP) {
      const point = end++
      for (let digit = digitAt(bytes, end); digit >= 0; digit = digitAt(bytes, ++end), unit /= 10) ms = ms * 10 + digit
      if (end === point + 1 || end > point + 4) return NO
    }
    this.sketch.time = ms * unit
    return this.sketch.time < MAX_TIME ? end : NO
  }

  #readDisclosures(text: Buffer, at: number): number {
    this.#disclosed = 0
    this.#fields = 0
    this.#others = []
    this.hidden = this.#digests
    while (text[at] !== LINE_FEED) {
      const end = this.#disclosure.decode(text, at)
      if (end === NO || text[end] !== TILDE || !this.#readDisclosure()) return NO
      if (!this.#matchDigest(hash('sha256', text.subarray(at, end), 'base64url'))) return NO
      this.hidden--
      at = end + 1
    }
    return (this.#fields & REQUIRED) === REQUIRED && (this.hidden === 0 || this.#areDigests()) ? at : NO
  }

  /** Equal digests are those of equal disclosures, and no field is taken twice; so each has one of its own. */
  #matchDigest(digest: string): boolean {
    const { bytes } = this.#payload
    for (let i = 0, at = this.#digestsAt; i < this.#digests; i++, at += STRIDE) {
      let k = 0
      while (k < DIGEST && bytes[at + k] === digest.charCodeAt(k)) k++
      if (k < DIGEST) continue
      this.#disclosed |= 1 << i
      return true
    }
    return false
  }

  /** What is not disclosed must look like a digest too. */
  #areDigests(): boolean {
    for (let i = 0, at = this.#digestsAt; i < this.#digests; i++, at += STRIDE) {
      const isKnown = (this.#disclosed & (1 << i)) !== 0
      if (!isKnown && skipBase64url(this.#payload.bytes, at, DIGEST, LAST_OF_TWO) === NO) return false
    }
    return true
  }

  /** `["<salt>","<name>",<value>]` */
  #readDisclosure(): boolean {
    const { bytes, length, isAscii } = this.#disclosure
    let at = skip(bytes, 0, SALT_BEGIN)
    if (at !== NO) at = skipBase64url(bytes, at, SALT, LAST_OF_ONE)
    if (at !== NO) at = skip(bytes, at, SALT_END)
    if (at === NO || !(isAscii || isUtf8(bytes.subarray(0, length)))) return false
    const json = this.#json
    json.start()
    at = json.string(at)
    if (at === NO || json.isEscaped || bytes[at] !== COMMA) return false
    at = this.#readField(at + 1)
    return at === length - 1 && bytes[at] === CLOSE_ARRAY
  }

  /** @param at of the value; its name is the string read last */
  #readField(at: number): number {
    const json = this.#json
    const field = FIELD_NAMES.findIndex((name) => json.is(name))
    if (field < 0) return this.#readOther(at)
    if ((this.#fields & (1 << field)) !== 0) return NO
    this.#fields |= 1 << field
    switch (FIELDS[field]!) {
      case 'action':
        return this.#readAction(json.string(at))
      case 'actor':
        return this.#readParties('actor', json.object(at, 0, 'party'))
      case 'targets':
        return this.#readParties('target', json.array(at, 0, 'party'))
      case 'outcome':
        return this.#readOutcome(json.string(at))
      case 'context':
        return this.#readContext(at, json.object(at))
      case 'changes':
        return json.array(at, 0, 'change')
      default:
        return json.object(at)
    }
  }

  #readAction(end: number): number {
    const { from, to, isEscaped } = this.#json
    if (end === NO || isEscaped || to === from || to - from > MAX_ACTION) return NO
    this.sketch.term('action', this.#disclosure.bytes, from, to)
    return end
  }

  #readOutcome(end: number): number {
    const json = this.#json
    if (end === NO || !OUTCOMES.some((outcome) => json.is(outcome))) return NO
    this.sketch.term('outcome', this.#disclosure.bytes, json.from, json.to)
    return end
  }

  #readContext(at: number, end: number): number {
    if (end !== NO) this.sketch.context(this.#disclosure.bytes.subarray(at, end))
    return end
  }

  #readParties(kind: 'actor' | 'target', end: number): number {
    if (end === NO) return NO
    const { bytes } = this.#disclosure
    const { ids, parties } = this.#json
    for (let i = 0; i < parties; i++) this.sketch.term(kind, bytes, ids[2 * i]!, ids[2 * i + 1]!)
    return end
  }

  /** A custom field, or one whose form core knows better. */
  #readOther(at: number): number {
    const { bytes } = this.#disclosure
    const name = bytes.toString('latin1', this.#json.from, this.#json.to)
    const end = this.#json.value(at)
    if (end === NO || this.#others.includes(name)) return NO
    this.#others.push(name)
    return isField(name, JSON.parse(bytes.toString('utf8', at, end))) ? end : NO
  }
}

function isField(name: string, value: unknown): boolean {
  try {
    checkField(name, value, () => {
      throw new KillickError('disclosure_field_invalid')
    })
    return true
  } catch (error) {
    if (error instanceof KillickError) return false
    throw error
  }
}

/** @returns where base64url of `length` characters ends, if that much stands at `at` and its last character may be the last */
function skipBase64url(bytes: Uint8Array, at: number, length: number, last: Uint8Array): number {
  const end = at + length
  for (let i = at; i < end; i++) if (BASE64URL[bytes[i]!] !== 1) return NO
  return last[bytes[end - 1]!] === 1 ? end : NO
}

/** @returns where the decimal digits of `value` end, if they stand at `at` */
function skipInteger(bytes: Uint8Array, at: number, value: number): number {
  let found = 0
  let end = at
  for (let digit = digitAt(bytes, end); digit >= 0; digit = digitAt(bytes, ++end)) found = found * 10 + digit
  const isPlain = end > at && end - at <= 16 && (bytes[at] !== ZERO || end - at === 1)
  return isPlain && found === value ? end : NO
}

/** Negative if there is no digit. */
const digitAt = (bytes: Uint8Array, at: number): number => {
  const digit = bytes[at]! - ZERO
  return digit <= 9 ? digit : -1
}

function isBefore(bytes: Uint8Array, a: number, b: number): boolean {
  for (let i = 0; i < DIGEST; i++) if (bytes[a + i] !== bytes[b + i]) return bytes[a + i]! < bytes[b + i]!
  return false
}

/** A lower-case UUIDv7 (RFC 9562), 36 characters, into 16 bytes. */
function readUuid(bytes: Uint8Array, at: number, into: Uint8Array): number {
  for (let i = 0, k = at; i < 16; i++, k += 2) {
    if (i === 4 || i === 6 || i === 8 || i === 10) {
      if (bytes[k] !== HYPHEN) return NO
      k++
    }
    const value = (HEX[bytes[k]!]! << 4) | HEX[bytes[k + 1]!]!
    if (value < 0) return NO
    into[i] = value
  }
  return into[6]! >> 4 === 7 && into[8]! >> 6 === 2 ? at + 36 : NO
}
