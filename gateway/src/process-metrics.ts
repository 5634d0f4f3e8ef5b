import { collectDefaultMetrics, Registry } from 'prom-client'

let ofProcess: Registry | null = null

/**
 * Adds what is measured of this process: memory, CPU, the event loop, collections of garbage. What measures runs until the process
 * ends, a hundred times a second and at each collection, so there is one of it, however many gateways begin and end here.
 */
export function addProcessMetrics(registry: Registry): void {
  if (ofProcess === null) {
    ofProcess = new Registry()
    collectDefaultMetrics({ register: ofProcess })
  }
  for (const { name } of ofProcess.getMetricsAsArray()) registry.registerMetric(ofProcess.getSingleMetric(name)!)
}
