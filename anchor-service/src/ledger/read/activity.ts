import { SYSTEM } from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import { termKey } from '../packs/event-keys.ts'

/**
 * Does the log hold, from one entry on and before another, anything but what the ledger records of itself under one of these
 * actions?
 */
export async function hasNews(db: Db, actions: readonly string[], from: number, to: number): Promise<boolean> {
  const quiet = actions.map((action) => termKey('action', action))
  const { rows } = await db.query<{ news: boolean }>(
    `select exists (select from batches where log_index >= $1 and log_index < $2 and source <> $3)
         or exists (select from packs where first_event >= (select first_event from batches where log_index = $1)
                      and log_index < $2 and substr(keys, 1, 8) = $4
                      and not exists (select from unnest($5::bytea[]) as key where position(key in keys) > 0)) as news`,
    [from, to, SYSTEM.source, termKey('source', SYSTEM.source), quiet],
  )
  return rows[0]!.news
}
