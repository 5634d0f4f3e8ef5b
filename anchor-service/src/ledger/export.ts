import { MAX_BATCH_EVENTS, printBatch } from '@killick/sdk'
import type { Db } from './tiles.ts'

/**
 * Accepted batches in their wire form, from entry `from` on: up to `limit` of them and as many as hold 10,000 events
 * together, so that one answer stays bounded; at least one, unless `from` lies behind the end of the log.
 */
export async function exportBatches(db: Db, from: number, limit: number): Promise<string[]> {
  const { rows } = await db.query<{ header: string; tokens: string[] }>(
    // Where `first_event` was altered a batch has other events or none, which auditors must see; so no batch is left out for it.
    `with placed as (
       select log_index, header, n, least(first_event, 9007199254740991) as first_event,
              sum(n) over (order by log_index) as events
       from batches where log_index >= $1 and log_index < $1 + $2),
     wanted as (select * from placed where events <= $3 or log_index = $1)
     select header, coalesce(array_agg(jws || '~' || disclosures order by number) filter (where jws is not null), '{}') as tokens
     from wanted w left join events e on number >= first_event and number < first_event + n
     group by w.log_index, header order by w.log_index`,
    [from, limit, MAX_BATCH_EVENTS],
  )
  return rows.map(({ header, tokens }) => printBatch(header, tokens))
}
