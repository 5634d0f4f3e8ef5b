import { MAX_BATCH_EVENTS, printBatch } from '@killick/sdk'
import type { Db } from './tiles.ts'

/**
 * Accepted batches in their wire form, from entry `from` on: up to `limit` of them and as many as hold 10,000 events
 * together, so that one answer stays bounded; at least one, unless `from` lies behind the end of the log.
 */
export async function exportBatches(db: Db, from: number, limit: number): Promise<string[]> {
  const { rows } = await db.query<{ header: string; tokens: string[] }>(
    `with wanted as (
       select log_index, header from
         (select log_index, header, sum(n) over (order by log_index) as events
          from batches where log_index >= $1 and log_index < $1 + $2) b
       where events <= $3)
     select header, array_agg(e.jws || '~' || d.disclosures order by pos) as tokens
     from wanted join events e using (log_index) join details d using (log_index, pos)
     group by log_index, header order by log_index`,
    [from, limit, MAX_BATCH_EVENTS],
  )
  return rows.map(({ header, tokens }) => printBatch(header, tokens))
}
