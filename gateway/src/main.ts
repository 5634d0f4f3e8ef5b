#!/usr/bin/env node
import { printable } from '@killick/sdk/core'
import { readCollectorConfig } from './config.ts'
import { makeEmitterKey } from './emitters.ts'
import { GatewayStartError } from './errors.ts'

const HELP = `killick-gateway collect --config <file> | key | check --config <file> | map --config <file> <mapping> <input>

collect  records events on behalf of programs that hold no key: they send JSON over HTTP, and an answer of 2xx means that
         their events are signed, chained and on disk
key      makes a key for an emitter: prints it once, with the entry for the configuration
check    reads the configuration and names every fault at once
map      shows the events that a mapping makes of a file with JSON, and records nothing; with --header <name>: <value> as often as
         the mapping needs headers; with --otlp json or --otlp protobuf, of a file with a request to /v1/logs

The comments of src/config.ts describe every member of the configuration.
`

async function main(args: readonly string[]): Promise<void> {
  const [command, flag, file, ...more] = args
  const print = (text: string) => void process.stdout.write(text)
  const hasFile = flag === '--config' && file !== undefined && more.length === 0
  if (command === '--help' || command === '-h' || command === undefined) {
    print(HELP)
  } else if (command === 'key' && args.length === 1) {
    const { key, entry } = makeEmitterKey()
    print(`key for the emitter, shown only now:   ${key}\nentry for "keys" of its configuration:  ${entry}\n`)
  } else if (command === 'check' && hasFile) {
    const { emitters } = readCollectorConfig(file)
    print(`${file} is in order: ${emitters.length} ${emitters.length === 1 ? 'emitter' : 'emitters'}\n`)
  } else if (command === 'map' && flag === '--config' && file !== undefined && more.length >= 2) {
    const { tryMapping } = await import('./try-mapping.ts')
    const { events, left } = tryMapping(readCollectorConfig(file), more[0]!, more[1]!, more.slice(2))
    print(events)
    if (left !== null) process.stderr.write(`${printable(left)}\n`)
  } else if (command === 'collect' && hasFile) {
    const config = readCollectorConfig(file)
    const { startCollector } = await import('./collector.ts')
    const collector = await startCollector(config)
    const places = [collector.url, collector.socket].filter((each) => each !== null)
    print(`killick-gateway listens on ${places.join(' and ')}\n`)
    closeOnSignal(async () => {
      const left = await collector.close()
      if (left > 0) print(`${left} ${left === 1 ? 'event waits' : 'events wait'} in the spool for the ledger\n`)
    })
  } else {
    throw new GatewayStartError('gateway_start_failed', `Unknown command "${args.join(' ')}".\n\n${HELP}`)
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
  const { name, message, stack } = error as Error
  const isExpected = ['GatewayStartError', 'GatewayRefusal', 'KillickError'].includes(name)
  process.stderr.write(`${(isExpected ? message : (stack ?? String(error))).split('\n').map(printable).join('\n')}\n`)
  process.exit(1)
}

main(process.argv.slice(2)).catch(fail)
