// The bridges name no type of the libraries, so a compiler says here whether each takes what a bridge gives.
import { execFile } from 'node:child_process'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
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
import { parseProof } from '@killick/sdk/core'
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

/** What the documents say a CloudEvent is made of: the example at toCloudEvent, and the guide's words. */
async function asDocumented(): Promise<string> {
  const source = await readFile(join(root, 'sdk/src/bridges/cloudevents.ts'), 'utf8')
  const [, example] = /@example\n([^@]*?)\n \*\/\nexport function toCloudEvent/.exec(source)!
  const guide = await readFile(join(root, 'docs/guides/bridges.md'), 'utf8')
  const [, token] = /event's token, such as `([^`]+)`/.exec(guide)!
  const lines = example!.replaceAll(/^ \* ?/gm, '')
  return `export async function send(bus: string, text: string) {\n${lines}\nreturn toCloudEvent(${token})\n}\n`
}

test('each library takes what its bridge gives, as the documents say', { timeout: 60_000 }, async () => {
  library('pino')
  const application = join(folder, 'node_modules/.types')
  onTestFinished(() => rm(application, { recursive: true, force: true }))
  await mkdir(application)
  await writeFile(join(application, 'application.ts'), APPLICATION + (await asDocumented()))
  const compilerOptions = { typeRoots: [relative(application, join(root, 'node_modules/@types'))] }
  const config = { extends: join(root, 'tsconfig.json'), compilerOptions, include: ['application.ts'] }
  await writeFile(join(application, 'tsconfig.json'), JSON.stringify(config))
  const { stdout } = await promisify(execFile)(process.execPath, [tsc, '-p', application]).catch((error) => error)
  expect(stdout).toBe('')
})
