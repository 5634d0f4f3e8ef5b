import {
  type Anchor,
  equalBytes,
  isEventId,
  KillickError,
  nodePrimitives,
  parseBatchHeader,
  parseEvent,
  parseHash,
  planInclusion,
  printProof,
} from '@killick/sdk'
import { Refusal } from '../errors.ts'
import { readProvingAnchors } from './anchors.ts'
import { pathOf } from './batch-tree.ts'
import { type LogKey, readCheckpoint, readCovering } from './checkpoints.ts'
import { readLines } from './packs.ts'
import { printKey } from './sketch.ts'
import { readKeys } from './sources.ts'
import { type Db, readPlans } from './tiles.ts'

type Row = { log_index: number; pos: number; token: string; header: string; event_leaves: Buffer }

/**
 * The proof of one event, as its JSON text: against the smallest anchored size that covers it, or while there is none,
 * against the checkpoint of its receipt. Four short reads, whatever the size of the log.
 *
 * @param name the event's id (of several events that claim one id, the first accepted), or its leaf hash
 * @throws Refusal event_not_found | event_unreadable
 */
export async function readProof(db: Db, log: LogKey, name: string): Promise<string> {
  const row = await findEvent(db, name)
  const { event, header } = parseRow(row)
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
    batch: { header: row.header, index: row.pos, path: pathOf(row.event_leaves, row.pos) },
    log: { origin: log.origin, index: row.log_index, size: checkpoint.size, path: paths[0]! },
    checkpoint: checkpoint.note,
    anchors: anchors.map(withPath),
    keys: kids.map((kid) => keys.get(kid)!),
  })
}

function parseRow({ token, pos, header, event_leaves }: Row) {
  try {
    const event = parseEvent(token, nodePrimitives)
    if (!equalBytes(event_leaves.subarray(32 * pos, 32 * pos + 32), event.leafHash))
      throw new Refusal('event_unreadable')
    return { event, header: parseBatchHeader(header) }
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    throw new Refusal('event_unreadable', `${error.code}: ${error.message}`)
  }
}

/** Packs that are looked into at a time. */
const AT_ONCE = 4

/** Names begin with what they are found by; of the packs with such events, the first that holds the event itself. */
async function findEvent(db: Db, name: string): Promise<Row> {
  const leafHash = parseHash(name)
  if (leafHash === null && !isEventId(name)) throw new Refusal('event_not_found')
  const wanted = leafHash === null ? Buffer.from(name.replaceAll('-', ''), 'hex') : Buffer.from(leafHash)
  for (let after = -1; ; ) {
    const { rows } = await db.query<Candidate>(
      // All of them, and then in order: for the first ones alone PostgreSQL would read the log from its beginning.
      `with found as materialized (select first_event from packs where keys @> array[$1::bigint]),
       next as (select first_event from found where first_event > $2 order by first_event limit ${AT_ONCE})
       select p.first_event, p.pos, p.n, p.ids, p.body, b.log_index, b.header, b.event_leaves
       from next join packs p using (first_event) join batches b using (log_index) order by p.first_event`,
      [printKey(wanted), after],
    )
    for (const { first_event, pos, n, ids, body, ...batch } of rows) {
      after = first_event
      const names = leafHash === null ? ids : batch.event_leaves.subarray(32 * pos, 32 * (pos + n))
      const i = indexOfName(names, wanted)
      if (i < 0) continue
      const line = await readLines(body, pos)
      return { ...batch, pos: pos + i, token: line(i) }
    }
    if (rows.length < AT_ONCE) throw new Refusal('event_not_found')
  }
}

type Candidate = { first_event: number; pos: number; n: number; ids: Buffer; body: Buffer } & Omit<Row, 'token'>

/** @param names one after another, each as long as `name` */
function indexOfName(names: Buffer, name: Buffer): number {
  let at = names.indexOf(name)
  while (at >= 0 && at % name.length !== 0) at = names.indexOf(name, at + 1)
  return at < 0 ? at : at / name.length
}
