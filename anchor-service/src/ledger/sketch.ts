import { isObject, type JsonValue, type ParsedEvent, printHash } from '@killick/sdk'
import { murmur3 } from './murmur.ts'

/** What events are found by, beside their names and their time. */
export type TermKind = 'source' | 'action' | 'actor' | 'target'

/** Seeds of the first half of its key, and of the second. */
const SEEDS: Record<TermKind, readonly [number, number]> = {
  source: [0, 4],
  action: [1, 5],
  actor: [2, 6],
  target: [3, 7],
}

/**
 * What the ledger notes of an event beside its token. A key has 8 bytes: the beginning of the event's leaf hash; the end of its
 * id, where that is random; then, for its action, its actor's id and its targets' ids as they are disclosed, MurmurHash3 of
 * the text under two seeds of its kind. Two texts may share a key: the events themselves have the last word, and whoever makes
 * many that do only makes readers look at more events, as he could by using the same text.
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
    this.id.copy(this.keys, 8, 8)
    this.keyCount = 2
  }

  /** Adds the key of the term whose UTF-8 is `bytes[from, to)`. */
  term(kind: TermKind, bytes: Uint8Array, from = 0, to: number = bytes.length): void {
    const at = 8 * this.keyCount++
    if (at === this.keys.length) this.keys = Buffer.concat([this.keys, this.keys])
    const [first, second] = SEEDS[kind]
    this.keys.writeInt32BE(murmur3(bytes, from, to, first), at)
    this.keys.writeInt32BE(murmur3(bytes, from, to, second), at + 4)
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
  lookup.term(kind, Buffer.from(text))
  return Buffer.from(lookup.keys.subarray(0, 8))
}
