import { join } from 'node:path'
import type pg from 'pg'
import type { Config } from './config.ts'
import { type ClusterHooks, startCluster } from './database/embedded/cluster.ts'
import { migrate } from './database/migrate.ts'
import { openPool } from './database/pool.ts'
import { type Ledger, type LedgerHooks, openLedger } from './ledger/ledger.ts'
import { type HeldLog, loadSigner } from './ledger/signing-keys.ts'

/** An open ledger with the database under it. */
export type Store = {
  ledger: Ledger
  pool: pg.Pool
  databaseUrl: string
  /** False where the database user could not make the role that may only select and insert. */
  hasRole: boolean
  /** Drains the ledger, then closes the connections, then leaves the embedded PostgreSQL. */
  close(): Promise<void>
}

/** How often the head is looked at, beside each commit. ms */
const WATCH_MS = 1_000

/** Starts or reaches the database, migrates it and opens the ledger. @throws StartError */
export async function openStore(config: Config, hooks: LedgerHooks & ClusterHooks = {}): Promise<Store> {
  const cluster = config.databaseUrl === null ? await startCluster(config.dataFolder, hooks) : null
  let pool: pg.Pool | undefined
  try {
    const databaseUrl = config.databaseUrl ?? (await cluster!.databaseUrl('killick'))
    const { hasRole } = await migrate(databaseUrl)
    pool = openPool(databaseUrl, hasRole)
    const { rows } = await pool.query<HeldLog>('select origin, vkey from ledger')
    const logSigner = await loadSigner(config.logKeyFile, rows[0])
    const systemSigner = await loadSigner(config.systemKeyFile, rows[0])
    const ledger = await openLedger({
      ...{ pool, origin: config.origin, logSigner, systemSigner, hooks },
      headFolder: join(config.dataFolder, 'heads'),
    })
    const opened = pool
    // What other processes sign is soon known here too, and what somebody cuts off is soon missed.
    const watch = setInterval(() => void ledger.checkHead().catch(() => {}), WATCH_MS)
    return {
      ledger,
      pool: opened,
      databaseUrl,
      hasRole,
      async close() {
        clearInterval(watch)
        await ledger.close()
        await opened.end()
        await cluster?.close()
      },
    }
  } catch (error) {
    await pool?.end()
    await cluster?.close()
    throw error
  }
}
