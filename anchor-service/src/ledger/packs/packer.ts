import { constants, zstdCompressSync } from 'node:zlib'
import { type BatchHeader, type Hash, type parseBatch, printBatch } from '@killick/sdk/core'
import { type CopyStatement, numberRows, TupleWriter } from '../../database/copy.ts'
import { free } from '../../release-memory.ts'
import { treeOver } from '../tree/batch-tree.ts'
import type { CheckedBatch } from './checked-batch.ts'
import { type EventSketch, packKeys, sketchEvent } from './event-keys.ts'
import { NEWEST } from './filters.ts'
import { frameEnds } from './frames.ts'
import { FRAME_EVENTS, MAX_PACK_BYTES, MAX_PACK_EVENTS, PARTITION, type ZstdFrame } from './read-pack.ts'

export type Appended = { logIndex: number; batch: CheckedBatch }

/** Makes what the commit needs from a batch that core has parsed; see Packer. */
export function packBatch({ header, events }: ReturnType<typeof parseBatch>): CheckedBatch {
  const packer = new Packer(header)
  for (const event of events) packer.add(sketchEvent(event), event.token.length + 1)
  const text = printBatch(
    header.text,
    events.map(({ token }) => token),
  )
  const leaves = Buffer.concat(events.map(({ leafHash }) => leafHash))
  const { nodes } = treeOver(leaves)
  return packer.done({ text: Buffer.from(text, 'latin1'), frames: null }, { leaves, nodes }, events[0]!.prev, null)
}

/** Level 1, the fastest that still removes what base64 adds (docs/decisions/0009-compression-levels.md), and in one piece. */
const compress = (text: Buffer): Buffer =>
  zstdCompressSync(text, { params: { [constants.ZSTD_c_compressionLevel]: 1 }, chunkSize: 1024 + text.length })

/**
 * Makes from a batch exactly what the commit needs: rows that are complete except for log index and numbers, which only the
 * commit knows. So all work on events is done before, on any thread, and little has to cross to another thread.
 */
export class Packer {
  readonly #header: BatchHeader
  readonly #ids: Buffer
  readonly #times: Buffer
  readonly #keyCounts: Buffer
  /** Where the line of each event ends, counted from the beginning of the first. */
  readonly #ends: Uint32Array
  #keys: Buffer
  #keysEnd = 0
  #earliest = Number.POSITIVE_INFINITY
  #latest = Number.NEGATIVE_INFINITY
  #pos = 0

  constructor(header: BatchHeader) {
    this.#header = header
    this.#ids = Buffer.alloc(16 * header.n)
    this.#times = Buffer.alloc(6 * header.n)
    this.#keyCounts = Buffer.alloc(2 * header.n)
    this.#ends = new Uint32Array(header.n)
    this.#keys = Buffer.alloc(64 * header.n)
  }

  /** Adds the next event. @param size of its line, with the line feed */
  add({ id, time, keys, keyCount }: EventSketch, size: number): void {
    const pos = this.#pos++
    this.#ids.set(id, 16 * pos)
    this.#times.writeUIntBE(time, 6 * pos, 6)
    this.#keyCounts.writeUInt16BE(keyCount, 2 * pos)
    this.#ends[pos] = (this.#ends[pos - 1] ?? 0) + size
    this.#earliest = Math.min(this.#earliest, time)
    this.#latest = Math.max(this.#latest, time)
    if (this.#keysEnd + 8 * keyCount > this.#keys.length)
      this.#keys = Buffer.concat([this.#keys, Buffer.alloc(this.#keys.length + 8 * keyCount)])
    keys.copy(this.#keys, this.#keysEnd, 0, 8 * keyCount)
    this.#keysEnd += 8 * keyCount
  }

  /**
   * @param text the whole batch
   * @param frames the zstd frames in which it came, if any; if packs can be made of them, they are stored as they are
   * @param tree leaf hashes of the events, 32 bytes each, and nodes of the tree over them
   */
  done(
    { text, frames }: { text: Buffer; frames: readonly ZstdFrame[] | null },
    { leaves, nodes }: { leaves: Uint8Array; nodes: Uint8Array },
    eventPrev: Hash | undefined,
    judged: CheckedBatch['judged'],
  ): CheckedBatch {
    const cut = this.#cutAt(frames ?? [], text) ?? this.#cut(text)
    const packs = packsOf(cut)
    const bodies = cut.reduce((sum, { bytes }) => sum + bytes.length, 0)
    const rows = new TupleWriter(bodies + 22 * this.#pos + 256 * packs.length)
    const keyRows = new TupleWriter(this.#keysEnd + 2 * this.#pos + 64 * packs.length)
    const ofPack = packKeys(this.#header)
    let pos = 0
    let keysAt = 0
    for (const { n, frames } of packs) {
      const end = pos + n
      let keysEnd = keysAt
      for (let i = pos; i < end; i++) keysEnd += 8 * this.#keyCounts.readUInt16BE(2 * i)
      rows.begin(8)
      rows.int8(0)
      rows.int8(0)
      rows.int4(pos)
      rows.int4(n)
      rows.bytes(this.#ids.subarray(16 * pos, 16 * end))
      rows.bytes(this.#times.subarray(6 * pos, 6 * end))
      rows.bytes(...frames)
      rows.int4s(frameEnds(frames))
      keyRows.begin(4)
      keyRows.int8(0)
      keyRows.int2(NEWEST)
      keyRows.bytes(ofPack, this.#keys.subarray(keysAt, keysEnd))
      keyRows.bytes(this.#keyCounts.subarray(2 * pos, 2 * end))
      pos = end
      keysAt = keysEnd
    }
    const { earliest, latest } = { earliest: this.#earliest, latest: this.#latest }
    return {
      ...{ header: this.#header, eventPrev, eventLeaves: leaves, eventNodes: nodes },
      ...{ earliest, latest, judged },
      ...{ rows: rows.done(), keyRows: keyRows.done() },
    }
  }

  /** The frames with their events; null if one of them is too large, or does not end where an event ends. */
  #cutAt(frames: readonly ZstdFrame[], text: Buffer): EventFrame[] | null {
    const cut: EventFrame[] = []
    const headerEnd = this.#headerEnd(text)
    let pos = 0
    let at = 0
    for (const { bytes, size } of frames) {
      at += size
      const start = pos
      while (pos < this.#pos && headerEnd + this.#ends[pos]! <= at) pos++
      const n = pos - start
      const isWhole = n > 0 && headerEnd + this.#ends[pos - 1]! === at
      const isSmall = n === 1 || (n <= MAX_PACK_EVENTS && size <= MAX_PACK_BYTES)
      if (!isWhole || !isSmall) return null
      cut.push({ n, size, bytes })
    }
    return pos === this.#pos ? cut : null
  }

  #cut(text: Buffer): EventFrame[] {
    const cut: EventFrame[] = []
    const headerEnd = this.#headerEnd(text)
    let at = 0
    for (let pos = 0; pos < this.#pos; ) {
      let end = pos + 1
      const isWithin = () => headerEnd + this.#ends[end]! - at <= MAX_PACK_BYTES
      while (end < this.#pos && end - pos < FRAME_EVENTS && isWithin()) end++
      const to = headerEnd + this.#ends[end - 1]!
      cut.push({ n: end - pos, size: to - at, bytes: compress(text.subarray(at, to)) })
      pos = end
      at = to
    }
    return cut
  }

  #headerEnd(text: Buffer): number {
    return text.length - this.#ends[this.#pos - 1]!
  }
}

/**
 * The frame of these events.
 * @param header the batch's, if they are its first; null if not
 */
export const packFrame = (header: string | null, lines: readonly string[]): Buffer =>
  compress(Buffer.from([...(header === null ? [] : [header]), ...lines].map((line) => `${line}\n`).join(''), 'latin1'))

/** A frame, of so many events. `size`: bytes that it holds */
type EventFrame = ZstdFrame & { n: number }

type Pack = { n: number; size: number; frames: Uint8Array[] }

/** Frames together as packs. Each but the last of a pack is full, so that the frame of an event follows from its place. */
function packsOf(cut: readonly EventFrame[]): Pack[] {
  const packs: Pack[] = []
  for (const { n, size, bytes } of cut) {
    const last = packs.at(-1)
    const isFull = last !== undefined && last.n === FRAME_EVENTS * last.frames.length
    if (isFull && n <= FRAME_EVENTS && last.n + n <= MAX_PACK_EVENTS && last.size + size <= MAX_PACK_BYTES) {
      last.frames.push(bytes)
      last.n += n
      last.size += size
    } else {
      packs.push({ n, size, frames: [bytes] })
    }
  }
  return packs
}

/**
 * The statements that store accepted batches with their events, however many there are.
 * @param firstEvent number of the first batch's first event
 */
export function batchStatements(appended: readonly Appended[], firstEvent: number): CopyStatement[] {
  const batches = new TupleWriter(1024 * appended.length)
  let number = firstEvent
  for (const { logIndex, batch } of appended) {
    const { source, stream, seq, n, text, leafHash } = batch.header
    batches.begin(12)
    batches.int8(logIndex)
    batches.ascii(source)
    batches.ascii(stream)
    batches.int8(seq)
    batches.int4(n)
    batches.ascii(text)
    batches.bytes(leafHash)
    batches.bytes(batch.eventLeaves)
    batches.bytes(batch.eventNodes)
    batches.int8(number)
    batches.timestamp(batch.earliest)
    batches.timestamp(batch.latest)
    numberRows(batch.rows, batch.keyRows, number, logIndex)
    number += n
  }
  // A commit has far fewer events than a partition, so it begins at most one.
  const isNew = firstEvent % PARTITION === 0 || Math.floor(firstEvent / PARTITION) < Math.floor(number / PARTITION)
  return [
    { sql: BATCHES, tuples: [batches.done()] },
    ...(isNew ? [{ sql: `select extend_partitions(${number})` }] : []),
    { sql: PACKS, tuples: appended.map(({ batch }) => batch.rows) },
    { sql: PACK_KEYS, tuples: appended.map(({ batch }) => batch.keyRows) },
  ]
}

const BATCHES = `copy batches (log_index, source, stream, seq, n, header, leaf_hash, event_leaves, event_nodes, first_event, earliest, latest)
  from stdin (format binary)`
const PACKS = 'copy packs (first_event, log_index, pos, n, ids, times, body, frame_ends) from stdin (format binary)'
const PACK_KEYS = 'copy pack_keys (first_event, scheme, keys, key_counts) from stdin (format binary)'

/** Frees the rows of a batch, once the server has them or they will never be sent. */
export function freeRows({ rows, keyRows }: CheckedBatch): void {
  free(rows.bytes)
  free(keyRows.bytes)
}
