// The page in German: nothing of it is left in English, it is chosen by the browser or by hand, and it fits.
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import {
  type AnchorFact,
  type Proof,
  parseHash,
  parseProof,
  printProof,
  type Trust,
  verifyProof,
} from '@killick/sdk/verify'
import { checkInWords } from '@killick/sdk/words'
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { GERMAN } from '../../anchor-service/web/page/german.ts'
import { LANGUAGES, preferred } from '../../anchor-service/web/page/languages.ts'
import { tamper } from '../../anchor-service/web/page/tamper.ts'
import { ENGLISH } from '../../anchor-service/web/shared/english.ts'
import { packFragment } from '../../anchor-service/web/shared/fragment.ts'
import { speak } from '../../anchor-service/web/shared/language.ts'
import { type Asked, summarize } from '../../anchor-service/web/shared/summary.ts'
import { type LocalChain, startChain } from '../support/local-chain.ts'
import { buildAlone } from '../support/page.ts'
import { vectors } from '../support/vectors.ts'
import { browserAvailable, host, launch, violations, type Watched, watch } from './browser.ts'
import { INVOICE, type Ledger, openLedger } from './ledger.ts'

/** Words of every English sentence, none of which is a German one. */
const IS_ENGLISH =
  /\b(the|is|are|of|and|this|that|it|its|with|by|which|nobody|what|has|have|to|for|from|on|be|or|as|at|key|keys|entry|record|anchor|field|fields)\b/i

test('the language is the first of the browser’s that the page has', () => {
  expect(preferred(['de-AT', 'en']).tag).toBe('de')
  expect(preferred(['fr', 'DE', 'en']).tag).toBe('de')
  expect(preferred(['en-GB', 'de']).tag).toBe('en')
  expect(preferred(['fr-CH']).tag).toBe('en')
  expect(preferred([]).tag).toBe('en')
  expect(LANGUAGES.map(({ tag, name }) => [tag, name])).toEqual([ENGLISH, GERMAN].map(({ tag, name }) => [tag, name]))
})

describe('of every verdict that the vectors come to', () => {
  type Read = { description: string; proof: string; trust: Trust & { facts?: (AnchorFact & { root: unknown })[] } }
  const cases = [...vectors<object[]>('proofs'), ...vectors<{ proofs: object[] }>('successions').proofs]
    .filter((v): v is Read => 'trust' in v)
    .map(({ description, proof: text, trust: { facts, ...rest } }) => {
      const proof = parseProof(text)
      const read = (facts ?? []).map((fact) => ({ ...fact, root: parseHash(fact.root as unknown as string)! }))
      return { description, proof, facts: read, verdict: verifyProof(proof, { ...rest, facts: read }) }
    })

  test('each check has a German title and detail, and neither is the English one', () => {
    for (const check of cases.flatMap(({ verdict }) => verdict.checks)) {
      const [german, english] = [GERMAN, ENGLISH].map(({ verdict }) => checkInWords(check, verdict))
      const where = `${check.id} ${check.reason} ${JSON.stringify(check.values)}`
      expect(german!.title, where).not.toBe(english!.title)
      for (const text of [german!.title, german!.detail]) {
        expect(text, where).toMatch(/\w/)
        expect(text, where).not.toMatch(IS_ENGLISH)
        expect(text, where).not.toMatch(/undefined|null|NaN|\[object|\.$/)
      }
    }
  })

  test('the banner is German, with each kind of trust', () => {
    speak(GERMAN)
    try {
      const node = 'node.example'
      const silent = { node, unreadable: 'in English', fault: { what: 'timeout', seconds: 10 } }
      for (const { description, proof, facts, verdict } of cases) {
        for (const asked of [
          { nodes: [node], asking: true, facts: [] },
          { nodes: [], asking: false, facts: [] },
          { nodes: [node], asking: false, facts: [silent as AnchorFact] },
          { nodes: [node], asking: false, facts },
        ] satisfies Asked[])
          for (const who of ['you', 'publisher', 'nobody'] as const) {
            const by = { sourceKeys: who, logKeys: who, logs: who }
            const { headline, reason, caveats, rung } = summarize(verdict, proof, asked, {
              by,
              publisher: 'Muster GmbH',
            })
            for (const text of [headline, reason, ...caveats, rung?.words ?? ''])
              expect(text, description).not.toMatch(IS_ENGLISH)
          }
      }
    } finally {
      speak(ENGLISH)
    }
  })
})

describe.skipIf(!browserAvailable())('the page in German', () => {
  let folder: string
  let chain: LocalChain
  let ledger: Ledger
  let browser: Browser
  let site: Awaited<ReturnType<typeof host>>
  /** Published by nobody: nothing is pinned, and no node is named. */
  let bare: Awaited<ReturnType<typeof host>>
  const proofs: { [state: string]: Proof } = {}
  const contexts: BrowserContext[] = []

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'killick-language-'))
    const folders = { site: join(folder, 'site'), bare: join(folder, 'bare') }
    ;[chain, browser] = await Promise.all([
      startChain(),
      launch(),
      ...[buildAlone(folders.site), buildAlone(folders.bare)],
    ])
    ledger = await openLedger(chain)
    await writeFile(join(folders.site, 'trust.json'), JSON.stringify(ledger.trust))
    site = await host(folders.site)
    bare = await host(folders.bare)
    const shown = ['action', 'actor', 'targets', 'outcome', 'changes']
    proofs.genuine = await ledger.prove(INVOICE, { shown })
    proofs.denied = await ledger.prove({ ...INVOICE, outcome: 'denied', occurredAt: '2026-01-10T09:00:00Z' })
    proofs.failed = tamper(proofs.genuine, { id: 'anchorRoot', label: '' }).proof
    proofs.undecided = { ...(await ledger.prove(INVOICE, { shown: ['action', 'actor', 'targets'] })), missing: 1 }
    proofs.unanchored = await ledger.prove(INVOICE, { anchor: false })
  })
  afterEach(async () => {
    await Promise.all(contexts.splice(0).map((context) => context.close()))
  })
  afterAll(async () => {
    await browser?.close()
    await Promise.all([chain?.stop(), site?.close(), bare?.close()])
    await rm(folder, { recursive: true, force: true })
  })

  const STATES = {
    genuine: 'genuine',
    denied: 'genuine',
    failed: 'altered',
    undecided: 'not-asked',
    unanchored: 'not-anchored',
  } as const
  type State = keyof typeof STATES

  async function visit(address: string, options: BrowserContextOptions): Promise<Watched> {
    const context = await browser.newContext(options)
    contexts.push(context)
    const watched = await watch(context)
    await watched.page.goto(address)
    return watched
  }

  async function show(state: State, options: BrowserContextOptions = { locale: 'de-DE' }): Promise<Watched> {
    const at = state === 'undecided' ? bare : site
    const watched = await visit(`${at.url}#${await packFragment(printProof(proofs[state]!))}`, options)
    await watched.page.locator(`[data-state=${STATES[state]}]`).waitFor()
    return watched
  }

  /** Everything that is said: texts, labels and the title, without values in fixed-width type. */
  async function textsOf(page: Page): Promise<string[]> {
    return page.evaluate<string[]>(`(async () => {
      for (const details of document.querySelectorAll('details')) details.open = true
      dispatchEvent(new Event('beforeprint'))
      await new Promise((resolve) => setTimeout(resolve))
      const texts = [document.title]
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
      for (let node = walker.nextNode(); node; node = walker.nextNode())
        if (!node.parentElement.closest('code, pre, script, noscript')) texts.push(node.data)
      for (const element of document.querySelectorAll('main *'))
        for (const name of ['aria-label', 'title', 'placeholder', 'alt']) texts.push(element.getAttribute(name) ?? '')
      return [...new Set(texts.map((text) => text.trim()).filter((text) => /\\p{L}/u.test(text)))]
    })()`)
  }

  /** Texts that are not ours, and names that are the same in every language. */
  function isData(text: string): boolean {
    const leaves = (value: unknown): string[] =>
      typeof value === 'object' && value !== null
        ? Object.entries(value).flatMap(([k, v]) => [k, ...leaves(v)])
        : [String(value)]
    const known = [...leaves(INVOICE), 'billing-api', 'ledger.example.com/2026', 'Example Ltd', new URL(chain.url).host]
    const names = ['Killick', 'English', 'Deutsch', 'Link']
    return known.includes(text) || names.includes(text) || /^Block \d+$|^\{"format"|^[0-9a-f-]{36}$/.test(text)
  }

  test.each(Object.keys(STATES) as State[])(
    '%s: no English is left, and nothing is in the way or off a small screen',
    async (state) => {
      const { page, complaints } = await show(state)
      expect(await page.getAttribute('html', 'lang')).toBe('de')
      const german = await textsOf(page)
      expect(german.length).toBeGreaterThan(60)
      expect(german.filter((text) => !isData(text) && IS_ENGLISH.test(text))).toEqual([])
      // What stands in both was never translated.
      const english = await textsOf((await show(state, { locale: 'en-GB' })).page)
      expect(german.filter((text) => english.includes(text) && !isData(text))).toEqual([])
      expect(await violations(page)).toEqual([])
      await page.setViewportSize({ width: 320, height: 640 })
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(320)
      expect(await violations(page)).toEqual([])
      expect(complaints).toEqual([])
    },
  )

  test('a genuine record and a denied one are described in German', async () => {
    const { page } = await show('genuine')
    const banner = await page.innerText('.banner')
    expect(banner).toContain('nach Angabe von Example Ltd')
    expect(banner).toContain('Der gezeigte Teil der Aufzeichnung ist echt')
    expect(banner).toContain('Das belegt, wer es wann so angegeben hat, nicht aber, dass es zutrifft.')
    expect(banner).toContain('Wer sie betreibt, kann sie umschreiben')
    expect(await page.innerText('.facts')).toContain('3. März 2026 um 14:02')
    const { page: denied } = await show('denied')
    expect(await denied.innerText('.banner')).toContain('Diese Aufzeichnung ist echt: eine abgelehnte Handlung')
    expect(await denied.innerText('.facts')).toMatch(
      /Versucht\s+invoice.approve und nicht ausgeführt\s+Ausgang\s+Abgelehnt/,
    )
  })

  test('only what is proven is called genuine', async () => {
    for (const state of ['failed', 'undecided', 'unanchored'] as const) {
      const { page } = await show(state)
      expect(await page.innerText('.banner'), state).not.toMatch(/\bechte?\b/i)
    }
  })

  test('the welcome and a refusal are in German', async () => {
    const { page } = await visit(site.url, { locale: 'de-DE' })
    await page.locator('.welcome').waitFor()
    expect(await page.title()).toBe('Ist diese Aufzeichnung echt? · Killick')
    const refusals: [text: string, why: string][] = [
      ['', 'Die Eingabe ist leer (proof_malformed)'],
      ['this is no proof', 'Der Text ist kein JSON (json_invalid)'],
      ['{"number":1,"proof":null}', 'Das ist ein Export von Ereignissen'],
      ['{"format":"killick-proof/2"}', 'Das Dokument ist kein Nachweis der Form killick-proof/1 (proof_malformed)'],
    ]
    for (const [text, why] of refusals) {
      await page.fill('#paste', text)
      await page.click(`button:text("${GERMAN.intake.check}")`)
      await page.locator(`[data-state=unreadable]:has-text("${why}")`).waitFor()
      expect((await textsOf(page)).filter((told) => IS_ENGLISH.test(told))).toEqual([])
    }
    await page.goto(`${site.url}#abcd`)
    await page.locator('[data-state=unreadable]:has-text("abgeschnitten")').waitFor()
  })

  test('what is wrong with a pin is said in German', async () => {
    const { page } = await show('undecided')
    await page.click(`text=${GERMAN.trust.pins}`)
    for (const [id, text] of [
      ['rpc', 'ftp://node'],
      ['source-key', '{'],
      ['log-key', 'no key'],
      ['contract', '1 0x12'],
    ] as const) {
      await page.fill(`#${id}`, text)
      await page.click(`button:text("${GERMAN.trust.again}")`)
      const answer = await page.locator('.trust [role=status].bad').innerText()
      expect(answer).toMatch(/\p{L}.*\.$/u)
      expect(answer).not.toMatch(IS_ENGLISH)
      await page.fill(`#${id}`, '')
    }
    await page.fill('#rpc', 'http://127.0.0.1:9')
    await page.click(`button:text("${GERMAN.trust.again}")`)
    await page.locator('[data-state=unreachable]').waitFor()
    expect(await page.innerText('.banner')).toContain('127.0.0.1:9: Der Knoten ist nicht erreichbar')
    expect(await page.innerText('.standing')).toContain('Die Blockchain wurde befragt über 127.0.0.1:9')
  })

  test('the switch works by keyboard, and keeps link, verdict and what was typed', async () => {
    const { page, requests } = await show('genuine', { locale: 'en-GB' })
    const address = page.url()
    await page.click(`text=${ENGLISH.trust.pins}`)
    await page.fill('#log-key', 'half a k')
    const asked = requests.length
    await page.focus('#language-en')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await page.locator(`h2:text("${GERMAN.facts.title}")`).waitFor()
    expect(await page.evaluate('document.activeElement.id')).toBe('language-de')
    expect(await page.getAttribute('#language-de', 'aria-pressed')).toBe('true')
    expect(await page.getAttribute('html', 'lang')).toBe('de')
    expect(page.url()).toBe(address)
    expect(await page.getAttribute('.banner', 'data-state')).toBe('genuine')
    expect(await page.inputValue('#log-key')).toBe('half a k')
    expect(await page.isVisible('#log-key')).toBe(true)
    // The chain is not asked anew for a language; only its words are fetched.
    expect(requests.slice(asked)).toEqual([`${site.url}german.js`])
    expect((await textsOf(page)).filter((text) => !isData(text) && IS_ENGLISH.test(text))).toEqual([])
    await page.reload()
    await page.locator(`h2:text("${GERMAN.facts.title}")`).waitFor()
    // It is kept for the tab, and not on the device.
    expect(await page.evaluate('localStorage.length')).toBe(0)
    await page.click('#language-en')
    await page.locator(`h2:text("${ENGLISH.facts.title}")`).waitFor()
    expect(await page.getAttribute('html', 'lang')).toBe('en')
  })

  test('a page on a disk speaks German too; a copy without the German words says so and stays in English', async () => {
    const address = pathToFileURL(join(folder, 'bare', 'index.html')).href
    const { page, complaints } = await visit(address, { locale: 'de-DE' })
    await page.locator(`h1:text("${GERMAN.welcome.title}")`).waitFor()
    expect(complaints).toEqual([])
    await rename(join(folder, 'bare', 'german.js'), join(folder, 'bare', 'gone.js'))
    await page.reload()
    await page.locator(`h1:text("${ENGLISH.welcome.title}")`).waitFor()
    await page.click('#language-de')
    await page.locator('[role=status]:text("Deutsch could not be loaded.")').waitFor()
    await rename(join(folder, 'bare', 'gone.js'), join(folder, 'bare', 'german.js'))
  })

  test('a changed character stays changed when the language does', async () => {
    const { page } = await show('genuine', { locale: 'en-GB' })
    await page.selectOption('#place', 'field action')
    await page.click('#change')
    await page.locator('.banner.bad').waitFor()
    await page.click('#language-de')
    await page.locator(`.banner.bad:has-text("${GERMAN.failures.form[0]}")`).waitFor()
    expect(await page.inputValue('#place')).toBe('field action')
    await page.click('#restore')
    await page.locator('[data-state=genuine]').waitFor()
  })

  test('a printed page is German too, with its way back and its page numbers', async () => {
    const { page } = await show('genuine')
    await page.emulateMedia({ media: 'print' })
    await page.evaluate('dispatchEvent(new Event("beforeprint"))')
    await page.locator('.paper svg.qr').waitFor()
    const foot = await page.innerText('.paper')
    expect(foot).toMatch(/am \d+\. \p{L}+ 20\d\d um \d\d:\d\d:\d\d UTC/u)
    expect(foot).toContain(GERMAN.paper.note)
    expect(await page.evaluate('getComputedStyle(document.body).page')).toBe('de')
    expect(await page.locator('.languages').isVisible()).toBe(false)
    const pdf = await page.pdf({ format: 'A4' })
    expect(pdf.toString('latin1').match(/\/Type\s*\/Page\b/g)!.length).toBeGreaterThan(1)
  })

  test('a browser without scripts is told so in both languages', async () => {
    const html = await readFile(join(folder, 'site', 'index.html'), 'utf8')
    const noscript = /<noscript>([\s\S]*)<\/noscript>/.exec(html)![1]!
    expect(noscript).toMatch(/<p lang="de">[^<]*benötigt dafür JavaScript/)
    expect(noscript).toMatch(/<p>[^<]*needs JavaScript/)
  })
})
