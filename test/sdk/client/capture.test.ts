import fc from 'fast-check'
import { expect, test } from 'vitest'
import { draftEvent, placeEvent, type SignedEvent } from '../../../sdk/src/client/capture.ts'
import { generateKey, signerOf } from '../../../sdk/src/client/key.ts'
import { saltText, uuidv7 } from '../../../sdk/src/client/random.ts'
import { toBase64url } from '../../../sdk/src/core/bytes.ts'
import { isEventId, makeEvent, parseEvent } from '../../../sdk/src/core/event.ts'
import { leafHash, printHash } from '../../../sdk/src/core/hash.ts'
import type { JsonObject } from '../../../sdk/src/core/json.ts'

const signer = signerOf(generateKey())
const scalar = fc.oneof(
  fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed()),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
)
const json = fc.oneof(
  scalar,
  fc.array(scalar),
  fc.dictionary(
    fc.string({ unit: 'grapheme', maxLength: 8 }).filter((name) => name !== '__proto__'),
    scalar,
    { noNullPrototype: true },
  ),
)
const text = fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' })
const party = fc.record({ type: text, id: text })
const input = fc.record(
  {
    action: text,
    actor: party,
    targets: fc.array(party, { maxLength: 3 }),
    metadata: fc.record({ any: json }),
    note: json,
    occurredAt: fc.constant(undefined),
  },
  { requiredKeys: ['action', 'actor', 'targets'] },
)

test('a token is byte for byte the one that core makes, signed and unsigned', async () => {
  await fc.assert(
    fc.asyncProperty(input, fc.nat(2 ** 40), fc.nat(5), async (event, time, seq) => {
      const mint = <T>(form: (bytes: Uint8Array) => T) => {
        let n = 0
        return { id: '0192f0c1-7b1a-7c3e-9f00-5b1f6a3c2d10', time, salt: () => form(new Uint8Array(16).fill(n++)) }
      }
      const prev = leafHash(Uint8Array.of(seq))
      const place = { source: 'billing-api', stream: 's-1', seq, prev: seq === 0 ? null : printHash(prev) }
      for (const key of [signer, null]) {
        const made = await makeEvent(
          event as never,
          { ...place, prev: seq === 0 ? undefined : prev },
          mint((bytes) => bytes),
          key ?? undefined,
        )
        const placed = (await placeEvent(draftEvent(event as never, mint(toBase64url)), place, key)) as SignedEvent
        expect(placed.token).toBe(made.token)
        expect(placed.leafHash).toBe(printHash(made.leafHash))
        expect(parseEvent(placed.token).fields).toEqual(JSON.parse(JSON.stringify(event)))
      }
    }),
    { numRuns: process.env.CI ? 2000 : 100 },
  )
})

test('a draft no longer depends on the object it was made from', async () => {
  const event = { action: 'a', actor: { type: 'user', id: 'ada' }, targets: [], metadata: { n: 1 } as JsonObject }
  const draft = draftEvent(event, { id: uuidv7(Date.now()), time: Date.now(), salt: saltText })
  event.metadata.n = 2
  const placed = (await placeEvent(draft, { source: 's', stream: 's', seq: 0, prev: null }, signer)) as SignedEvent
  expect(parseEvent(placed.token).fields.metadata).toEqual({ n: 1 })
})

test('ids are UUIDv7 of the time given, whatever the clock says, and never repeat', () => {
  const ids = [0, 1, Date.now(), 2 ** 48 - 1].flatMap((time) => Array.from({ length: 3000 }, () => uuidv7(time)))
  expect(ids.every(isEventId)).toBe(true)
  expect(new Set(ids).size).toBe(ids.length)
  expect(Number.parseInt(uuidv7(1_700_000_000_123).replaceAll('-', '').slice(0, 12), 16)).toBe(1_700_000_000_123)
})

test('salts are 16 bytes and never repeat, across the refills of the pool', () => {
  const salts = Array.from({ length: 3000 }, saltText)
  expect(salts.every((salt) => Buffer.from(salt, 'base64url').length === 16)).toBe(true)
  expect(new Set(salts).size).toBe(3000)
})
