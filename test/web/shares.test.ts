import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type AuditLog, generateKey, openAuditLog, parseProof, publicJwk } from '@killick/sdk'
import { parseEvent } from '@killick/sdk/core'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { packFragment } from '../../anchor-service/web/shared/fragment.ts'
import { call, ERASER, READER, register, type TestService, testService } from '../anchor-service/support/service.ts'
import { type LocalChain, startChain } from '../support/local-chain.ts'
import { builtPage } from '../support/page.ts'
import { queryAsOwner } from '../support/postgres.ts'
import { browserAvailable, launch, readQr, watch } from './browser.ts'
import { INVOICE } from './ledger.ts'

const run = promisify(execFile)

describe('proof links', () => {
  let chain: LocalChain
  let service: TestService
  let audit: AuditLog
  let spool: string
  let eventId: string
  let browser: Browser | null

  beforeAll(async () => {
    ;[chain, browser] = await Promise.all([startChain(), browserAvailable() ? launch() : null, builtPage()])
    spool = await mkdtemp(join(tmpdir(), 'killick-shares-'))
    service = await testService({
      KILLICK_RPC_URL: chain.url,
      KILLICK_CONTRACT: await chain.deployAnchorLog(),
      KILLICK_CHAIN_KEY: await chain.newKey(),
      KILLICK_ANCHOR_INTERVAL_MS: '200',
      KILLICK_CONFIRMATIONS: '1',
    })
    const key = generateKey()
    await register(service.url, 'billing-api', [{ jwk: publicJwk(key) }])
    audit = await openAuditLog({ url: service.url, source: 'billing-api', key, spool, readerToken: READER })
    eventId = (await audit.record(INVOICE)).id
    await audit.flush()
    const isAnchored = async () => (await call(service.url, `/v1/proofs/${eventId}`)).json.anchors.length > 0
    await vi.waitUntil(isAnchored, { timeout: 20_000 })
  })
  afterAll(async () => {
    await browser?.close()
    await audit?.close()
    await service?.stop()
    await chain?.stop()
    await rm(spool, { recursive: true, force: true })
  })

  const post = (body: object, token: string | null = READER) =>
    call(service.url, '/v1/shares', token, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  const systemEvents = async (action: string, target: string) =>
    (await call(service.url, `/v1/events?source=killick&action=${action}&target=${target}`)).json.events

  test('a link has an unguessable token, of which only the hash is stored', async () => {
    const { status, json } = await post({ eventId, fields: ['action'] })
    expect(status).toBe(201)
    expect(json).toMatchObject({ fields: ['action'], state: 'open', expires: null, revokedAt: null })
    const token = json.url.match(/\/p\/([\w-]{43})$/)![1]
    const rows = await queryAsOwner(service.databaseUrl, 'select * from killick.shares')
    expect(JSON.stringify(rows)).not.toContain(token)
    const found = await systemEvents('share.create', json.id)
    expect(found).toHaveLength(1)
    expect(found[0].fields.metadata).toMatchObject({ fields: ['action'], expires: null })
    expect(JSON.stringify(found)).not.toContain(token)
  })

  test('shows the chosen fields and nothing of the others, in page, proof and preview', async () => {
    const { url } = await audit.share(eventId, { fields: ['action', 'targets'] })
    const [page, proof] = await Promise.all([fetch(url), fetch(`${url}/proof`)])
    const [html, json] = [await page.text(), await proof.text()]
    expect(parseEvent(parseProof(json).event).fields).toEqual({ action: INVOICE.action, targets: INVOICE.targets })
    expect(html).toContain('<meta property="og:title" content="invoice.approve" />')
    const whole = (await call(service.url, `/v1/proofs/${eventId}`)).json.event as string
    const { disclosures } = parseEvent(whole)
    for (const hidden of disclosures.filter(({ name }) => name !== 'action' && name !== 'targets')) {
      expect(json).not.toContain(hidden.text)
    }
    for (const secret of ['Zoë', 'Lindqvist', '203.0.113.7', 'approved']) expect(html).not.toContain(secret)
    for (const answer of [page, proof]) {
      expect(answer.headers.get('cache-control')).toBe('no-store')
      expect(answer.headers.get('referrer-policy')).toBe('no-referrer')
    }
    const policy = page.headers.get('content-security-policy')!
    expect(policy).toContain("script-src 'self'")
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy).not.toContain('unsafe')
    // Mail programs take the marks behind a link into it.
    for (const mark of ['.', '>,', '%29', '/']) expect((await fetch(url + mark)).url, mark).toBe(url)
  })

  test('field values cannot break out of the preview', async () => {
    const { id } = await audit.record({ ...INVOICE, action: '"><script>alert(1)</script>\u202e' })
    await audit.flush()
    const { url } = await audit.share(id, { fields: ['action'] })
    const html = await (await fetch(url)).text()
    expect(html).toContain('&#34;&#62;&#60;script&#62;alert(1)')
    expect(html).not.toMatch(/<script>|\u202e/)
  })

  test('a preview tells a denied action from a done one, and that the outcome is not shown', async () => {
    const { id } = await audit.record({ ...INVOICE, action: 'salary.change', outcome: 'denied' })
    await audit.flush()
    const head = async (fields: string[]) => (await fetch((await audit.share(id, { fields })).url)).text()
    expect(await head(['action', 'outcome'])).toContain('"og:title" content="Denied: salary.change"')
    expect(await head(['action'])).toContain('Whether it succeeded is not shown.')
  })

  test('revoked, expired and unknown links tell their state and nothing about the event', async () => {
    const revoked = await audit.share(eventId, { fields: ['action'] })
    expect((await call(service.url, `/v1/shares/${revoked.id}`, READER, { method: 'DELETE' })).json.state).toBe(
      'revoked',
    )
    await call(service.url, `/v1/shares/${revoked.id}`, READER, { method: 'DELETE' })
    expect(await systemEvents('share.revoke', revoked.id)).toHaveLength(1)

    const expired = await audit.share(eventId, { fields: ['action'], expires: new Date(Date.now() + 3_600_000) })
    expect((await fetch(`${expired.url}/proof`)).status).toBe(200)
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 })
    onTestFinished(() => void vi.useRealTimers())
    expect((await fetch(`${expired.url}/proof`)).status).toBe(410)

    const unknown = `${service.url}/p/${'A'.repeat(43)}`
    const pages = await Promise.all([revoked.url, expired.url, unknown].map(async (url) => (await fetch(url)).text()))
    const proofs = await Promise.all(
      [revoked.url, expired.url, unknown].map(
        async (url) => (await (await fetch(`${url}/proof`)).json()) as { code: string },
      ),
    )
    expect(proofs.map(({ code }) => code)).toEqual(['share_revoked', 'share_expired', 'share_not_found'])
    const anonymous = (text: string) => text.replaceAll(/\/p\/[\w-]{43}/g, '/p/…')
    expect(new Set(pages.map(anonymous)).size).toBe(1)
    expect(Object.keys(proofs[0]!).sort()).toEqual(['code', 'detail', 'status', 'title', 'type'])
    for (const url of [revoked.url, expired.url, unknown]) {
      expect((await fetch(`${url}/trust.json`)).ok).toBe(false)
    }
  })

  test('what cannot be shared is refused', async () => {
    const cases: [body: object, code: string][] = [
      [{ eventId: '0195bf3e-0000-7000-8000-000000000000', fields: [] }, 'event_not_found'],
      [{ eventId, fields: ['salary'] }, 'request_invalid'],
      [{ eventId, fields: ['action'], expires: '2020-01-01T00:00:00Z' }, 'request_invalid'],
      [{ eventId, fields: ['action'], expires: 'soon' }, 'request_invalid'],
      [{ eventId, fields: ['action', 'action'] }, 'request_invalid'],
      [{ eventId }, 'request_invalid'],
    ]
    for (const [body, code] of cases) expect((await post(body)).json.code, JSON.stringify(body)).toBe(code)
    expect((await post({ eventId, fields: [] }, null)).json.code).toBe('unauthorized')
    const missing = '/v1/shares/00000000-0000-4000-8000-000000000000'
    expect((await call(service.url, missing, READER, { method: 'DELETE' })).json.code).toBe('share_not_found')
    expect((await call(service.url, missing, null, { method: 'DELETE' })).json.code).toBe('unauthorized')
  })

  test('shares are listed newest first, page by page, without their links', async () => {
    const first = await call(service.url, '/v1/shares?limit=1')
    const second = await call(service.url, `/v1/shares?limit=1&cursor=${first.json.next}`)
    expect(first.json.shares[0].createdAt >= second.json.shares[0].createdAt).toBe(true)
    expect(first.json.shares[0].id).not.toBe(second.json.shares[0].id)
    expect(first.text).not.toContain('/p/')
  })

  test('killick share makes a link, and withdraws it', async () => {
    const cli = join(import.meta.dirname, '../../sdk/src/cli/main.ts')
    const env = { ...process.env, KILLICK_URL: service.url, KILLICK_TOKEN: READER }
    const { stdout, stderr } = await run(process.execPath, [cli, 'share', eventId, '--fields', 'action'], { env })
    expect((await fetch(`${stdout.trim()}/proof`)).status).toBe(200)
    const id = stderr.match(/--revoke ([\w-]{36})/)![1]!
    await run(process.execPath, [cli, 'share', '--revoke', id], { env })
    expect((await fetch(`${stdout.trim()}/proof`)).status).toBe(410)
  })

  test('guessing is slowed down', async () => {
    const slow = await testService({ KILLICK_RATE_LIMIT: '12000' }, service)
    try {
      const guesses = Array.from({ length: 130 }, (_, i) =>
        fetch(`${slow.url}/p/${i}/proof`).then(({ status }) => status),
      )
      const answers = await Promise.all(guesses)
      expect(answers.filter((status) => status === 404)).toHaveLength(120)
      expect(answers.filter((status) => status === 429)).toHaveLength(10)
    } finally {
      await slow.close()
    }
  })

  describe.skipIf(!browserAvailable())('in a browser', () => {
    async function open(url: string) {
      const watched = await watch(await browser!.newContext())
      await watched.page.goto(url)
      const banner = watched.page.locator('[data-state]:not([data-state=asking])')
      await banner.waitFor()
      return { ...watched, state: await banner.getAttribute('data-state') }
    }

    test('a link, and the link that holds the whole proof, get one verdict in the same words', async () => {
      const { url } = await audit.share(eventId, { fields: ['action', 'actor', 'outcome'] })
      const { page } = await open(url)
      expect(await page.textContent('.paper')).toContain(url)
      const proof = await (await fetch(`${url}/proof`)).text()
      const whole = await open(`${service.url}/verify/#${await packFragment(proof)}`)
      expect(whole.state).toBe('genuine')
      expect(await whole.page.innerText('h1')).toBe(await page.innerText('h1'))
      expect(await whole.page.getAttribute('.banner', 'class')).toBe(await page.getAttribute('.banner', 'class'))
    })

    test('an outsider opens the link: genuine on the publisher’s word; changes one character: red, with the check named', async () => {
      const { url } = await audit.share(eventId, { fields: ['action', 'actor'] })
      const { page, state, complaints, requests } = await open(url)
      expect(state).toBe('genuine')
      expect(await page.getAttribute('.banner', 'data-trust')).toBe('word')
      expect(await page.innerText('.banner')).toContain('Whether it succeeded is not shown')
      const content = await page.content()
      for (const hidden of ['203.0.113.7', 'Harbour dues', 'approved']) expect(content).not.toContain(hidden)
      const hosts = new Set(requests.map((request) => new URL(request).host))
      expect(hosts).toEqual(new Set([new URL(service.url).host, new URL(chain.url).host]))
      await page.click('#change')
      await page.locator('.banner.bad').waitFor()
      expect(await page.getAttribute('[data-check="event.form"]', 'class')).toContain('failed')
      expect(complaints).toEqual([])
    })

    test('its QR code is the link itself, which gives the same verdict', async () => {
      const { url } = await audit.share(eventId, { fields: ['action', 'actor'] })
      const { page } = await open(url)
      await page.click('button:text("Show as QR code")')
      const link = await readQr(page)
      expect(link).toBe(url)
      expect((await open(link)).state).toBe('genuine')
    })

    test('a withdrawn link says so, and that it says nothing about the event', async () => {
      const { url, id } = await audit.share(eventId, { fields: ['action'] })
      await call(service.url, `/v1/shares/${id}`, READER, { method: 'DELETE' })
      const { state, page } = await open(url)
      expect(state).toBe('link-revoked')
      expect(await page.content()).not.toContain('invoice.approve')
      expect((await open(`${service.url}/p/${'A'.repeat(43)}`)).state).toBe('link-unknown')
    })

    test('the page of the service takes proofs of its own log and verifies them', async () => {
      const { text } = await call(service.url, `/v1/proofs/${eventId}`)
      const watched = await watch(await browser!.newContext())
      await watched.page.goto(`${service.url}/verify/`)
      await watched.page.fill('#paste', text)
      await watched.page.click('text=Check this text')
      // Which key is whose is not for everyone to see: that this one is the source's is the log's word.
      await watched.page.locator('[data-state=genuine][data-trust=word]').waitFor()
      expect(await watched.page.innerText('.standing')).toContain('On the word of the log')
      const href = (await watched.page.getAttribute('.alone a', 'href'))!
      const protocol = await fetch(new URL(href, watched.page.url()))
      expect(protocol.headers.get('content-type')).toContain('text/plain')
      expect(await protocol.text()).toContain('# The Killick protocol')
      expect(watched.complaints).toEqual([])
    })

    // The last: from here on the event is another.
    test('of an event that was erased in part, it shows the rest, and who ordered the erasure', async () => {
      const { url } = await audit.share(eventId, { fields: ['action', 'actor', 'context'] })
      const order = {
        ...{ ids: [eventId], fields: ['actor', 'context'], reason: 'request of the person' },
        ...{ legalBasis: 'GDPR Art. 17(1)', order: 'E-2026-114' },
      }
      const { json } = await call(service.url, '/v1/erasures', ERASER, {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(order) },
      })
      await vi.waitUntil(async () => (await call(service.url, `/v1/erasures/${json.id}`)).json.state === 'done', 10_000)
      const { page, state, complaints } = await open(url)
      expect(state).toBe('genuine')
      const facts = await page.innerText('.facts')
      expect(facts).toMatch(/Erased\s+2 fields, on .*, by order E-2026-114 request of the person · GDPR Art. 17\(1\)/)
      expect(facts).not.toContain('Lost')
      const content = await page.content()
      for (const gone of ['Lindqvist', '203.0.113.7']) expect(content).not.toContain(gone)
      expect(facts).toMatch(/Outcome\s+not shown in this proof/)
      expect(complaints).toEqual([])

      const rest = await call(service.url, '/v1/erasures', ERASER, {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
        body: JSON.stringify({ ids: [eventId], fields: 'all', reason: 'request of the person' }),
      })
      const isDone = async () => (await call(service.url, `/v1/erasures/${rest.json.id}`)).json.state === 'done'
      await vi.waitUntil(isDone, 20_000)
      const later = await open(url)
      const left = await later.page.innerText('.facts')
      for (const name of ['What', 'Outcome', 'Who', 'To what'])
        expect(left).toMatch(new RegExp(`${name}\\s+not held any more, or never recorded`))
      expect(left).not.toContain('not shown in this proof')
    })
  })
})
