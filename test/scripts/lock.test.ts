import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { readModules } from '../../scripts/lib/modules.ts'

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const entries = Object.entries<{
  link?: boolean
  version?: string
  integrity?: string
  resolved?: string
  dev?: boolean
}>(JSON.parse(read('package-lock.json')).packages).filter(([path, { link }]) => path.includes('node_modules/') && !link)

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

test('what `npm start` and `npm run killick` load is installed for them: no devDependency is among it', () => {
  const modules = readModules(fileURLToPath(new URL('../..', import.meta.url)), [
    'sdk/src',
    'anchor-service',
    'scripts',
  ])
  const byPath = new Map(modules.map((module) => [module.path, module]))
  const pages = [...byPath.keys()].filter((path) => path.startsWith('anchor-service/web/'))
  // Every file of the service, because threads and commands are loaded by their names.
  const service = [...byPath.keys()].filter((path) => path.startsWith('anchor-service/src/'))
  const open = ['scripts/start.ts', 'scripts/lib/chain-node.ts', 'sdk/src/cli/main.ts', ...pages, ...service]
  const seen = new Set(open)
  const packages = new Set<string>()
  for (const path of open)
    for (const { to } of byPath.get(path)!.imports) {
      if (!byPath.has(to)) packages.add(/^(@[^/]+\/)?[^/]+/.exec(to)![0])
      else if (!seen.has(to)) open.push(to)
      seen.add(to)
    }
  const nameOf = (path: string) => path.replace(/^.*node_modules\//, '')
  const [dev, needed] = [true, false].map(
    (isDev) => new Set(entries.filter(([, entry]) => (entry.dev ?? false) === isDev).map(([path]) => nameOf(path))),
  )
  expect(packages.size).toBeGreaterThan(15)
  expect([...packages].filter((name) => dev!.has(name) && !needed!.has(name))).toEqual([])
})
