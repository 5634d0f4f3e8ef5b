import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { addProcessMetrics } from '../process-metrics.ts'
import { canRecord, type RecorderStatus } from '../sessions/recorder.ts'

/** The proxy's own registry, and what it counts. */
export function makeHttpMetrics(status: () => Promise<RecorderStatus>, open: () => number) {
  const registry = new Registry()
  const registers = [registry]
  addProcessMetrics(registry)
  const gauge = (name: string, help: string, read: () => number | Promise<number>) =>
    new Gauge({
      name,
      help,
      registers,
      async collect() {
        this.set(await read())
      },
    })
  gauge('killick_http_open', 'Requests and websockets under way', open)
  gauge('killick_http_can_record', '1 while events can be recorded; 0: not before the next start', async () =>
    Number(canRecord(await status())),
  )
  gauge(
    'killick_http_pending_events',
    'Events in the spool that the ledger has not accepted',
    async () => (await status()).pending,
  )
  gauge('killick_http_spool_bytes', 'Size of the spool', async () => (await status()).spoolBytes)
  return {
    registry,
    requests: new Counter({
      name: 'killick_http_requests_total',
      help: 'Requests and websockets that have ended, by whether they were recorded, and by status, or how they ended without one',
      labelNames: ['recorded', 'result'],
      registers,
    }),
    refusals: new Counter({
      name: 'killick_http_refusals_total',
      help: 'Requests that the proxy answered itself, by code',
      labelNames: ['code'],
      registers,
    }),
    unrecorded: new Counter({
      name: 'killick_http_unrecorded_events_total',
      help: 'Events that could not be recorded',
      registers,
    }),
    dropped: new Counter({
      name: 'killick_http_connections_dropped_total',
      help: 'Connections closed at once because too many were open',
      registers,
    }),
    intent: new Histogram({
      name: 'killick_http_intent_seconds',
      help: 'From the head of a recorded request to when it may go on',
      buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5],
      registers,
    }),
  }
}

export type HttpMetrics = ReturnType<typeof makeHttpMetrics>
