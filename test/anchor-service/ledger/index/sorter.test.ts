import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { EntrySorter } from '../../../../anchor-service/src/ledger/index/sorter.ts'

test('with any amount of memory, each entry comes once and in order, even if packs repeat their keys', () => {
  const own = Array.from({ length: 4 }, () => Array.from({ length: 900 }, () => randomBytes(8)))
  // Every pack names each of its keys twice, and all share the last one.
  const packs = own.map((keys) => Buffer.concat([...keys, ...keys, Buffer.alloc(8, 7)]))
  const sorted = (size: number) => {
    const sorter = new EntrySorter(size)
    const parts: Buffer[] = []
    for (let isLast = false; !isLast; ) {
      for (const [offset, keys] of packs.entries()) sorter.add(offset, keys)
      const taken = sorter.take()
      parts.push(Buffer.from(taken.entries))
      isLast = taken.isLast
    }
    return { entries: Buffer.concat(parts), passes: parts.length }
  }
  const little = sorted(0)
  expect(little.passes).toBeGreaterThan(2)
  expect(little.entries).toHaveLength(8 * 4 * 901)
  expect(little.entries.equals(sorted(1 << 20).entries)).toBe(true)
  const values = Array.from({ length: 4 * 901 }, (_, i) => little.entries.readBigInt64BE(8 * i))
  expect(values.every((value, i) => i === 0 || values[i - 1]! < value)).toBe(true)
})
