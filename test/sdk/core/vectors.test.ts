import {
  algOf,
  endsStream,
  fromBase64url,
  type JsonObject,
  KillickError,
  leafHash,
  nodeHash,
  openNote,
  type PublicJwk,
  parseBatch,
  parseCheckpoint,
  parseEvent,
  parseJson,
  printBatch,
  printHash,
  thumbprint,
  treeRoot,
  utf8,
  verifyConsistency,
  verifyInclusion,
  verifySignature,
} from '@killick/sdk/core'
import { describe, expect, test } from 'vitest'
import { makeVectors, readVectors } from '../../../scripts/vectors.ts'
import * as reference from '../../support/rfc9162.ts'
import { expectAccepted, vectors } from '../../support/vectors.ts'

type Case = { description: string; valid: boolean; code?: string }

test('the committed vectors are what scripts/vectors.ts makes', async () => {
  for (const [area, text] of await makeVectors()) expect(readVectors(area) === text, area).toBe(true)
})

const bytes = (text: string) => fromBase64url(text)!

test('hashing', () => {
  const { entries, leafHashes, node, roots } = vectors<{
    entries: string[]
    leafHashes: string[]
    node: { left: string; right: string; hash: string }
    roots: string[]
  }>('hashing')
  const leaves = entries.map((hex) => leafHash(Buffer.from(hex, 'hex')))
  expect(leaves.map(printHash)).toEqual(leafHashes)
  expect(entries.map((hex) => printHash(reference.leafHash(Buffer.from(hex, 'hex'))))).toEqual(leafHashes)
  expect(printHash(nodeHash(bytes(node.left), bytes(node.right)))).toBe(node.hash)
  expect(roots).toHaveLength(9)
  for (const [n, root] of roots.entries()) {
    expect(printHash(treeRoot(leaves.slice(0, n)))).toBe(root)
    expect(printHash(reference.treeRoot(leaves.slice(0, n)))).toBe(root)
  }
  // These entries and this root are those of the tests of Certificate Transparency's first implementation.
  expect(Buffer.from(bytes(roots[8]!)).toString('hex')).toBe(
    '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
  )
})

type Printed<Names extends string> = Case & Record<Names, string> & { path: string[] }

describe('inclusion', () => {
  test.each(vectors<Printed<'leafHash' | 'index' | 'size' | 'root'>[]>('inclusion'))('$description', (v) => {
    const claim = { index: BigInt(v.index), size: BigInt(v.size), leafHash: bytes(v.leafHash), root: bytes(v.root) }
    expect(verifyInclusion({ ...claim, path: v.path.map(bytes) })).toBe(v.valid)
  })
})

describe('consistency', () => {
  test.each(vectors<Printed<'oldSize' | 'newSize' | 'oldRoot' | 'newRoot'>[]>('consistency'))('$description', (v) => {
    const claim = { oldSize: BigInt(v.oldSize), newSize: BigInt(v.newSize) }
    const roots = { oldRoot: bytes(v.oldRoot), newRoot: bytes(v.newRoot), path: v.path.map(bytes) }
    expect(verifyConsistency({ ...claim, ...roots })).toBe(v.valid)
  })
})

describe('json', () => {
  test.each(vectors<(Case & { text: string })[]>('json'))('$description', (v) => {
    const value = expectAccepted(v, () => parseJson(v.text))
    if (v.valid) expect(value).toEqual(JSON.parse(v.text))
  })
})

describe('notes', () => {
  test.each(vectors<(Case & { note: string; vkeys: string[]; text: string })[]>('notes'))('$description', (v) => {
    const opened = expectAccepted(v, () => openNote(v.note, v.vkeys))
    if (opened) expect(opened.text).toBe(v.text)
  })
})

describe('checkpoints', () => {
  type Checkpoint = Case & { text: string; origin: string; size: string; root: string; extensions: string[] }
  test.each(vectors<Checkpoint[]>('checkpoints'))('$description', (v) => {
    const read = expectAccepted(v, () => parseCheckpoint(v.text))
    if (!read) return
    const { origin, size, root, extensions } = read
    expect({ origin, size: String(size), root: printHash(root), extensions }).toEqual({
      ...{ origin: v.origin, size: v.size, root: v.root, extensions: v.extensions },
    })
  })
})

type EventCase = Case & { token: string; jwk: PublicJwk | null; event: JsonObject; endsStream?: boolean }

/** What a reader of an event does: its form, then its signature. */
function readEvent({ token, jwk }: EventCase) {
  const event = parseEvent(token)
  const { signature } = event
  if (signature && signature.kid !== (jwk && thumbprint(jwk)))
    throw new KillickError('key_unknown', 'It is not in the vector')
  if (signature && !(jwk && verifySignature(jwk, signature.input, signature.bytes) && signature.alg === algOf(jwk)))
    throw new KillickError('signature_invalid', 'It does not verify')
  return event
}

describe.each(['jws', 'events'])('%s', (area) => {
  test.each(vectors<EventCase[]>(area))('$description', (v) => {
    const event = expectAccepted(v, () => readEvent(v))
    if (!event) return
    const { source, stream, seq, prev, id, time, leafHash: hash, fieldCount, fields } = event
    const printed = { ...(prev && { prev: printHash(prev) }), leafHash: printHash(hash) }
    expect({ source, stream, seq, id, time, fieldCount, fields, ...printed }).toEqual(v.event)
    expect(event.signature === undefined).toBe(v.jwk === null)
    if (v.endsStream !== undefined) expect(endsStream(event)).toBe(v.endsStream)
  })
})

describe('batches', () => {
  test.each(vectors<(Case & { body: string; line: number | null })[]>('batches'))('$description', (v) => {
    const batch = expectAccepted(v, () => parseBatch(utf8(v.body)))
    if (batch) {
      expect(
        printBatch(
          batch.header.text,
          batch.events.map(({ token }) => token),
        ),
      ).toBe(v.body)
    } else if (v.line !== null) {
      expect(() => parseBatch(utf8(v.body))).toThrow(
        expect.objectContaining({ details: expect.objectContaining({ line: v.line }) }),
      )
    }
  })
})
