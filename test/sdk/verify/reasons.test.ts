// Programs branch on a check's reason, never on its sentence.
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '../../..')
const read = (path: string) => readFileSync(join(root, path), 'utf8')

const declared = [...read('sdk/src/verify/finding.ts').matchAll(/\/\*\* (.+?)\.? \*\/\n {2}\| '(\w+)'/g)].map(
  ([, text, code]) => ({ code: code!, meaning: `${text![0]!.toLowerCase()}${text!.slice(1)}` }),
)

test('docs/PROTOCOL.md lists every reason with its meaning, and no other', () => {
  expect(declared.length).toBe([...read('sdk/src/verify/finding.ts').matchAll(/^ {2}\| '/gm)].length)
  const rows = read('docs/PROTOCOL.md').split('| reason | means |\n|---|---|\n')[1]!.split('\n\n')[0]!
  const listed = [...rows.matchAll(/^\| `(\w+)` \| (.+) \|$/gm)].map(([, code, meaning]) => ({ code, meaning }))
  expect(listed).toEqual(declared)
})

test('every reason is one that some check gives', () => {
  const sources = globSync('sdk/src/verify/*.ts', { cwd: root }).filter((path) => !path.endsWith('/finding.ts'))
  const text = sources.map(read).join('\n')
  const given = new Set(['ok', ...[...text.matchAll(/'(\w+)'/g)].map(([, word]) => word)])
  expect(declared.filter(({ code }) => !given.has(code))).toEqual([])
})

test('nothing in page, console or command line branches on a sentence', () => {
  const sources = globSync(['anchor-service/web/**/*.ts', 'sdk/src/cli/*.ts'], { cwd: root })
  expect(sources.length).toBeGreaterThan(40)
  const asks =
    /\b(detail|title|message)\b\s*(\)|\?)?\.?\s*\.?(startsWith|endsWith|includes|match|search|indexOf)\(|\.(test|exec)\(\s*[\w.!?]*\b(detail|title|message)\b|\b(detail|title|message)\s*[!=]==\s*['"`]/
  expect('detail.startsWith("a")').toMatch(asks)
  expect('known.test(check.detail)').toMatch(asks)
  expect("check.detail === 'a'").toMatch(asks)
  expect(sources.filter((path) => asks.test(read(path)))).toEqual([])
})
