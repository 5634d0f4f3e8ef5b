/**
 * Nobody signs the columns by which events and batches are found, so the database's owner could hide an event from readers, or
 * show it as another's, by changing only these. This compares them with what is signed.
 */

import type { Fault, OwnCheck, WalkedBatch } from '@killick/sdk/audit'
import {
  type BatchHeader,
  KillickError,
  nodePrimitives,
  type ParsedEvent,
  parseEvent,
  printHash,
} from '@killick/sdk/core'
import type pg from 'pg'
import type { Db } from '../database/pool.ts'
import { packKeys, sketchEvent } from '../ledger/packs/event-keys.ts'
import { NEWEST, SCHEMES } from '../ledger/packs/filters.ts'
import { frameEnds, splitFrames } from '../ledger/packs/frames.ts'
import { keysOf } from '../ledger/packs/make-keys.ts'
import { MAX_PACK_EVENTS, readLines } from '../ledger/packs/read-pack.ts'
import { erasedOf } from '../ledger/registry/erasures.ts'
import { treeOver } from '../ledger/tree/batch-tree.ts'
import {
  BATCH,
  type BatchRow,
  BEYOND,
  type ColumnValues,
  differences,
  digest,
  hex,
  type KeyRow,
  NOTHING,
  type Pack,
  placeOf,
  readAhead,
} from './batch-rows.ts'
import { areDroppedRight, compareDropped, isDroppedSince } from './dropped-columns.ts'
import { checkIndexes } from './indexes.ts'
import { type Noted, notedOf, partOf, timesWithin } from './noted.ts'
import { walkRuns } from './runs.ts'

export function checkColumns(db: pg.Pool): OwnCheck {
  let checked = 0
  const runs = walkRuns(db)
  const rows = readAhead(db)
  return {
    id: 'columns',
    title: 'Events and batches are found by what they say',
    async batch(batch) {
      const { logIndex, firstEvent, header, dropped } = batch
      checked += header.n
      const read = async () => (await db.query<BatchRow>(BATCH, [logIndex, firstEvent, firstEvent + header.n])).rows[0]
      const place = placeOf(logIndex, header)
      const noted = notedOf(batch)
      const isLost = noted === null && dropped === null
      const row = await (isLost ? read() : rows.of(logIndex))
      const misled = await runs.upTo(firstEvent + header.n)
      if (row === undefined)
        return [{ place, reason: 'absent', message: `batches.log_index: no batch has ${logIndex}` }, ...misled]
      const wrong = batchDifferences(batch, noted, row.columns)
      const faults = wrong.map(
        (column): Fault => ({
          ...{ place, reason: 'different' },
          message: `batches.${column}: it is not what batch ${logIndex} says`,
        }),
      )
      if (noted !== null && arePacksRight(batch, noted, row)) return [...faults, ...misled]
      if (dropped !== null && areDroppedRight(batch, dropped, row)) return [...faults, ...misled]
      const now = (isLost ? row : await read()) ?? { columns: {}, packs: [], keys: [] }
      return [...faults, ...(await compareRows(db, batch, now)), ...misled]
    },
    async finish() {
      const faults: Fault[] = []
      for (const table of ['packs', 'pack_keys'] as const)
        for (const { first } of (await db.query<{ first: number }>(BEYOND(table))).rows)
          faults.push({
            ...{ place: null, reason: 'untold' },
            message: `${table}.first_event: the events from ${first} on belong to no batch`,
          })
      faults.push(...(await runs.finish()), ...(await checkIndexes(db)))
      return { faults, detail: `${checked.toLocaleString('en')} events` }
    },
  }
}

/** What is wrong with packs and keys of a batch. It may have been read before an erasure or a drop, and its rows after it. */
async function compareRows(db: Db, batch: WalkedBatch, row: BatchRow): Promise<Fault[]> {
  const { events, dropped } = batch
  if (dropped !== null) return compareDropped(batch, dropped, row)
  const compare = async (with_: WalkedBatch) => [
    ...(await comparePacks(with_, row.packs)),
    ...(await compareKeys(with_, row.packs, row.keys)),
  ]
  const found = await compare(batch)
  if (found.length === 0 || events === null) return found
  const since = await erasedSince(db, events, batch, row.packs)
  if (since !== null) return compare({ ...batch, events: since })
  const leaves = events.map(({ leafHash }) => leafHash)
  return (await isDroppedSince(db, batch)) ? compareDropped(batch, leaves, row) : found
}

/**
 * The events of a batch as its packs hold them, if they are those that were read but for fields that orders in the log erase; null
 * if they are others.
 */
async function erasedSince(
  db: Db,
  events: readonly ParsedEvent[],
  { firstEvent }: WalkedBatch,
  packs: readonly Pack[],
): Promise<ParsedEvent[] | null> {
  const stored: ParsedEvent[] = []
  for (const { first, details } of packs) {
    const line = await readLines(Buffer.from(details!.body, 'base64'), first - firstEvent)
    for (let i = 0; stored.length < events.length && line(i) !== ''; i++) {
      const event = readEvent(line(i))
      if (event === null) return null
      stored.push(event)
    }
  }
  const erased = await erasedOf(
    db,
    events.map(({ leafHash }) => printHash(leafHash)),
  )
  const isSame = (event: ParsedEvent, i: number) => {
    const name = printHash(event.leafHash)
    const kept = new Set(stored[i]?.disclosures.map(({ text }) => text))
    const gone = event.disclosures.filter(({ text }) => !kept.has(text)).map(({ text }) => nodePrimitives.digest(text))
    const named = new Set(erased.get(name)?.flatMap(({ digests }) => digests))
    return (
      stored[i] !== undefined && printHash(stored[i].leafHash) === name && gone.every((digest) => named.has(digest))
    )
  }
  return events.every(isSame) ? stored : null
}

/** Names of the columns of a batch that are not what it says. */
function batchDifferences(
  { firstEvent, header, dropped }: WalkedBatch,
  noted: Noted | null,
  found: ColumnValues,
): string[] {
  const { source, stream, seq, n } = header
  const columns = { source, stream, seq, n, first_event: firstEvent, leaf_hash: hex(header.leafHash) }
  const leaves = noted?.leaves ?? (dropped && Buffer.concat(dropped))
  if (leaves === null) return differences(found, columns)
  // A batch that was stored by a version that kept none has none; it only takes longer to prove.
  const event_nodes = found.event_nodes === NOTHING ? NOTHING : digest([treeOver(leaves).nodes])
  const wrong = differences(found, { ...columns, event_leaves: digest([leaves]), event_nodes })
  if (noted === null) return [...wrong, ...(canBeTimes(found) ? [] : ['earliest'])]
  return [...wrong, ...differences(found, timesWithin(noted))]
}

/** Whether the times of a batch follow each other. Of events that were dropped nobody can tell more: their times went with them. */
const canBeTimes = ({ earliest, latest }: ColumnValues) =>
  typeof earliest === 'number' && typeof latest === 'number' && earliest <= latest

/** Whether nothing is wrong with any of them, which is nearly always so; then it need not be found out what. */
function arePacksRight(batch: WalkedBatch, noted: Noted, { packs, keys }: BatchRow): boolean {
  const { logIndex, firstEvent, header } = batch
  let pos = 0
  let checked = 0
  for (const { first, columns } of packs) {
    const n = Math.max(0, Math.min(Number(columns.n), header.n - pos))
    const part = partOf(noted, pos, n)
    const expected = {
      ...{ log_index: logIndex, pos, n, frame_ends: true },
      ...{ ids: digest([part.ids]), times: digest([part.times]) },
    }
    if (first !== firstEvent + pos || differences(columns, expected).length > 0) return false
    const before = checked
    for (; keys[checked]?.first === first; checked++) {
      const { scheme, columns: found } = keys[checked]!
      if (!(scheme in SCHEMES)) return false
      // By an earlier scheme an event has other keys.
      const wanted =
        scheme === NEWEST
          ? { keys: digest([packKeys(header, scheme), part.keys]), key_counts: digest([part.counts]) }
          : keyColumns(header, batch.events!.slice(pos, pos + n), scheme)
      if (differences(found, wanted).length > 0) return false
    }
    if (checked === before) return false
    pos += n
  }
  return pos === header.n && checked === keys.length
}

function keyColumns(header: BatchHeader, events: readonly ParsedEvent[], scheme: number): ColumnValues {
  const sketches = events.map((event) => sketchEvent(event, scheme))
  return {
    keys: digest([packKeys(header, scheme), ...sketches.map(keysOf)]),
    key_counts: digest(sketches.map(({ keyCount }) => countBytes(keyCount))),
  }
}

const idBytes = (id: string) => Buffer.from(id.replaceAll('-', ''), 'hex')
const countBytes = (count: number) => Buffer.of(count >> 8, count & 255)

function timeBytes(time: number): Buffer {
  const bytes = Buffer.alloc(6)
  bytes.writeUIntBE(time, 0, 6)
  return bytes
}

/** What a pack says of one of its events; `token` as it is stored. */
type Row = { columns: ColumnValues; token: string }

/** What is wrong with packs, event by event. In a batch that is not whole, each readable event is compared with its columns. */
async function comparePacks({ logIndex, firstEvent, header, events }: WalkedBatch, packs: readonly Pack[]) {
  const there = (pos: number) => placeOf(logIndex, { ...header, seq: header.seq + pos })
  const faults: Fault[] = []
  const rows = new Map<number, Row>()
  for (const [i, pack] of packs.entries()) {
    const place = there(pack.first - firstEvent)
    const end = packs[i + 1]?.first ?? firstEvent + header.n
    if (pack.columns.n !== end - pack.first)
      faults.push({
        ...{ place, reason: 'different' },
        message: `packs.n: it is not how many events stand from ${pack.first} on`,
      })
    // A pack of a version that knew no frames says nothing; it only takes longer to prove.
    const { frame_ends: ends, body } = pack.details!
    if (ends !== '{}' && ends !== endsIn(Buffer.from(body, 'base64')))
      faults.push({
        ...{ place, reason: 'different' },
        message: `packs.frame_ends: it is not where the frames of the pack at ${pack.first} end`,
      })
    for (const [k, row] of (await rowsOf(pack, pack.first - firstEvent, end - pack.first)).entries())
      rows.set(pack.first + k, row)
  }
  for (let pos = 0; pos < header.n; pos++) {
    const number = firstEvent + pos
    const row = rows.get(number)
    if (row === undefined) {
      faults.push({
        ...{ place: there(pos), reason: 'absent' },
        message: `packs.first_event: no event has ${number}`,
      })
      continue
    }
    // The audit itself reports that it cannot be read.
    const event = events === null ? readEvent(row.token) : events[pos]!
    if (event === null) continue
    const place = { ...there(pos), id: event.id }
    const isThere = event.source === header.source && event.stream === header.stream && event.seq === place.seq
    if (!isThere)
      faults.push({
        ...{ place, reason: 'misplaced' },
        message: `packs.first_event: ${number} is not that of ${nameOf(event)}, which stands there`,
      })
    else
      for (const column of differences(row.columns, eventColumns(logIndex, pos, event)))
        faults.push({ place, reason: 'different', message: `packs.${column}: it is not what ${nameOf(event)} says` })
  }
  return faults
}

/** Where the frames of a body end, as PostgreSQL prints it; empty for what is no body. */
const endsIn = (body: Buffer) => `{${frameEnds(splitFrames(body, MAX_PACK_EVENTS) ?? [])}}`

async function rowsOf({ columns, details }: Pack, pos: number, n: number): Promise<Row[]> {
  const { ids, times, body } = details!
  const line = await readLines(Buffer.from(body, 'base64'), pos)
  return Array.from({ length: n }, (_, i) => {
    // What there is too much of is the last event's.
    const part = (of: string, size: number) => of.slice(size * i, i === n - 1 ? undefined : size * (i + 1))
    return {
      columns: {
        ...{ log_index: columns.log_index!, pos: Number(columns.pos) + i },
        ...{ ids: part(ids, 32), times: part(times, 12) },
      },
      token: line(i),
    }
  })
}

const eventColumns = (logIndex: number, pos: number, { id, time }: ParsedEvent): ColumnValues => ({
  ...{ log_index: logIndex, pos },
  ...{ ids: hex(idBytes(id)), times: hex(timeBytes(time)) },
})

/**
 * What is wrong with the rows that packs are found by, event by event, each by the scheme that made it. A pack without rows is a
 * fault, since somebody has deleted them; it is not hidden, since readers look through such a pack.
 */
async function compareKeys(batch: WalkedBatch, packs: readonly Pack[], rows: readonly KeyRow[]): Promise<Fault[]> {
  const { logIndex, firstEvent, header, events } = batch
  const there = (number: number) => placeOf(logIndex, { ...header, seq: header.seq + number - firstEvent })
  const faults: Fault[] = []
  const byPack = Map.groupBy(rows, ({ first }) => first)
  for (const first of byPack.keys())
    if (!packs.some((pack) => pack.first === first))
      faults.push({
        ...{ place: there(first), reason: 'untold' },
        message: `pack_keys.first_event: no pack begins at ${first}`,
      })
  for (const [i, pack] of packs.entries()) {
    const own = byPack.get(pack.first) ?? []
    const n = (packs[i + 1]?.first ?? firstEvent + header.n) - pack.first
    if (own.length === 0)
      faults.push({
        ...{ place: there(pack.first), reason: 'absent' },
        message: `pack_keys.first_event: no row has what the pack at ${pack.first} is found by`,
      })
    const line =
      events === null ? await readLines(Buffer.from(pack.details!.body, 'base64'), pack.first - firstEvent) : null
    for (const { scheme, details } of own) {
      if (!(scheme in SCHEMES)) {
        faults.push({
          ...{ place: there(pack.first), reason: 'unreadable' },
          message: `pack_keys.scheme: this version knows no scheme ${scheme}`,
        })
        continue
      }
      const { keys, key_counts } = details!
      let start = hex(packKeys(header, scheme)).length
      if (keys.slice(0, start) !== hex(packKeys(header, scheme)))
        faults.push({
          ...{ place: there(pack.first), reason: 'different' },
          message: 'pack_keys.keys: they do not begin with those of the source and the stream',
        })
      for (let k = 0; k < n; k++) {
        const isLast = k === n - 1
        const count = key_counts.slice(4 * k, isLast ? undefined : 4 * (k + 1))
        const end = start + 16 * (Number.parseInt(count.slice(0, 4), 16) || 0)
        const found = { key_counts: count, keys: keys.slice(start, isLast ? undefined : end) }
        start = end
        const number = pack.first + k
        const event = line === null ? events![number - firstEvent]! : readEvent(line(k))
        if (event === null) continue
        const sketch = sketchEvent(event, scheme)
        for (const column of differences(found, {
          key_counts: hex(countBytes(sketch.keyCount)),
          keys: hex(keysOf(sketch)),
        }))
          faults.push({
            place: { ...there(number), id: event.id },
            reason: 'different',
            message: `pack_keys.${column}: it is not what ${nameOf(event)} says`,
          })
      }
    }
  }
  return faults
}

function readEvent(token: string): ParsedEvent | null {
  try {
    return parseEvent(token, nodePrimitives)
  } catch (error) {
    if (error instanceof KillickError) return null
    throw error
  }
}

const nameOf = ({ id, source, stream, seq }: ParsedEvent) => `event ${id} (${source}/${stream} ${seq})`
