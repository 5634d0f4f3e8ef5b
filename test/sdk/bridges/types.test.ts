// The bridges name no type of the libraries, so a compiler says here whether each takes what a bridge gives.
import { execFile } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { folder, library } from './libraries.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const tsc = createRequire(import.meta.url)
  .resolve('typescript/package.json')
  .replace(/package\.json$/, 'bin/tsc')

const APPLICATION = `
import { LoggerProvider, SimpleLogRecordProcessor } from '@opentelemetry/sdk-logs'
import { CloudEvent } from 'cloudevents'
import pino from 'pino'
import { createLogger } from 'winston'
import type { AuditLog } from '@killick/sdk'
import { eventOfCloudEvent, toCloudEvent } from '@killick/sdk/cloudevents'
import { AuditLogRecordExporter, AuditLogRecordProcessor } from '@killick/sdk/otel'
import { auditStream } from '@killick/sdk/pino'
import { auditTransport } from '@killick/sdk/winston'

export function wire(audit: AuditLog) {
  const processor = new AuditLogRecordProcessor(audit)
  const exporter = new AuditLogRecordExporter(audit)
  const provider = new LoggerProvider({ processors: [processor, new SimpleLogRecordProcessor({ exporter })] })
  processor.emit(provider.getLogger('a'), { attributes: { 'audit.action': 'a' } }).then(({ id }) => id.length)
  createLogger({ transports: [auditTransport(audit)] })
  pino({}, pino.multistream([{ stream: auditStream(audit) }]))
  audit.record(eventOfCloudEvent(new CloudEvent(toCloudEvent('token'))))
}
`

test('each library takes what its bridge gives', { timeout: 60_000 }, async () => {
  library('pino')
  const application = join(folder, 'node_modules/.types')
  onTestFinished(() => rm(application, { recursive: true, force: true }))
  await mkdir(application)
  await writeFile(join(application, 'application.ts'), APPLICATION)
  const compilerOptions = { typeRoots: [relative(application, join(root, 'node_modules/@types'))] }
  const config = { extends: join(root, 'tsconfig.json'), compilerOptions, include: ['application.ts'] }
  await writeFile(join(application, 'tsconfig.json'), JSON.stringify(config))
  const { stdout } = await promisify(execFile)(process.execPath, [tsc, '-p', application]).catch((error) => error)
  expect(stdout).toBe('')
})
