/**
 * Nobody signs the columns by which events and batches are found; whoever owns the database could keep an event from
 * readers, or show it as another's, by changing them alone. So they are held against what is signed.
 */
import { createHash } from 'node:crypto'
import { type BatchHeader, type JsonValue, KillickError, type ParsedEvent, parseEvent } from '@killick/sdk'
import type { Fault, OwnCheck, Place, WalkedBatch } from '@killick/sdk/audit'
import { searchColumns } from '../ledger/rows.ts'
import type { Db } from '../ledger/tiles.ts'

type Columns = { readonly [column: string]: JsonValue }
type EventRow = { number: number; columns: Columns; token: string | null }
type BatchRow = { columns: Columns; events: EventRow[] }

// As JSON no value can fail the query, however it was altered. Times in ms, whatever lies below them too.
const BATCH = `
  select json_build_object('source', b.source, 'stream', b.stream, 'seq', b.seq, 'n', b.n, 'first_event', b.first_event,
      'leaf_hash', encode(b.leaf_hash, 'hex'), 'event_leaves', encode(sha256(b.event_leaves), 'hex'),
      'earliest', extract(epoch from b.earliest) * 1000, 'latest', extract(epoch from b.latest) * 1000) as columns,
    (select coalesce(json_agg(json_build_object('number', e.number,
        'columns', json_build_object('log_index', e.log_index, 'pos', e.pos, 'id', e.id,
          'leaf_hash', encode(e.leaf_hash, 'hex'), 'source', e.source, 'recorded_at', extract(epoch from e.recorded_at) * 1000,
          'action', e.action, 'actor', e.actor, 'targets', e.targets),
        'token', case when $4 then e.jws || '~' || e.disclosures end) order by e.number), '[]')
     from events e where e.number >= $2 and e.number < $3) as events
  from batches b where b.log_index = $1`

/** The newest batch ends where the events do. */
const BEYOND = `
  select e.number::float8 as number from events e
  where e.number >= (select least(first_event, 9007199254740991) + n from batches order by log_index desc limit 1)
  order by e.number limit 1`

export function checkColumns(db: Db): OwnCheck {
  let checked = 0
  return {
    id: 'columns',
    title: 'Events and batches are found by what they say',
    async batch(batch) {
      const { logIndex, firstEvent, header, events } = batch
      checked += header.n
      const values = [logIndex, firstEvent, firstEvent + header.n, events === null]
      const row = (await db.query<BatchRow>(BATCH, values)).rows[0]
      const place = placeOf(logIndex, header)
      if (row === undefined) return [{ place, message: `batches.log_index: no batch has ${logIndex}` }]
      const wrong = differences(row.columns, batchColumns(batch))
      return [
        ...wrong.map((column) => ({ place, message: `batches.${column}: it is not what batch ${logIndex} says` })),
        ...compareEvents(batch, row.events),
      ]
    },
    async finish() {
      const [row] = (await db.query<{ number: number }>(BEYOND)).rows
      const message = `events.number: the event ${row?.number} belongs to no batch`
      return { faults: row ? [{ place: null, message }] : [], detail: `${checked.toLocaleString('en')} events` }
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

/** Of a batch that is not whole, each row that can be read by itself is held against what itself says. */
function compareEvents({ logIndex, firstEvent, header, events }: WalkedBatch, rows: readonly EventRow[]): Fault[] {
  const byNumber = new Map(rows.map((row) => [row.number, row]))
  return Array.from({ length: header.n }, (_, i): Fault[] => {
    const number = firstEvent + i
    const row = byNumber.get(number)
    const there = placeOf(logIndex, { ...header, seq: header.seq + i })
    if (row === undefined) return [{ place: there, message: `events.number: no event has ${number}` }]
    const event = events === null ? readEvent(row) : events[i]!
    // That it cannot be read is told by the audit itself.
    if (event === null) return []
    const place = { ...there, id: event.id }
    const isThere = event.source === header.source && event.stream === header.stream && event.seq === header.seq + i
    if (!isThere)
      return [{ place, message: `events.number: ${number} is not that of ${nameOf(event)}, which stands there` }]
    const wrong = differences(row.columns, { log_index: logIndex, pos: i, ...eventColumns(event) })
    return wrong.map((column) => ({ place, message: `events.${column}: it is not what ${nameOf(event)} says` }))
  }).flat()
}

function readEvent({ token }: EventRow): ParsedEvent | null {
  try {
    return parseEvent(token ?? '')
  } catch (error) {
    if (error instanceof KillickError) return null
    throw error
  }
}

function eventColumns(event: ParsedEvent): Columns {
  const { id, source, time, leafHash } = event
  return { id, leaf_hash: hex(leafHash), source, recorded_at: time, ...searchColumns(event) }
}

/** Names of the columns that are not as expected. Their values may be personal, and are not told. */
function differences(columns: Columns, expected: Columns): string[] {
  return Object.keys(expected).filter((name) => JSON.stringify(columns[name]) !== JSON.stringify(expected[name]))
}

function placeOf(logIndex: number, { source, stream, seq }: Pick<BatchHeader, 'source' | 'stream' | 'seq'>): Place {
  return { logIndex, source, stream, seq }
}

const nameOf = ({ id, source, stream, seq }: ParsedEvent) => `event ${id} (${source}/${stream} ${seq})`
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
