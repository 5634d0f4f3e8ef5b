import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { findBinaries, run, whoRuns } from '../../anchor-service/src/database/embedded/process.ts'
import { makeCluster, USER } from '../../anchor-service/src/database/embedded/server.ts'
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

/** What may be said to the tests; all else that somebody has set for their own psql, or for a service, is nothing to them. */
const MEANT = new Set(['KILLICK_UPDATE', 'KILLICK_NO_MOUNTS', 'KILLICK_MCP_ALL'])

/** One real PostgreSQL per run; each test file makes databases of its own in it: empty ones, or copies of `migrated`. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  for (const name of Object.keys(process.env))
    if (/^(PG|KILLICK_)[A-Z]/.test(name) && !MEANT.has(name)) delete process.env[name]
  const folder = await mkdtemp(join(tmpdir(), 'killick-test-'))
  // A run that is interrupted tears nothing down.
  endClustersOnExit(folder)
  const { url, stop } = await startHastily(folder)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  // A password that is worth guessing is hashed 4,096 times, by both sides, for each of the thousands of connections of a run.
  const { username, password } = new URL(url)
  await client.query(`set scram_iterations = 1; alter role ${username} password '${password}'`)
  await client.query('create database migrated')
  await client.end()
  await migrate(url.replace(/postgres$/, 'migrated'))
  project.provide('postgres', url)
  project.provide('folder', folder)
  return async () => {
    await stop()
    await rm(folder, { recursive: true, force: true })
  }
}

/**
 * The cluster that a service would make, on a server that is in a hurry. Nothing waits for the disk, is written twice for a crash,
 * or is written out before there is no more room: nothing kills this server, and those that tests kill are others. Databases of files
 * that have ended are left alone, where autovacuum would look through each of hundreds every minute. It is told so as it starts: what a service tells its server then
 * (that it must wait for the disk) is stronger than any setting that is made later.
 */
async function startHastily(folder: string): Promise<{ url: string; stop: () => Promise<void> }> {
  const data = join(folder, 'postgres')
  const binaries = await findBinaries()
  const runAs = await whoRuns([data, binaries.postgres])
  const { port, password } = await makeCluster({ folder, data, binaries, runAs })
  const settings = [
    ...['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'shared_buffers=128MB', 'max_wal_size=2GB'],
    ...['fsync=off', 'synchronous_commit=off', 'full_page_writes=off'],
    ...['autovacuum_naptime=1h', 'checkpoint_timeout=1h', 'bgwriter_lru_maxpages=0'],
  ]
  const options = [`-p ${port}`, ...settings.map((setting) => `-c ${setting}`)].join(' ')
  const log = join(data, 'server.log')
  const { code, out } = await run(binaries.pg_ctl, ['start', '-D', data, '-l', log, '-w', '-o', options], runAs)
  if (code !== 0) throw new Error(`The PostgreSQL of the tests does not start: ${out}`)
  return {
    url: `postgres://${USER}:${password}@127.0.0.1:${port}/postgres`,
    // What it holds is thrown away, so nothing of it need reach the disk.
    stop: async () => {
      await run(binaries.pg_ctl, ['stop', '-D', data, '-m', 'immediate', '-w'], runAs)
    },
  }
}
