// The files that `killick init` leaves in a project.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, isAbsolute, join, relative } from 'node:path'
import type { FirstUse } from '../config/config.ts'
import { CONFIG_FILE, loadConfig } from '../config/config.ts'
import { isSourceName } from '../core/event.ts'
import type { JsonObject } from '../core/json.ts'
import { isObject, parseJson } from '../core/json.ts'
import type { PublicJwk } from '../core/jwk.ts'
import type { PinnedLog } from '../verify/trust.ts'
import { replaceFile } from './init-state.ts'

export const EXAMPLE_FILE = 'audit-example.mjs'

const EXAMPLE = `// Records one event with the settings in killick.json. Run it: node ${EXAMPLE_FILE}
import { openAuditLog, readConfig } from '@killick/sdk'

const audit = await openAuditLog(readConfig())
const { id } = await audit.record({
  action: 'invoice.approve',
  actor: { type: 'user', id: 'u-17', name: 'Zoë Lindqvist' },
  targets: [{ type: 'invoice', id: '2026-0042' }],
  outcome: 'success', // or 'failure', or 'denied'
})
await audit.close({ strict: true }) // rejects if the ledger has not accepted everything
console.log(id)
`

/** Writes the example, whole: a part of it would stay what it is. @returns false if a file of its name is there */
export function writeExample(folder: string): boolean {
  const file = join(folder, EXAMPLE_FILE)
  if (existsSync(file)) return false
  replaceFile(file, EXAMPLE)
  return true
}

/**
 * A name for the source: that of the package, or of the folder. Where letters beyond ASCII fall out of it, a part of its hash tells it
 * from others that lose theirs.
 */
export function nameOf(folder: string): string {
  const names = [packageName(folder), basename(folder)].map((name) => tidy(name ?? ''))
  return names.find((name) => isSourceName(name) && name !== 'killick') ?? 'my-app'
}

function tidy(text: string): string {
  const name = text
    .toLowerCase()
    .replace(/^@[^/]*\//, '')
    .normalize('NFC')
  const plain = name.replace(/[^a-z0-9._-]+/g, '-').replace(/^[^a-z0-9]+/, '')
  if (!/[^\0-\x7f]/.test(name)) return plain.slice(0, 64)
  const mark = createHash('sha256').update(name).digest('hex').slice(0, 8)
  return `${plain.slice(0, 55).replace(/-$/, '') || 'my-app'}-${mark}`
}

function packageName(folder: string): string | undefined {
  try {
    const { name } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    return typeof name === 'string' ? name : undefined
  } catch {
    // None, or none that can be read: the folder has a name too.
    return undefined
  }
}

/**
 * Adds lines to .gitignore for what must be neither committed nor published: npm goes by it too, unless there is a .npmignore, by which
 * alone it goes then. A repository may be made later.
 * @returns the files that got some, with those added
 */
export function ignoreFiles(folder: string, paths: readonly string[]): { name: string; added: string[] }[] {
  const lines = paths
    .map((path) => relative(folder, path))
    .filter((path) => !path.startsWith('..') && !isAbsolute(path))
    .map((path) => `/${path.replaceAll('\\', '/')}`)
  const names = existsSync(join(folder, '.npmignore')) ? ['.gitignore', '.npmignore'] : ['.gitignore']
  return names.flatMap((name) => {
    const added = addLines(join(folder, name), lines)
    return added.length > 0 ? [{ name, added }] : []
  })
}

/** Adds lines to a file that does not have them. @returns those added */
function addLines(file: string, lines: readonly string[]): string[] {
  const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
  const known = new Set(text.split(/\r?\n/).map((line) => line.trim()))
  const added = lines.filter((line) => !known.has(line))
  // Deno's appendFileSync lets everybody write to the file, whatever the umask, also to one that was there.
  if (added.length > 0)
    writeFileSync(file, `${text === '' || text.endsWith('\n') ? '' : '\n'}${added.join('\n')}\n`, { flag: 'a' })
  return added
}

/** What `init` has to say in killick.json. */
export type NewConfig = {
  readonly url: string
  readonly source: string
  /** Paths as they are to be written: from the folder, with /. */
  readonly key: string
  readonly spool: string
  readonly logKey: string
  readonly jwk: PublicJwk
  readonly logs: readonly PinnedLog[]
  readonly rpcs: readonly string[]
  readonly firstUse: FirstUse | null
}

/** Writes killick.json; what it has already stays. @returns whether anything was written */
export function writeConfig(folder: string, config: NewConfig): boolean {
  const file = join(folder, CONFIG_FILE)
  const before = existsSync(file) ? readFileSync(file, 'utf8') : null
  const had = before === null ? {} : (parseJson(before) as JsonObject)
  const { jwk, logs, rpcs, firstUse, ...settings } = config
  const pins = isObject(had.pins) ? had.pins : {}
  const orNew = (name: string, value: readonly unknown[]) => {
    const known = pins[name]
    return { [name]: Array.isArray(known) && known.length > 0 ? known : value }
  }
  const isAdded = had.logKey === undefined || (logs.length > 0 && !hasItems(pins.logs))
  const text = `${JSON.stringify(
    {
      ...settings,
      ...had,
      pins: {
        ...(isAdded && firstUse !== null && { firstUse }),
        ...pins,
        ...orNew('sourceKeys', [{ source: config.source, jwk }]),
        ...orNew('logs', logs),
        ...orNew('rpcs', rpcs),
      },
    },
    null,
    2,
  )}\n`
  if (before !== null && JSON.stringify(JSON.parse(text)) === JSON.stringify(had)) return false
  replaceFile(file, text)
  // Whoever reads it must be able to.
  loadConfig(file)
  return true
}

const hasItems = (value: unknown): boolean => Array.isArray(value) && value.length > 0
