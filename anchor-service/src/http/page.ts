/** The front door, the verification page, the console and the API reference as `npm run page` built them, with what one link needs to know written into its head. */
import { readFile, stat } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { FastifyStaticOptions } from '@fastify/static'
import type { FastifyReply } from 'fastify'
import { Refusal } from '../errors.ts'
import type { Preview } from './preview.ts'

/** Where the page's files are served from. */
export const PAGE_PATH = '/verify/'
/** Where the files of the front door are; the door itself is at `/`. */
export const FRONT_PATH = '/front/'
/** The API reference. */
export const API_PATH = '/api/'

export type WebPart = 'page' | 'alone' | 'console' | 'front' | 'api'

const FOLDER = new URL('../../web/dist/', import.meta.url)
const FOLDERS: Record<WebPart, URL> = {
  page: FOLDER,
  /** The page as one file. */
  alone: new URL('alone/', FOLDER),
  console: new URL('console/', FOLDER),
  front: new URL('front/', FOLDER),
  api: new URL('api/', FOLDER),
}

const kept = new Map<WebPart, { version: string; html: string }>()

/** The HTML of a part; null if it has not been built. It is read once, and again after a new build. */
async function readHtml(part: WebPart): Promise<string | null> {
  const url = new URL('index.html', FOLDERS[part])
  const found = await stat(url).catch(() => null)
  if (found === null) return null
  const version = `${found.mtimeMs} ${found.size} ${found.ino}`
  const known = kept.get(part)
  if (known?.version === version) return known.html
  const html = await readFile(url, 'utf8')
  kept.set(part, { version, html })
  return html
}

/** A bare name: no folder below, no hidden file, no page, whose headers depend on what it says, and no file of another kind. */
const FILE = /^\/[\w-]+\.(js|css|svg|png|txt)$/

/** How the other files of a part are served, compressed as the build left them. */
export const filesOf = (part: WebPart, prefix: string): FastifyStaticOptions => ({
  ...{ root: fileURLToPath(FOLDERS[part]), prefix, allowedPath: (path) => FILE.test(path) },
  ...{ decorateReply: false, index: false, dotfiles: 'ignore', acceptRanges: false },
  preCompressed: true,
  cacheControl: false,
  setHeaders: (reply) => void reply.header('cache-control', 'public, max-age=300'),
  // A service may run before its page is built, and without one.
  suppressWarning: true,
})

/** The policy of the page, for the header; what a meta element cannot say is added. */
function policyOf(html: string): string {
  return `${/Content-Security-Policy"\s+content="([^"]+)"/.exec(html)?.[1] ?? "default-src 'none'"}; frame-ancestors 'none'`
}

/** Headers of what is seen by anyone: no page may frame it, no cache keep it, no other site learn its address. */
export const GUARDED = {
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-robots-tag': 'noindex',
  'cross-origin-opener-policy': 'same-origin',
}

/** What a browser shows as a page: as it was built, or as `shape` makes it. */
export async function sendHtml(
  reply: FastifyReply,
  part: WebPart,
  shape = (html: string) => html,
): Promise<FastifyReply> {
  const html = await readHtml(part)
  if (html === null) throw new Refusal('not_found', `The ${part} has not been built: npm run page`)
  return reply
    .headers({ ...GUARDED, 'content-security-policy': policyOf(html) })
    .type('text/html; charset=utf-8')
    .send(shape(html))
}

/** The page for one address: its files by absolute path, where its proof and its publisher's word are, and its preview. */
export function pageFor(
  html: string,
  link: { trust: string; proof?: string; url?: string; picture?: string; preview: Preview },
): string {
  const { title, description } = link.preview
  const meta = {
    'og:type': 'website',
    'og:site_name': 'Killick',
    'og:title': title,
    'og:description': description,
    'og:url': link.url,
    'og:image': link.picture,
    'og:image:alt': 'An anchor, and the question: is this record genuine?',
  }
  const head = Object.entries(meta)
    .filter(([, content]) => content !== undefined)
    .map(([property, content]) => `<meta property="${property}" content="${attribute(content!)}" />`)
  const data = [
    `data-home="${PAGE_PATH}"`,
    `data-trust="${attribute(link.trust)}"`,
    ...(link.proof === undefined ? [] : [`data-proof="${attribute(link.proof)}"`]),
  ]
  return html
    .replaceAll('"./', `"${PAGE_PATH}`)
    .replace(/data-trust="[^"]*"/, () => data.join(' '))
    .replace(/(<meta name="description" content=")[^"]*/, (_, before: string) => before + attribute(description))
    .replace('</head>', () => `  ${head.join('\n    ')}\n    <meta name="robots" content="noindex" />\n  </head>`)
}

function attribute(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
}
