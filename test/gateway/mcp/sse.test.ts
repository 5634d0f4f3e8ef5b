// Server-sent events out of the bytes of a stream, however these are cut.
import { expect, test } from 'vitest'
import { readSse } from '../../../gateway/src/mcp/http/sse.ts'

const MAX_BYTES = 16 << 20

async function* inPieces(bytes: Buffer, length: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length)
}

async function eventsOf(text: string, length: number): Promise<[bytes: string, data: string | null][]> {
  const found: [string, string | null][] = []
  for await (const { bytes, data } of readSse(inPieces(Buffer.from(text), length), MAX_BYTES))
    found.push([bytes.toString(), data === null ? null : data.toString()])
  return found
}

test('the same events, wherever the bytes are cut and whatever ends a line', async () => {
  for (const end of ['\n', '\r', '\r\n']) {
    const parts = [': é', 'data: one|data:two', 'id: 1|data: three'].map((each) => each.replace('|', end))
    const events = [...parts.map((each) => `${each}${end}${end}`), end, 'data: last']
    for (let length = 1; length < 20; length++)
      expect(await eventsOf(events.join(''), length)).toEqual([
        [events[0], null],
        [events[1], 'one\ntwo'],
        [events[2], 'three'],
        [events[3], null],
        [events[4], 'last'],
      ])
  }
})

test('a long event takes no longer for coming in small pieces', async () => {
  const bytes = Buffer.from(`data: ${'x'.repeat(MAX_BYTES / 2)}\n\n`)
  const lengths: number[] = []
  // To look at everything again with each piece would take minutes.
  for await (const { data } of readSse(inPieces(bytes, 1_000), MAX_BYTES)) lengths.push(data!.length)
  expect(lengths).toEqual([MAX_BYTES / 2])
}, 20_000)
