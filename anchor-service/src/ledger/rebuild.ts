/**
 * Makes the tables of sources and their keys again from the log. It believes nothing in them: afterwards they say what the events
 * of the system stream say, and it checks that these are all such events in the signed log.
 */

import { equalBytes, KillickError, nodePrimitives, parseBatchHeader, SYSTEM } from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import { StartError } from '../errors.ts'
import { differences, insertRegistration, readOthers, readRows } from './registry/registrations.ts'
import { keepRegistry, type LedgerRegistry } from './registry/registry.ts'
import type { LocalSigner } from './signing-keys.ts'
import { type LogKey, readHead } from './tree/checkpoints.ts'
import { append, type Frontier, frontierRoot } from './tree/frontier.ts'

export type Rebuilt = {
  sources: number
  registrations: number
  /** The faults of the tables, each a sentence that begins with a source. */
  faults: string[]
}

const PAGE = 1_000

/**
 * @param db in a transaction that holds the log's lock, and with the rights of the tables' owner
 * @param isSure write; otherwise only report what is wrong
 * @throws StartError if the log is not whole and signed; Refusal registry_altered if the system stream is not
 */
export async function rebuildRegistry(db: Db, log: LogKey, system: LocalSigner, isSure: boolean): Promise<Rebuilt> {
  const entries = await countOwn(db, log)
  const registry = keepRegistry(log, system)
  await registry.catchUp(db)
  if (registry.walked() !== entries)
    throw new StartError(
      `The log has ${entries} entries of ${SYSTEM.source}/${SYSTEM.stream}, of which ${registry.walked()} are found. Restore the database from a backup.`,
    )
  const faults = await compare(db, registry)
  if (isSure && faults.length > 0) {
    await replace(db, registry)
    // A rule or a trigger could have changed these rows.
    const [left] = await compare(db, registry)
    if (left !== undefined) throw new StartError(`The database does not keep what is written to it: ${left}`)
  }
  return { sources: registry.names().length, registrations: registry.version(), faults }
}

/**
 * How many entries of the log are the ledger's own. This reads every header of the log, whatever the columns beside it say, and
 * together they must have the signed root. So none can be hidden, such as one that ended a key.
 */
async function countOwn(db: Db, log: LogKey): Promise<number> {
  const head = await readHead(db)
  if (head === null || log.signCheckpoint(head.size, head.root) !== head.note)
    throw new StartError('The newest checkpoint in the database is not one that this log’s key has signed.')
  let frontier: Frontier = { size: 0, tiles: [] }
  let count = 0
  while (frontier.size < head.size) {
    const { rows } = await db.query<{ header: string }>(
      'select header from batches where log_index >= $1 and log_index < $2 order by log_index',
      [frontier.size, Math.min(frontier.size + PAGE, head.size)],
    )
    if (rows.length === 0) break
    for (const { header } of rows) if (isOwn(header)) count += 1
    const leaves = rows.map(({ header }) => nodePrimitives.leafHash(header))
    frontier = append(frontier, leaves).frontier
  }
  if (frontier.size !== head.size || !equalBytes(frontierRoot(frontier), head.root))
    throw new StartError(
      'The entries in the database are not those of its signed checkpoint. Restore the database from a backup.',
    )
  return count
}

function isOwn(header: string): boolean {
  try {
    const { source, stream } = parseBatchHeader(header)
    return source === SYSTEM.source && stream === SYSTEM.stream
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    // Such a header also hashes to another root.
    return false
  }
}

async function compare(db: Db, registry: LedgerRegistry): Promise<string[]> {
  const names = registry.names()
  const faults: string[] = []
  for (let at = 0; at < names.length; at += PAGE) {
    const some = names.slice(at, at + PAGE)
    const all = []
    for (const name of some) all.push(...(await registry.read(db, name)))
    for (const { source, message } of differences(all, await readRows(db, some))) faults.push(`${source}: ${message}`)
  }
  for (const source of await readOthers(db, names)) faults.push(`${source}: it was never registered`)
  return faults
}

async function replace(db: Db, registry: LedgerRegistry): Promise<void> {
  const triggers = (what: string) =>
    ['sources', 'source_keys'].map((table) => `alter table ${table} ${what} trigger append_only`).join(';')
  await db.query(`${triggers('disable')}; delete from source_keys; delete from sources`)
  for (const name of registry.names())
    for (const { registration, logIndex } of await registry.read(db, name))
      await insertRegistration(db, registration, logIndex)
  await db.query(triggers('enable'))
}
