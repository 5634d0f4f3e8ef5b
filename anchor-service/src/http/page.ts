/** The verification page as `npm run page` built it, with what one link needs to know written into its head. */
import { readFile, stat } from 'node:fs/promises'
import { extname } from 'node:path'
import { type KeptBody, keepBody, keepForGood } from './kept-body.ts'
import type { Preview } from './preview.ts'

/** Where the page's files are served from. */
export const PAGE_PATH = '/verify/'

const FOLDER = new URL('../../web/dist/', import.meta.url)
const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.txt': 'text/plain; charset=utf-8',
}

export type PageFile = { type: string; body: KeptBody }

const kept = new Map<string, { version: string; file: Promise<PageFile> }>()

/**
 * A file of the page, or of the console beside it, by its bare name; null if there is none. It is read once, and again after a
 * new build.
 */
export async function readPageFile(name: string, part: '' | 'console/' = ''): Promise<PageFile | null> {
  const type = TYPES[extname(name)]
  if (type === undefined || !/^[\w-]+\.\w+$/.test(name)) return null
  const url = new URL(part + name, FOLDER)
  const found = await stat(url).catch(() => null)
  if (found === null) return null
  const version = `${found.mtimeMs} ${found.size} ${found.ino}`
  const known = kept.get(url.href)
  if (known?.version === version) return known.file
  const codings = type === TYPES['.png'] ? [] : (['br', 'gzip'] as const)
  const file = readFile(url).then(async (bytes) => ({ type, body: keepForGood(await keepBody(bytes, codings)) }))
  kept.set(url.href, { version, file })
  file.catch(() => kept.delete(url.href))
  return file
}

/** The policy of the page, for the header; what a meta element cannot say is added. */
export function policyOf(html: string): string {
  return `${/Content-Security-Policy"\s+content="([^"]+)"/.exec(html)?.[1] ?? "default-src 'none'"}; frame-ancestors 'none'`
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
