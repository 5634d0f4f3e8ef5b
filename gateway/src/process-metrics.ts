import { lostLogLines } from '@killick/sdk/core'
import { Counter, collectDefaultMetrics, Registry } from 'prom-client'

let ofProcess: Registry | null = null

/**
 * Adds what is measured of this process: memory, CPU, the event loop, collections of garbage, lines of its log that were lost. What measures runs until the process
 * ends, a hundred times a second and at each collection, so there is one of it, however many gateways begin and end here.
 */
export function addProcessMetrics(registry: Registry): void {
  if (ofProcess === null) {
    ofProcess = new Registry()
    collectDefaultMetrics({ register: ofProcess })
    new Counter({
      name: 'killick_lost_log_lines_total',
      help: 'Log lines that found no room, or no reader',
      registers: [ofProcess],
      collect() {
        this.reset()
        this.inc(lostLogLines())
      },
    })
  }
  for (const { name } of ofProcess.getMetricsAsArray()) registry.registerMetric(ofProcess.getSingleMetric(name)!)
}
