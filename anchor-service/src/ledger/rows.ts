import { type BatchHeader, type Hash, isObject, type JsonValue, type ParsedEvent, type parseBatch } from '@killick/sdk'
import type pg from 'pg'
import { free } from '../free.ts'
import { copyIn, numberRows, TupleWriter } from './copy.ts'
import type { CheckedBatch } from './place.ts'
import type { Db } from './tiles.ts'

/** Events in a partition, as in the migration. */
const PARTITION = 4_194_304

export type Appended = { logIndex: number; batch: CheckedBatch }

/**
 * What the commit needs of a checked batch, and nothing else: its rows ready to be stored but for the log index, which only
 * the commit knows. So all the work on events is done before, on any thread, and little has to cross to this one.
 */
export function packBatch({ header, events }: ReturnType<typeof parseBatch>): CheckedBatch {
  const size = events.reduce((total, event) => total + event.token.length, 0)
  const packer = new Packer(events.length, size)
  for (const event of events) packer.add(event)
  return packer.done(header)
}

/** Packs one event after another; see packBatch. */
export class Packer {
  readonly #leaves: Uint8Array
  readonly #rows: TupleWriter
  #eventPrev: Hash | undefined
  #earliest = Number.POSITIVE_INFINITY
  #latest = Number.NEGATIVE_INFINITY
  #pos = 0

  /** @param count how many events there will be at most. @param size about how long their tokens are together */
  constructor(count: number, size: number) {
    this.#leaves = new Uint8Array(32 * count)
    this.#rows = new TupleWriter(size + 288 * count)
  }

  add(event: ParsedEvent): void {
    const rows = this.#rows
    const pos = this.#pos++
    if (pos === 0) this.#eventPrev = event.prev
    this.#earliest = Math.min(this.#earliest, event.time)
    this.#latest = Math.max(this.#latest, event.time)
    this.#leaves.set(event.leafHash, 32 * pos)
    rows.begin(12)
    rows.int8(0)
    rows.int8(0)
    rows.int4(pos)
    rows.uuid(event.id)
    rows.bytes(event.leafHash)
    rows.ascii(event.source)
    rows.timestamp(event.time)
    const { action, actor, targets } = searchColumns(event)
    rows.text(action)
    rows.text(actor)
    rows.texts(targets)
    rows.ascii(event.leaf)
    rows.ascii(event.token.slice(event.leaf.length + 1))
  }

  done(header: BatchHeader): CheckedBatch {
    return {
      header,
      eventPrev: this.#eventPrev,
      eventLeaves: this.#leaves,
      earliest: this.#earliest,
      latest: this.#latest,
      rows: this.#rows.done(),
    }
  }
}

/**
 * Stores accepted batches with their events: one statement per table, however many there are.
 * @param firstEvent number of the first one's first event
 */
export async function insertBatches(
  db: pg.ClientBase,
  appended: readonly Appended[],
  firstEvent: number,
): Promise<void> {
  const batches = new TupleWriter(1024 * appended.length)
  let number = firstEvent
  for (const { logIndex, batch } of appended) {
    const { source, stream, seq, n, text, leafHash } = batch.header
    batches.begin(11)
    batches.int8(logIndex)
    batches.ascii(source)
    batches.ascii(stream)
    batches.int8(seq)
    batches.int4(n)
    batches.ascii(text)
    batches.bytes(leafHash)
    batches.bytes(batch.eventLeaves)
    batches.int8(number)
    batches.timestamp(batch.earliest)
    batches.timestamp(batch.latest)
    numberRows(batch.rows, number, logIndex)
    number += n
  }
  const target = 'log_index, source, stream, seq, n, header, leaf_hash, event_leaves, first_event, earliest, latest'
  await copyIn(db, `batches (${target})`, [batches.done()])
  // A commit has far fewer events than a partition, so it starts one at most.
  if (firstEvent % PARTITION === 0 || Math.floor(firstEvent / PARTITION) < Math.floor(number / PARTITION))
    await db.query('select extend_events($1)', [number])
  const columns = 'number, log_index, pos, id, leaf_hash, source, recorded_at, action, actor, targets, jws, disclosures'
  await copyIn(
    db,
    `events (${columns})`,
    appended.map(({ batch }) => batch.rows),
  )
}

/** The number that the next event gets. */
export async function nextNumber(db: Db, size: number): Promise<number> {
  const { rows } = await db.query<{ next: number }>(
    'select first_event + n as next from batches where log_index = $1',
    [size - 1],
  )
  return rows[0]?.next ?? 0
}

/** For a batch that is settled: the server has its rows, or they were never sent. */
export function freeRows({ rows }: CheckedBatch): void {
  free(rows.bytes)
}

/** A text as the search columns hold it: PostgreSQL cannot store NUL, so that one character is replaced. */
export function searchTerm(value: JsonValue | undefined): string | null {
  return typeof value === 'string' ? value.replaceAll('\u0000', '\ufffd') : null
}

/** What an event is found by, beside its names, its source and its time. */
export function searchColumns(event: ParsedEvent) {
  const { action, actor } = event.fields
  return { action: searchTerm(action), actor: searchTerm(idOf(actor)), targets: targetIds(event) }
}

function idOf(party: JsonValue | undefined): JsonValue | undefined {
  return isObject(party) ? party.id : undefined
}

function targetIds(event: ParsedEvent): string[] {
  const { targets } = event.fields
  return Array.isArray(targets) ? [...new Set(targets.map((target) => searchTerm(idOf(target)) ?? ''))] : []
}
