import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type AuditLog, generateKey, openAuditLog, publicJwk, readKeyFile, writeKeyFile } from '@killick/sdk'
import { type JsonObject, thumbprint } from '@killick/sdk/core'
import type { LedgerApi } from './api.ts'
import { type History, subjectOf } from './history.ts'
import { Obstacle } from './steps.ts'

export interface SourceFiles {
  name: string
  key: string
  publicKey: string
  spool: string
}

/** Where the recorder of `npm start` keeps its key and its spool: beside the ledger, in a folder of its own. */
export function sourceFiles(dataFolder: string, name: string): SourceFiles {
  const folder = join(dataFolder, 'sources', name)
  return { name, key: join(folder, 'key.json'), publicKey: join(folder, 'key.pub.json'), spool: join(folder, 'spool') }
}

/** Makes the source's key at the first start, and registers it with the service unless it knows it. */
export async function registerSource(api: LedgerApi, files: SourceFiles): Promise<void> {
  await mkdir(files.spool, { recursive: true, mode: 0o700 })
  if (!existsSync(files.key)) await writeKeyFile(files.key, generateKey())
  const jwk = publicJwk(await readKeyFile(files.key))
  await writeFile(files.publicKey, `${JSON.stringify(jwk)}\n`)
  const { sources } = await api.get<{ sources: { keys: { kid: string }[] }[] }>(`/v1/sources?source=${files.name}`)
  if (sources[0]?.keys.some(({ kid }) => kid === thumbprint(jwk))) return
  await api.post('/v1/sources', { source: files.name, keys: [{ jwk }] })
}

export interface Recording {
  /** Events recorded now. */
  added: number
  /** Events of the source in the ledger, these included. */
  total: number
  /** Id of the newest event. */
  newest: string
}

const AT_ONCE = 1000
/** Nothing accepted for this long: something is wrong. */
const STALLED_MS = 15_000

/** Records what is not in the ledger yet, oldest first, and waits until the log has accepted it. */
export async function recordHistory(
  api: LedgerApi,
  files: SourceFiles,
  history: History,
  options: { url: string; logKey: string; progress: (recorded: number, of: number) => void },
): Promise<Recording> {
  const { url, logKey, progress } = options
  const audit: AuditLog = await openAuditLog({ url, source: files.name, key: files.key, spool: files.spool, logKey })
  try {
    await flush(audit) // what an earlier run has recorded and was not able to send
    const known = await readSubjects(api, files.name)
    const events = history.events.filter((event) => !known.subjects.has(subjectOf(event)))
    let newest = known.newest
    for (let i = 0; i < events.length; i += AT_ONCE) {
      const recorded = await Promise.all(events.slice(i, i + AT_ONCE).map((event) => audit.record(event)))
      newest = recorded.at(-1)!.id
      progress(i + recorded.length, events.length)
    }
    await flush(audit)
    return { added: events.length, total: known.total + events.length, newest }
  } finally {
    await audit.close({ timeoutMs: 1000 })
  }
}

/** A recorder waits for its service as long as it takes; a person at a terminal does not. */
async function flush(audit: AuditLog): Promise<void> {
  let accepted = -1
  let timer: NodeJS.Timeout | undefined
  const stalled = new Promise<never>((_, reject) => {
    timer = setInterval(() => {
      const { status } = audit
      if (status.accepted === accepted) {
        reject(
          new Obstacle(
            `The service does not take the events (${status.lastError?.message ?? 'no answer'}); they stay in the spool.`,
          ),
        )
      }
      accepted = status.accepted
    }, STALLED_MS)
  })
  try {
    await Promise.race([audit.flush(), stalled])
  } finally {
    clearInterval(timer)
  }
}

/** What the source's events in the ledger are about. */
async function readSubjects(
  api: LedgerApi,
  source: string,
): Promise<{ subjects: Set<string>; total: number; newest: string }> {
  interface Page {
    /** Without fields where the database was altered. */
    events: { id: string; fields?: JsonObject }[]
    next: string | null
  }
  const subjects = new Set<string>()
  let total = 0
  let newest = ''
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: Page = await api.get(`/v1/events?source=${source}&limit=500${cursor && `&cursor=${cursor}`}`)
    newest ||= page.events[0]?.id ?? ''
    total += page.events.length
    for (const { fields } of page.events) if (fields) subjects.add(subjectOf(fields))
    cursor = page.next
  }
  return { subjects, total, newest }
}
