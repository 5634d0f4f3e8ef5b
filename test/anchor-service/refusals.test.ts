import { createHmac } from 'node:crypto'
import { request } from 'node:http'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import {
  BATCH_MEDIA_TYPE,
  hideFields,
  leafHash,
  parseEvent,
  printBatch,
  sha256,
  toBase64url,
  treeRoot,
  utf8,
} from '@killick/sdk/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { queryAsOwner } from '../support/postgres.ts'
import { newSigner, Producer, post, sampleEvent } from './support/producer.ts'
import { call, register, type TestService, testService } from './support/service.ts'

let service: TestService
const signer = newSigner()
const ecdsa = newSigner('P-256')
const retired = newSigner()
const future = newSigner()

beforeAll(async () => {
  service = await testService()
  const keys = [
    { jwk: signer.jwk },
    { jwk: ecdsa.jwk },
    { jwk: retired.jwk, notAfter: '2020-01-01T00:00:00Z' },
    { jwk: future.jwk, notBefore: '2990-01-01T00:00:00Z' },
  ]
  expect((await register(service.url, 'billing', keys)).status).toBe(201)
  const decoyed = { decoys: true, maxAge: 3600, maxAhead: 60 }
  expect((await register(service.url, 'decoyed', [{ jwk: signer.jwk }], decoyed)).status).toBe(201)
  expect((await register(service.url, 'mass', [{ jwk: signer.jwk }], { eventSignatures: 'optional' })).status).toBe(201)
})
afterAll(() => service.stop())

type Sent = { body: string | Uint8Array<ArrayBuffer>; headers?: Record<string, string> }
type Case = [code: string, status: number, line: number | undefined, send: (producer: Producer) => Promise<Sent>]

const events = [sampleEvent(0), sampleEvent(1), sampleEvent(2)]
const b64 = (value: unknown) => toBase64url(utf8(typeof value === 'string' ? value : JSON.stringify(value)))
const payloadOf = (jws: string) => JSON.parse(Buffer.from(jws.split('.')[1]!, 'base64url').toString())

/** A properly signed batch over tokens that makeEvent would not make. @param disclosures null: its own */
async function forged(
  producer: Producer,
  payloads: (claims: Record<string, unknown>) => string,
  disclosures: string | null = '',
) {
  const { tokens } = await producer.batch([sampleEvent()])
  const header = tokens[0]!.split('.')[0]!
  const input = `${header}.${b64(payloads(payloadOf(tokens[0]!)))}`
  const jws = `${input}.${toBase64url(await producer.signer.sign(utf8(input)))}`
  const token = `${jws}~${disclosures ?? tokens[0]!.slice(tokens[0]!.indexOf('~') + 1)}`
  const root = sha256(Buffer.concat([Buffer.of(0), Buffer.from(jws)]))
  const { header: signed } = await producer.batch([sampleEvent()], { root })
  return { body: printBatch(signed, [token]) }
}
const asIs = (claims: Record<string, unknown>) => JSON.stringify(claims)

/** The batch with one line replaced; the header is not signed again. */
async function withLine(producer: Producer, line: number, change: (text: string) => string): Promise<Sent> {
  const lines = (await producer.batch(events)).body.split('\n')
  lines[line - 1] = change(lines[line - 1]!)
  return { body: lines.join('\n') }
}

const withAlg = (alg: string, sign: (input: string) => string) => (jws: string) => {
  const [head, body] = jws.split('.') as [string, string]
  const header = { ...JSON.parse(Buffer.from(head, 'base64url').toString()), alg }
  const input = `${b64(header)}.${body}`
  return `${input}.${sign(input)}`
}

const cases: Record<string, Case> = {
  'a body cut off in an event': [
    'batch_malformed',
    400,
    undefined,
    async (p) => {
      const { body } = await p.batch(events)
      return { body: body.slice(0, -20) }
    },
  ],
  'a body cut off at a line': [
    'batch_count_mismatch',
    400,
    1,
    async (p) => {
      const { header, tokens } = await p.batch(events)
      return { body: printBatch(header, tokens.slice(0, 2)) }
    },
  ],
  'an empty body': ['batch_malformed', 400, undefined, async () => ({ body: '' })],
  'a million empty lines': ['batch_too_large', 413, undefined, async () => ({ body: '\n'.repeat(1_000_000) })],
  'bytes that are not UTF-8': [
    'batch_malformed',
    400,
    undefined,
    async () => ({ body: new Uint8Array([0xff, 0xfe, 0x0a]) }),
  ],
  'a header signed by a foreign key': ['key_unknown', 403, 1, async (p) => p.batch(events, { signer: newSigner() })],
  'an event signed by a foreign key': [
    'key_unknown',
    403,
    2,
    async (p) => p.batch(events, { eventSigner: newSigner() }),
  ],
  'a source that nobody registered': ['key_unknown', 403, 1, async (p) => p.batch(events, { source: 'nobody' })],
  'an expired key': ['key_expired', 403, 1, async (p) => p.batch(events, { signer: retired })],
  'an event under an expired key': ['key_expired', 403, 2, async (p) => p.batch(events, { eventSigner: retired })],
  'a key of the future': ['key_not_yet_valid', 403, 1, async (p) => p.batch(events, { signer: future })],
  "the ledger's own source": ['source_reserved', 403, 1, async (p) => p.batch(events, { source: 'killick' })],
  'a header whose signature is wrong': [
    'signature_invalid',
    400,
    1,
    (p) => withLine(p, 1, (jws) => `${jws.slice(0, -43)}${'A'.repeat(43)}`),
  ],
  'an event whose signature is wrong': [
    'signature_invalid',
    400,
    3,
    async (p) => {
      const { tokens } = await p.batch(events)
      const signatureOf = (token: string) => token.split('~')[0]!.split('.')[2]!
      const changed = tokens[1]!.replace(signatureOf(tokens[1]!), signatureOf(tokens[0]!))
      // Chain and root are made to fit, so that only the signature can be at fault.
      return rechained(p, [tokens[0]!, changed])
    },
  ],
  'alg none': [
    'jws_alg_not_allowed',
    400,
    1,
    (p) =>
      withLine(
        p,
        1,
        withAlg('none', () => ''),
      ),
  ],
  'an HMAC with the public key': [
    'jws_alg_not_allowed',
    400,
    1,
    (p) =>
      withLine(
        p,
        1,
        withAlg('HS256', (input) => createHmac('sha256', JSON.stringify(signer.jwk)).update(input).digest('base64url')),
      ),
  ],
  "an alg that is not the key's": [
    'signature_invalid',
    400,
    1,
    (p) =>
      withLine(
        p,
        1,
        withAlg('ES256', () => 'A'.repeat(86)),
      ),
  ],
  'a gap': [
    'stream_gap',
    409,
    1,
    async (p) => p.batch(events, { seq: 7, prev: sha256(utf8('?')), eventPrev: sha256(utf8('?')) }),
  ],
  'an unsigned event': ['event_signature_required', 403, 2, async (p) => p.batch(events, { eventSigner: null })],
  'a root that is not theirs': [
    'batch_root_mismatch',
    400,
    1,
    async (p) => p.batch(events, { root: sha256(utf8('x')) as never }),
  ],
  'a duplicate member in an event': [
    'json_duplicate_member',
    400,
    2,
    (p) => forged(p, (c) => asIs(c).replace('{', '{"seq":0,')),
  ],
  'a number beyond 2^53': [
    'json_number_inexact',
    400,
    2,
    (p) => forged(p, (c) => asIs(c).replace('"seq":0', '"seq":9007199254740993')),
  ],
  'a negative seq': ['event_payload_invalid', 400, 2, (p) => forged(p, (c) => asIs({ ...c, seq: -1 }))],
  'half a surrogate pair': [
    'json_lone_surrogate',
    400,
    2,
    (p) => {
      const disclosure = b64('["AAAAAAAAAAAAAAAAAAAAAA","note","\\ud800"]')
      const digest = toBase64url(sha256(utf8(disclosure)))
      return forged(p, (c) => asIs({ ...c, _sd: [...(c._sd as string[]), digest] }), `${disclosure}~`)
    },
  ],
  'a disclosure for no digest': [
    'disclosure_unmatched',
    400,
    2,
    (p) => forged(p, asIs, `${b64(['A'.repeat(22), 'note', 'x'])}~`),
  ],
  'two disclosures for one digest': [
    'disclosure_duplicate',
    400,
    2,
    async (p) => {
      const { header, tokens } = await p.batch([sampleEvent()])
      return { body: printBatch(header, [`${tokens[0]}${tokens[0]!.split('~')[1]}~`]) }
    },
  ],
  'an event that hides a field': [
    'event_incomplete',
    400,
    3,
    async (p) => {
      const { header, tokens } = await p.batch(events.map((event) => ({ ...event, outcome: 'denied' })))
      return { body: printBatch(header, [tokens[0]!, withoutField('outcome', tokens[1]!), tokens[2]!]) }
    },
  ],
  'an event that hides its actor': [
    'event_incomplete',
    400,
    2,
    async (p) => {
      const { header, tokens } = await p.batch(events)
      return { body: printBatch(header, [withoutField('actor', tokens[0]!), ...tokens.slice(1)]) }
    },
  ],
  'an event with a decoy': [
    'event_incomplete',
    400,
    2,
    (p) => forged(p, (c) => asIs({ ...c, _sd: [...(c._sd as string[]), 'A'.repeat(43)] }), null),
  ],
  'another media type': [
    'unsupported_media_type',
    415,
    undefined,
    async () => ({ body: 'x', headers: { 'content-type': 'text/csv' } }),
  ],
  'plain text': [
    'unsupported_media_type',
    415,
    undefined,
    async () => ({ body: 'x', headers: { 'content-type': 'text/plain' } }),
  ],
  'a batch called JSON': [
    'unsupported_media_type',
    415,
    undefined,
    async (p) => ({ body: (await p.batch(events)).body, headers: { 'content-type': 'application/json' } }),
  ],
  'JSON, called so': [
    'unsupported_media_type',
    415,
    undefined,
    async () => ({ body: '{}', headers: { 'content-type': 'application/json' } }),
  ],
  'another encoding': [
    'unsupported_media_type',
    415,
    undefined,
    async () => ({ body: 'x', headers: { 'content-encoding': 'br' } }),
  ],
  'gzip that is none': [
    'encoding_invalid',
    400,
    undefined,
    async () => ({ body: 'x'.repeat(99), headers: { 'content-encoding': 'gzip' } }),
  ],
  'gzip cut off': [
    'encoding_invalid',
    400,
    undefined,
    async (p) => ({
      body: new Uint8Array(gzipSync((await p.batch(events)).body).subarray(0, -30)),
      headers: { 'content-encoding': 'gzip' },
    }),
  ],
  'a gzip bomb': [
    'body_too_large',
    413,
    undefined,
    async () => ({
      body: new Uint8Array(gzipSync(Buffer.alloc(64 << 20))),
      headers: { 'content-encoding': 'gzip' },
    }),
  ],
  'a zstd bomb': [
    'body_too_large',
    413,
    undefined,
    async () => ({
      body: new Uint8Array(zstdCompressSync(Buffer.alloc(64 << 20))),
      headers: { 'content-encoding': 'zstd' },
    }),
  ],
}

/** The token with one of its fields hidden. */
const withoutField = (name: string, token: string) =>
  hideFields(
    parseEvent(token),
    Object.keys(parseEvent(token).fields).filter((field) => field !== name),
  )

/** A signed header over any tokens, as the first batch of the producer's stream. */
async function rechained(producer: Producer, tokens: string[]): Promise<Sent> {
  const leaves = tokens.map((token) => leafHash(utf8(token.split('~')[0]!)))
  const { header } = await producer.batch(
    tokens.map(() => sampleEvent()),
    { root: treeRoot(leaves) },
  )
  return { body: printBatch(header, tokens) }
}

const counts = () =>
  queryAsOwner(
    service.databaseUrl,
    'select (select count(*) from killick.batches) b, (select sum(n) from killick.packs) e, (select max(size) from killick.checkpoints) c',
  )

test.for(Object.entries(cases))(
  '%s is refused with its code, nothing is stored, and the stream goes on',
  async ([, [code, status, line, send]]) => {
    const producer = new Producer('billing', signer)
    const before = await counts()
    const { body, headers } = await send(producer)
    const refused = await post(service.url, body, headers)
    expect(refused.json).toMatchObject({ code, status, type: `urn:killick:problem:${code}` })
    expect(refused.json.line).toBe(line)
    expect(refused.status).toBe(status)
    expect(refused.headers.get('content-type')).toMatch(/^application\/problem\+json/)
    expect(await counts()).toEqual(before)
    expect((await post(service.url, (await producer.batch(events)).body)).status).toBe(201)
  },
)

describe('a source that is registered with decoys, and with bounds on time', () => {
  const HOUR = 3_600_000

  test('may hide digests, but not the fields that every event needs', async () => {
    const producer = new Producer('decoyed', signer)
    const { body } = await forged(
      producer,
      (claims) => asIs({ ...claims, _sd: [...(claims._sd as string[]), 'A'.repeat(43)] }),
      null,
    )
    expect((await post(service.url, body)).status).toBe(201)
    const { header, tokens } = await new Producer('decoyed', signer).batch(events)
    const hiding = printBatch(header, [withoutField('actor', tokens[0]!), ...tokens.slice(1)])
    expect(await post(service.url, hiding)).toMatchObject({ status: 400, json: { code: 'event_incomplete' } })
  })

  test.each([
    ['too old', [0, -2 * HOUR, 0], 3],
    ['too new', [0, 0, 2 * HOUR], 4],
    ['of 1970', [-Date.now(), 0, 0], 2],
  ])('has an event that is %s refused, with its line', async (_, shifts, line) => {
    const producer = new Producer('decoyed', signer)
    const batch = await producer.batch(events, { times: shifts.map((shift) => Date.now() + shift) })
    const { status, json } = await post(service.url, batch.body)
    expect({ status, json }).toMatchObject({
      status: 403,
      json: { code: 'event_time_refused', line, maxAge: 3600, maxAhead: 60 },
    })
    // Another source may claim so.
    const free = await new Producer('billing', signer).batch(events, {
      times: shifts.map((shift) => Date.now() + shift),
    })
    expect((await post(service.url, free.body)).status).toBe(201)
    const times = [-HOUR / 2, 0, 30_000].map((shift) => Date.now() + shift)
    expect((await post(service.url, (await producer.batch(events, { times })).body)).status).toBe(201)
  })

  test('keeps settings that a change does not name, and shows them', async () => {
    const source = 'changing'
    const shown = async () => {
      const { json } = await call(service.url, `/v1/sources?source=${source}`)
      const { decoys, maxAge, maxAhead, eventSignatures } = json.sources[0]
      return { decoys, maxAge, maxAhead, eventSignatures }
    }
    await register(service.url, source, [{ jwk: signer.jwk }], { decoys: true, maxAge: 5 })
    expect(await shown()).toEqual({ decoys: true, maxAge: 5, maxAhead: null, eventSignatures: 'required' })
    await register(service.url, source, [], { maxAhead: 7, eventSignatures: 'optional' })
    expect(await shown()).toEqual({ decoys: true, maxAge: 5, maxAhead: 7, eventSignatures: 'optional' })
    await register(service.url, source, [], { maxAge: null, decoys: false })
    expect(await shown()).toEqual({ decoys: false, maxAge: null, maxAhead: 7, eventSignatures: 'optional' })
  })

  test('is judged by the registration at the commit, and an earlier batch still gets its receipt', async () => {
    const producer = new Producer('strict', signer)
    await register(service.url, 'strict', [{ jwk: signer.jwk }])
    const old = await producer.batch(events, { times: events.map(() => 0) })
    const first = await post(service.url, old.body)
    expect(first.status).toBe(201)
    old.advance()
    await register(service.url, 'strict', [], { maxAge: 60 })
    expect(await post(service.url, old.body)).toMatchObject({ status: 200, json: first.json })
    const next = await producer.batch(events, { times: events.map(() => 0) })
    expect((await post(service.url, next.body)).json.code).toBe('event_time_refused')
  })
})

test('a gap and a fork say what was expected', async () => {
  const producer = new Producer('billing', signer)
  const first = await producer.batch(events)
  await post(service.url, first.body)
  first.advance()
  const b64url = (hash: Uint8Array) => Buffer.from(hash).toString('base64url')
  const expected = { seq: 3, prev: b64url(producer.prev!), eventPrev: b64url(producer.eventPrev!) }
  const gap = await producer.batch(events, { seq: 4 })
  expect(await post(service.url, gap.body)).toMatchObject({ status: 409, json: { code: 'stream_gap', expected } })
  const fork = await producer.batch(events, { prev: sha256(utf8('other')) as never })
  expect(await post(service.url, fork.body)).toMatchObject({
    status: 409,
    json: { code: 'stream_fork', expected, line: 1 },
  })
  const eventFork = await producer.batch(events, { eventPrev: sha256(utf8('other')) as never })
  expect(await post(service.url, eventFork.body)).toMatchObject({
    status: 409,
    json: { code: 'stream_fork', expected, line: 2 },
  })
})

test('another event at a taken place is equivocation, and both headers are kept once', async () => {
  const producer = new Producer('billing', signer)
  const first = await producer.batch(events)
  const other = await producer.batch(events)
  await post(service.url, first.body)
  for (let i = 0; i < 2; i++) {
    const refused = await post(service.url, other.body)
    expect(refused).toMatchObject({ status: 409, json: { code: 'equivocation', line: 2 } })
    expect(refused.json).toMatchObject({ accepted: first.header, refused: other.header })
  }
  const kept = await queryAsOwner(
    service.databaseUrl,
    'select b.header as accepted, e.refused from killick.equivocations e join killick.batches b on b.log_index = e.batch where e.refused = $1',
    [other.header],
  )
  expect(kept).toEqual([{ accepted: first.header, refused: other.header }])
  first.advance()
  expect((await post(service.url, (await producer.batch(events)).body)).status).toBe(201)
})

test('an ECDSA batch signed anew is the same batch', async () => {
  const producer = new Producer('billing', ecdsa)
  const { body, header } = await producer.batch(events)
  const first = await post(service.url, body)
  expect(first.status).toBe(201)
  const input = header.slice(0, header.lastIndexOf('.'))
  const again = `${input}.${toBase64url(await ecdsa.sign(utf8(input)))}`
  expect(again).not.toBe(header)
  expect(await post(service.url, body.replace(header, again))).toMatchObject({ status: 200, json: first.json })
})

test('a batch accepted while its key was valid gets its receipt after the key has expired', async () => {
  const brief = newSigner()
  await register(service.url, 'billing', [{ jwk: brief.jwk }])
  const producer = new Producer('billing', brief)
  const { body, advance } = await producer.batch(events)
  const first = await post(service.url, body)
  await register(service.url, 'billing', [{ jwk: brief.jwk, notAfter: '2020-01-01T00:00:00Z' }])
  expect(await post(service.url, body)).toMatchObject({ status: 200, json: first.json })
  advance()
  expect(await post(service.url, (await producer.batch(events)).body)).toMatchObject({ json: { code: 'key_expired' } })
})

test('unsigned events are accepted from a source that may send them', async () => {
  const producer = new Producer('mass', signer)
  expect((await post(service.url, (await producer.batch(events, { eventSigner: null })).body)).status).toBe(201)
})

test.each(['gzip', 'zstd'])('%s is accepted', async (encoding) => {
  const { body } = await new Producer('billing', signer).batch(events)
  const bytes = encoding === 'gzip' ? gzipSync(body) : zstdCompressSync(body)
  expect((await post(service.url, new Uint8Array(bytes), { 'content-encoding': encoding })).status).toBe(201)
})

test('a body of 1 GiB is refused before it is sent completely, in bounded memory', async () => {
  const before = process.memoryUsage().rss
  const chunk = Buffer.alloc(1 << 20, 0x61)
  const { status, body, sent } = await new Promise<{ status: number; body: string; sent: number }>(
    (resolve, reject) => {
      let sent = 0
      const outgoing = request(`${service.url}/v1/batches`, {
        method: 'POST',
        headers: { 'content-type': BATCH_MEDIA_TYPE },
      })
      const feed = () => {
        while (sent < 1 << 30 && !outgoing.destroyed) {
          sent += chunk.length
          if (!outgoing.write(chunk)) return void outgoing.once('drain', feed)
        }
        outgoing.end()
      }
      outgoing.on('response', (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (part) => (text += part))
        response.on('end', () => {
          outgoing.destroy()
          resolve({ status: response.statusCode!, body: text, sent })
        })
      })
      outgoing.on('error', reject)
      feed()
    },
  )
  expect({ status, code: JSON.parse(body).code }).toEqual({ status: 413, code: 'body_too_large' })
  expect(sent).toBeLessThan(1 << 30)
  expect(process.memoryUsage().rss - before).toBeLessThan(256 << 20)
})

test('an unknown key is told from an unknown source, and the command that helps is named', async () => {
  const stranger = newSigner()
  const nobody = await post(service.url, (await new Producer('nobody', stranger).batch(events)).body)
  expect(nobody.json).toMatchObject({ code: 'key_unknown', source: 'nobody', unknown: 'source', kid: stranger.kid })
  expect(nobody.json.detail).toMatch(
    /source "nobody" is not registered.*: killick register --source nobody --key <file>/,
  )
  const foreign = await post(service.url, (await new Producer('billing', stranger).batch(events)).body)
  expect(foreign.json).toMatchObject({ code: 'key_unknown', source: 'billing', unknown: 'key', kid: stranger.kid })
  expect(foreign.json.detail).toMatch(
    /"billing" is registered, but not with the key .*: killick register --source billing/,
  )
})
