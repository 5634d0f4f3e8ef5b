import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { loadConfig, type Service, startAnchoring, startService } from '@killick/anchor-service'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { startCluster } from '../../../anchor-service/src/database/embedded/cluster.ts'
import { startFaultyRpc } from '../../support/faulty-rpc.ts'
import { type LocalChain, startChain } from '../../support/local-chain.ts'
import { createDatabase } from '../../support/postgres.ts'
import { startChild } from '../../support/processes.ts'
import { redisAvailable, startRedis } from '../../support/redis.ts'
import { newSigner, Producer, post, sampleEvent } from '../support/producer.ts'
import { ADMIN, call, READER, register } from '../support/service.ts'
import { expectAudited } from './support/audited.ts'
import { forgetQueue } from './support/forget.ts'
import { randomness } from './support/schedule.ts'

const MAIN = fileURLToPath(new URL('../../../anchor-service/src/main.ts', import.meta.url))
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)

let chain: LocalChain
let folder: string
beforeAll(async () => {
  chain = await startChain()
  folder = await mkdtemp(join(tmpdir(), 'killick-storm-'))
})
afterAll(async () => {
  await chain.stop()
  await rm(folder, { recursive: true, force: true })
})

async function environment(databaseUrl: string) {
  // A folder for each: what one knows of its log must not be held against the log of another database.
  const data = await mkdtemp(join(folder, 'data-'))
  return {
    ...{ DATABASE_URL: databaseUrl, KILLICK_DATA: data, PORT: '0', KILLICK_LOG_LEVEL: 'silent' },
    ...{ KILLICK_ADMIN_TOKEN: ADMIN, KILLICK_READER_TOKEN: READER, KILLICK_RPC_URL: chain.url },
    ...{ KILLICK_CONTRACT: await chain.deployAnchorLog(), KILLICK_CHAIN_KEY: await chain.newKey() },
    ...{ KILLICK_ANCHOR_INTERVAL_MS: '100', KILLICK_CONFIRMATIONS: '1', KILLICK_ANCHOR_POLL_MS: '100' },
    // An audit in the background records how it ended, and what is recorded is anchored: nothing may move at the end.
    KILLICK_AUDIT_INTERVAL_MS: '0',
  }
}

/** Records events until told to stop, each sent until it is accepted. @returns the leaf hash of the last one */
async function keepRecording(url: string, until: () => boolean): Promise<string> {
  const signer = newSigner()
  await vi.waitUntil(
    async () => (await register(url, 'billing', [{ jwk: signer.jwk }]).catch(() => null))?.status === 201,
    { timeout: 20_000 },
  )
  const producer = new Producer('billing', signer)
  for (;;) {
    const { body, leaves, advance } = await producer.batch([sampleEvent()])
    await vi.waitUntil(async () => [200, 201].includes((await post(url, body).catch(() => null))?.status ?? 0), {
      timeout: 20_000,
      interval: 50,
    })
    advance()
    if (until()) return Buffer.from(leaves[0]!).toString('base64url')
    await sleep(100)
  }
}

/** Checks that the last event is anchored, the audit passes, and the contract holds each size of the ledger once. */
async function expectWhole(service: Service, event: string, contract: string): Promise<void> {
  const anchors = async () => (await call(service.url, `/v1/proofs/${event}`)).json.anchors as { logId: string }[]
  await vi.waitUntil(async () => (await anchors()).length === 1, { timeout: 60_000, interval: 100 })
  const { logId } = (await anchors())[0]!
  await expectAudited(service, chain, contract, [logId], `SEED=${SEED}`)
}

describe.each(['redis', 'postgresql'] as const)('with the queue on %s', (backend) => {
  test.skipIf(backend === 'redis' && !redisAvailable())(
    'the queue emptied and PostgreSQL restarted again and again, while nodes fail: nothing twice, nothing lost',
    { timeout: 120_000 },
    async () => {
      const random = randomness(SEED)
      const redis = backend === 'redis' ? await startRedis() : null
      const proxy = await startFaultyRpc(chain.url)
      proxy.rule = () => (random() < 0.05 ? { fault: random() < 0.5 ? 'lose' : 'swallow' } : null)
      let cluster = await startCluster(folder)
      const databaseUrl = await cluster.databaseUrl(`storm_${backend}`)
      const env = {
        ...(await environment(databaseUrl)),
        ...(redis && { REDIS_URL: redis.url }),
        KILLICK_RPC_URL: proxy.url,
      }
      const service = await startService(loadConfig(env), startAnchoring)
      const { anchoring } = (await call(service.url, '/readyz')).json
      expect(anchoring.targets).toMatchObject([{ queue: { backend } }])
      let isOver = false
      const recording = keepRecording(service.url, () => isOver)
      for (let blows = 0; blows < 3; blows++) {
        await sleep(300 + 500 * random())
        await (redis ? redis.flush() : forgetQueue(databaseUrl))
        await sleep(200 * random())
        await cluster.close()
        cluster = await startCluster(folder)
      }
      isOver = true
      // An alarm waits five seconds, and at this rate one could follow the other for long.
      proxy.rule = () => null
      await expectWhole(service, await recording, env.KILLICK_CONTRACT)
      await service.close()
      await Promise.all([proxy.stop(), redis?.stop(), cluster.close()])
    },
  )
})

test('a worker process is killed again and again beside another: no anchor is doubled or lost', {
  timeout: 120_000,
}, async () => {
  const random = randomness(SEED)
  const env = { ...(await environment(await createDatabase())), KILLICK_WORKER: 'off' }
  const service = await startService(loadConfig(env))
  const worker = () => startChild(process.execPath, [MAIN, 'worker'], { env: { PATH: process.env.PATH ?? '', ...env } })
  let isOver = false
  const recording = keepRecording(service.url, () => isOver)
  for (let kills = 0; kills < 2; kills++) {
    const workers = await Promise.all([worker(), worker()])
    await Promise.all(workers.map((each) => each.printed(/Killick anchors/)))
    await sleep(200 + 600 * random())
    await Promise.all(workers.map((each) => each.kill9()))
  }
  isOver = true
  const last = await worker()
  await expectWhole(service, await recording, env.KILLICK_CONTRACT)
  await last.stop()
  await service.close()
})
