// Bodies in zstd come in frames, which are kept as they were sent where each of them makes a pack.
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { printBatch } from '@killick/sdk/core'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { decodeBody } from '../../../anchor-service/src/intake/decode.ts'
import { splitFrames } from '../../../anchor-service/src/ledger/packs/frames.ts'
import { FRAME_EVENTS, MAX_PACK_BYTES, MAX_PACK_EVENTS } from '../../../anchor-service/src/ledger/packs/read-pack.ts'
import { compressBatch } from '../../../sdk/src/client/transport.ts'
import { queryAsOwner } from '../../support/postgres.ts'
import { newSigner, Producer, post, sampleEvent } from '../support/producer.ts'
import { call, register, type TestService, testService } from '../support/service.ts'

const refusal = (body: Uint8Array) => {
  try {
    return decodeBody(body, 'zstd').text
  } catch (error) {
    return (error as { code: string }).code
  }
}

describe('frames', () => {
  const content = fc.oneof(
    fc.uint8Array({ maxLength: 2000 }),
    fc.nat(300_000).map((length) => new Uint8Array(length).fill(120)),
    fc.string({ maxLength: 5000 }).map((text) => Buffer.from(text.repeat(20))),
  )
  const options = fc.record({
    level: fc.constantFrom(-5, 1, 3, 19),
    checksum: fc.constantFrom(0, 1),
    size: fc.constantFrom(0, 1),
    window: fc.constantFrom(10, 17, 22),
  })

  test('of any content and any settings are told apart, and decompressed to what they were', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(content, options), { minLength: 1, maxLength: 5 }), (parts) => {
        const frames = parts.map(([bytes, { level, checksum, size, window }]) => {
          const params = {
            [constants.ZSTD_c_compressionLevel]: level,
            [constants.ZSTD_c_checksumFlag]: checksum,
            [constants.ZSTD_c_contentSizeFlag]: size,
            [constants.ZSTD_c_windowLog]: window,
          }
          return zstdCompressSync(bytes, { params })
        })
        const body = Buffer.concat(frames)
        expect(splitFrames(body, 5)?.map((frame) => Buffer.from(frame))).toEqual(frames)
        const decoded = decodeBody(body, 'zstd')
        expect(decoded.text.equals(Buffer.concat(parts.map(([bytes]) => bytes)))).toBe(true)
        expect(decoded.frames!.map(({ size }) => size)).toEqual(parts.map(([bytes]) => bytes.length))
      }),
      { numRuns: process.env.CI ? 500 : 50 },
    )
  })

  test('may have what is to be skipped between them', () => {
    const [a, b] = ['a', 'b'].map((text) => zstdCompressSync(text))
    const skipped = Buffer.from('5a2a4d1803000000616263', 'hex')
    expect(refusal(Buffer.concat([skipped, a!, skipped, b!]))).toEqual(Buffer.from('ab'))
    expect(refusal(Buffer.concat([a!, skipped.subarray(0, -1)]))).toBe('encoding_invalid')
  })

  test('that are cut off, changed, or followed by anything else are refused', () => {
    const frame = zstdCompressSync(Buffer.from('some text, some text'), {
      params: { [constants.ZSTD_c_checksumFlag]: 1 },
    })
    for (let length = 1; length < frame.length; length++)
      expect(refusal(frame.subarray(0, length)), String(length)).toBe('encoding_invalid')
    expect(refusal(Buffer.concat([frame, Buffer.from('x')]))).toBe('encoding_invalid')
    expect(refusal(Buffer.concat([frame, frame.subarray(0, -1)]))).toBe('encoding_invalid')
    for (let at = 0; at < frame.length; at++) {
      const changed = Buffer.from(frame)
      changed[at]! ^= 1
      // Some bits of a frame mean nothing, or the same.
      const result = refusal(changed)
      if (typeof result !== 'string') expect(result).toEqual(zstdDecompressSync(frame))
    }
  })

  test('are bounded in number, and in what they hold together', () => {
    const [tiny, large] = [zstdCompressSync('x'), zstdCompressSync(Buffer.alloc(9 << 20))]
    expect(refusal(Buffer.concat(Array(1024).fill(tiny)))).toHaveLength(1024)
    expect(refusal(Buffer.concat(Array(1025).fill(tiny)))).toBe('encoding_invalid')
    expect(refusal(Buffer.concat([large, large]))).toBe('body_too_large')
    const half = zstdCompressSync(Buffer.alloc(8 << 20))
    expect(refusal(Buffer.concat([half, half]))).toHaveLength(16 << 20)
    expect(refusal(Buffer.concat([half, half, tiny]))).toBe('body_too_large')
  })
})

describe('the service', () => {
  let service: TestService
  const signer = newSigner()
  beforeAll(async () => {
    service = await testService()
    await register(service.url, 'billing', [{ jwk: signer.jwk }])
  })
  afterAll(() => service.stop())

  const packsOf = ({ stream }: Producer) =>
    queryAsOwner<{ pos: number; n: number; body: Buffer; frame_ends: number[] }>(
      service.databaseUrl,
      `select p.pos, p.n, p.body, p.frame_ends from killick.packs p join killick.batches b using (log_index) where b.stream = $1
       order by p.first_event`,
      [stream],
    )

  /** Each frame ends where the row says, and each but the last of its pack holds as many events as a reader expects. */
  function expectFrames(packs: readonly { pos: number; n: number; body: Buffer; frame_ends: number[] }[]) {
    for (const { pos, n, body, frame_ends: ends } of packs) {
      const bounds = ends.length === 0 ? [0, body.length] : [0, ...ends]
      expect(bounds.at(-1)).toBe(body.length)
      const lines = bounds.slice(1).map((end, i) => {
        const text = zstdDecompressSync(body.subarray(bounds[i], end)).toString()
        return text.split('\n').length - 1 - (pos === 0 && i === 0 ? 1 : 0)
      })
      const full = ends.length === 0 ? n : FRAME_EVENTS
      expect(lines).toEqual(lines.map((_, i) => Math.min(full, n - full * i)))
    }
  }

  /** Hands in a batch of which `encode` makes the body, and reads it back. @returns its packs */
  async function send(
    count: number,
    encode: (header: string, tokens: string[]) => Promise<Buffer> | Buffer,
    note = '',
  ) {
    const producer = new Producer('billing', signer)
    const { header, tokens, body } = await producer.batch(
      Array.from({ length: count }, (_, i) => ({ ...sampleEvent(i), ...(note && { note }) })),
    )
    const sent = await encode(header, tokens)
    const answer = await post(service.url, new Uint8Array(sent), { 'content-encoding': 'zstd' })
    expect(answer.status, JSON.stringify(answer.json)).toBe(201)
    const { text } = await call(service.url, `/v1/batches?from=${answer.json.logIndex}&limit=1`)
    expect(text).toBe(body)
    const { json } = await call(service.url, `/v1/streams/billing/${producer.stream}/events?seq=${count - 1}&span=1`)
    expect(json.events.at(-1).token).toBe(tokens.at(-1))
    return { sent, packs: await packsOf(producer) }
  }

  test('keeps what recorders send as it was sent', async () => {
    const { sent, packs } = await send(600, (header, tokens) => compressBatch(header, tokens, 'zstd'))
    expect(packs.map(({ pos, n }) => [pos, n])).toEqual([
      [0, 256],
      [256, 256],
      [512, 88],
    ])
    expect(Buffer.concat(packs.map(({ body }) => body))).toEqual(sent)
    expect(packs.map(({ frame_ends: ends }) => ends.length)).toEqual([8, 8, 3])
  })

  test('keeps other frames too, where each ends with an event and is small enough', async () => {
    const lines = (header: string, tokens: string[]) => [header, ...tokens].map((line) => `${line}\n`)
    const { sent, packs } = await send(10, (header, tokens) => {
      const all = lines(header, tokens)
      return Buffer.concat(
        [all.slice(0, 2), all.slice(2, 9), all.slice(9)].map((part) => zstdCompressSync(part.join(''))),
      )
    })
    expect(packs.map(({ n }) => n)).toEqual([1, 7, 2])
    expect(packs.map(({ frame_ends: ends }) => ends)).toEqual([[], [], []])
    expect(Buffer.concat(packs.map(({ body }) => body))).toEqual(sent)
  })

  test('puts frames together as a pack while each has as many events as a reader expects', async () => {
    const cuts = [0, 33, 65, 97, 99, 131, 163, 419, 451, 484, 500]
    const { sent, packs } = await send(499, (header, tokens) => {
      const lines = [header, ...tokens].map((line) => `${line}\n`)
      return Buffer.concat(cuts.slice(1).map((end, i) => zstdCompressSync(lines.slice(cuts[i], end).join(''))))
    })
    expect(packs.map(({ n, frame_ends: ends }) => [n, ends.length])).toEqual([
      [98, 4],
      [64, 2],
      [256, 0],
      [32, 0],
      [33, 0],
      [16, 0],
    ])
    expect(Buffer.concat(packs.map(({ body }) => body))).toEqual(sent)
    expectFrames(packs)
  })

  test.each<[string, (text: string) => string[]]>([
    [
      'a frame of its own for the header',
      (text) => [text.slice(0, text.indexOf('\n') + 1), text.slice(text.indexOf('\n') + 1)],
    ],
    ['a frame that ends within an event', (text) => [text.slice(0, 2000), text.slice(2000)]],
    ['an empty frame at the end', (text) => [text, '']],
    ['an empty frame in front', (text) => ['', text]],
  ])('makes packs of its own of %s', async (_, cut) => {
    const { sent, packs } = await send(3, (header, tokens) =>
      Buffer.concat(cut(printBatch(header, tokens)).map((part) => zstdCompressSync(part))),
    )
    expect(packs.map(({ n }) => n)).toEqual([3])
    expect(Buffer.concat(packs.map(({ body }) => body))).not.toEqual(sent)
  })

  test('makes packs of its own of one frame with too many events, or too many bytes', async () => {
    const whole = (header: string, tokens: string[]) => zstdCompressSync(printBatch(header, tokens))
    const { packs } = await send(MAX_PACK_EVENTS + 1, whole)
    expect(packs.map(({ n }) => n)).toEqual([MAX_PACK_EVENTS, 1])
    expectFrames(packs)
    const long = await send(3, whole, 'x'.repeat(180_000))
    expect(long.packs.map(({ n }) => n)).toEqual([2, 1])
    for (const { body } of long.packs) {
      const held = splitFrames(body, MAX_PACK_EVENTS)!.map((frame) => zstdDecompressSync(frame).length)
      expect(held.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(MAX_PACK_BYTES)
    }
  })
})

test('recorders cut frames that the service keeps', async () => {
  const tokens = Array.from({ length: 1000 }, (_, i) => `${'t'.repeat(i % 7 === 0 ? 100_000 : 100)}~`)
  const body = await compressBatch('header', tokens, 'zstd')
  const { text, frames } = decodeBody(body, 'zstd')
  expect(text.toString()).toBe(printBatch('header', tokens))
  for (const { size } of frames!) expect(size).toBeLessThanOrEqual(MAX_PACK_BYTES)
  for (const { bytes } of frames!) {
    const lines = zstdDecompressSync(bytes).toString().split('\n')
    expect(lines.pop()).toBe('')
    expect(lines.length).toBeLessThanOrEqual(MAX_PACK_EVENTS + 1)
  }
})
