/**
 * Reads stored events: packs of consecutive events of one batch, each of some zstd frames, so that it can be read in part. The first
 * pack of a batch begins with the header, so all frames together are the batch as it was sent. Recorders cut their frames so that
 * they can be stored as they are.
 */

import { promisify } from 'node:util'
import { zstdDecompress } from 'node:zlib'
import { KillickError, MAX_BATCH_BYTES, nodePrimitives, type ParsedEvent, parseEvent } from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import { hidden, prepared } from '../../database/prepared.ts'
import { free } from '../../release-memory.ts'
import { boundsOf, inflateFrame, splitFrames } from './frames.ts'

/** A zstd frame, and how many bytes it holds. */
export type ZstdFrame = { bytes: Uint8Array; size: number }

/** Bounds of a pack, so that reading it costs a millisecond or two at most. One event may be larger by itself. */
export const MAX_PACK_EVENTS = 256
export const MAX_PACK_BYTES = 512 * 1024

/** Events of each frame but the last of a pack that has several. */
export const FRAME_EVENTS = 32

/** Events in a partition, as in the migration. */
export const PARTITION = 4_194_304

/** What takes less time to decompress than to hand to the thread pool, which is a tenth of a millisecond. Bytes. */
const SMALL_FRAME = 48 * 1024

const inflate = promisify(zstdDecompress)

/** A stored event. If the database has lost a part of it, that part is missing from the token, which then cannot be read. */
export type StoredEvent = {
  /** Its number in the log: how many events come before it. */
  number: number
  logIndex: number
  /** Its place in the batch. */
  pos: number
  /** 16 bytes */
  id: Buffer
  /** When it was recorded, ms since 1970; null if that is lost. */
  time: number | null
  token: string
}

type Pack = { first_event: number; log_index: number; pos: number; n: number; ids: Buffer; times: Buffer; body: Buffer }

// As float8 a log index is exact below 2^53, and no alteration of it can fail the query.
const PACK_COLUMNS = 'first_event, log_index::float8 as log_index, pos, n, ids, times, body'

const STORED = `
  with wanted as (
    select distinct p.first_event from unnest(${hidden('$1::bigint[]')}) as wanted (number) cross join lateral (
      select first_event from packs where first_event <= number order by first_event desc limit 1) p)
  select ${PACK_COLUMNS} from wanted join packs using (first_event) order by first_event`

/** The events with these numbers, in order; events that the database does not hold are left out. */
export async function readStored(db: Db, numbers: readonly number[]): Promise<StoredEvent[]> {
  const { rows } = await db.query<Pack>(prepared(STORED, [numbers]))
  const packs = await Promise.all(rows.map(async (pack) => ({ ...pack, lines: await readLines(pack.body, pack.pos) })))
  return numbers.flatMap((number) => {
    const pack = packs.findLast(({ first_event }) => first_event <= number)
    if (pack === undefined || number >= pack.first_event + pack.n) return []
    const i = number - pack.first_event
    const id = pack.ids.subarray(16 * i, 16 * i + 16)
    return [
      { number, logIndex: pack.log_index, pos: pack.pos + i, id, time: timeAt(pack.times, i), token: pack.lines(i) },
    ]
  })
}

/** When the i-th event of a pack was recorded, by its column `times`; null if that is too short. */
export const timeAt = (times: Buffer, i: number): number | null =>
  times.length < 6 * (i + 1) ? null : times.readUIntBE(6 * i, 6)

/** @returns the text of some frames of a pack; null if the column has been altered */
export async function readBody(body: Buffer): Promise<Buffer | null> {
  const texts = await readTexts(body)
  if (texts === null || texts.length < 2) return texts?.[0] ?? null
  const text = Buffer.concat(texts)
  for (const part of texts) free(part)
  return text
}

/** The same, each frame's by itself. */
export async function readTexts(body: Buffer): Promise<Buffer[] | null> {
  const texts: Buffer[] = []
  let left = MAX_BATCH_BYTES
  try {
    for (const frame of splitFrames(body, MAX_PACK_EVENTS) ?? []) {
      const isSmall = frame.length <= SMALL_FRAME
      const text = isSmall ? inflateFrame(frame, left) : await inflate(frame, boundsOf(frame, left))
      left -= text.length
      texts.push(text)
    }
  } catch {
    return null
  }
  return texts
}

/**
 * @param pos place in the batch of the pack's first event; only the pack at 0 begins with the header
 * @returns the line of the pack's i-th event; '' if there is none
 */
export async function readLines(body: Buffer, pos: number): Promise<(i: number) => string> {
  return splitLines((await readBody(body)) ?? Buffer.alloc(0), pos)
}

/** The same for a text that has already been read. */
export function splitLines(text: Buffer, pos: number): (i: number) => string {
  const ends = pos === 0 ? [] : [-1]
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) ends.push(at)
  return (i) => (ends[i + 1] === undefined ? '' : text.toString('latin1', ends[i]! + 1, ends[i + 1]))
}

/** Parses a stored event; null if it is not an event. */
export function parseOrNull(token: string): ParsedEvent | null {
  try {
    return parseEvent(token, nodePrimitives)
  } catch (error) {
    if (error instanceof KillickError) return null
    throw error
  }
}
