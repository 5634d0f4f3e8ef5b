import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const entries = Object.entries<{ link?: boolean; version?: string; integrity?: string; resolved?: string }>(
  JSON.parse(read('package-lock.json')).packages,
).filter(([path, { link }]) => path.includes('node_modules/') && !link)

test('every package of the lock, even for other platforms, is pinned by its hash', () => {
  expect(entries.length).toBeGreaterThan(400)
  const open = entries.filter(
    ([, { version, integrity }]) => !version || !/^sha512-[\w+/]{86}==$/.test(integrity ?? ''),
  )
  expect(open.map(([path]) => path)).toEqual([])
})

test('the lock names no registry, so npm installs from the one that it is set to', () => {
  expect(entries.filter(([, { resolved }]) => resolved !== undefined).map(([path]) => path)).toEqual([])
  expect(read('.npmrc')).toContain('omit-lockfile-registry-resolved=true')
})

test('the Node that is fetched where none is installed has a fixed version', () => {
  const script = read('scripts/node24.mjs')
  expect(/const VERSION = '(.*)'/.exec(script)![1]).toMatch(/^24\.\d+\.\d+$/)
  expect(script).toMatch(/node@\$\{VERSION\}/)
})
