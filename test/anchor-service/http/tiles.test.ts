import { type Hash, openNote, parseCheckpoint, parseHash, utf8, verifyConsistency } from '@killick/sdk/core'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseTilePath, printTilePath } from '../../../sdk/src/core/tile-path.ts'
import * as rfc9162 from '../../support/rfc9162.ts'
import { newSigner, Producer, post, sampleEvent } from '../support/producer.ts'
import { call, register, type TestService, testService } from '../support/service.ts'

let service: TestService
const SIZE = 259
const signer = newSigner()

const bytes = async (path: string) => {
  const response = await fetch(`${service.url}${path}`)
  return { status: response.status, headers: response.headers, body: Buffer.from(await response.arrayBuffer()) }
}

beforeAll(async () => {
  service = await testService()
  await register(service.url, 'billing', [{ jwk: signer.jwk }])
  // Two entries are there: the ledger's own registration and that of the source.
  const producers = Array.from({ length: SIZE - 2 }, () => new Producer('billing', signer))
  await Promise.all(
    producers.map(async (producer) => {
      expect((await post(service.url, (await producer.batch([sampleEvent()])).body)).status).toBe(201)
    }),
  )
})
afterAll(() => service.stop())

describe('a tlog client that knows only the verifier key', () => {
  test('reads the log and finds that it hashes to the checkpoint', async () => {
    const note = await bytes('/checkpoint')
    expect(note.headers.get('content-type')).toBe('text/plain; charset=utf-8')
    const checkpoint = parseCheckpoint(openNote(note.body.toString(), [service.vkey]).text)
    expect(checkpoint.size).toBe(SIZE)

    const full = await bytes('/tile/0/000')
    const rest = await bytes(`/tile/0/001.p/${SIZE - 256}`)
    expect(full.body).toHaveLength(8192)
    const leaves = Array.from({ length: SIZE }, (_, i) =>
      Buffer.concat([full.body, rest.body]).subarray(32 * i, 32 * i + 32),
    )
    expect(Buffer.from(rfc9162.treeRoot(leaves))).toEqual(Buffer.from(checkpoint.root))
    expect((await bytes('/tile/1/000.p/1')).body).toEqual(Buffer.from(rfc9162.treeRoot(leaves.slice(0, 256))))

    const entries = [
      ...split((await bytes('/tile/entries/000')).body),
      ...split((await bytes('/tile/entries/001.p/3')).body),
    ]
    expect(entries.map((entry) => Buffer.from(rfc9162.leafHash(entry)))).toEqual(leaves)
  })

  test('may cache tiles for ever, partial ones too, and the checkpoint for moments', async () => {
    for (const path of ['/tile/0/000', '/tile/0/001.p/2', '/tile/entries/000.p/7']) {
      const { status, headers } = await bytes(path)
      expect(status).toBe(200)
      expect(headers.get('content-type')).toBe('application/octet-stream')
      expect(headers.get('cache-control')).toMatch(/immutable/)
    }
    expect((await bytes('/tile/0/000.p/9')).body).toEqual((await bytes('/tile/0/000')).body.subarray(0, 9 * 32))
    expect((await bytes('/checkpoint')).headers.get('cache-control')).toBe('public, max-age=1')
  })

  test.each([
    ...['/tile/0/001', '/tile/0/001.p/4', '/tile/0/002.p/1', '/tile/1/000', '/tile/1/000.p/2', '/tile/2/000.p/1'],
    ...[
      '/tile/0/0',
      '/tile/0/x000/000',
      '/tile/00/000',
      '/tile/0/000.p/0',
      '/tile/0/000.p/256',
      '/tile/64/000',
      '/tile/entries/001',
    ],
    ...['/tile/', '/tile/0', '/tile/-1/000', '/tile/0/000.p/01', '/tile/data/000'],
  ])('gets 404 for %s', async (path) => {
    const { status, json } = await call(service.url, path)
    expect({ status, code: json.code }).toEqual({ status: 404, code: 'not_found' })
  })
})

describe('consistency of two sizes of the log', () => {
  let leaves: Uint8Array[]
  const rootOf = (size: number) => rfc9162.treeRoot(leaves.slice(0, size)) as Hash
  const ask = (from: unknown, to: unknown) => call(service.url, `/v1/consistency?from=${from}&to=${to}`, null)

  beforeAll(async () => {
    const tiles = [await bytes('/tile/0/000'), await bytes(`/tile/0/001.p/${SIZE - 256}`)]
    const all = Buffer.concat(tiles.map(({ body }) => body))
    leaves = Array.from({ length: SIZE }, (_, i) => new Uint8Array(all.subarray(32 * i, 32 * i + 32)))
  })

  test('verifies for every pair around powers of two, and fails with any other root', async () => {
    const sizes = [0, 1, 2, 3, 4, 5, 7, 8, 63, 64, 127, 128, 129, 200, 255, 256, 257, 258, SIZE]
    const pairs = sizes.flatMap((from) => sizes.filter((to) => to >= from).map((to) => ({ from, to })))
    await Promise.all(
      pairs.map(async ({ from, to }) => {
        const { status, json } = await ask(from, to)
        expect(status).toBe(200)
        expect({ from: json.from, to: json.to }).toEqual({ from, to })
        if (from === 0 || from === to) expect(json.path).toEqual([])
        const path = (json.path as string[]).map((hash) => parseHash(hash)!)
        const claim = { oldSize: from, newSize: to, oldRoot: rootOf(from), newRoot: rootOf(to), path }
        expect({ from, to, holds: verifyConsistency(claim) }).toEqual({ from, to, holds: true })
        const other = rfc9162.leafHash(utf8('another log')) as Hash
        expect(verifyConsistency({ ...claim, oldRoot: other })).toBe(false)
        // The empty log is consistent with anything.
        if (from > 0) expect(verifyConsistency({ ...claim, newRoot: other })).toBe(false)
      }),
    )
  })

  test('may be cached for ever, since it never changes; its absence may not', async () => {
    expect((await ask(3, 200)).headers.get('cache-control')).toMatch(/^public, .*immutable/)
    const { status, json, headers } = await ask(3, SIZE + 1)
    expect({ status, code: json.code }).toEqual({ status: 404, code: 'not_found' })
    expect(headers.get('cache-control')).toBe('no-store')
  })

  test.each([
    ...['from=1', 'to=1', '', 'from=2&to=1', 'from=-1&to=2', 'from=1&to=1e1', 'from=01&to=2', 'from=1.0&to=2'],
    ...['from=&to=2', 'from=%201&to=2', 'from=0x1&to=2', 'from=1&to=2&to=3', 'from=1&to=2&more=3', 'from=null&to=2'],
  ])('gets 400 for ?%s', async (query) => {
    const { status, json } = await call(service.url, `/v1/consistency?${query}`, null)
    expect({ status, code: json.code }).toEqual({ status: 400, code: 'request_invalid' })
  })
})

test('private tiles need the reader token; consistency does not, since recorders have none', async () => {
  const hidden = await testService({ KILLICK_TILES: 'private' })
  expect((await call(hidden.url, '/v1/consistency?from=0&to=1', null)).status).toBe(200)
  for (const path of ['/checkpoint', '/tile/0/000.p/1', '/tile/entries/000.p/1']) {
    expect((await call(hidden.url, path, null)).status).toBe(401)
    const open = await call(hidden.url, path)
    expect(open.status).toBe(200)
    expect(open.headers.get('cache-control')).toMatch(/^private/)
  }
  await hidden.stop()
})

test('the path of a tile has exactly one spelling', () => {
  const address = { level: 3, index: 1_234_067, width: 8 }
  expect(printTilePath(address)).toBe('3/x001/x234/067.p/8')
  expect(parseTilePath('3/x001/x234/067.p/8')).toEqual(address)
  for (const other of ['03/000', '3/67', '3/000.p/256', '3/000.p/0', '3/x000/067', '64/000', 'entry/000', '3/000/'])
    expect(parseTilePath(other), other).toBeNull()
  fc.assert(
    fc.property(fc.nat({ max: 1e12 }), fc.integer({ min: 1, max: 256 }), (index, width) => {
      const entries = { level: 'entries' as const, index, width }
      expect(parseTilePath(printTilePath(entries))).toEqual(entries)
      expect(parseTilePath(printTilePath(entries).replace('/', '/x000/'))).toBeNull()
    }),
  )
})

/** Entries of a bundle: big-endian uint16 length, then the entry. */
function split(bundle: Buffer): Uint8Array[] {
  const entries = []
  for (let at = 0; at < bundle.length; ) {
    const length = bundle.readUInt16BE(at)
    entries.push(utf8(bundle.toString('latin1', at + 2, at + 2 + length)))
    at += 2 + length
  }
  return entries
}
