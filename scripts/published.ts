// The packages as they would be published: what publint and are-the-types-wrong find in the packed tarballs. Part of
// `npm run check`. Both have a package of their own in scripts/published, with its own lock file, installed at the first run.
//
//   node scripts/published.ts
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { installBeside } from './lib/install-beside.ts'
import { pack } from './tarballs.ts'

const folder = fileURLToPath(new URL('published', import.meta.url))

/** What is found, and is as it should be: the packages are ES modules, and say so. */
const MEANT: Record<string, string> = {
  // `require` of ES modules works in each Node that the packages run on; older compilers say that it does not.
  CJSResolvesToESM: 'node16-cjs',
  // A resolution from before package.json had `exports`.
  NoResolution: 'node10',
}

interface Problem {
  kind: string
  entrypoint?: string
  resolutionKind?: string
}

/** The two tools, by the few functions that are called here: their own types are not installed with the repository. */
export interface Tools {
  publint(options: {
    pack: { tarball: ArrayBuffer }
    strict: boolean
  }): Promise<{ messages: { type: string }[]; pkg: object }>
  formatMessage(message: object, pkg: object): string | undefined
  createPackageFromTarballData(tarball: Uint8Array): object
  checkPackage(pkg: object): Promise<{ types: unknown; problems?: Problem[] }>
}

/** What is wrong with one tarball, a line each. */
export async function findFaults(path: string, tools: Tools): Promise<string[]> {
  const bytes = Uint8Array.from(readFileSync(path))
  const { messages, pkg } = await tools.publint({ pack: { tarball: bytes.buffer }, strict: true })
  const { types, problems = [] } = await tools.checkPackage(tools.createPackageFromTarballData(bytes))
  const real = problems.filter(
    ({ kind, resolutionKind }) => MEANT[kind] === undefined || MEANT[kind] !== resolutionKind,
  )
  return [
    ...messages.map((message) => `publint: ${tools.formatMessage(message, pkg) ?? JSON.stringify(message)}`),
    ...(types === false ? ['attw: has no types'] : []),
    ...real.map((problem) => `attw: ${JSON.stringify(problem)}`),
  ]
}

/** The tools, installed if they are not. */
export async function loadTools(): Promise<Tools> {
  installBeside(folder)
  const beside = createRequire(join(folder, 'package.json'))
  const load = (name: string) => import(pathToFileURL(beside.resolve(name)).href)
  const modules = await Promise.all(['publint', 'publint/utils', '@arethetypeswrong/core'].map(load))
  return Object.assign({}, ...modules) as Tools
}

if (import.meta.main) {
  const tools = await loadTools()
  const out = mkdtempSync(join(tmpdir(), 'killick-published-'))
  try {
    const tarballs = await pack(out, undefined, false)
    const faults = await Promise.all(tarballs.map((path) => findFaults(path, tools)))
    for (const [i, found] of faults.entries())
      for (const fault of found) console.error(`${tarballs[i]!.split('/').at(-1)}  ${fault}`)
    if (faults.flat().length > 0) process.exitCode = 1
    else console.log(`${tarballs.length} tarballs: publint, attw`)
  } finally {
    rmSync(out, { recursive: true })
  }
}
