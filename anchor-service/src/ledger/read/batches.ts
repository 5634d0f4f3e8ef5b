import { MAX_BATCH_EVENTS } from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import { free } from '../../release-memory.ts'
import { readTexts } from '../packs/read-pack.ts'

/** Most bytes that one answer holds while it is read: a page of packs, and the text of three packs on their way. */
export const EXPORT_BYTES = 2.5 * 1024 * 1024

/** Most packs and batches in a page, and bytes of packs, about; a page always has one pack, of up to MAX_PACK_BYTES. */
const PAGE_ROWS = 64
const PAGE_BYTES = 128 * 1024
/** Bytes of text that are passed on in one piece, so that batches of one event do not cost two pieces each. */
const CHUNK_BYTES = 64 * 1024

type Batch = { logIndex: number; first: number; n: number }
type Row = {
  i: number
  header: string | null
  first: number | null
  isFirst: boolean | null
  body: Buffer | null
  /** Leaf hashes of the pack's events, where it holds nothing of them any more. */
  leaves: Buffer | null
}

// As float8 a number is exact below 2^53, and no alteration of it can fail the query.
const BATCHES = `
  select log_index::float8 as "logIndex", first::float8 as first, n from (
    select log_index, n, least(first_event, 9007199254740991) as first, sum(n) over (order by log_index) as events
    from batches where log_index >= $1 and log_index < $1 + $2) placed
  where events <= $3 or log_index = $1 order by log_index`

// If `first_event` was altered, a batch has other events or none. Auditors must see that, so the query leaves no batch out.
const PAGE = `
  with packed as (
    select w.i, w.log_index, p.first_event, p.body, p.pos, p.n, row_number() over placed as nth,
      sum(coalesce(octet_length(p.body), 0)) over placed - coalesce(octet_length(p.body), 0) as before
    from unnest($1::bigint[], $2::bigint[], $3::bigint[]) with ordinality as w (log_index, first, last, i)
    left join lateral (
      select first_event, body, pos, n from packs where first_event >= w.first and first_event < w.last
      order by first_event limit ${PAGE_ROWS}) p on true
    window placed as (order by w.i, p.first_event))
  select (p.i - 1)::float8 as i, case when p.nth = 1 or lag(p.i) over (order by p.nth) <> p.i then b.header end as header,
    p.first_event::float8 as first, p.first_event = b.first_event as "isFirst", p.body,
    case when p.body = '' then substr(b.event_leaves, 32 * p.pos + 1, 32 * p.n) end as leaves
  from packed p join batches b using (log_index)
  where p.nth <= ${PAGE_ROWS} and (p.nth = 1 or p.before < ${PAGE_BYTES}) order by p.nth`

/**
 * Accepted batches in their wire form (those that were dropped with leaf hashes for events), from entry `from` on: at most `limit`, and as many as hold 10,000 events together; at
 * least one, unless `from` is beyond the end of the log. It reads only what the caller asks for, and holds no connection of the
 * pool in between.
 */
export async function* exportBatches(db: Db, from: number, limit: number): AsyncGenerator<Uint8Array> {
  const { rows: batches } = await db.query<Batch>(BATCHES, [from, limit, MAX_BATCH_EVENTS])
  let parts: Buffer[] = []
  let texts: Buffer[] = []
  let size = 0
  function join(): Buffer {
    const chunk = Buffer.concat(parts)
    for (const text of texts) free(text)
    parts = []
    texts = []
    size = 0
    return chunk
  }
  for await (const part of partsOf(db, batches)) {
    parts.push(part.bytes)
    if (part.text !== null) texts.push(part.text)
    size += part.bytes.length
    if (size >= CHUNK_BYTES) yield join()
  }
  if (size > 0) yield join()
}

/** What a batch has in place of events that were dropped. */
function linesOf(leaves: Buffer): Buffer {
  const lines = Array.from({ length: leaves.length / 32 }, (_, i) => leaves.toString('base64url', 32 * i, 32 * i + 32))
  return Buffer.from(lines.map((line) => `${line}\n`).join(''))
}

/** A part of the answer, and the text that it is a part of, whose memory is given back when the part has been copied. */
type Part = { bytes: Buffer; text: Buffer | null }

async function* partsOf(db: Db, batches: readonly Batch[]): AsyncGenerator<Part> {
  let at = 0
  /** The pack of `batches[at]` that was passed on last; null if none was yet. */
  let last: number | null = null
  while (at < batches.length) {
    const page = batches.slice(at, at + PAGE_ROWS)
    const { rows } = await db.query<Row>(PAGE, [
      page.map(({ logIndex }) => logIndex),
      page.map(({ first }, i) => (i === 0 && last !== null ? last + 1 : first)),
      page.map(({ first, n }) => first + n),
    ])
    const isBegun = last !== null
    for (const { i, header, isFirst, body, leaves } of rows) {
      if (header !== null && !(i === 0 && isBegun)) yield { bytes: Buffer.from(`${header}\n`), text: null }
      if (leaves !== null) yield { bytes: linesOf(leaves), text: null }
      // A pack that cannot be read any more gives nothing.
      const texts = (body && (await readTexts(body))) ?? []
      for (const [k, text] of texts.entries())
        yield { bytes: isFirst && k === 0 ? text.subarray(text.indexOf('\n') + 1) : text, text }
    }
    const end = rows.at(-1)
    if (end === undefined) return
    last = end.first
    at += last === null ? end.i + 1 : end.i
  }
}
