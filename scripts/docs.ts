// `npm run docs`: the documents as a site, in docs/site/dist: the pages of docs/, the reference that is made from the code, and the
// API of @killick/sdk. It fails on a link to a page that does not exist, on an exported name without a docstring, and on a type that
// an exported one needs and that is not exported itself.
//
//   npm run docs              makes the site
//   npm run docs -- --check   makes it, and opens every page in Chromium: nothing that axe finds, nothing asked of another host
//   npm run docs -- --api     only looks whether the reference of the API could be made: a part of `npm run check`
//   npm run docs -- --serve   makes it and shows it at http://127.0.0.1:4173; Ctrl-C ends that
//
// Its tools are large, so each has a package of its own with its own lock file, installed at the first run: VitePress in docs/site;
// typedoc, which reads TypeScript up to version 6, in scripts/docs. Once they are installed nothing is fetched.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadConfig, startAnchoring, startService } from '@killick/anchor-service'
import { installBeside } from './lib/install-beside.ts'
import { cliPage, httpPage, metricsPage, type OpenApi, settingsPage } from './lib/reference.ts'
import { checkSite } from './lib/site-check.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const site = join(root, 'docs/site')
const [vitepress, typedoc] = [
  join(site, 'node_modules/vitepress/bin/vitepress.js'),
  join(root, 'scripts/docs/node_modules/typedoc/bin/typedoc'),
]
const node = (cwd: string, ...args: string[]) => execFileSync(process.execPath, args, { cwd, stdio: 'inherit' })

/** What the service says of its HTTP interface, asked of one that runs. */
async function readOpenApi(): Promise<OpenApi> {
  const folder = mkdtempSync(join(tmpdir(), 'killick-docs-'))
  const settings = { KILLICK_DATA: folder, PORT: '0', KILLICK_LOG_LEVEL: 'error', KILLICK_AUDIT_INTERVAL_MS: '0' }
  const service = await startService(loadConfig(settings), startAnchoring)
  try {
    return (await (await fetch(`${service.url}/openapi.json`)).json()) as OpenApi
  } finally {
    await service.close()
    rmSync(folder, { recursive: true })
  }
}

const reads = [typedoc, '--options', join(root, 'scripts/docs/typedoc.json')]

try {
  installBeside(join(root, 'scripts/docs'))
  if (process.argv.includes('--api')) {
    node(root, ...reads, '--emit', 'none', '--logLevel', 'Warn')
    process.exit()
  }
  installBeside(site)
  const reference = join(root, 'docs/reference')
  mkdirSync(reference, { recursive: true })
  const pages = {
    settings: settingsPage(),
    metrics: metricsPage(),
    cli: cliPage(),
    http: httpPage(await readOpenApi()),
  }
  for (const [name, text] of Object.entries(pages)) writeFileSync(join(reference, `${name}.md`), text)
  node(site, vitepress, 'build')
  node(root, ...reads)
  if (process.argv.includes('--check')) {
    const faults = await checkSite(join(site, 'dist'))
    for (const fault of faults) console.error(fault)
    if (faults.length > 0) process.exitCode = 1
  }
  if (process.argv.includes('--serve')) node(site, vitepress, 'preview', '--host', '127.0.0.1', '--port', '4173')
  else console.log('The site is in docs/site/dist; npm run docs -- --serve shows it.')
} catch (error) {
  // A program that failed has printed why.
  const { status } = error as { status?: number | null }
  if (status === undefined) console.error(error)
  process.exitCode = status || 1
}
