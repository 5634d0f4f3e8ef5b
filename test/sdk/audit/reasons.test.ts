// The reasons of an audit's checks are a closed set. Each is documented, and some check gives it.
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '../../..')
const read = (path: string) => readFileSync(join(root, path), 'utf8')

const source = read('sdk/src/audit/codes.ts')
const declared = [...source.matchAll(/\/\*\* (.+?)\.? \*\/\n {2}\| '(\w+)'/g)].map(
  ([, text, code]) => `- \`${code}\`: ${text![0]!.toLowerCase()}${text!.slice(1)}`,
)

test('docs/ERRORS.md lists every reason with its meaning, and no other', () => {
  expect(declared).toHaveLength([...source.matchAll(/^ {2}\| '/gm)].length)
  expect(declared.length).toBeGreaterThan(20)
  const list = read('docs/ERRORS.md').split('`checks[].reason`')[1]!.split('\n\n')[1]!
  expect(list.split('\n')).toEqual(declared)
})

test('every reason is one that some check gives', () => {
  const sources = globSync('sdk/src/audit/*.ts', { cwd: root }).filter((path) => !path.endsWith('/codes.ts'))
  const text = sources.map(read).join('\n')
  const given = new Set([...text.matchAll(/'(\w+)'/g)].map(([, word]) => word))
  expect(declared.map((line) => /`(\w+)`/.exec(line)![1]).filter((code) => !given.has(code))).toEqual([])
})
