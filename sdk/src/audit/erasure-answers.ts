/** Reads what a service says of erasures, strictly: docs/PROTOCOL.md §16. */
import type { ErasedEvent } from '../core/erasure.ts'
import { KillickError } from '../core/errors.ts'
import { isCount } from '../core/event.ts'
import { type Hash, isHashText, parseHash, printHash } from '../core/hash.ts'
import type { JsonObject, JsonValue } from '../core/json.ts'
import { MAX_ROWS, readRows, rowsOf } from './answers.ts'
import type { Api } from './api.ts'

/** A row of `GET /v1/erasures`: the entry that orders it, how many events it names, and the root of their list. */
export type ErasureRow = {
  readonly logIndex: number
  readonly id: string
  readonly events: number
  readonly root: Hash
}
/** What an erasure takes of one event, and the place of that in its list. */
export type ErasedRow = ErasedEvent & { readonly pos: number }
/** The same with the log index of the order. */
export type NamedRow = ErasedRow & { readonly logIndex: number }

export const ERASURES_PATH = '/v1/erasures'
const PAGE = 1000
/** Leaf hashes that are asked for at a time. */
const MAX_LEAVES = 100

/**
 * All erasures, by rising log index.
 * @param most how many there can be
 * @param behind only those behind this entry of the log
 * @throws KillickError answer_malformed, also for more
 */
export async function readErasures(api: Api, most = MAX_ROWS, behind = -1): Promise<ErasureRow[]> {
  const rows: ErasureRow[] = []
  for (;;) {
    const after = rows.at(-1)?.logIndex ?? behind
    const path = `${ERASURES_PATH}?limit=${PAGE}&after=${after}`
    const page = await readRows(api, path, 'erasures', after, parseErasureRow, ({ logIndex }) => logIndex)
    rows.push(...page)
    if (page.length === 0) return rows
    if (rows.length > most) malformed('they do not come to an end')
  }
}

/** The list of an erasure, by rising place. @throws KillickError answer_malformed */
export async function* readErased(api: Api, id: string): AsyncGenerator<ErasedRow> {
  for (let after = -1; ; ) {
    const path = `${ERASURES_PATH}/${id}/entries?limit=${PAGE}&after=${after}`
    const page = await readRows(api, path, 'entries', after, parseErasedRow, ({ pos }) => pos)
    if (page.length === 0) return
    yield* page
    after = page.at(-1)!.pos
  }
}

/** What erasures take of events, in the order of the log for each. @throws KillickError answer_malformed */
export async function findErased(api: Api, leafHashes: readonly Hash[]): Promise<NamedRow[]> {
  const rows: NamedRow[] = []
  for (let at = 0; at < leafHashes.length; at += MAX_LEAVES) {
    const leaves = leafHashes.slice(at, at + MAX_LEAVES).map(printHash)
    const path = `${ERASURES_PATH}/named?leaves=${leaves.join()}`
    for (const row of rowsOf(await api.json(path), path, 'named'))
      rows.push({ ...parseErasedRow(row), logIndex: countOf(row.logIndex, 'logIndex') })
  }
  return rows
}

function malformed(why: string): never {
  throw new KillickError('answer_malformed', `${ERASURES_PATH}: ${why}`)
}

const countOf = (value: JsonValue | undefined, name: string) =>
  isCount(value) ? value : malformed(`${name} is no count`)
const hashOf = (value: JsonValue | undefined, name: string) => parseHash(value) ?? malformed(`${name} is no hash`)

function parseErasureRow({ id, logIndex, events, root }: JsonObject): ErasureRow {
  if (typeof id !== 'string' || !/^[0-9a-f-]{36}$/.test(id)) malformed('id is none')
  return { id, logIndex: countOf(logIndex, 'logIndex'), events: countOf(events, 'events'), root: hashOf(root, 'root') }
}

function parseErasedRow({ pos, leafHash, digests }: JsonObject): ErasedRow {
  if (!Array.isArray(digests) || !digests.every(isHashText)) malformed('digests are none')
  return { pos: countOf(pos, 'pos'), leafHash: hashOf(leafHash, 'leafHash'), digests: digests as string[] }
}
