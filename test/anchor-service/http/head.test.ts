/** HEAD has the headers that GET would have, and costs no more than these. */
import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { newSigner, Producer, post, sampleEvent } from '../support/producer.ts'
import { READER, register, type TestService, testService } from '../support/service.ts'

const EVENTS = 300
/** The service is in this process: what it asks the database is counted, and asked. */
const query = vi.spyOn(pg.Client.prototype, 'query')
let service: TestService

beforeAll(async () => {
  service = await testService()
  const producer = new Producer('shop', newSigner())
  await register(service.url, 'shop', [{ jwk: producer.signer.jwk }])
  const batch = await producer.batch(Array.from({ length: EVENTS }, (_, i) => sampleEvent(i)))
  expect((await post(service.url, batch.body)).status).toBe(201)
})
afterEach(() => query.mockClear())
afterAll(async () => {
  await service?.stop()
  query.mockRestore()
})

async function ask(method: 'GET' | 'HEAD', path: string) {
  const response = await fetch(service.url + path, { method, headers: { authorization: `Bearer ${READER}` } })
  return { status: response.status, type: response.headers.get('content-type'), length: (await response.text()).length }
}

test('nothing is made of a file of events that is only asked about', async () => {
  const path = '/v1/events/export?source=shop&format=ndjson'
  const got = await ask('GET', path)
  const once = query.mock.calls.length
  // Each event comes with its proof.
  expect(once).toBeGreaterThan(EVENTS)
  for (let i = 0; i < 4; i++) expect(await ask('HEAD', path)).toEqual({ ...got, length: 0 })
  expect(await ask('GET', path)).toEqual(got)
  // What was still made for the four would have been asked for beside the last one.
  expect(query.mock.calls.length).toBeLessThan(3 * once)
})

test('answers that are made while they are read say the same as ever', async () => {
  for (const path of ['/v1/batches?from=0', '/v1/events/export?format=csv', '/verify/preview.png']) {
    const got = await ask('GET', path)
    expect(await ask('HEAD', path), path).toEqual({ ...got, length: got.status === 200 ? 0 : expect.any(Number) })
  }
  expect(await ask('HEAD', '/v1/events/live')).toEqual({ status: 200, type: 'text/event-stream', length: 0 })
})
