import { afterAll, beforeAll, expect, test } from 'vitest'
import { openPool } from '../../../anchor-service/src/database/pool.ts'
import { readDays } from '../../../anchor-service/src/ledger/read/days.ts'
import { queryAsOwner } from '../../support/postgres.ts'
import { newSigner, Producer, post } from '../support/producer.ts'
import { call, READER, register, type TestService, testService } from '../support/service.ts'

let service: TestService
const signer = newSigner()
const TOTAL = 30

beforeAll(async () => {
  service = await testService()
  for (const source of ['billing', 'crm']) await register(service.url, source, [{ jwk: signer.jwk }])
  for (const source of ['billing', 'crm']) {
    const producer = new Producer(source, signer, 'main')
    for (let b = 0; b < 3; b++) {
      const inputs = Array.from({ length: 5 }, (_, i) => ({
        action: i % 2 === 0 ? 'invoice.approve' : 'invoice.reject',
        actor: { type: 'user', id: `user-${i}` },
        targets: [
          { type: 'invoice', id: `inv-${b}-${i}` },
          { type: 'ledger', id: 'main "quoted", {brace} \\ \u0000' },
        ],
        outcome: (['success', 'failure', 'denied'] as const)[i % 3]!,
        context: { tenant: `t-${i % 2}` },
        metadata: { b, i },
      }))
      const batch = await producer.batch(inputs)
      expect((await post(service.url, batch.body)).status).toBe(201)
      batch.advance()
    }
  }
})
afterAll(() => service.stop())

const find = async (query: Record<string, string>) => {
  const { status, json } = await call(service.url, `/v1/events?${new URLSearchParams(query)}`)
  return { status, ...json }
}

test('pages run from the newest to the oldest, without gap or repetition', async () => {
  const seen: string[] = []
  let cursor: string | null = null
  do {
    const page: Awaited<ReturnType<typeof find>> = await find({ limit: '7', ...(cursor && { cursor }) })
    expect(page.status).toBe(200)
    seen.push(
      ...page.events.map((e: { logIndex: number; seq: number }) => `${String(e.logIndex).padStart(4)}/${e.seq}`),
    )
    cursor = page.next
  } while (cursor !== null)
  // Three more: the ledger's own registration and those of the two sources.
  expect(seen).toHaveLength(TOTAL + 3)
  expect(new Set(seen).size).toBe(seen.length)
  const places = seen.map((place) => Number(place.split('/')[0]))
  expect(places).toEqual([...places].sort((a, b) => b - a))
})

test.each([
  ['action', 'invoice.reject', 12],
  ['actor', 'user-4', 6],
  ['target', 'inv-2-1', 2],
  ['target', 'main "quoted", {brace} \\ \u0000', TOTAL],
  ['source', 'crm', 15],
  ['source', 'killick', 3],
  ['action', 'invoice', 0],
  ['action', 'invoice.*', TOTAL],
  ['action', 'invoice.reject.*', 0],
  ['action', 'inv.*', 0],
  ['outcome', 'success', 12],
  ['outcome', 'denied', 6],
  ['tenant', 't-0', 18],
  ['tenant', 't-2', 0],
  ['stream', 'main', TOTAL],
  ['stream', 'system', 3],
  ['stream', 'nothing', 0],
  ['from', '2000-01-01T00:00:00Z', TOTAL + 3],
  ['to', '2000-01-01T00:00:00Z', 0],
  ['own', 'false', TOTAL],
  ['own', 'true', TOTAL + 3],
])('%s=%s finds %i', async (name, value, count) => {
  expect((await find({ [name]: value, limit: '500' })).events).toHaveLength(count)
})

test('several conditions must all hold, and what is found can be proven', async () => {
  const { events, next } = await find({ action: 'invoice.approve', actor: 'user-2', target: 'inv-1-2', source: 'crm' })
  expect(next).toBeNull()
  expect(events).toHaveLength(1)
  expect(events[0]).toMatchObject({
    source: 'crm',
    stream: 'main',
    seq: 7,
    fields: { action: 'invoice.approve', metadata: { b: 1, i: 2 } },
  })
  for (const name of [events[0].id, events[0].leafHash]) {
    const { status, json } = await call(service.url, `/v1/proofs/${name}`)
    expect(status).toBe(200)
    expect(json.event).toBe(events[0].token)
  }
})

test.each([
  { source: 'killick' },
  { stream: 'system' },
  { action: 'source.*' },
  { from: '2000-01-01T00:00:00Z', stream: 'system' },
])('%o finds nothing without the ledger’s own events', async (query: object) => {
  expect((await find({ ...query })).events.length).toBeGreaterThan(0)
  expect(await find({ ...query, own: 'false' })).toMatchObject({ events: [], next: null })
})

test.each([
  { limit: '0' },
  { limit: '501' },
  { limit: 'x' },
  { cursor: 'x' },
  { cursor: '1' },
  { cursor: '1.1e9' },
  { from: 'now' },
  { own: 'maybe' },
  { colour: 'red' },
])('refuses %o', async (query) =>
  expect(await find(query as Record<string, string>)).toMatchObject({ status: 400, code: 'request_invalid' }),
)

test('a stream tells where its head is', async () => {
  const { json } = await call(service.url, '/v1/streams/crm/main')
  expect(json).toMatchObject({ source: 'crm', stream: 'main', seq: 15, events: 15, head: { logIndex: 8 } })
  expect((await call(service.url, '/v1/streams/crm/%00')).status).toBe(400)
  expect((await call(service.url, '/v1/streams/crm/other')).json).toMatchObject({
    status: 404,
    code: 'stream_not_found',
  })
})

test.each(['0190b4b0-0000-7000-8000-000000000000', 'A'.repeat(43), 'nonsense'])(
  'there is no proof for %s',
  async (name) => {
    expect((await call(service.url, `/v1/proofs/${name}`)).json).toMatchObject({ status: 404, code: 'event_not_found' })
  },
)

test('the live tail takes the same conditions, and tells where to resume after events that do not match', async () => {
  const live = async (query: string, since: string) => {
    const headers = { authorization: `Bearer ${READER}`, 'last-event-id': since }
    const response = await fetch(`${service.url}/v1/events/live?${query}`, { headers })
    let text = ''
    for await (const chunk of response.body!) {
      text += Buffer.from(chunk).toString()
      if (/^id: \S+\n\n/m.test(text)) break
    }
    return text
  }
  const text = await live('action=invoice.*&outcome=denied&source=crm', '0.0')
  const events = [...text.matchAll(/^data: (.+)$/gm)].map(([, json]) => JSON.parse(json!))
  expect(events.map(({ source, fields }) => [source, fields.outcome])).toEqual(Array(3).fill(['crm', 'denied']))
  const [, last] = /^id: (\S+)\n\n/m.exec(text)!
  expect(Number(last!.split('.')[0])).toBe((await find({ limit: '1' })).events[0].logIndex)
  // Events that never had an outcome or a tenant, such as the ledger's own, have none that could match.
  const tenants = await live('tenant=t-1', '0.0')
  const shown = [...tenants.matchAll(/^data: (.+)$/gm)].map(([, json]) => JSON.parse(json!).fields.context.tenant)
  expect(shown).toEqual(Array(12).fill('t-1'))
  expect((await call(service.url, '/v1/events/live?outcome=maybe')).status).toBe(400)
})

test('days are counted by when the ledger accepted events, as far as there is room', async () => {
  const activity = async () => (await call(service.url, '/v1/activity?days=3')).json
  const { events, days } = await activity()
  expect(events).toBe(TOTAL + 3)
  expect(days.map(({ day }: { day: string }) => day)).toEqual(
    [2, 1, 0].map((ago) => new Date(Date.now() - ago * 86_400_000).toISOString().slice(0, 10)),
  )

  // As if half of the log were two days old.
  await queryAsOwner(
    service.databaseUrl,
    `set search_path = killick; set session_replication_role = replica;
     update batches set accepted_at = accepted_at - interval '2 days' where log_index < 5`,
  )
  const [old, fresh] = await queryAsOwner<{ events: number; own: number }>(
    service.databaseUrl,
    `select sum(n)::int as events, coalesce(sum(n) filter (where source = 'killick'), 0)::int as own
     from killick.batches group by log_index < 5 order by log_index < 5 desc`,
  )

  expect(old!.own).toBeGreaterThan(0)
  const db = openPool(service.databaseUrl, true, 1)
  const counted = (most?: { own: number; found: number }) => readDays(db, 3, Date.now(), most)
  expect((await counted()).days).toMatchObject([
    { ...old, denied: 2, failed: 4 },
    { events: 0, own: 0, denied: 0, failed: 0 },
    { ...fresh, denied: 4, failed: 8 },
  ])
  // What there is no room to count is not said to be none.
  expect((await counted({ own: 1, found: 5 })).days).toMatchObject([
    { events: old!.events, own: null, denied: null, failed: null },
    { events: 0, own: 0, denied: 0, failed: null },
    { events: fresh!.events, denied: 4, failed: null },
  ])
  await db.end()
})

test('a live tail that breaks off before its first event goes on where it began', async () => {
  const live = async (until: RegExp, more: Record<string, string> = {}) => {
    const headers = { authorization: `Bearer ${READER}`, ...more }
    const response = await fetch(`${service.url}/v1/events/live`, { headers })
    let text = ''
    for await (const chunk of response.body!) {
      text += Buffer.from(chunk).toString()
      if (until.test(text)) break
    }
    return text
  }
  const [, id] = /^id: (\S+)$/m.exec(await live(/\n\n/))!
  await register(service.url, 'meanwhile', [{ jwk: signer.jwk }])
  const text = await live(/^data: .*meanwhile/m, { 'last-event-id': id! })
  expect(text.match(/^data: /gm)).toHaveLength(1)
  // What is none would begin at now, and leave out what its reader has missed.
  const headers = { authorization: `Bearer ${READER}`, 'last-event-id': `${id}x` }
  expect(await (await fetch(`${service.url}/v1/events/live`, { headers })).json()).toMatchObject({
    status: 400,
    code: 'request_invalid',
  })
})
