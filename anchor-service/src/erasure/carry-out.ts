/**
 * Replaces a pack by one without some disclosures: its events keep their leaves, and what it is found by is made again. In one
 * transaction, so that no reader and no audit ever sees a half of it.
 */
import { nodePrimitives } from '@killick/sdk/core'
import type pg from 'pg'
import type { Db } from '../database/pool.ts'
import { entriesOf, heldIn } from '../ledger/index/run-entries.ts'
import { INDEX_LOCK } from '../ledger/index/write-run.ts'
import { sketchEvent } from '../ledger/packs/event-keys.ts'
import { SCHEMES } from '../ledger/packs/filters.ts'
import { keysOf } from '../ledger/packs/make-keys.ts'
import { packFrame } from '../ledger/packs/packer.ts'
import { FRAME_EVENTS, parseOrNull, readBody, splitLines } from '../ledger/packs/read-pack.ts'
import { lockHolds } from './holds.ts'

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
    // Nor is a batch dropped between reading a pack and replacing it, which would bring its events back.
    await lockHolds(client)
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

type Row = {
  pos: number
  n: number
  body: Buffer
  frame_ends: number[]
  keys: { scheme: number; keys: string; key_counts: string }[]
}

async function erasePack(db: Db, first: number, going: Going): Promise<number> {
  const { rows } = await db.query<Row>(
    `select pos, n, body, frame_ends, (
       select coalesce(json_agg(json_build_object('scheme', k.scheme, 'keys', encode(k.keys, 'hex'), 'key_counts', encode(k.key_counts, 'hex'))), '[]')
       from pack_keys k where k.first_event = p.first_event) as keys
     from packs p where first_event = $1`,
    [first],
  )
  const [pack] = rows
  if (pack === undefined) return 0
  const changed = new Map<number, string>()
  const frames = framesOf(pack)
  for (const frame of frames) {
    const { from, to } = frame
    const wanted = Array.from({ length: to - from }, (_, i) => from + i).filter((i) => going.has(first + i))
    if (wanted.length === 0) continue
    const text = await readBody(frame.bytes)
    // The audit reports a frame that cannot be read; there is nothing of it to take away.
    if (text === null) continue
    const isFirst = pack.pos === 0 && from === 0
    const line = splitLines(text, isFirst ? 0 : 1)
    const lines = Array.from({ length: to - from }, (_, i) => line(i))
    for (const i of wanted) {
      const kept = without(lines[i - from]!, new Set(going.get(first + i)))
      if (kept === lines[i - from]) continue
      lines[i - from] = kept
      changed.set(i, kept)
    }
    frame.bytes = packFrame(isFirst ? text.toString('latin1', 0, text.indexOf('\n')) : null, lines)
  }
  if (changed.size === 0) return 0
  await db.query('select erase_pack($1, $2, $3)', [
    ...[first, Buffer.concat(frames.map(({ bytes }) => bytes)), frames.length === 1 ? [] : endsOf(frames)],
  ])
  for (const row of pack.keys) await eraseKeys(db, first, row, changed)
  return changed.size
}

/** A frame of a pack, with the events that it holds, by their places in the pack. */
type Frame = { bytes: Buffer; from: number; to: number }

function framesOf({ n, body, frame_ends: ends }: Row): Frame[] {
  if (ends.length === 0) return [{ bytes: body, from: 0, to: n }]
  return ends.map((end, i) => ({
    bytes: body.subarray(ends[i - 1] ?? 0, end),
    ...{ from: FRAME_EVENTS * i, to: Math.min(n, FRAME_EVENTS * (i + 1)) },
  }))
}

function endsOf(frames: readonly Frame[]): number[] {
  let end = 0
  return frames.map(({ bytes }) => {
    end += bytes.length
    return end
  })
}

/** An event token without the disclosures that have these digests. */
function without(token: string, digests: ReadonlySet<string>): string {
  const [leaf, ...texts] = token.split('~')
  return [leaf, ...texts.filter((text) => text === '' || !digests.has(nodePrimitives.digest(text)))].join('~')
}

/**
 * Makes the keys of the events that have changed again, by the scheme of the row, and takes what no event of the pack has any more out
 * of the runs.
 */
async function eraseKeys(
  db: Db,
  first: number,
  { scheme, keys, key_counts }: Row['keys'][number],
  changed: ReadonlyMap<number, string>,
): Promise<void> {
  // The audit reports a row of no scheme that there is.
  if (!(scheme in SCHEMES)) return
  const before = Buffer.from(keys, 'hex')
  const counts = Buffer.from(key_counts, 'hex')
  const n = counts.length / 2
  const ofEvents = Array.from({ length: n }, (_, i) => 8 * counts.readUInt16BE(2 * i))
  let at = before.length - ofEvents.reduce((sum, length) => sum + length, 0)
  const parts: Uint8Array[] = [before.subarray(0, at)]
  for (let i = 0; i < n; i++) {
    const token = changed.get(i)
    const event = token === undefined ? null : parseOrNull(token)
    const own = event === null ? before.subarray(at, at + ofEvents[i]!) : keysOf(sketchEvent(event, scheme))
    counts.writeUInt16BE(own.length / 8, 2 * i)
    parts.push(own)
    at += ofEvents[i]!
  }
  const after = Buffer.concat(parts)
  await db.query('select erase_keys($1, $2, $3, $4)', [first, scheme, after, counts])
  const run = await heldIn(db, scheme, first)
  if (run === null) return
  const kept = new Set(entriesOf(run, first, after))
  const gone = entriesOf(run, first, before).filter((entry) => !kept.has(entry))
  if (gone.length > 0)
    await db.query('select erase_entries($1, $2, $3, $4, $5)', [
      ...[first, scheme, run.level, run.start, gone.map(String)],
    ])
}
