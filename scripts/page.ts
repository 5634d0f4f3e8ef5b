// `npm run page`: the verification page as a folder for any static host; it needs no server of ours, and opens from a disk.
//
//   npm run page [-- <folder> [--trust <trust.json>]]     default folder: anchor-service/web/dist, which the service serves
//
// The trust file is what you, who publish the page, say about keys and contract: {publisher, sourceKeys: [{source, jwk}],
// logKeys: [vkey], logs: [{chainId, contract, logId}], rpcs: [url]}. It goes into the page, which shows it as your word.

import { createHash } from 'node:crypto'
import {
  copyFileSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { KillickError } from '@killick/sdk'
import { build, type Plugin, type Rolldown } from 'vite'
import { readPins } from '../anchor-service/web/shared/trust.ts'

const web = fileURLToPath(new URL('../anchor-service/web', import.meta.url))

export const PAGE_FOLDER = join(web, 'dist')
/** Everything that a visit to the page in its first language transfers, gzipped. */
export const PAGE_BUDGET = 70_000
/** Everything that opening the console transfers, gzipped, but for what a view of it fetches when it is looked at. */
export const CONSOLE_BUDGET = 60_000

/** Browsers refuse to load ES modules from a disk, so the page is a classic script. */
const classicScript: Plugin = {
  name: 'classic-script',
  enforce: 'post',
  transformIndexHtml: (html) =>
    html.replace(/<script type="module" crossorigin/g, '<script defer').replace(/ crossorigin/g, ''),
}

/**
 * Builds the page and, in folders beside it, the console, the front door and the API reference.
 * @param options.alone - The page without what needs the service.
 * @param options.trust - JSON of what the publisher says, to go into the page: from a disk, browsers read no other file.
 * @param options.isReleased - Compressed as hard as it goes, which takes half a second more.
 * @throws KillickError as `readPins`, when the page could not read that
 */
export async function buildPage(
  folder: string = PAGE_FOLDER,
  { alone = false, trust, isReleased = false }: { alone?: boolean; trust?: string; isReleased?: boolean } = {},
): Promise<void> {
  const block = trust === undefined ? null : trustBlock(trust)
  mkdirSync(folder, { recursive: true })
  const fresh = mkdtempSync(join(folder, '.new-'))
  try {
    await bundle(fresh, 'index.html', 'page')
    await bundle(fresh, 'page/german-script.ts', 'german')
    await bundle(fresh, 'page/bundle/script.ts', 'bundle')
    copyFileSync(new URL('../docs/PROTOCOL.md', import.meta.url), join(fresh, 'protocol.txt'))
    if (block !== null) {
      const index = join(fresh, 'index.html')
      const html = readFileSync(index, 'utf8')
      writeFileSync(
        index,
        html.replace('</head>', () => `  ${block}\n  </head>`),
      )
    }
    if (!alone) {
      writeAlone(fresh)
      await bundle(fresh, 'console/index.html', 'console/console')
      await bundle(fresh, 'console/charts.ts', 'console/charts')
      await bundle(fresh, 'front/index.html', 'front/front')
      await bundle(fresh, 'api/index.html', 'api/api')
      for (const file of globSync('**/*.{js,css,svg,txt}', { cwd: fresh }))
        compress(join(fresh, file), isReleased ? 11 : 9)
    }
    // Each file takes its place whole, so a service may go on serving; what else is in the folder is not ours to touch.
    for (const file of globSync('**/*.*', { cwd: fresh })) {
      mkdirSync(dirname(join(folder, file)), { recursive: true })
      renameSync(join(fresh, file), join(folder, file))
    }
  } finally {
    rmSync(fresh, { recursive: true })
  }
}

/** Beside the file what the service sends to whoever takes it: brotli as .br, gzip as .gz. docs/decisions/0009-compression-levels.md */
function compress(file: string, quality: number): void {
  const bytes = readFileSync(file)
  writeFileSync(`${file}.br`, brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: quality } }))
  writeFileSync(`${file}.gz`, gzipSync(bytes))
}

/** The page in one file, for bundles: it opens from wherever it is unpacked. Its policy names what is in it by hashes. */
function writeAlone(folder: string): void {
  const read = (name: string) => readFileSync(join(folder, name), 'utf8')
  // What would end the element, or begin a comment, means the same to JavaScript with a backslash in it.
  const scripts = ['german.js', 'bundle.js', 'page.js'].map((name) =>
    read(name).replaceAll('</script', '<\\/script').replaceAll('<!--', '<\\!--'),
  )
  const style = read('page.css')
  const hashes = (texts: readonly string[]) =>
    texts.map((text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`).join(' ')
  const icon = `data:image/svg+xml;base64,${Buffer.from(read('icon.svg')).toString('base64')}`
  const parts: [from: string | RegExp, to: string][] = [
    [
      "script-src 'self'; style-src 'self'; img-src 'self'",
      `script-src ${hashes(scripts)}; worker-src blob:; style-src ${hashes([style])}; img-src data:`,
    ],
    [/<link rel="icon"[^>]*>/, `<link rel="icon" href="${icon}" />`],
    [/\s*<script defer[^>]*><\/script>/, ''],
    [/<link rel="stylesheet"[^>]*>/, `<style>${style}</style>`],
    ['<main id="page"', `<main id="page" data-icon="${icon}"`],
    ['</body>', `${scripts.map((text) => `<script>${text}</script>`).join('\n')}\n</body>`],
  ]
  let html = read('index.html')
  for (const [from, to] of parts) {
    const next = html.replace(from, () => to)
    if (next === html) throw new Error(`index.html has no ${from}`)
    html = next
  }
  mkdirSync(join(folder, 'alone'))
  writeFileSync(join(folder, 'alone', 'index.html'), html)
}

/** A data block, which runs nothing, so that the page's policy needs no exception for it. */
function trustBlock(json: string): string {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    throw new KillickError('trust_invalid', 'The trust file is not JSON')
  }
  readPins(json)
  return `<script id="trust" type="application/json">${JSON.stringify(value).replaceAll('<', '\\u003c')}</script>`
}

async function bundle(folder: string, input: string, name: string): Promise<void> {
  const isPage = input === 'index.html'
  const built = await build({
    root: web,
    configFile: false,
    base: './',
    logLevel: 'warn',
    plugins: [classicScript],
    publicDir: isPage ? 'public' : false,
    build: {
      outDir: folder,
      emptyOutDir: false,
      target: 'es2022',
      modulePreload: false,
      cssCodeSplit: false,
      assetsInlineLimit: 0,
      rolldownOptions: {
        input: join(web, input),
        output: { format: 'iife', entryFileNames: `${name}.js`, assetFileNames: `${name}.[ext]` },
        // @killick/sdk/core has parts for Node, which are left out of the bundle; whether they are is looked at below.
        onLog: (level, log, handle) => {
          if (!log.message.includes('externalized for browser compatibility')) handle(level, log)
        },
      },
    },
  })
  const chunks = (built as Rolldown.RolldownOutput).output.filter((file) => file.type === 'chunk')
  const needed = chunks.flatMap(({ modules }) =>
    Object.entries(modules).flatMap(([id, { renderedLength }]) =>
      id.includes('browser-external') && renderedLength > 0 ? [id] : [],
    ),
  )
  if (needed.length > 0) throw new Error(`${input} needs what browsers do not have: ${needed.join(', ')}`)
}

/** What only those fetch who need it. */
const FETCHED = ['german.js', 'bundle.js', 'charts.js']

/** @returns Bytes over the wire of a visit to the page in its first language, or to what is in a folder beside it, gzipped, by file. */
export function pageSizes(folder: string = PAGE_FOLDER): Record<string, number> {
  const files = globSync('*.{html,js,css,svg}', { cwd: folder }).filter((file) => !FETCHED.includes(file))
  return Object.fromEntries(files.map((file) => [file, gzipSync(readFileSync(join(folder, file))).length]))
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({ options: { trust: { type: 'string' } }, allowPositionals: true })
  const folder = resolve(positionals[0] ?? PAGE_FOLDER)
  if (values.trust !== undefined && folder === PAGE_FOLDER) {
    console.error('What the service publishes it says by itself: name another folder for a page with a trust file.')
    process.exit(2)
  }
  try {
    const trust = values.trust === undefined ? {} : { trust: readFileSync(values.trust, 'utf8') }
    await buildPage(folder, { alone: folder !== PAGE_FOLDER, ...trust })
  } catch (error) {
    if (values.trust === undefined || !(error instanceof KillickError || 'code' in (error as Error))) throw error
    console.error(`${values.trust}: ${(error as Error).message}`)
    process.exit(2)
  }
  const total = Object.values(pageSizes(folder)).reduce((sum, size) => sum + size, 0)
  console.log(`${relative('.', folder)}: ${total} of ${PAGE_BUDGET} bytes gzipped`)
  if (total > PAGE_BUDGET) process.exitCode = 1
}
