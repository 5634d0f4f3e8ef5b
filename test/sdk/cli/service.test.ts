// The commands that the anchor service does, from the one that is installed beside the sdk. Without it: scripts/pack.test.ts.
import { ANCHOR_LOG_CODE_HASH } from '@killick/sdk/verify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type LocalChain, startChain } from '../../support/local-chain.ts'
import { killickProcess as killick } from './support.ts'

let chain: LocalChain
let env: Record<string, string>
beforeAll(async () => {
  chain = await startChain()
  env = { KILLICK_RPC_URL: chain.url, KILLICK_CHAIN_KEY: await chain.newKey() }
})
afterAll(() => chain.stop())

test('deploy prints address, log id and code hash; handover what is wrong; neither shows the key', async () => {
  const deployed = await killick(['deploy'], { env })
  expect(deployed).toMatchObject({ code: 0, err: '' })
  expect(deployed.out).toMatch(/chain 31337, deployed\n.*KILLICK_CONTRACT +0x[0-9a-f]{40}\n.*log id +0x[0-9a-f]{64}/i)
  expect(deployed.out).toContain(ANCHOR_LOG_CODE_HASH)
  const [contract] = /0x[0-9a-fA-F]{40}\b/.exec(deployed.out)!

  const handover = await killick(['handover', 'nobody'], { env: { ...env, KILLICK_CONTRACT: contract } })
  expect(handover).toMatchObject({ code: 1, out: '', err: expect.stringContaining('address of the new key') })
  for (const { out, err } of [deployed, handover]) expect(out + err).not.toContain(env.KILLICK_CHAIN_KEY!.slice(2))
  expect(await killick(['deploy', 'twice'])).toMatchObject({ code: 2, err: expect.stringContaining('twice') })
})
