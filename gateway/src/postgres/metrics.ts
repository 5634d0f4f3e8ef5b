import { Counter, Gauge, Registry } from 'prom-client'
import { addProcessMetrics } from '../process-metrics.ts'
import { canRecord, type RecorderStatus } from '../sessions/recorder.ts'
import type { Counts } from './asking.ts'

/** The relay's own registry, and what it counts. */
export function makePostgresMetrics(of: {
  status: () => Promise<RecorderStatus>
  sessions: () => number
  held: () => number
}) {
  const registry = new Registry()
  const registers = [registry]
  addProcessMetrics(registry)
  const gauge = (name: string, help: string, read: () => number | Promise<number>) =>
    new Gauge({
      ...{ name, help, registers },
      async collect() {
        this.set(await read())
      },
    })
  gauge('killick_postgres_sessions', 'Sessions that are open', of.sessions)
  gauge('killick_postgres_held_bytes', 'Bytes of messages that are not complete, or long and not sent yet', of.held)
  gauge('killick_postgres_can_record', '1 while events can be recorded; 0: not before the next start', async () =>
    Number(canRecord(await of.status())),
  )
  gauge(
    'killick_postgres_pending_events',
    'Events in the spool that the ledger has not accepted',
    async () => (await of.status()).pending,
  )
  gauge('killick_postgres_spool_bytes', 'Size of the spool', async () => (await of.status()).spoolBytes)
  gauge(
    'killick_postgres_failed_sends',
    'Attempts to send that failed since the start',
    async () => (await of.status()).retries,
  )
  const counter = <T extends string>(name: string, help: string, ...labelNames: T[]) =>
    new Counter({ name, help, labelNames, registers })
  const sessionsTotal = counter('killick_postgres_sessions_total', 'Sessions that began')
  const refusedConnections = counter(
    'killick_postgres_refused_connections_total',
    'Connections that became no session, by reason',
    'reason',
  )
  const statements = counter(
    'killick_postgres_statements_total',
    'What the sessions that are over have asked for, by what became of it; each has an intent, unless it was refused',
    'became',
  )
  const unrecorded = counter('killick_postgres_unrecorded_events_total', 'Events that could not be recorded')
  return {
    ...{ registry, sessionsTotal, refusedConnections },
    /** Adds what a session has counted. */
    count(counts: Counts, lost: number): void {
      statements.inc({ became: 'passed' }, counts.statements - counts.failed)
      statements.inc({ became: 'failed' }, counts.failed)
      statements.inc({ became: 'denied' }, counts.denied)
      statements.inc({ became: 'refused' }, counts.refused)
      unrecorded.inc(lost)
    },
  }
}

export type PostgresMetrics = ReturnType<typeof makePostgresMetrics>
