import { MAX_BATCH_EVENTS, printBatch } from '@killick/sdk'
import type { Db } from './tiles.ts'

/**
 * Accepted batches in their wire form, from entry `from` on: up to `limit` of them and as many as hold 10,000 events
 * together, so that one answer stays bounded; at least one, unless `from` lies behind the end of the log.
 */
export async function exportBatches(db: Db, from: number, limit: number): Promise<string[]> {
  const { rows } = await db.query<{ header: string; tokens: string[] }>(
    `with wanted as (
       select log_index, header, n, first_event from batches
       where log_index >= $1 and log_index < $1 + $2
         and first_event + n <= (select first_event from batches where log_index = $1) + $3)
     select header, array_agg(jws || '~' || disclosures order by number) as tokens
     from wanted w join events e on number >= first_event and number < first_event + n
     group by w.log_index, header order by w.log_index`,
    [from, limit, MAX_BATCH_EVENTS],
  )
  return rows.map(({ header, tokens }) => printBatch(header, tokens))
}
