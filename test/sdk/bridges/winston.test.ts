// Winston itself, with its own pipes, levels and formats.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { promisify } from 'node:util'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import type { BridgeOptions } from '../../../sdk/src/bridges/winston.ts'
import { auditTransport } from '../../../sdk/src/bridges/winston.ts'
import { openTestLog } from '../../../sdk/src/testing/index.ts'
import { library } from './libraries.ts'
import type { Winston } from './winston-child.ts'

const run = promisify(execFile)
let winston: Winston
beforeAll(() => {
  winston = library<Winston>('winston')
}, 120_000)

const event = { action: 'invoice.approve', actor: { type: 'user', id: 'ada' } }

async function open(options: BridgeOptions = {}) {
  const log = await openTestLog()
  onTestFinished(() => log[Symbol.asyncDispose]())
  const refused: string[] = []
  const transport = auditTransport(log, {
    onRefused: (error) => refused.push((error as { code?: string }).code!),
    ...options,
  })
  const logger = winston.createLogger({ level: 'error', format: winston.format.json(), transports: [transport] })
  return { log, transport, logger, refused }
}

test('only lines with the member are recorded, at every level, and before the logger has finished', async () => {
  const { log, transport, logger, refused } = await open()
  logger.info('started')
  const changed = { ...event, metadata: { amount: 1 } }
  logger.debug('approved', { audit: changed })
  changed.metadata.amount = 2
  logger.child({ audit: { ...event, action: 'child' } }).error('from a child')
  for (let i = 0; i < 1100; i++) logger.info('many', { audit: { ...event, metadata: { i } } })
  logger.end()
  await finished(transport)
  expect(log.events().slice(0, 2)).toMatchObject([{ metadata: { amount: 1 } }, { action: 'child' }])
  expect(
    log
      .events()
      .slice(2)
      .map(({ metadata }) => metadata!.i),
  ).toEqual(Array.from({ length: 1100 }, (_, i) => i))
  expect(transport.counts).toEqual({ recorded: 1102, refused: 0 })
  expect(refused).toEqual([])
})

test('what cannot be recorded is counted and reported, and the logger goes on', async () => {
  const { log, transport, logger, refused } = await open()
  logger.info('a', { audit: 'text' })
  logger.info('b', { audit: { action: 'x' } })
  logger.info('c', { audit: { ...event, metadata: { error: new Error('not JSON') } } })
  log.fault({ disk: 'full' })
  logger.info('d', { audit: event })
  await expect.poll(() => transport.counts.refused).toBe(4)
  log.fault({})
  logger.info('e', { audit: event })
  logger.end()
  await finished(transport)
  expect(refused.toSorted()).toEqual(['field_invalid', 'field_invalid', 'field_invalid', 'spool_disk_full'])
  expect(transport.counts).toEqual({ recorded: 1, refused: 4 })
  expect(log.events().length).toBe(1)
})

test('a process that exits without waiting says what it took with it; one that waits has nothing to say', async () => {
  const child = join(import.meta.dirname, 'winston-child.ts')
  const [hasty, patient] = await Promise.all(
    ['exit', 'wait'].map((how) => run(process.execPath, [child, how]).then(({ stderr }) => stderr)),
  )
  expect(hasty).toContain('killick: the process ended before 5 events were durable')
  expect(patient).toBe('')
})
