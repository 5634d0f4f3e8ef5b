// `node scripts/screenshots.ts`: the pictures in docs/, from a real service with a real chain, in the real pages.
//
// Needs Chromium. Run it again whenever the pages change.
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { loadConfig, startAnchoring, startService } from '@killick/anchor-service'
import { generateKey, openAuditLog, publicJwk } from '@killick/sdk'
import { type BrowserContextOptions, chromium } from 'playwright-core'
import { openApi } from './lib/api.ts'
import { startChain } from './lib/local-chain.ts'
import { findTool, TOOLS } from './lib/tools.ts'
import { buildPage } from './page.ts'

const folder = fileURLToPath(new URL('../docs/pictures/', import.meta.url))
const executablePath = findTool('chromium')
if (executablePath === null) throw new Error(`Chromium is missing: ${TOOLS.chromium.install}`)

const data = await mkdtemp(join(tmpdir(), 'killick-pictures-'))
await mkdir(folder, { recursive: true })
await buildPage()
const chain = await startChain()
const chainKey = await chain.newKey()
const service = await startService(
  loadConfig({
    ...{ KILLICK_DATA: data, PORT: '0', KILLICK_LOG_LEVEL: 'error', KILLICK_ORIGIN: 'ledger.example.com' },
    ...{
      KILLICK_RPC_URL: chain.url,
      KILLICK_CONTRACT: await chain.deployAnchorLog(chainKey),
      KILLICK_CHAIN_KEY: chainKey,
    },
    ...{ KILLICK_ANCHOR_INTERVAL_MS: '300', KILLICK_CONFIRMATIONS: '1' },
  }),
  startAnchoring,
)
const browser = await chromium.launch({ executablePath, args: ['--headless', '--no-sandbox', '--disable-gpu'] })
try {
  const api = openApi(service.url, service.tokens)
  const link = await recordInvoices()
  await picture('front.png', service.url, { width: 1100, height: 760 })
  await picture('page.png', link, { width: 1100, height: 900 })
  await picture('page-dark.png', link, { width: 1100, height: 900 }, { colorScheme: 'dark' })
  await picture('page-phone.png', link, { width: 360, height: 780 })
  await picture('page-altered.png', link, { width: 1100, height: 900 }, {}, async (page) => {
    await page.click('#change')
    await page.locator('.banner.bad').waitFor()
    await page.locator('[data-check="anchor.0.contract"].passed').waitFor()
    await page.evaluate('scrollTo(0, 0)')
  })
  await consolePicture('console-home.png', '#/home')
  await consolePicture('console-events.png', '#/events')
  await consolePicture('console-anchors.png', '#/anchors')

  /** A morning in an office, and a link to its last decision. */
  async function recordInvoices(): Promise<string> {
    const key = generateKey()
    await api.post('/v1/sources', { source: 'billing-api', keys: [{ jwk: publicJwk(key) }] })
    const audit = await openAuditLog({ url: service.url, source: 'billing-api', key, spool: join(data, 'spool') })
    const people = ['Zoë Lindqvist', 'Amadou Diallo', 'Mei Tanaka']
    let eventId = ''
    for (let i = 0; i < 12; i++) {
      const approves = i % 3 === 2
      const { id } = await audit.record({
        action: approves ? 'invoice.approve' : i % 3 === 0 ? 'invoice.create' : 'invoice.view',
        actor: { type: 'user', id: `u-${17 + (i % 3)}`, name: people[i % 3]! },
        targets: [{ type: 'invoice', id: `2026-00${40 + Math.floor(i / 3)}`, name: 'Harbour dues, March' }],
        outcome: i === 7 ? 'denied' : 'success',
        ...(approves && { changes: [{ path: '/status', before: 'draft', after: 'approved' }] }),
        context: { ip: '203.0.113.7' },
      })
      eventId = id
      if (i % 3 === 2) {
        await audit.flush()
        await anchored(id)
      }
    }
    await audit.close()
    const fields = ['action', 'actor', 'targets', 'outcome', 'changes']
    return (await api.post<{ url: string }>('/v1/shares', { eventId, fields }, 'reader')).url
  }

  async function anchored(id: string): Promise<void> {
    while ((await api.get<{ anchors: unknown[] }>(`/v1/proofs/${id}`)).anchors.length === 0) await sleep(100)
  }

  type Page = Awaited<ReturnType<typeof browser.newPage>>
  async function picture(
    name: string,
    url: string,
    viewport: { width: number; height: number },
    options: BrowserContextOptions = {},
    act: (page: Page) => Promise<void> = async () => {},
  ): Promise<void> {
    const context = await browser.newContext({ viewport, ...options })
    const page = await context.newPage()
    await page.goto(url)
    await page.locator('[data-state]:not([data-state=asking]), [data-tone]').first().waitFor()
    await act(page)
    await page.screenshot({ path: join(folder, name) })
    await context.close()
    console.log(`docs/pictures/${name}`)
  }

  async function consolePicture(name: string, view: string): Promise<void> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 760 } })
    const page = await context.newPage()
    const { url } = await api.post<{ url: string }>('/console/sign-in-links', {}, 'reader')
    await page.goto(url)
    await page.locator('h1:text("Overview")').waitFor()
    await page.goto(`${service.url}/console/${view}`)
    await page.locator('[aria-current=page]').waitFor()
    await page.waitForTimeout(800)
    await page.screenshot({ path: join(folder, name) })
    await context.close()
    console.log(`docs/pictures/${name}`)
  }
} finally {
  await browser.close()
  await service.close()
  await chain.stop()
  await rm(data, { recursive: true, force: true })
}
