import { expect, test } from 'vitest'
import { makeMetrics } from '../../../anchor-service/src/http/metrics.ts'

test('services that begin in one process add nothing to what measures the process, and each tells of it', async () => {
  const [first, second] = [makeMetrics().registry, makeMetrics().registry]
  for (const name of ['nodejs_eventloop_lag_p99_seconds', 'nodejs_gc_duration_seconds']) {
    expect(first.getSingleMetric(name)).toBeDefined()
    expect(second.getSingleMetric(name)).toBe(first.getSingleMetric(name))
  }
  expect(second.getSingleMetric('killick_commit_seconds')).not.toBe(first.getSingleMetric('killick_commit_seconds'))
  for (const registry of [first, second])
    expect(await registry.metrics()).toMatch(/^process_cpu_seconds_total [\d.]+$[\s\S]*^nodejs_eventloop_lag_seconds /m)
})
