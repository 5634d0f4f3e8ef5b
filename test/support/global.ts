import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { startCluster } from '../../anchor-service/src/database/embedded/cluster.ts'
import { migrate } from '../../anchor-service/src/database/migrate.ts'
import { endClustersOnExit } from '../../scripts/lib/clusters.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** URL of a database of the cluster that all test files of a run share. */
    postgres: string
    /** A folder of this run, removed after it. */
    folder: string
  }
}

/** One real PostgreSQL per run; each test file makes databases of its own in it: empty ones, or copies of `migrated`. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'killick-test-'))
  // A run that is interrupted tears nothing down.
  endClustersOnExit(folder)
  const cluster = await startCluster(folder)
  await migrate(await cluster.databaseUrl('migrated'))
  const url = await cluster.databaseUrl('postgres')
  await hurry(url)
  project.provide('postgres', url)
  project.provide('folder', folder)
  return async () => {
    await cluster.close()
    await rm(folder, { recursive: true, force: true })
  }
}

/**
 * A password that is worth guessing is hashed 4,096 times, by both sides, for each of the thousands of connections of a run. Nothing
 * waits for the disk, or is written twice for a crash: nothing kills this server, and those that tests kill are others. And databases
 * of files that have ended are left alone, where autovacuum would look through each of hundreds every minute.
 */
async function hurry(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const { username, password } = new URL(url)
  await client.query(`set scram_iterations = 1; alter role ${username} password '${password}'`)
  const settings = ['synchronous_commit = off', 'fsync = off', 'full_page_writes = off', "autovacuum_naptime = '1h'"]
  for (const setting of settings) await client.query(`alter system set ${setting}`)
  await client.query('select pg_reload_conf()')
  await client.end()
}
