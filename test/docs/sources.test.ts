// The documents, without building their site: `npm run docs` does that.
import { existsSync, globSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { cliPage, httpPage, metricsPage, readMetrics, settingsPage } from '../../scripts/lib/reference.ts'
import { readNames } from '../../scripts/lib/settings.ts'
import { COMMANDS } from '../../sdk/src/cli/table/index.ts'
import { call, type TestService, testService } from '../anchor-service/support/service.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const EVERYWHERE = ['*.md', 'docs/**/*.md', 'examples/*.md', 'sdk/*.md', 'anchor-service/{,deploy/}*.md']
const pages = globSync(EVERYWHERE, { cwd: root }).filter((path) => !/node_modules|^docs\/(reference|site)\//.test(path))
/** Made from the code by `npm run docs`. */
const MADE = ['settings', 'cli', 'http', 'metrics'].map((name) => `docs/reference/${name}.md`)

const read = (path: string) => readFile(join(root, path), 'utf8')
const withoutCode = (page: string) => page.replace(/^```[\s\S]*?^```/gm, '').replace(/`[^`\n]*`/g, '')

test('every link inside the repository leads to a file', async () => {
  const dead: string[] = []
  for (const page of pages) {
    for (const [, link] of withoutCode(await read(page)).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^(https?|mailto):|^#/.test(link!)) continue
      const [path = ''] = link!.split('#')
      const file = relative(root, join(root, dirname(page), decodeURI(path)))
      if (!MADE.includes(file) && !existsSync(join(root, file))) dead.push(`${page}: ${link}`)
    }
  }
  expect(dead).toEqual([])
})

test('every link to a heading of a page has that heading', async () => {
  const slug = (heading: string) =>
    heading
      .toLowerCase()
      .replace(/[`*.,:;?!()/'’@]/g, '')
      .trim()
      .replace(/\s+/g, '-')
  for (const page of pages) {
    for (const [, path, anchor] of withoutCode(await read(page)).matchAll(/\]\(([^)\s#]*\.md)?#([^)\s]+)\)/g)) {
      const headings = (await read(path ? join(dirname(page), path) : page)).matchAll(/^#+ (.*)$/gm)
      expect(
        [...headings].map(([, heading]) => slug(heading!)),
        `${page}: #${anchor}`,
      ).toContain(anchor)
    }
  }
})

test('every page is in the navigation of the site', async () => {
  const config = await read('docs/site/.vitepress/config.ts')
  const linked = [...config.matchAll(/link: '(\/[^'#]*)'/g)].map(([, link]) => (link === '/' ? '/index' : link))
  const inSite = [...pages.filter((path) => path.startsWith('docs/')), ...MADE].map((path) => path.slice(4, -3))
  // The decisions are listed by their own page.
  const listed = inSite.filter((path) => !/^\/decisions\/\d/.test(path))
  expect([...new Set(linked)].filter((link) => link !== '/api/index.html').toSorted()).toEqual(listed.toSorted())
})

describe('the reference that is made from the code', () => {
  let service: TestService
  beforeAll(async () => {
    service = await testService()
  })
  afterAll(() => service.stop())

  test('settings: every one that the service reads', () => {
    const page = settingsPage()
    for (const name of readNames()) expect(page).toContain(`\n| \`${name}\` |`)
    expect(page).toContain('| `PORT` | port to listen on; 0 takes a free one. | 8787 |')
  })

  test('metrics: every one that a service shows, with its help', async () => {
    const { text } = await call(service.url, '/metrics')
    const shown = [...text.matchAll(/^# HELP (killick_\S+) (.*)$/gm)].map(([, name, help]) => ({ name, help }))
    expect(shown.length).toBeGreaterThan(10)
    const known = readMetrics().map(({ name, help }) => ({ name, help }))
    expect(known).toEqual(expect.arrayContaining(shown))
    for (const { name } of known) expect(metricsPage()).toContain(`| \`${name}\` |`)
  })

  test('command line: every command, with each of its options', () => {
    const page = cliPage()
    for (const { name, options } of COMMANDS) {
      const [, chapter = ''] = page.split(`### killick ${name}\n`)
      for (const option of Object.keys(options)) expect(chapter.split('\n### ')[0]).toContain(`| \`--${option}`)
    }
  })

  test('HTTP: every operation of the OpenAPI document', async () => {
    const { json } = await call(service.url, '/openapi.json')
    const page = httpPage(json)
    for (const [path, methods] of Object.entries(json.paths))
      for (const method of Object.keys(methods as object))
        expect(page).toContain(`\n## ${method.toUpperCase()} \`${path}\`\n`)
    expect(page).not.toMatch(/undefined|\[object/)
  })
})
