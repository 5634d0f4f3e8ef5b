import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseProof, printHash, readAnchors, verifyProof } from '@killick/sdk/verify'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { freePort } from '../../../scripts/lib/free-port.ts'
import { startFaultyRpc } from '../../support/faulty-rpc.ts'
import { type LocalChain, startChain } from '../../support/local-chain.ts'
import { type Redis, redisAvailable, startRedis } from '../../support/redis.ts'
import { newSigner, Producer, post, sampleEvent } from '../support/producer.ts'
import { call, register, type TestService, testService } from '../support/service.ts'

let chain: LocalChain
beforeAll(async () => {
  chain = await startChain()
})
afterAll(() => chain.stop())

/** A service that anchors, with a registered source. */
async function anchoringService(env: Record<string, string> = {}) {
  const service = await testService({
    KILLICK_RPC_URL: chain.url,
    KILLICK_CONTRACT: await chain.deployAnchorLog(),
    KILLICK_CHAIN_KEY: await chain.newKey(),
    KILLICK_ANCHOR_INTERVAL_MS: '200',
    KILLICK_CONFIRMATIONS: '1',
    ...env,
  })
  const signer = newSigner()
  await register(service.url, 'billing', [{ jwk: signer.jwk }])
  return { service, signer }
}

/** Records one event. @returns its id */
async function record(service: TestService, signer: ReturnType<typeof newSigner>): Promise<string> {
  const producer = new Producer('billing', signer)
  const { body, leaves } = await producer.batch([sampleEvent()])
  expect((await post(service.url, body)).status).toBe(201)
  return printHash(leaves[0]!)
}

async function anchoredProof(service: TestService, id: string, ms = 15_000): Promise<string> {
  for (const end = Date.now() + ms; Date.now() < end; ) {
    const { text, json } = await call(service.url, `/v1/proofs/${id}`)
    if (json.anchors.length > 0) return text
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(
    `not anchored: ${(await call(service.url, '/readyz')).text} ${(await call(service.url, '/v1/anchors')).text}`,
  )
}

async function expectAnchored(service: TestService, signer: ReturnType<typeof newSigner>): Promise<void> {
  const proof = parseProof(await anchoredProof(service, await record(service, signer)))
  const { chainId, contract, logId } = proof.anchors[0]!
  const verdict = verifyProof(proof, {
    ...{ sourceKeys: [{ source: 'billing', jwk: signer.jwk }], logKeys: [service.vkey] },
    ...{ logs: [{ chainId, contract, logId }], facts: await readAnchors(proof, [chain.url]) },
    confirmations: 1,
  })
  expect(verdict).toMatchObject({ outcome: 'verified' })
}

async function metric(service: TestService, name: string): Promise<number> {
  const { text } = await call(service.url, '/metrics')
  return Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${name} `))
      ?.split(' ')[1],
  )
}

describe('a service that anchors', () => {
  test('with PostgreSQL alone: an event gets a verified proof, and anchoring continues after a restart', async () => {
    const { service, signer } = await anchoringService()
    try {
      await expectAnchored(service, signer)
      const { json } = await call(service.url, '/readyz')
      expect(json.anchoring).toMatchObject({
        targets: [{ target: 'default', alarm: null, queue: { backend: 'postgresql', isUp: true } }],
      })
      await expectAnchored(service, signer)

      const anchors = (await call(service.url, '/v1/anchors')).json.anchors as Record<string, string>[]
      expect(anchors.length).toBeGreaterThan(1)
      for (const { gasUsed, gasPrice, fee, events, feePerEvent } of anchors) {
        expect(BigInt(fee!)).toBe(BigInt(gasUsed!) * BigInt(gasPrice!))
        expect(BigInt(feePerEvent!)).toBe(BigInt(fee!) / BigInt(events!))
      }
    } finally {
      await service.stop()
    }
  })

  test.skipIf(!redisAvailable())(
    'on Redis: also after Redis has forgotten everything, and while it is gone',
    async () => {
      const redis: Redis = await startRedis()
      const { service, signer } = await anchoringService({ REDIS_URL: redis.url })
      try {
        await expectAnchored(service, signer)
        expect((await call(service.url, '/readyz')).json.anchoring.targets[0].queue).toMatchObject({
          backend: 'redis',
          isUp: true,
        })
        await redis.flush()
        await expectAnchored(service, signer)
        await redis.stop()
        await expectAnchored(service, signer)
        expect((await call(service.url, '/readyz')).json.anchoring.targets[0].queue).toMatchObject({ isUp: false })
      } finally {
        await service.stop()
      }
    },
  )

  test('anchors to several targets independently: one that is down delays no other', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'killick-targets-'))
    const [near, far] = await Promise.all([startFaultyRpc(chain.url), startFaultyRpc(chain.url)])
    far.rule = () => ({ fault: 'halfOpen' })
    const contracts = [await chain.deployAnchorLog(), await chain.deployAnchorLog(), await chain.deployAnchorLog()]
    const targets = [
      { target: 'near', rpcUrl: [near.url, chain.url], contract: contracts[0], chainKey: await chain.newKey() },
      { target: 'far', rpcUrl: far.url, contract: contracts[1], chainKey: await chain.newKey() },
      {
        target: 'slow',
        rpcUrl: chain.url,
        contract: contracts[2],
        chainKey: await chain.newKey(),
        anchorIntervalMs: 86_400_000,
      },
    ]
    await writeFile(join(folder, 'targets.json'), JSON.stringify(targets))
    // Recorded before anything is anchored: `slow` anchors once, what is there by then.
    const before = await testService()
    const signer = newSigner()
    await register(before.url, 'billing', [{ jwk: signer.jwk }])
    const first = await record(before, signer)
    await before.close()
    const service = await testService(
      {
        ...{ KILLICK_TARGETS: join(folder, 'targets.json'), KILLICK_ANCHOR_INTERVAL_MS: '200' },
        ...{ KILLICK_CONFIRMATIONS: '1', KILLICK_RPC_TIMEOUT_MS: '2000' },
      },
      before,
    )
    try {
      const carried = async (id: string) =>
        (JSON.parse(await anchoredProof(service, id)).anchors as { contract: string }[]).map(({ contract }) => contract)
      await vi.waitUntil(async () => (await carried(first)).length === 2, { timeout: 10_000, interval: 50 })
      expect(new Set(await carried(first))).toEqual(new Set([contracts[0], contracts[2]]))
      const alarm = () => metric(service, 'killick_anchor_alarm{target="far",code="nodes_unreachable"}')
      await vi.waitUntil(async () => (await alarm()) === 1, { timeout: 10_000, interval: 50 })

      far.rule = () => null
      await vi.waitUntil(async () => (await carried(first)).length === 3, { timeout: 20_000, interval: 50 })
      // The interval of `slow` is long, so the next event waits there.
      const second = await record(service, signer)
      await vi.waitUntil(async () => (await carried(second)).length === 2, { timeout: 10_000, interval: 50 })
      expect(await carried(second)).not.toContain(contracts[2])
      await vi.waitUntil(async () => (await alarm()) === 0, { timeout: 10_000, interval: 50 })
      expect(await metric(service, 'killick_anchor_affordable{target="near"}')).toBeGreaterThan(1_000)
    } finally {
      await service.stop()
      await Promise.all([near.stop(), far.stop(), rm(folder, { recursive: true, force: true })])
    }
  })

  test('starts and anchors although Redis is down from the start', async () => {
    const { service, signer } = await anchoringService({ REDIS_URL: `redis://127.0.0.1:${await freePort()}` })
    try {
      await expectAnchored(service, signer)
      const { json } = await call(service.url, '/readyz')
      expect(json).toMatchObject({
        status: 'ready',
        anchoring: { targets: [{ queue: { backend: 'redis', isUp: false } }] },
      })
    } finally {
      await service.stop()
    }
  })
})
