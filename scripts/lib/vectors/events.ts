// JWS and event tokens: a good one of each kind, then one slip at a time. Where a payload is changed it is signed again, so
// that the slip itself is what is refused.
import { createHmac } from 'node:crypto'
import {
  type JsonObject,
  type Party,
  type PublicJwk,
  parseEvent,
  printHash,
  type Signer,
  sha256,
  toBase64url,
  utf8,
} from '@killick/sdk/core'
import { signerFor } from './keys.ts'
import { makeEvents, SOURCE, STREAM } from './world.ts'

const key = signerFor('source Ed25519')
const encode = (value: unknown) => toBase64url(utf8(typeof value === 'string' ? value : JSON.stringify(value)))
const decode = (segment: string) => JSON.parse(Buffer.from(segment, 'base64url').toString()) as JsonObject

const signed = async (header: unknown, payload: unknown, signer: Signer = key) => {
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${toBase64url(await signer.sign(utf8(input)))}`
}

type Case = { description: string; valid: boolean; token: string; jwk: PublicJwk | null; code?: string }

const good = (description: string, token: string, jwk: PublicJwk | null = key.jwk) => {
  const { source, stream, seq, prev, id, time, leafHash, fieldCount, fields } = parseEvent(token)
  const event = {
    source,
    stream,
    seq,
    ...(prev && { prev: printHash(prev) }),
    id,
    time,
    leafHash: printHash(leafHash),
    fieldCount,
    fields,
  }
  return { description, valid: true, token, jwk, event }
}
const bad = (description: string, code: string, token: string, jwk: PublicJwk | null = key.jwk): Case => ({
  description,
  valid: false,
  token,
  jwk,
  code,
})

export async function jws() {
  const [token] = await makeEvents(key)
  const [head, body, tail] = token!.slice(0, token!.indexOf('~')).split('.') as [string, string, string]
  const header = decode(head)
  const payload = decode(body)
  const cases: [string, string, string][] = [
    ['alg none, without a signature', 'jws_alg_not_allowed', `${encode({ ...header, alg: 'none' })}.${body}.`],
    [
      'alg none, with the old signature',
      'jws_alg_not_allowed',
      `${encode({ ...header, alg: 'none' })}.${body}.${tail}`,
    ],
    ['HS256 with the public key as the secret', 'jws_alg_not_allowed', hmac({ ...header, alg: 'HS256' }, body)],
    [
      'EdDSA, the name that RFC 9864 retires',
      'jws_alg_not_allowed',
      await signed({ ...header, alg: 'EdDSA' }, payload),
    ],
    ['alg missing', 'jws_alg_not_allowed', await signed({ typ: header.typ!, kid: header.kid! }, payload)],
    ['alg in an array', 'jws_alg_not_allowed', await signed({ ...header, alg: ['Ed25519'] }, payload)],
    ['an allowed alg that is not the key’s', 'signature_invalid', await signed({ ...header, alg: 'ES256' }, payload)],
    ['the typ of a batch header', 'jws_header_invalid', await signed({ ...header, typ: 'audit-batch+jwt' }, payload)],
    [
      'typ with its full media type',
      'jws_header_invalid',
      await signed({ ...header, typ: `application/${header.typ}` }, payload),
    ],
    [
      'typ in capitals',
      'jws_header_invalid',
      await signed({ ...header, typ: String(header.typ).toUpperCase() }, payload),
    ],
    ['typ missing', 'jws_header_invalid', await signed({ alg: header.alg!, kid: header.kid! }, payload)],
    ['kid missing', 'jws_header_invalid', await signed({ alg: header.alg!, typ: header.typ! }, payload)],
    ['kid that is no thumbprint', 'jws_header_invalid', await signed({ ...header, kid: 'key-1' }, payload)],
    ['kid of another key', 'key_unknown', await signed({ ...header, kid: signerFor('other').kid }, payload)],
    ['a member more: crit', 'jws_header_invalid', await signed({ ...header, crit: ['b64'], b64: false }, payload)],
    ['a member more: jwk', 'jws_header_invalid', await signed({ ...header, jwk: key.jwk }, payload)],
    ['a member more: jku', 'jws_header_invalid', await signed({ ...header, jku: 'https://evil.example' }, payload)],
    [
      'alg twice',
      'json_duplicate_member',
      await signed(JSON.stringify(header).replace('{', '{"alg":"none",'), payload),
    ],
    ['a header that is an array', 'jws_malformed', await signed([header], payload)],
    ['a header that is not JSON', 'json_invalid', await signed('alg=Ed25519', payload)],
    ['a header that is not UTF-8', 'jws_malformed', `${toBase64url(Uint8Array.of(0x7b, 0xff, 0x7d))}.${body}.${tail}`],
    ['a payload that is a string', 'jws_malformed', await signed(header, '"text"')],
    ['an empty header', 'json_invalid', `.${body}.${tail}`],
    ['an empty payload', 'json_invalid', `${head}..${tail}`],
    ['an empty signature', 'jws_malformed', `${head}.${body}.`],
    ['two parts', 'jws_malformed', `${head}.${body}`],
    ['four parts', 'jws_malformed', `${head}.${body}.${tail}.`],
    ['padding', 'jws_malformed', `${head}.${body}.${tail}==`],
    ['the other base64 alphabet', 'jws_malformed', `${head}.${body}.${tail.slice(0, -1)}+`],
    ['white space', 'jws_malformed', `${head}.${body}.${tail} `],
    ['a stray bit in the last letter of the signature', 'jws_malformed', `${head}.${body}.${strayBit(tail)}`],
    [
      'a signature of 63 bytes',
      'jws_malformed',
      `${head}.${body}.${toBase64url(Buffer.from(tail, 'base64url').subarray(1))}`,
    ],
    [
      'a bit of the signature changed',
      'signature_invalid',
      `${head}.${body}.${tail.startsWith('A') ? 'B' : 'A'}${tail.slice(1)}`,
    ],
    ['signed by another key', 'signature_invalid', await signed(header, payload, signerFor('other'))],
    ['S + L, the other spelling of an Ed25519 signature', 'signature_invalid', `${head}.${body}.${plusOrder(tail)}`],
  ]
  return [good('Ed25519', token!), ...cases.map(([description, code, text]) => bad(description, code, `${text}~`))]
}

function hmac(header: JsonObject, body: string): string {
  const input = `${encode(header)}.${body}`
  return `${input}.${createHmac('sha256', Buffer.from((key.jwk as { x: string }).x, 'base64url'))
    .update(input)
    .digest('base64url')}`
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
/** 64 bytes leave four bits of the 86th letter unused. */
const strayBit = (segment: string) => segment.slice(0, -1) + ALPHABET[ALPHABET.indexOf(segment.at(-1)!) + 1]

function plusOrder(segment: string): string {
  const bytes = Buffer.from(segment, 'base64url')
  let carry = 2n ** 252n + 27742317777372353535851937790883648493n
  for (let i = 32; i < 64; i++) {
    carry += BigInt(bytes[i]!)
    bytes[i] = Number(carry & 255n)
    carry >>= 8n
  }
  return bytes.toString('base64url')
}

export async function events() {
  const tokens = await makeEvents(key)
  const [first, second] = tokens as [string, string]
  const [leaf, ...disclosures] = first.slice(0, -1).split('~') as [string, ...string[]]
  const [head, body] = leaf.split('.') as [string, string]
  const header = decode(head)
  const payload = decode(body)
  const next = decode(second.split('.')[1]!)
  const rest = `~${disclosures.join('~')}~`
  const digestOf = (text: string) => printHash(sha256(utf8(text)))

  const withPayload = async (changes: Record<string, unknown>, base = payload) =>
    `${await signed(header, { ...base, ...changes })}${rest}`
  const without = async (name: string) =>
    `${await signed(header, Object.fromEntries(Object.entries(payload).filter(([n]) => n !== name)))}${rest}`
  /** A token that discloses exactly these texts, each with its digest. */
  const disclosing = async (...texts: string[]) =>
    `${[await signed(header, { ...payload, _sd: [...new Set(texts.map(digestOf))].sort() }), ...texts].join('~')}~`
  const disclosure = (value: unknown) => encode(value)
  const salt = toBase64url(new Uint8Array(16))
  const field = (name: string, value: unknown) => disclosing(disclosure([salt, name, value]))
  const es256 = signerFor('source ES256', 'ES256')
  const es256k = signerFor('source ES256K', 'ES256K')
  const one = async (signer: Signer | undefined) => (await makeEvents(signer))[0]!
  const closing = async (target: JsonObject[], action = 'stream.close') =>
    (await makeEvents(key, 0, [{ action, actor: { type: 'source', id: SOURCE }, targets: target as Party[] }]))[0]!
  const stream = { type: 'stream', id: STREAM }

  return [
    { ...good('an event that ends its stream', await closing([stream])), endsStream: true },
    { ...good('one of another action ends nothing', await closing([stream], 'stream.closed')), endsStream: false },
    { ...good('nor does a sign of life', await closing([stream], 'stream.heartbeat')), endsStream: false },
    { ...good('nor does one of another stream', await closing([{ ...stream, id: '7f3c9a11' }])), endsStream: false },
    { ...good('nor one of a source', await closing([{ ...stream, type: 'source' }])), endsStream: false },
    { ...good('nor one without a target', await closing([])), endsStream: false },
    { ...good('nor one with a second target', await closing([stream, stream])), endsStream: false },
    { ...good('nor one whose target has a name', await closing([{ ...stream, name: 'main' }])), endsStream: false },
    good('the first of a stream, Ed25519', first),
    good('the second of a stream', second),
    good('ES256', await one(es256), es256.jwk),
    good('ES256K', await one(es256k), es256k.jwk),
    good('unsigned', await one(undefined), null),
    good('no field shown', `${leaf}~`),
    good('one field shown', `${leaf}~${disclosures[1]}~`),
    good('fields in another order', `${[leaf, ...disclosures.toReversed()].join('~')}~`),
    good('a custom field', tokens[2]!),
    good('a decoy digest', await withPayload({ _sd: [...(payload._sd as string[]), digestOf('decoy')] })),
    bad(
      'iss changed, not signed again',
      'signature_invalid',
      first.replace(body, encode({ ...payload, iss: 'other' })),
    ),
    bad(
      'stm changed, not signed again',
      'signature_invalid',
      first.replace(body, encode({ ...payload, stm: 'other' })),
    ),
    bad(
      'seq changed, not signed again',
      'signature_invalid',
      second.replace(second.split('.')[1]!, encode({ ...next, seq: 2 })),
    ),
    bad(
      'prev changed, not signed again',
      'signature_invalid',
      second.replace(second.split('.')[1]!, encode({ ...next, prev: digestOf('x') })),
    ),
    bad(
      'jti changed, not signed again',
      'signature_invalid',
      first.replace(body, encode({ ...payload, jti: next.jti })),
    ),
    bad(
      'iat changed by a millisecond, not signed again',
      'signature_invalid',
      first.replace(body, encode({ ...payload, iat: (Number(payload.iat) * 1000 + 1) / 1000 })),
    ),
    bad(
      'a digest dropped, not signed again',
      'signature_invalid',
      `${first.replace(body, encode({ ...payload, _sd: (payload._sd as string[]).filter((d) => d !== digestOf(disclosures[0]!)) })).split('~')[0]}~`,
    ),
    bad(
      'the order of payload members changed, not signed again',
      'signature_invalid',
      first.replace(body, encode(Object.fromEntries(Object.entries(payload).reverse()))),
    ),
    ...(await Promise.all(
      ['iss', 'stm', 'seq', 'jti', 'iat', '_sd', '_sd_alg'].map(async (name) =>
        bad(`${name} missing`, 'event_payload_invalid', await without(name)),
      ),
    )),
    bad('a member more: exp', 'event_payload_invalid', await withPayload({ exp: 2_000_000_000 })),
    bad('a field in the open', 'event_payload_invalid', await withPayload({ action: 'invoice.approve' })),
    bad('iss in capitals', 'event_payload_invalid', await withPayload({ iss: 'Billing' })),
    bad('iss empty', 'event_payload_invalid', await withPayload({ iss: '' })),
    bad('iss of 65 characters', 'event_payload_invalid', await withPayload({ iss: 'a'.repeat(65) })),
    bad('stm with a slash', 'event_payload_invalid', await withPayload({ stm: 'a/b' })),
    bad('seq -1', 'event_payload_invalid', await withPayload({ seq: -1 })),
    bad('seq 0.5', 'event_payload_invalid', await withPayload({ seq: 0.5 })),
    bad('seq as a string', 'event_payload_invalid', await withPayload({ seq: '0' })),
    bad(
      'seq 2^53',
      'json_number_inexact',
      `${await signed(header, JSON.stringify(payload).replace('"seq":0', '"seq":9007199254740992'))}${rest}`,
    ),
    bad(
      'seq twice',
      'json_duplicate_member',
      `${await signed(header, JSON.stringify(payload).replace('"seq":0', '"seq":0,"seq":1'))}${rest}`,
    ),
    bad('prev on the first event', 'event_payload_invalid', await withPayload({ prev: digestOf('x') })),
    bad('no prev on the second event', 'event_payload_invalid', await withPayload({ seq: 1 })),
    bad(
      'prev of 31 bytes',
      'event_payload_invalid',
      await withPayload({ prev: toBase64url(new Uint8Array(31)) }, next),
    ),
    bad('prev null', 'event_payload_invalid', await withPayload({ prev: null })),
    bad('jti is UUIDv4', 'event_payload_invalid', await withPayload({ jti: 'f81d4fae-7dec-41d0-a765-00a0c91e6bf6' })),
    bad('jti in capitals', 'event_payload_invalid', await withPayload({ jti: String(payload.jti).toUpperCase() })),
    bad('iat with microseconds', 'event_payload_invalid', await withPayload({ iat: 1782907200.123456 })),
    bad('iat in milliseconds', 'event_payload_invalid', await withPayload({ iat: 1782907200123000 })),
    bad('iat negative', 'event_payload_invalid', await withPayload({ iat: -1 })),
    bad('iat as a string', 'event_payload_invalid', await withPayload({ iat: '1782907200' })),
    bad('_sd_alg sha-512', 'event_payload_invalid', await withPayload({ _sd_alg: 'sha-512' })),
    bad('a digest of 31 bytes', 'event_payload_invalid', await withPayload({ _sd: [toBase64url(new Uint8Array(31))] })),
    bad('a digest that is no string', 'event_payload_invalid', await withPayload({ _sd: [7] })),
    bad('_sd no array', 'event_payload_invalid', await withPayload({ _sd: {} })),
    bad(
      'one digest twice',
      'disclosure_duplicate',
      await withPayload({ _sd: [...(payload._sd as string[]), (payload._sd as string[])[0]] }),
    ),
    bad('a disclosure that matches no digest', 'disclosure_unmatched', `${leaf}~${disclosure([salt, 'action', 'x'])}~`),
    bad('a disclosure of another event', 'disclosure_unmatched', `${leaf}~${second.split('~')[1]}~`),
    bad(
      'a salt changed',
      'disclosure_unmatched',
      first.replace(disclosures[0]!, disclosure([salt, ...(decode(disclosures[0]!) as unknown as unknown[]).slice(1)])),
    ),
    bad(
      'a disclosure encoded again with a space',
      'disclosure_unmatched',
      first.replace(disclosures[0]!, encode(Buffer.from(disclosures[0]!, 'base64url').toString().replace(',', ', '))),
    ),
    bad('one disclosure twice', 'disclosure_duplicate', `${leaf}~${disclosures[0]}~${disclosures[0]}~`),
    bad(
      'two disclosures for one field',
      'disclosure_duplicate',
      await disclosing(disclosure([salt, 'action', 'a']), disclosure([salt, 'action', 'b'])),
    ),
    bad('a disclosure of two parts', 'disclosure_malformed', await disclosing(disclosure([salt, 'a']))),
    bad('a disclosure of four parts', 'disclosure_malformed', await disclosing(disclosure([salt, 'a', 1, 2]))),
    bad(
      'a disclosure that is an object',
      'disclosure_malformed',
      await disclosing(disclosure({ salt, name: 'a', value: 1 })),
    ),
    bad(
      'a salt of 15 bytes',
      'disclosure_malformed',
      await disclosing(disclosure([toBase64url(new Uint8Array(15)), 'a', 1])),
    ),
    bad('a salt that is no string', 'disclosure_malformed', await disclosing(disclosure([1, 'a', 1]))),
    bad('a disclosure with padding', 'disclosure_malformed', await disclosing(`${disclosure([salt, 'tenant', 'x'])}=`)),
    bad(
      'a disclosure with a duplicate member',
      'json_duplicate_member',
      await disclosing(encode(`["${salt}","metadata",{"a":1,"a":2}]`)),
    ),
    bad(
      'a disclosure with half a surrogate pair',
      'json_lone_surrogate',
      await disclosing(encode(`["${salt}","tenant","\\ud800"]`)),
    ),
    bad(
      'a disclosure with 2^53 + 1',
      'json_number_inexact',
      await disclosing(encode(`["${salt}","tenant",9007199254740993]`)),
    ),
    bad('a field named iss', 'disclosure_field_invalid', await field('iss', 'other')),
    bad('a field named iat', 'disclosure_field_invalid', await field('iat', 0)),
    bad('a field named _sd', 'disclosure_field_invalid', await field('_sd', [])),
    bad('a field named ...', 'disclosure_field_invalid', await field('...', 'x')),
    bad('a field named __proto__', 'disclosure_field_invalid', await field('__proto__', {})),
    bad('a field without a name', 'disclosure_field_invalid', await field('', 1)),
    bad('_sd inside a field', 'disclosure_field_invalid', await field('metadata', { _sd: [digestOf('x')] })),
    bad(
      '... inside a field',
      'disclosure_field_invalid',
      await field('metadata', { list: [{ '...': digestOf('x') }] }),
    ),
    bad('an empty action', 'disclosure_field_invalid', await field('action', '')),
    bad('an action that is no string', 'disclosure_field_invalid', await field('action', 7)),
    bad('an action of 257 characters', 'disclosure_field_invalid', await field('action', 'a'.repeat(257))),
    bad('an actor without an id', 'disclosure_field_invalid', await field('actor', { type: 'user' })),
    bad('a target without a type', 'disclosure_field_invalid', await field('targets', [{ id: '1' }])),
    bad('an unknown outcome', 'disclosure_field_invalid', await field('outcome', 'ok')),
    bad(
      'a change with an unknown member',
      'disclosure_field_invalid',
      await field('changes', [{ path: '/a', old: 1 }]),
    ),
    bad('occurredAt without a zone', 'disclosure_field_invalid', await field('occurredAt', '2026-07-01T12:00:00')),
    bad(
      'occurredAt on a day that the calendar does not have',
      'disclosure_field_invalid',
      await field('occurredAt', '2026-02-29T12:00:00Z'),
    ),
    bad('occurredAt in hour 24', 'disclosure_field_invalid', await field('occurredAt', '2026-07-01T24:00:00Z')),
    bad('a version of a catalogue that is no name', 'disclosure_field_invalid', await field('catalogue', '2 ')),
    bad('no final tilde', 'event_malformed', first.slice(0, -1)),
    bad('a key-binding JWT at the end', 'event_malformed', `${first}${leaf}`),
    bad('an empty disclosure', 'disclosure_unmatched', `${leaf}~~`),
    bad('only a JWS', 'event_malformed', leaf),
    bad('only a tilde', 'event_malformed', '~'),
    bad('empty', 'event_malformed', ''),
    bad('a line end', 'event_malformed', `${first}\r`),
  ]
}
