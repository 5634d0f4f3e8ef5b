import type { AuditLog } from '@killick/sdk'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { SenderIds } from './ids/sender-ids.ts'
import { addProcessMetrics } from './process-metrics.ts'

/** The collector's own registry, and what it counts. */
export function makeCollectorMetrics(log: () => AuditLog, ids: SenderIds) {
  const registry = new Registry()
  const registers = [registry]
  addProcessMetrics(registry)
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read())
      },
    })
  gauge(
    'killick_collector_pending_events',
    'Events in the spool that the ledger has not accepted',
    () => log().status.pending,
  )
  gauge('killick_collector_spool_bytes', 'Size of the spool', () => log().status.spoolBytes)
  gauge(
    'killick_collector_accepted_events',
    'Events of this stream that the ledger has accepted',
    () => log().status.accepted,
  )
  gauge('killick_collector_failed_sends', 'Attempts to send that failed since the start', () => log().status.retries)
  gauge('killick_collector_ids', 'Ids of senders that are remembered', () => ids.count)
  return {
    registry,
    recorded: new Counter({
      name: 'killick_collector_events_total',
      help: 'Events recorded',
      labelNames: ['emitter', 'via'],
      registers,
    }),
    repeated: new Counter({
      name: 'killick_collector_repeated_events_total',
      help: 'Events that had been recorded before, by their id',
      labelNames: ['emitter', 'via'],
      registers,
    }),
    others: new Counter({
      name: 'killick_collector_other_records_total',
      help: 'Log records of OTLP that are no audit records, and were not recorded',
      labelNames: ['emitter'],
      registers,
    }),
    unmapped: new Counter({
      name: 'killick_collector_unmapped_records_total',
      help: 'Log records of OTLP of which the mapping made no event, by the code of the reason; they were not recorded',
      labelNames: ['emitter', 'code'],
      registers,
    }),
    refusals: new Counter({
      name: 'killick_collector_refusals_total',
      help: 'Requests refused, by code; the emitter is empty where it is not known',
      labelNames: ['code', 'emitter', 'via'],
      registers,
    }),
    fileFaults: new Counter({
      name: 'killick_collector_file_faults_total',
      help: 'Files that were missed, that were cut to nothing, and attempts to open one that may not be read',
      labelNames: ['emitter', 'fault'],
      registers,
    }),
    dropped: new Counter({
      name: 'killick_collector_connections_dropped_total',
      help: 'Connections closed at once because too many were open',
      registers,
    }),
    requests: new Histogram({
      name: 'killick_collector_request_seconds',
      help: 'From the headers of a request to its answer, by receiver and status',
      labelNames: ['via', 'status'],
      buckets: [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 30],
      registers,
    }),
  }
}

export type CollectorMetrics = ReturnType<typeof makeCollectorMetrics>
