import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openKeptChain } from '../../scripts/lib/kept-chain.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'killick-kept-chain-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('two that start at once share one chain, and it comes back', { timeout: 120_000 }, async () => {
  const both = join(folder, 'both')
  const opened = await Promise.all([openKeptChain(both), openKeptChain(both)])
  const [one, other] = opened.map(({ chain: { chainId, url }, contract }) => ({ chainId, url, contract }))
  expect(other).toEqual(one)
  for (const { stop } of opened) await stop()

  const again = await Promise.all([openKeptChain(both), openKeptChain(both)])
  expect(again.map(({ chain }) => chain.chainId)).toEqual([one!.chainId, one!.chainId])
  expect(Math.max(...again.map(({ restored }) => restored!))).toBeGreaterThan(0)
  expect(await readdir(both)).not.toContain('blocks.ndjson.lost')
  for (const { stop } of again) await stop()
})

test('a chain whose first start was ended before it had a contract gets one', { timeout: 60_000 }, async () => {
  const early = join(folder, 'early')
  const { stop } = await openKeptChain(early)
  await stop()
  const file = join(early, 'blocks.ndjson')
  const [genesis] = (await readFile(file, 'utf8')).split('\n')
  await writeFile(file, `${genesis}\n`)

  const opened = await openKeptChain(early)
  const asked = { jsonrpc: '2.0', id: 1, method: 'eth_getCode', params: [opened.contract, 'latest'] }
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(opened.chain.url, { method: 'POST', headers, body: JSON.stringify(asked) })
  expect(await answer.json()).toMatchObject({ result: expect.stringMatching(/^0x.{100}/) })
  await opened.stop()
})
