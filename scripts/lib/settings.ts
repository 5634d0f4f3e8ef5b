import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadConfig } from '@killick/anchor-service'

/** One environment variable of the service, as its doc comment describes it. */
export interface Setting {
  name: string
  /** What it is called in the file KILLICK_TARGETS, for settings of a target. */
  member: string | null
  /** What it is, without its default. */
  says: string
  /** What holds without it, as written; null: it is needed, or nothing is said. */
  fallback: string | null
}

/** A chapter of the manual: the settings of one file. */
export interface Chapter {
  title: string
  file: string
  settings: Setting[]
}

const CHAPTERS = [
  { title: 'The service', files: ['config.ts'] },
  { title: 'Where checkpoints are anchored', files: ['anchor/settings.ts', 'anchor/chain/open-signer.ts'] },
  { title: 'What proof pages say', files: ['http/page-settings.ts'] },
  { title: "The service's own audit", files: ['audit/settings.ts'] },
  { title: 'Bundles', files: ['bundles/settings.ts'] },
]

const sources = fileURLToPath(new URL('../../anchor-service/src', import.meta.url))

/** Every setting of the service, read from the doc comments that are their manual: `NAME: what it is. Default: …`. */
export function readSettings(): Chapter[] {
  return CHAPTERS.map(({ title, files }) => ({
    title,
    file: `anchor-service/src/${files[0]}`,
    settings: files.flatMap((file) => readComments(readFileSync(join(sources, file), 'utf8'))),
  }))
}

function readComments(source: string): Setting[] {
  return [...source.matchAll(/\/\*\*([\s\S]*?)\*\//g)].flatMap(([, comment]) => {
    const text = comment!.replace(/\s*\n\s*\* ?/g, ' ').trim()
    const [, names, says] = text.match(/^([A-Z][A-Z_]+(?:, `\w+`)?): (.*)$/s) ?? []
    if (names === undefined) return []
    const [name, member] = names.split(', ')
    const [what, fallback] = splitDefault(says!)
    return [{ name: name!, member: member?.replaceAll('`', '') ?? null, says: what, fallback }]
  })
}

/** "… Default 8787." and "… Default: none; then …" at the end, or before a last sentence. */
function splitDefault(text: string): [string, string | null] {
  const [sentence, fallback] = text.match(/\bDefault:? (.*?)\.(?= [A-Z]|$)/s) ?? []
  if (sentence === undefined) return [text, null]
  return [text.replace(sentence, '').replace(/\s+/g, ' ').trim(), fallback!]
}

/** The names that the service does read from its environment, found out by having it read one. */
export function readNames(): string[] {
  const names = new Set<string>()
  const target: Record<string, string> = { KILLICK_RPC_URL: 'http://127.0.0.1:8545' }
  const spy = new Proxy(target, {
    get(known, name) {
      names.add(String(name))
      return known[String(name)]
    },
  })
  try {
    loadConfig(spy)
  } catch {
    // A target without a contract is a fault; all of it has been read by then.
  }
  return [...names]
}
