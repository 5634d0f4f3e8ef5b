import { randomBytes } from 'node:crypto'
import { parseEvent } from '@killick/sdk/core'
import { describe, expect, test } from 'vitest'
import {
  EventSketch,
  eventsWith,
  idKey,
  leafKey,
  packKeys,
  sketchEvent,
  termKey,
} from '../../../../anchor-service/src/ledger/packs/event-keys.ts'
import { KIND_BYTES, NEWEST, SCHEMES, type TermKind } from '../../../../anchor-service/src/ledger/packs/filters.ts'
import { EventReader } from '../../../../sdk/src/node/event-reader.ts'
import { vectors } from '../../../support/vectors.ts'
import { uuidv7 } from '../../support/producer.ts'

test('no leaf hash and no id, even a chosen one, has the key of a term', () => {
  const first = (key: Buffer) => key[0]! >> 6
  for (let i = 0; i < 200; i++) {
    for (const kind of Object.keys(KIND_BYTES) as TermKind[]) expect(first(termKey(kind, `text ${i}`))).toBe(0b11)
    expect(first(leafKey(randomBytes(32))) >> 1).toBe(0)
    expect(first(idKey(Buffer.from(uuidv7().replaceAll('-', ''), 'hex')))).toBe(0b10)
  }
})

type Vectors = {
  scheme: number
  source: string
  stream: string
  pack: string[]
  events: { description: string; token: string; keys: string[] }[]
}[]
const all = vectors<Vectors>('search-keys')
const inHex = (keys: Buffer) => keys.toString('hex').match(/.{16}/g) ?? []
const keysIn = ({ keys, keyCount }: EventSketch) => inHex(keys.subarray(0, 8 * keyCount))

test('every scheme has its vectors', () => {
  expect(all.map(({ scheme }) => scheme)).toEqual(Object.keys(SCHEMES).map(Number))
  expect(NEWEST).toBe(Math.max(...all.map(({ scheme }) => scheme)))
})

describe.each(all)('scheme $scheme', ({ scheme, source, stream, pack, events }) => {
  test('keys of a pack', () => {
    expect(inHex(packKeys({ source, stream }, scheme))).toEqual(pack)
  })

  test.each(events)('by core: $description', ({ token, keys }) => {
    expect(keysIn(sketchEvent(parseEvent(token), scheme))).toEqual(keys)
  })
})

test.each(all.at(-1)!.events)('the newest, by the fast reader: $description', ({ token, keys }) => {
  const { source, stream, seq } = parseEvent(token)
  const text = Buffer.from(`${token}\n`, 'latin1')
  const reader = new EventReader(new EventSketch())
  reader.open(source, stream)
  // Twice: what it remembers of the first is the same.
  for (let i = 0; i < 2; i++) {
    expect(reader.read(text, 0, text.subarray(0, token.indexOf('.') + 1), seq)).toBe(text.length)
    expect(keysIn(reader.sketch)).toEqual(keys)
  }
})

test('an event with very many terms has keys for all of them', () => {
  const sketch = new EventSketch()
  sketch.begin('A'.repeat(43))
  for (let i = 0; i < 100; i++) sketch.term(i % 2 === 0 ? 'target' : 'action', Buffer.from(`${i}.b.c.d.e.f`))
  const expected = Array.from({ length: 100 }, (_, i) =>
    i % 2 === 0
      ? [termKey('target', `${i}.b.c.d.e.f`)]
      : [
          termKey('action', `${i}.b.c.d.e.f`),
          ...[`${i}`, `${i}.b`, `${i}.b.c`, `${i}.b.c.d`].map((text) => termKey('prefix', text)),
        ],
  ).flat()
  expect(keysIn(sketch).slice(2)).toEqual(expected.map((key) => key.toString('hex')))
})

test('the events of a pack that have all keys are found, and never by a key of the pack itself', () => {
  const [of, a, b] = [packKeys({ source: 's', stream: 'm' }), termKey('action', 'a'), termKey('action', 'b')]
  const row = { keys: Buffer.concat([of, a, b, a, b]), key_counts: Buffer.from('000200000001' + '0001', 'hex') }
  expect(eventsWith([a], row)).toEqual([0, 2])
  expect(eventsWith([a, b], row)).toEqual([0])
  expect(eventsWith([of.subarray(0, 8)], row)).toEqual([])
  expect(eventsWith([], row)).toEqual([0, 1, 2, 3])
})
