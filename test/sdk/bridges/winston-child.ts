// An application that logs with winston, and exits: at once, or after what it logged is durable.
import { finished } from 'node:stream/promises'
import { auditTransport } from '../../../sdk/src/bridges/winston.ts'
import { openTestLog } from '../../../sdk/src/testing/index.ts'
import { library } from './libraries.ts'

export type Winston = {
  createLogger(options: object): Logger
  format: { json(): object }
}
type Logger = Record<'info' | 'debug' | 'error', (text: string, line?: object) => void> & {
  child(bindings: object): Logger
  end(): void
}

if (import.meta.main) {
  const log = await openTestLog()
  log.fault({ disk: 50 })
  const transport = auditTransport(log)
  const logger = library<Winston>('winston').createLogger({ transports: [transport] })
  for (let i = 0; i < 5; i++) logger.info('x', { audit: { action: 'a', actor: { type: 'user', id: 'ada' } } })
  if (process.argv[2] === 'wait') {
    logger.end()
    await finished(transport)
  }
  process.exit(0)
}
