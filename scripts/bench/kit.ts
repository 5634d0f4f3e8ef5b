// The application kit: what a request costs beyond record() itself.
import {
  type Audit,
  auditContext,
  createAudit,
  diff,
  type EventSink,
  type RedactionRules,
  STANDARD_RULES,
} from '@killick/sdk/kit'
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

/** µs of one request beyond handing the same event to `record()`: the median of rounds of `requests`, after one to warm up. */
async function costOf(rounds: number, requests: number, request: (i: number) => Promise<unknown>): Promise<number> {
  const round = async (one: (i: number) => Promise<unknown>) => {
    const start = performance.now()
    for (let i = 0; i < requests; i++) await one(i)
    return (1000 * (performance.now() - start)) / requests
  }
  const bare = (i: number) => sink.record(sampleEvent(i))
  const costs: number[] = []
  for (let i = 0; i <= rounds; i++) costs.push((await round(request)) - (await round(bare)))
  return median(costs.slice(1))
}

const wrapped = (audit: Audit) => (i: number) => {
  const { action, actor, targets, context, changes } = sampleEvent(i)
  const { ip, requestId } = context as { ip: string; requestId: string }
  return auditContext.run({ actor, ip, requestId }, () =>
    audit.withAudit({ action, targets }, async (entry) => entry.set({ changes })),
  )
}

export async function measureKit({ rounds, events }: BenchPlan): Promise<BenchRow[]> {
  const row = async (what: string, request: (i: number) => Promise<unknown>): Promise<BenchRow> => {
    const cost = await costOf(Math.max(rounds, 3), Math.ceil(events / 4), request)
    return {
      what: `application kit, a request beyond record(): ${what}`,
      figure: `${cost.toFixed(1)} µs`,
      beside: `${ALLOWED_US} µs that it may cost`,
      ratio: ALLOWED_US / cost,
    }
  }
  const redacting = createAudit(sink, { redact: STANDARD_RULES as RedactionRules })
  return [
    await row('context, wrapper', wrapped(createAudit(sink))),
    await row('context, wrapper, standard redaction', wrapped(redacting)),
    await row('all that and a diff of 30 values', (i) => {
      const changes = diff(BEFORE, AFTER, { keys: { '/lines': 'sku' }, redact: STANDARD_RULES })
      return wrapped(redacting)(i + changes.length)
    }),
  ]
}
