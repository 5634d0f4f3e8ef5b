// Finds a stored event by its id or leaf hash, with its batch and the checkpoint of its receipt.

import { asHash, isEventId, parseHash } from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import { Refusal } from '../../errors.ts'
import { findNamedPacks, type NamedPacks } from '../index/name-lookup.ts'
import type { Names, RecentNames } from '../index/recent-names.ts'
import { findPacks, readCoverage } from '../index/runs.ts'
import { idKey, leafKey } from '../packs/event-keys.ts'
import { schemesWith } from '../packs/filters.ts'
import { readBody, splitLines } from '../packs/read-pack.ts'
import { levelsOf } from '../tree/batch-tree.ts'
import type { SignedHead } from '../tree/checkpoints.ts'
import type { BatchContent, PackContent, ProofMemory } from './proof-memory.ts'

/** A stored event. */
export type StoredPlace = {
  logIndex: number
  /** Place in the batch. */
  pos: number
  token: string
  batch: BatchContent
  /** The first checkpoint that covers it; null if the database has none. */
  receipt: SignedHead | null
  /** The next `seq` of the system stream, and whether anything was ever anchored. */
  systemSeq: number
  isAnchored: boolean
}

/** How many packs PostgreSQL looks for at a time. */
const AT_ONCE = 4

/**
 * Finds an event; of several that claim one id, the first accepted.
 * @param name the event's id or leaf hash
 * @throws Refusal event_not_found
 */
export async function findEvent(db: Db, memory: ProofMemory, name: string): Promise<StoredPlace> {
  const leafHash = parseHash(name)
  if (leafHash === null && !isEventId(name)) throw new Refusal('event_not_found')
  const wanted = leafHash === null ? Buffer.from(name.replaceAll('-', ''), 'hex') : Buffer.from(leafHash)
  // Events that came after the names were read were accepted later than what is found.
  const known = memory.names.known
  const found = known && (await lookFor(db, memory, known, wanted))
  if (found !== null) return found
  const foundNow = await lookFor(db, memory, await memory.names.catchUp(), wanted)
  if (foundNow !== null) return foundNow
  // Rows that were altered when the names were read may have been restored.
  if (await memory.names.isUnaltered()) throw new Refusal('event_not_found')
  const foundThen = await lookFor(db, memory, await memory.names.catchUp(), wanted)
  if (foundThen === null) throw new Refusal('event_not_found')
  return foundThen
}

async function lookFor(db: Db, memory: ProofMemory, names: Names, name: Buffer): Promise<StoredPlace | null> {
  for await (const pack of packsWith(db, memory.names, names, name)) {
    const found = await lookInto(db, memory, pack, name)
    if (found !== null) return found
  }
  return null
}

/** The packs that may have a name, of those that the runs or these names know, oldest first. */
async function* packsWith(db: Db, recent: RecentNames, names: Names, name: Buffer): AsyncGenerator<number> {
  const key = name.length === 16 ? idKey(name) : leafKey(name)
  const inRuns = names.mayHaveRuns ? await findNamedPacks(db, key) : NO_RUNS
  if (inRuns.runsEnd >= names.from) recent.forget(inRuns.runsEnd)
  // The runs before these names are gone.
  else recent.restart()
  const { packs, unread } = names.find(name, inRuns.runsEnd)
  if (inRuns.isAll) {
    yield* [...inRuns.packs, ...packs]
  } else {
    const search = { from: 0, to: inRuns.runsEnd, order: 'oldest' } as const
    for await (const packs of findPacks(db, await readCoverage(db, schemesWith([])), [key], search)) yield* packs
    yield* packs
  }
  for (let from = unread; from !== null; ) {
    const { rows } = await db.query<{ first_event: number }>({ ...behind(name), values: [from, name] })
    yield* rows.map(({ first_event }) => first_event)
    from = rows.length < AT_ONCE ? null : rows.at(-1)!.first_event + 1
  }
}

const NO_RUNS: NamedPacks = { runsEnd: 0, packs: [], isAll: true }

/** Ids are in the pack, leaf hashes in its batch. */
const behind = (name: Buffer) =>
  name.length === 16
    ? { name: 'packs_with_id', text: packsWhere('packs p', 'p.ids') }
    : {
        name: 'packs_with_leaf',
        text: packsWhere(
          'packs p join batches b using (log_index)',
          'substr(b.event_leaves, 32 * p.pos + 1, 32 * p.n)',
        ),
      }

const packsWhere = (tables: string, names: string) =>
  `select p.first_event from ${tables} where p.first_event >= $1 and position($2::bytea in ${names}) > 0
   order by p.first_event limit ${AT_ONCE}`

/**
 * What a proof needs of a pack and its batch: the rows' versions, and whatever is not in memory.
 * $1: the pack; $2, $3: whether the pack itself and its batch are wanted
 */
const PLACE = {
  name: 'event_place',
  text: `select p.first_event, p.pos, p.n, b.log_index,
      concat_ws(' ', p.xmin, p.ctid) as pack_version, concat_ws(' ', b.xmin, b.ctid) as batch_version,
      case when with_pack then encode(p.ids, 'base64') end as ids,
      case when with_pack then encode(p.body, 'base64') end as body,
      case when with_batch then b.header end as header,
      case when with_batch then encode(b.event_leaves, 'base64') end as event_leaves,
      c.size, c.root, c.note, exists (select from anchors) as is_anchored,
      (select seq + 1 from batches where source = 'killick' and stream = 'system' order by seq desc limit 1) as system_seq
    from (select $1::bigint as first_event, $2::boolean as with_pack, $3::boolean as with_batch offset 0) as wanted
    join packs p using (first_event) join batches b using (log_index)
    left join lateral (select size, root, note from checkpoints where size > b.log_index order by size limit 1) c on true`,
}

type PlaceRow = {
  first_event: number
  pos: number
  n: number
  log_index: number
  pack_version: string
  batch_version: string
  /** All bytes come as base64: Node reads it five times as fast as the hex that PostgreSQL would send, and it is shorter. */
  ids: string | null
  body: string | null
  header: string | null
  event_leaves: string | null
  size: number | null
  root: Buffer
  note: string
  is_anchored: boolean
  system_seq: number | null
}

/** The event in this pack; null if the pack does not have this name. */
async function lookInto(db: Db, memory: ProofMemory, first: number, name: Buffer): Promise<StoredPlace | null> {
  const read = async (withPack: boolean, withBatch: boolean) =>
    (await db.query<PlaceRow>({ ...PLACE, values: [first, withPack, withBatch] })).rows[0]
  const known = memory.pack(first)
  let row = await read(known === undefined, known === undefined || memory.batch(known.logIndex) === undefined)
  if (row === undefined) return null
  let { pack, batch } = await contentOf(memory, row)
  if (pack === undefined || batch === undefined) {
    row = await read(true, true)
    if (row === undefined) return null
    ;({ pack, batch } = await contentOf(memory, row))
  }
  const { pos, n } = row
  const names = name.length === 16 ? pack!.ids : batch!.levels[0]!.subarray(32 * pos, 32 * (pos + n))
  const i = indexOfName(names, name)
  if (i < 0) return null
  return {
    ...{ logIndex: row.log_index, pos: pos + i, token: pack!.line(i), batch: batch! },
    receipt: row.size === null ? null : { size: row.size, root: asHash(new Uint8Array(row.root)), note: row.note },
    ...{ systemSeq: row.system_seq ?? 0, isAnchored: row.is_anchored },
  }
}

/** @param names one after another, each as long as `name` */
function indexOfName(names: Buffer, name: Buffer): number {
  let at = names.indexOf(name)
  while (at >= 0 && at % name.length !== 0) at = names.indexOf(name, at + 1)
  return at < 0 ? at : at / name.length
}

/** Pack and batch of a row, from the row or from memory; undefined if neither has them. */
async function contentOf(
  memory: ProofMemory,
  row: PlaceRow,
): Promise<{ pack: PackContent | undefined; batch: BatchContent | undefined }> {
  let pack = memory.pack(row.first_event)
  let batch = memory.batch(row.log_index)
  if (row.header !== null && row.event_leaves !== null) {
    batch = {
      version: row.batch_version,
      header: row.header,
      levels: levelsOf(Buffer.from(row.event_leaves, 'base64')),
    }
    memory.keepBatch(row.log_index, batch)
  }
  if (row.ids !== null && row.body !== null) {
    const text = (await readBody(Buffer.from(row.body, 'base64'))) ?? Buffer.alloc(0)
    const ids = Buffer.from(row.ids, 'base64')
    pack = { version: row.pack_version, logIndex: row.log_index, ids, line: splitLines(text, row.pos) }
    memory.keepPack(row.first_event, pack, text.buffer.byteLength + 40 * row.n + 256)
  }
  return {
    pack: pack?.version === row.pack_version ? pack : undefined,
    batch: batch?.version === row.batch_version ? batch : undefined,
  }
}
