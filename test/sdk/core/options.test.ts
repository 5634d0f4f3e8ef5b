// Options with misspelt names, as plain JavaScript gives them: each function refuses them, since they would be as good as not given.
import { expect, test } from 'vitest'
import { defineActions } from '../../../sdk/src/actions/index.ts'
import { AuditLogRecordProcessor } from '../../../sdk/src/bridges/otel.ts'
import pinoTransport, { auditStream } from '../../../sdk/src/bridges/pino.ts'
import { auditTransport } from '../../../sdk/src/bridges/winston.ts'
import { carryContext, restoreContext } from '../../../sdk/src/bullmq/index.ts'
import { openAuditLog } from '../../../sdk/src/client/open.ts'
import { shareEvent } from '../../../sdk/src/client/share.ts'
import { auditContext, compileCommandRedaction, createAudit, diff } from '../../../sdk/src/kit/index.ts'
import { folderSubjectKeys, postgresSubjectKeys, sealing } from '../../../sdk/src/sealing/index.ts'
import { assertRecorded, openTestLog, type TestLog } from '../../../sdk/src/testing/index.ts'

const EVENT = { action: 'invoice.refund', actor: { type: 'user', id: 'ada' } }
const KEYS = { toSeal: () => {} }
const QUEUE = { add: () => {}, addBulk: () => {} }

test.each<[string, object, string | undefined, (log: TestLog, options: never) => unknown]>([
  ['openAuditLog', { url: 'http://x', spol: './spool' }, 'spool', (_, options) => openAuditLog(options)],
  ['openAuditLog', { sealling: {} }, 'sealing', (_, options) => openAuditLog(options)],
  ['openAuditLog', { wait: 1 }, undefined, (_, options) => openAuditLog(options)],
  ['openAuditLog, its batch', { maxAgeMS: 1 }, 'maxAgeMs', (_, batch) => openTestLog({ batch })],
  ['record', { seald: ['metadata'] }, 'sealed', (log, options) => log.record(EVENT, options)],
  ['close', { strikt: true }, 'strict', (log, options) => log.close(options)],
  [
    'shareEvent',
    { fields: [], expire: new Date() },
    'expires',
    (_, it) => shareEvent({ url: 'x', token: 'x' }, 'x', it),
  ],
  ['sealing', { subjekt: () => {} }, 'subject', (_, options) => sealing(KEYS as never, options)],
  [
    'postgresSubjectKeys',
    { secret: new Uint8Array(32), envelop: {} },
    'envelope',
    (_, it) => postgresSubjectKeys({} as never, it),
  ],
  [
    'folderSubjectKeys',
    { secrets: new Uint8Array(32) },
    'secret',
    (_, options) => folderSubjectKeys('/dev/null/x', options),
  ],
  ['createAudit', { redakt: [] }, 'redact', (log, options) => createAudit(log, options)],
  ['diff', { redacts: [] }, 'redact', (_, options) => diff({}, {}, options)],
  ['auditContext.run', { inherits: false }, 'inherit', (_, options) => auditContext.run({}, () => {}, options)],
  ['compileCommandRedaction', { name: ['pin'] }, 'names', (_, options) => compileCommandRedaction(options)],
  ['defineActions', { versoin: '1' }, 'version', (_, options) => defineActions({ a: {} }, options)],
  ['the transport of pino', { membr: 'x' }, 'member', (_, options) => pinoTransport(options)],
  ['auditStream', { membr: 'x' }, 'member', (log, options) => auditStream(log, options)],
  ['the transport of winston', { onRefuse: () => {} }, 'onRefused', (log, options) => auditTransport(log, options)],
  ['AuditLogRecordProcessor', { onRefuse: () => {} }, 'onRefused', (log, it) => new AuditLogRecordProcessor(log, it)],
  ['carryContext', { onMissingContent: 'allow' }, 'onMissingContext', (_, options) => carryContext(QUEUE, options)],
  ['restoreContext', { fallbak: {} }, 'fallback', (_, options) => restoreContext(async () => {}, options)],
  ['openTestLog', { strem: 'x' }, 'stream', (_, options) => openTestLog(options)],
  ['assertRecorded', { time: 1 }, 'times', (log, options) => assertRecorded(log, EVENT, options)],
])('%s refuses %j and says what was meant', async (_, options, meant, call) => {
  await using log = await openTestLog()
  const error = await (async () => call(log, options as never))().catch((thrown: unknown) => thrown)
  const odd = Object.keys(options).at(-1)
  expect(error).toMatchObject({
    code: expect.stringMatching(/^(option|diff|catalogue)_invalid$/),
    message: expect.stringContaining(`Option ${odd} is not known${meant ? `. Did you mean ${meant}?` : ''}`),
  })
  // Nothing was recorded, and the log is open as before.
  expect(log.status).toMatchObject({ recorded: 0, state: 'idle' })
})

test('options that are null are none, and those that are no object are refused', async () => {
  const log = await openTestLog(null as never)
  await log.record(EVENT, null as never)
  for (const none of ['sealed', ['sealed'], 12])
    for (const call of [() => log.record(EVENT, none as never), () => log.close(none as never)])
      await expect(call()).rejects.toMatchObject({ code: 'option_invalid', message: 'Options must be an object' })
  expect(log.status).toMatchObject({ recorded: 1, rejected: 3 })
  expect(await log.close(null as never)).toMatchObject({ pending: 0 })
})
