// What the console says of what is not found any more, and of what it takes out of a list itself.
import type { EventInput, JsonObject } from '@killick/sdk/core'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Producer } from '../anchor-service/support/producer.ts'
import { type AgingLedger, startAging } from '../anchor-service/support/retention.ts'
import { ADMIN, ANNA, BEN, ERASER, READER, twoPeople } from '../anchor-service/support/service.ts'
import { builtPage } from '../support/page.ts'
import { browserAvailable, launch, violations, watch } from './browser.ts'

const SESSION = '7c1f0b52-90d4-4a53-8a60-3a1c35d0d0f4'

let aging: AgingLedger
let browser: Browser | null

const event = (action: string, id: string): EventInput => ({
  ...{ action, actor: { type: 'user', id: 'u-1' }, targets: [{ type: 'thing', id }], outcome: 'success' },
})
const step = (action: string, known: JsonObject): EventInput => ({
  ...{ action: `mcp.${action}`, actor: { type: 'agent', id: 'claude' }, targets: [{ type: 'session', id: SESSION }] },
  metadata: { mcp: known },
})

beforeAll(async () => {
  ;[aging, browser] = await Promise.all([
    startAging(['shop', 'web']),
    browserAvailable() ? launch() : null,
    builtPage(),
  ])
}, 60_000)
afterAll(async () => {
  await browser?.close()
  await aging?.stop()
})

async function signIn() {
  const { page } = await watch(await browser!.newContext({ viewport: { width: 1280, height: 900 } }))
  await page.goto(`${aging.service.url}/console/`)
  await page.fill('#token', READER)
  await page.click('button:text("Sign in")')
  await page.locator('h1:text("Overview")').waitFor()
  return page
}

test.skipIf(!browserAvailable())('nobody takes what has expired for what never was', async () => {
  const web = aging.producer('web')
  await aging.record(web, [step('session.start', { isOpen: true }), event('order.place', 'o-2')])
  await aging.put('short', { covers: { source: 'web' }, contentsDays: 30 })
  await aging.anchored((await aging.policy('short')).logIndex + 1)
  await aging.pass(40, aging.producer('shop'), event('person.tick', 'tick'))
  await aging.until(async () => expect((await aging.policy('short')).expired).toBe(2))
  const late = new Producer('web', web.signer, 'late')
  await aging.record(late, [step('session.end', { state: 'ended', by: 'client' })])

  const page = await signIn()
  await page.goto(`${aging.service.url}/console/#/history/thing/o-2`)
  await page.locator('text=No event is found that names it').waitFor()
  expect(await page.innerText('main')).toMatch(/erased, have expired/)
  await page.goto(`${aging.service.url}/console/#/events?target=o-2`)
  await page.locator('text=nothing is found by what was erased or has expired').waitFor()

  // Of another session nothing is found, which says no more than that.
  await page.goto(`${aging.service.url}/console/#/sessions/other`)
  await page.locator('text=what named it may have been erased').waitFor()

  // Its beginning has expired, and is not found: what stands first is its end.
  await page.goto(`${aging.service.url}/console/#/sessions/${SESSION}`)
  await page.locator('tbody tr:has-text("the session ends")').waitFor()
  const told = await page.innerText('main')
  expect(told).toMatch(/First of these\s+20/)
  expect(told).not.toMatch(/Began/)
  expect(told).toMatch(/whose targets are sealed, were erased or have expired, are not found/)
})

test.skipIf(!browserAvailable())('a list that follows lacks nothing in its middle', { timeout: 90_000 }, async () => {
  const shop = aging.producer('shop')
  for (let batch = 0; batch < 3; batch++)
    await aging.record(
      shop,
      Array.from({ length: 200 }, (_, i) => event('page.view', `p-${200 * batch + i}`)),
    )
  const page = await signIn()
  await page.goto(`${aging.service.url}/console/#/events?action=page.*`)
  const rows = page.locator('tbody tr')
  const older = page.locator('button:text("Older events")')
  await rows.first().waitFor()
  while ((await rows.count()) <= 500) {
    const before = await rows.count()
    await older.click()
    await expect.poll(() => rows.count()).toBeGreaterThan(before)
  }
  expect(await older.isVisible()).toBe(true)
  await page.check('#live')
  await page.locator('text=New events appear').waitFor()
  await aging.record(shop, [event('page.leave', 'live')])
  await page.locator('tr:has-text("page.leave")').waitFor()
  expect(await rows.count()).toBe(500)
  expect(await older.isVisible()).toBe(false)
  await page.locator('text=only the newest 500 stay in this list').waitFor()
  expect(await violations(page)).toEqual([])

  // The same search again is another look, though its address is the same.
  await page.click('button:text("Search")')
  await expect.poll(() => rows.count()).toBeLessThan(500)
  expect(await older.isVisible()).toBe(true)
  expect(await page.locator('text=only the newest 500 stay').isVisible()).toBe(false)
})

test.skipIf(!browserAvailable())('what goes and what is held, and what waits for a second person', async () => {
  const held = { case: 'C-9', reason: 'suit', covers: { source: 'web', actor: 'u-1' } }
  expect((await aging.send('POST', '/v1/holds', ADMIN, held)).status).toBe(201)
  const order = { target: 'p-1', fields: ['targets'], reason: 'request of the person' }
  expect((await aging.send('POST', '/v1/erasures', ERASER, order)).status).toBe(202)
  await aging.until(async () => {
    const { erasures } = (await aging.send('GET', '/v1/erasures', READER)).json
    expect(erasures.every(({ state }: { state: string }) => state === 'done')).toBe(true)
  })
  await aging.restart(await twoPeople())
  const proposed = await aging.send('POST', '/v1/erasures', ANNA, { ...order, target: 'p-2' })
  expect(proposed.status).toBe(202)
  const policy = { covers: { source: 'shop' }, contentsDays: 365, eventsDays: 730 }
  expect((await aging.put('shop', policy, ANNA)).status).toBe(202)

  const page = await signIn()
  await page.click('a:text("2 proposals wait")')
  await page.locator('h1:text("Retention")').waitFor()
  const rowsOf = async (name: string) =>
    (await page.locator(`[aria-label="${name}"] tbody tr`).allInnerTexts()).map((text) => text.replace(/\s+/g, ' '))
  expect(await rowsOf('Proposals')).toEqual([
    expect.stringMatching(
      new RegExp(`to erase targets of 1 event request of the person anna killick erase --confirm ${proposed.json.id}`),
    ),
    expect.stringMatching(/the policy shop: contents go after 365 days, events after 730 days source shop anna/),
  ])
  expect(await rowsOf('Policies')).toEqual([
    expect.stringMatching(/^short version 1 source web after 30 days never 2 events expired \d+ its events$/),
  ])
  expect(await rowsOf('Holds')).toEqual([expect.stringMatching(/standing actor u-1, source web its events$/)])
  expect((await rowsOf('Erasures')).map((text) => text.replace(/^[\d: -]+/, ''))).toEqual([
    'done 2 policy short, version 1 its events',
    'done 1 an order its events',
  ])
  expect(await violations(page)).toEqual([])

  // What the log tells of it is a step away, with the reason and the case.
  await page.click('[aria-label="Holds"] a:text("its events")')
  await page.locator('tbody tr:has-text("hold.place")').waitFor()

  expect((await aging.send('POST', `/v1/proposals/${proposed.json.id}/confirm`, BEN, {})).status).toBe(200)
  await page.goto(`${aging.service.url}/console/#/retention`)
  await page.locator('td:has-text("anna, confirmed by ben")').waitFor()
  expect(await rowsOf('Proposals')).toHaveLength(1)
})
