import { asHash } from '@killick/sdk/core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { planAnchor, readOpenAnchors, recordState } from '../../../../anchor-service/src/anchor/state.ts'
import { readProvingAnchors, readTargets } from '../../../../anchor-service/src/ledger/registry/anchors.ts'
import { type TestLedger, testLedger } from '../../support/ledger.ts'

const hex = (n: number, digits: number) => `0x${n.toString(16).padStart(digits, '0')}`

let opened: TestLedger
beforeAll(async () => {
  opened = await testLedger()
  for (const size of [100, 101, 102, 400]) {
    await opened.pool.query('insert into checkpoints (size, root, note) values ($1, $2, $3)', [
      size,
      Buffer.alloc(32),
      '',
    ])
  }
})
afterAll(() => opened.close())

/** Each place is on a chain of its own. */
async function anchorAt(n: number, size: number, target = `target-${n}`): Promise<void> {
  const place = { target, chainId: n, genesis: hex(n, 64), contract: hex(n, 40), logId: hex(n, 64) }
  await planAnchor(opened.pool, place, size, asHash(new Uint8Array(32)))
  const anchor = (await readOpenAnchors(opened.pool, place, -1)).find((each) => each.size === size)
  await recordState(opened.pool, anchor!, 'confirmed', { transaction: hex(n, 64), block: 1, time: 1_700_000_000 })
}

test('a proof carries the anchors of the newest targets, smallest size first, whatever happened to old targets', async () => {
  for (let n = 1; n <= 20; n++) await anchorAt(n, 100 + (n % 3))
  const anchors = await readProvingAnchors(opened.pool, 50)
  expect(anchors).toHaveLength(16)
  expect(new Set(anchors.map(({ chainId }) => chainId))).toEqual(new Set(Array.from({ length: 16 }, (_, i) => i + 5)))
  expect(anchors.map(({ size }) => size)).toEqual(anchors.map(({ size }) => size).sort((a, b) => a - b))

  await anchorAt(20, 400)
  expect((await readProvingAnchors(opened.pool, 50)).find(({ chainId }) => chainId === 20)?.size).toBe(102)
  expect(await readProvingAnchors(opened.pool, 200)).toMatchObject([{ chainId: 20, size: 400 }])
})

test('for a target that moved, its last place counts once an anchor there covers the entry', async () => {
  await anchorAt(30, 400, 'moving')
  const chains = async () => (await readProvingAnchors(opened.pool, 300)).map(({ chainId }) => chainId)
  expect(await chains()).toEqual([20, 30])
  await anchorAt(31, 102, 'moving')
  expect(await chains()).toEqual([20, 30])
  await anchorAt(31, 400, 'moving')
  expect(await chains()).toEqual([20, 31])
  expect((await readTargets(opened.pool))[0]).toMatchObject({ chainId: 31 })
  expect((await readTargets(opened.pool)).map(({ chainId }) => chainId)).not.toContain(30)
})

test('each anchor comes with the last anchor of the same place that does not cover the entry, if any', async () => {
  await anchorAt(40, 100)
  await anchorAt(40, 101)
  await anchorAt(40, 400)
  const before = async (index: number) =>
    (await readProvingAnchors(opened.pool, index)).find(({ chainId }) => chainId === 40)?.before
  expect(await before(99)).toBeUndefined()
  expect(await before(100)).toEqual({
    ...{ size: 100, root: asHash(new Uint8Array(32)), time: 1_700_000_000, transaction: hex(40, 64), block: 1 },
  })
  expect(await before(101)).toMatchObject({ size: 101 })
  expect(await before(399)).toMatchObject({ size: 101 })
})
