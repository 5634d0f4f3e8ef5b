import { printBatch } from '@killick/sdk'
import type { Db } from './tiles.ts'

/**
 * Accepted batches in their wire form, from entry `from` on: as many as fit `maxEvents`, at least one; none past the end
 * of the log. The header says how many lines follow it, so batches can stand one after another.
 */
export async function exportBatches(db: Db, from: number, maxEvents: number): Promise<string[]> {
  const { rows } = await db.query<{ header: string; tokens: string[] }>(
    `with wanted as (
       select log_index, header from
         (select log_index, header, n, sum(n) over (order by log_index) as events
          from batches where log_index >= $1 and log_index < $1 + $2) b
       where events <= $2 or log_index = $1)
     select header, array_agg(e.jws || '~' || d.disclosures order by pos) as tokens
     from wanted join events e using (log_index) join details d using (log_index, pos)
     group by log_index, header order by log_index`,
    [from, maxEvents],
  )
  return rows.map(({ header, tokens }) => printBatch(header, tokens))
}
