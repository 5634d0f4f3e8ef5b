// Finds a stored event by its id or leaf hash, with its batch and the checkpoint of its receipt.

import { type Anchor, asHash, isEventId, parseHash } from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import { Refusal } from '../../errors.ts'
import { free } from '../../release-memory.ts'
import { keyIndexOf } from '../index/key-index.ts'
import type { NamedPacks } from '../index/name-lookup.ts'
import type { Names } from '../index/recent-names.ts'
import { NAMING } from '../index/runs.ts'
import { idKey, leafKey } from '../packs/event-keys.ts'
import { FRAME_EVENTS, readBody, splitLines } from '../packs/read-pack.ts'
import { type ProvingRow, provingAnchors, readProvingAnchors, toProving } from '../registry/anchors.ts'
import { GROUP } from '../tree/batch-tree.ts'
import type { SignedHead } from '../tree/checkpoints.ts'
import type { ProofMemory } from './proof-memory.ts'

/** A stored event. */
export type StoredPlace = {
  logIndex: number
  /** Place in the batch. */
  pos: number
  token: string
  /** The batch's header, and how many leaves its tree has. */
  header: string
  leaves: number
  /** What its path through that tree is made of, as `pathIn` wants it. */
  group: Buffer
  nodes: Buffer
  /** The token out of the whole pack, and all leaves: where the above do not lead to the root. */
  whole(): Promise<{ token: string; leaves: Buffer }>
  /** The first checkpoint that covers it; null where the database has none. */
  receipt: SignedHead | null
  /** Where the system stream ends. */
  systemSeq: number
  /** Whether anything was ever anchored, and the anchors that prove its entry. */
  isAnchored: boolean
  proving: Anchor[]
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
  // Whatever came since the names of runs and packs were read came later than what is found.
  const known = memory.names.known
  const found = known && (await lookFor(db, memory, wanted, quickly(db, memory, known, wanted)))
  if (found !== null) return found
  const look = async () => lookFor(db, memory, wanted, packsWith(db, memory, await memory.names.catchUp(), wanted))
  const foundNow = await look()
  if (foundNow !== null) return foundNow
  // Rows that were altered when the names were read may have been restored.
  if (await memory.names.isUnaltered()) throw new Refusal('event_not_found')
  const foundThen = await look()
  if (foundThen === null) throw new Refusal('event_not_found')
  return foundThen
}

async function lookFor(
  db: Db,
  memory: ProofMemory,
  name: Buffer,
  packs: AsyncGenerator<number>,
): Promise<StoredPlace | null> {
  for await (const pack of packs) {
    const found = await lookInto(db, memory, pack, name)
    if (found !== null) return found
  }
  return null
}

const keyOf = (name: Buffer) => (name.length === 16 ? idKey(name) : leafKey(name))

/** The packs that may have a name, as far as this process knows of runs and packs without asking, the oldest first. */
async function* quickly(
  db: Db,
  { runs, names: recent }: ProofMemory,
  names: Names,
  name: Buffer,
): AsyncGenerator<number> {
  // Between them there are packs that are not known.
  if (runs.end < names.from) return
  const key = keyOf(name)
  const known = runs.find(key)
  const { packs, isAll } = await keyIndexOf(db).namedIn(known.runs, key)
  if (!isAll) {
    await runs.refresh()
    return
  }
  recent.forget(runs.end)
  const inRuns = [...known.packs, ...packs].sort((a, b) => a - b)
  yield* [...inRuns, ...names.find(name, runs.end).packs]
}

/** The packs that may have a name, of those that there are runs of, or that these names know of, the oldest first. */
async function* packsWith(db: Db, memory: ProofMemory, names: Names, name: Buffer): AsyncGenerator<number> {
  const key = keyOf(name)
  const index = keyIndexOf(db)
  const inRuns = names.mayHaveRuns ? await index.named(key) : NO_RUNS
  if (inRuns.runsEnd !== memory.runs.end) await memory.runs.refresh()
  if (inRuns.runsEnd >= names.from) memory.names.forget(inRuns.runsEnd)
  // Runs that these names follow are no more.
  else memory.names.restart()
  const { packs, unread } = names.find(name, inRuns.runsEnd)
  if (inRuns.isAll) {
    yield* [...inRuns.packs, ...packs]
  } else {
    const search = { from: 0, to: inRuns.runsEnd, order: 'oldest' } as const
    const { scheme } = await index.end(NAMING)
    for await (const packs of index.find(scheme, [key], search)) yield* packs
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
 * What a proof needs of an event that a pack may have, in one exchange, and nothing else of its pack and batch: the frame of the event,
 * the header, the leaves of its group and the nodes above the groups. Without `place` the event is looked for among the names of the
 * pack. `i` is null where the pack does not have it; where bytes of two names look like it, `names` has all of them, to be looked
 * through here. `frame` is null where the whole body is sent.
 * $1 pack, $2 name, $3 place in the pack, $4 whether the whole body and all leaves of the batch are wanted
 *
 * @param withAnchors those that prove its entry too: to be ready to read them costs a third of it all, even where there are none
 */
const placeBy = (name: string, names: string, withAnchors: boolean) => ({
  name: `event_by_${name}${withAnchors ? '_anchored' : ''}`,
  text: `select p.pos, p.i, p.names, p.frame, b.log_index, b.n as leaves_n, b.header,
      encode(case when p.frame is null then p.body else substr(p.body, p.begins + 1, p.ends - p.begins) end, 'base64') as body,
      encode(case when $4 then b.event_leaves else substr(b.event_leaves, 32 * (p.at - p.at % ${GROUP}) + 1, 32 * ${GROUP}) end, 'base64') as leaves,
      encode(b.event_nodes, 'base64') as nodes,
      c.size, c.root, c.note, exists (select from anchors) as is_anchored,
      ${withAnchors ? provingAnchors('b.log_index') : 'null'} as proving,
      (select seq + 1 from batches where source = 'killick' and stream = 'system' order by seq desc limit 1) as system_seq
    from (
      select p.pos, p.log_index, p.i, p.pos + p.i as at, p.begins, p.ends,
        case when p.begins >= 0 and p.ends > p.begins and not $4 then p.i / ${FRAME_EVENTS} end as frame,
        case when p.i is null and p.found > 0 then encode(p.names, 'base64') end as names,
        case when p.i is not null then p.body end as body
      from (
        select p.*, coalesce(p.frame_ends[p.i / ${FRAME_EVENTS}], 0) as begins, p.frame_ends[p.i / ${FRAME_EVENTS} + 1] as ends from (
          select p.*, coalesce($3::int, case when p.found % size = 1 then p.found / size end) as i from (
            select p.*, position($2::bytea in p.names) as found, length($2::bytea) as size from (
              select p.pos, p.log_index, p.body, p.frame_ends, ${names} as names
              from packs p where p.first_event = $1 offset 0) p offset 0) p offset 0) p offset 0) p offset 0) p
    join batches b using (log_index)
    left join lateral (select size, root, note from checkpoints where size > b.log_index order by size limit 1) c on true`,
})

const LEAVES =
  '(select substr(b.event_leaves, 32 * p.pos + 1, 32 * p.n) from batches b where b.log_index = p.log_index)'
const BY_ID = [placeBy('id', 'p.ids', false), placeBy('id', 'p.ids', true)] as const
const BY_LEAF = [placeBy('leaf', LEAVES, false), placeBy('leaf', LEAVES, true)] as const

type PlaceRow = {
  /** Place in the batch of the pack's first event. */
  pos: number
  /** The event's place in the pack, and the frame that it is in. */
  i: number | null
  frame: number | null
  /** In base64, as all bytes here: Node reads it five times as fast as the hex that PostgreSQL would send, and there is less of it. */
  names: string | null
  log_index: number
  leaves_n: number
  header: string
  body: string
  leaves: string
  nodes: string
  size: number | null
  root: Buffer
  note: string
  is_anchored: boolean
  proving: ProvingRow[] | null
  system_seq: number | null
}

/** The event in this pack; null where the pack has another of its name. */
async function lookInto(db: Db, memory: ProofMemory, first: number, name: Buffer): Promise<StoredPlace | null> {
  const wasAnchored = memory.isAnchored
  const statement = (name.length === 16 ? BY_ID : BY_LEAF)[wasAnchored ? 1 : 0]
  const read = async (place: number | null, isWhole: boolean) =>
    (await db.query<PlaceRow>({ ...statement, values: [first, name, place, isWhole] })).rows[0]
  let row = await read(null, false)
  if (row?.names) {
    const place = indexOfName(Buffer.from(row.names, 'base64'), name)
    row = place < 0 ? undefined : await read(place, false)
  }
  if (row === undefined || row.i === null) return null
  const { pos, i, log_index: logIndex, header, leaves_n: leaves } = row
  memory.isAnchored = row.is_anchored
  return {
    ...{ logIndex, pos: pos + i, token: await tokenOf(row), header, leaves },
    group: Buffer.from(row.leaves, 'base64'),
    nodes: Buffer.from(row.nodes, 'base64'),
    async whole() {
      const whole = await read(i, true)
      return whole === undefined
        ? { token: '', leaves: Buffer.alloc(0) }
        : { token: await tokenOf(whole), leaves: Buffer.from(whole.leaves, 'base64') }
    },
    receipt: row.size === null ? null : { size: row.size, root: asHash(new Uint8Array(row.root)), note: row.note },
    ...{ systemSeq: row.system_seq ?? 0, isAnchored: row.is_anchored },
    proving: wasAnchored ? toProving(row.proving) : row.is_anchored ? await readProvingAnchors(db, logIndex) : [],
  }
}

/** '' if the row has been altered. */
async function tokenOf({ pos, i, frame, body }: PlaceRow): Promise<string> {
  const first = FRAME_EVENTS * (frame ?? 0)
  const bytes = Buffer.from(body, 'base64')
  const text = await readBody(bytes)
  free(bytes)
  if (text === null) return ''
  const token = splitLines(text, pos + first)(i! - first)
  free(text)
  return token
}

/** @param names one after another, each as long as `name` */
function indexOfName(names: Buffer, name: Buffer): number {
  let at = names.indexOf(name)
  while (at >= 0 && at % name.length !== 0) at = names.indexOf(name, at + 1)
  return at < 0 ? at : at / name.length
}
