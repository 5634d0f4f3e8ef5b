import { Counter, Gauge, type Registry } from 'prom-client'
import { ALARM_CODES, Alarm } from './alarms.ts'
import type { Sighting } from './chain/chain.ts'
import type { Funds } from './funds.ts'
import type { Visit } from './worker.ts'

export type AnchorMetrics = ReturnType<typeof makeAnchorMetrics>

/** What anchoring tells Prometheus. */
export function makeAnchorMetrics(registry: Registry) {
  const registers = [registry]
  const states = new Counter({
    name: 'killick_anchor_states_total',
    help: 'States that anchors have entered',
    labelNames: ['target', 'state'],
    registers,
  })
  const alarms = new Gauge({
    name: 'killick_anchor_alarm',
    help: '1 while nothing is anchored to the target for the reason `code`',
    labelNames: ['target', 'code'],
    registers,
  })
  const gas = new Counter({
    name: 'killick_anchor_gas_total',
    help: 'Gas that mined anchors have used',
    labelNames: ['target'],
    registers,
  })
  const balance = new Gauge({
    name: 'killick_anchor_balance_wei',
    help: 'Balance of the publisher',
    labelNames: ['target'],
    registers,
  })
  const affordable = new Gauge({
    name: 'killick_anchor_affordable',
    help: 'Anchors that the balance pays for at the current gas price',
    labelNames: ['target'],
    registers,
  })
  const fees = new Counter({
    name: 'killick_anchor_fees_wei_total',
    help: 'Fees that mined anchors have paid',
    labelNames: ['target'],
    registers,
  })
  return {
    funds(target: string, funds: Funds) {
      balance.set({ target }, Number(funds.balance))
      affordable.set({ target }, funds.anchors)
    },
    moved: (target: string) => (state: string, sighting?: Sighting) => {
      states.inc({ target, state })
      if (state !== 'mined' || !sighting) return
      gas.inc({ target }, sighting.gasUsed)
      fees.inc({ target }, sighting.gasUsed * Number(sighting.gasPrice))
    },
    ended(target: string, visit: Visit | Alarm) {
      const raised = visit instanceof Alarm ? visit.code : null
      for (const code of Object.keys(ALARM_CODES)) alarms.set({ target, code }, code === raised ? 1 : 0)
    },
  }
}
