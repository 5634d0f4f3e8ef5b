/**
 * Makes search keys again from packs: if a row of keys is missing, to store or search it; if somebody may have altered it, to
 * compare it.
 */

import type { Db } from '../../database/pool.ts'
import { type EventSketch, idKey, leafKey, type PackKeys, packKeys, sketchEvent } from './event-keys.ts'
import { NEWEST } from './filters.ts'
import { parseOrNull, readLines } from './read-pack.ts'

/** A pack with everything its keys are made from; `source` is null if its batch is not found. */
export type WholePack = {
  first_event: number
  pos: number
  n: number
  ids: Buffer
  body: Buffer
  source: string | null
  stream: string | null
  /** Leaf hashes of its events, 32 bytes each, from the batch. */
  leaves: Buffer | null
  /** Whether a drop in the log took its events, and it holds nothing of them. */
  dropped: boolean
}

/** How many packs are read at a time: at most 32 MiB of text. */
const AT_ONCE = 64

/** The packs that begin in [from, to); with `without`, only those that have no keys of that scheme. */
export async function* readWhole(
  db: Db,
  from: number,
  to: number,
  without: number | null = null,
): AsyncGenerator<WholePack> {
  for (let next = from; ; ) {
    const { rows } = await db.query<WholePack>(
      `select p.first_event, p.pos, p.n, p.ids, p.body, b.source, b.stream, substr(b.event_leaves, 32 * p.pos + 1, 32 * p.n) as leaves,
         p.body = '' and exists (select from drops d where d.entries @> p.log_index) as dropped
       from packs p left join batches b using (log_index)
       where p.first_event >= $1 and p.first_event < $2
         and ($3::smallint is null or not exists (select from pack_keys k where k.first_event = p.first_event and k.scheme = $3))
       order by p.first_event limit ${AT_ONCE}`,
      [next, to, without],
    )
    yield* rows
    if (rows.length < AT_ONCE) return
    next = rows.at(-1)!.first_event + 1
  }
}

/**
 * @returns the row of keys, and the places in the pack of events that could not be read, which have only the keys of their names;
 * null if the batch is not found
 */
export async function makeKeys(
  { pos, n, ids, body, source, stream, leaves, dropped }: WholePack,
  scheme: number = NEWEST,
): Promise<(PackKeys & { lost: number[] }) | null> {
  if (source === null || stream === null || leaves === null) return null
  if (dropped) return { ...keysOfDropped({ source, stream, n, leaves }, scheme), lost: [] }
  const line = await readLines(body, pos)
  const counts = Buffer.alloc(2 * n)
  const parts = [packKeys({ source, stream }, scheme)]
  const lost: number[] = []
  for (let i = 0; i < n; i++) {
    const event = parseOrNull(line(i))
    const own = event === null ? namesOf(leaves, ids, i) : keysOf(sketchEvent(event, scheme))
    if (event === null) lost.push(i)
    parts.push(own)
    counts.writeUInt16BE(own.length / 8, 2 * i)
  }
  return { keys: Buffer.concat(parts), key_counts: counts, lost }
}

/** The keys of a pack whose events were dropped: its own, and one for each leaf hash. @param leaves 32 bytes each */
export function keysOfDropped(
  { source, stream, n, leaves }: { source: string; stream: string; n: number; leaves: Buffer },
  scheme: number = NEWEST,
): PackKeys {
  const ofLeaves = Array.from({ length: n }, (_, i) => leafKey(leaves.subarray(32 * i, 32 * i + 32)))
  const key_counts = Buffer.alloc(2 * n)
  for (let i = 0; i < n; i++) key_counts.writeUInt16BE(1, 2 * i)
  return { keys: Buffer.concat([packKeys({ source, stream }, scheme), ...ofLeaves]), key_counts }
}

export const keysOf = ({ keys, keyCount }: EventSketch): Buffer => keys.subarray(0, 8 * keyCount)

const namesOf = (leaves: Buffer, ids: Buffer, i: number): Buffer =>
  Buffer.concat([leafKey(leaves.subarray(32 * i, 32 * i + 32)), idKey(ids.subarray(16 * i, 16 * i + 16))])
