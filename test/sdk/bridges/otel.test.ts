// OpenTelemetry's own SDK for Node: its provider, processors and limits.
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import {
  type AuditableLogRecord,
  type AuditExportResult,
  AuditLogRecordExporter,
  AuditLogRecordProcessor,
} from '../../../sdk/src/bridges/otel.ts'
import { openTestLog } from '../../../sdk/src/testing/index.ts'
import { library } from './libraries.ts'

type Logger = { emit(record: object): void }
type Provider = { getLogger(name: string): Logger; forceFlush(): Promise<void>; shutdown(): Promise<void> }
type Sdk = {
  LoggerProvider: new (options: object) => Provider
  BatchLogRecordProcessor: new (options: object) => object
  SimpleLogRecordProcessor: new (options: object) => object
}

let sdk: Sdk
let api: { ROOT_CONTEXT: object; trace: { setSpanContext(context: object, span: object): object } }
beforeAll(() => {
  sdk = library<Sdk>('@opentelemetry/sdk-logs')
  api = library('@opentelemetry/api')
}, 120_000)

async function open() {
  const log = await openTestLog()
  onTestFinished(() => log[Symbol.asyncDispose]())
  return log
}
const attributes = {
  ...{ 'audit.action': 'APPROVE', 'audit.actor.type': 'user', 'audit.actor.id': 'ada', 'audit.outcome': 'success' },
  ...{
    'audit.target.type': 'invoice',
    'audit.target.id': '42',
    'audit.source.type': 'ipv4',
    'audit.source.id': '192.0.2.7',
  },
}
/** An exporter that keeps what it was called back with. */
class Watched extends AuditLogRecordExporter {
  readonly results: AuditExportResult[] = []
  override export(records: readonly AuditableLogRecord[], callback: (result: AuditExportResult) => void): void {
    super.export(records, (result) => {
      this.results.push(result)
      callback(result)
    })
  }
}

test('a log record becomes an event with everything that it says', async () => {
  const log = await open()
  const processor = new AuditLogRecordProcessor(log)
  const provider = new sdk.LoggerProvider({ processors: [processor] })
  onTestFinished(() => provider.shutdown())
  const logger = provider.getLogger('billing')
  const context = api.trace.setSpanContext(api.ROOT_CONTEXT, {
    ...{ traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: 1 },
  })
  const recorded = await processor.emit(logger, {
    ...{ eventName: 'invoice.approve', context, severityText: 'INFO', timestamp: [1_772_366_400, 123_456_000] },
    body: { text: 'approved', bytes: new Uint8Array([0, 255]) },
    attributes: { ...attributes, 'audit.record.id': 'r-1', amount: 12.5, tags: ['a', null] },
  })
  await processor.emit(logger, { attributes: { ...attributes, 'audit.outcome': 'unknown' } })
  // What has no place of its own stays an attribute.
  const { 'audit.target.id': _, ...aimless } = attributes
  await processor.emit(logger, { attributes: { ...aimless, 'audit.source.id': 42 } })
  logger.emit({ body: 'no event', attributes: { 'http.route': '/' } })
  const [first, second, third, ...more] = log.events()
  expect(more).toEqual([])
  expect(first).toMatchObject({
    ...{ id: recorded.id, action: 'invoice.approve', actor: { type: 'user', id: 'ada' }, outcome: 'success' },
    ...{ targets: [{ type: 'invoice', id: '42' }], occurredAt: '2026-03-01T12:00:00.123456Z' },
    context: { ip: '192.0.2.7', traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
    metadata: {
      ...{ verb: 'APPROVE', severity: 'INFO', scope: 'billing', body: { text: 'approved', bytes: 'AP8=' } },
      attributes: { 'audit.record.id': 'r-1', amount: 12.5, tags: ['a', null] },
      resource: { 'telemetry.sdk.language': 'nodejs' },
    },
  })
  expect(second).toMatchObject({ action: 'APPROVE' })
  expect(second).not.toHaveProperty('outcome')
  expect(third).toMatchObject({
    targets: [],
    metadata: { attributes: { 'audit.target.type': 'invoice', 'audit.source.id': 42, 'audit.source.type': 'ipv4' } },
  })
})

test('the processor tells whoever emits, and its flush, what was not recorded', async () => {
  const log = await open()
  const refused: string[] = []
  const processor = new AuditLogRecordProcessor(log, { onRefused: (error) => refused.push(error.message) })
  const provider = new sdk.LoggerProvider({ processors: [processor], logRecordLimits: { attributeCountLimit: 10 } })
  const logger = provider.getLogger('billing')
  const emit = (change: object) => processor.emit(logger, { attributes: { ...attributes, ...change } })
  await expect(emit({ 'audit.actor.id': '' })).rejects.toMatchObject({
    ...{ code: 'field_invalid', details: { field: '/attributes/audit.actor.id' } },
  })
  await expect(emit({ 'audit.outcome': 'maybe' })).rejects.toMatchObject({ code: 'field_invalid' })
  await expect(emit({ 'audit.target.id': 42 })).rejects.toMatchObject({ code: 'field_invalid' })
  await expect(emit({ a: 1, b: 2, c: 3 })).rejects.toThrow('lack 1 that a limit')
  await expect(processor.emit(logger, { body: 'no event' })).rejects.toMatchObject({ code: 'option_invalid' })
  log.fault({ disk: 'full' })
  await expect(emit({})).rejects.toMatchObject({ code: 'spool_disk_full' })
  log.fault({})
  await emit({})
  await expect(processor.forceFlush()).rejects.toThrow('5 of 6 events were not recorded')
  await processor.forceFlush()
  expect(refused.length).toBe(5)
  await provider.shutdown()
  await expect(
    processor.emit({ emit: (record: object) => processor.onEmit(record as never) }, { attributes }),
  ).rejects.toMatchObject({
    code: 'log_closed',
  })
  expect(log.events().length).toBe(1)
})

test.each(['SimpleLogRecordProcessor', 'BatchLogRecordProcessor'] as const)(
  'the exporter behind a %s succeeds when all is durable, and fails when one is not',
  async (kind) => {
    const log = await open()
    const exporter = new Watched(log)
    const provider = new sdk.LoggerProvider({ processors: [new sdk[kind]({ exporter })] })
    const logger = provider.getLogger('billing')
    for (let i = 0; i < 3; i++) logger.emit({ attributes: { ...attributes, i } })
    logger.emit({ body: 'no event' })
    await provider.forceFlush()
    expect(exporter.results.every(({ code }) => code === 0)).toBe(true)
    expect(log.events().map(({ metadata }) => (metadata!.attributes as { i: number }).i)).toEqual([0, 1, 2])
    exporter.results.length = 0
    logger.emit({ attributes })
    logger.emit({ attributes: { 'audit.action': 'x' } })
    await provider.forceFlush().catch(() => {})
    const failed = exporter.results.filter(({ code }) => code === 1)
    expect(failed.map(({ error }) => error)).toMatchObject([
      { code: 'field_invalid', details: { failed: [{ code: 'field_invalid' }] } },
    ])
    expect(log.events().length).toBe(4)
    await provider.shutdown()
    await new Promise<void>((resolve) =>
      exporter.export([], ({ code }) => {
        expect(code).toBe(1)
        resolve()
      }),
    )
  },
)
