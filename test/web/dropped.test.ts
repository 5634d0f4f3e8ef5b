// What the console, a link and a person who follows it are told of an event that a retention policy has dropped.
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openPool } from '../../anchor-service/src/database/pool.ts'
import { emptyPacks } from '../../anchor-service/src/erasure/dropping.ts'
import { recordSome, tamper } from '../anchor-service/audit/support/audits.ts'
import { call, READER, type TestService, testService } from '../anchor-service/support/service.ts'
import { builtPage } from '../support/page.ts'
import { browserAvailable, launch, violations, watch } from './browser.ts'

let service: TestService
let browser: Browser | null
let link: string

beforeAll(async () => {
  ;[service, browser] = await Promise.all([testService(), browserAvailable() ? launch() : null, builtPage()])
  await recordSome(service, 2, 3)
  const { events } = (await call(service.url, '/v1/events?source=billing')).json
  const oldest = events.at(-1)
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ eventId: oldest.leafHash, fields: ['action'] })
  link = (await call(service.url, '/v1/shares', READER, { method: 'POST', headers, body })).json.url
  await tamper(
    service,
    `insert into retention_policies values (0, 'orders', 1, '{}', 30, now(), 365);
     insert into drops values (1, 0, '{[${oldest.logIndex},${oldest.logIndex + 1})}', 3, now())`,
  )
  const pool = openPool(service.databaseUrl, true, 1)
  await emptyPacks(pool, [oldest.logIndex])
  await pool.end()
})
afterAll(async () => {
  await browser?.close()
  await service?.stop()
})

test.skipIf(!browserAvailable())('the console shows where it was, and that nobody has altered it', async () => {
  const { page, complaints } = await watch(await browser!.newContext({ viewport: { width: 1280, height: 900 } }))
  await page.goto(`${service.url}/console/#/events`)
  await page.fill('#token', READER)
  await page.click('button:text("Sign in")')
  await page.goto(`${service.url}/console/#/events?source=billing`)
  const rows = page.locator('tbody tr:has-text("dropped by a policy")')
  await rows.first().waitFor()
  expect(await rows.count()).toBe(3)
  expect(await page.innerText('main')).not.toMatch(/altered|undefined/)
  expect(await violations(page)).toEqual([])
  await rows.first().locator('a').click()
  await page.locator('text=was dropped by a retention policy').waitFor()
  const told = await page.innerText('main')
  expect(told).toMatch(/by the retention policy orders, version 1, as log entry 1 says/)
  expect(told).toMatch(/Its leaf hash: [\w-]{43}/)
  expect(told).not.toMatch(/cannot be read|undefined/)
  expect(await page.locator('[role=alert]').count()).toBe(0)
  expect(await violations(page)).toEqual([])
  expect(complaints).toEqual([])
})

test.skipIf(!browserAvailable())('whoever follows a link is told that it is no longer kept, and not why', async () => {
  const answer = await fetch(`${link}/proof`)
  expect([answer.status, await answer.json()]).toMatchObject([410, { code: 'event_dropped' }])
  for (const [locale, words] of [
    ['en', 'The event behind this link is no longer kept'],
    ['de', 'Das Ereignis hinter diesem Link wird nicht mehr aufbewahrt'],
  ] as const) {
    const { page } = await watch(await browser!.newContext({ locale }))
    const reply = await page.goto(link)
    expect(reply!.status()).toBe(410)
    await page.locator(`h1:text("${words}")`).waitFor()
    expect(await page.innerText('main')).not.toMatch(/orders|altered|verändert/)
    expect(await violations(page)).toEqual([])
  }
})

test.skipIf(!browserAvailable())('nothing that is not found is told as if it had never been', async () => {
  const { page } = await watch(await browser!.newContext({ viewport: { width: 1280, height: 900 } }))
  const { logSize } = (await call(service.url, '/readyz')).json
  const last = { outcome: 'pass', at: new Date().toISOString(), seconds: 1, size: logSize, events: 9, root: '' }
  await page.route('**/readyz', async (route) => {
    const answer = await (await route.fetch()).json()
    await route.fulfill({ json: { ...answer, audit: { last: { ...last, first: null, findings: [] } } } })
  })
  await page.route('**/v1/activity?*', async (route) => {
    const answer = await (await route.fetch()).json()
    answer.days.at(-1).failed = 1
    await route.fulfill({ json: answer })
  })
  await page.goto(`${service.url}/console/`)
  await page.fill('#token', READER)
  await page.click('button:text("Sign in")')
  await page.locator('text=No event is found that was denied.').waitFor()
  const column = await page.locator('.columns a[title$="0 denied, 1 failed"]').getAttribute('href')
  expect(column).toMatch(/&outcome=failure&own=1$/)
  const told = await page.innerText('main')
  expect(told).toMatch(/or a retention policy has dropped them/)
  expect(told).toMatch(/left out of the events, not of what was denied or failed/)
  // All of the log was audited; that less of it can be read is no reason to call it half.
  expect(told).toMatch(/ago: \d+ log entries, of \d+ now \(\d+ %\), with 9 events/)
  const [, size, now, share] = /(\d+) log entries, of (\d+) now \((\d+) %\)/.exec(told)!.map(Number)
  expect([size, share]).toEqual([logSize, Math.floor((100 * logSize) / now!)])
  await page.goto(`${service.url}/console/#/events?target=never`)
  await page.locator('text=or by the contents of what a retention policy has dropped').waitFor()
  await page.goto(`${service.url}/console/#/shares`)
  await page.locator('tbody .state.open').waitFor()
  expect(await page.innerText('main')).toMatch(/nothing once the event was dropped/)
})
