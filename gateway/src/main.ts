#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { printable } from '@killick/sdk/core'
import { readCollectorConfig } from './config.ts'
import { makeEmitterKey } from './emitters.ts'
import { GatewayStartError } from './errors.ts'

const HELP = `killick-gateway collect --config <file> | key | check --config <file> | map --config <file> <mapping> <input>
                | mcp [--config <file>] [--server <name>] -- <command> [<argument> …]
                | mcp-http [--config <file>] [--server <name>]
                | changes [run | setup | verify] [--config <file>] … | http --config <file>
                | postgres --config <file>

collect  records events on behalf of programs that hold no key: they send JSON over HTTP, and an answer of 2xx means that
         their events are signed, chained and on disk
key      makes a key for an emitter, or for a person who approves calls: prints it once, with the entry for the configuration
check    reads the configuration and names every fault of it at once; keys, certificates and secrets are read at the start
map      shows the events that a mapping makes of a file with JSON, and records nothing; with --header <name>: <value> as often as
         the mapping needs headers; with --otlp json or --otlp protobuf, of a file with a request to /v1/logs
mcp      starts a server of the Model Context Protocol and records what a client on stdin and stdout asks it, before the server
         sees it; the configuration is killick-mcp.json where none is named
mcp-http the same for a server that is reached over HTTP: listens for clients, and relays to the server that "http" of the configuration names
changes  records every committed change of the rows of a PostgreSQL database, through logical replication; setup makes publication and
         slot, verify compares the ledger with the log of the database; the configuration is killick-changes.json where none is named
http     a reverse proxy: records the requests that clients make of a server, before the server sees them
postgres stands between clients and a PostgreSQL server, and records each statement before the server sees it

The comments of src/config.ts, for mcp those of src/mcp/config.ts, for changes those of src/changes/config.ts, for http those of
src/proxy/config.ts, for postgres those of src/postgres/config.ts, describe every member of the configuration; in the published
package these files end in .d.ts. killick-gateway --version prints the version.
`

const COMMANDS = ['collect', 'key', 'check', 'map', 'mcp', 'mcp-http', 'changes', 'http', 'postgres']

async function main(args: readonly string[]): Promise<void> {
  const [command, flag, file, ...more] = args
  const print = (text: string) => void process.stdout.write(text)
  const hasFile = flag === '--config' && file !== undefined && more.length === 0
  if (command === undefined || command === 'help' || (command !== 'changes' && asksForHelp(args))) {
    print(HELP)
  } else if ((command === '--version' || command === '-v') && args.length === 1) {
    print(`${version()}\n`)
  } else if (command === 'key' && args.length === 1) {
    const { key, entry } = makeEmitterKey()
    print(`key for the emitter, shown only now:   ${key}\nentry for "keys" of its configuration:  ${entry}\n`)
  } else if (command === 'check' && hasFile) {
    const { emitters } = readCollectorConfig(file)
    const counted = `${emitters.length} ${emitters.length === 1 ? 'emitter' : 'emitters'}`
    print(`${file} is in order: ${counted}. The files that it names are read at the start.\n`)
  } else if (command === 'map' && flag === '--config' && file !== undefined && more.length >= 2) {
    const { tryMapping } = await import('./try-mapping.ts')
    const { events, left } = tryMapping(readCollectorConfig(file), more[0]!, more[1]!, more.slice(2))
    print(events)
    if (left !== null) process.stderr.write(`${printable(left)}\n`)
  } else if (command === 'mcp') {
    await recordMcp(args.slice(1))
  } else if (command === 'mcp-http') {
    await recordMcpHttp(args.slice(1))
  } else if (command === 'changes') {
    const { runChanges } = await import('./changes/index.ts')
    const stop = new AbortController()
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort())
    const say = (text: string) => void process.stderr.write(`killick-gateway: ${printable(text)}\n`)
    process.exitCode = await runChanges(args.slice(1), { print, say, stop: stop.signal })
  } else if (command === 'http' && hasFile) {
    const { readHttpConfig, startHttpProxy } = await import('./proxy/index.ts')
    const config = readHttpConfig(file)
    const say = (text: string) =>
      void process.stderr.write(`killick-gateway: ${text.split('\n').map(printable).join('\n')}\n`)
    const proxy = await startHttpProxy(config, say)
    const places = [proxy.url, proxy.socket].filter((each) => each !== null)
    print(`killick-gateway listens on ${places.join(' and ')} for ${config.upstream.url}\n`)
    if (proxy.admin !== null) print(`killick-gateway is looked after on ${proxy.admin}\n`)
    closeOnSignal(() => proxy.close())
  } else if (command === 'postgres' && hasFile) {
    const { readPostgresConfig, startPostgresRelay } = await import('./postgres/index.ts')
    const say = (text: string) => void process.stderr.write(`killick-gateway: ${printable(text)}\n`)
    const relay = await startPostgresRelay(readPostgresConfig(file), say)
    print(`killick-gateway listens on ${relay.address}\n`)
    closeOnSignal(() => relay.close())
  } else if (command === 'collect' && hasFile) {
    const config = readCollectorConfig(file)
    const { startCollector } = await import('./collector.ts')
    const collector = await startCollector(config)
    const { udpPort, tlsPort } = collector.syslog
    const host = config.syslog?.host
    const syslog = [udpPort !== null && `udp ${host}:${udpPort}`, tlsPort !== null && `tls ${host}:${tlsPort}`]
    const places = [collector.url, collector.socket, ...syslog.map((each) => each && `${each} (syslog)`)]
    print(`killick-gateway listens on ${places.filter(Boolean).join(' and ')}\n`)
    closeOnSignal(async () => {
      const left = await collector.close()
      if (left > 0) print(`${left} ${left === 1 ? 'event waits' : 'events wait'} in the spool for the ledger\n`)
    })
  } else {
    const said = args.join(' ')
    const fault = COMMANDS.includes(command) ? `"${said}" is not how ${command} is called` : `Unknown command "${said}"`
    throw new GatewayStartError('gateway_start_failed', `${fault}.\n\n${HELP}`)
  }
}

/** What follows `--` belongs to another program. */
const asksForHelp = (args: readonly string[]): boolean =>
  args.slice(0, args.includes('--') ? args.indexOf('--') : undefined).some((arg) => arg === '--help' || arg === '-h')

/** The version of this package. */
const version = (): string => JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version

/** Options of mcp and mcp-http. @throws GatewayStartError for any other */
function mcpOptions(args: readonly string[], which: string): { config?: string; server?: string } {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { config: { type: 'string' }, server: { type: 'string' } },
    allowPositionals: true,
    strict: false,
  })
  const odd = Object.keys(values).find((name) => !['config', 'server'].includes(name)) ?? positionals[0]
  if (odd !== undefined || Object.values(values).some((value) => typeof value !== 'string' || value === ''))
    throw new GatewayStartError('gateway_start_failed', `${which}.\n\n${HELP}`)
  return values as { config?: string; server?: string }
}

const sayOnStderr = (text: string): void => void process.stderr.write(`killick-gateway: ${printable(text)}\n`)

/** Ends as the server ends. What is said goes to stderr: stdout is the client's. */
async function recordMcp(args: readonly string[]): Promise<void> {
  const end = args.indexOf('--')
  const command = end < 0 ? [] : args.slice(end + 1)
  const given = mcpOptions(
    args.slice(0, end < 0 ? undefined : end),
    'mcp takes --config <file> and --server <name> only, before --',
  )
  if (command.length === 0)
    throw new GatewayStartError('gateway_start_failed', `The command of the server is missing behind --.\n\n${HELP}`)
  const { DEFAULT_CONFIG, readMcpConfig, recordStdio } = await import('./mcp/index.ts')
  const config = readMcpConfig(given.config ?? DEFAULT_CONFIG)
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort(signal))
  const code = await recordStdio({ ...config, server: given.server ?? config.server }, command, {
    ...{ stdin: process.stdin, stdout: process.stdout, stop: stop.signal },
    say: sayOnStderr,
  })
  process.exit(code)
}

async function recordMcpHttp(args: readonly string[]): Promise<void> {
  const given = mcpOptions(args, 'mcp-http takes --config <file> and --server <name> only')
  const { DEFAULT_CONFIG, readMcpConfig, recordHttp } = await import('./mcp/index.ts')
  const config = readMcpConfig(given.config ?? DEFAULT_CONFIG)
  const recorder = await recordHttp({ ...config, server: given.server ?? config.server }, sayOnStderr)
  process.stdout.write(`killick-gateway listens on ${recorder.url} for clients of ${config.http!.upstream}\n`)
  closeOnSignal(recorder.close)
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

const EXPECTED = ['GatewayStartError', 'GatewayRefusal', 'KillickError', 'KitError', 'ChangesError']

function fail(error: unknown): never {
  const { name, message, stack, code } = error as NodeJS.ErrnoException
  // What a database refuses, and what the system does: a stack would tell nobody more.
  const isRefusal = code !== undefined && error instanceof Error && ('severity' in error || 'syscall' in error)
  const said = isRefusal
    ? `${message || 'it cannot be reached'} (${code})`
    : EXPECTED.includes(name)
      ? message
      : (stack ?? String(error))
  process.stderr.write(`${said.split('\n').map(printable).join('\n')}\n`)
  process.exit(1)
}

/** Commands that go on though nobody can read what they print; mcp looks after the stdout of its client itself. */
const SERVING = ['collect', 'mcp', 'mcp-http', 'changes', 'http', 'postgres']

// A full disk, or a reader that has gone. Without a listener it would end a recorder, and everybody's connections with it.
process.stderr.on('error', () => {})
process.stdout.on('error', ({ message }) => {
  const [, , command = ''] = process.argv
  if (command !== 'mcp') sayOnStderr(`stdout: ${message}`)
  if (!SERVING.includes(command)) process.exitCode = 1
})
main(process.argv.slice(2)).catch(fail)
