// Pino itself: its stream in this thread, and its transport in a process that ends.
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { promisify } from 'node:util'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import auditTransport, { auditStream, type BridgeOptions } from '../../../sdk/src/bridges/pino.ts'
import { generateKey, openAuditLog, writeKeyFile } from '../../../sdk/src/client/index.ts'
import { openTestLog } from '../../../sdk/src/testing/index.ts'
import { library } from './libraries.ts'

type Logger = { info(line: object | string, text?: string): void; child(bindings: object): Logger }
type Pino = ((options: object, stream: object) => Logger) & { multistream(streams: object[]): object }

let pino: Pino
beforeAll(() => {
  pino = library<Pino>('pino')
}, 120_000)

const run = promisify(execFile)
const event = { action: 'invoice.approve', actor: { type: 'user', id: 'ada' } }

async function open(options: BridgeOptions = {}) {
  const log = await openTestLog()
  onTestFinished(() => log[Symbol.asyncDispose]())
  const refused: { code: string; line: unknown }[] = []
  const onRefused = (error: Error, line: unknown) => refused.push({ code: (error as { code?: string }).code!, line })
  const stream = auditStream(log, { onRefused, ...options })
  const others: string[] = []
  const logger = pino({}, pino.multistream([{ stream }, { stream: { write: (line: string) => others.push(line) } }]))
  return { log, stream, logger, others, refused }
}

test('only lines with the member are recorded; every line goes on to the other streams', async () => {
  const { log, stream, logger, others, refused } = await open()
  logger.info('started')
  logger.info({ audit: event, note: 'with "audit": in it' }, 'approved')
  logger.info({ nested: { audit: event } })
  logger.child({ requestId: 'r-1' }).info({ audit: { ...event, outcome: 'denied', occurredAt: new Date(0) } })
  stream.end()
  await finished(stream)
  expect(log.events().map(({ action, outcome }) => [action, outcome])).toEqual([
    ['invoice.approve', undefined],
    ['invoice.approve', 'denied'],
  ])
  expect(log.events()[1]!.occurredAt).toBe('1970-01-01T00:00:00.000Z')
  expect(stream.counts).toEqual({ recorded: 2, refused: 0 })
  expect(refused).toEqual([])
  expect(others.length).toBe(4)
})

test('what cannot be recorded is counted and reported, and the logger goes on', async () => {
  const { log, stream, logger, refused } = await open()
  for (const audit of ['text', null, [], 1, {}, { action: 'a' }, { ...event, acter: 1 }]) logger.info({ audit })
  // Of a binding and a line with the same member, JSON.parse would take the second and drop the first.
  logger.child({ audit: event }).info({ audit: event })
  stream.write('{"audit":{broken\n')
  log.fault({ disk: 'full' })
  logger.info({ audit: event })
  await expect.poll(() => stream.counts.refused).toBe(10)
  log.fault({})
  logger.info({ audit: event })
  stream.end()
  await finished(stream)
  expect(stream.counts).toEqual({ recorded: 1, refused: 10 })
  expect(refused.map(({ code }) => code).toSorted()).toEqual([
    ...Array(7).fill('field_invalid'),
    ...['json_duplicate_member', 'json_invalid', 'spool_disk_full'],
  ])
  expect(refused[0]!.line).toMatchObject({ audit: 'text', level: 30 })
})

test('a report that fails does not end the logger, and another member may be named', async () => {
  const onRefused = () => {
    throw new Error('reporter broken')
  }
  const { log, stream, logger } = await open({ member: 'event', onRefused })
  logger.info({ event: 'text' })
  logger.info({ event, audit: event })
  stream.end()
  await finished(stream)
  expect(stream.counts).toEqual({ recorded: 1, refused: 1 })
  expect(log.events().length).toBe(1)
  expect(() => auditStream({} as never)).toThrow(expect.objectContaining({ code: 'option_invalid' }))
})

test('lines in any pieces, cut inside of characters, are the lines that they were', async () => {
  const { log, stream } = await open()
  const bytes = Buffer.from(
    `${JSON.stringify({ audit: { ...event, metadata: { who: 'Zoë 🦊' } } })}\n`.repeat(3).trimEnd(),
  )
  for (let at = 0; at < bytes.length; at += 7) stream.write(bytes.subarray(at, at + 7))
  stream.end()
  await finished(stream)
  expect(log.events().map(({ metadata }) => metadata)).toEqual(Array(3).fill({ who: 'Zoë 🦊' }))
})

test.each(['end', 'exit', 'throw'])(
  'a process that logs and ends by %s keeps every event, and says what is left',
  async (how) => {
    const folder = await mkdtemp(join(tmpdir(), 'killick-pino-'))
    onTestFinished(() => rm(folder, { recursive: true, force: true }))
    const key = generateKey()
    const options = {
      url: 'http://127.0.0.1:9',
      source: 'app',
      key: join(folder, 'key.json'),
      spool: join(folder, 'spool'),
    }
    await writeKeyFile(options.key, key)
    const child = join(import.meta.dirname, 'pino-child.ts')
    const ended = await run(process.execPath, [child, JSON.stringify(options), how, '250']).catch((error) => error)
    expect(ended.stderr).toContain('killick: 1 line with an event could not be recorded')
    // Why, if the service was asked before the end came.
    expect(ended.stderr).toMatch(
      /killick: 250 events left in the spool, to be sent when it is opened again( \(.+\))?\n/,
    )
    const log = await openAuditLog({ ...options, onError: () => {} })
    expect(log.status).toMatchObject({ recorded: 250, pending: 250 })
    await log.close({ timeoutMs: 0 })
  },
)

test('a transport that cannot open its audit log says why', async () => {
  await expect(auditTransport({ url: 'x', source: 'app', key: 'none', spool: 's' })).rejects.toThrow(
    expect.objectContaining({ code: 'option_invalid' }),
  )
})
