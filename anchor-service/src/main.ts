#!/usr/bin/env node
import { printable } from '@killick/sdk/core'
import type { AnchoringDeps } from './anchor/anchoring.ts'
import { loadConfig } from './config.ts'
import { StartError } from './errors.ts'
import { version } from './version.ts'

const HELP = `killick-anchor-service [serve | worker | deploy | handover | accept-head | succeed | rebuild-registry | reindex | erase]

serve    checks, stores and proves audit events in an append-only log, and anchors it (the default)
worker   anchors only, beside services that run with KILLICK_WORKER=off
deploy   puts AnchorLog on the configured chains, at the one address it has on all of them
handover <address> | accept
         offers the log to a new key; then, with the new key, accepts it
succeed <log id> [--yes]
         the chain key of that log was stolen or lost: shows its last honest anchor; with --yes, states and records that the
         configured log succeeds it
accept-head [--yes]
         after log_went_back: shows what is missing; with --yes, goes on from what the database has, and records that
rebuild-registry [--yes]
         after registry_altered: shows in what the tables of sources differ from the signed log; with --yes, makes them again
         from it
erase --after-restore
         after a restore: erases again what orders of erasure named and the database has again, before the service starts; ended at
         any time, it goes on from there
reindex  makes what events are found by again from the events, beside running services; ended at any time, it goes on from there

Everything is set by environment variables; the comments of src/config.ts, in the published package of src/config.d.ts, list them all.
killick-anchor-service --version prints the version.
`

const COMMANDS = [
  'serve',
  'worker',
  'deploy',
  'handover',
  'accept-head',
  'succeed',
  'rebuild-registry',
  'reindex',
  'erase',
]

/** What `deploy` is there to find out. */
const NOT_YET = `0x${'0'.repeat(40)}`

// Each command loads what it needs, once its configuration is found to be right: all together take a second.
async function main(args: readonly string[]): Promise<void> {
  const [command = 'serve', ...more] = args
  const print = (text: string) => void process.stdout.write(text)
  if (command === 'help' || args.some((arg) => arg === '--help' || arg === '-h')) {
    print(HELP)
  } else if ((command === '--version' || command === '-v') && more.length === 0) {
    print(`${version()}\n`)
  } else if (command === 'serve' && more.length === 0) {
    const config = loadConfig()
    const { startService } = await import('./service.ts')
    const service = await startService(config, startAnchoring)
    print(`Killick listens on ${service.url}\n`)
    close = service.close
  } else if (command === 'worker' && more.length === 0) {
    const config = loadConfig()
    const { startWorker } = await import('./service.ts')
    const worker = await startWorker(config, startAnchoring)
    print(`Killick anchors${worker.url === null ? '' : `, and says how on ${worker.url}`}\n`)
    close = worker.close
  } else if (command === 'deploy' && more.length === 0) {
    const config = loadConfig({ KILLICK_CONTRACT: NOT_YET, ...process.env })
    print(await (await import('./commands/contracts.ts')).deploy(config))
  } else if (command === 'handover' && more.length === 1) {
    const config = loadConfig()
    print(await (await import('./commands/contracts.ts')).handover(config, more[0]!))
  } else if (command === 'succeed' && (more.length === 1 || (more.length === 2 && more[1] === '--yes'))) {
    const config = loadConfig()
    const { succeed } = await import('./commands/succeed.ts')
    print(await explainFault(() => succeed(config, more[0]!, more.length === 2)))
  } else if (command === 'accept-head' && (more.length === 0 || (more.length === 1 && more[0] === '--yes'))) {
    const config = loadConfig()
    const { acceptHead } = await import('./commands/accept-head.ts')
    print(await explainFault(() => acceptHead(config, more.length === 1)))
  } else if (command === 'rebuild-registry' && (more.length === 0 || (more.length === 1 && more[0] === '--yes'))) {
    const config = loadConfig()
    const { rebuildFromLog } = await import('./commands/rebuild-registry.ts')
    print(await explainFault(() => rebuildFromLog(config, more.length === 1)))
  } else if (command === 'reindex' && more.length === 0) {
    const config = loadConfig()
    const { reindexAll } = await import('./commands/reindex.ts')
    print(await explainFault(() => reindexAll(config)))
  } else if (command === 'erase' && more.length === 1 && more[0] === '--after-restore') {
    const config = loadConfig()
    const { eraseAfterRestore } = await import('./commands/erase.ts')
    print(await explainFault(() => eraseAfterRestore(config)))
  } else {
    const said = args.join(' ')
    const fault = COMMANDS.includes(command) ? `"${said}" is not how ${command} is called` : `Unknown command "${said}"`
    throw new StartError(`${fault}.\n\n${HELP}`)
  }
}

const explainFault = async (work: () => Promise<string>) => (await import('./commands/explained.ts')).explainFault(work)

/** A third of what a service loads is there to anchor; one that anchors nowhere does without. */
const startAnchoring = async (deps: AnchoringDeps) => (await import('./anchor/index.ts')).startAnchoring(deps)

/** What ends a service that has started. */
let close: (() => Promise<void>) | null = null
let isClosing = false

/** The first signal drains; a second one does not wait. A command, or a start, is cut off, but for the PostgreSQL that it brought along. */
function onSignal(): void {
  if (isClosing) process.exit(1)
  isClosing = true
  const leave = async () => (await import('./database/embedded/cluster.ts')).leaveClusters()
  const [ending, code] = close === null ? [leave(), 1] : [close(), 0]
  ending.then(() => process.exit(code), fail)
}

function fail(error: unknown): never {
  const words = error instanceof StartError ? error.message : String((error as Error).stack ?? error)
  // A node, a signer or a database may have said them.
  process.stderr.write(`${words.split('\n').map(printable).join('\n')}\n`)
  process.exit(1)
}

/** Commands that go on though nobody can read what they print. */
const SERVING = ['serve', 'worker', undefined]

// A full disk, or a reader that has gone. Without a listener it would end a service that has nothing else to do with it.
process.stderr.on('error', () => {})
process.stdout.on('error', ({ message }) => {
  process.stderr.write(`killick-anchor-service: stdout: ${printable(message)}\n`)
  if (!SERVING.includes(process.argv[2])) process.exitCode = 1
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal)
main(process.argv.slice(2)).catch((error) => {
  // What is cut off fails, and nobody needs to be told of that.
  if (!isClosing) fail(error)
})
