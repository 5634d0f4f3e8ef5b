import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { startCluster } from '../../anchor-service/src/database/embedded/cluster.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** URL of a database of the cluster that all test files of a run share. */
    postgres: string
  }
}

/** One real PostgreSQL per run; each test file makes databases of its own in it. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'killick-test-'))
  const cluster = await startCluster(folder)
  project.provide('postgres', await cluster.databaseUrl('postgres'))
  return async () => {
    await cluster.close()
    await rm(folder, { recursive: true, force: true })
  }
}
