// The site of the documents: VitePress over docs/, whose pages read as well where they lie. Pictures are Mermaid in the text, drawn
// when the site is made; the search is in the site. Nothing is fetched by the reader's browser from anywhere else.
import { dirname, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { renderMermaidSVG } from 'beautiful-mermaid'
import { defineConfig, type MarkdownOptions, type Plugin } from 'vitepress'

const docs = fileURLToPath(new URL('../..', import.meta.url))

export default defineConfig({
  title: 'Killick',
  description: 'An audit ledger that not even its operator can rewrite',
  lang: 'en',
  srcDir: docs,
  srcExclude: ['site/**', 'api/**'],
  outDir: resolve(docs, 'site/dist'),
  cacheDir: resolve(docs, 'site/node_modules/.vitepress'),
  cleanUrls: false,
  lastUpdated: false,
  // The reference of the SDK is made by typedoc, after the site.
  ignoreDeadLinks: [/^\/api\//],
  // What looks like a tag in the text is text, as in `--url <url>`; braces are braces.
  markdown: {
    html: false,
    attrs: { disable: true },
    anchor: { slugify: anchorOf },
    config: extendMarkdown,
    theme: { light: 'github-light-high-contrast', dark: 'github-dark-high-contrast' },
  },
  vite: { plugins: [vueOfTheSite()] },
  themeConfig: {
    search: { provider: 'local' },
    outline: { level: [2, 3] },
    docFooter: { prev: 'Before', next: 'Next' },
    nav: [
      { text: 'Tutorial', link: '/tutorial' },
      { text: 'Guides', link: '/guides/express' },
      { text: 'Reference', link: '/reference/settings' },
      { text: 'How it works', link: '/explanation/how-it-works' },
    ],
    sidebar: [
      {
        text: 'Begin',
        items: [
          { text: 'What Killick is', link: '/' },
          { text: 'Tutorial: ten minutes', link: '/tutorial' },
          { text: 'Questions', link: '/explanation/faq' },
        ],
      },
      {
        text: 'Guides',
        items: [
          { text: 'An Express application', link: '/guides/express' },
          { text: 'Web frameworks', link: '/guides/frameworks' },
          { text: 'The application kit', link: '/guides/kit' },
          { text: 'Prisma, Drizzle, TypeORM, Kysely', link: '/guides/orm' },
          { text: 'Clusters and workers', link: '/guides/cluster' },
          { text: 'Functions, no disk', link: '/guides/serverless' },
          { text: 'Loggers, OpenTelemetry, CloudEvents', link: '/guides/bridges' },
          { text: 'A catalogue of actions', link: '/guides/catalogue' },
          { text: 'Personal data, erasable', link: '/guides/sealed' },
          { text: 'Tests', link: '/guides/testing' },
          { text: 'Other languages: the collector', link: '/guides/collector' },
          { text: 'AI agents: the MCP recorder', link: '/guides/mcp' },
          { text: 'PostgreSQL: the relay', link: '/guides/postgres' },
          { text: 'PostgreSQL: what a statement does', link: '/guides/postgres-effects' },
          { text: 'PostgreSQL: the changes', link: '/guides/changes' },
          { text: 'HTTP services: the proxy', link: '/guides/http' },
          { text: 'Python', link: '/guides/python' },
          { text: 'Commands: cron, deploy, ssh', link: '/guides/run' },
          { text: 'Play a session', link: '/guides/replay' },
          { text: 'Verify as an auditor', link: '/guides/auditor' },
          { text: 'Everything, in one file', link: '/guides/bundle' },
          { text: 'The life of a thing', link: '/guides/history' },
          { text: 'Erase, and hold', link: '/guides/erasure' },
          { text: 'Let contents expire', link: '/guides/retention' },
          { text: 'Pin keys and contract', link: '/guides/pinning' },
          { text: 'Deploy', link: '/guides/deploy' },
          { text: 'Back up and restore', link: '/guides/backup' },
          { text: 'Operate', link: '/OPERATION' },
          { text: 'Anchor to a chain', link: '/ANCHORING' },
        ],
      },
      {
        text: 'Reference',
        items: [
          { text: 'Settings of the service', link: '/reference/settings' },
          { text: 'The command killick', link: '/reference/cli' },
          { text: 'HTTP interface', link: '/reference/http' },
          { text: 'Metrics', link: '/reference/metrics' },
          { text: 'Errors', link: '/ERRORS' },
          { text: 'API of @killick/sdk', link: '/api/index.html', target: '_self' },
          { text: 'Protocol', link: '/PROTOCOL' },
        ],
      },
      {
        text: 'How and why',
        items: [
          { text: 'How it works', link: '/explanation/how-it-works' },
          { text: 'Threat model', link: '/explanation/threat-model' },
          { text: 'Compared with others', link: '/explanation/comparison' },
          { text: 'Architecture', link: '/ARCHITECTURE' },
          { text: 'Decisions', link: '/decisions/README' },
          { text: 'Benchmarks', link: '/BENCHMARKS' },
          { text: 'Scaling', link: '/SCALING' },
        ],
      },
    ],
  },
})

/** The pages lie outside of this package, which has the Vue that they are made with. */
function vueOfTheSite(): Plugin {
  return {
    name: 'vue-of-the-site',
    enforce: 'pre',
    resolveId(id, _importer, { ssr }) {
      if (!/^vue($|\/)/.test(id)) return null
      return ssr ? { id, external: true } : this.resolve(id, resolve(docs, 'site/package.json'), { skipSelf: true })
    },
  }
}

type Renderer = Parameters<NonNullable<MarkdownOptions['config']>>[0]

function extendMarkdown(markdown: Renderer): void {
  // Comments are for programs that write into the text.
  markdown.core.ruler.before('normalize', 'comments', (state) => {
    state.src = state.src.replace(/<!--[\s\S]*?-->/g, '')
  })
  const fence = markdown.renderer.rules.fence!
  markdown.renderer.rules.fence = (tokens, index, ...rest) => {
    const { info, content } = tokens[index]!
    return info.trim() === 'mermaid' ? draw(content) : fence(tokens, index, ...rest)
  }
  // A table that is wider than the page scrolls by itself, with the keyboard too.
  markdown.renderer.rules.table_open = (_tokens, _index, _options, env: { tables?: number }) => {
    env.tables = (env.tables ?? 0) + 1
    return `<div class="wide" tabindex="0" role="region" aria-label="Table ${env.tables}"><table>\n`
  }
  markdown.renderer.rules.table_close = () => '</table></div>\n'
  // The corner of a table has no words and heads nothing.
  markdown.core.ruler.push('corners', ({ tokens }) => {
    for (const [i, token] of tokens.entries()) {
      if (token.type !== 'th_open' || tokens[i + 1]?.content !== '') continue
      token.tag = 'td'
      tokens[i + 2]!.tag = 'td'
    }
  })
  // Files of the repository are not pages of the site: their links become names.
  markdown.core.ruler.push('files-of-the-repository', ({ tokens, env }) => {
    const page = (env as { path: string }).path
    for (const { children } of tokens) {
      let isOutside = false
      for (const token of children ?? []) {
        if (token.type === 'link_open') {
          const [href = ''] = (token.attrGet('href') ?? '').split('#')
          const isFile = href !== '' && !/^[a-z]+:|^\//.test(href)
          const path = relative(docs, resolve(dirname(page), decodeURI(href)))
          isOutside = isFile && (path.startsWith('..') || (!/\.md$/.test(path) && !isPage(path)))
          if (isOutside)
            Object.assign(token, {
              tag: 'span',
              attrs: [
                ['class', 'file'],
                ['title', path.replace(/^(\.\.\/)+/, '')],
              ],
            })
        } else if (token.type === 'link_close' && isOutside) {
          token.tag = 'span'
          isOutside = false
        }
      }
    }
  })
}

/** The anchor of a heading, as GitHub makes it, so that a link to it leads there in the repository and in the site. */
function anchorOf(heading: string): string {
  const letters = heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{N}_ -]/gu, '')
  return encodeURIComponent(letters.replaceAll(' ', '-'))
}

/** A folder with a page of its own, or an image. */
function isPage(path: string): boolean {
  return /\.(png|svg)$/.test(path) || path === 'reference' || path === ''
}

function draw(text: string): string {
  const title = text.match(/^\s*accTitle: (.*)$/m)?.[1] ?? 'Diagram'
  const source = text.replace(/^\s*acc(Title|Descr): .*$/gm, '')
  const colours = {
    bg: 'var(--vp-c-bg)',
    fg: 'var(--vp-c-text-1)',
    accent: 'var(--vp-c-brand-1)',
    muted: 'var(--vp-c-text-2)',
  }
  const svg = renderMermaidSVG(source, { ...colours, transparent: true, font: 'inherit' })
    // Fonts of others are not fetched.
    .replace(/@import url\([^)]*\);?/g, '')
    .replace('<svg ', `<svg role="img" aria-label="${markup(title)}" `)
  // As a value: Vue would compare markup with what it rendered, and lose the last shape.
  return `<figure class="picture" v-html="${markup(JSON.stringify(svg))}"></figure>\n`
}

const markup = (text: string) => text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;')
