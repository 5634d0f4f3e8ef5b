// Erasures: how long one about a thousand events takes that are spread over a long ledger, and what intake keeps of its rate beside it.
import { mkdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeLoads } from './events.ts'
import { fillLedger } from './fill.ts'
import { type BenchPlan, type BenchRow, newSource, perSecond, SIGNER } from './plan.ts'
import { handIn, startService, TOKEN } from './service.ts'
import { median } from './stats.ts'

const ERASED = 1000
const STREAMS = 8
const BATCH = 1000
/** What is asked for: at most so many seconds, beside intake at so much of its own rate. */
const MOST_SECONDS = 30
const LEAST_INTAKE = 0.8

export async function measureErasure(folder: string, { growth, rounds, events }: BenchPlan): Promise<BenchRow[]> {
  await mkdir(folder, { recursive: true })
  const eraser = `${TOKEN}-eraser`
  const service = await startService(folder, { KILLICK_ERASER_TOKEN: eraser })
  try {
    const size = growth.at(-1)!
    const { ids } = await fillLedger(service.url, size, ERASED * rounds)
    const source = await newSource(service.url)
    const loads = () =>
      makeLoads(source, SIGNER, { streams: STREAMS, batches: Math.ceil(events / STREAMS / BATCH), events: BATCH })
    const seconds: number[] = []
    const kept: number[] = []
    const rates: number[] = []
    for (let round = 0; round < rounds; round++) {
      const [before, beside, after] = [await loads(), await loads(), await loads()]
      const alone = (await handIn([service.url], before)).rate
      const started = performance.now()
      const id = await order(service.url, eraser, ids.slice(ERASED * round, ERASED * (round + 1)))
      const { rate } = await handIn([service.url], beside)
      while (!(await isDone(service.url, id))) await sleep(50)
      seconds.push((performance.now() - started) / 1000)
      rates.push(rate)
      kept.push(rate / ((alone + (await handIn([service.url], after)).rate) / 2))
    }
    const what = `${ERASED.toLocaleString('en')} events, spread over ${size.toLocaleString('en')}`
    return [
      {
        what: `erasure of two fields of ${what}, until it is carried out`,
        figure: `${median(seconds).toFixed(1)} s`,
        beside: `intake (target: ${MOST_SECONDS} s)`,
      },
      {
        what: 'intake of signed events beside that erasure',
        figure: perSecond(median(rates)),
        beside: `intake alone, before and after (target: ${LEAST_INTAKE})`,
        ratio: median(kept),
      },
    ]
  } finally {
    await service.child.stop()
  }
}

async function order(url: string, token: string, ids: readonly string[]): Promise<string> {
  const response = await fetch(`${url}/v1/erasures`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ ids, fields: ['actor', 'targets'], reason: 'a measurement' }),
  })
  if (!response.ok) throw new Error(`an erasure was refused: ${await response.text()}`)
  return ((await response.json()) as { id: string }).id
}

async function isDone(url: string, id: string): Promise<boolean> {
  const response = await fetch(`${url}/v1/erasures/${id}`, { headers: { authorization: `Bearer ${TOKEN}` } })
  return ((await response.json()) as { state: string }).state === 'done'
}
