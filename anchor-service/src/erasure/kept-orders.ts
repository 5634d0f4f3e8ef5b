/**
 * Orders of erasure outside the database, in the data folder: a database that is restored from a copy of before an order has the contents
 * again, and knows nothing of the order. A file for each order; it names leaves and digests, and no contents. What expires by a policy needs
 * none: it is due again by the same anchors.
 */
import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type ErasedEvent,
  type Erasure,
  equalBytes,
  erasedLeaf,
  type Hash,
  nodePrimitives,
  parseErasure,
  parseHash,
  printHash,
  SYSTEM,
  treeRoot,
} from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import { StartError } from '../errors.ts'
import { readErased, readErasure } from '../ledger/registry/erasures.ts'
import { readSystemEvent, readSystemLines } from '../ledger/registry/registrations.ts'
import { readHead } from '../ledger/tree/checkpoints.ts'
import { readRoot } from '../ledger/tree/tiles.ts'
import { syncFolder } from '../sync-folder.ts'

/** What an order says, and the events that it names. */
export type KeptOrder = {
  id: string
  reason: string
  legalBasis: string | null
  order: string | null
  fields: readonly string[] | null
  entries: readonly ErasedEvent[]
}

export type KeptOrders = {
  /**
   * Writes those orders of the log that the folder does not have. They are durable before anything of them is carried out. One whose list
   * was altered is not written: the folder is there to know better than the database.
   */
  keep(): Promise<void>
  /**
   * The orders that the folder has and the log has not, and that nobody has looked at in this log: what was settled in one database is not in
   * another, which may hold what the first did not. @throws StartError for a damaged file
   */
  lost(): Promise<KeptOrder[]>
  /** Those of which something was left when they were looked at in this log. @throws StartError for a damaged file */
  left(): Promise<KeptOrder[]>
  /**
   * Notes of a lost order that it was looked at. `settled`: it was ordered again, or nothing of it is there. `left`: something of it is, which
   * a hold covers or which cannot be read.
   */
  look(id: string, state: 'settled' | 'left'): Promise<void>
}

const FORM = 'killick-erasure/1'
const FILE = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:\.(settled|left))?\.json$/
const PAGE = 2000

/** What became of an order whose file it is. */
type State = 'open' | 'settled' | 'left'

/** The head of the log in which an order was looked at last; null: in none, or it is not known. */
type Looked = { looked: { size: number; root: string } | null }

/** @param dataFolder whose folder `erasures` it is */
export function keepOrders(db: Db, dataFolder: string): KeptOrders {
  const folder = join(dataFolder, 'erasures')

  async function list(): Promise<Map<string, State>> {
    const names = await readdir(folder).catch(orNone)
    const files = (names ?? []).map((name) => FILE.exec(name)).filter((match) => match !== null)
    return new Map(files.map(([, id, state]) => [id!, (state ?? 'open') as State]))
  }

  const pathOf = (id: string, state: State) => join(folder, `${id}${state === 'open' ? '' : `.${state}`}.json`)

  async function read(path: string): Promise<KeptOrder & Looked> {
    try {
      return parse(JSON.parse(await readFile(path, 'utf8')))
    } catch (error) {
      throw new StartError(
        `${path} cannot be read: ${(error as Error).message}. Restore it from a backup, or move it away.`,
      )
    }
  }

  /** Those that the log does not have: that nobody has looked at in it (`open`), and the others by what was found. */
  async function readMissing(wanted: State): Promise<KeptOrder[]> {
    const files = [...(await list())].filter(([, state]) => wanted === 'open' || state === wanted)
    if (files.length === 0) return []
    const ids = files.map(([id]) => id)
    const { rows } = await db.query<{ id: string }>('select id from erasures where id = any($1::uuid[])', [ids])
    const known = new Set(rows.map(({ id }) => id))
    const missing: KeptOrder[] = []
    for (const [id, state] of files) {
      if (known.has(id)) continue
      const { looked, ...order } = await read(pathOf(id, state))
      const isLooked = state !== 'open' && (await isOfLog(db, looked))
      if (isLooked === (wanted !== 'open')) missing.push(order)
    }
    return missing
  }

  async function write({ entries, ...said }: KeptOrder & Partial<Looked>, state: State = 'open'): Promise<void> {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const path = pathOf(said.id, state)
    const named = entries.map(({ leafHash, digests }) => [printHash(leafHash), ...digests])
    // Processes may share the folder, and in containers each is process 1.
    const draft = `${path}.${randomUUID()}.new`
    const file = await open(draft, 'w', 0o600)
    try {
      await file.writeFile(JSON.stringify({ form: FORM, ...said, entries: named }))
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(draft, path)
    await syncFolder(folder)
  }

  async function writeMissing(): Promise<void> {
    const { rows } = await db.query<{ id: string }>('select id from erasures where policy is null order by log_index')
    if (rows.length === 0) return
    const known = await list()
    for (const { id } of rows) {
      if (known.has(id)) continue
      const { root, ...order } = await readOrder(db, id)
      if (isCommitted(order, root)) await write(order)
    }
  }

  /** One after the other: two would both write what the folder lacks. */
  let writing: Promise<void> = Promise.resolve()

  return {
    keep() {
      writing = writing.catch(() => {}).then(writeMissing)
      return writing
    },
    lost: () => readMissing('open'),
    left: () => readMissing('left'),
    async look(id, state) {
      const before = (await list()).get(id) ?? 'open'
      const head = await readHead(db)
      const looked = head && { size: head.size, root: printHash(head.root) }
      await write({ ...(await read(pathOf(id, before))), looked }, before)
      await rename(pathOf(id, before), pathOf(id, state))
      await syncFolder(folder)
    },
  }
}

/** Whether the log has this head, or has grown from it. */
async function isOfLog(db: Db, looked: Looked['looked']): Promise<boolean> {
  const head = looked && (await readHead(db))
  if (!head || head.size < looked.size) return false
  return printHash(await readRoot(db, looked.size)) === looked.root
}

/** Whether an order names what it commits to. */
export const isCommitted = ({ entries }: KeptOrder, root: Hash): boolean =>
  equalBytes(treeRoot(entries.map(erasedLeaf), nodePrimitives.nodeHash), root)

/** An order of the log, with what the database lists of it, and the root that it commits to. */
export async function readOrder(db: Db, id: string): Promise<KeptOrder & { root: Hash }> {
  const { logIndex } = (await readErasure(db, id))!
  const { reason, legalBasis, order, fields, root } = await readWords(db, logIndex)
  const entries: ErasedEvent[] = []
  for (let after = -1; ; ) {
    const page = await readErased(db, logIndex, after, PAGE)
    if (page.length === 0) break
    after = page.at(-1)!.pos
    for (const { leafHash, digests } of page) entries.push({ leafHash, digests })
  }
  return { id, reason, legalBasis, order, fields, entries, root }
}

/** What the event of an order says. */
export async function readWords(db: Db, logIndex: number): Promise<Erasure> {
  const [line] = await readSystemLines(db, SYSTEM.source, [logIndex])
  return parseErasure(readSystemEvent(SYSTEM.source, logIndex, line!.header, line!.token))!
}

type Printed = Omit<KeptOrder, 'entries'> & Partial<Looked> & { form: string; entries: string[][] }

function parse({ form, id, reason, legalBasis, order, fields, entries, looked = null }: Printed): KeptOrder & Looked {
  if (form !== FORM) throw new Error(`it is no ${FORM}`)
  return {
    ...{ id, reason, legalBasis, order, fields, looked },
    entries: entries.map(([leaf, ...digests]) => {
      const leafHash = parseHash(leaf!)
      if (leafHash === null) throw new Error('an entry has no leaf hash')
      return { leafHash, digests }
    }),
  }
}

function orNone(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null
  throw error
}
