/** Ids in requests: those that are taken are spelled as the log spells them, or audits would find that the tables say something else. */
import { randomUUID } from 'node:crypto'
import { auditLedger, openApi } from '@killick/sdk/audit'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { ownChecks } from '../../../anchor-service/src/audit/checks.ts'
import { openPool } from '../../../anchor-service/src/database/pool.ts'
import { newSigner, Producer, post, sampleEvent } from '../support/producer.ts'
import { ADMIN, call, ERASER, READER, register, type TestService, testService } from '../support/service.ts'

let service: TestService
let ids: string[]

beforeAll(async () => {
  service = await testService()
  const producer = new Producer('shop', newSigner())
  await register(service.url, 'shop', [{ jwk: producer.signer.jwk }])
  const batch = await producer.batch([sampleEvent(1), sampleEvent(2)])
  expect((await post(service.url, batch.body)).status).toBe(201)
  ids = (await call(service.url, '/v1/events?source=shop')).json.events.map(({ id }: { id: string }) => id)
})
afterAll(() => service?.stop())

const send = (method: string, path: string, token: string, body?: object) =>
  call(service.url, path, token, {
    method,
    ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
const erase = (event: string, id?: string) =>
  send('POST', '/v1/erasures', ERASER, { ids: [event], fields: 'all', reason: 'request of the person', id })

test.each([
  ['in capitals', (id: string) => id.toUpperCase()],
  ['as URNs', (id: string) => `urn:uuid:${id}`],
])('ids %s are refused, change nothing, and keep no order from being carried out', async (_, spell) => {
  const share = (await send('POST', '/v1/shares', READER, { eventId: ids[0], fields: ['action'] })).json.id
  const covers = { target: 'of no event' }
  const hold = (await send('POST', '/v1/holds', ADMIN, { case: 'C-1', reason: 'lawsuit', covers })).json.id
  const replies = [
    await erase(ids[0]!, spell(randomUUID())),
    await send('DELETE', `/v1/shares/${spell(share)}`, READER),
    await send('DELETE', `/v1/holds/${spell(hold)}?reason=over`, ADMIN),
  ]
  expect(replies.map(({ status, json }) => [status, json.code])).toEqual(Array(3).fill([400, 'request_invalid']))
  const { json, status } = await erase(ids.pop()!)
  expect(status).toBe(202)
  const stateOf = async () => (await call(service.url, `/v1/erasures/${json.id}`)).json.state
  await vi.waitUntil(async () => (await stateOf()) === 'done', { timeout: 20_000, interval: 50 })
  const pool = openPool(service.databaseUrl, true, 2)
  try {
    const pins = { logKeys: [service.vkey], sourceKeys: [], logs: [], urls: [] }
    const own = ownChecks(pool, service.vkey, true)
    const { checks } = await auditLedger(openApi(service.url, READER), pins, { own })
    expect(checks.filter(({ status }) => status === 'failed')).toEqual([])
  } finally {
    await pool.end()
  }
})
