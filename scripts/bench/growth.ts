// Whether intake, proofs and the start stay what they are while the ledger grows.
import { RUN_EVENTS } from '../../anchor-service/src/ledger/index/runs.ts'
import { addBatch, type Load, makeLoads, newLoad, sampleEvent } from './events.ts'
import { type BenchPlan, type BenchRow, besideLimit, mebibytes, ms, newSource, perSecond, SIGNER } from './plan.ts'
import { measureProofs, proofRow } from './proofs.ts'
import { type Flow, hand, handIn, type Running, startService, TOKEN } from './service.ts'
import { medianRound } from './stats.ts'

const STREAMS = 8
const BATCH = 1000
/** Proofs that a round asks for at each size, of events drawn from all there are, each asked for once. */
const PROOFS = 2000

const KINDS = { signed: true, unsigned: false } as const
type Kind = keyof typeof KINDS
const KIND_NAMES = Object.keys(KINDS) as Kind[]

/**
 * Intake again and again while the ledger grows, by unsigned events, because making them takes less time. Minutes lie between
 * the sizes, and a shared machine is not equally fast all the time; so each rate is taken as a share of what the cores verified
 * just then, and the shares are compared. Signed events are what a source sends by default; of what an unsigned one costs, a
 * third is PostgreSQL's instead of a tenth, so that it shows first what gets slower there.
 *
 * @param withIntake false: proofs alone
 */
export async function measureGrowth(folder: string, plan: BenchPlan, withIntake = true): Promise<BenchRow[]> {
  const rows: BenchRow[] = []
  let service = await startService(folder)
  const ledger: Ledger = { loads: [], events: 0, ids: [] }
  const first: Partial<Record<Kind, Share>> = {}
  let firstProofs: number | undefined
  const least = plan.growth[0]!.toLocaleString('en')
  // With that which warms up.
  const rounds = plan.rounds + 1
  const kept = Math.min(BATCH, Math.ceil((rounds * PROOFS * BATCH) / plan.growth[0]!))
  for (const target of plan.growth) {
    await growTo(service, ledger, target, kept)
    const flows: Partial<Record<Kind, Share>> = {}
    if (withIntake) for (const kind of KIND_NAMES) flows[kind] = await measure(service, plan, kind)
    await indexed(service)
    const drawn = draw(ledger.ids, rounds)
    const { url } = service
    const proofs = await medianRound(plan.rounds, () => measureProofs(url, drawn.pop()!))
    const memory = await service.memory()
    await service.child.stop()
    service = await startService(folder)
    const events = target.toLocaleString('en')
    for (const kind of KIND_NAMES) {
      const flow = flows[kind]
      if (flow === undefined) continue
      first[kind] ??= flow
      const { rate, share } = first[kind]
      const more = kind === 'signed' ? `, memory ${mebibytes(memory)}, ready in ${ms(service.readyMs)}` : ''
      rows.push({
        what: `intake with ${events} events in the ledger, ${kind}, ${STREAMS} streams × ${BATCH}`,
        figure: `${perSecond(flow.rate)}, ${flow.share.toFixed(2)} of the verifications just then, p99 ${ms(flow.p99)}${more}`,
        beside: `${perSecond(rate)}, ${share.toFixed(2)} of them, with ${least} (target: 0.85)`,
        ratio: flow.share / share,
      })
    }
    firstProofs ??= proofs.rate
    const beside = `; ${perSecond(firstProofs)} with ${least}`
    rows.push(proofRow(`proofs with ${events} events in the ledger, eight requests at a time`, proofs, beside))
  }
  await service.child.stop()
  return rows
}

/** `share`: of the rate at which the cores verified just before and after. */
type Share = Flow & { share: number }

async function measure(service: Running, plan: BenchPlan, kind: Kind): Promise<Share> {
  const size = { streams: STREAMS, batches: Math.max(1, Math.round(plan.events / STREAMS / BATCH)), events: BATCH }
  return medianRound(plan.rounds, async () => {
    const source = await newSource(service.url, KINDS[kind] ? 'required' : 'optional')
    const loads = await makeLoads(source, SIGNER, size, KINDS[kind])
    const { limit, ...flow } = await besideLimit(() => handIn([service.url], loads))
    return { ...flow, share: flow.rate / limit }
  })
}

/** What has been handed in for the ledger to grow by. */
type Ledger = { loads: Load[]; events: number; ids: string[] }

/** @param kept of how many events of each batch the id is kept */
async function growTo(service: Running, ledger: Ledger, target: number, kept: number): Promise<void> {
  if (ledger.loads.length === 0) {
    const source = await newSource(service.url, 'optional')
    ledger.loads = Array.from({ length: STREAMS }, () => newLoad(source))
  }
  const handed = new Map<Load, Promise<unknown>>()
  for (let i = 0; ledger.events < target; i++) {
    const load = ledger.loads[i % STREAMS]!
    const samples = Array.from({ length: BATCH }, (_, k) => ({
      input: sampleEvent(ledger.events + k),
      time: Date.now(),
    }))
    await handed.get(load)
    await addBatch(load, SIGNER, samples, false)
    const [batch] = load.batches.splice(0)
    handed.set(load, hand(service.url, batch!.body))
    ledger.events += BATCH
    const step = Math.floor(BATCH / kept)
    for (let k = 0; k < kept; k++) ledger.ids.push(batch!.ids[(i + k * step) % BATCH]!)
  }
  await Promise.all(handed.values())
}

/** Until the index is as far as it will be: it is made behind the commits, on the same cores. */
async function indexed({ url }: Running): Promise<void> {
  const headers = { authorization: `Bearer ${TOKEN}` }
  for (let isBehind = true; isBehind; ) {
    const text = await (await fetch(`${url}/metrics`, { headers })).text()
    isBehind = Number(/^killick_unindexed_events (\d+)/m.exec(text)![1]) >= RUN_EVENTS[0]
    if (isBehind) await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** PROOFS for each round, from everywhere. @param ids in the ledger's order */
function draw(ids: readonly string[], rounds: number): string[][] {
  const step = ids.length / (rounds * PROOFS)
  const nth = (i: number) => ids[Math.floor(i * step)]!
  return Array.from({ length: rounds }, (_, round) => Array.from({ length: PROOFS }, (_, i) => nth(i * rounds + round)))
}
