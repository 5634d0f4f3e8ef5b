import { queryAsOwner } from '../../../support/postgres.ts'

/** What is left of BullMQ's tables when they come back empty; its own note of their version stays. */
export async function forgetQueue(databaseUrl: string): Promise<void> {
  const tables = await queryAsOwner<{ name: string }>(
    databaseUrl,
    `select quote_ident(tablename) as name from pg_tables where schemaname = 'killick_queue' and tablename not like '%migration%'`,
  )
  for (const { name } of tables) await queryAsOwner(databaseUrl, `delete from killick_queue.${name}`)
}
