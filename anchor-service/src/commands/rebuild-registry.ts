import { join } from 'node:path'
import type { Config } from '../config.ts'
import { startCluster } from '../database/embedded/cluster.ts'
import { migrate } from '../database/migrate.ts'
import { type Db, openPool } from '../database/pool.ts'
import { Refusal, StartError } from '../errors.ts'
import { LOG_LOCK } from '../ledger/commit.ts'
import { openHeadMemory } from '../ledger/head-memory.ts'
import { type Rebuilt, rebuildRegistry } from '../ledger/rebuild.ts'
import { loadSigner } from '../ledger/signing-keys.ts'
import { logKey } from '../ledger/tree/checkpoints.ts'

/** How many faults are shown. */
const SHOWN = 20

/**
 * `rebuild-registry`: shows how the tables of sources and keys differ from the log. With `isSure` it makes them again from the
 * log, in one transaction; batches wait meanwhile.
 *
 * @returns what to print
 * @throws StartError if there is something to rebuild and `isSure` is false, or if the log itself is not whole; then nothing was
 * changed
 */
export async function rebuildFromLog(config: Config, isSure: boolean): Promise<string> {
  const cluster = config.databaseUrl === null ? await startCluster(config.dataFolder) : null
  try {
    const databaseUrl = config.databaseUrl ?? (await cluster!.databaseUrl('killick'))
    await migrate(databaseUrl)
    // As the owner: the services' role may neither delete nor disable the triggers that refuse deletes.
    const pool = openPool(databaseUrl, false, 1)
    try {
      return describe(await rebuild(pool, config, isSure), isSure)
    } finally {
      await pool.end()
    }
  } finally {
    await cluster?.close()
  }
}

async function rebuild(pool: ReturnType<typeof openPool>, config: Config, isSure: boolean): Promise<Rebuilt> {
  const log = logKey(config.origin, await loadSigner(config.logKeyFile))
  const system = await loadSigner(config.systemKeyFile)
  const client = await pool.connect()
  try {
    await client.query(`begin; select pg_advisory_xact_lock(${LOG_LOCK})`)
    await checkHead(client)
    const rebuilt = await rebuildRegistry(client, log, system, isSure)
    await client.query('commit')
    return rebuilt
  } catch (error) {
    await client.query('rollback').catch(() => {})
    if (error instanceof Refusal) throw new StartError(`${error.message}\nRestore the database from a backup.`)
    if ((error as { code?: string }).code !== '42501') throw error
    throw new StartError(
      `The database user may not do this: ${(error as Error).message}. Run the command as the owner of the schema.`,
    )
  } finally {
    client.release()
  }

  /** If the log has lost its end, a rebuild would lose what was registered there. */
  async function checkHead(db: Db): Promise<void> {
    const folder = join(config.dataFolder, 'heads')
    const memory = await openHeadMemory({ log, system, folder, now: Date.now })
    try {
      if ((await memory.look(db)) !== null)
        throw new StartError(
          'The log in the database does not continue what was signed (log_went_back). Decide about that first.',
        )
    } finally {
      await memory.close()
    }
  }
}

function describe({ sources, registrations, faults }: Rebuilt, isSure: boolean): string {
  const whole = `${registrations} registrations of ${sources} sources`
  if (faults.length === 0) return `The tables say what the log says: ${whole}. There is nothing to rebuild.\n`
  const shown = faults.slice(0, SHOWN).map((fault) => `  ${fault}`)
  if (faults.length > SHOWN) shown.push(`  and ${faults.length - SHOWN} more`)
  const found = `The tables do not say what the log says:\n${shown.join('\n')}\n`
  if (isSure) return `${found}\nThey were made again from the log: ${whole}.\n`
  throw new StartError(`${found}
Nothing was changed. Somebody has altered the database: keep a copy of it, as evidence. To make the tables again from the log:

    killick-anchor-service rebuild-registry --yes`)
}
