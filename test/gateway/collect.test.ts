import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEvent } from '@killick/sdk/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { call, READER, register, type TestService, testService } from '../anchor-service/support/service.ts'
import { startChain } from '../support/local-chain.ts'
import { sample, type TestCollector, testCollector } from './support.ts'

let service: TestService
let edge: TestCollector

beforeAll(async () => {
  service = await testService()
  edge = await collectorOf(service, 5_000)
})
afterAll(async () => {
  await edge?.stop()
  await service?.stop()
})

/** A collector that may ask for proofs. */
async function collectorOf({ url, folder }: TestService, waitMs: number): Promise<TestCollector> {
  const token = join(folder, 'reader.token')
  writeFileSync(token, `${READER}\n`)
  const collector = await testCollector(url, { readerToken: token, limits: { waitMs } })
  expect((await register(url, 'edge-1', [{ jwk: collector.jwk }])).status).toBe(201)
  return collector
}

/** The event as the ledger has it. */
async function inLedger(id: unknown) {
  const { status, json } = await call(service.url, `/v1/proofs/${id}`)
  expect(status).toBe(200)
  return parseEvent((json as { event: string }).event)
}

describe('one event', () => {
  test('is answered when it is durable, and reaches the ledger under the collector, with who handed it in', async () => {
    const { status, json } = await edge.send(sample(1, { id: 'run-1', source: 'hr-berlin' }), {
      path: '/v1/events?wait=accepted',
    })
    expect(status).toBe(200)
    expect(json).toEqual({
      ...{ source: 'edge-1', stream: edge.collector.log.status.stream, state: 'accepted' },
      ...{ id: expect.stringMatching(/^[0-9a-f-]{36}$/), seq: expect.any(Number), time: expect.any(String) },
    })
    const event = await inLedger(json.id)
    expect(event).toMatchObject({ source: 'edge-1', seq: json.seq })
    expect(new Date(event.time).toISOString()).toBe(json.time)
    expect(event.fields).toEqual({
      ...sample(1),
      collected: {
        ...{ by: 'edge-1', emitter: 'payroll', auth: 'key', credential: edge.keys.payroll.slice(4, 12) },
        ...{ source: 'hr-berlin', via: 'json', id: 'run-1' },
      },
    })
  })

  test('waits no longer than it may for an anchor that does not come, and says how far it came', async () => {
    const { status, json } = await edge.send(sample(2), { path: '/v1/events?wait=anchored' })
    expect(status).toBe(202)
    expect(json).toMatchObject({ state: 'accepted', reason: 'not_anchored', id: expect.any(String) })
  })

  test('is answered as anchored once its proof has an anchor', async () => {
    const chain = await startChain()
    const anchoring = await testService({
      KILLICK_RPC_URL: chain.url,
      KILLICK_CONTRACT: await chain.deployAnchorLog(),
      KILLICK_CHAIN_KEY: await chain.newKey(),
      KILLICK_ANCHOR_INTERVAL_MS: '200',
      KILLICK_CONFIRMATIONS: '1',
    })
    const collector = await collectorOf(anchoring, 20_000)
    try {
      const { status, json } = await collector.send(sample(1), { path: '/v1/events?wait=anchored' })
      expect({ status, json }).toMatchObject({ status: 200, json: { state: 'anchored' } })
      expect((await call(anchoring.url, `/v1/proofs/${json.id}`)).json.anchors).toHaveLength(1)
    } finally {
      await collector.stop()
      await anchoring.stop()
      await chain.stop()
    }
  })
})

test('an array is answered in its order', async () => {
  const events = Array.from({ length: 100 }, (_, i) => sample(i))
  const { status, json } = await edge.send(events, { path: '/v1/events?wait=accepted' })
  expect(status).toBe(200)
  const answered = json.events as { id: string; seq: number }[]
  expect(answered.map(({ seq }) => seq - answered[0]!.seq)).toEqual(events.map((_, i) => i))
  expect((await inLedger(answered[42]!.id)).fields).toMatchObject(sample(42))
})

test('NDJSON is recorded line by line', async () => {
  const lines = Array.from({ length: 250 }, (_, i) => JSON.stringify(sample(i, { id: `line-${i}` })))
  const { status, json } = await edge.send(`${lines.join('\r\n')}\n\n`, {
    path: '/v1/events?wait=accepted',
    type: 'application/x-ndjson',
  })
  expect({ status, json }).toMatchObject({ status: 200, json: { recorded: 250, state: 'accepted' } })
})

test('what the ledger refuses stays in the spool, and the answer says why', async () => {
  const stranger = await testCollector(service.url, { source: 'edge-2' })
  try {
    const { status, json } = await stranger.send(sample(1), { path: '/v1/events?wait=accepted' })
    expect({ status, json }).toMatchObject({ status: 202, json: { state: 'durable', reason: expect.any(String) } })
    await register(service.url, 'edge-2', [{ jwk: stranger.jwk }])
    expect(await stranger.send(sample(2), { path: '/v1/events?wait=accepted' })).toMatchObject({ status: 200 })
    expect((await inLedger(json.id)).fields).toMatchObject(sample(1))
  } finally {
    await stranger.stop()
  }
})
