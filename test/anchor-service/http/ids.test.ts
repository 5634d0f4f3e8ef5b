/**
 * Ids in requests: those that are taken are spelled as the log spells them, or audits would find that the tables say something else; and
 * what is sent under one id is made once.
 */
import { randomUUID } from 'node:crypto'
import { auditLedger, openApi } from '@killick/sdk/audit'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { ownChecks } from '../../../anchor-service/src/audit/checks.ts'
import { NOTING_READERS } from '../../../anchor-service/src/audit/noted.ts'
import { openPool } from '../../../anchor-service/src/database/pool.ts'
import { newSigner, Producer, post, sampleEvent } from '../support/producer.ts'
import {
  ADMIN,
  ANNA,
  call,
  ERASER,
  READER,
  register,
  type TestService,
  testService,
  twoPeople,
} from '../support/service.ts'

let service: TestService
let ids: string[]

async function open(env: Record<string, string> = {}): Promise<void> {
  await service?.stop()
  service = await testService(env)
  const producer = new Producer('shop', newSigner())
  await register(service.url, 'shop', [{ jwk: producer.signer.jwk }])
  const batch = await producer.batch([sampleEvent(1), sampleEvent(2)])
  expect((await post(service.url, batch.body)).status).toBe(201)
  ids = (await call(service.url, '/v1/events?source=shop')).json.events.map(({ id }: { id: string }) => id)
}

beforeAll(() => open())
afterAll(() => service?.stop())

const send = (method: string, path: string, token: string, body?: object) =>
  call(service.url, path, token, {
    method,
    ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
const erase = (event: string, id?: string, token = ERASER) =>
  send('POST', '/v1/erasures', token, { ids: [event], fields: 'all', reason: 'request of the person', id })

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
    const { checks } = await auditLedger(openApi(service.url, READER), pins, { own, readers: NOTING_READERS })
    expect(checks.filter(({ status }) => status === 'failed')).toEqual([])
  } finally {
    await pool.end()
  }
})

test.each([
  ['an order', 'erasures', ERASER],
  ['a proposal', 'proposals', ANNA],
])('%s that comes several times at once is made once, and all are told of it', async (_, kind, token) => {
  await open(kind === 'proposals' ? await twoPeople() : {})
  const id = randomUUID()
  const replies = await Promise.all(Array.from({ length: 4 }, () => erase(ids[0]!, id, token)))
  const [{ json: first }] = replies as [(typeof replies)[number]]
  expect(first.id).toBe(id)
  for (const { status, json } of replies) {
    // 200: it was known already when the request was read.
    expect([200, 202]).toContain(status)
    expect(json).toMatchObject({ id, logIndex: first.logIndex })
  }
  expect((await call(service.url, `/v1/${kind}`)).json[kind]).toHaveLength(1)
})
