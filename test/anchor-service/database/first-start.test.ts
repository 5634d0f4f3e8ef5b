import { mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { expect, test } from 'vitest'
import { leaveClusters, startCluster } from '../../../anchor-service/src/database/embedded/cluster.ts'
import { cutLog } from '../../../anchor-service/src/database/embedded/server.ts'
import { lockFile } from '../../../anchor-service/src/file-lock.ts'

test('two processes may start at once on a data folder that has no cluster yet, and its log is cut', async () => {
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

    // The log of the server is cut while it runs: it goes on at the start of the file, and the end of before is beside it.
    const log = join(folder, 'postgres/server.log')
    const before = await readFile(log, 'utf8')
    await cutLog(join(folder, 'postgres'))
    expect(await readFile(log, 'utf8')).toBe(before)
    await truncate(log, 17 << 20)
    const complain = () => new pg.Client(url!.replace(/:\w+@/, ':wrong@')).connect().catch(() => {})
    await complain()
    await cutLog(join(folder, 'postgres'))
    expect((await stat(log)).size).toBe(0)
    expect(await readFile(`${log}.1`, 'latin1')).toMatch(/^\0[\s\S]*password authentication failed/)
    expect(await stat(`${log}.1`)).toMatchObject({
      size: 1 << 20,
      uid: (await stat(log)).uid,
      mode: (await stat(log)).mode,
    })
    await complain()
    expect(await readFile(log, 'utf8')).toMatch(/^\d{4}-.*password authentication failed/)

    // Whoever comes while the last one leaves, and ends the server, has one all the same.
    await clusters.pop()!.close()
    const leaving = clusters.pop()!.close()
    const next = await startCluster(folder)
    clusters.push(next)
    await leaving
    const late = new pg.Client({ connectionString: await next.databaseUrl('killick') })
    await late.connect()
    await late.end()

    // A start that does not come to write its log is told in its own words, and not in those of the one before.
    await clusters.pop()!.close()
    await writeFile(join(folder, 'postgres/postmaster.pid'), 'torn\n')
    await expect(startCluster(folder)).rejects.toThrow(/words:\npg_ctl: invalid data in PID file/)
  } finally {
    for (const cluster of clusters) await cluster.close()
    await rm(folder, { recursive: true, force: true })
  }
})

test('a process that hangs while it makes the cluster is not waited for without end', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'killick-first-start-'))
  const release = lockFile(join(folder, 'postgres.lock'))!
  await expect(startCluster(folder, {}, 50)).rejects.toThrow(
    `Another process has been making the PostgreSQL of ${folder} for more than 0.05 s.`,
  )
  // Nor does it keep a start that a signal ends.
  const waiting = startCluster(folder)
  await Promise.all([expect(waiting).rejects.toThrow('aborted'), leaveClusters()])
  release()
  await rm(folder, { recursive: true })
})
