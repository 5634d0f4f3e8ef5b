// The application kit: what a request costs beyond record() itself.
import { type Audit, auditContext, createAudit, diff, type EventSink, STANDARD_RULES } from '@killick/sdk/kit'
import { sampleEvent } from './events.ts'
import type { BenchPlan, BenchRow } from './plan.ts'
import { median } from './stats.ts'

const ALLOWED_US = 30

// Keeps nothing, so that what is left is the kit's own work.
const sink: EventSink = { record: async () => ({ id: '', leafHash: '', seq: 0 }) }

const BEFORE = {
  status: 'open',
  total: 4200,
  customer: { id: 'c-17', name: 'Ada Lovelace' },
  lines: Array.from({ length: 8 }, (_, i) => ({ sku: `A-${i}`, n: i })),
}
const AFTER = {
  ...BEFORE,
  status: 'approved',
  lines: BEFORE.lines.map((line) => (line.n === 3 ? { ...line, n: 4 } : line)),
}

/** µs of CPU that one call takes: the median of rounds, each against `than` by turns, after one to warm up. */
async function costOf(rounds: number, calls: number, call: Call, than: Call): Promise<number> {
  const round = async (one: Call) => {
    const start = process.cpuUsage()
    for (let i = 0; i < calls; i++) await one(i)
    const { user, system } = process.cpuUsage(start)
    return (user + system) / calls
  }
  const costs: number[] = []
  for (let i = 0; i <= rounds; i++) costs.push((await round(call)) - (await round(than)))
  return median(costs.slice(1))
}

type Call = (i: number) => unknown

const bare: Call = (i) => sink.record(sampleEvent(i))
const nothing: Call = () => {}

const wrapped =
  (audit: Audit): Call =>
  (i) => {
    const { action, actor, targets, context, changes } = sampleEvent(i)
    const { ip, requestId } = context as { ip: string; requestId: string }
    return auditContext.run({ actor, ip, requestId }, () =>
      audit.withAudit({ action, targets }, async (entry) => entry.set({ changes })),
    )
  }

export async function measureKit({ rounds, events }: BenchPlan): Promise<BenchRow[]> {
  const cost = (call: Call, than: Call) => costOf(Math.max(rounds, 3), Math.ceil(events / 4), call, than)
  const us = (value: number) => `${value.toFixed(1)} µs of CPU`
  const request = async (what: string, audit: Audit): Promise<BenchRow> => {
    const beyond = await cost(wrapped(audit), bare)
    return {
      what: `application kit: a request beyond record(), ${what}`,
      figure: us(beyond),
      beside: `${ALLOWED_US} µs that it may cost`,
      ratio: ALLOWED_US / beyond,
    }
  }
  const rows = [
    await request('context and wrapper', createAudit(sink)),
    await request('context, wrapper and redaction', createAudit(sink, { redact: STANDARD_RULES })),
  ]
  const own = await cost(() => diff(BEFORE, AFTER, { keys: { '/lines': 'sku' }, redact: STANDARD_RULES }), nothing)
  const plain = await cost(() => JSON.stringify([BEFORE, AFTER]), nothing)
  const beside = `${us(plain)}, both whole, as JSON`
  return [...rows, { what: 'application kit: diff() of twice 20 values', figure: us(own), beside, ratio: plain / own }]
}
