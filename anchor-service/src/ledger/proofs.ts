import {
  type Anchor,
  equalBytes,
  isEventId,
  KillickError,
  parseBatchHeader,
  parseEvent,
  parseHash,
  planInclusion,
  printProof,
} from '@killick/sdk'
import { Refusal } from '../errors.ts'
import { readProvingAnchors } from './anchors.ts'
import { batchPath } from './batch-path.ts'
import { type LogKey, readCheckpoint, readCovering } from './checkpoints.ts'
import { readKeys } from './sources.ts'
import { type Db, readPlans, splitHashes } from './tiles.ts'

type Row = { log_index: number; pos: number; jws: string; disclosures: string; header: string; event_leaves: Buffer }

/**
 * The proof of one event, as its JSON text: against the smallest anchored size that covers it, or while there is none,
 * against the checkpoint of its receipt. Four short reads, whatever the size of the log.
 *
 * @param name the event's id (of several events that claim one id, the first accepted), or its leaf hash
 * @throws Refusal event_not_found | event_unreadable
 */
export async function readProof(db: Db, log: LogKey, name: string): Promise<string> {
  const row = await findEvent(db, name)
  const { event, header, leaves } = parseRow(row)
  const kids = [...new Set([event.signature?.kid ?? header.signature.kid, header.signature.kid])]
  const anchors = await readProvingAnchors(db, row.log_index)
  const size = anchors[0]?.size
  const checkpoint =
    size === undefined ? (await readCovering(db, [row.log_index]))[0]! : (await readCheckpoint(db, size))!
  const sizes = [...new Set([checkpoint.size, ...anchors.map((anchor) => anchor.size)])]
  const paths = await readPlans(
    db,
    sizes.map((covering) => planInclusion(row.log_index, covering)),
  )
  const keys = await readKeys(db, event.source, kids)
  const withPath = (anchor: Anchor): Anchor =>
    anchor.size === checkpoint.size ? anchor : { ...anchor, path: paths[sizes.indexOf(anchor.size)]! }

  return printProof({
    event: event.token,
    batch: { header: row.header, index: row.pos, path: batchPath(leaves, row.pos) },
    log: { origin: log.origin, index: row.log_index, size: checkpoint.size, path: paths[0]! },
    checkpoint: checkpoint.note,
    anchors: anchors.map(withPath),
    keys: kids.map((kid) => keys.get(kid)!),
  })
}

function parseRow(row: Row) {
  try {
    const event = parseEvent(`${row.jws}~${row.disclosures}`)
    const leaves = splitHashes(row.event_leaves)
    const leaf = leaves[row.pos]
    if (leaf === undefined || !equalBytes(leaf, event.leafHash)) throw new Refusal('event_unreadable')
    return { event, header: parseBatchHeader(row.header), leaves }
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    throw new Refusal('event_unreadable', `${error.code}: ${error.message}`)
  }
}

async function findEvent(db: Db, name: string): Promise<Row> {
  const hash = parseHash(name)
  if (hash === null && !isEventId(name)) throw new Refusal('event_not_found')
  const { rows } = await db.query<Row>(
    `select e.log_index, e.pos, e.jws, e.disclosures, b.header, b.event_leaves
     from events e join batches b using (log_index)
     where ${hash === null ? 'e.id' : 'e.leaf_hash'} = $1 order by e.number limit 1`,
    [hash === null ? name : Buffer.from(hash)],
  )
  if (rows[0] === undefined) throw new Refusal('event_not_found')
  return rows[0]
}
