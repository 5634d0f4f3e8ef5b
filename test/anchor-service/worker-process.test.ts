import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { startChain } from '../support/local-chain.ts'
import { createDatabase } from '../support/postgres.ts'
import { startChild } from '../support/processes.ts'
import { newSigner, Producer, post, sampleEvent } from './support/producer.ts'
import { ADMIN, call, READER, register } from './support/service.ts'

const MAIN = fileURLToPath(new URL('../../anchor-service/src/main.ts', import.meta.url))

test('a worker in its own process anchors what a service accepts, and ends cleanly', {
  timeout: 90_000,
}, async () => {
  const chain = await startChain()
  const folder = await mkdtemp(join(tmpdir(), 'killick-worker-'))
  const env = {
    PATH: process.env.PATH ?? '',
    DATABASE_URL: await createDatabase(),
    KILLICK_DATA: folder,
    KILLICK_ADMIN_TOKEN: ADMIN,
    KILLICK_READER_TOKEN: READER,
    KILLICK_WORKER: 'off',
    KILLICK_RPC_URL: chain.url,
    KILLICK_CONTRACT: await chain.deployAnchorLog(),
    KILLICK_CHAIN_KEY: await chain.newKey(),
    KILLICK_ANCHOR_INTERVAL_MS: '200',
    KILLICK_CONFIRMATIONS: '1',
    PORT: '0',
  }
  const service = await startChild(process.execPath, [MAIN, 'serve'], { env })
  const url = (await service.printed(/listens on (\S+)/))[1]!
  const worker = await startChild(process.execPath, [MAIN, 'worker'], { env: { ...env, KILLICK_WORKER_PORT: '0' } })
  const workerUrl = (await worker.printed(/Killick anchors, and says how on (\S+)/))[1]!

  const signer = newSigner()
  await register(url, 'billing', [{ jwk: signer.jwk }])
  const { body, leaves } = await new Producer('billing', signer).batch([sampleEvent()])
  expect((await post(url, body)).status).toBe(201)
  const path = `/v1/proofs/${Buffer.from(leaves[0]!).toString('base64url')}`
  await expect.poll(async () => (await call(url, path)).json.anchors.length, { timeout: 45_000 }).toBe(1)
  expect((await call(url, '/v1/log', null)).json.targets).toHaveLength(1)

  // What the service cannot know of a worker elsewhere, the worker says itself.
  expect((await call(workerUrl, '/healthz', null)).json).toEqual({ status: 'ok' })
  expect(await call(workerUrl, '/readyz')).toMatchObject({
    status: 200,
    json: { status: 'ready', anchoring: { targets: [{ target: 'default', alarm: null }] } },
  })
  const metrics = (await call(workerUrl, '/metrics')).text
  expect(metrics).toMatch(/^killick_anchor_states_total\{target="default",state="confirmed"\} [1-9]/m)
  expect(metrics).toMatch(/^killick_anchored_size [1-9]/m)
  expect((await call(workerUrl, '/v1/events')).status).toBe(404)

  for (const child of [worker, service]) {
    child.process.kill('SIGTERM')
    expect(await child.exited).toEqual({ code: 0, signal: null })
    expect(child.output()).not.toContain(env.KILLICK_CHAIN_KEY.slice(2))
  }
  await chain.stop()
  await rm(folder, { recursive: true, force: true })
})
