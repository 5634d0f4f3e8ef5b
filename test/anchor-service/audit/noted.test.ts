// What the service's audit notes of events while it reads them is what they say when they are parsed, on whatever thread.
import {
  type EventInput,
  nodePrimitives,
  type ParsedEvent,
  parseBatch,
  parseBatchHeader,
  utf8,
} from '@killick/sdk/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NOTING_READERS, notedOf, partOf, timesWithin } from '../../../anchor-service/src/audit/noted.ts'
import { openReaders, type StretchRead } from '../../../sdk/src/audit/readers.ts'
import { KnownKeys } from '../../../sdk/src/audit/readings.ts'
import type { Stretch } from '../../../sdk/src/audit/stretches.ts'
import { newSigner, Producer, sampleEvent } from '../support/producer.ts'

const signer = newSigner()

const text = fc.string({ minLength: 1, maxLength: 12, unit: fc.constantFrom('a', 'é', '"', '\\', '🪨', ' ') })
const inputs = fc.record(
  {
    action: fc.constantFrom('invoice.approve', 'a.b.c.d.e.f', 'login'),
    actor: fc.record({ type: fc.constantFrom('user', 'service'), id: text }),
    targets: fc.array(fc.record({ type: fc.constant('invoice'), id: text }), { minLength: 1, maxLength: 20 }),
    outcome: fc.constantFrom('success', 'failure', 'denied'),
    context: fc.record({ tenant: text, ip: text }, { requiredKeys: [] }),
    metadata: fc.dictionary(text, text, { maxKeys: 3 }),
  },
  { requiredKeys: ['action', 'actor', 'targets'] },
) as fc.Arbitrary<EventInput>
/** An event, which of its disclosures are gone, when it was recorded, and whether it is signed. */
const event = fc.record({
  input: inputs,
  gone: fc.array(fc.nat({ max: 5 }), { maxLength: 2 }),
  time: fc.integer({ min: 1, max: Date.UTC(2100, 0) }),
})

function parse(body: string): { events: ParsedEvent[]; header: ReturnType<typeof parseBatchHeader> } {
  const header = parseBatchHeader(body.slice(0, body.indexOf('\n')))
  return { header, events: parseBatch(utf8(body), nodePrimitives, 'stored').events }
}

test('what is noted of a batch is what its events say, with fields that are gone, and is told of each part', async () => {
  let read = 0
  await fc.assert(
    fc.asyncProperty(fc.array(event, { minLength: 1, maxLength: 6 }), fc.boolean(), async (events, isSigned) => {
      const producer = new Producer('billing', signer)
      const batch = await producer.batch(
        events.map(({ input }) => input),
        { times: events.map(({ time }) => time), eventSigner: isSigned ? signer : null },
      )
      const [top, ...lines] = batch.body.trimEnd().split('\n')
      const left = lines.map((line, i) => {
        const [leaf, ...parts] = line.split('~')
        return [leaf, ...parts.slice(0, -1).filter((_, k) => !events[i]!.gone.includes(k)), ''].join('~')
      })
      const body = `${[top, ...left].join('\n')}\n`
      const bytes = Uint8Array.from(Buffer.from(body, 'latin1'))
      const [reading] = NOTING_READERS.read({ ends: [bytes.length], bytes, keys: [signer.jwk] }, new KnownKeys())
      expect(reading).toMatchObject({ fault: null, header: 'valid', unsigned: [] })
      read += reading!.noted === null ? 0 : 1
      const parsed = parse(body)
      const noted = notedOf({ ...parsed, noted: reading!.noted })!
      expect(noted).toEqual(notedOf({ ...parsed, noted: null }))
      expect(timesWithin(noted)).toEqual({
        earliest: Math.min(...events.map(({ time }) => time)),
        latest: Math.max(...events.map(({ time }) => time)),
      })
      const parts = events.map((_, i) => partOf(noted, i, 1))
      for (const [i, part] of parts.entries())
        expect(part).toEqual(notedOf({ header: { ...parsed.header, n: 1 }, noted: null, events: [parsed.events[i]!] }))
    }),
    { numRuns: process.env.CI ? 200 : 60 },
  )
  // Batches as recorders print them are read without parsing.
  expect(read).toBeGreaterThan(30)
}, 60_000)

test('threads note the same', async () => {
  const producer = new Producer('billing', signer)
  const bodies: string[] = []
  for (let i = 0; i < 12; i++) {
    const batch = await producer.batch(
      Array.from({ length: 40 }, (_, k) => ({ ...sampleEvent(k), metadata: { filler: 'x'.repeat(4_000) } })),
    )
    batch.advance()
    bodies.push(batch.body)
  }
  const readers = openReaders(2, NOTING_READERS)
  const given: Stretch[] = []
  async function* stretches() {
    // Some are read here before the threads have started.
    for (let i = 0; given.length < 400 && given.every(({ bytes }) => bytes.length > 0); i++) {
      const body = bodies[i % bodies.length]!
      const header = parseBatchHeader(body.slice(0, body.indexOf('\n')))
      const bytes = Uint8Array.from(Buffer.from(body, 'latin1'))
      given.push({ first: i, headers: [header], counts: [header.n], ends: [bytes.length], bytes })
      yield given.at(-1)!
    }
  }
  try {
    const found: StretchRead[] = []
    for await (const one of readers.readAll(stretches(), () => [signer.jwk])) found.push(one)
    expect(given.some(({ bytes }) => bytes.length === 0)).toBe(true)
    for (const [i, { readings }] of found.entries()) {
      const { header, events } = parse(bodies[i % bodies.length]!)
      expect(notedOf({ header, events, noted: readings[0]!.noted })).toEqual(notedOf({ header, events, noted: null }))
      expect(readings[0]!.noted).not.toBe(null)
    }
  } finally {
    await readers.close()
  }
}, 60_000)
