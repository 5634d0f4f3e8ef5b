import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { expect, test } from 'vitest'
import { startCluster } from '../../../anchor-service/src/database/embedded/cluster.ts'

test('two processes may start at once on a data folder that has no cluster yet', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'killick-first-start-'))
  const starts = await Promise.allSettled([startCluster(folder), startCluster(folder)])
  const clusters = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []))
  try {
    expect(starts.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled'])
    const [url, other] = await Promise.all(clusters.map((cluster) => cluster.databaseUrl('killick')))
    expect(url).toBe(other)
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    await client.end()
  } finally {
    for (const cluster of clusters) await cluster.close()
    await rm(folder, { recursive: true, force: true })
  }
})
