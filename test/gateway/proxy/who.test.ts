import { once } from 'node:events'
import { request } from 'node:http'
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { begin, find, raw, serve, type Told } from './support.ts'

let upstream: Awaited<ReturnType<typeof serve>>
let issuer: Awaited<ReturnType<typeof serve>>
type SigningKey = Awaited<ReturnType<typeof generateKeyPair>>['privateKey']
let key: SigningKey
/** What is in the key set beside the keys. */
let padding = ''
const ISS = 'https://login.test'

beforeAll(async () => {
  upstream = await serve()
  const pair = await generateKeyPair('ES256')
  key = pair.privateKey
  const jwks = { keys: [{ ...(await exportJWK(pair.publicKey)), kid: 'one', alg: 'ES256' }] }
  issuer = await serve((_req, res) =>
    res.setHeader('content-type', 'application/json').end(JSON.stringify({ ...jwks, padding })),
  )
})
afterAll(() => {
  upstream.close()
  issuer.close()
})

const token = (claims: object = {}, more: { kid?: string; exp?: string; by?: SigningKey } = {}) =>
  new SignJWT({ iss: ISS, aud: 'api', sub: 'ada', ...claims })
    .setProtectedHeader({ alg: 'ES256', kid: more.kid ?? 'one' })
    .setExpirationTime(more.exp ?? '1 minute')
    .sign(more.by ?? key)

test('a token that verifies is who asks; any other is a claim', async () => {
  const jwt = { jwksUrl: `${issuer.url}/jwks`, issuer: ISS, audience: 'api' }
  const it = await begin(upstream.url, { who: { jwt } })
  const stranger = (await generateKeyPair('ES256')).privateKey
  const text = await token()
  const secret = new TextEncoder().encode(
    JSON.stringify(((await (await fetch(`${issuer.url}/jwks`)).json()) as Told).keys[0]),
  )
  const [head, payload, signature] = text.split('.') as [string, string, string]
  const tokens = [
    text,
    await token({}, { exp: '1 minute ago' }),
    await token({ aud: 'other' }),
    await token({ iss: 'https://evil.test' }),
    await token({}, { by: stranger }),
    await token({}, { kid: 'two' }),
    await token({ sub: 7 }),
    new UnsecuredJWT({ iss: ISS, aud: 'api', sub: 'ada' }).setExpirationTime('1 minute').encode(),
    await new SignJWT({ iss: ISS, aud: 'api', sub: 'ada' })
      .setProtectedHeader({ alg: 'HS256', kid: 'one' })
      .setExpirationTime('1 minute')
      .sign(secret),
    `${head}.${payload}x.${signature}`,
    'no-token',
  ]
  for (const each of tokens) await fetch(it.url, { headers: { authorization: `Bearer ${each}` } })
  // As some servers take it all the same.
  const lenient = [`Bearer\t${text}`, `bearer\u00a0${text}`]
  for (const each of lenient) await fetch(it.url, { headers: { authorization: each } })
  // Of several words some servers take the first, and others the last.
  const other = tokens[4]!
  const doubled = [` ${other}`, ', x', `,Bearer ${other}`, `\u00a0${other}`].map((more) => `Bearer ${text}${more}`)
  for (const each of [...doubled, `Basic YTpi, bearer ${text}`]) {
    const answer = await fetch(it.url, { headers: { authorization: each } })
    expect([answer.status, await answer.text()]).toEqual([400, expect.stringContaining('more than one token')])
  }
  const intents = find(await it.events(), 'http.request')
  expect(intents.splice(tokens.length).map(({ actor }) => actor.id)).toEqual(['ada', 'ada'])
  expect(intents[0]).toMatchObject({
    actor: { type: 'user', id: 'ada' },
    context: { vouched: { by: 'jwt', issuer: ISS } },
  })
  expect(intents.slice(1).map(({ actor }) => actor.id)).toEqual(Array(tokens.length - 1).fill('anonymous'))
  expect(intents.slice(1).map(({ context }) => context.claimed.jwt.why)).toEqual([
    ...['ERR_JWT_EXPIRED', 'ERR_JWT_CLAIM_VALIDATION_FAILED', 'ERR_JWT_CLAIM_VALIDATION_FAILED'],
    ...['ERR_JWS_SIGNATURE_VERIFICATION_FAILED', 'ERR_JWKS_NO_MATCHING_KEY', 'claim_not_a_text'],
    ...[
      'ERR_JOSE_ALG_NOT_ALLOWED',
      'ERR_JOSE_ALG_NOT_ALLOWED',
      'ERR_JWS_SIGNATURE_VERIFICATION_FAILED',
      'ERR_JWS_INVALID',
    ],
  ])
  expect(intents[1].context.claimed.jwt).toMatchObject({ sub: 'ada', iss: ISS })
})

test('a key set larger than memory may be is not read, and vouches for nobody', async () => {
  const it = await begin(upstream.url, {
    who: { jwt: { jwksUrl: `${issuer.url}/jwks`, issuer: ISS, audience: 'api' } },
  })
  const ask = async () => fetch(it.url, { headers: { authorization: `Bearer ${await token()}` } })
  padding = 'x'.repeat(1 << 20)
  await ask()
  await ask()
  expect(it.said.filter((each) => each.includes(issuer.url))).toEqual([
    expect.stringMatching(
      /\/jwks cannot be had, so no token that needs them vouches for anybody: more than \d+ bytes$/,
    ),
  ])
  padding = ''
  await ask()
  const [refused, , believed] = find(await it.events(), 'http.request')
  expect(refused).toMatchObject({
    actor: { id: 'anonymous' },
    context: { claimed: { jwt: { why: 'keys_too_large' } } },
  })
  expect(believed.actor.id).toBe('ada')
})

test('where somebody must vouch, a request without is refused with 401, and that is recorded', async () => {
  const it = await begin(upstream.url, {
    who: { required: true, jwt: { jwksUrl: `${issuer.url}/jwks`, issuer: ISS, audience: 'api' } },
  })
  const before = upstream.seen.length
  const refused = await fetch(`${it.url}/secret`, { method: 'POST', body: 'x' })
  expect([refused.status, ((await refused.json()) as Told).code]).toEqual([401, 'http_unauthenticated'])
  expect((await fetch(it.url, { headers: { authorization: `bearer ${await token()}` } })).status).toBe(200)
  expect(upstream.seen.slice(before)).toEqual(['GET /'])
  const [denied] = await it.events()
  expect(denied).toMatchObject({ outcome: 'denied', http: { kind: 'denial', code: 'http_unauthenticated' } })
})

test('a header says who asks from trusted addresses only; from others it is a claim and does not go on', async () => {
  const header = { name: 'X-Auth-User', from: ['127.0.0.1'] }
  const it = await begin(upstream.url, { who: { header } })
  // As its bytes are read one by one, in JavaScript too.
  const zoe = Buffer.from('Zoë').toString('latin1')
  const seen = ((await (await fetch(it.url, { headers: { 'x-auth-user': zoe } })).json()) as Told).headers
  expect(seen['x-auth-user']).toBe(zoe)
  // By a proxy that hands on what its client says of the connection, the server would see a request of nobody.
  const removed = await raw(
    it.url,
    'GET / HTTP/1.1\r\nHost: a\r\nX-Auth-User: ada\r\nConnection: close, X-Auth-User\r\n\r\n',
  )
  expect(removed).toContain('Connection must not name x-auth-user.')
  const [intent, , ...more] = await it.events()
  expect(more).toEqual([])
  expect(intent.actor).toEqual({ type: 'user', id: 'Zoë' })
  expect(intent.context.vouched).toEqual({ by: 'header', header: 'x-auth-user', proxy: '127.0.0.1' })
  const other = await begin(upstream.url, { who: { header: { ...header, from: ['10.0.0.0/8'] } } })
  const spoofed = { 'x-auth-user': 'root', x_auth_user: 'root', 'x.auth!user': 'root' }
  const { headers } = (await (await fetch(other.url, { headers: spoofed })).json()) as Told
  expect(Object.keys(headers).filter((name) => /auth.user/.test(name))).toEqual([])
  // Some servers read trailers like headers.
  const { hostname, port } = new URL(other.url)
  const late = request({ hostname, port, method: 'PUT', headers: { te: 'trailers', trailer: 'x-auth-user, x-sum' } })
  late.write('x')
  late.addTrailers({
    'x-auth-user': 'root',
    x_auth_user: 'root',
    'x.auth.user': 'root',
    'x-real-ip': '10.0.0.1',
    'x-sum': '9',
  })
  late.end()
  const [answer] = await once(late, 'response')
  expect(JSON.parse((await answer.toArray()).join('')).trailers).toEqual({ 'x-sum': '9' })
  const [claim] = await other.events()
  expect(claim.actor.id).toBe('anonymous')
  expect(claim.context.claimed).toEqual({ header: { name: 'x-auth-user', value: 'root', why: 'address_not_trusted' } })
})
