import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../config.ts'
import { startCluster } from '../database/embedded/cluster.ts'
import { migrate } from '../database/migrate.ts'
import { openPool } from '../database/pool.ts'
import { StartError } from '../errors.ts'
import { type Reindexed, reindex } from '../ledger/index/reindex.ts'

/**
 * `reindex`: makes the search keys and their index again from the packs. It may be stopped at any time and then continues from
 * there. Services go on beside it.
 *
 * @returns what to print
 * @throws StartError if the database user may not do this
 */
export async function reindexAll(config: Config): Promise<string> {
  const cluster = config.databaseUrl === null ? await startCluster(config.dataFolder) : null
  try {
    const databaseUrl = config.databaseUrl ?? (await cluster!.databaseUrl('killick'))
    await migrate(databaseUrl)
    // As the owner: the services' role may not delete.
    const pool = openPool(databaseUrl, false, 1)
    const progress = keepProgress(config)
    try {
      const from = await progress.read()
      const done = await reindex(pool, { from, passed: progress.write })
      await progress.forget()
      return describe(done, from)
    } catch (error) {
      if ((error as { code?: string }).code !== '42501') throw error
      throw new StartError(
        `The database user may not do this: ${(error as Error).message}. Run the command as the owner of the schema.`,
      )
    } finally {
      await pool.end()
    }
  } finally {
    await cluster?.close()
  }
}

/** The progress of an unfinished reindexing, in a file beside the heads. */
function keepProgress({ dataFolder, origin }: Config) {
  const file = join(dataFolder, 'reindex.json')
  return {
    async read(): Promise<number> {
      try {
        const kept = JSON.parse(await readFile(file, 'utf8'))
        return kept.origin === origin && Number.isSafeInteger(kept.events) && kept.events >= 0 ? kept.events : 0
      } catch {
        // Without the file, reindexing begins again.
        return 0
      }
    },
    async write(events: number): Promise<void> {
      await mkdir(dataFolder, { recursive: true })
      await writeFile(`${file}.new`, JSON.stringify({ origin, events }))
      await rename(`${file}.new`, file)
    },
    forget: () => rm(file, { force: true }),
  }
}

function describe({ events, packs, mended, added, dropped, runs, left }: Reindexed, from: number): string {
  const lines = [
    ...(from > 0
      ? [`It continued at event ${from}, where it had been stopped. To look at all events again, run it once more.`]
      : []),
    `The log has ${events} events; ${packs} packs were looked at.`,
    `Rows of keys: ${mended} mended, ${added} added, ${dropped} of older schemes dropped. Runs of the index: ${runs} mended.`,
    ...(left > 0 ? [`${left} packs have events that cannot be read; their keys were left as they are.`] : []),
    ...(mended + runs > 0
      ? ['Unless an accident explains this, somebody has altered the database; an audit shows what else.']
      : []),
  ]
  return `${lines.join('\n')}\n`
}
