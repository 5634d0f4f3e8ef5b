import { parseProof, printHash, readAnchors, verifyProof } from '@killick/sdk'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type LocalChain, startChain } from '../../support/local-chain.ts'
import { freePort, type Redis, redisAvailable, startRedis } from '../../support/redis.ts'
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

/** Records one event; its id. */
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

describe('a service that anchors', () => {
  test('on PostgreSQL alone: an event becomes a verified proof, and goes on after a restart', async () => {
    const { service, signer } = await anchoringService()
    try {
      await expectAnchored(service, signer)
      const { json } = await call(service.url, '/readyz')
      expect(json.anchoring).toMatchObject({
        targets: [{ target: 'default', alarm: null, queue: { backend: 'postgresql', isUp: true } }],
      })
      await expectAnchored(service, signer)
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

  test('with a Redis that is down from the start, the service is up and anchors', async () => {
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
