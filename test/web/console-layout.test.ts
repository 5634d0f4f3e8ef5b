// That nothing of the console is out of sight: long words, small screens, and views that are opened from the end of a long one.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AuditLog, generateKey, openAuditLog, publicJwk } from '@killick/sdk'
import type { JsonObject } from '@killick/sdk/core'
import { folderSubjectKeys, sealing } from '@killick/sdk/sealing'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ERASER, READER, register, type TestService, testService } from '../anchor-service/support/service.ts'
import { builtPage } from '../support/page.ts'
import { browserAvailable, launch, violations } from './browser.ts'
import { INVOICE } from './ledger.ts'

describe.skipIf(!browserAvailable())('in the console', () => {
  let service: TestService
  let browser: Browser
  let audit: AuditLog
  let spool: string

  beforeAll(async () => {
    ;[service, browser] = await Promise.all([testService(), launch(), builtPage()])
    spool = await mkdtemp(join(tmpdir(), 'killick-layout-'))
    const key = generateKey()
    await register(service.url, 'billing-api', [{ jwk: publicJwk(key) }])
    audit = await openAuditLog({ url: service.url, source: 'billing-api', key, spool, readerToken: READER })
    for (let i = 0; i < 40; i++) await audit.record({ ...INVOICE, action: i === 39 ? 'long'.repeat(32) : 'pay' })
    await audit.flush()
  })
  afterAll(async () => {
    await audit?.close()
    await browser?.close()
    await service?.stop()
    await rm(spool, { recursive: true, force: true })
  })

  async function events(width: number): Promise<Page> {
    const context = await browser.newContext({ viewport: { width, height: 700 } })
    const page = await context.newPage()
    await page.goto(`${service.url}/console/#/events`)
    await page.fill('#token', READER)
    await page.click('button:text("Sign in")')
    await page.locator('tbody tr').nth(39).waitFor()
    return page
  }

  test.each([1280, 360])('long words leave each column in sight, %i pixels wide', async (width) => {
    const page = await events(width)
    expect(await page.locator('.scroll').evaluate((all) => all.scrollWidth - all.clientWidth)).toBe(0)
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width)
  })

  test.each([1280, 360])(
    'a view begins at its beginning, and the names say which it is, %i pixels wide',
    async (width) => {
      const page = await events(width)
      await page.locator('tbody tr').last().locator('td a').click()
      await page.locator('h1:has-text("did pay on")').waitFor()
      await expect.poll(() => page.evaluate('scrollY')).toBe(0)
      await page.click('nav a:text("Health")')
      await page.locator('h1:text("Health")').waitFor()
      const { x, width: own } = (await page.locator('[aria-current]').boundingBox())!
      expect(x).toBeGreaterThanOrEqual(0)
      expect(x + own).toBeLessThanOrEqual(width)
    },
  )

  test('a button of a table has its words whole, and on a small screen each cell its head', async () => {
    const { id } = await audit.record(INVOICE)
    await audit.flush()
    await audit.share(id, { fields: ['action', 'actor', 'targets', 'outcome', 'changes', 'context'] })
    const page = await events(1280)
    await page.click('nav a:text("Links")')
    const button = page.locator('button:text("Withdraw")')
    await button.waitFor()
    const lines = await button.evaluate((element) => {
      const range = element.ownerDocument.createRange()
      range.selectNodeContents(element)
      return range.getClientRects().length
    })
    expect(lines).toBe(1)
    await page.setViewportSize({ width: 360, height: 700 })
    const heads = await page.evaluate<string[]>(
      '[...document.querySelectorAll("tbody tr:first-child td")].map((cell) => getComputedStyle(cell, "::before").content)',
    )
    expect(heads.slice(1, 4)).toEqual(['"State: "', '"Shows: "', '"Until: "'])
  })

  test.each([1280, 320])(
    'a change has its before and after in sight, however long its path and deep what is beside it, %i pixels wide',
    async (width) => {
      const changes = [{ path: `/${'part'.repeat(100)}`, before: 'paid'.repeat(100), after: 'owed'.repeat(100) }]
      const deep = Array.from({ length: 26 }).reduce<JsonObject>((inner, _, i) => ({ [`level${i}`]: inner }), {})
      await audit.record({ ...INVOICE, action: 'amend', changes, metadata: { deep } })
      await audit.flush()
      const page = await events(width)
      await page.locator('tbody tr:has-text("amend") td a').first().click()
      const table = page.locator('.scroll:has(th:text("Before"))')
      await table.waitFor()
      const hidden = () => table.evaluate((all) => all.scrollWidth - all.clientWidth)
      expect(await hidden()).toBe(0)
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width)
      await page.emulateMedia({ media: 'print' })
      expect(await hidden()).toBe(0)
    },
  )

  test('at four times its size a history keeps its controls within its frame, and on paper it has none', async () => {
    const page = await events(320)
    // A view longer than a page begins on the first one; nothing says what nobody searched for, or that it was checked.
    await page.emulateMedia({ media: 'print' })
    const shown = await page.evaluate<string[]>(`[
      getComputedStyle(document.querySelector('main section')).breakInside,
      getComputedStyle(document.querySelector('input[placeholder]'), '::placeholder').color,
      [...document.styleSheets].flatMap(({ cssRules }) => [...cssRules]).filter((rule) => rule instanceof CSSPageRule && !rule.selectorText).at(-1).cssText,
    ]`)
    expect(shown).toEqual(['auto', 'rgba(0, 0, 0, 0)', expect.stringContaining('not checked here')])
    expect(await page.locator('nav').isVisible()).toBe(false)
    await page.emulateMedia({ media: 'screen' })
    await page.locator('tbody tr:has-text("pay") td a').first().click()
    await page.click('a:text("its history")')
    const chosen = page.locator('.player select')
    await chosen.waitFor()
    const inner = await page.evaluate<number>(
      'document.querySelector("h1").parentElement.getBoundingClientRect().right - parseFloat(getComputedStyle(document.querySelector("h1").parentElement).paddingRight)',
    )
    const { x, width } = (await chosen.boundingBox())!
    expect(x + width).toBeLessThanOrEqual(inner)
    await page.emulateMedia({ media: 'print' })
    expect(await page.locator('.player').isVisible()).toBe(false)
  })

  test('a sealed name is called so, and a key is nobody’s name', async () => {
    const key = generateKey()
    await register(service.url, 'clinic', [{ jwk: publicJwk(key) }])
    const keys = await folderSubjectKeys(join(spool, 'keys'))
    const log = await openAuditLog({
      ...{ url: service.url, source: 'clinic', key, spool: join(spool, 'clinic') },
      ...{ sealed: ['actor'], sealing: sealing(keys) },
    })
    await log.record({ ...INVOICE, action: 'record.view' })
    await log.close()
    const page = await events(1280)
    const row = page.locator('tbody tr:has-text("record.view")')
    expect(await row.innerText()).toMatch(/name sealed\s+by key \S+/)
    await row.locator('td a').first().click()
    await page.locator('h1:text("Somebody whose name is sealed did record.view on Harbour dues, March")').waitFor()
    expect(await page.innerText('dl')).toMatch(
      /Who\s+name sealed: only who holds key \S+ can read it, unless it was erased/,
    )
    expect(await violations(page)).toEqual([])
  })

  test('an event of which nothing is left says what a link would show, and counts its orders', async () => {
    const { id } = await audit.record(INVOICE)
    await audit.flush()
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${ERASER}` }
    for (const fields of [['actor', 'context'], 'all']) {
      const body = JSON.stringify({ ids: [id], fields, reason: 'request of the person' })
      expect((await fetch(`${service.url}/v1/erasures`, { method: 'POST', headers, body })).status).toBe(202)
    }
    const page = await events(1280)
    const row = page.locator('tbody tr:has-text("6 fields erased")')
    await expect
      .poll(async () => {
        await page.reload()
        await page.locator('tbody tr').nth(39).waitFor()
        return row.count()
      })
      .toBe(1)
    await row.locator('td a').first().click()
    await page.locator('text=6 fields of this event were erased, each by an order in the log').waitFor()
    await page.locator('fieldset:has-text("No field of this event is left.")').waitFor()
    expect(await violations(page)).toEqual([])
  })

  test('whoever goes back finds a long list as it was left, and the keyboard stays where it was', async () => {
    for (let i = 0; i < 80; i++) await audit.record({ ...INVOICE, action: 'pay' })
    await audit.flush()
    const page = await events(1280)
    const rows = page.locator('tbody tr')
    const focused = () => page.evaluate<string>('document.activeElement.textContent')
    const first = await rows.count()
    // Paper has no button that says that there are more.
    const onPaper = page.locator('text=There are more than stand here.')
    expect(await onPaper.isVisible()).toBe(false)
    await page.emulateMedia({ media: 'print' })
    expect(await onPaper.isVisible()).toBe(true)
    await page.emulateMedia({ media: 'screen' })
    await page.focus('button:text("Older events")')
    await page.keyboard.press('Enter')
    await expect.poll(() => rows.count()).toBeGreaterThan(first)
    await expect.poll(focused).toBe('Older events')
    await page.keyboard.press('Enter')
    await expect.poll(focused).toBe('No more are found.')
    await page.emulateMedia({ media: 'print' })
    expect(await onPaper.isVisible()).toBe(false)
    await page.emulateMedia({ media: 'screen' })
    const all = await rows.count()
    await rows
      .nth(all - 2)
      .locator('a')
      .scrollIntoViewIfNeeded()
    const top = await page.evaluate<number>('scrollY')
    expect(top).toBeGreaterThan(1_000)
    await rows
      .nth(all - 2)
      .locator('a')
      .click()
    await page.locator('h1:has-text("did")').waitFor()
    await expect.poll(() => page.evaluate('scrollY')).toBe(0)
    await page.goBack()
    await expect.poll(() => rows.count()).toBe(all)
    await expect.poll(() => page.evaluate('scrollY')).toBe(top)
    await page.goForward()
    await page.locator('h1:has-text("did")').waitFor()
    await expect.poll(() => page.evaluate('scrollY')).toBe(0)
    // Also from what never came.
    await page.goBack()
    await expect.poll(() => page.evaluate('scrollY')).toBe(top)
    await page.route(/\/v1\/streams\//, () => {})
    await rows
      .nth(all - 2)
      .locator('a')
      .click()
    await page.locator('h1:text("Waiting for the service")').waitFor()
    await page.goBack()
    await expect.poll(() => rows.count()).toBe(all)
    await expect.poll(() => page.evaluate('scrollY')).toBe(top)
  })
})
