// `npm run pack`: the npm packages, ready to publish, in dist/. In this repository the workspaces export TypeScript as it
// is; Node strips types everywhere but under node_modules, so what is published is JavaScript with declarations.
//
//   npm run pack [-- <folder>]     default folder: dist
import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { manPage } from '../sdk/src/cli/man.ts'
import { buildPage } from './page.ts'

interface Manifest {
  name: string
  exports: Record<string, string>
  sideEffects?: boolean | string[]
  bin?: Record<string, string>
  [member: string]: unknown
}

const root = fileURLToPath(new URL('..', import.meta.url))
const tsc = createRequire(import.meta.url)
  .resolve('typescript/package.json')
  .replace(/package\.json$/, 'bin/tsc')

/**
 * Workspaces that CommonJS may require, whatever the compiler: each entry has a file that requires the ES module, which each Node
 * they run on can, and declarations that say so. There is one copy of the code.
 */
const REQUIRED = new Set(['sdk'])

/** In order of need: a package is compiled against the declarations of those before it. */
const WORKSPACES = ['sdk', 'anchor-service', 'gateway']

/**
 * Stages workspaces below `out`, by default all, and packs each.
 * @param isComplete - False where only manifests and declarations are looked at: then the service's web pages are left out, and
 * the types are not checked again, which is most of the work.
 * @returns The tarballs' paths, in order.
 */
export async function pack(
  out: string,
  workspaces: readonly string[] = WORKSPACES,
  isComplete = true,
): Promise<string[]> {
  rmSync(out, { recursive: true, force: true })
  const paths: Record<string, string[]> = {}
  for (const workspace of workspaces) {
    const from = join(root, workspace)
    const to = join(out, workspace)
    mkdirSync(to, { recursive: true })
    const manifest = JSON.parse(readFileSync(join(from, 'package.json'), 'utf8')) as Manifest
    compile(from, to, paths, !isComplete)
    copyAssets(from, to)
    if (workspace === 'anchor-service' && isComplete) await buildPage(join(to, 'web/dist'), { isReleased: true })
    if (REQUIRED.has(workspace)) writeRequired(to, manifest)
    const published = publish(manifest, REQUIRED.has(workspace))
    if (workspace === 'sdk') published.man = writeManual(to, String(manifest.version))
    writeFileSync(join(to, 'package.json'), `${JSON.stringify(published, null, 2)}\n`)
    for (const command of Object.values(published.bin ?? {})) chmodSync(join(to, command), 0o755)
    for (const [key, source] of Object.entries(manifest.exports)) {
      if (source.endsWith('.ts')) paths[join(manifest.name, key)] = [join(to, source.replace(/\.ts$/, '.d.ts'))]
    }
  }
  return tarballs(
    workspaces.map((workspace) => join(out, workspace)),
    out,
  )
}

function compile(from: string, to: string, paths: Record<string, string[]>, noCheck: boolean): void {
  const config = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: {
      noEmit: false,
      noCheck,
      declaration: true,
      rewriteRelativeImportExtensions: true,
      rootDir: join(from, 'src'),
      outDir: join(to, 'src'),
      paths,
      typeRoots: [join(root, 'node_modules/@types')],
    },
    include: [join(from, 'src')],
  }
  const file = join(to, 'tsconfig.json')
  writeFileSync(file, JSON.stringify(config))
  try {
    execFileSync(process.execPath, [tsc, '-p', file], { cwd: root, encoding: 'utf8' })
  } catch (error) {
    throw new Error(`tsc: ${(error as { stdout: string }).stdout}`)
  } finally {
    rmSync(file)
  }
  // The compiler rewrites imports; a path handed to `new URL(…, import.meta.url)` it leaves alone.
  for (const path of globSync('src/**/*.js', { cwd: to })) {
    const text = readFileSync(join(to, path), 'utf8')
    const rewritten = text.replace(/(new URL\(\s*['"`][^'"`]+)\.ts(?=['"`])/g, '$1.js')
    if (rewritten !== text) writeFileSync(join(to, path), rewritten)
  }
}

/** SQL, JSON and whatever else the sources read beside themselves; the package's licence and its page for npm. */
function copyAssets(from: string, to: string): void {
  const assets = globSync('src/**/*', { cwd: from, withFileTypes: true })
  for (const asset of assets) {
    const path = join(asset.parentPath, asset.name)
    if (asset.isFile() && !asset.name.endsWith('.ts')) cpSync(path, join(to, path.slice(from.length)))
  }
  for (const file of ['LICENSE', 'README.md']) cpSync(join(from, file), join(to, file))
}

/** The manual page, which a global install gives to man. @returns its path, as a manifest names it */
function writeManual(to: string, version: string): string {
  mkdirSync(join(to, 'man'))
  writeFileSync(join(to, 'man/killick.1'), `${manPage(version)}\n`)
  return './man/killick.1'
}

/** The folder cjs/: what `require` and compilers of CommonJS find. */
function writeRequired(to: string, { exports }: Manifest): void {
  for (const path of globSync('src/**/*.d.ts', { cwd: to, exclude: ['src/cli/**'] }))
    cpSync(join(to, path), join(to, 'cjs', path.slice('src/'.length)))
  writeFileSync(join(to, 'cjs/package.json'), '{ "type": "commonjs" }\n')
  for (const path of Object.values(exports).filter((path) => path.endsWith('.ts'))) {
    const file = join(to, required(path).replace(/\.ts$/, '.js'))
    const module = relative(dirname(file), join(to, path.replace(/\.ts$/, '.js')))
    const entry = `require('${module.split(sep).join('/')}')`
    // A compiler of CommonJS looks for a default export under that name, beside the mark of what was a module.
    const hasDefault = /^export default /m.test(readFileSync(join(to, path.replace(/\.ts$/, '.d.ts')), 'utf8'))
    const withDefault = `Object.assign(exports, ${entry})\nexports.__esModule = true\nexports.default = ${entry}.default\n`
    writeFileSync(file, hasDefault ? withDefault : `module.exports = ${entry}\n`)
  }
}

const required = (path: string): string => path.replace(/^\.\/src\//, './cjs/')

function publish(manifest: Manifest, isRequired: boolean): Manifest {
  const script = (path: string) => path.replace(/\.ts$/, '.js')
  const typed = (path: string) => ({ types: path.replace(/\.ts$/, '.d.ts'), default: script(path) })
  const declared = (path: string) => {
    if (!path.endsWith('.ts')) return path
    return isRequired ? { import: typed(path), require: typed(required(path)) } : typed(path)
  }
  const mapped = <T>(record: Record<string, string>, change: (path: string) => T) =>
    Object.fromEntries(Object.entries(record).map(([key, path]) => [key, change(path)]))
  const { bin, sideEffects, ...rest } = manifest
  return {
    ...rest,
    // What some bundlers read in place of `exports`, unless they are told otherwise.
    ...(manifest.exports['.']?.endsWith('.ts') && { main: script(manifest.exports['.']) }),
    exports: mapped(manifest.exports, declared) as Manifest['exports'],
    ...(sideEffects !== undefined && {
      sideEffects: Array.isArray(sideEffects) ? sideEffects.map(script) : sideEffects,
    }),
    ...(bin && { bin: mapped(bin, (path) => script(path).replace(/^\.\//, '')) }),
  }
}

/** One npm for all: most of what it takes is its start. */
function tarballs(folders: readonly string[], out: string): string[] {
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
  const args = ['pack', ...folders, '--pack-destination', out, '--json', '--silent']
  const packed = Object.values(JSON.parse(execFileSync(npm, args, { cwd: out, encoding: 'utf8' }))) as {
    filename: string
  }[]
  return packed.map(({ filename }) => join(out, filename))
}

if (import.meta.main) {
  const out = resolve(root, process.argv[2] ?? 'dist')
  mkdirSync(dirname(out), { recursive: true })
  for (const path of await pack(out)) console.log(path)
}
