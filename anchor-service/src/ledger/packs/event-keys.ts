import { hash } from 'node:crypto'
import { isObject, type JsonValue, type ParsedEvent, printHash } from '@killick/sdk/core'

/** What events are found by, beside their names and their time. */
export type TermKind = 'source' | 'action' | 'actor' | 'target'

const KIND_BYTES: Record<TermKind, number> = { source: 0x73, action: 0x61, actor: 0x75, target: 0x74 }

/** The longest term is the id of a party: 512 UTF-16 units. */
const scratch = Buffer.alloc(2048)

/** Of a leaf hash keys begin with the bit 0, of an id with 10 (RFC 9562), of a term with 11: so no event can be named like a term. */
const LEAF_BITS = 0x7f
const TERM_BITS = 0xc0

/**
 * What the ledger notes of an event beside its token. A key has 8 bytes: the beginning of the event's leaf hash; the end of its
 * id, which is random; then, for its action, its actor's id and its targets' ids as they are disclosed, the beginning of
 * SHA-256(kind ‖ text). Two texts may share a key: the events themselves have the last word.
 *
 * One sketch serves many events, one after another.
 */
export class EventSketch {
  /** base64url */
  leafHash = ''
  readonly id: Buffer = Buffer.alloc(16)
  /** ms since 1970 */
  time = 0
  /** 8 bytes each */
  keys: Buffer = Buffer.alloc(128)
  keyCount = 0

  /** Begins with the event's names; its id is there already. */
  begin(leafHash: string): void {
    this.leafHash = leafHash
    this.keys.write(leafHash, 0, 8, 'base64url')
    this.keys[0]! &= LEAF_BITS
    this.id.copy(this.keys, 8, 8)
    this.keyCount = 2
  }

  /** Adds the key of the term whose UTF-8 is `bytes[from, to)`. */
  term(kind: TermKind, bytes: Uint8Array, from = 0, to: number = bytes.length): void {
    const at = 8 * this.keyCount++
    if (at === this.keys.length) this.keys = Buffer.concat([this.keys, this.keys])
    scratch[0] = KIND_BYTES[kind]
    for (let i = from; i < to; i++) scratch[1 + i - from] = bytes[i]!
    this.keys.write(hash('sha256', scratch.subarray(0, 1 + to - from), 'binary'), at, 8, 'latin1')
    this.keys[at]! |= TERM_BITS
  }
}

/** The sketch of an event that core has parsed. */
export function sketchEvent(event: ParsedEvent): EventSketch {
  const sketch = new EventSketch()
  sketch.id.write(event.id.replaceAll('-', ''), 'hex')
  sketch.time = event.time
  sketch.begin(printHash(event.leafHash))
  const add = (kind: TermKind, value: JsonValue | undefined) =>
    typeof value === 'string' && sketch.term(kind, Buffer.from(value))
  for (const { name, value } of event.disclosures) {
    if (name === 'action') add('action', value)
    if (name === 'actor') add('actor', idOf(value))
    if (name === 'targets') for (const target of value as JsonValue[]) add('target', idOf(target))
  }
  return sketch
}

/** The id of a party. */
export const idOf = (party: JsonValue | undefined) => (isObject(party) ? party.id : undefined)

const lookup = new EventSketch()

/** The key of a term. */
export function termKey(kind: TermKind, text: string): Buffer {
  lookup.keyCount = 0
  lookup.term(kind, Buffer.from(text).subarray(0, scratch.length - 1))
  return Buffer.from(lookup.keys.subarray(0, 8))
}

/** The key of a leaf hash, and of an id: 32 and 16 bytes. */
export const leafKey = (leafHash: Uint8Array): Buffer => {
  const key = Buffer.from(leafHash.subarray(0, 8))
  key[0]! &= LEAF_BITS
  return key
}
export const idKey = (id: Uint8Array): Buffer => Buffer.from(id.subarray(8))
