// Somebody who owns the database alters events. Each is shown as unreadable in its place, and hides no other event.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { tamper } from '../audit/support/audits.ts'
import { alterToken, partsOf } from '../support/packs.ts'
import { newSigner, Producer, post, sampleEvent } from '../support/producer.ts'
import { call, READER, register, type TestService, testService } from '../support/service.ts'

let service: TestService
const producer = new Producer('billing', newSigner(), 'main')
let leaf: string

beforeAll(async () => {
  service = await testService()
  await register(service.url, 'billing', [{ jwk: producer.signer.jwk }])
  for (let b = 0; b < 2; b++) {
    const batch = await producer.batch(Array.from({ length: 4 }, (_, i) => sampleEvent(4 * b + i)))
    expect((await post(service.url, batch.body)).status).toBe(201)
    batch.advance()
  }
  leaf = (await found())[0]!.leafHash
  await tamper(service, 'create table kept as select * from packs')
})
afterAll(() => service.stop())

type Listed = { id: string; leafHash: string; seq?: number; number?: number; error?: { code: string; detail: string } }

const read = async (path: string) => {
  const { status, text, json } = await call(service.url, path)
  expect(status, text).toBe(200)
  return json ?? text
}
const found = async (query = 'source=billing'): Promise<Listed[]> => (await read(`/v1/events?${query}`)).events

async function ndjson(): Promise<(Listed & { proof: object | null })[]> {
  const headers = { authorization: `Bearer ${READER}` }
  const response = await fetch(`${service.url}/v1/events/export?format=ndjson&source=billing`, { headers })
  return (await response.text())
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
}

/** The events of `billing` that an open tail sends from the first on, until there are `count`. */
async function tail(count: number): Promise<Listed[]> {
  const headers = { authorization: `Bearer ${READER}`, 'last-event-id': '1.0' }
  const response = await fetch(`${service.url}/v1/events/live`, { headers })
  let text = ''
  for await (const chunk of response.body!) {
    text += Buffer.from(chunk).toString()
    const events = [...text.matchAll(/^data: (.+)$/gm)].map(
      ([, json]) => JSON.parse(json!) as Listed & { source: string },
    )
    const mine = events.filter(({ source }) => source === 'billing')
    if (mine.length >= count) return mine
  }
  throw new Error('the tail ended')
}

// Number 7 in the log: two registrations come before the events of `billing`, and this is the sixth of these.
const NUMBER = 7
const SEQ = 5

const restore = () => tamper(service, 'delete from packs; insert into packs select * from kept')

type Alter = Parameters<typeof alterToken>[2]

const jws = (alter: (jws: string) => string): Alter => {
  return (token) => `${alter(partsOf(token).jws)}~${partsOf(token).disclosures}`
}
const disclosures = (alter: (disclosures: string) => string): Alter => {
  return (token) => `${partsOf(token).jws}~${alter(partsOf(token).disclosures)}`
}

describe.each<[string, Alter]>([
  ['its signed part cut short', jws((text) => text.slice(0, 300))],
  ['its signed part emptied', jws(() => '')],
  ['its signed part no base64url', jws((text) => `${text.slice(0, 250)}é${text.slice(251)}`)],
  [
    'what it says of another event',
    (token, tokens, i) => `${partsOf(token).jws}~${partsOf(tokens[i - 1]!).disclosures}`,
  ],
  ['what it says garbled', disclosures((text) => `A${text}`)],
  ['what it says without an end', disclosures((text) => text.slice(0, -1))],
  ['nothing left of it', () => ''],
])('an event with %s', (_, alter) => {
  let unreadable: object
  const isAltered = ({ error }: Listed) => error !== undefined

  beforeAll(async () => {
    const [row] = await read(`/v1/streams/billing/main/events?seq=${SEQ}&span=0`).then(({ events }) => events)
    await alterToken(service.databaseUrl, NUMBER, alter)
    const error = { code: 'event_unreadable', detail: expect.stringMatching(/^[a-z_]+: /) }
    const { id, leafHash, logIndex, recordedAt } = row
    const claims = { leafHash, source: 'billing', stream: 'main', seq: SEQ }
    unreadable = { number: NUMBER, id, logIndex, recordedAt, ...claims, error }
  })
  // Altered again, so that the next alteration starts from what was accepted.
  afterAll(restore)

  test.each(['source=billing', 'action=invoice.approve', 'actor=u-2&source=billing'])(
    'comes as unreadable in a search for %s, the others as ever',
    async (query) => {
      const events = await found(query)
      expect(events).toHaveLength(query.startsWith('actor') ? 2 : 8)
      expect(events.filter(isAltered)).toEqual([expect.objectContaining(unreadable)])
      expect(events.find(isAltered)).not.toHaveProperty('fields')
    },
  )

  test('comes as unreadable in its stream and in the live tail', async () => {
    const { events } = await read(`/v1/streams/billing/main/events?seq=${SEQ}&span=1`)
    expect(events).toHaveLength(3)
    expect(events[1]).toMatchObject(unreadable)
    const sent = await tail(8)
    expect(sent).toHaveLength(8)
    expect(sent.filter(isAltered)).toEqual([expect.objectContaining(unreadable)])
  })

  test('comes as unreadable in exports, which continue after it', async () => {
    const csv: string[] = (await read('/v1/events/export?format=csv&source=billing')).trim().split('\r\n')
    expect(csv).toHaveLength(9)
    const [line] = csv.filter((text) => text.endsWith(',"event_unreadable"'))
    expect(line).toContain((unreadable as Listed).id)
    const events = await ndjson()
    expect(events.filter(({ proof }) => proof !== null)).toHaveLength(7)
    expect(events.filter(isAltered)).toEqual([expect.objectContaining({ ...unreadable, proof: null })])
  })

  test('has no proof, which is reported with the same code', async () => {
    const { json } = await call(service.url, `/v1/proofs/${(unreadable as Listed).id}`)
    expect(json).toMatchObject({ code: 'event_unreadable', status: 410 })
  })
})

const PACK = NUMBER - 1

test('if nothing is left of a pack, each of its events comes as unreadable', async () => {
  const before = await found()
  await tamper(service, `update packs set body = '' where first_event = ${PACK}`)
  const after = await found()
  expect(after.map(({ id, leafHash, seq }) => ({ id, leafHash, seq }))).toEqual(
    before.map(({ id, leafHash, seq }) => ({ id, leafHash, seq })),
  )
  expect(after.filter(({ error }) => error)).toHaveLength(4)
  expect(await found('action=invoice.approve')).toHaveLength(8)
  await restore()
})

test('for an event in no batch, only the columns beside it are shown', async () => {
  await alterToken(service.databaseUrl, NUMBER, () => '')
  await tamper(service, `update packs set log_index = 9223372036854775807 where first_event = ${PACK}`)
  const events = await found()
  expect(events).toHaveLength(8)
  const [altered] = events.filter(({ error }) => error)
  expect(Object.keys(altered!).sort()).toEqual(['error', 'id', 'logIndex', 'number', 'recordedAt'])
  expect((await call(service.url, `/v1/proofs/${altered!.id}`)).json).toMatchObject({ code: 'event_not_found' })
  await restore()
})

test('another genuine event in its place is not proven as the accepted one', async () => {
  const [row] = (await read(`/v1/streams/billing/main/events?seq=${SEQ}&span=0`)).events
  await alterToken(service.databaseUrl, NUMBER, (_, tokens, i) => tokens[i - 1]!)
  const { json } = await call(service.url, `/v1/proofs/${row.id}`)
  expect(json).toMatchObject({ status: 410, code: 'event_unreadable' })
  await restore()
})

test('an event without a possible proof does not end an export', async () => {
  await tamper(
    service,
    `update batches set event_leaves = overlay(event_leaves placing sha256('') from 33) where first_event = ${PACK}`,
  )
  const events = await ndjson()
  expect(events).toHaveLength(8)
  expect(events.filter(({ proof }) => proof === null)).toMatchObject([
    { seq: SEQ, fields: { action: 'invoice.approve' }, error: { code: 'event_not_found' } },
  ])
})

test('a link to an altered event says that it was altered', async () => {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' } }
  const body = JSON.stringify({ eventId: leaf, fields: ['action'] })
  const { json } = await call(service.url, '/v1/shares', READER, { ...init, body })
  const path = new URL(json.url).pathname
  await alterToken(service.databaseUrl, NUMBER + 2, () => '')
  expect((await call(service.url, `${path}/proof`, null)).json).toMatchObject({ status: 410, code: 'event_unreadable' })
})
