// The right edge of the log, as commits carry it along: roots and paths of what was appended, held against the whole tree.
import { createHash } from 'node:crypto'
import { asHash, type Hash, nodePrimitives, treeRoot, verifyInclusion } from '@killick/sdk/core'
import { expect, test } from 'vitest'
import {
  append,
  appendedPaths,
  type Frontier,
  frontierRoot,
} from '../../../../anchor-service/src/ledger/tree/frontier.ts'

const { nodeHash } = nodePrimitives
const leafAt = (i: number): Hash => asHash(new Uint8Array(createHash('sha256').update(`${i}`).digest()))
const leaves = Array.from({ length: 66_000 }, (_, i) => leafAt(i))
const EMPTY: Frontier = { size: 0, tiles: [] }

/** Sizes before and after, around where tiles and powers of two end. */
const steps = [
  ...[0, 1, 2, 3, 5, 7, 8, 127, 255, 256, 257, 511, 512].flatMap((before) =>
    [1, 2, 40].map((more) => [before, before + more] as const),
  ),
  ...([
    [200, 900],
    [65_530, 65_570],
    [7, 7],
  ] as const),
]

test.each(steps)('from %i to %i entries', (size, next) => {
  const { frontier } = append(EMPTY, leaves.slice(0, size))
  const added = append(frontier, leaves.slice(size, next))
  const root = treeRoot(leaves.slice(0, next), nodeHash)
  expect(frontierRoot(added.frontier)).toEqual(root)
  const paths = appendedPaths(size, added)
  expect(paths).toHaveLength(next - size)
  for (const [i, path] of paths.entries())
    expect(verifyInclusion({ leafHash: leaves[size + i]!, index: size + i, size: next, path, root })).toBe(true)
})

test('goes on from one to the next, and two may go on from the same', () => {
  let frontier = EMPTY
  for (let size = 0, step = 1; size < 1200; step = (7 * step + 3) % 61) {
    // As after a commit that failed: what goes on from here next must not meet what these have become part of.
    const lost = append(frontier, leaves.slice(2000, 2000 + step + 5))
    frontierRoot(lost.frontier)
    appendedPaths(size, lost)
    const added = append(frontier, leaves.slice(size, size + step))
    const next = size + step
    const root = treeRoot(leaves.slice(0, next), nodeHash)
    for (const [i, path] of appendedPaths(size, added).entries())
      expect(verifyInclusion({ leafHash: leaves[size + i]!, index: size + i, size: next, path, root })).toBe(true)
    expect(frontierRoot(added.frontier)).toEqual(root)
    ;({ frontier } = added)
    size = next
  }
})
