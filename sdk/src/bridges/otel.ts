/**
 * `@killick/sdk/otel`: log records of OpenTelemetry that carry attributes `audit.*`, into an open audit log. For the Node SDK
 * (`@opentelemetry/sdk-logs`), whose types it fits without needing them. The attributes are those of the draft OTEP 0267; the collector
 * of `@killick/gateway` makes events of them by the same rules, and takes `audit.record.id` for the sender's id.
 */

import type { Recorded } from '../client/recorder.ts'
import { isBytes, toBase64 } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import type { EventInput, Recordable, RecordableObject } from '../core/fields.ts'
import { knownOptions } from '../core/options.ts'
import { AT_ONCE, type EventRecorder, sayChanges } from './audit-member.ts'
import { type AuditRecord, dateTimeOf, eventOfAuditRecord, traceparentOf } from './audit-record.ts'

export type { EventRecorder } from './audit-member.ts'
export { type AuditRecord, dateTimeOf, eventOfAuditRecord, traceparentOf } from './audit-record.ts'

/** What is read of a `ReadableLogRecord` of `@opentelemetry/sdk-logs`. */
export type AuditableLogRecord = {
  /** Seconds since 1970, and nanoseconds. */
  readonly hrTime: readonly [number, number]
  readonly spanContext?: { readonly traceId: string; readonly spanId: string; readonly traceFlags: number }
  readonly severityText?: string
  readonly body?: unknown
  readonly eventName?: string
  readonly resource: { readonly attributes: { readonly [name: string]: unknown } }
  readonly instrumentationScope: { readonly name: string }
  readonly attributes: { readonly [name: string]: unknown }
  readonly droppedAttributesCount: number
}

/** `ExportResult` of OpenTelemetry: 0 is success, 1 failure. */
export type AuditExportResult = { code: 0 | 1; error?: Error }

/** Whether a log record is meant for an audit log: it has an attribute whose name begins with `audit.`. */
export function isAuditRecord({ attributes }: Pick<AuditableLogRecord, 'attributes'>): boolean {
  return Object.keys(attributes).some((name) => name.startsWith('audit.'))
}

/**
 * The event of a log record: `eventName`, else `audit.action`, becomes the action, `audit.actor.*` the actor, `audit.target.*` the
 * target, `audit.source.*` part of the context, the span `context.traceparent`, the timestamp `occurredAt`. All other attributes, body,
 * severity, resource and scope stand in `metadata`: nothing is left out. The event gets an id of its own.
 * @throws KillickError `field_invalid` with `details.field`: an attribute is missing, or of the wrong form, or some were dropped by
 * a limit of the OpenTelemetry SDK
 */
export function eventOfLogRecord(record: AuditableLogRecord): EventInput {
  const { attributes, droppedAttributesCount, eventName, severityText, body, resource, spanContext } = record
  if (droppedAttributesCount > 0)
    invalid('attributes', `lack ${droppedAttributesCount} that a limit of the OpenTelemetry SDK dropped`)
  const made: AuditRecord = {
    attributes: recordable(attributes) as RecordableObject,
    ...{ eventName, severity: severityText, body: recordable(body), scope: record.instrumentationScope.name },
    resource: recordable(resource.attributes) as RecordableObject,
    traceparent: spanContext && traceparentOf(spanContext.traceId, spanContext.spanId, spanContext.traceFlags),
    occurredAt: dateTimeOf(...record.hrTime),
  }
  return eventOfAuditRecord(made, invalid)
}

/** `AnyValue` of OpenTelemetry as JSON: bytes as base64, as in OTLP's JSON. */
function recordable(value: unknown): Recordable {
  if (isBytes(value)) return toBase64(value)
  if (Array.isArray(value)) return value.map(recordable)
  if (typeof value !== 'object' || value === null) return (value ?? null) as Recordable
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, recordable(member)]))
}

function invalid(name: string, why: string): never {
  throw new KillickError('field_invalid', `Log record: ${name} ${why}`, { field: `/attributes/${name}` })
}

async function recordAll(audit: EventRecorder, records: readonly AuditableLogRecord[]): Promise<Error | null> {
  const failed: Error[] = []
  for (let from = 0; from < records.length; from += AT_ONCE) {
    const part = records.slice(from, from + AT_ONCE)
    const settled = await Promise.allSettled(part.map(async (record) => audit.record(eventOfLogRecord(record))))
    for (const each of settled) if (each.status === 'rejected') failed.push(each.reason as Error)
  }
  return failed.length === 0 ? null : failure(failed, records.length)
}

function failure([first, ...more]: readonly Error[], of: number): Error {
  const failed = [first!, ...more].map((error) => ({
    code: error instanceof KillickError ? error.code : 'internal',
    message: error.message,
  }))
  const message = `${failed.length} of ${of} events were not recorded: ${first!.message}`
  return first instanceof KillickError ? new KillickError(first.code, message, { failed }) : new Error(message)
}

/**
 * A `LogRecordExporter`: a batch is exported when each of its events is durable, and fails if one is not; the others are recorded all the
 * same, so a batch must not be exported twice. Records without attributes `audit.*` are not its business: they count as exported. It
 * leaves the audit log open.
 * @example
 * const provider = new LoggerProvider({
 *   processors: [new SimpleLogRecordProcessor({ exporter: new AuditLogRecordExporter(audit) })],
 * })
 */
export class AuditLogRecordExporter {
  readonly #audit: EventRecorder
  readonly #underway = new Set<Promise<unknown>>()
  #isShut = false

  constructor(audit: EventRecorder) {
    this.#audit = audit
  }

  /** Calls back with 0 once all events of the batch are durable, or with 1 and an error whose `details.failed` lists what is not. */
  export(records: readonly AuditableLogRecord[], resultCallback: (result: AuditExportResult) => void): void {
    const recorded = this.#isShut
      ? Promise.resolve(new KillickError('log_closed'))
      : recordAll(this.#audit, records.filter(isAuditRecord))
    const exported = recorded.then((error) => resultCallback(error ? { code: 1, error } : { code: 0 }))
    this.#underway.add(exported)
    exported.finally(() => this.#underway.delete(exported)).catch(() => {})
  }

  /** Resolves when every export that was begun has called back. */
  async forceFlush(): Promise<void> {
    await Promise.allSettled(this.#underway)
  }

  /** As `forceFlush`; exports after it fail. */
  async shutdown(): Promise<void> {
    this.#isShut = true
    await this.forceFlush()
  }
}

/** Options of the processor. */
export type AuditProcessorOptions = {
  /** Called for each record whose event was not recorded. Default: writes to stderr, once per kind of failure in a row. */
  onRefused?: (error: Error, record: AuditableLogRecord) => void
}

/**
 * A `LogRecordProcessor` that records each event when it is emitted, and says so to whoever emitted it, which OpenTelemetry's own
 * pipeline cannot. Records without attributes `audit.*` pass by. It leaves the audit log open.
 * @example
 * const processor = new AuditLogRecordProcessor(audit)
 * const provider = new LoggerProvider({ processors: [processor] })
 * await processor.emit(provider.getLogger('billing'), { attributes: { 'audit.action': 'APPROVE', … } })
 */
export class AuditLogRecordProcessor {
  readonly #audit: EventRecorder
  readonly #onRefused: NonNullable<AuditProcessorOptions['onRefused']>
  readonly #underway = new Set<Promise<unknown>>()
  /** What `emit` is waiting to see arrive; null outside of it. */
  #emitted: Promise<Recorded>[] | null = null
  #failed: Error[] = []
  #seen = 0
  #isShut = false

  constructor(audit: EventRecorder, options?: AuditProcessorOptions) {
    const { onRefused } = knownOptions(options, { onRefused: true })
    const sayRefused = sayChanges('the event of a log record was not recorded')
    this.#audit = audit
    this.#onRefused = onRefused ?? (({ message }) => sayRefused(message))
  }

  /**
   * Emits a log record through a logger, and resolves when its event is durable.
   * @param logger of a provider that has this processor
   * @throws KillickError what `record()` and `eventOfLogRecord` throw; `option_invalid` if the record did not reach this processor, or
   * has no attribute `audit.*`
   */
  emit<R>(logger: { emit(record: R): void }, record: R): Promise<Recorded> {
    const around = this.#emitted
    const emitted: Promise<Recorded>[] = []
    this.#emitted = emitted
    try {
      logger.emit(record)
    } finally {
      this.#emitted = around
    }
    const why = 'The record did not reach this processor, or has no attribute audit.*'
    return emitted[0] ?? Promise.reject(new KillickError('option_invalid', why, { option: 'record' }))
  }

  /** What OpenTelemetry calls for each record. */
  onEmit(record: AuditableLogRecord): void {
    if (!isAuditRecord(record)) return
    const recorded = this.#record(record)
    this.#seen += 1
    this.#underway.add(recorded)
    recorded
      .catch((error: Error) => {
        this.#failed.push(error)
        this.#onRefused(error, record)
      })
      .catch(() => {})
      .finally(() => this.#underway.delete(recorded))
    this.#emitted?.push(recorded)
  }

  /** Reads the record before anybody changes it. */
  async #record(record: AuditableLogRecord): Promise<Recorded> {
    if (this.#isShut) throw new KillickError('log_closed')
    return this.#audit.record(eventOfLogRecord(record))
  }

  /**
   * Resolves when everything emitted so far is durable.
   * @throws KillickError if an event was not recorded since the last call; `details.failed` lists each
   */
  async forceFlush(): Promise<void> {
    await Promise.allSettled(this.#underway)
    const [failed, seen] = [this.#failed, this.#seen]
    this.#failed = []
    this.#seen = 0
    if (failed.length > 0) throw failure(failed, seen)
  }

  /** As `forceFlush`; events emitted after it are refused with `log_closed`. */
  async shutdown(): Promise<void> {
    this.#isShut = true
    await this.forceFlush()
  }
}
