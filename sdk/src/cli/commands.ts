// Handles the arguments of `killick`: finds the command, runs it, and reports what went wrong.
import { readFileSync } from 'node:fs'
import { KillickError } from '../core/errors.ts'
import { type Command, EXIT, UsageError } from './command.ts'
import { isSystemError, reasonOf } from './input.ts'
import { err, json, lines, out, own, paint, type Text, text } from './terminal.ts'

// Each command is loaded when it is called; loading the others too would double the time of a start.
const COMMANDS: Record<string, () => Promise<Command>> = {
  keygen: async () => (await import('./keygen.ts')).keygen,
  record: async () => (await import('./record.ts')).record,
  proof: async () => (await import('./proof.ts')).proof,
  share: async () => (await import('./share.ts')).share,
  verify: async () => (await import('./verify.ts')).verify,
  audit: async () => (await import('./audit.ts')).audit,
  compare: async () => (await import('./compare.ts')).compare,
  anchors: async () => (await import('./anchors.ts')).anchors,
  deploy: async () => (await import('./service.ts')).deploy,
  handover: async () => (await import('./service.ts')).handover,
}

const find = async (name: string | undefined): Promise<Command | undefined> =>
  name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name]!() : undefined

async function help(): Promise<Text> {
  const commands = await Promise.all(
    Object.entries(COMMANDS).map(async ([name, load]) => `  ${name.padEnd(9)} ${(await load()).summary}`),
  )
  return own(`killick: record, prove and verify audit events

Usage: killick <command> [options]

${commands.join('\n')}

  killick <command> --help   explains a command, with examples
  killick --version

Exit codes: 0 done, or verified · 1 failed · 2 wrong usage or unreadable input · 3 could not decide`)
}

/** @returns the exit code */
export async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === '--version') {
    out(JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version)
    return EXIT.ok
  }
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const topic = await find(args[0])
    ;(name === undefined ? err : out)(topic ? own(topic.help) : await help())
    return name === undefined ? EXIT.usage : EXIT.ok
  }
  const command = await find(name)
  if (command && (args.includes('--help') || args.includes('-h'))) {
    out(own(command.help))
    return EXIT.ok
  }
  try {
    if (!command)
      throw new UsageError(`There is no command ${name}; the commands are ${Object.keys(COMMANDS).join(', ')}`)
    return await command.run(args)
  } catch (error) {
    return tell(error, name, args)
  }
}

/** Reports what went wrong, as a sentence on stderr or, with --json, as a document on stdout. @returns the exit code */
function tell(error: unknown, name: string, args: readonly string[]): number {
  const { code, exit, message } = explain(error)
  if (args.includes('--json')) out(json({ outcome: null, error: { code, message } }))
  else {
    err(text`${paint('red', text`killick ${name}:`, process.stderr)} ${message}`)
    if (error instanceof UsageError && Object.hasOwn(COMMANDS, name)) err(text`Run: killick ${name} --help`)
    if (code === 'internal') err(lines(String((error as Error).stack ?? error).split('\n')))
  }
  return exit
}

/** Besides the codes of the sdk: `usage`, a mistake of the caller, and `internal`, a fault of this program. */
function explain(error: unknown): { code: string; exit: number; message: string } {
  if (error instanceof UsageError) return { code: 'usage', exit: EXIT.usage, message: error.message }
  if (error instanceof KillickError) {
    const exit = error.code === 'unreachable' ? EXIT.undecided : EXIT.usage
    return { code: error.code, exit, message: error.message }
  }
  if (isSystemError(error)) {
    const { path, syscall } = error
    return { code: 'usage', exit: EXIT.usage, message: `${path ?? syscall}: ${reasonOf(error)}` }
  }
  return { code: 'internal', exit: EXIT.undecided, message: 'This is a fault in Killick; nothing was decided' }
}
