import { globSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { extname, join, normalize } from 'node:path'
import type { AxeResults } from 'axe-core'
import { chromium } from 'playwright-core'
import { findTool } from './tools.ts'

const TYPES: Record<string, string> = {
  ...{ '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json' },
  ...{ '.svg': 'image/svg+xml', '.png': 'image/png', '.woff2': 'font/woff2' },
}

/**
 * Opens every page of a site in Chromium, light and dark.
 * @returns a line for each violation that axe finds, each script error, and each request to another host
 */
export async function checkSite(folder: string): Promise<string[]> {
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURI(new URL(request.url!, 'http://site').pathname)).replace(/\/$/, '/index.html')
    const body = await readFile(join(folder, path)).catch(() => null)
    response.writeHead(body ? 200 : 404, { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream' })
    response.end(body ?? '')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${(server.address() as { port: number }).port}`
  const browser = await chromium.launch({ executablePath: findTool('chromium')!, args: ['--headless', '--no-sandbox'] })
  const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
  const faults: string[] = []
  const anchors = new Set<string>()
  const links: { from: string; to: string }[] = []
  // The pages of the API are typedoc's own.
  const paths = globSync('**/*.html', { cwd: folder }).filter((path) => !path.startsWith('api/') && path !== '404.html')
  try {
    for (const colorScheme of ['light', 'dark'] as const) {
      const page = await browser.newPage({ colorScheme, reducedMotion: 'reduce' })
      let at = ''
      page.on('pageerror', (error) => faults.push(`${at}: ${error}`))
      page.on('request', (request) => {
        if (!request.url().startsWith(origin) && !request.url().startsWith('data:'))
          faults.push(`${at}: asks for ${request.url()}`)
      })
      for (const path of paths) {
        at = `${path} (${colorScheme})`
        await page.goto(`${origin}/${path}`, { waitUntil: 'load' })
        for (const id of await page.evaluate<string[]>('[...document.querySelectorAll("[id]")].map(({ id }) => id)'))
          anchors.add(`${origin}/${path}#${id}`)
        // Of the text; the site's own navigation is on every page.
        const hrefs = `[...document.querySelectorAll("main a[href*='#']")].map(({ href }) => href)`
        for (const to of await page.evaluate<string[]>(hrefs)) links.push({ from: at, to: decodeURI(to) })
        await page.evaluate(`${axe}; undefined`)
        const { violations } = await page.evaluate<AxeResults>(
          'axe.run({ resultTypes: ["violations"], preload: false })',
        )
        for (const { id, impact, nodes } of violations)
          faults.push(
            `${at}: ${id} (${impact}, ${nodes.length}): ${nodes[0]?.html.slice(0, 300)} ${nodes[0]?.failureSummary}`,
          )
      }
      await page.close()
    }
    for (const { from, to } of links)
      if (to.startsWith(origin) && !anchors.has(to)) faults.push(`${from}: no heading at ${to}`)
  } finally {
    await browser.close()
    server.close()
  }
  return faults
}
