/** A link that signs in to the console once: what signed nobody in does not count. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { queryAsOwner } from '../../support/postgres.ts'
import { call, READER, type TestService, testService } from '../support/service.ts'

let service: TestService

beforeAll(async () => {
  service = await testService()
})
afterAll(() => service?.stop())

const signIn = (link: string) =>
  call(service.url, '/console/session', null, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ link }),
  })
async function makeLink(): Promise<string> {
  const { json } = await call(service.url, '/console/sign-in-links', READER, { method: 'POST' })
  return json.url.split('/sign-in/')[1]
}

test('a link is still good after a sign-in that could not be recorded, and once only after one that was', async () => {
  const link = await makeLink()
  await queryAsOwner(service.databaseUrl, 'alter table killick.packs rename to packs_away')
  try {
    const failed = await signIn(link)
    expect(failed.status).toBe(500)
    expect(failed.headers.get('set-cookie')).toBeNull()
  } finally {
    await queryAsOwner(service.databaseUrl, 'alter table killick.packs_away rename to packs')
  }
  expect((await signIn(link)).json).toEqual({ role: 'reader' })
  expect((await signIn(link)).json).toMatchObject({ status: 410, code: 'sign_in_used' })
})

test('of two who use a link at once one is signed in', async () => {
  const link = await makeLink()
  const replies = await Promise.all([signIn(link), signIn(link)])
  expect(replies.map(({ status }) => status).sort()).toEqual([200, 410])
})

test('a link is still good after too many wrong tokens came from its address', async () => {
  // Of its own: an address that a right token has come from is not held up.
  const other = await testService({ KILLICK_TRUST_PROXY: '127.0.0.1' })
  try {
    const { json } = await call(other.url, '/console/sign-in-links', READER, { method: 'POST' })
    const link = json.url.split('/sign-in/')[1]
    const from = (ip: string, body: object) =>
      call(other.url, '/console/session', null, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-forwarded-for': ip },
        body: JSON.stringify(body),
      })
    for (let i = 0; i < 20; i++)
      await call(other.url, '/v1/events', 'wrong-token', { headers: { 'x-forwarded-for': '192.0.2.1' } })
    const refused = await from('192.0.2.1', { link })
    expect([refused.json.code, refused.headers.get('retry-after')]).toEqual(['rate_limited', '60'])
    expect((await from('192.0.2.2', { link })).json).toEqual({ role: 'reader' })
  } finally {
    await other.stop()
  }
})
