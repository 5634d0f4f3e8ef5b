/**
 * Nobody signs the columns by which events and batches are found; whoever owns the database could keep an event from
 * readers, or show it as another's, by changing them alone. So they are held against what is signed.
 */

import { createHash } from 'node:crypto'
import type { Fault, FaultPlace, OwnCheck, WalkedBatch } from '@killick/sdk/audit'
import {
  type BatchHeader,
  type JsonValue,
  KillickError,
  MAX_BATCH_EVENTS,
  nodePrimitives,
  type ParsedEvent,
  parseEvent,
} from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import { type EventSketch, sketchEvent, termKey } from '../ledger/packs/event-keys.ts'
import { readLines } from '../ledger/packs/read-pack.ts'
import { walkRuns } from './runs.ts'

type Columns = { readonly [column: string]: JsonValue }
type BatchRow = { columns: Columns; packs: Pack[] }
/** `columns`: digests, where they are long. `details`: what these are of. */
type Pack = { first: number; columns: Columns; details: Details | null }
type Details = { ids: string; times: string; keys: string; key_counts: string; body: string }

/** Entries that are read at a time, as far as their batches hold MAX_BATCH_EVENTS together, each of which may have a pack of its own. */
const PAGE = 100

// As JSON no value can fail the query, however it was altered. Times in ms, whatever lies below them too.
const columnsOf = (withDetails: boolean, from: string, to: string) => `
  json_build_object('source', b.source, 'stream', b.stream, 'seq', b.seq, 'n', b.n, 'first_event', b.first_event,
      'leaf_hash', encode(b.leaf_hash, 'hex'), 'event_leaves', encode(sha256(b.event_leaves), 'hex'),
      'earliest', extract(epoch from b.earliest) * 1000, 'latest', extract(epoch from b.latest) * 1000) as columns,
    (select coalesce(json_agg(json_build_object('first', p.first_event,
        'columns', json_build_object('log_index', p.log_index, 'pos', p.pos, 'n', p.n, 'ids', encode(sha256(p.ids), 'hex'), 'times', encode(sha256(p.times), 'hex'),
          'keys', encode(sha256(p.keys), 'hex'), 'key_counts', encode(sha256(p.key_counts), 'hex')),
        'details', ${
          withDetails
            ? `json_build_object('ids', encode(p.ids, 'hex'), 'times', encode(p.times, 'hex'), 'keys', encode(p.keys, 'hex'),
          'key_counts', encode(p.key_counts, 'hex'), 'body', encode(p.body, 'base64'))`
            : 'null'
        }) order by p.first_event), '[]')
     from packs p where p.first_event >= ${from} and p.first_event < ${to}) as packs`

/** One batch, with the packs that stand where the log does. */
const BATCH = `select ${columnsOf(true, '$2', '$3')} from batches b where b.log_index = $1`

/** Several, each with the packs that stand where its row says: only where that is right can they be. */
const BATCHES = `
  select b.log_index::float8 as key, ${columnsOf(false, 'b.start', `b.start + least(b.n, ${MAX_BATCH_EVENTS})`)}
  from (select *, least(first_event, 9007199254740991) as start, sum(greatest(n, 0)) over (order by log_index) as events
    from batches where log_index >= $1 and log_index < $1 + ${PAGE}) b
  where b.events <= ${MAX_BATCH_EVENTS} or b.log_index = $1`

/** The newest batch ends where the events do. */
const BEYOND = `
  select first_event::float8 as first from packs
  where first_event >= (select least(first_event, 9007199254740991) + n from batches order by log_index desc limit 1)
  order by first_event limit 1`

export function checkColumns(db: Db): OwnCheck {
  let checked = 0
  const runs = walkRuns(db)
  const rows = readAhead(db)
  return {
    id: 'columns',
    title: 'Events and batches are found by what they say',
    async batch(batch) {
      const { logIndex, firstEvent, header, events } = batch
      checked += header.n
      const read = async () => (await db.query<BatchRow>(BATCH, [logIndex, firstEvent, firstEvent + header.n])).rows[0]
      const place = placeOf(logIndex, header)
      const row = await (events === null ? read() : rows.of(logIndex))
      const misled = await runs.upTo(firstEvent + header.n)
      if (row === undefined) return [{ place, message: `batches.log_index: no batch has ${logIndex}` }, ...misled]
      const wrong = differences(row.columns, batchColumns(batch))
      const faults = wrong.map((column) => ({
        place,
        message: `batches.${column}: it is not what batch ${logIndex} says`,
      }))
      if (events !== null && arePacksRight(batch, events, row.packs)) return [...faults, ...misled]
      const packs = events === null ? row.packs : ((await read())?.packs ?? [])
      return [...faults, ...(await comparePacks(batch, packs)), ...misled]
    },
    async finish() {
      const [row] = (await db.query<{ first: number }>(BEYOND)).rows
      const message = `packs.first_event: the events from ${row?.first} on belong to no batch`
      const faults: Fault[] = [...(row ? [{ place: null, message }] : []), ...(await runs.finish())]
      return { faults, detail: `${checked.toLocaleString('en')} events` }
    },
  }
}

/** Rows of batches, asked for in the order of the log: a page of them is held. */
function readAhead(db: Db) {
  type Page = ReadonlyMap<number, BatchRow>
  let page: Promise<Page> = Promise.resolve(new Map())
  async function read(from: number): Promise<Page> {
    const { rows } = await db.query<BatchRow & { key: number }>(BATCHES, [from])
    return new Map(rows.map((row) => [row.key, row]))
  }
  return {
    of(logIndex: number): Promise<BatchRow | undefined> {
      page = page.then((rows) => (rows.has(logIndex) ? rows : read(logIndex)))
      return page.then((rows) => rows.get(logIndex))
    },
  }
}

function batchColumns({ firstEvent, header, events }: WalkedBatch): Columns {
  const { source, stream, seq, n } = header
  const columns = { source, stream, seq, n, first_event: firstEvent, leaf_hash: hex(header.leafHash) }
  if (events === null) return columns
  const leaves = createHash('sha256')
  let [earliest, latest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const { leafHash, time } of events) {
    leaves.update(leafHash)
    earliest = Math.min(earliest, time)
    latest = Math.max(latest, time)
  }
  return { ...columns, event_leaves: leaves.digest('hex'), earliest, latest }
}

/** Whether nothing is wrong with any of them, which is nearly always so; then it need not be found out what. */
function arePacksRight(batch: WalkedBatch, events: readonly ParsedEvent[], packs: readonly Pack[]): boolean {
  let pos = 0
  for (const { first, columns } of packs) {
    const part = events.slice(pos, pos + Number(columns.n))
    if (first !== batch.firstEvent + pos || differences(columns, packColumns(batch, pos, part)).length > 0) return false
    pos += part.length
  }
  return pos === events.length
}

function packColumns({ logIndex, header }: WalkedBatch, pos: number, events: readonly ParsedEvent[]): Columns {
  const sketches = events.map(sketchEvent)
  const digest = (parts: readonly Buffer[]) => {
    const hash = createHash('sha256')
    for (const part of parts) hash.update(part)
    return hash.digest('hex')
  }
  return {
    ...{ log_index: logIndex, pos, n: events.length },
    keys: digest([termKey('source', header.source), ...sketches.map(keysOf)]),
    ids: digest(sketches.map(({ id }) => id)),
    times: digest(sketches.map(({ time }) => timeBytes(time))),
    key_counts: digest(sketches.map(({ keyCount }) => Buffer.of(keyCount >> 8, keyCount & 255))),
  }
}

function timeBytes(time: number): Buffer {
  const bytes = Buffer.alloc(6)
  bytes.writeUIntBE(time, 0, 6)
  return bytes
}

const keysOf = ({ keys, keyCount }: EventSketch) => keys.subarray(0, 8 * keyCount)

/** What a pack says of one of its events; `token` as it is stored. */
type Row = { columns: Columns; token: string }

/** What is wrong with packs, event by event. Of a batch that is not whole, each that can be read is held against what it says. */
async function comparePacks({ logIndex, firstEvent, header, events }: WalkedBatch, packs: readonly Pack[]) {
  const there = (pos: number) => placeOf(logIndex, { ...header, seq: header.seq + pos })
  const faults: Fault[] = []
  const rows = new Map<number, Row>()
  for (const [i, pack] of packs.entries()) {
    const place = there(pack.first - firstEvent)
    const end = packs[i + 1]?.first ?? firstEvent + header.n
    if (pack.columns.n !== end - pack.first)
      faults.push({ place, message: `packs.n: it is not how many events stand from ${pack.first} on` })
    if (pack.details!.keys.slice(0, 16) !== hex(termKey('source', header.source)))
      faults.push({ place, message: 'packs.keys: the first is not that of the source' })
    for (const [k, row] of (await rowsOf(pack, pack.first - firstEvent, end - pack.first)).entries())
      rows.set(pack.first + k, row)
  }
  for (let pos = 0; pos < header.n; pos++) {
    const number = firstEvent + pos
    const row = rows.get(number)
    if (row === undefined) {
      faults.push({ place: there(pos), message: `packs.first_event: no event has ${number}` })
      continue
    }
    // That it cannot be read is told by the audit itself.
    const event = events === null ? readEvent(row.token) : events[pos]!
    if (event === null) continue
    const place = { ...there(pos), id: event.id }
    const isThere = event.source === header.source && event.stream === header.stream && event.seq === place.seq
    if (!isThere)
      faults.push({
        place,
        message: `packs.first_event: ${number} is not that of ${nameOf(event)}, which stands there`,
      })
    else
      for (const column of differences(row.columns, eventColumns(logIndex, pos, event)))
        faults.push({ place, message: `packs.${column}: it is not what ${nameOf(event)} says` })
  }
  return faults
}

async function rowsOf({ columns, details }: Pack, pos: number, n: number): Promise<Row[]> {
  const { ids, times, keys, key_counts, body } = details!
  const line = await readLines(Buffer.from(body, 'base64'), pos)
  let start = 16
  return Array.from({ length: n }, (_, i) => {
    // What there is too much of is the last event's.
    const part = (of: string, size: number) => of.slice(size * i, i === n - 1 ? undefined : size * (i + 1))
    const count = part(key_counts, 4)
    const end = start + 16 * (Number.parseInt(count.slice(0, 4), 16) || 0)
    const own = keys.slice(start, i === n - 1 ? undefined : end)
    start = end
    return {
      columns: {
        ...{ log_index: columns.log_index!, pos: Number(columns.pos) + i },
        ...{ ids: part(ids, 32), times: part(times, 12), key_counts: count, keys: own },
      },
      token: line(i),
    }
  })
}

function eventColumns(logIndex: number, pos: number, event: ParsedEvent): Columns {
  const sketch = sketchEvent(event)
  const count = sketch.keyCount.toString(16).padStart(4, '0')
  const names = { ids: hex(sketch.id), times: hex(timeBytes(sketch.time)) }
  return { log_index: logIndex, pos, ...names, key_counts: count, keys: hex(keysOf(sketch)) }
}

function readEvent(token: string): ParsedEvent | null {
  try {
    return parseEvent(token, nodePrimitives)
  } catch (error) {
    if (error instanceof KillickError) return null
    throw error
  }
}

/** Names of the columns that are not as expected. Their values may be personal, and are not told. */
function differences(columns: Columns, expected: Columns): string[] {
  return Object.keys(expected).filter((name) => JSON.stringify(columns[name]) !== JSON.stringify(expected[name]))
}

function placeOf(
  logIndex: number,
  { source, stream, seq }: Pick<BatchHeader, 'source' | 'stream' | 'seq'>,
): FaultPlace {
  return { logIndex, source, stream, seq }
}

const nameOf = ({ id, source, stream, seq }: ParsedEvent) => `event ${id} (${source}/${stream} ${seq})`
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
