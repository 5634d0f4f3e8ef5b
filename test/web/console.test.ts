import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AuditLog, generateKey, openAuditLog, parseProof, publicJwk } from '@killick/sdk'
import { type JsonObject, parseEvent } from '@killick/sdk/core'
import type { Browser, BrowserContext } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { newSession, openSession, sealSession } from '../../anchor-service/src/http/session.ts'
import { keepSignInLinks } from '../../anchor-service/src/http/sign-in-links.ts'
import { CONSOLE_BUDGET, PAGE_FOLDER, pageSizes } from '../../scripts/page.ts'
import { alterToken, numberOf, partsOf } from '../anchor-service/support/packs.ts'
import {
  ADMIN,
  call,
  ERASER,
  READER,
  register,
  type TestService,
  testService,
} from '../anchor-service/support/service.ts'
import { type LocalChain, startChain } from '../support/local-chain.ts'
import { builtPage } from '../support/page.ts'
import { browserAvailable, launch, violations, watch } from './browser.ts'
import { INVOICE } from './ledger.ts'

describe('sessions', () => {
  const tokens = { admin: 'admin-token-1234', reader: 'reader-token-1234' }

  test('last eight hours, and cannot be made or changed without the tokens', () => {
    const opened = newSession('reader', 1_000_000)
    const session = sealSession(tokens, opened)
    expect(openSession(tokens, session, 1_000_000)).toEqual(opened)
    expect(openSession(tokens, session, 1_000_000 + 8 * 3_600_000)).toBeNull()
    expect(openSession(tokens, session.replace('reader', 'admin'), 1_000_000)).toBeNull()
    expect(openSession(tokens, session.replace(/\.\d+\./, '.99999999999.'), 1_000_000)).toBeNull()
    expect(openSession({ ...tokens, reader: 'another-token-12' }, session, 1_000_000)).toBeNull()
    for (const bad of ['', 'admin', 'admin.1.', `admin.99999999999.${'A'.repeat(22)}.${'A'.repeat(43)}`])
      expect(openSession(tokens, bad)).toBeNull()
  })
})

describe('links that sign in', () => {
  test('do so once, and not for long', () => {
    let now = 1_000_000
    const clock = () => now
    const links = keepSignInLinks(clock, clock)
    const { secret, until } = links.make('reader')
    expect(until.getTime()).toBe(now + 600_000)
    expect(links.use(`${secret}x`)).toBeNull()
    expect(links.use(secret)).toBe('reader')
    expect(() => links.use(secret)).toThrow('has signed in once already')
    const late = links.make('admin').secret
    now += 600_000
    expect(links.use(late)).toBeNull()
    expect(keepSignInLinks().use(links.make('admin').secret)).toBeNull()
  })
})

describe('the console', () => {
  let chain: LocalChain
  let service: TestService
  let audit: AuditLog
  let spool: string
  let browser: Browser | null

  beforeAll(async () => {
    ;[chain, browser] = await Promise.all([startChain(), browserAvailable() ? launch() : null, builtPage()])
    spool = await mkdtemp(join(tmpdir(), 'killick-console-'))
    service = await testService({
      KILLICK_RPC_URL: chain.url,
      KILLICK_CONTRACT: await chain.deployAnchorLog(),
      KILLICK_CHAIN_KEY: await chain.newKey(),
      KILLICK_ANCHOR_INTERVAL_MS: '200',
      KILLICK_CONFIRMATIONS: '1',
      KILLICK_SILENCE_GRACE_MS: '0',
    })
    const key = generateKey()
    await register(service.url, 'billing-api', [{ jwk: publicJwk(key) }])
    audit = await openAuditLog({
      url: service.url,
      source: 'billing-api',
      key,
      spool,
      readerToken: READER,
      batch: { maxAgeMs: 50 },
    })
    for (let i = 0; i < 9; i++) {
      await audit.record({
        ...INVOICE,
        action: i === 4 ? '=cmd|calc' : 'invoice.approve',
        actor: { type: 'user', id: `u-${i % 3}` },
        outcome: i === 8 ? 'denied' : 'success',
        occurredAt: '2026-01-10T09:00:00Z',
      })
      if (i % 4 === 3) await audit.flush()
    }
    await audit.flush()
    await vi.waitUntil(
      async () =>
        (await call(service.url, '/v1/anchors')).json.anchors.some((a: { time: number | null }) => a.time !== null),
      { timeout: 20_000 },
    )
  })
  afterAll(async () => {
    await browser?.close()
    await audit?.close()
    await service?.stop()
    await chain?.stop()
    await rm(spool, { recursive: true, force: true })
  })

  async function session(token = READER): Promise<string> {
    const response = await fetch(`${service.url}/console/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token }),
    })
    return response.headers.get('set-cookie')!.split(';')[0]!
  }

  test('a session reads; to change anything it takes a header that other sites cannot send', async () => {
    const cookie = await session()
    const ask = (path: string, init: RequestInit & { headers?: Record<string, string> } = {}) =>
      fetch(service.url + path, { ...init, headers: { cookie, ...init.headers } }).then(({ status }) => status)
    expect(await ask('/v1/events')).toBe(200)
    expect(await ask('/v1/events', { headers: { 'sec-fetch-site': 'cross-site' } })).toBe(401)
    const body = JSON.stringify({ eventId: 'x', fields: [] })
    const json = { 'content-type': 'application/json' }
    expect(await ask('/v1/shares', { method: 'POST', body, headers: json })).toBe(401)
    expect(await ask('/v1/shares', { method: 'POST', body, headers: { ...json, 'x-killick-console': '1' } })).toBe(404)
    expect(await ask('/v1/events', { headers: { cookie: 'killick_session=admin.99999999999.x' } })).toBe(401)
    const source = JSON.stringify({ source: 'x', keys: [] })
    expect(
      await ask('/v1/sources', { method: 'POST', body: source, headers: { ...json, 'x-killick-console': '1' } }),
    ).toBe(403)
  })

  test('logins and exports are events of the system stream', async () => {
    await session(ADMIN)
    await call(service.url, '/v1/events/export?format=csv')
    const { events } = (await call(service.url, '/v1/events?source=killick')).json
    const actions = events.map(({ fields }: { fields: { action: string } }) => fields.action)
    expect(actions).toContain('console.login')
    expect(actions).toContain('events.export')
  })

  test('CSV quotes what a spreadsheet would run', async () => {
    const { text } = await call(service.url, '/v1/events/export?format=csv&source=billing-api')
    const lines = text.trim().split('\r\n')
    expect(lines).toHaveLength(10)
    expect(lines[0]).toBe(
      'id,recordedAt,source,stream,seq,logIndex,action,actor,targets,outcome,occurredAt,actorName,actorEmail,targetNames,changes,context,metadata,otherFields,leafHash,missing,erased,expired,error',
    )
    expect(text).toContain(
      `,"'=cmd|calc","user:u-1","invoice:2026-0042","success","2026-01-10T09:00:00Z","","","Harbour dues, March","/status: draft → approved","ip: 203.0.113.7; requestId: req-8f2c","","",`,
    )
  })

  test('NDJSON carries the proof of each event', async () => {
    const url = `${service.url}/v1/events/export?format=ndjson&source=billing-api&actor=u-2`
    const text = await (await fetch(url, { headers: { authorization: `Bearer ${READER}` } })).text()
    const lines = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines).toHaveLength(3)
    for (const line of lines) expect(parseEvent(parseProof(JSON.stringify(line.proof)).event).id).toBe(line.id)
  })

  test('an event has its neighbours, across batches, and at both ends of its stream', async () => {
    const { stream } = audit.status
    const around = async (seq: number, span = 3) =>
      (await call(service.url, `/v1/streams/billing-api/${stream}/events?seq=${seq}&span=${span}`)).json.events.map(
        (e: { seq: number }) => e.seq,
      )
    expect(await around(4)).toEqual([1, 2, 3, 4, 5, 6, 7])
    expect(await around(0)).toEqual([0, 1, 2, 3])
    expect(await around(8, 1)).toEqual([7, 8])
    expect(await around(99)).toEqual([])
  })

  test('the live tail resumes where it was cut, and misses nothing', async () => {
    const lines = async (headers: Record<string, string>, until: number) => {
      const response = await fetch(`${service.url}/v1/events/live`, {
        headers: { authorization: `Bearer ${READER}`, ...headers },
      })
      const ids: string[] = []
      let text = ''
      for await (const chunk of response.body!) {
        text += Buffer.from(chunk).toString()
        // The first message has a place and no event.
        ids.splice(0, ids.length, ...[...text.matchAll(/^id: (.+)\n(?:event: .+\n)?data: /gm)].map(([, id]) => id!))
        if (ids.length >= until) break
      }
      return ids
    }
    const all = await lines({ 'last-event-id': '0.0' }, 9)
    const rest = await lines({ 'last-event-id': all[3]! }, 5)
    expect(rest.slice(0, 5)).toEqual(all.slice(4, 9))
  })

  describe.skipIf(!browserAvailable())('in a browser', () => {
    // A console that is left open goes on asking.
    afterEach(() => Promise.all(browser!.contexts().map((context) => context.close())))

    // One address may sign in twenty times a minute, so a session is used again, as a browser does that is opened again.
    const sessions = new Map<string, Awaited<ReturnType<BrowserContext['storageState']>>>()

    async function signIn(token = READER) {
      const viewport = { width: 1280, height: 900 }
      const storageState = sessions.get(token)
      const context = await browser!.newContext({ viewport, ...(storageState && { storageState }) })
      const watched = await watch(context)
      await watched.page.goto(`${service.url}/console/#/events`)
      if (storageState === undefined) {
        await watched.page.fill('#token', token)
        await watched.page.click('button:text("Sign in")')
      }
      await watched.page.locator('h1:text("Events")').waitFor()
      sessions.set(token, await context.storageState())
      return watched
    }

    test('the front door says how the log stands, leads on, and asks nobody else', async () => {
      const { page, requests, complaints } = await watch(await browser!.newContext({ colorScheme: 'dark' }))
      await page.goto(service.url)
      await page.locator('[data-tone=word] h2:has-text("is anchored")').waitFor()
      expect(await page.innerText('#state')).toMatch(/\d+ events in \d+ log entries/)
      expect(await violations(page)).toEqual([])
      await page.setViewportSize({ width: 320, height: 640 })
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(320)
      for (const [name, title] of [
        ['Check a record', 'Killick'],
        ['Console', 'Sign in'],
        ['API', 'API'],
      ]) {
        await page.goto(service.url)
        await page.click(`a:has-text("${name}")`)
        await expect.poll(() => page.title()).toContain(title)
      }
      expect(new Set(requests.map((url) => new URL(url).origin))).toEqual(new Set([service.url]))
      expect(complaints).toEqual([])
    })

    // In one test: a browser takes seconds to read the viewer, and several times as many beside other tests on a slow machine.
    test('the API reference asks what is tried in it of this service alone, and lets go of what never ends', {
      timeout: 120_000,
    }, async () => {
      const { page, requests, complaints } = await signIn()
      await page.goto(`${service.url}/api/#/reading/searchEvents`)
      const tried = page.locator('#operations-reading-searchEvents')
      await tried.locator('button:text("Execute")').click()
      await tried.locator('.live-responses-table .response-col_status:has-text("200")').waitFor()
      expect(await tried.locator('.live-responses-table').innerText()).toContain('invoice.approve')
      await tried.locator('.opblock-summary-control').click()
      await tried.locator('.live-responses-table').waitFor({ state: 'detached' })
      // That a button has others in it is Swagger UI's own.
      expect((await violations(page)).filter((found) => !found.startsWith('nested-interactive'))).toEqual([])

      const followed = page.locator('#operations-console-followEvents')
      await followed.locator('.opblock-summary-control').click()
      await followed.locator('button:text("Execute")').click()
      await followed.locator('.live-responses-table .response-col_status:has-text("200")').waitFor()
      expect(await followed.locator('.live-responses-table').innerText()).toMatch(
        /: here from now on[\s\S]*: this page ends it here, after 3 s/,
      )
      expect(new Set(requests.map((url) => new URL(url).origin))).toEqual(new Set([service.url]))
      expect(complaints).toEqual([])
    })

    test('signs in with a token, not without, and out again', async () => {
      const { page } = await watch(await browser!.newContext())
      await page.goto(`${service.url}/console/`)
      await page.fill('#token', 'not-a-token-at-all')
      await page.click('button:text("Sign in")')
      await page.locator('[role=alert]:has-text("not a token")').waitFor()
      await page.fill('#token', READER)
      await page.click('button:text("Sign in")')
      await page.locator('h1:text("Overview")').waitFor()
      expect(await page.evaluate('document.cookie')).toBe('')
      await page.click('button:text("Sign out")')
      await page.locator('h1:text("Sign in")').waitFor()
    })

    test('a link signs in once, leaves no trace in the address, and is refused the second time', async () => {
      const make = (headers: Record<string, string>) =>
        fetch(`${service.url}/console/sign-in-links`, { method: 'POST', headers })
      expect((await make({ cookie: await session(), 'x-killick-console': '1' })).status).toBe(401)
      const made = await make({ authorization: `Bearer ${READER}` })
      expect(made.status).toBe(201)
      const { url } = (await made.json()) as { url: string }
      const secret = url.split('/').at(-1)!
      const { page, requests } = await watch(await browser!.newContext())
      await page.goto(url)
      await page.locator('h1:text("Overview")').waitFor()
      expect(await page.innerText('header')).toContain('as reader')
      expect(page.url()).toBe(`${service.url}/console/#/`)
      expect(requests.filter((asked) => asked.includes(secret))).toEqual([])
      const { events } = (await call(service.url, '/v1/events?source=killick&action=console.login&limit=1')).json
      expect(events[0].fields).toMatchObject({ actor: { id: 'reader' }, metadata: { by: 'link' } })
      expect(JSON.stringify(events[0])).not.toContain(secret)

      // In the same browser, which is signed in, and in another, which is not.
      await page.goto(url)
      await page.locator('[role=alert]:has-text("signed in once already")').waitFor()
      expect(await violations(page)).toEqual([])
      await page.click('a:text("Go on")')
      await page.locator('h1:text("Overview")').waitFor()
      const other = await watch(await browser!.newContext())
      await other.page.goto(url)
      await other.page.locator('[role=alert]:has-text("signed in once already")').waitFor()
      await other.page.goto(`${service.url}/console/#/sign-in/nonsense`)
      await other.page.locator('[role=alert]:has-text("signs nobody in")').waitFor()
      expect(await other.page.isVisible('#token')).toBe(true)
    })

    test('searches by what stands in the address, and exports what was found', async () => {
      const { page, complaints } = await signIn()
      await page.fill('#f-actor', ' u-2 ')
      await page.fill('#f-source', 'billing-api')
      await page.click('button:text("Search")')
      await page.waitForURL(/actor=u-2/)
      await expect.poll(() => page.locator('tbody tr').count()).toBe(3)
      const download = page.waitForEvent('download')
      await page.click('a:text("CSV")')
      expect((await readFile(await (await download).path(), 'utf8')).trim().split('\r\n')).toHaveLength(4)
      expect(complaints).toEqual([])
    })

    test('leaves the ledger’s own events out until asked, and says so', async () => {
      const { page } = await signIn()
      const sources = async () => new Set(await page.locator('tbody td:last-child').allInnerTexts())
      expect(await sources()).toEqual(new Set(['billing-api']))
      await page.click('p:has-text("Left out: what the ledger recorded itself") a')
      await expect.poll(sources).toContain('killick')
    })

    test('a bad date is told beside its field, and a day is the whole day', async () => {
      const { page } = await signIn()
      await page.goto(`${service.url}/console/#/events?source=billing-api&from=yesterday`)
      await page.locator('#f-from-fault:text("A day such as")').waitFor()
      expect(await page.inputValue('#f-from')).toBe('yesterday')
      expect(await page.inputValue('#f-source')).toBe('billing-api')
      expect(await page.getAttribute('#f-from', 'aria-invalid')).toBe('true')
      expect(await violations(page)).toEqual([])
      // Where the field shows nothing, nothing is asked for again.
      await page.goto(`${service.url}/console/#/events?source=billing-api&from=2026-02-31&outcome=odd`)
      await page.locator('#f-from-fault:text("A day such as")').waitFor()
      await page.click('button:text("Search")')
      await page.waitForURL(/source=billing-api$/)
      await page.goto(`${service.url}/console/#/events?source=billing-api&from=yesterday`)
      await page.locator('#f-from-fault:text("A day such as")').waitFor()
      await page.fill('#f-from', '')
      await page.click('button:text("Search")')
      await page.locator('#f-from[type=date]').waitFor()
      // A calendar field lets a day be typed that no month has.
      await page.locator('#f-to').pressSequentially('02302026')
      await page.click('button:text("Search")')
      await page.locator('#f-to-fault:text("There is no such day")').waitFor()
      expect(await page.inputValue('#f-source')).toBe('billing-api')
      const { events } = (await call(service.url, '/v1/events?source=billing-api&limit=500')).json
      const day = events[0].recordedAt.slice(0, 10)
      const same = events.filter((e: { recordedAt: string }) => e.recordedAt.startsWith(day))
      await page.fill('#f-from', day)
      await page.fill('#f-to', day)
      await page.click('button:text("Search")')
      await expect.poll(() => page.locator('tbody tr').count()).toBe(same.length)
      // The day behind it is of a year that no time can be printed in.
      await page.goto(`${service.url}/console/#/events?source=billing-api&to=9999-12-31`)
      await expect.poll(() => page.inputValue('#f-to')).toBe('9999-12-31')
      await expect.poll(() => page.locator('tbody tr').count()).toBe(events.length)
      await page.click('button:text("Today")')
      const today = new Date().toISOString().slice(0, 10)
      await page.waitForURL(new RegExp(`source=billing-api&from=${today}&to=${today}$`))
      await page.locator('[aria-pressed=true]:text("Today")').waitFor()
      await page.goto(`${service.url}/console/#/events?from=2026-02-02&to=2026-02-01`)
      await page.locator('#f-to-fault:text("It ends before it begins")').waitFor()
    })

    test('a denied action has a mark and a column of its own', async () => {
      const { page } = await signIn()
      await page.goto(`${service.url}/console/#/events?source=billing-api`)
      // The view before it shows this event too, and takes what is chosen in its form away with it.
      await expect.poll(() => page.inputValue('#f-source')).toBe('billing-api')
      const ending = page.locator('tbody tr:first-child td:nth-child(3) .outcome.denied')
      await ending.waitFor()
      expect(await ending.innerText()).toContain('Denied')
      await page.selectOption('#f-outcome', 'denied')
      await page.click('button:text("Search")')
      await page.waitForURL(/outcome=denied/)
      await expect.poll(() => page.locator('tbody tr').count()).toBe(1)
      expect(await page.inputValue('#f-outcome')).toBe('denied')
      await page.click('tbody tr:first-child a')
      await page.locator('dl .outcome.denied').waitFor()
      expect(await page.innerText('h1')).toMatch(/ tried invoice.approve on .*, and was denied$/)
      await page.locator('h2:text("What was to change")').waitFor()
      expect(await violations(page)).toEqual([])
    })

    test('shows new events as they come', async () => {
      const { page } = await signIn()
      await page.goto(`${service.url}/console/#/events?action=harbour.*`)
      await page.locator('text=Nothing matches this search').waitFor()
      const record = async (action: string) => {
        await audit.record({ ...INVOICE, action })
        await audit.flush()
      }
      const shown = () => page.locator('tbody tr td:nth-child(2) a').allInnerTexts()
      // What came after the list was read, and before it was live, is in it too.
      await record('harbour.seen')
      await page.check('#live')
      await expect.poll(shown).toEqual(['harbour.seen'])
      await record('harbour.enter')
      await expect.poll(shown).toEqual(['harbour.enter', 'harbour.seen'])
      await page.uncheck('#live')
      await record('harbour.leave')
      await page.check('#live')
      await expect.poll(shown).toEqual(['harbour.leave', 'harbour.enter', 'harbour.seen'])
      await page.locator('text=New events appear').waitFor()
      expect(await violations(page)).toEqual([])
    })

    test('the overview counts the day, leads to what it counts, and keeps the place of the keyboard', async () => {
      const { page, complaints } = await signIn()
      await page.goto(`${service.url}/console/`)
      await page.locator('.tile:has-text("Denied today") strong:text("1")').waitFor()
      expect(await page.innerText('.tile:has-text("Anchored up to")')).toMatch(/\d\d:\d\d:\d\d UTC/)
      expect(await page.innerText('.tile:has-text("Last audit")')).toContain('this process does not audit')
      expect(await page.locator('.columns').first().locator('a').count()).toBe(14)
      await page.locator('tbody tr:has-text("Denied")').waitFor()
      const { events, own, day } = (await call(service.url, '/v1/activity')).json.days.at(-1)
      expect(await page.innerText('.tile:has-text("Today") strong')).toBe(String(events - own))
      const column = page.locator(`.columns a[title="${day}: ${events - own} recorded"]`)
      await column.focus()
      await audit.record({ ...INVOICE, outcome: 'failure' })
      await audit.flush()
      await page.locator('.tile:has-text("Denied today"):has-text("and 1 failed")').waitFor()
      expect(await page.evaluate('document.activeElement.getAttribute("href")')).toBe(`#/events?from=${day}&to=${day}`)
      await page.click('.tile:has-text("Denied today")')
      await page.waitForURL(/#\/events\?outcome=denied&from=/)
      await expect.poll(() => page.locator('tbody tr').count()).toBe(1)
      expect(complaints).toEqual([])
    })

    test('a row opens wherever it is clicked, and shows names beside ids', async () => {
      const { page } = await signIn()
      await audit.record({
        ...INVOICE,
        action: 'row.open',
        actor: { type: 'user', id: 'u-9', name: 'Zoë Lindqvist', email: 'zoe@example.com' },
        targets: [
          { type: 'anchor', id: `31337/0x${'ab'.repeat(32)}/72` },
          { type: 'row', id: '\n\u202erow ' },
        ],
        occurredAt: '2026-01-10T09:00:00Z',
      })
      await audit.flush()
      await page.goto(`${service.url}/console/#/events?action=row.open`)
      const row = page.locator('tbody tr:has-text("row.open")')
      await row.waitFor()
      const told = await row.innerText()
      expect(told).toMatch(/Zoë Lindqvist\s+zoe@example.com, user u-9/)
      expect(told).toContain('said: 2026-01-10 09:00:00')
      expect(told).toMatch(/anchor 31337\/0xab\w+…\w+ab\/72/)
      await row.locator('td:last-child').click()
      await page.waitForURL(/#\/event\/billing-api\//)
      // What else was done to it is found by its id as it is, also where the form is sent as it stands.
      await page.click('li:has-text("row") a >> nth=0')
      for (const again of [false, true]) {
        if (again) await page.click('button:text("Search")')
        await page.waitForURL(/target=%0A%E2%80%AErow\+$/)
        await row.waitFor()
        expect(await page.innerText('summary')).not.toContain('\u202e')
      }
    })

    test('opens an event with its neighbours, shares it, and withdraws the link', async () => {
      const { page, complaints } = await signIn()
      await page.goto(`${service.url}/console/#/event/billing-api/${audit.status.stream}/4`)
      await page.locator('h1:text("user u-1 did =cmd|calc on Harbour dues, March")').waitFor()
      expect(await page.title()).toMatch(/^user u-1 did =cmd\|calc/)
      expect(await page.locator('h2:text("What changed") + div tbody tr').innerText()).toMatch(
        /\/status\s+draft\s+approved/,
      )
      const hrefs = await page
        .locator('section > dl:first-of-type a')
        .evaluateAll((links) =>
          links.map((link) => (link as { getAttribute(name: string): string }).getAttribute('href')),
        )
      expect(hrefs).toEqual(expect.arrayContaining(['#/events?actor=u-1', '#/events?target=2026-0042']))
      await page.click('summary:text("The event as JSON")')
      expect(JSON.parse(await page.innerText('details pre'))).toMatchObject({ fields: { action: '=cmd|calc' } })
      expect(await page.locator('tr.current:has-text("=cmd|calc")').count()).toBe(1)
      expect(await page.locator('[aria-label=Neighbours] tbody tr').count()).toBe(7)
      expect(await violations(page)).toEqual([])
      expect(await page.isVisible('text=The page will say that the outcome is not shown')).toBe(false)
      await page.uncheck('#show-actor')
      await page.uncheck('#show-outcome')
      await page.locator('text=The page will say that the outcome is not shown').waitFor()
      await page.check('#show-outcome')
      const made = async () => (await call(service.url, '/v1/shares')).json.shares.length
      const before = await made()
      await page.dblclick('button:text("Make a link")')
      const link = (await page.locator('form [role=status] code').textContent())!
      const shown = parseEvent(parseProof(await (await fetch(`${link}/proof`)).text()).event)
      expect(Object.keys(shown.fields).sort()).toEqual(['action', 'occurredAt', 'outcome', 'targets'])
      await page.click('nav a:text("Links")')
      // A double click is one: it made one link, and confirms nothing.
      await page.dblclick('tbody tr:first-child button')
      await page.click('button:text("Withdraw for good?")')
      await page.locator('tbody tr:first-child .revoked').waitFor()
      expect((await fetch(`${link}/proof`)).status).toBe(410)
      expect(await made()).toBe(before + 1)
      // One that lacks among others of its stream is not called one that never came.
      await page.route(/\/events\?seq=4$/, async (route) => {
        const response = await route.fetch()
        const { events } = (await response.json()) as { events: { seq: number }[] }
        await route.fulfill({ response, json: { events: events.filter(({ seq }) => seq !== 4) } })
      })
      await page.goto(`${service.url}/console/#/event/billing-api/${audit.status.stream}/4`)
      await page.locator('[role=alert]:has-text("The ledger no longer holds event 4 of this stream.")').waitFor()
      expect(await page.locator('[aria-label=Neighbours] tbody tr').count()).toBe(6)
      await page.route(/\/events\?seq=4\.5$/, (route) => route.continue({ url: route.request().url().slice(0, -2) }))
      await page.goto(`${service.url}/console/#/event/billing-api/${audit.status.stream}/4.5`)
      await page.locator('text=It may not have been accepted yet').waitFor()
      expect(await violations(page)).toEqual([])
      expect(complaints).toEqual([])
    })

    test('plays a session: its steps, what came of each, its hash, and the proof of each', async () => {
      const id = '7c1f0b52-90d4-4a53-8a60-3a1c35d0d0f4'
      const step = (action: string, known: JsonObject, more: object = {}) =>
        audit.record({
          action: `mcp.${action}`,
          actor: { type: 'agent', id: 'claude' },
          targets: [
            { type: 'mcp-tool', id: 'read_\u202efile' },
            { type: 'session', id },
          ],
          context: { session: id },
          metadata: { mcp: known },
          ...more,
        })
      const start = await step('session.start', { isOpen: true })
      const intent = await step('tools.call', { kind: 'intent', isOpen: true })
      await step('tools.call.result', { kind: 'outcome', intent: intent.id, ms: 4 }, { outcome: 'failure' })
      await step('tools.call', { kind: 'intent', isOpen: true })
      await audit.record({ ...INVOICE, action: 'between.others' })
      await step('session.end', { intent: start.id, state: 'ended', by: 'client' })
      await audit.flush()
      const { events } = (await call(service.url, `/v1/events?target=${id}`)).json
      const tokens = events.map(({ token }: { token: string }) => `${token}\n`).reverse()

      const { page, complaints } = await signIn()
      await page.goto(`${service.url}/console/#/event/billing-api/${audit.status.stream}/${events[0].seq}`)
      await page.click(`a[href="#/sessions/${id}"]`)
      await page.locator(`h1:has-text("Session ${id}")`).waitFor()
      const rows = page.locator('tbody tr')
      const cells = async (at: number) => (await rows.nth(at).locator('td').allInnerTexts()).slice(3, 5)
      expect(await rows.count()).toBe(5)
      expect(await cells(1)).toEqual(['calls the tool read_U+202Efile', ''])
      expect(await cells(2)).toEqual(['of 2: tool read_U+202Efile', 'failure, 4 ms'])
      expect((await cells(3))[1]).toBe('no outcome found')
      expect(await page.innerText('section dl')).toContain('1 place of the stream between them')
      expect(await page.innerText('section dl')).toContain(createHash('sha256').update(tokens.join('')).digest('hex'))
      expect(await violations(page)).toEqual([])
      // From the start: nothing but the first, and then one after the other.
      await page.selectOption('[aria-label=Speed]', '100')
      await page.click('button:text("Play")')
      await expect.poll(() => page.locator('tbody tr:visible').count()).toBe(5)
      await page.locator('button:text("Play")').waitFor()
      expect(await page.innerText('.player [role=status]')).toBe('all are shown, 5 of 5')
      // On paper too: one that was printed while it was paused would seem to end there.
      await page.emulateMedia({ media: 'print' })
      expect(await page.locator('.player > :visible').allInnerTexts()).toEqual(['all are shown, 5 of 5'])
      await page.emulateMedia({ media: 'screen' })
      await page.click('button[aria-label="Proof of step 3"]')
      const proof = page.locator('tbody tr').nth(2).locator('a:text("open and verify")')
      expect(await proof.getAttribute('href')).toMatch(/^\/verify\/#/)
      expect(complaints).toEqual([])
      // Whoever may record can name a session, and what is open in it.
      const key = generateKey()
      await register(service.url, 'stranger', [{ jwk: publicJwk(key) }])
      const stranger = await openAuditLog({
        ...{ url: service.url, logKey: service.vkey, source: 'stranger', key, spool: 'memory' },
      })
      const targets = [{ type: 'session', id: 'open' }]
      const context = { type: 'sealed', id: 'AAAAAAAAAAAAAAAAAAAAAA', jwe: 'e30..AAAA.AAAA.AAAA' }
      const asked = await step('tools.call', { kind: 'intent', isOpen: true }, { targets, context })
      const says = { actor: { type: 'agent', id: 'claude' }, targets, outcome: 'success' as const }
      const answered = { mcp: { kind: 'outcome', intent: asked.id } }
      await stranger.record({ action: 'mcp.tools.call.result', ...says, metadata: answered })
      await stranger.record({ action: 'mcp.session.end', ...says })
      await Promise.all([audit.flush(), stranger.close()])
      await page.goto(`${service.url}/console/#/sessions/open`)
      await page.locator('text=Nothing recorded by billing-api says that it has ended').waitFor()
      expect(await page.locator('[aria-label="Steps recorded by billing-api"] tbody tr').innerText()).toMatch(
        /no outcome found 1 field sealed/,
      )
      await page.goto(`${service.url}/console/#/sessions/nobody`)
      await page.locator('text=No such session is found').waitFor()
    })

    test('tells the history of a thing: steps, state and blame after each, contradictions, and what is not known', async () => {
      const [type, id] = ['order', 'o/7 \u202e?#']
      const step = (actor: string, fields: object, more: object = {}) =>
        audit.record({
          action: 'order.change',
          actor: { type: 'user', id: actor },
          targets: [{ type, id, name: 'Order seven' }],
          ...fields,
          ...more,
        })
      const set = (path: string, before: JsonObject[string] | undefined, after: JsonObject[string]) => ({
        changes: [{ path, ...(before !== undefined && { before }), after }],
      })
      await step('ada', set('', undefined, { status: 'new', lines: [{ sku: 'A-7', n: 2 }], note: '<b>bold</b>' }))
      await step('ben', set('/status', 'new', 'paid'))
      await step('cy', set('/status', 'paid', 'void'), { outcome: 'denied' })
      const last = await step('ada', set('/status', 'open', 'sent'))
      await audit.flush()
      const { json: told } = await call(service.url, `/v1/history/${type}/${encodeURIComponent(id)}`)

      const { page, complaints } = await signIn()
      await page.goto(`${service.url}/console/#/event/billing-api/${audit.status.stream}/${told.steps.at(-1).seq}`)
      await page.click('a:text("its history")')
      await page.locator('h1:text("History of Order seven")').waitFor()
      const rows = page.locator('[aria-label=Steps] tbody tr')
      expect(await rows.count()).toBe(4)
      expect(await rows.nth(2).innerText()).toMatch(/Denied[\s\S]*1 change did not come about/)
      expect(await rows.nth(3).innerText()).toContain(
        'Contradiction: /status was paid since step 2; this says that it was open',
      )
      const state = async () => {
        const lines = await page.locator('[aria-label=State] tbody tr').all()
        return Promise.all(
          lines.map(async (line) => (await line.locator('td').allInnerTexts()).map((text) => text.trim())),
        )
      }
      const members = async () => (await state()).map(([member, value, by, , at]) => [member, value, by, at])
      expect(await members()).toEqual([
        ['/status', 'sent', 'ada', 'step 4'],
        ['/lines', expect.stringContaining('A-7'), 'ada', 'step 1'],
        ['/note', '<b>bold</b>', 'ada', 'step 1'],
      ])
      expect(await page.innerText('section > dl')).toContain(told.sha256)
      expect(await violations(page)).toEqual([])
      // Its state after another step, beside the first; both stand in the address. While an answer is waited for, nothing else is
      // asked, and the title is that of the state below it.
      const asked: string[] = []
      let letThrough = () => {}
      const held = new Promise<void>((resolve) => {
        letThrough = resolve
      })
      await page.route(/\/v1\/history\/.*at=/, async (route) => {
        asked.push(route.request().url())
        await held
        await route.continue()
      })
      await page.locator('#version').focus()
      await page.keyboard.press('ArrowLeft')
      await expect.poll(() => asked.length).toBe(1)
      await page.keyboard.press('ArrowLeft')
      await page.keyboard.press('ArrowLeft')
      await page.keyboard.press('ArrowRight')
      expect(await page.locator('h2').first().innerText()).toContain('Its state now')
      expect((await members())[0]).toEqual(['/status', 'sent', 'ada', 'step 4'])
      letThrough()
      await page.locator('h2:text("Its state after step 2 of 4")').waitFor()
      expect(asked).toHaveLength(2)
      await expect.poll(async () => (await members())[0]).toEqual(['/status', 'paid', 'ben', 'step 2'])
      await page.selectOption('#beside', '1')
      await page.locator('h2:text("From step 1 to step 2")').waitFor()
      expect(await page.innerText('[aria-label=State] ~ *, h2:text("From step 1") + div')).toMatch(
        /\/status\s+new\s+paid/,
      )
      expect(await rows.nth(1).getAttribute('class')).toContain('current')
      expect(page.url()).toContain(`?at=${told.steps[1].id}&from=${told.steps[0].id}`)
      await page.reload()
      await page.locator('h2:text("From step 1 to step 2")').waitFor()
      await page.click('button[aria-label="Proof of step 4"]')
      expect(await rows.nth(3).locator('a:text("open and verify")').getAttribute('href')).toMatch(/^\/verify\/#/)

      // Somebody takes out of the database what the last event changed.
      const number = await numberOf(service.databaseUrl, 'billing-api', told.steps.at(-1).seq)
      await alterToken(service.databaseUrl, number, (token) => {
        const { jws, disclosures } = partsOf(token)
        const kept = disclosures.split('~').filter((each) => !Buffer.from(each, 'base64url').includes('"changes"'))
        return `${jws}~${kept.join('~')}`
      })
      await page.goto(`${service.url}/console/#/history/${type}/${encodeURIComponent(id)}`)
      await page.locator('text=Step 4 may have changed anything').waitFor()
      expect((await members())[0]).toEqual([
        '/status',
        expect.stringMatching(/paid\s+not known since step 4/),
        'ben',
        'step 2',
      ])
      expect(await rows.nth(3).innerText()).toContain('Not known: 1 field is not shown')
      expect(await violations(page)).toEqual([])
      await page.setViewportSize({ width: 360, height: 800 })
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360)
      await page.goto(`${service.url}/console/#/history/order/nobody`)
      await page.locator('text=No event is found that names it').waitFor()
      const waysUp = ['event/..\\..\\..\\v1\\log?x=/a/0', 'history/order/..', 'event/%2E%2e/a/0']
      for (const damaged of ['history/order/100%', 'sessions/%', 'nowhere', ...waysUp]) {
        await page.goto(`${service.url}/console/#/${damaged}`)
        await page.reload()
        await page.locator('text=There is no such view').waitFor()
      }
      expect(last.id).toBe(told.steps.at(-1).id)
      expect(complaints).toEqual([])
    })

    test('says who is silent for longer than promised', async () => {
      await register(service.url, 'pilot', [{ jwk: publicJwk(generateKey()) }], { heartbeat: 1 })
      const { page, complaints } = await signIn()
      const silence = async () => (await call(service.url, '/v1/sources?source=pilot')).json.sources[0].silence
      await expect.poll(silence, { timeout: 10_000 }).not.toBeNull()
      await page.goto(`${service.url}/console/#/sources`)
      const line = page.locator('tbody tr:has-text("pilot")')
      await line.waitFor()
      expect(await line.locator('td:last-child').innerText()).toMatch(
        /^an event every 1 second\s+it has never recorded anything, since \d{4}-/,
      )
      expect(await page.locator('tbody tr:has-text("billing-api") td:last-child').innerText()).toBe('nothing')
      expect(await violations(page)).toEqual([])
      expect(complaints).toEqual([])
    })

    test('older links come page by page', async () => {
      const { events } = (await call(service.url, '/v1/events?source=billing-api&limit=1')).json
      await Promise.all(Array.from({ length: 51 }, () => audit.share(events[0].id, { fields: [] })))
      const all = (await call(service.url, '/v1/shares?limit=500')).json.shares.length
      const { page } = await signIn()
      await page.goto(`${service.url}/console/#/shares`)
      const rows = page.locator('tbody tr')
      await expect.poll(() => rows.count()).toBe(50)
      await page.click('button:text("Older links")')
      await expect.poll(() => rows.count()).toBe(all)
      expect(await page.isVisible('button:text("Older links")')).toBe(false)
    })

    test('draws what anchors cost, and every view is accessible', async () => {
      const { page, complaints } = await signIn(ADMIN)
      await call(service.url, '/v1/retention/policies/invoices', ERASER, {
        ...{ method: 'PUT', headers: { 'content-type': 'application/json' } },
        body: JSON.stringify({ covers: { source: 'audit', action: 'invoice.*' }, contentsDays: 3650 }),
      })
      await call(service.url, '/v1/retention/policies/all', ERASER, {
        ...{ method: 'PUT', headers: { 'content-type': 'application/json' } },
        body: JSON.stringify({ covers: {}, contentsDays: 3650, eventsDays: 36500 }),
      })
      for (const name of [
        'Overview',
        'Events',
        'Sources',
        'Streams',
        'Anchors',
        'Links',
        'Retention',
        'Audit',
        'Equivocations',
        'Health',
      ]) {
        await page.click(`nav a:text("${name}")`)
        await page.locator(`h1:text("${name}")`).waitFor()
        if (name === 'Retention') {
          const rows = await page.locator('[aria-label="Policies"] tbody tr').allInnerTexts()
          expect(rows.map((text) => text.replace(/\s+/g, ' '))).toEqual([
            expect.stringMatching(/^all version 1 everything after 3,650 days after 36,500 days 0 events expired/),
            expect.stringMatching(
              /^invoices version 1 source audit, action invoice\.\* after 3,650 days never 0 events expired/,
            ),
          ])
        }
        if (name === 'Anchors') {
          await expect.poll(() => page.locator('canvas').count()).toBe(3)
          // Charts follow who zooms or turns the screen.
          const size = page.viewportSize()!
          await page.setViewportSize({ ...size, width: 320 })
          await expect.poll(() => page.evaluate('document.documentElement.scrollWidth')).toBe(320)
          await page.setViewportSize(size)
        }
        expect(await violations(page), name).toEqual([])
      }
      expect(complaints).toEqual([])

      const total = Object.values(pageSizes(join(PAGE_FOLDER, 'console'))).reduce((sum, size) => sum + size, 0)
      expect(total).toBeLessThan(CONSOLE_BUDGET)
      // What draws them comes by itself. Where it does not, the list stands all the same.
      await page.route('**/console/charts.js', (route) => route.abort())
      await page.goto(`${service.url}/console/#/anchors`)
      await page.reload()
      await page.locator('[role=alert]:has-text("What draws the charts could not be loaded")').waitFor()
      expect(await page.locator('tbody tr').count()).toBeGreaterThan(0)
    })
  })
})
