import { Counter, Gauge, type Registry } from 'prom-client'
import { ALARM_CODES, Alarm } from './alarms.ts'
import type { Sighting } from './chain/index.ts'
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
  return {
    moved: (target: string) => (state: string, sighting?: Sighting) => {
      states.inc({ target, state })
      if (state === 'mined' && sighting) gas.inc({ target }, sighting.gasUsed)
    },
    ended(target: string, visit: Visit | Alarm) {
      const raised = visit instanceof Alarm ? visit.code : null
      for (const code of Object.keys(ALARM_CODES)) alarms.set({ target, code }, code === raised ? 1 : 0)
    },
  }
}
