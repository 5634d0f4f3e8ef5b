#!/usr/bin/env node
import { startAnchoring } from './anchor/index.ts'
import { loadConfig } from './config.ts'
import { StartError } from './errors.ts'
import { startService, startWorker } from './service.ts'

const HELP = `killick-anchor-service [serve | worker]

serve    checks, stores and proves audit events in an append-only log, and anchors it (the default)
worker   anchors only, beside services that run with KILLICK_WORKER=off

Everything is set by environment variables; the comments of src/config.ts list them all.
`

async function main(args: readonly string[]): Promise<void> {
  const [command = 'serve', ...more] = args
  if (command === '--help' || command === '-h') {
    process.stdout.write(HELP)
  } else if (command === 'serve' && more.length === 0) {
    const service = await startService(loadConfig(), startAnchoring)
    process.stdout.write(`Killick listens on ${service.url}\n`)
    closeOnSignal(service.close)
  } else if (command === 'worker' && more.length === 0) {
    const worker = await startWorker(loadConfig(), startAnchoring)
    process.stdout.write('Killick anchors\n')
    closeOnSignal(worker.close)
  } else {
    throw new StartError(`Unknown command "${args.join(' ')}".\n\n${HELP}`)
  }
}

/** The first signal drains; a second one does not wait. */
function closeOnSignal(close: () => Promise<void>): void {
  let isClosing = false
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (isClosing) process.exit(1)
      isClosing = true
      close().then(
        () => process.exit(0),
        (error) => fail(error),
      )
    })
  }
}

function fail(error: unknown): never {
  process.stderr.write(`${error instanceof StartError ? error.message : ((error as Error).stack ?? error)}\n`)
  process.exit(1)
}

main(process.argv.slice(2)).catch(fail)
