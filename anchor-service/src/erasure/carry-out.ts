/**
 * Replaces a pack by one without some disclosures: its events keep their leaves, and what it is found by is made again. In one
 * transaction, so that no reader and no audit ever sees a half of it.
 */
import { nodePrimitives } from '@killick/sdk/core'
import type pg from 'pg'
import type { Db } from '../database/pool.ts'
import { entriesOf, heldIn } from '../ledger/index/run-entries.ts'
import { INDEX_LOCK } from '../ledger/index/write-run.ts'
import { SCHEMES } from '../ledger/packs/filters.ts'
import { makeKeys, readWhole, type WholePack } from '../ledger/packs/make-keys.ts'
import { packBody } from '../ledger/packs/packer.ts'
import { readBody, splitLines } from '../ledger/packs/read-pack.ts'

/** What goes of the events of a pack: digests by the event's number in the log. */
export type Going = ReadonlyMap<number, readonly string[]>

/**
 * Replaces packs, in a transaction of its own.
 * @param packs numbers of their first events
 * @returns how many events lost something; none if it was all gone already
 */
export async function erasePacks(pool: pg.Pool, packs: readonly number[], going: Going): Promise<number> {
  const client = await pool.connect()
  let failure: Error | undefined
  try {
    await client.query('begin')
    // No run is made of the keys meanwhile.
    await client.query('select pg_advisory_xact_lock($1)', [INDEX_LOCK])
    let events = 0
    for (const first of packs) events += await erasePack(client, first, going)
    await client.query('commit')
    return events
  } catch (error) {
    failure = error as Error
    throw error
  } finally {
    client.release(failure)
  }
}

async function erasePack(db: Db, first: number, going: Going): Promise<number> {
  for await (const pack of readWhole(db, first, first + 1)) {
    const text = await readBody(pack.body)
    // The audit reports a pack that cannot be read; there is nothing of it to take away.
    if (text === null) return 0
    const line = splitLines(text, pack.pos)
    let changed = 0
    const lines = Array.from({ length: pack.n }, (_, i) => {
      const kept = without(line(i), new Set(going.get(first + i)))
      if (kept !== line(i)) changed += 1
      return kept
    })
    if (changed === 0) return 0
    const header = pack.pos === 0 ? text.toString('latin1', 0, text.indexOf('\n')) : null
    const { body, ends } = packBody(header, lines)
    await db.query('select erase_pack($1, $2, $3)', [first, body, ends])
    await eraseKeys(db, { ...pack, body })
    return changed
  }
  return 0
}

/** An event token without the disclosures that have these digests. */
function without(token: string, digests: ReadonlySet<string>): string {
  if (digests.size === 0) return token
  const [leaf, ...texts] = token.split('~')
  return [leaf, ...texts.filter((text) => text === '' || !digests.has(nodePrimitives.digest(text)))].join('~')
}

/** Makes the keys of a replaced pack again, of every scheme that it has, and takes what is gone out of the runs. */
async function eraseKeys(db: Db, pack: WholePack & { first_event: number }): Promise<void> {
  const { rows } = await db.query<{ scheme: number; keys: Buffer }>(
    'select scheme, keys from pack_keys where first_event = $1',
    [pack.first_event],
  )
  for (const { scheme, keys: before } of rows) {
    const made = scheme in SCHEMES ? await makeKeys(pack, scheme) : null
    if (made === null) continue
    await db.query('select erase_keys($1, $2, $3, $4)', [pack.first_event, scheme, made.keys, made.key_counts])
    const run = await heldIn(db, scheme, pack.first_event)
    if (run === null) continue
    const kept = new Set(entriesOf(run, pack.first_event, made.keys))
    const gone = entriesOf(run, pack.first_event, before).filter((entry) => !kept.has(entry))
    if (gone.length > 0)
      await db.query('select erase_entries($1, $2, $3, $4, $5)', [
        ...[pack.first_event, scheme, run.level, run.start, gone.map(String)],
      ])
  }
}
