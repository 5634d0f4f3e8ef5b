/**
 * What is noted of the events of a batch while an audit reads them: what columns of batches, packs and search keys are held against, without
 * parsing each event once more.
 */
import { answerReaders, type BatchReaders, type Noting, readerOf, type WalkedBatch } from '@killick/sdk/audit'
import { threadBeside } from '@killick/sdk/core'
import { EventSketch, sketchEvent } from '../ledger/packs/event-keys.ts'
import { keysOf } from '../ledger/packs/make-keys.ts'

/** Bytes of each event: its leaf hash, its id, its time in ms, and how many keys it has. Each in a row of its own, and then all keys. */
const LEAF = 32
const ID = 16
const TIME = 6
const COUNT = 2
const EACH = LEAF + ID + TIME + COUNT
const KEY = 8

/** Of some consecutive events of a batch, as columns have it: leaf hashes, ids, times, how many keys each has, and the keys by the newest scheme. */
export type Noted = {
  readonly leaves: Buffer
  readonly ids: Buffer
  readonly times: Buffer
  readonly counts: Buffer
  readonly keys: Buffer
}

/** Room that grows, and serves for one batch after another. */
class Room {
  #bytes = Buffer.alloc(1024)
  length = 0

  /** Makes room for some more bytes. @returns where they begin */
  take(bytes: number): number {
    const at = this.length
    this.length += bytes
    while (this.length > this.#bytes.length)
      this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(this.#bytes.length)])
    return at
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.length)
  }
}

/** Notes events one after another. */
function openNotes() {
  const rows = { leaves: new Room(), ids: new Room(), times: new Room(), counts: new Room(), keys: new Room() }
  const order = Object.values(rows)
  return {
    begin() {
      for (const row of order) row.length = 0
    },
    add(sketch: EventSketch) {
      const { leaves, ids, times, counts, keys } = rows
      const [leaf, id, time, count] = [leaves.take(LEAF), ids.take(ID), times.take(TIME), counts.take(COUNT)]
      leaves.bytes.write(sketch.leafHash, leaf, 'base64url')
      ids.bytes.set(sketch.id, id)
      times.bytes.writeUIntBE(sketch.time, time, TIME)
      counts.bytes.writeUInt16BE(sketch.keyCount, count)
      const own = keysOf(sketch)
      const key = keys.take(own.length)
      keys.bytes.set(own, key)
    },
    /** All of them, in memory of their own: a view into other memory would take all of that along to another thread. */
    end(): Uint8Array {
      const bytes = new Uint8Array(order.reduce((sum, { length }) => sum + length, 0))
      let at = 0
      for (const row of order) {
        bytes.set(row.bytes, at)
        at += row.length
      }
      return bytes
    },
  }
}

function readNoted(bytes: Uint8Array, n: number): Noted {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  let at = 0
  const next = (length: number) => {
    at += length
    return all.subarray(at - length, at)
  }
  return {
    ...{ leaves: next(LEAF * n), ids: next(ID * n), times: next(TIME * n), counts: next(COUNT * n) },
    keys: all.subarray(EACH * n),
  }
}

const notes = openNotes()
const noting: Noting<EventSketch> = { notes: new EventSketch(), noteOf: (event) => sketchEvent(event), ...notes }
const read = readerOf(noting)

/** Reads batches, and notes for `notedOf`. */
export const NOTING_READERS: BatchReaders = { read, thread: () => threadBeside(import.meta.url, 'noting-thread') }

/** What the thread of NOTING_READERS does. */
export const answerNoting = () => answerReaders(read)

/** Null if the batch is not whole. What no thread has noted is noted here. */
export function notedOf(batch: Pick<WalkedBatch, 'header' | 'noted' | 'events'>): Noted | null {
  const { n } = batch.header
  if (batch.noted !== null) return readNoted(batch.noted, n)
  if (batch.events === null) return null
  notes.begin()
  for (const event of batch.events) notes.add(sketchEvent(event))
  return readNoted(notes.end(), n)
}

/** Of some of its events. @param count how many; fewer where there are fewer from `first` on */
export function partOf({ leaves, ids, times, counts, keys }: Noted, first: number, count: number): Noted {
  const part = (row: Buffer, size: number) => row.subarray(size * first, size * (first + count))
  const before = keysIn(counts.subarray(0, COUNT * first))
  const own = part(counts, COUNT)
  return {
    ...{ leaves: part(leaves, LEAF), ids: part(ids, ID), times: part(times, TIME), counts: own },
    keys: keys.subarray(KEY * before, KEY * (before + keysIn(own))),
  }
}

function keysIn(counts: Buffer): number {
  let sum = 0
  for (let at = 0; at < counts.length; at += COUNT) sum += counts.readUInt16BE(at)
  return sum
}

/** When the earliest and the latest of them were recorded, ms since 1970. There is one at least. */
export function timesWithin({ times }: Noted): { earliest: number; latest: number } {
  let [earliest, latest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (let at = 0; at < times.length; at += TIME) {
    const time = times.readUIntBE(at, TIME)
    earliest = Math.min(earliest, time)
    latest = Math.max(latest, time)
  }
  return { earliest, latest }
}
