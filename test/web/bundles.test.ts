// Evidence bundles in a browser: asked for and taken away in the console, checked on the verification page, served and from a disk.

import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type AuditLog, generateKey, openAuditLog, publicJwk } from '@killick/sdk'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { archive } from '../../scripts/lib/vectors/bundle-world.ts'
import { newSigner, Producer, post } from '../anchor-service/support/producer.ts'
import { call, ERASER, READER, register, type TestService, testService } from '../anchor-service/support/service.ts'
import { type LocalChain, startChain } from '../support/local-chain.ts'
import { buildAlone, builtPage } from '../support/page.ts'
import { vectors } from '../support/vectors.ts'
import { browserAvailable, launch, violations, type Watched, watch } from './browser.ts'
import { INVOICE } from './ledger.ts'

const EVENTS = 12

describe.skipIf(!browserAvailable())('bundles in a browser', () => {
  let folder: string
  let chain: LocalChain
  let service: TestService
  let audit: AuditLog
  let browser: Browser

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'killick-bundles-web-'))
    ;[chain, browser] = await Promise.all([startChain(), launch(), builtPage()])
    service = await testService({
      ...{ KILLICK_RPC_URL: chain.url, KILLICK_PAGE_RPCS: chain.url },
      ...{ KILLICK_CONTRACT: await chain.deployAnchorLog(), KILLICK_CHAIN_KEY: await chain.newKey() },
      ...{ KILLICK_ANCHOR_INTERVAL_MS: '200', KILLICK_CONFIRMATIONS: '1' },
    })
    const key = generateKey()
    await register(service.url, 'billing-api', [{ jwk: publicJwk(key) }])
    const spool = join(folder, 'spool')
    audit = await openAuditLog({ url: service.url, source: 'billing-api', key, spool, readerToken: READER })
    for (let i = 0; i < EVENTS; i++) await audit.record({ ...INVOICE, actor: { type: 'user', id: `u-${i % 3}` } })
    await audit.flush()
    // It promises an event every minute, and once says nothing for two.
    const pilot = new Producer('pilot', newSigner(), 'p-1')
    await register(service.url, 'pilot', [{ jwk: pilot.signer.jwk }], { heartbeat: 60 })
    const tick = { action: 'tick', actor: { type: 'source', id: 'pilot' }, targets: [{ type: 'stream', id: 'p-1' }] }
    const times = [-300, -250, -130].map((seconds) => Date.now() + 1000 * seconds)
    expect((await post(service.url, (await pilot.batch([tick, tick, tick], { times })).body)).status).toBe(201)
    const bulk = new Producer('bulk', newSigner('P-256'), 'bulk-1')
    await register(service.url, 'bulk', [{ jwk: bulk.signer.jwk }])
    for (let i = 0; i < 4; i++) {
      const metadata = { text: 'A text that takes its time. '.repeat(200) }
      const batch = await bulk.batch(Array.from({ length: 50 }, () => ({ ...tick, metadata })))
      expect((await post(service.url, batch.body)).status).toBe(201)
      batch.advance()
    }
    const size = Number((await call(service.url, '/checkpoint')).text.split('\n')[1])
    await vi.waitUntil(
      async () =>
        (await call(service.url, '/v1/anchors')).json.anchors.some(
          (each: { time: number | null; size: number }) => each.time !== null && each.size >= size,
        ),
      { timeout: 30_000 },
    )
  }, 90_000)
  afterAll(async () => {
    await browser?.close()
    await audit?.close()
    await service?.stop()
    await chain?.stop()
    await rm(folder, { recursive: true, force: true })
  })

  /** One that the service makes, as bytes. */
  async function made(conditions: object): Promise<Buffer> {
    const { json } = await call(service.url, '/v1/bundles', READER, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...conditions, again: true }),
    })
    await vi.waitUntil(async () => (await call(service.url, `/v1/bundles/${json.id}`)).json.state === 'done', {
      timeout: 60_000,
    })
    const answer = await fetch(`${service.url}/v1/bundles/${json.id}/file`, {
      headers: { authorization: `Bearer ${READER}` },
    })
    return Buffer.from(await answer.arrayBuffer())
  }

  const states = (page: Page) =>
    page.locator('#bundle .banner').evaluateAll((all) => all.map((each) => each.getAttribute('data-state')))

  /** Chooses it, and waits for what the page says. */
  async function choose(page: Page, name: string, buffer: Buffer): Promise<(string | null)[]> {
    // What the page says of the one before it is no answer.
    await page.evaluate('document.querySelector("#bundle")?.setAttribute("data-before", "")')
    await page.setInputFiles('#file', { name, mimeType: 'application/x-tar', buffer })
    await page.locator('#bundle:not([data-before]) .banner:not([data-state=reading])').first().waitFor()
    return states(page)
  }

  const open = async (url: string): Promise<Watched> => {
    const watched = await watch(await browser.newContext({ viewport: { width: 1100, height: 900 }, locale: 'en' }))
    await watched.page.goto(url)
    await watched.page.locator('#file').waitFor()
    return watched
  }

  /** While one is made, its row is drawn anew with every look. */
  async function keepsTheKeyboard(page: Page): Promise<void> {
    const { bundles } = (await call(service.url, '/v1/bundles')).json
    let entries = 0
    await page.route(/\/v1\/bundles$/, (route) => {
      const making = { ...bundles[0], state: 'running', of: 1_000, entries: ++entries, sha256: null, removedAt: null }
      return route.fulfill({ json: { bundles: [making, ...bundles.slice(1)] } })
    })
    await page.locator('button:text("Give up")').focus()
    const seen = entries
    await expect.poll(() => entries).toBeGreaterThan(seen + 1)
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Give up')
    await page.locator('button:text("Give up")').hover()
    await page.mouse.down()
    const pressed = entries
    await expect.poll(() => entries).toBeGreaterThan(pressed + 1)
    const gaveUp = page.waitForRequest((request) => request.method() === 'DELETE')
    await page.mouse.up()
    await gaveUp
    await page.unrouteAll()
  }

  test('the console asks for one of a search, a source and a stream, shows how far they are, and gives them away', {
    timeout: 120_000,
  }, async () => {
    const { page, complaints } = await watch(await browser.newContext({ viewport: { width: 1280, height: 900 } }))
    await page.goto(`${service.url}/console/#/events`)
    await page.fill('#token', READER)
    await page.click('button:text("Sign in")')
    await page.locator('h1:text("Events")').waitFor()
    // Of everything there is none.
    expect(await page.locator('button:text("Evidence bundle")').count()).toBe(0)
    await page.goto(`${service.url}/console/#/events?actor=u-1`)
    await page.click('button:text("Evidence bundle")')
    await page.locator('tr.current:has-text("what the index finds") .state.open').waitFor({ timeout: 60_000 })
    await page.goto(`${service.url}/console/#/streams?source=billing-api`)
    await page.click('button:text("Evidence bundle of this source")')
    await page.locator('tr.current:has-text("Everything of billing-api") .state.open').waitFor({ timeout: 60_000 })
    await page.goto(`${service.url}/console/#/streams?source=billing-api`)
    await page.click('td button:text("Evidence bundle")')
    const row = page.locator('tr.current:has-text("from its first event to its newest")')
    await row.locator('.state.open').waitFor({ timeout: 60_000 })
    expect(await violations(page)).toEqual([])
    const { PICTURES } = process.env
    if (PICTURES) await page.screenshot({ path: join(PICTURES, 'console-bundles.png'), fullPage: true })

    const [download] = await Promise.all([page.waitForEvent('download'), row.locator('a:has-text("Download")').click()])
    const bytes = await readFile(await download.path())
    expect(download.suggestedFilename()).toMatch(/^billing-api-.*\.bundle$/)
    expect(await row.innerText()).toContain(createHash('sha256').update(bytes).digest('hex').slice(0, 8))

    await row.locator('button:text("Make again")').click()
    await expect.poll(() => page.locator('tbody tr').count(), { timeout: 30_000 }).toBe(4)
    // A double click is one, and confirms nothing.
    await row.locator('button:text("Remove")').dblclick()
    await row.locator('button:text("Remove for good?")').click()
    await row.waitFor({ state: 'detached' })
    await keepsTheKeyboard(page)
    await page.setViewportSize({ width: 320, height: 640 })
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(320)
    if (PICTURES) await page.screenshot({ path: join(PICTURES, 'console-bundles-phone.png') })
    expect(complaints).toEqual([])
  })

  test('the page tells genuine from complete, names what is missing, and loads for it what a proof does not need', {
    timeout: 120_000,
  }, async () => {
    const { stream } = audit.status
    const [source, beyond, search] = [
      await made({ source: 'billing-api' }),
      await made({ source: 'billing-api', stream, last: EVENTS + 4 }),
      await made({ actor: 'u-1' }),
    ]
    const { page, requests, complaints } = await open(`${service.url}/verify/`)
    const { PICTURES } = process.env
    const picture = async (name: string) =>
      PICTURES && (await page.screenshot({ path: join(PICTURES, name), fullPage: true }))
    expect(requests.some((url) => url.endsWith('bundle.js'))).toBe(false)

    expect(await choose(page, 'all.bundle', source)).toEqual(['genuine', 'complete'])
    expect(requests.filter((url) => url.endsWith('bundle.js'))).toHaveLength(1)
    expect(await page.locator('#bundle .banner').first().getAttribute('data-trust')).toBe('word')
    expect(await page.innerText('#bundle')).toContain('every event of the source')
    expect(await page.title()).toContain('Everything in it is genuine')
    expect(await page.innerText('[role=status].announcer')).toContain('And it is everything')
    expect(await violations(page)).toEqual([])
    await picture('page-bundle.png')

    await page.click('button:text("Deutsch")')
    await page.locator('h1:has-text("Alles darin ist echt")').waitFor()
    expect(await page.innerText('#bundle')).toContain('Und es ist alles')
    expect(await page.innerText('#bundle')).not.toMatch(/\b(the|and|genuine|complete)\b/)
    await picture('page-bundle-german.png')
    await page.click('button:text("English")')

    expect(await choose(page, 'beyond.bundle', beyond)).toEqual(['genuine', 'incomplete'])
    expect(await page.innerText('#missing-title + ul')).toBe(
      `events ${EVENTS} to ${EVENTS + 4} of stream ${stream} of billing-api`,
    )
    await picture('page-bundle-incomplete.png')
    expect(await choose(page, 'search.bundle', search)).toEqual(['genuine', 'as-index-says'])

    const silent = await made({ source: 'pilot' })
    expect(await choose(page, 'silent.bundle', silent)).toEqual(['genuine', 'complete', 'silent'])
    expect(await page.innerText('#silences-title + ul')).toMatch(
      /^stream p-1 of pilot, behind event 1: from .+ to .+; promised 60 s; the ledger takes any time of it$/,
    )
    expect(await page.innerText('[role=status].announcer')).toContain('in 2 pairs of consecutive events of 1 stream')
    expect(await violations(page)).toEqual([])
    await picture('page-bundle-silent.png')

    const { json } = await call(service.url, '/v1/erasures', ERASER, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ actor: 'u-2', fields: ['actor'], reason: 'request of the person', order: 'E-7' }),
    })
    await vi.waitUntil(async () => (await call(service.url, `/v1/erasures/${json.id}`)).json.state === 'done', 20_000)
    const erased = await made({ source: 'billing-api' })
    expect(await choose(page, 'erased.bundle', erased)).toEqual(['genuine', 'complete'])
    expect(await page.innerText('#bundle')).toContain('4 events lost fields to erasures that the log orders.')
    // Of an event that lost fields, not all that was recorded is there.
    expect(await page.innerText('#bundle')).toContain('What it shows of each event is exactly what was recorded')

    expect(await page.innerText('#erasures-title + ul')).toMatch(
      /^erased of 4 events by log entry \d+ at .+, by order E-7: request of the person$/,
    )
    await picture('page-bundle-erased.png')
    await page.click('button:text("Deutsch")')
    await page.locator('h2:has-text("Was gelöscht wurde")').waitFor()
    // The words of the page, whose script is another.
    expect(await page.innerText('#bundle')).not.toMatch(/\bChain\b|\bStreams?\b/)
    await page.click('button:text("English")')

    const text = source.toString('latin1')
    const lines = [...text.matchAll(/^E .*\n/gm)]
    const damaged = Buffer.from(source)
    damaged[lines.at(-1)!.index + 100]! ^= 1
    expect(await choose(page, 'damaged.bundle', damaged)).toEqual(['failed', 'not-judged'])
    expect(await page.innerText('#faults-title + ul')).toContain('log.txt')
    await picture('page-bundle-damaged.png')
    expect(await choose(page, 'cut.bundle', source.subarray(0, source.length - 700))).toEqual(['failed', 'not-judged'])
    expect(await choose(page, 'odd.bundle', Buffer.from('manifest.json\0 and nothing else'))).toEqual(['refused'])

    // A proof goes on as before.
    await page.setInputFiles('#file', { name: 'proof.json', mimeType: 'application/json', buffer: Buffer.from('{}') })
    await page.locator('[data-state=unreadable]').waitFor()
    expect(await page.locator('#bundle').count()).toBe(0)
    await page.setViewportSize({ width: 320, height: 640 })
    await choose(page, 'all.bundle', source)
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(320)
    expect(complaints).toEqual([])
  })

  test('a bundle brings the page along, in one file that checks it from a disk', { timeout: 120_000 }, async () => {
    const bytes = await made({ source: 'billing-api' })
    const at = bytes.indexOf('verify.html\0')
    const size = Number.parseInt(bytes.toString('latin1', at + 124, at + 135), 8)
    const file = join(folder, 'verify.html')
    await writeFile(file, bytes.subarray(at + 512, at + 512 + size))
    const { page, requests, complaints } = await open(pathToFileURL(file).href)
    expect(await choose(page, 'own.bundle', bytes)).toEqual(['undecided', 'complete'])
    expect(await page.innerText('#bundle')).toContain('report.html and verify.html: for people')
    await page.fill('#rpc', chain.url)
    await page.click('button:text("Check again")')
    await page.locator('#bundle .facts:has-text(", the newest at")').waitFor()
    await page.click('button:text("Deutsch")')
    await page.locator('h1:has-text("aber ist es echt?")').waitFor()
    expect(await page.evaluate('document.querySelector("header img").naturalWidth > 0')).toBe(true)
    // Nothing is fetched but the publisher's word, which is not there, and the chain.
    const asked = requests.filter((url) => !url.startsWith('data:') && !url.endsWith('trust.json'))
    expect(new Set(asked.slice(1).map((url) => new URL(url).origin))).toEqual(new Set([new URL(chain.url).origin]))
    expect(complaints).toEqual([])
    const { PICTURES } = process.env
    if (PICTURES) {
      const report = bytes.indexOf('report.html\0')
      const length = Number.parseInt(bytes.toString('latin1', report + 124, report + 135), 8)
      await writeFile(join(folder, 'report.html'), bytes.subarray(report + 512, report + 512 + length))
      await page.goto(pathToFileURL(join(folder, 'report.html')).href)
      await page.screenshot({ path: join(PICTURES, 'report.png'), fullPage: true })
    }
  })

  test('a large one is read by workers, of the service and from a disk; what they find is what the page finds', {
    timeout: 120_000,
  }, async () => {
    const bytes = await made({ source: 'bulk' })
    expect(bytes.length).toBeGreaterThan(1.2 * 2 ** 20)
    const text = bytes.toString('latin1')
    const lines = [...text.matchAll(/^E .*\n/gm)]
    const damaged = Buffer.from(bytes)
    damaged[lines.at(-60)!.index + 100]! ^= 1
    const at = text.indexOf('verify.html\0')
    const file = join(folder, 'large.html')
    await writeFile(file, bytes.subarray(at + 512, at + 512 + Number.parseInt(text.slice(at + 124, at + 135), 8)))
    const found: string[] = []
    for (const url of [`${service.url}/verify/`, pathToFileURL(file).href]) {
      const { page, complaints } = await open(url)
      let workers = 0
      page.on('worker', () => {
        workers += 1
      })
      const genuine = url.startsWith('http') ? 'genuine' : 'undecided'
      expect(await choose(page, 'large.bundle', bytes)).toEqual([genuine, 'complete'])
      expect(await page.innerText('#bundle .facts')).toContain('208 verified')
      expect(await choose(page, 'damaged.bundle', damaged)).toEqual(['failed', 'not-judged'])
      found.push(await page.innerText('#faults-title + ul'))
      expect(workers).toBeGreaterThan(0)
      expect(page.workers()).toEqual([])
      // Without any the page reads alone.
      await page.evaluate('globalThis.Worker = class { constructor() { throw new Error("none") } }')
      expect(await choose(page, 'damaged.bundle', damaged)).toEqual(['failed', 'not-judged'])
      found.push(await page.innerText('#faults-title + ul'))
      expect(complaints).toEqual([])
    }
    expect(new Set(found).size).toBe(1)
  })

  test('what is final yet the page counts by the confirmations that its publisher names', async () => {
    const bytes = await made({ source: 'billing-api' })
    const { json: trust } = await call(service.url, '/verify/trust.json', null)
    for (const [confirmations, words] of [
      [1, /confirmed by the chain, the newest/],
      [1_000_000, /confirmed by the chain, \d+ of them not final yet, the newest/],
    ] as const) {
      const { page } = await watch(await browser.newContext({ locale: 'en' }))
      await page.route('**/trust.json', (route) => route.fulfill({ json: { ...trust, confirmations } }))
      // A chain without finality.
      await page.route(`${chain.url}/`, (route) => {
        const body = route.request().postDataJSON()
        if (!JSON.stringify(body).includes('"finalized"')) return route.continue()
        const error = { code: -32602, message: 'invalid block tag' }
        const headers = { 'access-control-allow-origin': '*' }
        return route.fulfill({ headers, json: { jsonrpc: '2.0', id: body.id, error } })
      })
      await page.goto(`${service.url}/verify/`)
      await page.locator('#file').waitFor()
      expect(await choose(page, 'all.bundle', bytes)).toEqual(['genuine', 'complete'])
      expect(await page.innerText('#bundle .facts')).toMatch(words)
      await page.context().close()
    }
  })

  test('what no confirmed anchor covers is told of on the page', async () => {
    const size = Number((await call(service.url, '/checkpoint')).text.split('\n')[1])
    await audit.record({ ...INVOICE, actor: { type: 'user', id: 'u-last' } })
    await audit.flush()
    const anchorsOf = async () => (await call(service.url, '/v1/anchors?limit=500')).json.anchors as Anchor[]
    type Anchor = { size: number; root: string; time: number | null }
    const isLater = (each: Anchor) => each.size > size
    await vi.waitUntil(async () => (await anchorsOf()).some((each) => isLater(each) && each.time !== null), {
      timeout: 30_000,
    })
    const bytes = await made({ source: 'billing-api' })
    const late = (await anchorsOf()).filter(isLater).map(({ root }) => Buffer.from(root, 'base64url').toString('hex'))
    const { page } = await watch(await browser.newContext({ locale: 'en' }))
    await page.route(`${chain.url}/`, (route) => {
      const body = route.request().postDataJSON()
      if (!late.some((root) => JSON.stringify(body).includes(root))) return route.continue()
      const headers = { 'access-control-allow-origin': '*' }
      return route.fulfill({ headers, json: { jsonrpc: '2.0', id: body.id, error: { code: -32000, message: 'no' } } })
    })
    await page.goto(`${service.url}/verify/`)
    await page.locator('#file').waitFor()
    expect(await choose(page, 'all.bundle', bytes)).toEqual(['genuine', 'complete'])
    expect(await page.innerText('#bundle .banner')).toContain('1 event is in no confirmed anchor that counts here')
    await page.context().close()
  })

  test('a page on a disk checks one too, by what the visitor pins', { timeout: 120_000 }, async () => {
    const alone = join(folder, 'alone')
    await buildAlone(alone)
    const { json: trust } = await call(service.url, '/verify/trust.json', null)
    const { json: sources } = await call(service.url, '/v1/sources')
    const { jwk } = sources.sources.find(({ source }: { source: string }) => source === 'billing-api').keys[0]
    const bytes = await made({ source: 'billing-api' })
    const { page, complaints } = await open(pathToFileURL(join(alone, 'index.html')).href)
    expect(await choose(page, 'all.bundle', bytes)).toEqual(['undecided', 'complete'])
    await page.click('summary:has-text("Pin keys")')
    await page.fill('#rpc', chain.url)
    await page.fill('#source-key', JSON.stringify(jwk))
    await page.fill('#log-key', trust.logKeys[0])
    const { chainId, contract, logId } = trust.logs[0]
    await page.fill('#contract', `${chainId} ${contract} ${logId}`)
    await page.click('button:text("Check again")')
    await page.locator('#bundle .banner[data-trust=pinned][data-state=genuine]').waitFor()
    expect(await states(page)).toEqual(['genuine', 'complete'])
    expect(complaints).toEqual([])
  })

  test('what policies have dropped is told apart from what is missing, as the word of the log', {
    timeout: 120_000,
  }, async () => {
    const dropped = join(folder, 'dropped')
    await buildAlone(dropped)
    const { page, complaints } = await open(pathToFileURL(join(dropped, 'index.html')).href)
    const { PICTURES } = process.env
    const cases = vectors<{ description: string; manifest: string; log: string }[]>('bundles')
    const chosen = (description: string) => {
      const files = cases.find((each) => each.description === description)!
      return choose(page, 'dropped.bundle', Buffer.from(archive(files)))
    }
    const says = 'as the ledger’s log says. Whether they were due, an audit tells.'

    expect(await chosen('of a source of which a policy dropped a batch')).toEqual(['undecided', 'dropped'])
    expect(await page.innerText('#bundle .banner[data-state=dropped]')).toContain(
      `2 events were dropped by retention policies, ${says} Nothing else is missing.`,
    )
    expect(await page.innerText('#dropped-title + ul')).toMatch(
      /^events 3 to 4 of stream 7f3c9a10 of billing-api, as log entry 7 says, recorded at .+: policy orders, version 2$/,
    )
    expect(await page.innerText('#bundle')).not.toMatch(/it is everything/i)
    expect(await violations(page)).toEqual([])
    if (PICTURES) await page.screenshot({ path: join(PICTURES, 'page-bundle-dropped.png'), fullPage: true })
    await page.click('button:text("Deutsch")')
    await page.locator('h2:text-is("Es ist nicht alles: ein Teil wurde gelöscht")').waitFor()
    expect(await page.innerText('#bundle')).toContain('Sonst fehlt nichts.')
    expect(await page.innerText('#bundle')).not.toMatch(/\b(the|and|dropped|policy)\b/)
    if (PICTURES) await page.screenshot({ path: join(PICTURES, 'page-bundle-dropped-german.png'), fullPage: true })
    await page.click('button:text("English")')

    expect(await chosen('the drop names one of two batches without events')).toEqual(['undecided', 'incomplete'])
    expect(await page.innerText('#missing-title + ul')).toBe('events 0 to 2 of stream 7f3c9a10 of billing-api')
    expect(await page.innerText('#bundle')).toContain('No drop in it names what is missing: 3 events.')
    expect(await page.innerText('#bundle')).toContain(`2 events were dropped by retention policies, ${says}`)
    expect(await page.innerText('#bundle')).not.toContain('Nothing else is missing')

    expect(await chosen('of a search that finds what was dropped')).toEqual(['undecided', 'as-index-says'])
    expect(await page.innerText('#bundle .banner[data-state=as-index-says]')).toContain('2 events were dropped')
    for (const description of ['the drop names others only', 'the drop is only a header']) {
      expect(await chosen(description)).toEqual(['undecided', 'incomplete'])
      expect(await page.innerText('#bundle')).not.toMatch(/dropped by/)
    }
    expect(await chosen('a key that is not the ledger’s signed the drop')).toEqual(['failed', 'not-judged'])
    expect(await page.innerText('#bundle')).not.toMatch(/dropped by/)
    expect(complaints).toEqual([])
  })
})
