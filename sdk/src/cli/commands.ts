// Handles the arguments of `killick`: finds the command, runs it, and reports what went wrong.
import { KillickError } from '../core/errors.ts'
import { nearest } from '../core/nearest.ts'
import { SealingError } from '../sealing/errors.ts'
import { isTokenRefusal } from './access.ts'
import { type Command, EXIT, Unanswered, UsageError } from './command.ts'
import { commandHelp, programHelp } from './help.ts'
import { isSystemError, reasonOf } from './input.ts'
import { COMMANDS, type CommandEntry } from './table/index.ts'
import { err, json, lines, out, own, paint, text } from './terminal.ts'
import { version } from './version.ts'

// Each command is loaded when it is called; loading the others too would double the time of a start.
const LOADERS: Record<string, () => Promise<Command>> = {
  init: async () => (await import('./init.ts')).init,
  keygen: async () => (await import('./keygen.ts')).keygen,
  register: async () => (await import('./register.ts')).register,
  actions: async () => (await import('./actions.ts')).actions,
  record: async () => (await import('./record.ts')).record,
  run: async () => (await import('./run/command.ts')).run,
  search: async () => (await import('./search.ts')).search,
  export: async () => (await import('./export/command.ts')).exportEvents,
  bundle: async () => (await import('./bundle/command.ts')).bundle,
  history: async () => (await import('./history/command.ts')).history,
  replay: async () => (await import('./replay/command.ts')).replay,
  keys: async () => (await import('./keys.ts')).keys,
  proof: async () => (await import('./proof.ts')).proof,
  share: async () => (await import('./share.ts')).share,
  verify: async () => (await import('./verify.ts')).verify,
  audit: async () => (await import('./audit.ts')).audit,
  compare: async () => (await import('./compare.ts')).compare,
  anchors: async () => (await import('./anchors.ts')).anchors,
  erase: async () => (await import('./erasure/erase.ts')).erase,
  erasures: async () => (await import('./erasure/erasures.ts')).erasures,
  retention: async () => (await import('./erasure/retention.ts')).retention,
  holds: async () => (await import('./erasure/holds.ts')).holds,
  prune: async () => (await import('./erasure/prune.ts')).prune,
  deploy: async () => (await import('./service.ts')).deploy,
  handover: async () => (await import('./service.ts')).handover,
  completion: async () => (await import('./completion.ts')).completion,
  man: async () => (await import('./man.ts')).man,
}

const entryOf = (name: string | undefined): CommandEntry | undefined => COMMANDS.find((entry) => entry.name === name)

/** Those before `--`: what follows belongs to another program. */
const ownArgs = (args: readonly string[]): readonly string[] =>
  args.includes('--') ? args.slice(0, args.indexOf('--')) : args

const isHelp = (arg: string): boolean => arg === '--help' || arg === '-h'

/** @returns the exit code */
export async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === '--version' || name === '-v') {
    out(version())
    return EXIT.ok
  }
  try {
    if (name === undefined || name === 'help' || isHelp(name)) {
      const topic = args[0] === undefined ? null : known(args[0])
      ;(name === undefined ? err : out)(own(topic ? commandHelp(topic) : programHelp()))
      return name === undefined ? EXIT.usage : EXIT.ok
    }
    const entry = known(name)
    if (ownArgs(args).some(isHelp)) {
      out(own(commandHelp(entry)))
      return EXIT.ok
    }
    return await (await LOADERS[entry.name]!()).run(args)
  } catch (error) {
    return tell(error, name ?? '', args)
  }
}

/** @throws UsageError with the command that was probably meant */
function known(name: string): CommandEntry {
  const entry = entryOf(name)
  if (entry) return entry
  const names = COMMANDS.map((each) => each.name)
  const meant = nearest(name, names)
  throw new UsageError(
    `There is no command ${name}${meant === null ? `; the commands are ${names.join(', ')}` : `; did you mean ${meant}?`}`,
  )
}

/** Reports what went wrong, as a sentence on stderr or, with --json, as a document on stdout. @returns the exit code */
function tell(error: unknown, name: string, args: readonly string[]): number {
  const { code, exit, message } = explain(error)
  const entry = entryOf(name)
  if (ownArgs([name, ...args]).includes('--json') && entry?.failure === undefined)
    out(json({ outcome: null, error: { code, message } }))
  else {
    err(text`${paint('red', text`killick ${name}:`, process.stderr)} ${message}`)
    if (error instanceof UsageError && entry) err(text`Run: killick ${name} --help`)
    if (code === 'internal') err(lines(String((error as Error).stack ?? error).split('\n')))
  }
  return entry?.failure ?? exit
}

/**
 * Besides the codes of the sdk: `usage`, a mistake of the caller, `interrupted`, a question that was not answered, and `internal`,
 * a fault of this program.
 */
function explain(error: unknown): { code: string; exit: number; message: string } {
  if (error instanceof UsageError) return { code: 'usage', exit: EXIT.usage, message: error.message }
  if (error instanceof Unanswered) return { code: 'interrupted', exit: EXIT.interrupted, message: error.message }
  if (error instanceof KillickError && isTokenRefusal(error))
    return { code: 'token_refused', exit: EXIT.usage, message: error.message }
  if (error instanceof KillickError) {
    const exit = error.code === 'unreachable' ? EXIT.undecided : EXIT.usage
    return { code: error.code, exit, message: error.message }
  }
  if (error instanceof SealingError) {
    const exit = error.code === 'keys_unreachable' ? EXIT.undecided : EXIT.usage
    return { code: error.code, exit, message: error.message }
  }
  if (isSystemError(error)) {
    const { path, syscall } = error
    return { code: 'usage', exit: EXIT.usage, message: `${path ?? syscall}: ${reasonOf(error)}` }
  }
  return { code: 'internal', exit: EXIT.undecided, message: 'This is a fault in Killick; nothing was decided' }
}
