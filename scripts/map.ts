// The drawing in docs/ARCHITECTURE.md, made from the table in scripts/imports.ts. A test fails when the two differ.
//
//   node scripts/map.ts      writes the drawing into docs/ARCHITECTURE.md
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { PARTS } from './imports.ts'

const PAGE = fileURLToPath(new URL('../docs/ARCHITECTURE.md', import.meta.url))
const BLOCK = /(?<=<!-- map -->\n```mermaid\n)[\s\S]*?(?=```\n<!-- \/map -->)/

/** Parts that the drawing leaves out: they may import everything above them. */
const LEFT_OUT = ['scripts', 'test']

const FRAMES: [title: string, prefix: string][] = [
  ['sdk', 'sdk/'],
  ['anchor-service/src', 'anchor-service/src/'],
  ['anchor-service/web', 'anchor-service/web/'],
]

/**
 * A mermaid flowchart of the parts; an arrow points to what is imported. An arrow is left out where a longer way along the
 * others leads to the same part, so the drawing has the fewest arrows that still show who may reach whom.
 */
export function drawMap(parts = PARTS): string {
  const shown = parts.filter(({ name }) => !LEFT_OUT.includes(name))
  const direct = new Map(
    shown.map(({ name, may }) => [name, may.filter((to) => shown.some((part) => part.name === to))]),
  )
  const reaches = (from: string, to: string): boolean =>
    direct.get(from)!.some((next) => next === to || reaches(next, to))
  const needed = (from: string, to: string) => !direct.get(from)!.some((via) => via !== to && reaches(via, to))
  const lines = ['flowchart TD']
  for (const [title, prefix] of FRAMES) {
    lines.push(`  subgraph ${id(title)}["${title}"]`)
    for (const part of shown) if (part.files[0]!.startsWith(prefix)) lines.push(`    ${node(part.name)}`)
    lines.push('  end')
  }
  for (const { name, files } of shown)
    if (!FRAMES.some(([, prefix]) => files[0]!.startsWith(prefix))) lines.push(`  ${node(name)}`)
  for (const [from, tos] of [...direct].reverse())
    for (const to of tos) if (needed(from, to)) lines.push(`  ${id(from)} --> ${id(to)}`)
  return `${lines.join('\n')}\n`
}

const node = (name: string) => `${id(name)}["${name}"]`
const id = (name: string) => `p_${name.replace(/\W/g, '_')}`

/** @throws where the page has no place for a drawing */
export function mapIn(page: string): string {
  const [found] = page.match(BLOCK) ?? []
  if (found === undefined) throw new Error('docs/ARCHITECTURE.md has no <!-- map --> block')
  return found
}

if (import.meta.main) {
  const page = readFileSync(PAGE, 'utf8')
  mapIn(page)
  writeFileSync(
    PAGE,
    page.replace(BLOCK, () => drawMap()),
  )
}
