// Intake reads events several times as fast as core, byte by byte. It must never accept what core refuses, nor read anything
// differently. And it must accept what recorders print, or it would gain nothing.

import {
  type AnyEventInput,
  type BatchHeader,
  type EventInput,
  fromBase64url,
  KillickError,
  makeEvent,
  nodePrimitives,
  type ParsedEvent,
  parseBatch,
  parseBatchHeader,
  parseEvent,
  parseJson,
  printBatch,
  printHash,
  signBatchHeader,
  splitBatch,
  toBase64url,
  treeRoot,
  utf8,
} from '@killick/sdk/core'
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { type LineSignature, readEvents } from '../../../anchor-service/src/intake/read-batch.ts'
import { EventSketch, sketchEvent } from '../../../anchor-service/src/ledger/packs/event-keys.ts'
import { treeOver } from '../../../anchor-service/src/ledger/tree/batch-tree.ts'
import { draftEvent, placeEvent } from '../../../sdk/src/client/capture.ts'
import { saltText, uuidv7 } from '../../../sdk/src/client/random.ts'
import { EventReader } from '../../../sdk/src/node/event-reader.ts'
import { Decoded, JsonScanner, NO } from '../../../sdk/src/node/scan.ts'
import { vectors } from '../../support/vectors.ts'
import { newSigner, Producer, sampleEvent } from '../support/producer.ts'

const runs = (few: number, many: number) => ({ numRuns: process.env.CI ? many : few })

function ifValid<T>(parse: () => T): T | null {
  try {
    return parse()
  } catch (error) {
    if (error instanceof KillickError) return null
    throw error
  }
}

describe('base64url', () => {
  const decoded = new Decoded(1000)
  const decode = (text: string) => {
    const end = decoded.decode(Buffer.from(`${text}\n`, 'latin1'), 0)
    return end === text.length ? decoded.bytes.subarray(0, decoded.length) : null
  }
  // A property that answers costs a tenth of one that expects, and there are many runs.
  const agree = (text: string): boolean => {
    const [expected, found] = [fromBase64url(text), decode(text)]
    return expected === null ? found === null : found?.equals(expected) === true
  }

  test('is decoded as core decodes it, and everything else is refused', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => agree(toBase64url(bytes))),
      runs(200, 5_000),
    )
    const chars = fc.constantFrom(...'ABQgwxyz019_-+/=~. ')
    fc.assert(fc.property(fc.string({ unit: chars, maxLength: 12 }), agree), runs(2_000, 50_000))
  })

  test('is refused if it is longer than there is room for', () => {
    const small = new Decoded(16)
    expect(small.decode(Buffer.from(`${'A'.repeat(16)}\n`), 0)).toBe(16)
    for (const length of [24, 25, 26, 27, 28, 64])
      expect(small.decode(Buffer.from(`${'A'.repeat(length)}\n`), 0), String(length)).toBe(NO)
  })

  test('is reported to be ASCII or not', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 9 }), (bytes) => {
        decode(toBase64url(bytes))
        return decoded.isAscii === bytes.every((byte) => byte < 0x80)
      }),
      runs(500, 5_000),
    )
  })
})

describe('JSON', () => {
  const bytes = Buffer.alloc(100_000)
  const scanner = new JsonScanner(bytes)
  /** Whether the scanner takes the whole text for one value. */
  const takes = (text: string) => {
    const length = bytes.write(text)
    bytes[length] = 0
    scanner.start()
    return scanner.value(0) === length
  }

  test('of any value, printed compactly, is taken unless it holds what is left to core', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
        const text = JSON.stringify(value)
        const isLeft = /\\|__proto__|"_sd"|"\.\.\."|[\d.]e[+-]|\d{16}/.test(text)
        return takes(text) || isLeft
      }),
      runs(500, 20_000),
    )
  })

  test('is taken with short escapes, but not in names', () => {
    expect(takes(JSON.stringify('" \\ \b \f \n \r \t /'))).toBe(true)
    expect(takes('"\\/"')).toBe(true)
    expect(takes('{"a\\n":1}')).toBe(false)
  })

  test('that core refuses is never taken', () => {
    const pieces = fc.constantFrom(
      ...[
        '{',
        '}',
        '[',
        ']',
        ',',
        ':',
        '"',
        '\\',
        '\\"',
        '\\n',
        '\\u0041',
        'u',
        'a',
        '0',
        '1',
        '-',
        '.',
        'e',
        '9007199254740993',
      ],
      ...[
        '"a"',
        '"a":',
        '"b":1',
        'true',
        'false',
        'null',
        ' ',
        '\t',
        '\u0001',
        '\u007f',
        'é',
        '1.5',
        '00',
        '-0',
        '{}',
        '[]',
      ],
    )
    const texts = fc.array(pieces, { maxLength: 12 }).map((parts) => parts.join(''))
    const wrapped = texts.map((text) => `[${text}]`)
    fc.assert(
      fc.property(fc.oneof(texts, wrapped), (text) => {
        if (takes(text))
          expect(
            ifValid(() => [parseJson(text)]),
            text,
          ).not.toBeNull()
      }),
      runs(5_000, 100_000),
    )
  })

  test('is left to core if it is nested deeply or has many members', () => {
    expect(takes(`${'['.repeat(20)}${']'.repeat(20)}`)).toBe(true)
    expect(takes(`${'['.repeat(21)}${']'.repeat(21)}`)).toBe(false)
    const members = (count: number) => `{${Array.from({ length: count }, (_, i) => `"m${i}":0`).join()}}`
    expect(takes(members(64))).toBe(true)
    expect(takes(members(65))).toBe(false)
    expect(takes(`{"a":${members(64)},"a":1}`)).toBe(false)
    expect(takes(`{"a":${members(64)},"m3":1,"b":${members(3)}}`)).toBe(true)
  })
})

const value = fc.jsonValue({ maxDepth: 2, depthSize: 'small' })
const text = fc.string({ maxLength: 12, unit: fc.constantFrom(...'aZ0 ./:"\\\n\u0001é€🎉_') })
const name = fc.string({ minLength: 1, maxLength: 12, unit: fc.constantFrom(...'aZ0 ./:é€🎉_') })

const input: fc.Arbitrary<EventInput> = fc
  .record(
    {
      action: name,
      actor: fc.record({ type: name, id: name, name: text }, { requiredKeys: ['type', 'id'] }),
      targets: fc.array(fc.record({ type: name, id: name, extra: value }), { maxLength: 3 }),
      outcome: fc.constantFrom('success', 'failure', 'denied'),
      context: fc.dictionary(name, value, { maxKeys: 3 }),
      changes: fc.array(fc.record({ path: text, before: value, after: value }, { requiredKeys: ['path'] }), {
        maxLength: 3,
      }),
      metadata: fc.dictionary(text, value, { maxKeys: 3 }),
      occurredAt: fc.constantFrom('2026-07-01T11:59:58Z', '2026-02-28T00:00:00+01:00'),
      custom: value,
    },
    { requiredKeys: ['action', 'actor', 'targets'] },
  )
  .map((event) => event as unknown as EventInput)
  .filter((event) => ifValid(() => draftEvent(event, { id: '', time: 0, salt: () => '' })) !== null)

const signer = newSigner()
const reader = new EventReader(new EventSketch())

const headOf = (token: string) => {
  const end = token.indexOf('.')
  return Buffer.from(end < 0 || end > token.indexOf('~') ? '' : token.slice(0, end + 1), 'latin1')
}

type EventPlace = Pick<ParsedEvent, 'source' | 'stream' | 'seq'>

/** What the reader makes of a token, or null. It expects the token's own stream and place. */
function read(token: string, { source, stream, seq }: EventPlace, head = headOf(token)) {
  const text = Buffer.from(`${token}\n`, 'latin1')
  reader.open(source, stream)
  if (reader.read(text, 0, head, seq) !== text.length) return null
  const { sketch, prev, signatureAt, hidden } = reader
  const { leafHash, time, keyCount } = sketch
  const keys = sketch.keys.subarray(0, 8 * keyCount)
  return {
    leafHash,
    id: sketch.id.toString('hex'),
    time,
    keys: keys.toString('hex'),
    prev,
    isSigned: signatureAt !== NO,
    hidden,
  }
}

function expected(event: ParsedEvent): ReturnType<typeof read> {
  const { leafHash, id, time, keys, keyCount } = sketchEvent(event)
  const prev = event.prev ? printHash(event.prev) : ''
  const own = keys.toString('hex', 0, 8 * keyCount)
  return {
    leafHash,
    id: id.toString('hex'),
    time,
    keys: own,
    prev,
    isSigned: event.signature !== undefined,
    hidden: event.fieldCount - event.disclosures.length,
  }
}

/** Checks that the reader takes nothing that core refuses, and reads the rest as core does. @returns whether it took it */
function agree(token: string, place?: EventPlace, head = headOf(token)): boolean {
  const event = ifValid(() => parseEvent(token, nodePrimitives))
  const found = read(token, place ?? event ?? { source: 'billing', stream: 's', seq: 1 }, head)
  if (found === null) return false
  expect(event, token).not.toBeNull()
  expect(found).toEqual(expected(event!))
  return true
}

const token = async (event: AnyEventInput, seq: number, isSigned: boolean, time = Date.now()) => {
  const draft = draftEvent(event, { id: uuidv7(time), time, salt: saltText })
  const place = { source: 'billing', stream: 's', seq, prev: seq === 0 ? null : 'A'.repeat(43) }
  return (await placeEvent(draft, place, isSigned ? signer : null)).token
}

describe('an event', () => {
  test.each(vectors<{ description: string; token: string }[]>('events'))(
    'vector: $description',
    ({ token }) => void agree(token),
  )

  test('that a recorder prints is taken, unless it holds what is left to core', async () => {
    await fc.assert(
      fc.asyncProperty(input, fc.nat(3), fc.boolean(), fc.nat(4e12), async (event, seq, isSigned, time) => {
        const printed = await token(event, seq, isSigned, time)
        const isTaken = agree(printed)
        const isLeft = /\\u|__proto__|"_sd"|"\.\.\."|[\d.]e[+-]|\d{16}|\\/.test(JSON.stringify(event))
        expect(isTaken || isLeft, JSON.stringify(event)).toBe(true)
      }),
      runs(300, 1_500),
    )
  })

  test('is taken at its own place only', async () => {
    const printed = await token(sampleEvent(), 5, true)
    expect(agree(printed)).toBe(true)
    for (const place of [{ seq: 6 }, { seq: 50 }, { stream: 't' }, { source: 'billin' }, { source: 'billing2' }])
      expect(read(printed, { source: 'billing', stream: 's', seq: 5, ...place })).toBeNull()
  })

  test('with any byte changed is read as core reads it, or not at all', async () => {
    const printed = await token({ ...sampleEvent(), outcome: 'denied', custom: [1.5, { a: 'é' }] }, 1, true)
    const place = { source: 'billing', stream: 's', seq: 1 }
    const head = headOf(printed)
    for (let at = 0; at < printed.length; at++) {
      for (const char of ['A', 'w', '~', '.', '\u00e9'])
        agree(printed.slice(0, at) + char + printed.slice(at + 1), place, head)
      agree(printed.slice(0, at) + printed.slice(at + 1), place, head)
    }
  })

  test('with another payload or other disclosures is read as core reads it, or not at all', async () => {
    const printed = await token({ ...sampleEvent(), context: { a: 1 } }, 1, false)
    const [payload, ...disclosures] = printed.slice(0, -1).split('~')
    const text = (part: string) => Buffer.from(part, 'base64url').toString()
    const print = (part: string) => Buffer.from(part).toString('base64url')
    const change = fc.record({
      at: fc.nat(2000),
      length: fc.nat(3),
      by: fc.constantFrom(
        '',
        '"',
        ',',
        ':',
        '{',
        '}',
        '[',
        ']',
        ' ',
        '0',
        '1',
        '-',
        '.',
        '\\',
        'a',
        '_',
        '\\u0041',
        '"x":1,',
      ),
    })
    const changed = (original: string, { at, length, by }: { at: number; length: number; by: string }) => {
      const place = at % original.length
      return original.slice(0, place) + by + original.slice(place + length)
    }
    fc.assert(
      fc.property(change, fc.nat(disclosures.length - 1), fc.boolean(), (edit, which, isPayload) => {
        const place = { source: 'billing', stream: 's', seq: 1 }
        if (isPayload) return void agree(`${[print(changed(text(payload!), edit)), ...disclosures].join('~')}~`, place)
        // The digest goes along, so that nothing but the disclosure itself can be at fault.
        const original = disclosures[which]!
        const other = print(changed(text(original), edit))
        const swapped = disclosures.map((each) => (each === original ? other : each))
        const json = JSON.parse(text(payload!))
        json._sd = json._sd.map((digest: string) =>
          digest === nodePrimitives.digest(original) ? nodePrimitives.digest(other) : digest,
        )
        json._sd.sort()
        agree(`${[print(JSON.stringify(json)), ...swapped].join('~')}~`, place)
      }),
      runs(5_000, 25_000),
    )
  })
})

/** An unsigned event with any payload and disclosures, given as the bytes of their JSON; `_sd` holds their digests. */
function craft(disclosures: readonly (string | Buffer)[], payload: object = {}): string {
  const texts = disclosures.map((json) => Buffer.from(json as string).toString('base64url'))
  const all = {
    ...{ iss: 'billing', stm: 's', seq: 0, prev: undefined as string | undefined },
    ...{ jti: '019f1d8c-e2fa-7f2b-8ef0-dad876fb8afe', iat: 1782907200.25 },
    ...{ _sd: texts.map(nodePrimitives.digest).sort(), _sd_alg: 'sha-256' },
    ...payload,
  }
  return `${[Buffer.from(JSON.stringify(all)).toString('base64url'), ...texts].join('~')}~`
}

const SALT = 'A'.repeat(22)
const sorted = (disclosures: readonly string[]) =>
  disclosures.map((json) => nodePrimitives.digest(toBase64url(utf8(json)))).sort()
/** The payload's members from `seq` on, of what follows a token. */
const follow = (token: string) => ({ prev: printHash(nodePrimitives.leafHash(token.split('~')[0]!)) })
const field = (name: string, value: unknown) => JSON.stringify([SALT, name, value])
const LEAST = [field('action', 'a'), field('actor', { type: 't', id: 'i' }), field('targets', [])]

describe('an event made by hand', () => {
  test('is taken', () => {
    expect(agree(craft(LEAST))).toBe(true)
    expect(agree(craft([...LEAST, field('x', 1), field('y_2', { a: [] })]))).toBe(true)
    expect(agree(craft(LEAST, { iat: 0 }))).toBe(true)
    expect(agree(craft(LEAST, { iat: 253402300799.999 }))).toBe(true)
  })

  test('is taken with digests that it does not disclose, which are counted', () => {
    for (const count of [1, 2, 27]) {
      const decoys = Array.from({ length: count }, (_, i) => nodePrimitives.digest(`decoy ${i}`))
      const hiding = craft(LEAST, { _sd: [...sorted(LEAST), ...decoys].sort() })
      expect(agree(hiding)).toBe(true)
      expect(read(hiding, { source: 'billing', stream: 's', seq: 0 })!.hidden).toBe(count)
    }
    expect(read(craft(LEAST), { source: 'billing', stream: 's', seq: 0 })!.hidden).toBe(0)
  })

  const digest = nodePrimitives.digest('x')
  const none: Record<string, [disclosures: (string | Buffer)[], payload?: object]> = {
    'a field twice': [[...LEAST, field('outcome', 'success'), field('outcome', 'failure')]],
    'a custom field twice': [[...LEAST, field('x', 1), field('x', 2)]],
    'a disclosure twice': [[...LEAST, LEAST[0]!]],
    'a digest twice': [LEAST, { _sd: [...sorted(LEAST), digest, digest].sort() }],
    'a digest that is none': [LEAST, { _sd: [...sorted(LEAST), '!'.repeat(43)].sort() }],
    'a digest that is not canonical': [LEAST, { _sd: [...sorted(LEAST), `${'z'.repeat(42)}B`].sort() }],
    'a disclosure without a digest': [LEAST, { _sd: sorted(LEAST.slice(1)) }],
    'text that is not UTF-8': [[...LEAST, Buffer.from(field('x', '?').replace('?', '\u00ff'), 'latin1')]],
    'an overlong encoding': [[...LEAST, Buffer.from(field('x', '??').replace('??', '\u00c0\u00af'), 'latin1')]],
    'half of a surrogate pair': [
      [...LEAST, Buffer.from(field('x', '???').replace('???', '\u00ed\u00a0\u0080'), 'latin1')],
    ],
    'a reserved name': [[...LEAST, field('iss', 'x')]],
    'a name that is none': [[...LEAST, field('a-b', 1)]],
    'a name that is too long': [[...LEAST, field('a'.repeat(65), 1)]],
    'a reserved member': [[...LEAST, field('context', { a: [{ _sd: 1 }] })]],
    'a salt that is too short': [[...LEAST, JSON.stringify([SALT.slice(1), 'x', 1])]],
    'a fourth part': [[...LEAST, JSON.stringify([SALT, 'x', 1, 2])]],
    'no value': [[...LEAST, JSON.stringify([SALT, 'x'])]],
    'an action that is empty': [[field('action', ''), ...LEAST.slice(1)]],
    'an action that is too long': [[field('action', 'a'.repeat(257)), ...LEAST.slice(1)]],
    'an action that is no string': [[field('action', 1), ...LEAST.slice(1)]],
    'an actor without an id': [[LEAST[0]!, field('actor', { type: 't' }), LEAST[2]!]],
    'an actor whose name is no string': [[LEAST[0]!, field('actor', { type: 't', id: 'i', name: 1 }), LEAST[2]!]],
    'an actor that is a list': [[LEAST[0]!, field('actor', []), LEAST[2]!]],
    'an id that is too long': [[LEAST[0]!, field('actor', { type: 't', id: 'i'.repeat(513) }), LEAST[2]!]],
    'a target that is no object': [[...LEAST.slice(0, 2), field('targets', ['x'])]],
    'too many targets': [[...LEAST.slice(0, 2), field('targets', Array(1001).fill({ type: 't', id: 'i' }))]],
    'an outcome that is none': [[...LEAST, field('outcome', 'successful')]],
    'a context that is a list': [[...LEAST, field('context', [])]],
    'a change without a path': [[...LEAST, field('changes', [{ before: 1 }])]],
    'a change with more': [[...LEAST, field('changes', [{ path: '/a', note: 1 }])]],
    'a time that is none': [[...LEAST, field('occurredAt', '2026-02-30T00:00:00Z')]],
    'a payload with more': [LEAST, { more: 1 }],
    'another hash function': [LEAST, { _sd_alg: 'sha-512' }],
    'an id of another version': [LEAST, { jti: '019f1d8c-e2fa-4f2b-8ef0-dad876fb8afe' }],
    'an id in capitals': [LEAST, { jti: '019F1D8C-e2fa-7f2b-8ef0-dad876fb8afe' }],
    'a time before 1970': [LEAST, { iat: -1 }],
    'a time of four decimals': [LEAST, { iat: 1782907200.2501 }],
    'a time that is too late': [LEAST, { iat: 253402300800 }],
    'a prev where none may be': [LEAST, { prev: digest }],
    'no prev where one must be': [LEAST, { seq: 1 }],
  }
  test.each(Object.entries(none))('is refused with %s', (_, [disclosures, payload]) => {
    const token = craft(disclosures, payload)
    expect(ifValid(() => parseEvent(token, nodePrimitives))).toBeNull()
    expect(agree(token, { source: 'billing', stream: 's', seq: (payload as { seq?: number })?.seq ?? 0 })).toBe(false)
  })

  test('is taken by core if it is printed differently', () => {
    const spaced = craft([...LEAST, `[ "${SALT}", "x", 1 ]`])
    expect(ifValid(() => parseEvent(spaced))).not.toBeNull()
    expect(agree(spaced)).toBe(false)
  })
})

/** What readEvents makes of a body: the hashes, keys and signatures of all events. */
function readAll(text: string | Buffer, header: BatchHeader) {
  const events: unknown[] = []
  const signatures: LineSignature[] = []
  const unsigned: number[] = []
  const hidden: number[] = []
  const body = Buffer.from(text)
  const result = readEvents(body, header, {
    event: ({ leafHash, time, id, keys, keyCount }, size) =>
      events.push({
        leafHash,
        time,
        id: Buffer.from(id),
        keys: Buffer.from(keys.subarray(0, 8 * keyCount)),
        size,
      }),
    signature: (signature) => signatures.push(signature),
    unsigned: (line) => unsigned.push(line),
    hidden: (line) => hidden.push(line),
  })
  return result && { ...result, events, signatures, unsigned, hidden }
}

function expectedAll(text: string | Buffer) {
  const parsed = ifValid(() => parseBatch(Buffer.from(text), nodePrimitives))
  if (parsed === null) return null
  const leaves = Buffer.concat(parsed.events.map(({ leafHash }) => leafHash))
  return {
    leaves,
    nodes: treeOver(leaves).nodes,
    prev: parsed.events[0]!.prev,
    events: parsed.events.map((event) => {
      const { leafHash, time, id, keys, keyCount } = sketchEvent(event)
      return { leafHash, time, id, keys: keys.subarray(0, 8 * keyCount), size: event.token.length + 1 }
    }),
    signatures: parsed.events.flatMap(({ signature }, i) => (signature ? [{ ...signature, line: i + 2 }] : [])),
    unsigned: parsed.events.flatMap(({ signature }, i) => (signature ? [] : [i + 2])),
    hidden: parsed.events.flatMap(({ fieldCount, disclosures }, i) => (fieldCount > disclosures.length ? [i + 2] : [])),
    ...firstAndLast(parsed.events.map(({ time }, i) => ({ time, line: i + 2 }))),
  }
}

function firstAndLast(times: { time: number; line: number }[]) {
  const sorted = times.toSorted((a, b) => a.time - b.time)
  const latest = sorted.at(-1)!.time
  return { earliest: sorted[0], latest: sorted.find(({ time }) => time === latest) }
}

/** Bytes as hex, of any kind of array. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plain(each)]))
}

describe('a batch', () => {
  const bodies: string[] = []
  const headers = new Map<string, BatchHeader>()
  beforeAll(async () => {
    for (const n of [1, 2, 3, 7, 8, 64, 65]) {
      const producer = new Producer('billing', signer)
      for (const eventSigner of [signer, null]) {
        const events = Array.from({ length: n }, (_, i) => ({
          ...sampleEvent(i),
          // Every third is printed in a way that is left to core.
          ...(i % 3 === 2 && { note: '\u0001' }),
        }))
        const batch = await producer.batch(events, { eventSigner })
        batch.advance()
        bodies.push(batch.body)
        headers.set(batch.body, parseBatch(utf8(batch.body)).header)
      }
    }
  })

  test('is read as core reads it, whatever its length, and whether events are signed', () => {
    for (const body of bodies) {
      const { header } = parseBatch(utf8(body))
      expect(plain(readAll(body, header))).toEqual(plain(expectedAll(body)))
    }
  })

  test('may hold events under several keys, and unsigned ones between', async () => {
    const producer = new Producer('billing', signer)
    const others = [newSigner('P-256'), newSigner(), null, signer]
    const tokens: string[] = []
    const leaves = []
    let prev = producer.eventPrev
    for (const [i, other] of [...others, ...others].entries()) {
      const time = Date.now()
      const mint = { id: uuidv7(time), time, salt: () => new Uint8Array(16).fill(i) }
      const event = await makeEvent(
        sampleEvent(i),
        { source: 'billing', stream: producer.stream, seq: i, prev },
        mint,
        other ?? undefined,
      )
      tokens.push(event.token)
      leaves.push(event.leafHash)
      prev = event.leafHash
    }
    const { header } = await producer.batch(
      tokens.map((_, i) => sampleEvent(i)),
      { root: treeRoot(leaves) },
    )
    const body = printBatch(header, tokens)
    expect(expectedAll(body)).not.toBeNull()
    expect(plain(readAll(body, parseBatch(utf8(body)).header))).toEqual(plain(expectedAll(body)))
  })

  test('that is changed anywhere is refused if core refuses it', () => {
    const change = fc.record({
      body: fc.nat(100),
      at: fc.nat(1e6),
      length: fc.nat(2),
      by: fc.constantFrom('', 'A', '~', '\n', '.'),
    })
    fc.assert(
      fc.property(change, ({ body, at, length, by }) => {
        const original = bodies[body % bodies.length]!
        const header = headers.get(original)!
        const events = original.indexOf('\n') + 1
        const place = events + (at % (original.length - events))
        const changed = original.slice(0, place) + by + original.slice(place + length)
        expect(plain(readAll(changed, header))).toEqual(plain(expectedAll(changed)))
      }),
      runs(300, 1_500),
    )
  })

  /** A batch of unsigned events that need not follow each other, under the root that they have. */
  async function batchOf(tokens: readonly string[]) {
    const leaves = tokens.map((token) => parseEvent(token).leafHash)
    const batch = { source: 'billing', stream: 's', seq: 0, n: tokens.length, root: treeRoot(leaves), time: 0 }
    return printBatch(await signBatchHeader(batch, signer), tokens)
  }

  test.each<[string, () => string[]]>([
    ['an event hides its action', () => [craft(LEAST.slice(1), { _sd: sorted(LEAST) })]],
    ['an event does not follow the one before it', () => [craft(LEAST), craft(LEAST, { seq: 1, ...follow('x') })]],
    ['an event is not the next one', () => [craft(LEAST), craft(LEAST, { seq: 2, ...follow(craft(LEAST)) })]],
    ['an event is of another stream', () => [craft(LEAST, { stm: 't' })]],
    ['an event is of another source', () => [craft(LEAST, { iss: 'crm' })]],
  ])('is refused if %s', async (_, tokens) => {
    const body = await batchOf(tokens())
    expect(ifValid(() => parseBatch(utf8(body)))).toBeNull()
    expect(readAll(body, parseBatchHeader(body.split('\n')[0]!))).toBeNull()
  })

  test('is read if events made by hand follow each other', async () => {
    const first = craft(LEAST)
    const body = await batchOf([first, craft(LEAST, { seq: 1, ...follow(first) })])
    expect(plain(readAll(body, parseBatch(utf8(body)).header))).toEqual(plain(expectedAll(body)))
  })

  test('is read if events hide some of their digests, by either reader', async () => {
    const digest = nodePrimitives.digest('decoy')
    const first = craft(LEAST, { _sd: [...sorted(LEAST), digest].sort() })
    const second = craft(LEAST, { seq: 1, ...follow(first) })
    // Printed in a way that is left to core.
    const spaced = [...LEAST, `[ "${SALT}", "x", 1 ]`]
    const third = craft(spaced, { seq: 2, ...follow(second), _sd: [...sorted(spaced), digest].sort() })
    const body = await batchOf([first, second, third])
    const found = readAll(body, parseBatchHeader(body.split('\n')[0]!))
    expect(plain(found)).toEqual(plain(expectedAll(body)))
    expect(found!.hidden).toEqual([2, 4])
  })

  test('is refused under another root', async () => {
    const [body, other] = [await batchOf([craft(LEAST)]), await batchOf([craft(LEAST, { iat: 1 })])]
    expect(readAll(body, parseBatch(utf8(other)).header)).toBeNull()
  })

  test('whose lines are moved, doubled or lost is refused', () => {
    for (const body of bodies) {
      const { header } = parseBatch(utf8(body))
      const { tokens } = splitBatch(utf8(body))
      const without = tokens.slice(1)
      for (const lines of [without, [...tokens, tokens[0]!], [...without, tokens[0]!], tokens.slice(0, -1)]) {
        const changed = `${[header.text, ...lines].join('\n')}\n`
        if (changed === body) continue
        expect(readAll(changed, header)).toBeNull()
        expect(expectedAll(changed)).toBeNull()
      }
      expect(readAll(body.slice(0, -1), header)).toBeNull()
    }
  })
})
