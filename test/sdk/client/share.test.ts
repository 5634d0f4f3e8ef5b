import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { revokeShare, shareEvent } from '@killick/sdk'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

/** A service that answers each request with the same; `asked` is what it was asked for. */
describe('shareEvent', () => {
  let answer: { status: number; body: string }
  const asked: { method: string; url: string; body: string }[] = []
  const server = createServer(async (request, response) => {
    const chunks = await request.toArray()
    asked.push({ method: request.method!, url: request.url!, body: Buffer.concat(chunks).toString() })
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(answer.body)
  })
  const service = () => ({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, token: 'reader' })
  const link = { id: '1', url: 'https://audit.example.com/p#1', leafHash: 'h', fields: ['action'], expires: null }
  beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)))
  afterAll(() => server.close())

  test.each([
    ['no time at all', 'tomorrow'],
    ['a month too many', '2026-13-01T00:00:00Z'],
    ['a day too many', '2027-02-29T00:00:00Z'],
    ['a day alone, of which nobody knows where it begins', '2027-01-31'],
    ['a time without a zone', '2027-01-31T12:00:00'],
    ['an invalid Date', new Date(Number.NaN)],
    ['beyond what a Date holds', '+999999-01-01T00:00:00Z'],
  ])('refuses %s as the end of a link, and asks for nothing', async (_, expires) => {
    asked.length = 0
    await expect(shareEvent(service(), 'e', { fields: ['action'], expires })).rejects.toMatchObject({
      name: 'KillickError',
      code: 'option_invalid',
      details: { option: 'expires' },
    })
    expect(asked).toEqual([])
  })

  test.each([
    ['a Date', new Date(Date.UTC(2027, 0))],
    ['a text', '2027-01-01T01:00:00+01:00'],
  ])('sends the end of a link in UTC, given as %s', async (_, expires) => {
    asked.length = 0
    answer = { status: 201, body: JSON.stringify({ ...link, expires: '2027-01-01T00:00:00.000Z' }) }
    await shareEvent(service(), 'e', { fields: ['action'], expires })
    expect(JSON.parse(asked[0]!.body)).toEqual({
      eventId: 'e',
      fields: ['action'],
      expires: '2027-01-01T00:00:00.000Z',
    })
  })

  test.each([
    ['no JSON', 'pardon?'],
    ['JSON with a member twice', '{"id":"1","id":"2"}'],
    ['a list', '[]'],
    ['no address', JSON.stringify({ ...link, url: 'javascript:alert(1)' })],
    ['a number for a name', JSON.stringify({ ...link, id: 1 })],
    ['fields that are none', JSON.stringify({ ...link, fields: [1] })],
  ])('takes %s for no answer', async (_, body) => {
    answer = { status: 201, body }
    await expect(shareEvent(service(), 'e', { fields: [] })).rejects.toMatchObject({ code: 'answer_malformed' })
  })

  test('gives the code of a service that refuses', async () => {
    answer = { status: 404, body: JSON.stringify({ title: 'Not found', code: 'event_not_found' }) }
    await expect(revokeShare(service(), 'a/b')).rejects.toMatchObject({
      code: 'refused',
      details: { code: 'event_not_found', status: 404 },
    })
    expect(asked.at(-1)).toMatchObject({ method: 'DELETE', url: '/v1/shares/a%2Fb' })
  })
})
