// GET /v1/batches: sends what was handed in, byte for byte, and makes it only as fast as it is read. GET /v1/events/export: found
// events, however many.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { openPool } from '../../../anchor-service/src/database/pool.ts'
import { EXPORT_BYTES, exportBatches } from '../../../anchor-service/src/ledger/read/batches.ts'
import { queryAsOwner } from '../../support/postgres.ts'
import { newSigner, Producer, post, sampleEvent } from '../support/producer.ts'
import { call, ERASER, READER, register, type TestService, testService } from '../support/service.ts'

const MEBIBYTE = 1024 * 1024
/** Batches as they were handed in, by log index; those of the ledger itself are left out. */
const handed = new Map<number, string>()
let service: TestService
let large: number

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
/** How many bytes are in use outside of the heap: packs, their text, and what waits to be sent. */
function heldBytes(): number {
  collect()
  return process.memoryUsage().arrayBuffers
}

beforeAll(async () => {
  // Exports are 30 a minute, which these tests together exceed.
  service = await testService({ KILLICK_RATE_LIMIT: '0' })
  const signer = newSigner()
  await register(service.url, 'billing', [{ jwk: signer.jwk }])
  const producer = new Producer('billing', signer)
  const bodies: string[] = []
  const hand = async (events: ReturnType<typeof sampleEvent>[]) => {
    const batch = await producer.batch(events)
    expect((await post(service.url, batch.body)).status).toBe(201)
    batch.advance()
    bodies.push(Buffer.from(batch.body).toString('latin1'))
  }
  for (let i = 0; i < 66; i++) await hand([sampleEvent(i)])
  await hand(Array.from({ length: 600 }, (_, i) => sampleEvent(i)))
  // Packs that hold one event each, so many of them that they are on two pages.
  const blob = () => ({ ...sampleEvent(), metadata: { blob: randomBytes(130_000).toString('base64') } })
  await hand(Array.from({ length: 70 }, blob))
  await hand(Array.from({ length: 70 }, blob))
  await hand([sampleEvent()])
  const places = await queryAsOwner<{ at: string }>(
    service.databaseUrl,
    `select log_index as at from killick.batches where source = 'billing' order by seq`,
  )
  for (const [i, { at }] of places.entries()) handed.set(Number(at), bodies[i]!)
  large = Number(places.at(-3)!.at)
}, 60_000)
afterAll(() => service.stop())

const sockets: Socket[] = []
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
})

/** Opens a reader that has sent its request and reads nothing yet. */
async function openSocket(path: string, version = '1.1', as = `Authorization: Bearer ${READER}`): Promise<Socket> {
  const socket = connect(Number(new URL(service.url).port), '127.0.0.1').on('error', () => {})
  sockets.push(socket)
  await once(socket, 'connect')
  socket.pause()
  socket.write(`GET ${path} HTTP/${version}\r\nHost: killick\r\nConnection: close\r\n${as}\r\n\r\n`)
  return socket
}

/** What still comes, however it ends. */
async function allOf(socket: Socket): Promise<string> {
  let text = ''
  const over = new Promise((resolve) => socket.once('error', resolve).once('close', resolve))
  socket.on('data', (part) => {
    text += part.toString('latin1')
  })
  socket.resume()
  await over
  return text
}

/** All that was handed in from an entry on, as one text, without entries of the ledger itself. */
const expected = (from: number) => [...handed].flatMap(([at, body]) => (at >= from ? [body] : [])).join('')

test('the bytes are those that were handed in, with any limits', async () => {
  const [first] = handed.keys()
  const all = await call(service.url, `/v1/batches?from=${first}&limit=1000`)
  expect(all.status).toBe(200)
  expect(all.headers.get('content-type')).toBe('application/vnd.killick.batch')
  expect(all.text === expected(first!)).toBe(true)
  for (const at of [first! + 3, large - 1, large])
    expect((await call(service.url, `/v1/batches?from=${at}&limit=1`)).text === handed.get(at)).toBe(true)
  expect((await call(service.url, `/v1/batches?from=${first! + 1}&limit=65`)).text).toBe(
    [...handed.values()].slice(1, 66).join(''),
  )
  expect((await call(service.url, `/v1/batches?from=${first! + 1000}`)).text).toBe('')
})

test('nothing is read ahead of the reader', async () => {
  const pool = openPool(service.databaseUrl, true, 1)
  let [queries, bytes] = [0, 0]
  const counting = {
    query: async (sql: string, values: unknown[]) => {
      const result = await pool.query(sql, values)
      queries += 1
      for (const { body } of result.rows) bytes += body?.length ?? 0
      return result
    },
  }
  try {
    const chunks = exportBatches(counting as unknown as typeof pool, large, 2)
    expect(queries).toBe(0)
    await chunks.next()
    expect(queries).toBe(2)
    await sleep(100)
    expect(queries).toBe(2)
    expect(bytes).toBeLessThan(MEBIBYTE)
    await chunks.return(undefined)
  } finally {
    await pool.end()
  }
})

test('readers that read nothing use little memory, whatever they asked for, and free it when they leave', async () => {
  const path = `/v1/batches?from=${large}&limit=2`
  const size = Buffer.byteLength(handed.get(large)!) + Buffer.byteLength(handed.get(large + 1)!)
  const READERS = 8
  // More than the kernel takes for a connection.
  expect(size).toBeGreaterThan(20 * MEBIBYTE)
  const stall = () => Promise.all(Array.from({ length: READERS }, () => openSocket(path)))
  const leave = (readers: Socket[]) => readers.map((socket) => socket.destroy())
  // Connections to the database keep the room that their largest answer took; they are many, but not one for each reader.
  const first = await stall()
  // One that reads gets all of it meanwhile.
  expect((await call(service.url, path)).text.length).toBe(size)
  leave(first)
  await sleep(500)
  const before = heldBytes()
  const readers = await stall()
  await sleep(500)
  await expect.poll(() => heldBytes() - before).toBeLessThan(READERS * EXPORT_BYTES)
  leave(readers)
  await expect.poll(() => heldBytes() - before).toBeLessThan(2 * MEBIBYTE)
})

test('a reader that pauses and then reads on gets everything', async () => {
  const socket = await openSocket(`/v1/batches?from=${large}&limit=2`, '1.0')
  await sleep(1_000)
  const parts: Buffer[] = []
  for await (const part of socket) parts.push(part)
  const text = Buffer.concat(parts).toString('latin1')
  const body = text.slice(text.indexOf('\r\n\r\n') + 4)
  expect(body === `${handed.get(large)}${handed.get(large + 1)}`).toBe(true)
})

test.each(['1.1', '1.0'])('an answer that breaks off does not look complete: HTTP/%s', async (version) => {
  const socket = await openSocket(`/v1/batches?from=${large}&limit=2`, version)
  const broken = new Promise<string>((resolve) =>
    socket.once('error', (error) => resolve((error as Error & { code: string }).code)),
  )
  let text = ''
  await sleep(300)
  await queryAsOwner(service.databaseUrl, 'alter table killick.packs rename to packs_away')
  try {
    socket.on('data', (part) => {
      text += part.toString('latin1')
    })
    socket.resume()
    expect(await broken).toBe('ECONNRESET')
    expect(text).toMatch(/^HTTP\/1\.1 200 /)
    expect(text.endsWith('\r\n0\r\n\r\n')).toBe(false)
    // Before anything was sent it is told in words.
    expect((await call(service.url, `/v1/batches?from=${large}`)).status).toBe(500)
  } finally {
    await queryAsOwner(service.databaseUrl, 'alter table killick.packs_away rename to packs')
  }
  expect((await call(service.url, `/v1/batches?from=${large + 2}`)).text).toBe(handed.get(large + 2))
})

describe('found events', () => {
  const MANY = 20_001
  let crm: Producer
  const more = async (n: number) => {
    const batch = await crm.batch(
      Array.from({ length: n }, (_, i) => sampleEvent(i)),
      { eventSigner: null },
    )
    expect((await post(service.url, batch.body)).status).toBe(201)
    batch.advance()
  }
  const ask = (query: string) => call(service.url, `/v1/events/export?source=crm&${query}`)
  const seqs = (csv: string) =>
    [...csv.matchAll(/^"[\w-]{36}","[^"]+","crm","[^"]+","(\d+)"/gm)].map(([, seq]) => Number(seq))
  const down = (from: number, n: number) => Array.from({ length: n }, (_, i) => from - i)

  beforeAll(async () => {
    crm = new Producer('crm', newSigner(), 's')
    await register(service.url, 'crm', [{ jwk: crm.signer.jwk }], { eventSignatures: 'optional' })
    await more(10_000)
    await more(10_000)
    await more(1)
  }, 60_000)

  test('are in one answer, however many there are', async () => {
    const { text, headers } = await ask('format=csv')
    expect(headers.get('killick-next')).toBe('end')
    expect(seqs(text)).toEqual(down(MANY - 1, MANY))
    expect(text.startsWith('id,')).toBe(true)
  })

  test.each(['csv', 'ndjson'])('are the same in parts, while others are recorded: %s', async (format) => {
    const all = await ask(`format=${format}&to=${new Date().toISOString()}&limit=40`)
    const parts: string[] = []
    let [next, id] = ['', '']
    for (const limit of [1, 7, 20, 12]) {
      const part = await ask(`format=${format}&limit=${limit}${next && `&cursor=${next}&export=${id}`}`)
      if (id) expect(part.headers.get('killick-export')).toBe(id)
      ;[next, id] = [part.headers.get('killick-next')!, part.headers.get('killick-export')!]
      parts.push(part.text)
      await more(1)
    }
    expect(next).toBe(all.headers.get('killick-next'))
    expect(parts.join('')).toBe(all.text)
    // Each part is recorded, with the first that it belongs to.
    const query = `source=killick&action=events.export&limit=4`
    const { events } = (await call(service.url, `/v1/events?${query}`)).json
    const metadata = events.map((event: { fields: { metadata: object } }) => event.fields.metadata)
    expect(events[3].id).toBe(id)
    expect(metadata[3]).toEqual({ format, source: 'crm' })
    expect(metadata[0]).toEqual({ format, source: 'crm', part: { of: id, after: expect.stringMatching(/^\d+\.\d+$/) } })
  })

  test('end with the oldest, where nothing follows', async () => {
    const { headers } = await ask('format=csv&limit=1')
    const first = await ask(`format=csv&limit=100000&cursor=${headers.get('killick-next')}`)
    expect(seqs(first.text).at(-1)).toBe(0)
    expect(first.headers.get('killick-next')).toBe('end')
    // Whom it was about would stay in the log for good.
    expect((await ask('format=csv&actor=zoe-4711&outcome=denied')).status).toBe(200)
    const [{ fields }] = (await call(service.url, '/v1/events?source=killick&action=events.export&limit=1')).json.events
    expect(fields.metadata).toEqual({ format: 'csv', source: 'crm', outcome: 'denied', by: ['actor'] })
    for (const wrong of ['limit=0', 'limit=100001', 'cursor=end', 'export=1'])
      expect((await ask(`format=csv&${wrong}`)).json, wrong).toMatchObject({ status: 400, code: 'request_invalid' })
  })

  test('are refused over HTTP/1.0, where one that breaks off looks whole', async () => {
    for (const version of ['1.0', '0.9', '2.0']) {
      const text = await allOf(await openSocket('/v1/events/export?source=crm&format=csv&limit=1', version))
      expect(text).toMatch(/^HTTP\/1\.1 400 [\s\S]*"code":"request_invalid"[\s\S]*proxy_http_version 1\.1/)
    }
  })

  test('break off once the session that asked for them has ended', async () => {
    const login = { method: 'POST', headers: { 'content-type': 'application/json' }, body: `{"token":"${READER}"}` }
    const cookie = (await call(service.url, '/console/session', null, login)).headers.get('set-cookie')!.split(';')[0]!
    const socket = await openSocket('/v1/events/export?source=crm&format=ndjson', '1.1', `Cookie: ${cookie}`)
    await once(socket, 'readable')
    await call(service.url, '/console/session', null, {
      method: 'DELETE',
      headers: { cookie, 'x-killick-console': '1' },
    })
    const text = await allOf(socket)
    expect(text).toMatch(/^HTTP\/1\.1 200 /)
    expect(text.endsWith('\r\n0\r\n\r\n')).toBe(false)
  })

  test('say no more of an event than their proofs, where fields are erased while they are read', async () => {
    const { text: csv } = await ask('format=csv&limit=4000')
    const some = [...csv.matchAll(/^"([\w-]{36})"/gm)].flatMap(([, id], i) => (i % 20 === 0 ? [id] : []))
    const socket = await openSocket('/v1/events/export?source=crm&format=ndjson', '1.1')
    await once(socket, 'readable')
    // It has made what the sockets take, and holds some events whose proofs it has not read.
    await sleep(1_000)
    const body = JSON.stringify({ ids: some, fields: ['actor'], reason: 'request of the person' })
    const headers = { 'content-type': 'application/json' }
    expect((await call(service.url, '/v1/erasures', ERASER, { method: 'POST', headers, body })).status).toBe(202)
    let text = ''
    socket.resume()
    for await (const part of socket) {
      text += part.toString('latin1')
      if (part.includes('"erased":1')) break
    }
    expect(text).toContain('"erased":1')
    const lines = text
      .replaceAll(/\r\n[0-9a-f]+\r\n/g, '')
      .split('\n')
      .slice(1, -1)
    const both = lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line))
    expect(both.length).toBeGreaterThan(0)
    const shownBy = (proof: { event: string }) => proof.event.split('~').length - 2
    const wrong = both.filter(({ fields, proof }) => Object.keys(fields).length !== shownBy(proof))
    expect(wrong.map(({ seq }) => seq)).toEqual([])
  })

  test('that break off do not look complete; one address has eight answers open', async () => {
    const open = async () => {
      const socket = await openSocket('/v1/events/export?source=crm&format=ndjson')
      // Its answer has begun, and nothing is taken of it yet.
      await once(socket, 'readable')
      return socket
    }
    for (let i = 0; i < 8; i++) await open()
    await expect.poll(async () => (await ask('format=csv&limit=1')).json).toMatchObject({ code: 'overloaded' })
    await queryAsOwner(service.databaseUrl, 'alter table killick.packs rename to packs_away')
    try {
      const socket = sockets.at(-1)!
      const text = await allOf(socket)
      expect(text).toMatch(/^HTTP\/1\.1 200 [\s\S]*killick-next: end/)
      expect(text.length).toBeGreaterThan(10_000)
      expect(text.endsWith('\r\n0\r\n\r\n')).toBe(false)
    } finally {
      await queryAsOwner(service.databaseUrl, 'alter table killick.packs_away rename to packs')
    }
    for (const socket of sockets) socket.destroy()
    await expect.poll(async () => (await ask('format=csv&limit=1')).status).toBe(200)
  })
})
