import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { PARTS } from '../../scripts/imports.ts'
import { drawMap, mapIn } from '../../scripts/map.ts'

const root = join(import.meta.dirname, '../..')
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const page = read('docs/ARCHITECTURE.md')

/** Rows of the table that begins with `header`, cell by cell. */
function table(header: string): string[][] {
  const after = page.split(`\n${header}\n`)[1]
  if (after === undefined) throw new Error(`docs/ARCHITECTURE.md has no table ${header}`)
  const rows = after.split('\n').slice(1)
  const end = rows.findIndex((row) => !row.startsWith('|'))
  const cells = (row: string) => row.slice(1, -1).split('|')
  return rows.slice(0, end).map((row) => cells(row).map((cell) => cell.trim()))
}

describe('docs/ARCHITECTURE.md', () => {
  test('its map is the one that the import table makes (node scripts/map.ts)', () => {
    expect(mapIn(page)).toBe(drawMap())
  })

  test('it has a line for each room, in the order of the import table, with the room’s folder', () => {
    const rooms = table('| room | where | what it is for |')
    expect(rooms.map(([name]) => name)).toEqual(PARTS.map(({ name }) => name))
    for (const [name, where, purpose] of rooms) {
      const { files } = PARTS.find((part) => part.name === name)!
      const path = where!.replaceAll('`', '')
      expect(
        files.some((start) => path.startsWith(start)),
        `${name} is not in ${path}`,
      ).toBe(true)
      expect(purpose).not.toBe('')
    }
  })

  test('it names ten changes, and no word twice', () => {
    expect(table('| change | first file | then |')).toHaveLength(10)
    const words = table('| word | is | is not |').flatMap(([word]) => word!.split(', '))
    expect(words.filter((word, i) => words.indexOf(word) !== i)).toEqual([])
  })
})

test('an arrow is left out of the map if a longer way implies it', () => {
  const files = (name: string) => [`sdk/src/${name}/`]
  const parts = [
    { name: 'a', files: files('a'), may: [] },
    { name: 'b', files: files('b'), may: ['a'] },
    { name: 'c', files: files('c'), may: ['a', 'b', 'node:*'] },
  ]
  const arrows = drawMap(parts).match(/\w+ --> \w+/g)
  expect(arrows).toEqual(['p_c --> p_b', 'p_b --> p_a'])
})

const PAPERS = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'docs/*.md',
  'docs/decisions/*.md',
  'sdk/*.md',
  'anchor-service/*.md',
  'gateway/*.md',
]
const PATH = /`((?:anchor-service|contracts|docs|gateway|examples|scripts|sdk|test|\.ci|\.github)\/[\w./-]*)`/g

/** README's table of trust names tests by their place under test/, without the ending. */
const exists = (path: string) => [path, `test/${path}`, `test/${path}.test.ts`].some((it) => existsSync(join(root, it)))

describe.each(globSync(PAPERS, { cwd: root }).sort())('%s', (paper) => {
  const text = read(paper)

  test('every file that it names is there', () => {
    const named = [...text.matchAll(PATH)].map(([, path]) => path!)
    expect(named.filter((path) => !exists(path))).toEqual([])
  })

  test('every page that it links to is there', () => {
    const links = [...text.matchAll(/\]\((?!https?:|#|mailto:)([^)#]+)/g)].map(([, path]) => path!)
    expect(links.filter((path) => !existsSync(join(root, dirname(paper), path)))).toEqual([])
  })
})

describe('docs/decisions/', () => {
  const index = read('docs/decisions/README.md')
  const records = globSync('docs/decisions/[0-9]*.md', { cwd: root })

  test.each(records)('%s is listed under its title, and says what a decision needs', (record) => {
    const text = read(record)
    const [, number, title] = text.match(/^# (\d+)\. (.+)$/m)!
    expect(Number(record.match(/(\d{4})-/)![1])).toBe(Number(number))
    const [listed] = index.match(
      new RegExp(`(?<=^${number}\\. \\[)[^\\]]+(?=\\]\\(${record.split('/').at(-1)}\\))`, 'm'),
    )!
    expect(title!.startsWith(listed!), `${listed} is not ${title}`).toBe(true)
    for (const part of ['Question', 'Decision', 'Look again'])
      expect(text).toMatch(new RegExp(`^\\*\\*${part}\\b`, 'm'))
  })

  test('the sources point to records that are there', () => {
    const sources = globSync(['anchor-service/{src,web}/**/*.{ts,sql}', 'sdk/src/**/*.ts', 'scripts/**/*.ts'], {
      cwd: root,
    })
    const named = sources.flatMap((path) =>
      [...read(path).matchAll(/docs\/decisions\/[\w-]+\.md/g)].map(([page]) => page),
    )
    expect(named.length).toBeGreaterThan(0)
    expect(named.filter((page) => !existsSync(join(root, page)))).toEqual([])
  })
})
