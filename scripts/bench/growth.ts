// Whether intake stays what it is while the ledger grows.
import { makeLoads } from './events.ts'
import { verifyingRate } from './limits.ts'
import { mebibytes, ms, newSource, type Plan, perSecond, type Row, SIGNER } from './measure.ts'
import { handIn, type Running, startService } from './service.ts'
import { medianRound } from './stats.ts'

/**
 * Intake again and again while the ledger grows; unsigned events, because making them takes less time. Minutes lie between the
 * sizes, and a shared machine is not equally fast all the time; so each rate is taken as a share of what the cores verified
 * just then, and the shares are compared.
 */
export async function measureGrowth(folder: string, plan: Plan): Promise<Row[]> {
  const rows: Row[] = []
  let service = await startService(folder)
  let first: { rate: number; share: number } | undefined
  let size = 0
  for (const target of plan.growth) {
    for (; size < target; size += 8000) await grow(service)
    const samples = { streams: 8, batches: Math.max(1, Math.round(plan.events / 8000)), events: 1000 }
    const flow = await medianRound(plan.rounds, async () => {
      const loads = await makeLoads(await newSource(service.url, 'optional'), SIGNER, samples, false)
      const limit = await verifyingRate(500)
      const flow = await handIn([service.url], loads)
      return { ...flow, share: (2 * flow.rate) / (limit + (await verifyingRate(500))) }
    })
    size += plan.rounds * samples.batches * 8000
    const memory = await service.memory()
    await service.child.stop()
    service = await startService(folder)
    first ??= flow
    const more = `, p99 ${ms(flow.p99)}, memory ${mebibytes(memory)}, ready in ${ms(service.readyMs)}`
    const what = `intake with ${target.toLocaleString('en')} events in the ledger, unsigned`
    rows.push({
      what,
      figure: `${perSecond(flow.rate)}, ${flow.share.toFixed(2)} of the verifications just then${more}`,
      beside: `${perSecond(first.rate)}, ${first.share.toFixed(2)} of them, with ${plan.growth[0]!.toLocaleString('en')}`,
      ratio: flow.share / first.share,
    })
  }
  await service.child.stop()
  return rows
}

async function grow(service: Running): Promise<void> {
  const source = await newSource(service.url, 'optional')
  await handIn([service.url], await makeLoads(source, SIGNER, { streams: 8, batches: 1, events: 1000 }, false))
}
