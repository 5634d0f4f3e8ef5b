import { SYSTEM } from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import { termKey } from '../packs/event-keys.ts'

/**
 * Whether the log has, from one entry on and before another, anything other than the ledger's own events with one of these
 * actions.
 */
export async function hasNews(db: Db, actions: readonly string[], from: number, to: number): Promise<boolean> {
  const quiet = actions.map((action) => termKey('action', action))
  const { rows } = await db.query<{ news: boolean }>(
    `select exists (select from batches where log_index >= $1 and log_index < $2 and source <> $3)
         or exists (select from batches b join packs p
                      on p.first_event >= b.first_event and p.first_event < b.first_event + b.n
                    where b.log_index >= $1 and b.log_index < $2 and not exists (
                      select from pack_keys k, unnest($4::bytea[]) as key
                      where k.first_event = p.first_event and position(key in k.keys) > 0)) as news`,
    [from, to, SYSTEM.source, quiet],
  )
  return rows[0]!.news
}
