import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { headOfId, headOfLeaf, NameTable } from '../../../../anchor-service/src/ledger/index/name-table.ts'

test('every name leads to its packs, and to hardly any other, before and after the oldest are forgotten', () => {
  let table = new NameTable()
  const names = Array.from({ length: 20_000 }, (_, i) => ({ head: headOfLeaf(randomBytes(32)), pack: 10 * (i >> 3) }))
  // Some are in two packs, and one is twice in one pack.
  for (let i = 0; i < 100; i++) names.push({ head: names[i]!.head, pack: 30_000 + i }, names[i]!)
  for (const { head, pack } of names) table.add(head, pack)
  for (const from of [0, 12_000, 30_050]) {
    table = table.since(from)
    for (const [i, { head, pack }] of names.slice(0, 20_000).entries()) {
      const packs = (i < 100 ? [pack, 30_000 + i] : [pack]).filter((one) => one >= from)
      expect(table.find(head, from)).toEqual({ packs, isAll: true })
    }
    expect(table.find(headOfId(randomBytes(16)), from).packs).toEqual([])
  }
})

test('for a name in very many packs it says that it does not know all of them', () => {
  const table = new NameTable()
  const head = headOfId(randomBytes(16))
  for (let pack = 0; pack < 10_000; pack++) table.add(head, pack)
  expect(table.find(head, 0).isAll).toBe(false)
  expect(table.since(9_000).find(head, 9_000).isAll).toBe(false)
  expect(table.bytes).toBeLessThan(64 * 1024)
})

test('names that differ only in their last bits are told apart', () => {
  const table = new NameTable()
  for (let i = 0; i < 5_000; i++) table.add(2 ** 47 + i, i)
  for (let i = 0; i < 5_000; i++) expect(table.find(2 ** 47 + i, 0)).toEqual({ packs: [i], isAll: true })
})
