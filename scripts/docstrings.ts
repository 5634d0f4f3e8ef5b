// Every name that a package exports has a docstring, which editors show on hover. `npm run check` fails if one is missing.
//
//   node scripts/docstrings.ts
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Comment, parseSync, type Statement } from 'oxc-parser'

/** A name of a package's entry, and where it is declared. */
export interface Exported {
  name: string
  /** The docstring's text without its stars; null if there is none. */
  doc: string | null
  file: string
  line: number
}

/**
 * The names that `entry` exports, each with its declaration, through any number of `export … from`. One docstring is enough for
 * overloads, and for a type and a value of the same name.
 */
export function readExports(entry: string): Exported[] {
  const source = readFileSync(entry, 'utf8')
  const { program, comments, errors } = parseSync(entry, source)
  if (errors.length > 0) throw new Error(`${entry} does not parse: ${errors[0]!.message}`)
  const own = new Map<string, Exported>()
  const found = new Map<string, Exported>()
  for (const statement of program.body) {
    for (const name of declaredBy(statement)) {
      const doc = docBefore(statement.start, source, comments) ?? own.get(name)?.doc ?? null
      const line = source.slice(0, statement.start).split('\n').length
      own.set(name, { name, doc, file: entry, line })
      if (statement.type === 'ExportNamedDeclaration') found.set(name, own.get(name)!)
    }
  }
  for (const statement of program.body) {
    if (statement.type === 'ExportAllDeclaration') {
      for (const each of readExports(join(dirname(entry), statement.source.value))) found.set(each.name, each)
    } else if (statement.type === 'ExportNamedDeclaration' && statement.specifiers.length > 0) {
      const theirs = statement.source && readExports(join(dirname(entry), statement.source.value))
      for (const { local, exported } of statement.specifiers) {
        const [from, as] = [nameOf(local), nameOf(exported)]
        const declared = theirs ? theirs.find(({ name }) => name === from) : own.get(from)
        if (!declared) throw new Error(`${entry} exports ${from}, whose declaration was not found`)
        found.set(as, { ...declared, name: as })
      }
    }
  }
  return [...found.values()]
}

/** Names that a statement declares, exported or not. */
function declaredBy(statement: Statement | { type: string }): string[] {
  const node = statement as { type: string; declaration?: Statement; id?: { name: string }; declarations?: unknown[] }
  if (node.type === 'ExportNamedDeclaration') return node.declaration ? declaredBy(node.declaration) : []
  if (node.type === 'VariableDeclaration')
    return (node.declarations as { id: { name: string } }[]).map(({ id }) => id.name)
  return node.id ? [node.id.name] : []
}

/** The docstring that ends right before `start`. */
function docBefore(start: number, source: string, comments: readonly Comment[]): string | null {
  const comment = comments.findLast(({ end }) => end <= start)
  if (comment?.type !== 'Block' || !comment.value.startsWith('*')) return null
  if (source.slice(comment.end, start).trim() !== '') return null
  return comment.value.replace(/^\s*\*+ ?/gm, '').trim() || null
}

const nameOf = (name: { type: string; name?: string; value?: unknown }): string => name.name ?? String(name.value)

/** The entries of a package, as its package.json lists them. */
export function entriesOf(folder: string): string[] {
  const manifest = join(folder, 'package.json')
  const { exports } = JSON.parse(readFileSync(manifest, 'utf8')) as { exports: Record<string, string> }
  return Object.values(exports)
    .filter((path) => path.endsWith('.ts') && existsSync(join(folder, path)))
    .map((path) => join(folder, path))
}

if (import.meta.main) {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const names = new Map<string, Exported>()
  for (const entry of ['sdk', 'gateway'].flatMap((workspace) => entriesOf(join(root, workspace))))
    for (const each of readExports(entry)) names.set(`${each.file} ${each.name}`, each)
  const bare = [...names.values()].filter(({ doc }) => doc === null)
  for (const { name, file, line } of bare) console.error(`${relative(root, file)}:${line}  ${name} has no docstring`)
  if (bare.length > 0) process.exitCode = 1
  else console.log(`${names.size} exported names, each with a docstring`)
}
