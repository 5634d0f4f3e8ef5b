import { Counter, Gauge, type Registry } from 'prom-client'
import type { Finished } from './outcome.ts'

/** What audits tell Prometheus. */
export function makeAuditMetrics(registry: Registry) {
  const registers = [registry]
  const running = new Gauge({
    name: 'killick_audit_running',
    help: '1 while this process audits the ledger',
    registers,
  })
  const events = new Gauge({
    name: 'killick_audit_events',
    help: 'Events that the running audit has checked, or the last one had',
    registers,
  })
  const success = new Gauge({
    name: 'killick_audit_last_success_timestamp_seconds',
    help: 'When an audit last passed, as far as this process knows',
    registers,
  })
  const failed = new Gauge({
    name: 'killick_audit_failed',
    help: '1 from an audit that failed until one passes',
    registers,
  })
  const webhook = new Counter({
    name: 'killick_audit_webhook_failures_total',
    help: 'Attempts to reach the webhook that failed',
    registers,
  })
  return {
    running: (isRunning: boolean) => running.set(isRunning ? 1 : 0),
    events: (count: number) => events.set(count),
    failed: (isFailed: boolean) => failed.set(isFailed ? 1 : 0),
    passed: ({ at }: Finished) => success.set(Date.parse(at) / 1000),
    webhookFailed: () => webhook.inc(),
  }
}
