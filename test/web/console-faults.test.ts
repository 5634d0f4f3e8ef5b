// What the console says where the service does not answer, answers something else, or no longer knows who is signed in.
import { generateKey, publicJwk } from '@killick/sdk'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { call, READER, register, type TestService, testService } from '../anchor-service/support/service.ts'
import { builtPage } from '../support/page.ts'
import { browserAvailable, launch, violations, watch } from './browser.ts'

const ANSWERS = [
  [
    503,
    'application/problem+json',
    '{"status":503,"code":"database_down","detail":"The database is away."}',
    'is away',
  ],
  [429, 'application/problem+json', '{"status":429,"code":"rate_limited","detail":"Too many requests."}', 'Too many'],
  [502, 'text/html', '<h1>Bad gateway</h1>', 'The service answered 502.'],
  [200, 'text/html', '<h1>Who are you?</h1>', 'What came in place of an answer cannot be read.'],
] as const

describe.skipIf(!browserAvailable())('the console says what is wrong', () => {
  let service: TestService
  let browser: Browser

  beforeAll(async () => {
    ;[service, browser] = await Promise.all([testService(), launch(), builtPage()])
    await register(service.url, 'billing-api', [{ jwk: publicJwk(generateKey()) }])
  })
  afterAll(async () => {
    await browser?.close()
    await service?.stop()
  })

  async function signIn(view: string) {
    const watched = await watch(await browser.newContext({ viewport: { width: 1280, height: 900 } }))
    const { page } = watched
    await page.goto(`${service.url}/console/#/equivocations`)
    await page.fill('#token', READER)
    await page.click('button:text("Sign in")')
    await page.locator('h1:text("Equivocations")').waitFor()
    if (view !== 'Equivocations') await open(page, view)
    return watched
  }

  async function open(page: Page, view: string): Promise<void> {
    await page.click(`nav a:text("${view}")`)
    await page.locator(`h1:text("${view}")`).waitFor()
  }

  test('of a view that it cannot show, never leaving another in its place', async () => {
    const { page, complaints } = await signIn('Equivocations')
    for (const [status, contentType, body, words] of ANSWERS)
      for (const asked of [/\/v1\/|\/readyz/, /\/console\/session/]) {
        await page.route(asked, (route) => route.fulfill({ status, contentType, body }))
        for (const view of ['Overview', 'Sources', 'Health']) {
          await page.evaluate('document.querySelector("h1").className = "before"')
          await page.click(`nav a:text("${view}")`)
          await page.locator('h1:not(.before):text("That did not work")').waitFor()
          expect(await page.innerText('[role=alert]')).toContain(words)
        }
        await page.unrouteAll()
        await page.click('button:text("Try again")')
        await page.locator('h1:text("Health")').waitFor()
        await open(page, 'Equivocations')
      }
    await page.route(/\/console\/session/, (route) => route.fulfill({ status: 503, body: '' }))
    await page.reload()
    await page.locator('[role=alert]:has-text("The service answered 503.")').waitFor()
    expect(await violations(page)).toEqual([])
    expect(complaints).toEqual([])
  })

  test('and so does the front door, whatever answers in place of the service', async () => {
    const { page, complaints } = await watch(await browser.newContext())
    for (const [status, contentType, body] of ANSWERS) {
      await page.goto(service.url)
      await page.locator('[data-tone]:not([data-tone=bad])').waitFor()
      await page.clock.install()
      await page.route(service.url, (route) => route.fulfill({ status, contentType, body }))
      await page.clock.runFor(10_000)
      await page.locator('[data-tone=bad]:has-text("The service does not answer")').waitFor()
      await page.unrouteAll()
    }
    await page.goto(service.url)
    await page.locator('[data-tone]:not([data-tone=bad])').waitFor()
    // Nothing has changed since yesterday: that was yesterday.
    const answer = JSON.parse(await (await fetch(service.url, { headers: { accept: 'application/json' } })).text())
    const log = { ...answer.log, upTo: '2026-03-01T12:00:00.000Z', rest: 'entries', open: 3 }
    const body = JSON.stringify({ ...answer, log })
    await page.clock.setSystemTime(log.upTo)
    await page.route(service.url, (route) => route.fulfill({ contentType: 'application/json', body }))
    await page.clock.runFor(10_000)
    await page.locator('h2:has-text("up to 12:00:00 UTC")').waitFor()
    await page.clock.fastForward(86_400_000)
    await page.locator('h2:has-text("up to 2026-03-01 12:00:00 UTC")').waitFor()
    await page.unrouteAll()
    await page.route(service.url, () => {})
    await page.clock.runFor(20_000)
    await page.locator('[data-tone=bad]:has-text("The service does not answer")').waitFor()
    expect(complaints).toEqual([])
  })

  test('of a service that is asked and says nothing', async () => {
    const { page, complaints } = await signIn('Equivocations')
    const hold = async () => {
      let letThrough = () => {}
      const held = new Promise<void>((resolve) => {
        letThrough = resolve
      })
      await page.route(/\/v1\/|\/readyz/, (route) => held.then(() => route.continue()).catch(() => {}))
      return letThrough
    }
    await page.clock.install()
    await open(page, 'Health')
    const letThrough = await hold()
    await page.clock.runFor(20_000)
    await page.locator('[role=alert]:has-text("may have changed since. The service has not answered since.")').waitFor()
    await page.click('nav a:text("Sources")')
    await page.locator('h1:text("Waiting for the service")').waitFor()
    expect(await violations(page)).toEqual([])
    letThrough()
    await page.locator('h1:text("Sources")').waitFor()
    // Two minutes, as a test may wait.
    await page.evaluate(
      'AbortSignal.timeout = ((timeout) => (ms) => timeout.call(AbortSignal, ms / 80))(AbortSignal.timeout)',
    )
    const letGo = await hold()
    await page.click('nav a:text("Health")')
    await page.locator('h1:text("Waiting for the service")').waitFor()
    await page.locator('[role=alert]:has-text("The service has not answered for two minutes.")').waitFor()
    letGo()
    expect(complaints).toEqual([])
  })

  test('of a page that is old, until it is new again', async () => {
    const { page, complaints } = await signIn('Health')
    const old = page.locator('[role=alert]:has-text("and may have changed since. The service cannot be reached.")')
    await page.route(/./, (route) => route.abort())
    await old.waitFor()
    expect(await violations(page)).toEqual([])
    await page.click('button:text("Sign out")')
    await page.locator('h1:text("You are still signed in")').waitFor()
    await page.unrouteAll()
    await page.click('button:text("Try again")')
    await page.locator('h1:text("Health")').waitFor()
    await page.route(/./, (route) => route.abort())
    await old.waitFor()
    await page.unrouteAll()
    await old.waitFor({ state: 'hidden' })
    expect(complaints).toEqual([])
  })

  test('of a session that was ended elsewhere', async () => {
    for (const view of ['Health', 'Audit', 'Bundles'] as const) {
      const { page, complaints } = await signIn('Equivocations')
      await page.click(`nav a:text("${view}")`)
      await page.locator(`h1:has-text("${view === 'Bundles' ? 'Evidence bundles' : view}")`).waitFor()
      const other = await page.context().newPage()
      await other.goto(`${service.url}/console/#/equivocations`)
      await other.click('button:text("Sign out")')
      await other.locator('h1:text("Sign in")').waitFor()
      await page.locator('[role=alert]:has-text("You are not signed in any more.")').waitFor()
      await page.click('nav a:text("Sources")')
      await page.locator('h1:text("Sign in")').waitFor()
      expect(complaints).toEqual([])
      await page.context().close()
    }
  })

  test('and names the view that was asked for last, in whatever order answers come', async () => {
    const { page, complaints } = await signIn('Equivocations')
    const asked = page.waitForRequest(/\/console\/session/)
    let letThrough = () => {}
    const held = new Promise<void>((resolve) => {
      letThrough = resolve
    })
    await page.route(/\/console\/session/, async (route) => held.then(() => route.continue()), { times: 1 })
    await page.click('nav a:text("Sources")')
    await asked
    await open(page, 'Health')
    const late = page.waitForResponse(/\/console\/session/)
    letThrough()
    await (await late).finished()
    expect(await page.evaluate('document.querySelector("[aria-current]").textContent')).toBe('Health')
    expect(complaints).toEqual([])
  })

  test('of a session that ended in the middle of a form, which keeps what was typed', async () => {
    const { page, complaints } = await signIn('Events')
    await page.goto(`${service.url}/console/#/events?source=killick`)
    await page.locator('tbody tr td a').first().click()
    await page.uncheck('#show-actor')
    await page.fill('#expires', '2099-01-01')
    await page.context().clearCookies()
    await page.click('button:text("Make a link")')
    await page.locator('[role=status]:has-text("Sign in in another tab of this browser, and go on here")').waitFor()
    const other = await page.context().newPage()
    await other.goto(`${service.url}/console/`)
    await other.fill('#token', READER)
    await other.click('button:text("Sign in")')
    await other.locator('h1:text("Overview")').waitFor()
    await page.click('button:text("Make a link")')
    await page.locator('form [role=status] code').waitFor()
    const [share] = (await call(service.url, '/v1/shares?limit=1')).json.shares
    expect(share.fields).not.toContain('actor')
    expect(share.expires).toBe('2099-01-01T23:59:59.000Z')
    expect(complaints).toEqual([])
  })

  test('of a live tail that was refused, of more that cannot be had, and of a link that was not withdrawn', async () => {
    const share = { eventId: (await call(service.url, '/v1/events?limit=1')).json.events[0].leafHash, fields: [] }
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(share) }
    for (let i = 0; i < 51; i++) await call(service.url, '/v1/shares', READER, init)
    const { page, complaints } = await signIn('Events')
    const [status, contentType, body] = ANSWERS[0]
    await page.route(/\/v1\/events\/live/, (route) => route.fulfill({ status, contentType, body }))
    // The refusal may be faster than who looks whether the box is checked.
    await page.click('#live')
    await page.locator('[role=status]:has-text("No longer live: the service refused the connection.")').waitFor()
    expect(await page.isChecked('#live')).toBe(false)

    await open(page, 'Links')
    await page.route(/\/v1\/shares/, (route) => route.fulfill({ status, contentType, body }))
    await page.click('button:text("Older links")')
    await page.locator('div > [role=alert]:has-text("is away")').waitFor()
    const row = page.locator('tbody tr').first()
    await row.locator('button').click()
    await row.locator('button:text("Withdraw for good?")').click()
    await row.locator('[role=alert]:has-text("is away")').waitFor()
    await row.locator('button:focus').waitFor()
    await page.unrouteAll()
    await page.keyboard.press('Enter')
    await row.locator('.revoked').waitFor()
    await page.locator('tbody tr:first-child:focus').waitFor()
    expect(complaints).toEqual([])
  })
})
