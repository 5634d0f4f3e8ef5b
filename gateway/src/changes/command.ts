// The command `killick-gateway changes`: run, setup, verify.
import { parseArgs } from 'node:util'
import { GatewayStartError } from '../errors.ts'
import { serveAdmin } from './admin.ts'
import { DEFAULT_CHANGES_CONFIG, readChangesConfig } from './config.ts'
import { ChangesRecorder } from './recorder.ts'
import { setupChanges } from './setup.ts'

const CHANGES_USAGE = `changes [run] [--config <file>] [--accept-gap] | changes setup [--config <file>] [--force]`

const OPTIONS = {
  config: { type: 'string', default: DEFAULT_CHANGES_CONFIG },
  'accept-gap': { type: 'boolean', default: false },
  force: { type: 'boolean', default: false },
} as const

const ALLOWED: Record<string, readonly string[]> = {
  run: ['config', 'accept-gap'],
  setup: ['config', 'force'],
}

/** How the command speaks, and how it is told to stop. */
type CommandEnds = {
  readonly print: (text: string) => void
  readonly say: (text: string) => void
  readonly stop: AbortSignal
}

/**
 * @param args what stands behind `changes`
 * @throws GatewayStartError, ChangesError, KillickError: why it does not start, or cannot go on
 */
export async function runChanges(args: readonly string[], { print, say, stop }: CommandEnds): Promise<void> {
  const [command, options] = read(args)
  const config = readChangesConfig(options.config)
  if (command === 'setup') return setupChanges(config, (line) => print(`${line}\n`), { force: options.force })
  const recorder = await ChangesRecorder.start(config, { say, acceptGap: options['accept-gap'] })
  const end = () => void recorder.close().catch(() => {})
  stop.addEventListener('abort', end)
  const admin =
    config.admin &&
    (await serveAdmin(config.admin, () => recorder.status).catch(async (error) => {
      await recorder.close()
      throw error
    }))
  if (stop.aborted) end()
  print(`killick-gateway records the changes of ${shown(config.database)}${admin ? `; ${admin.url}/readyz` : ''}\n`)
  try {
    await recorder.ended
  } finally {
    admin?.close()
  }
}

function read(args: readonly string[]) {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: OPTIONS,
      allowPositionals: true,
      tokens: true,
    })
    const [command = 'run', ...more] = positionals
    const allowed = ALLOWED[command]
    const odd = args.find((arg) => arg.startsWith('--') && !allowed?.includes(arg.slice(2).split('=')[0]!))
    if (allowed === undefined || more.length > 0 || odd !== undefined) throw new Error(`changes ${args.join(' ')}`)
    return [command, values] as const
  } catch (error) {
    throw new GatewayStartError('gateway_start_failed', `${(error as Error).message}\n\n${CHANGES_USAGE}`)
  }
}

/** A database's URL without its password. */
function shown(database: string): string {
  const { host, pathname } = new URL(database)
  return `${host}${pathname}`
}
