// An application that logs with pino and ends: [options, how, count].
import { library } from './libraries.ts'

type Logger = { info(line: object, text?: string): void; flush(done: () => void): void }
const pino = library<((stream: object) => Logger) & { transport(options: object): object }>('pino')

const [options, how, count] = process.argv.slice(2)
const logger = pino(
  pino.transport({ target: '@killick/sdk/pino', options: { ...JSON.parse(options!), closeTimeoutMs: 50 } }),
)
logger.info({ audit: 'text' })
for (let i = 0; i < Number(count); i++) {
  logger.info({ noise: i }, 'something else')
  logger.info({ audit: { action: 'invoice.approve', actor: { type: 'user', id: 'ada' }, metadata: { i } } }, 'approved')
}
if (how === 'exit') process.exit(0)
if (how === 'throw') throw new Error('ends with the application')
