import { MAX_BATCH_EVENTS } from '@killick/sdk'
import { readBody } from './packs.ts'
import type { Db } from './tiles.ts'

type Row = { header: string; n: number; packs: Buffer[] }

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
       from batches where log_index >= $1 and log_index < $1 + $2),
     wanted as (select * from placed where events <= $3 or log_index = $1)
     select w.header, w.n, coalesce(array_agg(p.body order by p.first_event) filter (where p.body is not null), '{}') as packs
     from wanted w left join packs p on p.first_event >= w.first_event and p.first_event < w.first_event + w.n
     group by w.log_index, w.header, w.n order by w.log_index`,
    [from, limit, MAX_BATCH_EVENTS],
  )
  const batches = await Promise.all(rows.map(printRow))
  return Buffer.concat(batches.flat())
}

/** The header, then the events of each pack as they are, without the header that each pack begins with. */
async function printRow({ header, packs }: Row): Promise<Uint8Array[]> {
  const texts = await Promise.all(packs.map(readBody))
  const events = texts.flatMap((text) => (text === null ? [] : [text.subarray(text.indexOf('\n') + 1)]))
  return [Buffer.from(`${header}\n`), ...events]
}
