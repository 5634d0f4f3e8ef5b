import { MAX_BATCH_EVENTS } from '@killick/sdk'
import { readBody } from './packs.ts'
import type { Db } from './tiles.ts'

type Row = { log_index: number; header: string; body: Buffer | null }

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
     select w.log_index, w.header, p.body from placed w
     left join packs p on p.first_event >= w.first_event and p.first_event < w.first_event + w.n
     where w.events <= $3 or w.log_index = $1 order by w.log_index, p.first_event`,
    [from, limit, MAX_BATCH_EVENTS],
  )
  const parts = await Promise.all(
    rows.map(async ({ log_index, header, body }, i) => {
      const isFirst = rows[i - 1]?.log_index !== log_index
      return [isFirst ? Buffer.from(`${header}\n`) : Buffer.alloc(0), body === null ? body : await readEvents(body)]
    }),
  )
  return Buffer.concat(parts.flat().filter((part) => part !== null))
}

/** The lines of a pack's events, without the header that it begins with; none where it cannot be read any more. */
async function readEvents(body: Buffer): Promise<Uint8Array | null> {
  const text = await readBody(body)
  return text && text.subarray(text.indexOf('\n') + 1)
}
