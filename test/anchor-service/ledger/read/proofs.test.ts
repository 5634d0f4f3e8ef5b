// What a proof says besides the event: how the keys were registered, and how much of the event the ledger has lost.

import { parseProof, verifyProof } from '@killick/sdk'
import { hideFields, parseEvent } from '@killick/sdk/core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { tamper } from '../../audit/support/audits.ts'
import { alterToken, numberOf } from '../../support/packs.ts'
import { newSigner, Producer, post, sampleEvent } from '../../support/producer.ts'
import { call, READER, register, type TestService, testService } from '../../support/service.ts'

let service: TestService
const signer = newSigner()
const second = newSigner()
const producer = new Producer('billing', signer, 'main')
const events = [0, 1, 2].map((i) => ({ ...sampleEvent(i), outcome: 'denied' as const, context: { ip: '::1' } }))

async function send(by: Producer, signedBy = by.signer) {
  const batch = await by.batch(events, { signer: signedBy })
  expect((await post(service.url, batch.body)).status).toBe(201)
  batch.advance()
}

beforeAll(async () => {
  service = await testService()
  await register(service.url, 'billing', [{ jwk: signer.jwk }])
  await send(producer)
  await register(service.url, 'other', [{ jwk: signer.jwk }], { decoys: true })
  for (let i = 0; i < 15; i++) await register(service.url, 'billing', [{ jwk: newSigner().jwk }])
  await register(service.url, 'billing', [{ jwk: second.jwk, notAfter: '2990-01-01T00:00:00.000Z' }])
  await send(producer, second)
  await send(new Producer('other', signer, 'main'))
})
afterAll(() => service.stop())

const list = async (source: string, seq: number) =>
  (await call(service.url, `/v1/streams/${source}/main/events?seq=${seq}&span=0`)).json.events[0]
const proofOf = async (source: string, seq: number) => {
  const { status, text } = await call(service.url, `/v1/proofs/${(await list(source, seq)).leafHash}`)
  expect(status, text).toBe(200)
  return parseProof(text)
}
const registered = (proof: ReturnType<typeof parseProof>) => {
  const { checks, registrations } = verifyProof(proof, { logKeys: [service.vkey] })
  return { ...checks.find(({ id }) => id === 'source.registration')!, registrations }
}

test('a proof carries the registrations of its keys, which lead to the root that the event is under', async () => {
  const proof = await proofOf('billing', 0)
  expect(proof.registrations!.map(({ index }) => index)).toEqual([0, 1])
  expect(proof).not.toHaveProperty('missing')
  for (const { event } of proof.registrations!)
    expect(Object.keys(parseEvent(event).fields).sort()).toEqual(['action', 'metadata', 'targets'])
  const { status, registrations } = registered(proof)
  expect(status).toBe('passed')
  expect(registrations).toMatchObject([{ logIndex: 1, kid: signer.kid, notAfter: null }])
})

test('of many registrations, a proof carries the newest, and the one that registered its key however old', async () => {
  const proof = await proofOf('billing', 3)
  const indices = proof.registrations!.map(({ index }) => index)
  expect(indices).toHaveLength(13)
  expect(indices[0]).toBe(0)
  expect(indices).toEqual(indices.toSorted((a, b) => a - b))
  const { registrations } = registered(proof)
  expect(registrations.at(-1)).toMatchObject({ kid: second.kid, notAfter: '2990-01-01T00:00:00.000Z' })

  await send(producer)
  const old = await proofOf('billing', 6)
  expect(old.registrations!.map(({ index }) => index).slice(0, 2)).toEqual([0, 1])
  expect(old.registrations).toHaveLength(13)
  expect(verifyProof(old, {}).outcome).not.toBe('failed')
})

test("proofs of the ledger's own events, even the first, carry how its key was registered", async () => {
  for (const seq of [0, 1]) {
    const { text } = await call(
      service.url,
      `/v1/proofs/${(await call(service.url, `/v1/streams/killick/system/events?seq=${seq}&span=0`)).json.events[0].id}`,
    )
    expect(registered(parseProof(text)).status).toBe('passed')
  }
})

test('rows that somebody added to the registry are neither in a proof nor pinned by a link', async () => {
  const foreign = newSigner()
  await tamper(
    service,
    `insert into source_keys (log_index, source, kid, jwk) values (1, 'billing', '${foreign.kid}', '${JSON.stringify(foreign.jwk)}')`,
  )
  expect(registered(await proofOf('billing', 0)).status).toBe('passed')
  const { json } = await share('billing', 0, ['action'])
  const trust = (await call(service.url, `${new URL(json.url).pathname}/trust.json`, null)).json
  expect(trust.sourceKeys).toContainEqual({ source: 'billing', jwk: signer.jwk })
  expect(trust.sourceKeys).not.toContainEqual({ source: 'billing', jwk: foreign.jwk })
  await tamper(service, `delete from source_keys where kid = '${foreign.kid}'`)
})

async function share(source: string, seq: number, fields: string[]) {
  const body = JSON.stringify({ eventId: (await list(source, seq)).leafHash, fields })
  return call(service.url, '/v1/shares', READER, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  })
}

/** Takes fields out of a stored event, and puts them back. */
async function without<T>(source: string, seq: number, lost: string[], look: () => Promise<T>): Promise<T> {
  const number = await numberOf(service.databaseUrl, source, seq)
  let before = ''
  await alterToken(service.databaseUrl, number, (token) => {
    before = token
    const event = parseEvent(token)
    const kept = Object.keys(event.fields).filter((name) => !lost.includes(name))
    return hideFields(event, kept)
  })
  try {
    return await look()
  } finally {
    await alterToken(service.databaseUrl, number, () => before)
  }
}

const inAll = async (source: string, query = `source=${source}`) => {
  const search = (await call(service.url, `/v1/events?${query}`)).json.events as { seq: number; missing?: number }[]
  const headers = { authorization: `Bearer ${READER}` }
  const lines = async (format: string) => {
    const path = `/v1/events/export?format=${format}&${query}`
    return (await (await fetch(`${service.url}${path}`, { headers })).text()).trim().split(/\r?\n/)
  }
  const ndjson = (await lines('ndjson')).map((line) => JSON.parse(line))
  // Counted from the end: cells before it hold commas of their own.
  const [header, ...rows] = await lines('csv')
  const names = header!.split(',')
  const csv = rows.map((line) =>
    line
      .split(',')
      .at(names.indexOf('missing') - names.length)!
      .slice(1, -1),
  )
  return { search, ndjson, csv }
}

async function tail(source: string, seq: number): Promise<{ missing?: number }> {
  const headers = { authorization: `Bearer ${READER}`, 'last-event-id': '0.0' }
  const response = await fetch(`${service.url}/v1/events/live`, { headers })
  let text = ''
  for await (const chunk of response.body!) {
    text += Buffer.from(chunk).toString()
    const sent = [...text.matchAll(/^data: (.+)$/gm)].map(([, json]) => JSON.parse(json!))
    const found = sent.find((event) => event.source === source && event.seq === seq)
    if (found) return found
  }
  throw new Error('the tail ended')
}

test('proof, link and every reading of an event that lost fields say how many', async () => {
  await without('billing', 1, ['outcome', 'context'], async () => {
    const proof = await proofOf('billing', 1)
    expect(proof.missing).toBe(2)
    const { event } = verifyProof(proof, { logKeys: [service.vkey] })
    expect(event).toMatchObject({ missingFields: 2 })

    // What the link hides is not among what is lost.
    const { json } = await share('billing', 1, ['action'])
    const shared = parseProof((await call(service.url, `${new URL(json.url).pathname}/proof`, null)).text)
    expect(shared.missing).toBe(2)
    expect(verifyProof(shared, {}).event).toMatchObject({ missingFields: 2, hiddenFields: 4 })

    expect((await list('billing', 1)).missing).toBe(2)
    expect(await tail('billing', 1)).toMatchObject({ missing: 2 })
    const { search, ndjson, csv } = await inAll('billing')
    for (const found of [search, ndjson])
      expect(found.filter(({ missing }) => missing !== undefined)).toEqual([
        expect.objectContaining({ seq: 1, missing: 2 }),
      ])
    expect(csv.filter((cell) => cell !== '')).toEqual(['2'])
  })
})

test.each(['action', 'actor', 'targets'])('an event that lost its %s is found all the same', async (field) => {
  await without('billing', 1, [field], async () => {
    const wanted = { action: 'action=invoice.approve', actor: 'actor=u-1', targets: 'target=inv-1' }[field]
    const { search } = await inAll('billing', `source=billing&${wanted}`)
    expect(search.filter(({ missing }) => missing === 1)).toEqual([expect.objectContaining({ seq: 1 })])
    expect((await call(service.url, `/v1/events?source=billing&${wanted}-not`)).json.events).toEqual([])
  })
})

test('lost fields of a source with decoys cannot be told, and are not reported', async () => {
  await without('other', 1, ['outcome'], async () => {
    expect(await proofOf('other', 1)).not.toHaveProperty('missing')
    expect(await list('other', 1)).not.toHaveProperty('missing')
    const { search, csv } = await inAll('other')
    expect(search.every(({ missing }) => missing === undefined)).toBe(true)
    expect(csv.every((cell) => cell === '')).toBe(true)
  })
})

test('fields accepted without decoys count as missing, whatever was registered since', async () => {
  await register(service.url, 'billing', [], { decoys: true })
  await without('billing', 1, ['outcome'], async () => {
    expect((await proofOf('billing', 1)).missing).toBe(1)
    expect((await list('billing', 1)).missing).toBe(1)
  })
})

test('of many registrations of the ledger itself, a proof carries the first, on which all others rest', async () => {
  for (let i = 0; i < 6; i++) await register(service.url, 'killick', [{ jwk: newSigner().jwk }])
  const late = new Producer('late', newSigner(), 'main')
  await register(service.url, 'late', [{ jwk: late.signer.jwk }])
  await send(late)
  const proof = await proofOf('late', 0)
  expect(proof.registrations).toHaveLength(5)
  expect(proof.registrations![0]!.index).toBe(0)
  const { status, reason, registrations } = registered(proof)
  // Some of the ledger's own lie between those carried, and that is said.
  expect([status, reason]).toEqual(['skipped', 'registration_gap'])
  expect(registrations).toMatchObject([{ kid: late.signer.kid }])
})
