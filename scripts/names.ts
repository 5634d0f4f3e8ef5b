// One word means one thing. No two exported types share a name, and a file's name has a noun of the glossary
// (docs/ARCHITECTURE.md) only if the file is about that thing.
//
//   node scripts/names.ts
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseSync, Visitor } from 'oxc-parser'
import { listModules } from './lib/modules.ts'

/** Nouns that are easily taken for something else, each with the folders or files whose names may have it. */
const NOUNS: Record<string, string[]> = {
  // Events of one commit as they are stored; never a package for npm.
  pack: ['anchor-service/src/ledger/packs/'],
  // A sorted part of the index of search keys; never a process that runs.
  run: ['anchor-service/src/ledger/index/', 'anchor-service/src/audit/runs'],
  // Records events; never the origin of a file or a text.
  source: [
    ...['sdk/src/audit/sources', 'anchor-service/src/ledger/registry/', 'anchor-service/src/intake/known-sources'],
    ...['anchor-service/src/http/routes/sources', 'anchor-service/web/console/views/sources'],
  ],
  // A link that shows chosen fields of one event; never a part of some work.
  share: [
    ...['sdk/src/client/share', 'sdk/src/cli/share', 'anchor-service/src/ledger/registry/shares'],
    ...['anchor-service/src/http/routes/shares', 'anchor-service/web/console/views/shares'],
  ],
  // The newest checkpoint of a log.
  head: ['anchor-service/src/ledger/head-', 'anchor-service/src/commands/accept-head', 'sdk/src/verify/read-log-heads'],
  // A file of the spool.
  segment: ['sdk/src/client/segment'],
  // The log's signed size and root.
  checkpoint: [
    ...['sdk/src/core/checkpoint', 'anchor-service/src/ledger/tree/checkpoints'],
    ...['anchor-service/src/anchor/next-checkpoint', 'anchor-service/src/http/routes/checkpoints'],
  ],
  // The log's proof that it holds a batch.
  receipt: ['sdk/src/core/receipt', 'sdk/src/client/receipt', 'sdk/src/audit/receipts'],
  // Says nothing: any type could have this name.
  place: [],
  thing: [],
  util: [],
  helper: [],
  common: [],
  misc: [],
}

const FOLDERS = ['sdk/src', 'anchor-service/src', 'anchor-service/web', 'gateway/src', 'scripts']

/** @returns a sentence for each exported type whose name another file exports too */
export function findTwins(modules: readonly { path: string; text: string }[]): string[] {
  return twinsAmong(homesOf(modules))
}

/** Where each exported type is at home. */
function homesOf(modules: readonly { path: string; text: string }[]): Map<string, string[]> {
  const homes = new Map<string, string[]>()
  for (const { path, text } of modules)
    for (const name of typesOf(path, text)) homes.set(name, [...(homes.get(name) ?? []), path])
  return homes
}

function twinsAmong(homes: ReadonlyMap<string, string[]>): string[] {
  return [...homes]
    .filter(([, paths]) => paths.length > 1)
    .map(([name, paths]) => `the type ${name} is exported by ${paths.join(' and ')}`)
}

/** @returns a sentence for each file whose name uses a noun for something else */
export function findStrayNouns(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    const words = path.split('/').at(-1)!.replace(/\..*/, '').split('-')
    return Object.entries(NOUNS)
      .filter(([noun]) => words.some((word) => word === noun || word === `${noun}s`))
      .filter(([, homes]) => !homes.some((home) => path.startsWith(home)))
      .map(([noun]) => `${path}: “${noun}” means something else in the glossary`)
  })
}

/** Names of the types that a module itself declares and exports. */
function typesOf(path: string, text: string): string[] {
  const names: string[] = []
  new Visitor({
    ExportNamedDeclaration({ declaration }) {
      if (
        declaration?.type === 'TSTypeAliasDeclaration' ||
        declaration?.type === 'TSInterfaceDeclaration' ||
        declaration?.type === 'TSEnumDeclaration' ||
        declaration?.type === 'ClassDeclaration'
      )
        names.push(declaration.id!.name)
    },
  }).visit(parseSync(path, text).program)
  return names
}

if (import.meta.main) {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const paths = listModules(root, FOLDERS).filter((path) => path.endsWith('.ts'))
  const modules = paths.map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))
  const homes = homesOf(modules)
  const faults = [...twinsAmong(homes), ...findStrayNouns(paths)]
  for (const fault of faults) console.error(fault)
  if (faults.length > 0) process.exitCode = 1
  else console.log(`${[...homes.values()].flat().length} exported types`)
}
