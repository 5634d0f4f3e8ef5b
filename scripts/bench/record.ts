// record(): from the call to the disk.
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { openAuditLog } from '@killick/sdk'
import { sampleEvent } from './events.ts'
import { signingRate } from './limits.ts'
import { against, type BenchPlan, type BenchRow, besideLimit, KEY } from './plan.ts'
import { medianRound } from './stats.ts'

export async function measureRecord(folder: string, { rounds, events }: BenchPlan): Promise<BenchRow[]> {
  const { rate, limit } = await medianRound(rounds, () =>
    besideLimit(() => recordRound(join(folder, `spool-${randomUUID()}`), events), signingRate),
  )
  return [against('record(): signed, chained, fsynced', rate, limit, 'Ed25519 signatures of one thread (node:crypto)')]
}

/** @param open of which checkout */
export async function recordRound(spool: string, events: number, open = openAuditLog): Promise<{ rate: number }> {
  // Nobody listens there: what is measured is the way to the disk, not the sending behind it.
  const log = await open({ url: 'http://127.0.0.1:9', source: 'bench', key: KEY, spool, onError: () => {} })
  const start = performance.now()
  let next = 0
  const worker = async () => {
    while (next < events) await log.record(sampleEvent(next++))
  }
  await Promise.all(Array.from({ length: 512 }, worker))
  const rate = (events * 1000) / (performance.now() - start)
  await log.close({ timeoutMs: 0 })
  return { rate }
}
