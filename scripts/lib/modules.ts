import { globSync, readFileSync } from 'node:fs'
import { join, posix, sep } from 'node:path'
import { parseSync, Visitor } from 'oxc-parser'

/** One source file as the import check sees it. Paths are relative to the root, with forward slashes. */
export interface Module {
  path: string
  /** Every import, re-export, `import()` and `import('…').Type`, in order; a relative specifier is given as its path. */
  imports: { to: string; line: number }[]
  /** Free-standing names (`Buffer`) and members of them (`Date.now`), wherever they are written. */
  names: { name: string; line: number }[]
}

/** Paths of source files, sorted. @param folders - Relative to `root`; node_modules and declaration files are left out. */
export function listModules(root: string, folders: readonly string[]): string[] {
  return folders
    .flatMap((folder) => globSync(`${folder}/**/*.{ts,mts,js,mjs,sol}`, { cwd: root }))
    .map((path) => path.split(sep).join('/'))
    .filter((path) => !/(^|\/)(node_modules|dist)\//.test(path) && !path.endsWith('.d.ts'))
    .sort()
}

/** @param folders - As for `listModules`. */
export function readModules(root: string, folders: readonly string[]): Module[] {
  return listModules(root, folders).map((path) => {
    const text = readFileSync(join(root, path), 'utf8')
    return path.endsWith('.sol') ? readSolidity(path, text) : readTypeScript(path, text)
  })
}

export function readTypeScript(path: string, text: string): Module {
  const { program, errors } = parseSync(path, text)
  if (errors.length > 0) throw new Error(`${path} does not parse: ${errors[0]!.message}`)
  const module: Module = { path, imports: [], names: [] }
  const lineAt = lineFinder(text)
  const add = (source: { type: string; value?: unknown; start: number } | null) => {
    if (source && typeof source.value === 'string') {
      module.imports.push({ to: resolve(path, source.value), line: lineAt(source.start) })
    }
  }
  new Visitor({
    ImportDeclaration: (node) => add(node.source),
    ExportNamedDeclaration: (node) => add(node.source),
    ExportAllDeclaration: (node) => add(node.source),
    ImportExpression: (node) => add(node.source),
    TSImportType: (node) => add(node.source),
    Identifier(node) {
      const isMember = text[node.start - 1] === '.' && text[node.start - 2] !== '.'
      if (!isMember) module.names.push({ name: node.name, line: lineAt(node.start) })
    },
    MemberExpression(node) {
      if (node.object.type === 'Identifier' && node.property.type === 'Identifier' && !node.computed) {
        module.names.push({ name: `${node.object.name}.${node.property.name}`, line: lineAt(node.start) })
      }
    },
  }).visit(program)
  return module
}

export function readSolidity(path: string, text: string): Module {
  const lineAt = lineFinder(text)
  const imports = [...text.matchAll(/^\s*import\s[^'";]*['"]([^'"]+)['"]|^\s*import\s*['"]([^'"]+)['"]/gm)]
  return {
    path,
    imports: imports.map((match) => ({ to: resolve(path, (match[1] ?? match[2])!), line: lineAt(match.index) })),
    names: [],
  }
}

function resolve(from: string, specifier: string): string {
  return specifier.startsWith('.') ? posix.join(posix.dirname(from), specifier) : specifier
}

/** @returns the line that an offset is on, from 1 */
function lineFinder(text: string): (offset: number) => number {
  const starts = [0]
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1)
  return (offset) => {
    let [low, high] = [0, starts.length]
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if (starts[middle]! <= offset) low = middle
      else high = middle
    }
    return high
  }
}

/** The first import cycle found, as the files in order with the first repeated at the end; null when there is none. */
export function findCycle(modules: readonly Module[]): string[] | null {
  const importsOf = new Map(modules.map(({ path, imports }) => [path, imports.map(({ to }) => to)]))
  const done = new Set<string>()
  function walk(path: string, trail: string[]): string[] | null {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path]
    if (done.has(path)) return null
    for (const next of importsOf.get(path) ?? []) {
      const cycle = importsOf.has(next) ? walk(next, [...trail, path]) : null
      if (cycle) return cycle
    }
    done.add(path)
    return null
  }
  for (const { path } of modules) {
    const cycle = walk(path, [])
    if (cycle) return cycle
  }
  return null
}
