import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { createRequire } from 'node:module'
import { extname, join, normalize } from 'node:path'
import type { AxeResults } from 'axe-core'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import decodeQR from 'qr/decode.js'
import { findTool } from '../../scripts/lib/tools.ts'

export const browserAvailable = (): boolean => findTool('chromium') !== null

export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: findTool('chromium')!,
    args: [
      ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ],
  })
}

/** Where a page asked for something, and what it complained about. */
export interface Watched {
  page: Page
  requests: string[]
  /** Script errors and violations of the Content-Security-Policy. */
  complaints: string[]
}

export async function watch(context: BrowserContext): Promise<Watched> {
  const page = await context.newPage()
  // As long as a test may take: how long a page takes depends on the machine.
  page.setDefaultTimeout(60_000)
  const requests: string[] = []
  const complaints: string[] = []
  page.on('request', (request) => requests.push(request.url()))
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('console', (message) => {
    if (/Content Security Policy|Uncaught/i.test(message.text())) complaints.push(message.text())
  })
  return { page, requests, complaints }
}

// Half the size of what axe-core exports as its source.
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** What axe calls serious or critical in the page as it stands. */
export async function violations(page: Page): Promise<string[]> {
  // Once to a document: a browser takes as long to read it as to look through a page.
  if (await page.evaluate('typeof axe === "undefined"')) await page.evaluate(`${axe}; undefined`)
  // A rule gives its own impact to all that it finds, so one that is minor or moderate can find nothing that counts here. And what
  // passed would take long to come over.
  const found = await page.evaluate<AxeResults['violations']>(`{
    const rules = {}
    for (const { id, impact } of axe._audit.rules)
      if (impact === 'minor' || impact === 'moderate') rules[id] = { enabled: false }
    axe.run({ rules, resultTypes: ['violations'], preload: false }).then(({ violations }) => violations)
  }`)
  const serious = found.filter(({ impact }) => impact === 'serious' || impact === 'critical')
  return serious.map(({ id, nodes }) => `${id}: ${nodes[0]?.html} ${nodes[0]?.failureSummary}`)
}

/** What the QR code on a page says to whoever photographs the screen. */
export async function readQr(page: Page, within = '.raw'): Promise<string> {
  const code = page.locator(`${within} svg.qr`)
  await code.scrollIntoViewIfNeeded()
  const picture = (await code.screenshot()).toString('base64')
  // A page of its own: the policy of the one that is looked at lets no picture in.
  const reader = await page.context().newPage()
  const pixels = await reader.evaluate<{ width: number; height: number; data: string }>(`(async () => {
    const bytes = Uint8Array.from(atob(${JSON.stringify(picture)}), (char) => char.charCodeAt(0))
    const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/png' }))
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d')
    context.drawImage(bitmap, 0, 0)
    const { width, height, data } = context.getImageData(0, 0, bitmap.width, bitmap.height)
    let text = ''
    for (let i = 0; i < data.length; i += 8192) text += String.fromCharCode(...data.subarray(i, i + 8192))
    return { width, height, data: btoa(text) }
  })()`)
  await reader.close()
  return decodeQR({ ...pixels, data: new Uint8Array(Buffer.from(pixels.data, 'base64')) })
}

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
}

/** A static host on a free loopback port, as anyone might put the page on. */
export async function host(folder: string): Promise<{ url: string; close: () => Promise<void> }> {
  const server: Server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url!, 'http://host').pathname)
    try {
      const file = join(folder, path.endsWith('/') ? `${path}index.html` : path)
      const body = await readFile(file)
      response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(body)
    } catch {
      response.writeHead(404).end()
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return {
    url: `http://127.0.0.1:${port}/`,
    close: () => {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}
