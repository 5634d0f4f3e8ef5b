import { Counter, Gauge, type Registry } from 'prom-client'
import type { BundleJob } from './job.ts'

/** What bundles tell Prometheus. @param jobs all that there are now */
export function makeBundleMetrics(registry: Registry, jobs: () => readonly BundleJob[]) {
  const registers = [registry]
  const inState = (state: BundleJob['state']) => jobs().filter((job) => job.state === state).length
  new Gauge({
    name: 'killick_bundles_waiting',
    help: 'Bundles that wait to be made',
    registers,
    collect() {
      this.set(inState('waiting'))
    },
  })
  new Gauge({
    name: 'killick_bundles_running',
    help: '1 while a bundle is being made',
    registers,
    collect() {
      this.set(inState('running'))
    },
  })
  new Gauge({
    name: 'killick_bundles_bytes',
    help: 'Bytes of bundles in the data folder',
    registers,
    collect() {
      this.set(jobs().reduce((sum, { bytes }) => sum + bytes, 0))
    },
  })
  const ended = new Counter({
    name: 'killick_bundles_total',
    help: 'Bundles that were made (done), or could not be (failed)',
    labelNames: ['outcome'],
    registers,
  })
  for (const outcome of ['done', 'failed']) ended.inc({ outcome }, 0)
  return { ended: (outcome: 'done' | 'failed') => ended.inc({ outcome }) }
}
