import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { createAudit } from '@killick/sdk/kit'
import { auditRequests } from '@killick/sdk/node-http'
import { expect, test } from 'vitest'
import { openTestLog } from '../../../sdk/src/testing/index.ts'

/** What a client gets of a handler whose answer waits. */
async function answerOf(handle: RequestListener): Promise<{ status: number; body: string; events: number }> {
  const log = await openTestLog()
  const audit = createAudit(log, { onMissingActor: 'allow' })
  const server = createServer(auditRequests(audit, { record: true, responseWaits: true, onError: () => {} }, handle))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const body = await response.text()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  const events = log.events().length
  await log.close()
  return { status: response.status, body, events }
}

test('a second answer is refused while the first waits, as it would be on its way', async () => {
  const codes: string[] = []
  const attempt = (fn: () => unknown) => {
    try {
      fn()
    } catch (error) {
      codes.push((error as { code: string }).code)
    }
  }
  const answer = await answerOf((_request, response) => {
    response.setHeader('content-length', 5).end('first')
    expect([response.headersSent, response.writableEnded]).toEqual([true, true])
    attempt(() => response.setHeader('content-length', 6))
    attempt(() => response.writeHead(500))
  })
  expect(answer).toEqual({ status: 200, body: 'first', events: 1 })
  expect(codes).toEqual(['ERR_HTTP_HEADERS_SENT', 'ERR_HTTP_HEADERS_SENT'])
})

test('a stream that heeds back-pressure arrives whole', async () => {
  const chunk = 'x'.repeat(65_536)
  const { body } = await answerOf((_request, response) => {
    Readable.from(Array.from({ length: 64 }, () => chunk)).pipe(response)
  })
  expect(body.length).toBe(64 * chunk.length)
})

test('a head that Node would not take is refused to the handler; what is recorded is the 500', async () => {
  const answer = await answerOf((_request, response) => {
    response.writeHead(200, { 'x-bad': 'a\nb' }).end()
  })
  expect(answer).toMatchObject({ status: 500, events: 1 })
})
