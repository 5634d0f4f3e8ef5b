// What the console shows of gaps, contradictions and audits, of a service that is not anchored.
import { readFile } from 'node:fs/promises'
import { parseBatchHeader } from '@killick/sdk/core'
import { compactVerify, importJWK } from 'jose'
import type { Browser } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { auditStatus, recordBatch, recordSome, tamper, untilAudit } from '../anchor-service/audit/support/audits.ts'
import { alterToken, numberOf } from '../anchor-service/support/packs.ts'
import { type Producer, post, sampleEvent } from '../anchor-service/support/producer.ts'
import { ADMIN, call, READER, type TestService, testService } from '../anchor-service/support/service.ts'
import { builtPage } from '../support/page.ts'
import { browserAvailable, launch, violations, watch } from './browser.ts'

let service: TestService
let producer: Producer
let browser: Browser | null

beforeAll(async () => {
  ;[service, browser] = await Promise.all([testService(), browserAvailable() ? launch() : null, builtPage()])
  producer = await recordSome(service, 2, 3)
})
// A console that is left open goes on asking.
afterEach(() => Promise.all(browser?.contexts().map((context) => context.close()) ?? []))
afterAll(async () => {
  await browser?.close()
  await service?.stop()
})

/** Hands in another batch of two for the place of the producer's last one. */
async function contradict(n = 2): Promise<number> {
  const { seq, prev, eventPrev } = producer
  await recordBatch(service.url, producer, 2)
  const other = await producer.batch(
    Array.from({ length: n }, (_, i) => sampleEvent(100 + i)),
    { seq, prev, eventPrev },
  )
  return (await post(service.url, other.body)).status
}

async function open(view: string) {
  const watched = await watch(await browser!.newContext({ viewport: { width: 1280, height: 900 } }))
  await watched.page.goto(`${service.url}/console/#/events`)
  await watched.page.fill('#token', READER)
  await watched.page.click('button:text("Sign in")')
  await watched.page.locator('h1:text("Events")').waitFor()
  await watched.page.goto(`${service.url}/console/#/${view}`)
  return watched
}

describe('before anything went wrong', () => {
  test('there is nothing to show, and it says since when', async () => {
    expect((await call(service.url, '/v1/equivocations')).json).toEqual({ equivocations: [], next: null })
    const { since, refusals } = (await call(service.url, '/v1/refusals')).json
    expect(refusals).toEqual([])
    expect(Date.now() - Date.parse(since)).toBeLessThan(60_000)
    for (const path of ['/v1/equivocations', '/v1/refusals', '/v1/streams'])
      expect((await call(service.url, path, null)).status).toBe(401)
  })

  test.skipIf(!browserAvailable())('the views say what that means', async () => {
    const { page, complaints } = await open('equivocations')
    await page.locator('text=No source has contradicted itself').waitFor()
    expect(await violations(page)).toEqual([])
    await page.click('nav a:text("Streams")')
    await page.locator('text=No batch was out of order').waitFor()
    expect(await violations(page)).toEqual([])
    expect(complaints).toEqual([])
  })
})

describe('a gap', () => {
  beforeAll(async () => {
    for (const seq of [9, 8]) expect((await post(service.url, (await skipping(seq)).body)).status).toBe(409)
  })
  const skipping = (seq: number) => producer.batch([sampleEvent()], { seq, prev: producer.prev })

  test('is remembered with what was expected, and how often', async () => {
    const { refusals } = (await call(service.url, '/v1/refusals')).json
    expect(refusals).toEqual([
      expect.objectContaining({ source: 'billing', stream: producer.stream, code: 'stream_gap', seq: 8, expected: 6 }),
    ])
    expect(refusals[0].times).toBe(2)
  })

  test.skipIf(!browserAvailable())('shows which events are missing, beside the stream', async () => {
    const { page, complaints } = await open('streams')
    const line = page.locator(`tr:has-text("${producer.stream}")`)
    await line.locator('text=stream_gap').waitFor()
    expect(await page.innerText('.card')).toMatch(/Missing then\s+events 6 to 7/)
    expect(await page.locator('tr:has-text("killick") >> text=none known').count()).toBe(1)
    expect(await violations(page)).toEqual([])
    await page.goto(`${service.url}/console/#/streams?source=killick`)
    await page.locator('text=Show all streams').waitFor()
    expect(await page.locator('tbody tr').count()).toBe(1)
    expect(complaints).toEqual([])
  })
})

describe('an equivocation', () => {
  beforeAll(async () => {
    for (let i = 0; i < 3; i++) expect(await contradict()).toBe(409)
  })

  test('is listed in pages, newest first, with both headers read and the keys that signed them', async () => {
    const seqs: number[] = []
    for (let cursor = ''; ; ) {
      const { equivocations, next } = (await call(service.url, `/v1/equivocations?limit=2${cursor}`)).json
      for (const { source, stream, seq, accepted, refused } of equivocations) {
        seqs.push(seq)
        expect([source, stream]).toEqual(['billing', producer.stream])
        expect(refused.said.root).not.toBe(accepted.said.root)
        for (const { header, key, said } of [accepted, refused]) {
          await compactVerify(header, await importJWK(key, 'EdDSA'))
          expect(parseBatchHeader(header)).toMatchObject({ source, stream, seq: said.seq, n: said.n })
        }
      }
      if (next === null) break
      cursor = `&cursor=${next}`
    }
    expect(seqs).toEqual([10, 8, 6])
    expect((await call(service.url, '/v1/equivocations?cursor=x')).status).toBe(400)
  })

  test('a row that was tampered with does not hide the others', async () => {
    const change = (text: string) =>
      `update equivocations set refused = ${text} where log_index = (select max(log_index) from equivocations)`
    await tamper(service, change(`'?' || refused`))
    const { equivocations } = (await call(service.url, '/v1/equivocations')).json
    expect(equivocations).toHaveLength(3)
    expect(equivocations[0].refused).toMatchObject({ said: null, key: null })
    await tamper(service, change('substr(refused, 2)'))
  })

  test.skipIf(!browserAvailable())('shows the two side by side, and saves them as evidence', async () => {
    const { page, complaints } = await open('equivocations')
    await page.locator('.card').first().waitFor()
    expect(await page.locator('.card').count()).toBe(3)
    expect(await page.locator('.card').first().locator('.sides > div').count()).toBe(2)
    expect(await page.locator('.card').first().locator('mark code').count()).toBe(1)
    const download = page.waitForEvent('download')
    await page.locator('button:text("Save as evidence")').first().click()
    const file = await download
    expect(file.suggestedFilename()).toBe(`equivocation-billing-${producer.stream}-10.json`)
    const { accepted, refused } = JSON.parse(await readFile(await file.path(), 'utf8'))
    for (const { header, key } of [accepted, refused]) await compactVerify(header, await importJWK(key, 'EdDSA'))
    expect(await violations(page)).toEqual([])
    expect(complaints).toEqual([])
  })
})

describe('the audit', () => {
  // Not before: one would follow the other all the time, and one might find the row that was tampered with.
  beforeAll(async () => {
    await service.close()
    service = await testService({ KILLICK_AUDIT_INTERVAL_MS: '1000' }, service)
  })

  test('says how long it took, when the next one begins, and how it is set', async () => {
    const { last, next, pace, intervalMs } = await untilAudit(
      service,
      ({ last, next }) => last !== null && next !== null,
    )
    expect(last!.seconds).toBeGreaterThan(0)
    expect(Date.parse(next!) - Date.parse(last!.at)).toBeLessThan(5000)
    expect({ pace, intervalMs }).toEqual({ pace: 5000, intervalMs: 1000 })
  })

  test.skipIf(!browserAvailable())(
    'an undecided one is not shown as passed; a fault is named, with a link to it',
    async () => {
      const { page, complaints } = await open('audit')
      await page.locator('text=not everything could be checked').waitFor()
      expect(await page.innerText('main')).toContain('at most 5,000 events per second')
      expect(await violations(page)).toEqual([])
      const number = await numberOf(service.databaseUrl, 'billing', 4)
      await alterToken(service.databaseUrl, number, (token) => `A${token}`)
      await page.locator('text=The ledger is not what was recorded').waitFor()
      const { last } = await auditStatus(service)
      expect(last).toMatchObject({ outcome: 'fail', first: { source: 'billing', seq: 4 } })
      expect(await page.innerText('main')).toContain(`log entry ${last!.first!.logIndex}`)
      expect(await page.innerText('main')).toContain('events: unreadable')
      expect(await violations(page)).toEqual([])
      await page.click(`a:text("event 4 of billing/${producer.stream}")`)
      await page.locator('[role=alert]:has-text("cannot be read")').waitFor()
      expect(await page.innerText('[role=alert]')).toContain('event_unreadable')
      await page.locator('tr.current:has-text("event_unreadable")').waitFor()
      expect(await page.locator('tbody tr').count()).toBeGreaterThan(3)
      expect(await violations(page)).toEqual([])
      await page.goto(`${service.url}/console/#/events?source=billing`)
      await page.locator('tbody tr:has-text("event_unreadable") a').click()
      await page.locator('[role=alert]:has-text("cannot be read")').waitFor()
      await alterToken(service.databaseUrl, number, (token) => token.slice(1))
      // Nothing is anchored here, so no audit passes and the alarm stays.
      await untilAudit(service, ({ last }) => last?.outcome === 'undecided')
      await page.click('nav a:text("Health")')
      await page.locator('a:text("failed: the ledger is not what was recorded")').waitFor()
      expect(complaints).toEqual([])
    },
  )
})

test('what an administrator does is recorded as such', async () => {
  const actors = async (action: string) =>
    (await call(service.url, `/v1/events?source=killick&action=${action}`)).json.events.map(
      (event: { fields: { actor: { id: string } } }) => event.fields.actor.id,
    )
  const { events } = (await call(service.url, '/v1/events?source=billing&limit=1')).json
  const init = (method: string, body?: object) => ({
    method,
    ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
  for (const token of [READER, ADMIN]) {
    await call(service.url, '/v1/events/export?format=csv', token)
    await call(service.url, '/console/session', null, init('POST', { token }))
    const { json } = await call(
      ...([
        service.url,
        '/v1/shares',
        token,
        init('POST', { eventId: events[0].leafHash, fields: ['action'] }),
      ] as const),
    )
    expect((await call(service.url, `/v1/shares/${json.id}`, token, init('DELETE'))).status).toBe(200)
  }
  for (const action of ['share.create', 'share.revoke', 'events.export'])
    expect(await actors(action), action).toEqual(['admin', 'reader'])
  expect((await actors('console.login')).slice(0, 2)).toEqual(['admin', 'reader'])
})
