import { hash } from 'node:crypto'
import { type EventNotes, type ParsedEvent, printHash } from '@killick/sdk/core'
import { fieldTerms, KIND_BYTES, MAX_PREFIXES, NEWEST, packTerms, SCHEMES, type TermKind, tenantOf } from './filters.ts'

/** Bytes of the longest term, the id of a party: 512 UTF-16 units. */
const scratch = Buffer.alloc(2048)

/**
 * The key of a leaf hash begins with the bit 0, of an id with 10 (RFC 9562), of a term with 11. So no event can have the key of a
 * term.
 */
const LEAF_BITS = 0x7f
const TERM_BITS = 0xc0

const FULL_STOP = 0x2e
const TENANT = Buffer.from('"tenant"')

/** Writes the key of the term whose UTF-8 is `bytes[from, to)`: the beginning of SHA-256(kind ‖ text). */
function writeKey(keys: Buffer, at: number, kind: TermKind, bytes: Uint8Array, from: number, to: number): void {
  scratch[0] = KIND_BYTES[kind]
  for (let i = from; i < to; i++) scratch[1 + i - from] = bytes[i]!
  keys.write(hash('sha256', scratch.subarray(0, 1 + to - from), 'binary'), at, 8, 'latin1')
  keys[at]! |= TERM_BITS
}

/** Keys of terms that events repeat, in slots given by a hash of the term. Long terms are not kept, so a thread keeps 1 MiB at most. */
type Known = { kind: TermKind; text: Uint8Array; keys: Buffer }
const SLOT_BITS = 12
const MAX_KNOWN_BYTES = 64
const known: (Known | undefined)[] = Array.from({ length: 1 << SLOT_BITS })

/** The key of a term; for an action, the keys of its prefixes follow. */
function keysOfTerm(kind: TermKind, bytes: Uint8Array, from: number, to: number): Buffer {
  let sum = KIND_BYTES[kind] as number
  for (let i = from; i < to; i++) sum = (Math.imul(sum, 31) + bytes[i]!) | 0
  // Fibonacci hashing (Knuth, The Art of Computer Programming, vol. 3, 6.4), so that names with numbers do not share slots.
  const slot = Math.imul(sum, 0x9e3779b1) >>> (32 - SLOT_BITS)
  const found = known[slot]
  if (found !== undefined && found.kind === kind && isText(found.text, bytes, from, to)) return found.keys
  const prefixes: Buffer[] = []
  for (let i = from; kind === 'action' && i < to && prefixes.length < MAX_PREFIXES; i++)
    if (bytes[i] === FULL_STOP) prefixes.push(keyOf('prefix', bytes, from, i))
  const keys = Buffer.concat([keyOf(kind, bytes, from, to), ...prefixes])
  if (to - from <= MAX_KNOWN_BYTES) known[slot] = { kind, text: Uint8Array.from(bytes.subarray(from, to)), keys }
  return keys
}

function isText(text: Uint8Array, bytes: Uint8Array, from: number, to: number): boolean {
  if (text.length !== to - from) return false
  for (let i = 0; i < text.length; i++) if (text[i] !== bytes[from + i]) return false
  return true
}

/**
 * What the ledger stores of an event beside its token. Each key has 8 bytes: first the beginning of the event's leaf hash, then
 * the end of its id, which is random, then the keys of its disclosed terms, as in filters.ts. Two texts may share a key, so a
 * search must look at the events themselves.
 *
 * One sketch is reused for many events.
 */
export class EventSketch implements EventNotes {
  /** base64url */
  leafHash = ''
  readonly id: Buffer = Buffer.alloc(16)
  /** ms since 1970 */
  time = 0
  /** 8 bytes each */
  keys: Buffer = Buffer.alloc(128)
  keyCount = 0
  readonly #kinds: ReadonlySet<TermKind>

  constructor(scheme: number = NEWEST) {
    this.#kinds = SCHEMES[scheme]!
  }

  /** Begins a new event with the keys of its names. The caller has already set its id. */
  begin(leafHash: string): void {
    this.leafHash = leafHash
    this.keys.write(leafHash, 0, 8, 'base64url')
    this.keys[0]! &= LEAF_BITS
    this.id.copy(this.keys, 8, 8)
    this.keyCount = 2
  }

  /**
   * Adds the key of the term whose UTF-8 is `bytes[from, to)`, if the scheme has its kind; for an action, its prefixes' keys too.
   */
  term(kind: TermKind, bytes: Uint8Array, from = 0, to: number = bytes.length): void {
    if (!this.#kinds.has(kind)) return
    // Most targets come once.
    if (kind === 'target') {
      const at = this.#place(1)
      writeKey(this.keys, at, kind, bytes, from, to)
      return
    }
    const keys = keysOfTerm(kind, bytes, from, to)
    const length = this.#kinds.has('prefix') ? keys.length : 8
    const at = this.#place(length / 8)
    for (let i = 0; i < length; i++) this.keys[at + i] = keys[i]!
  }

  /** Adds the key of the tenant that a context names. */
  context(json: Buffer): void {
    // Most contexts name none. A member's name has no escapes here.
    if (!json.includes(TENANT)) return
    const tenant = tenantOf(JSON.parse(json.toString('utf8')))
    if (tenant !== undefined) this.term('tenant', Buffer.from(tenant))
  }

  /** Makes room for some keys. @returns their offset */
  #place(keys: number): number {
    const at = 8 * this.keyCount
    this.keyCount += keys
    if (8 * this.keyCount > this.keys.length) this.keys = Buffer.concat([this.keys, this.keys])
    return at
  }
}

function keyOf(kind: TermKind, bytes: Uint8Array, from: number, to: number): Buffer {
  const key = Buffer.alloc(8)
  writeKey(key, 0, kind, bytes, from, to)
  return key
}

/** The sketch of an event that core has parsed. */
export function sketchEvent(event: ParsedEvent, scheme: number = NEWEST): EventSketch {
  const sketch = new EventSketch(scheme)
  sketch.id.write(event.id.replaceAll('-', ''), 'hex')
  sketch.time = event.time
  sketch.begin(printHash(event.leafHash))
  for (const { name, value } of event.disclosures)
    for (const { kind, text } of fieldTerms(name, value)) sketch.term(kind, Buffer.from(text))
  return sketch
}

/** The key of a term. */
export function termKey(kind: TermKind, text: string): Buffer {
  const bytes = Buffer.from(text).subarray(0, scratch.length - 1)
  return keyOf(kind, bytes, 0, bytes.length)
}

/** The keys that a pack begins with, before those of its events. */
export const packKeys = (header: { source: string; stream: string }, scheme: number = NEWEST): Buffer =>
  Buffer.concat(
    packTerms(header)
      .filter(({ kind }) => SCHEMES[scheme]!.has(kind))
      .map(({ kind, text }) => termKey(kind, text)),
  )

/** The keys of an event in a row of keys, and how many events a row has. */
export type PackKeys = { keys: Buffer; key_counts: Buffer }

/**
 * Which events of a pack have all keys, by their place in the pack. The keys of the pack itself come first, before those of its
 * events.
 */
export function eventsWith(wanted: readonly Buffer[], { keys, key_counts }: PackKeys): number[] {
  const n = Math.floor(key_counts.length / 2)
  const [some, ...others] = wanted.map((key) => ownersOf(key, keys, key_counts))
  if (some === undefined) return Array.from({ length: n }, (_, pos) => pos)
  return [...some].filter((pos) => others.every((owners) => owners.has(pos)))
}

function ownersOf(key: Buffer, keys: Buffer, counts: Buffer): Set<number> {
  const owners = new Set<number>()
  let all = 0
  for (let i = 0; i + 2 <= counts.length; i += 2) all += counts.readUInt16BE(i)
  let event = -1
  let end = Math.max(0, keys.length - 8 * all)
  for (let at = keys.indexOf(key, end); at >= 0; at = keys.indexOf(key, at + 1)) {
    if (at % 8 !== 0) continue
    while (at >= end && 2 * (event + 1) < counts.length) end += 8 * counts.readUInt16BE(2 * ++event)
    if (event >= 0) owners.add(event)
  }
  return owners
}

/** The key of a leaf hash (32 bytes) or of an id (16 bytes). */
export const leafKey = (leafHash: Uint8Array): Buffer => {
  const key = Buffer.from(leafHash.subarray(0, 8))
  key[0]! &= LEAF_BITS
  return key
}
export const idKey = (id: Uint8Array): Buffer => Buffer.from(id.subarray(8))
