import { MAX_BATCH_EVENTS } from '@killick/sdk'
import { readBody } from './packs.ts'
import type { Db } from './tiles.ts'

type Row = { log_index: number; header: string; isFirst: boolean | null; body: Buffer | null }

/**
 * Accepted batches in their wire form, from entry `from` on: up to `limit` of them and as many as hold 10,000 events
 * together, so that one answer stays bounded; at least one, unless `from` lies behind the end of the log.
 */
export async function exportBatches(db: Db, from: number, limit: number): Promise<Uint8Array> {
  const { rows } = await db.query<Row>(
    // Where `first_event` was altered a batch has other events or none, which auditors must see; so no batch is left out for it.
    `with placed as (
       select log_index, header, n, least(first_event, 9007199254740991) as first_event,
              sum(n) over (order by log_index) as events
       from batches where log_index >= $1 and log_index < $1 + $2)
     select w.log_index, w.header, p.first_event = w.first_event as "isFirst", p.body from placed w
     left join packs p on p.first_event >= w.first_event and p.first_event < w.first_event + w.n
     where w.events <= $3 or w.log_index = $1 order by w.log_index, p.first_event`,
    [from, limit, MAX_BATCH_EVENTS],
  )
  const parts = await Promise.all(
    rows.map(async ({ log_index, header, isFirst, body }, i) => {
      const isNext = rows[i - 1]?.log_index !== log_index
      return [isNext ? Buffer.from(`${header}\n`) : null, body && (await readEvents(body, isFirst!))]
    }),
  )
  return Buffer.concat(parts.flat().filter((part) => part !== null))
}

/** The lines of a pack's events, without the header, which stands in the first one; none where it cannot be read any more. */
async function readEvents(body: Buffer, isFirst: boolean): Promise<Uint8Array | null> {
  const text = await readBody(body)
  return text && isFirst ? text.subarray(text.indexOf('\n') + 1) : text
}
