// The command `killick-gateway changes`: run, setup, verify.
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { GatewayStartError } from '../errors.ts'
import { serveAdmin } from './admin.ts'
import { type ChangesConfig, DEFAULT_CHANGES_CONFIG, readChangesConfig } from './config.ts'
import { parseLsn } from './lsn.ts'
import { ChangesRecorder } from './recorder.ts'
import { setupChanges } from './setup.ts'
import { type VerifyResult, verifyChanges } from './verify.ts'

const CHANGES_USAGE = `changes [run] [--config <file>] [--accept-gap] | changes setup [--config <file>] [--force]
  | changes verify [--config <file>] [--from <lsn>] [--to <lsn>] [--advance] [--token-file <file>] [--json]`

const OPTIONS = {
  config: { type: 'string', default: DEFAULT_CHANGES_CONFIG },
  'accept-gap': { type: 'boolean', default: false },
  force: { type: 'boolean', default: false },
  from: { type: 'string' },
  to: { type: 'string' },
  advance: { type: 'boolean', default: false },
  'token-file': { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

const ALLOWED: Record<string, readonly string[]> = {
  run: ['config', 'accept-gap'],
  setup: ['config', 'force'],
  verify: ['config', 'from', 'to', 'advance', 'token-file', 'json'],
}

/** How the command speaks, and how it is told to stop. */
type CommandEnds = {
  readonly print: (text: string) => void
  readonly say: (text: string) => void
  readonly stop: AbortSignal
}

/**
 * @param args what stands behind `changes`
 * @returns the exit code
 * @throws GatewayStartError, ChangesError, KillickError: why it does not start, or cannot go on
 */
export async function runChanges(args: readonly string[], { print, say, stop }: CommandEnds): Promise<number> {
  if (args.some((arg) => arg === '--help' || arg === '-h')) {
    print(`killick-gateway ${CHANGES_USAGE}\n`)
    return 0
  }
  const [command, options] = read(args)
  const config = readChangesConfig(options.config)
  if (command === 'setup') {
    await setupChanges(config, (line) => print(`${line}\n`), { force: options.force })
    return 0
  }
  if (command === 'verify') return verify(config, options, print)
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
    return 0
  } finally {
    admin?.close()
  }
}

async function verify(config: ChangesConfig, options: Options, print: CommandEnds['print']): Promise<number> {
  const { from, to, advance } = options
  const given = { from: placeOf('from', from), to: placeOf('to', to), advance, token: tokenOf(options['token-file']) }
  const result = await verifyChanges(config, given)
  print(options.json ? `${JSON.stringify(result)}\n` : resultInWords(result, config))
  return result.isComplete ? 0 : 1
}

function placeOf(name: string, text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined
  const lsn = parseLsn(text)
  if (lsn === null)
    throw new GatewayStartError('gateway_start_failed', `--${name} is no place of the log, such as 16/B374D848`)
  return lsn
}

function tokenOf(file: string | undefined): string {
  const token = file === undefined ? process.env.KILLICK_TOKEN : readFileSync(file, 'utf8').trim()
  if (!token)
    throw new GatewayStartError('gateway_start_failed', 'A reader token is missing: --token-file or KILLICK_TOKEN')
  return token
}

function resultInWords(result: VerifyResult, { source, publication }: ChangesConfig): string {
  const lines = [
    `from ${result.from} to ${result.to}: ${result.transactions} transactions with ${result.changes} changes in the log of the database`,
    ...Object.entries(result.counts).map(([name, count]) => `  ${name}: ${count}`),
  ]
  if (result.notChecked)
    lines.push(`not checked, since the log is not there any more: ${result.notChecked.from} to ${result.notChecked.to}`)
  const differences = [
    [result.missing, 'are not in the ledger; what the recorder still has in its spool is not there yet'],
    [result.different, 'are in the ledger with other changes: in part, or more than once'],
    [result.unexpected, 'are in the ledger, and not in the log'],
  ] as const
  for (const [{ count, first }, words] of differences)
    if (count > 0) lines.push(`${count} transactions ${words}: ${first.join(' ')}${count > first.length ? ' …' : ''}`)
  if (result.unread > 0)
    lines.push(
      `${result.unread} events of ${source} do not show which change they are, erased, expired, dropped or altered: what is not in the ledger may be among them`,
    )
  lines.push(
    result.isComplete ? `complete: the ledger has every change of ${publication}, once` : 'not complete',
    `The ledger's answers are its own word; killick audit proves what it has of ${source}. Values were not compared.`,
  )
  return `${lines.join('\n')}\n`
}

type Options = ReturnType<typeof read>[1]

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
