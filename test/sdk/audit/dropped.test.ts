// What an audit keeps of what was dropped: as compact as it is, it forgets and invents nothing.
import { asHash, type Hash, nodePrimitives, utf8 } from '@killick/sdk/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Api } from '../../../sdk/src/audit/api.ts'
import { DroppedBatches, DroppedLeaves, EntrySet } from '../../../sdk/src/audit/dropped.ts'
import type { WalkedEntry } from '../../../sdk/src/audit/own-check.ts'
import { openPrefix } from '../../../sdk/src/audit/prefix.ts'
import { checkRetention } from '../../../sdk/src/audit/retention.ts'
import { sha256 } from '../../../sdk/src/core/hash.ts'
import { treeRoot } from '../../../sdk/src/core/merkle.ts'
import { TILE_WIDTH } from '../../../sdk/src/core/tree.ts'

const leaf = (i: number): Hash => asHash(sha256(utf8(String(i))))

test('a set of entries has what was added and not taken out, in stretches', () => {
  const entry = fc.oneof(fc.nat(40), fc.nat(100_000))
  fc.assert(
    fc.property(fc.array(entry), fc.array(entry), (added, deleted) => {
      const [set, known] = [new EntrySet(), new Set(added)]
      for (const at of added) set.add(at)
      for (const at of deleted) {
        set.delete(at)
        known.delete(at)
      }
      expect(set.size).toBe(known.size)
      for (const at of [...added, ...deleted, 7, 200_000]) expect(set.has(at)).toBe(known.has(at))
      const stretches = [...set.stretches()]
      const all = stretches.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, i) => first + i))
      expect(all).toEqual([...known].sort((a, b) => a - b))
      for (const [i, [first]] of stretches.entries()) expect(first).toBeGreaterThan((stretches[i - 1]?.[1] ?? -2) + 1)
    }),
  )
})

test('batches are known by their entries, with stream and size', () => {
  const batches = new DroppedBatches()
  const scopeOf = (at: number) => ({ source: `s-${at % 3}`, stream: `t-${at % 7}`, n: 1 + (at % 10_000) })
  const entries = [0, 1, 16_383, 16_384, 50_000, 1_000_000]
  for (const at of entries) batches.add(at, scopeOf(at))
  batches.addUnreadable(2)
  for (const at of entries) expect(batches.of(at)).toEqual(scopeOf(at))
  expect([batches.of(2), batches.of(3), batches.of(9_007_199_254_740_990)]).toEqual(['unreadable', null, null])
})

test('leaf hashes are known again, also where they were kept', () => {
  const [leaves, again] = [new DroppedLeaves(), new DroppedLeaves()]
  expect(leaves.has(leaf(0))).toBe(false)
  const N = 20_000
  for (let i = 0; i < N; i++) leaves.add(leaf(i))
  for (const saved of leaves.save()) again.load(saved)
  again.add(leaf(N + 1))
  for (const known of [leaves, again]) {
    for (let i = 0; i < N; i++) expect(known.has(leaf(i))).toBe(true)
    for (let i = 2 * N; i < 3 * N; i++) expect(known.has(leaf(i))).toBe(false)
  }
  expect([leaves.has(leaf(N + 1)), again.has(leaf(N + 1))]).toEqual([false, true])
  expect([...new DroppedLeaves().save()]).toEqual([])
})

// A log of more entries than one tile holds, of which an audit has read fewer.
test.each([1, 255, 256, 257, 600, 700])('whether an entry is one of the first %i follows from tiles', async (size) => {
  const all = Array.from({ length: 700 }, (_, i) => leaf(i))
  const tiles: Hash[][] = [all]
  for (let at = 0; at + TILE_WIDTH <= all.length; at += TILE_WIDTH)
    tiles[1] = [...(tiles[1] ?? []), treeRoot(all.slice(at, at + TILE_WIDTH), nodePrimitives.nodeHash)]
  const root = treeRoot(all.slice(0, size), nodePrimitives.nodeHash)
  const serve = (altered: number | null) => async (level: number | 'entries', index: number, width: number) => {
    const hashes = tiles[Number(level)]?.slice(TILE_WIDTH * index, TILE_WIDTH * index + width) ?? []
    const served = hashes.map((hash, i) => (level === 0 && TILE_WIDTH * index + i === altered ? leaf(-1) : hash))
    return served.length === 0 ? null : new Uint8Array(Buffer.concat(served))
  }
  const honest = openPrefix(serve(null), all.length, size, root)
  for (const at of [0, 1, 254, 255, 256, 511, 512, 599, size - 1].filter((entry) => entry < size)) {
    expect(await honest.hasEntry(at, all[at]!), `${at}`).toBe(true)
    expect(await honest.hasEntry(at, leaf(-1))).toBe(false)
    // A tile that was altered shows nothing, not even of what is as it was.
    const altered = openPrefix(serve(at), all.length, size, root)
    expect(await altered.hasEntry(at, leaf(-1))).toBe(false)
  }
})

test('where nothing is overdue by a policy, no event is parsed for it once more', async () => {
  const policy = { id: 'orders', version: 1, covers: {}, contentsDays: 30, eventsDays: 60, logIndex: 0, ended: null }
  for (const policies of [[], [policy]]) {
    const api = { json: async () => ({ policies }) } as unknown as Api
    const clocks = { all: [], asked: [], heads: [], listedAt: 10 }
    const holds = { claimed: async () => [], standing: () => [] }
    const check = checkRetention(api, clocks, holds, new DroppedLeaves())
    const walked = {
      ...{ logIndex: 5, firstEvent: 9, header: { source: 'shop', stream: 'eu', seq: 0, n: 3 } },
      ...{ isWhole: true, isEarlier: false, dropped: null },
      get events(): never {
        throw new Error('all its events were parsed')
      },
    } as unknown as WalkedEntry
    expect(await check.entry!(walked)).toEqual([])
  }
})
