// Runs the real command: in a process of its own, or, where that is not what is tested, in this one, which saves the start.
import { AsyncLocalStorage } from 'node:async_hooks'
import { spawn } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { main } from '../../../sdk/src/cli/commands.ts'

const program = fileURLToPath(new URL('../../../sdk/src/cli/main.ts', import.meta.url))

export type Run = { code: number | null; out: string; err: string }
export type RunOptions = {
  input?: string
  env?: Record<string, string>
  /** The working folder. Default: that of the tests. */
  cwd?: string
  /** Whether stdout is a terminal, without colours; of runs in this process only. */
  isTerminal?: boolean
}

/** The environment is ours without any KILLICK_ setting. */
function environment(more: Record<string, string> = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(KILLICK_|NO_COLOR|FORCE_COLOR)/.test(name))
  return { ...Object.fromEntries(inherited), ...more }
}

/** `killick …args` in a process of its own, with `input` on stdin, or the file `stdin`. */
export async function killickProcess(args: string[], options: RunOptions & { stdin?: string } = {}): Promise<Run> {
  const child = spawn(process.execPath, [program, ...args], {
    env: environment(options.env),
    ...(options.cwd && { cwd: options.cwd }),
  })
  child.stdin.on('error', () => {})
  if (options.stdin === undefined) child.stdin.end(options.input ?? '')
  else
    createReadStream(options.stdin)
      .on('error', () => {})
      .pipe(child.stdin)
  const closed = new Promise<number | null>((resolve) => child.on('close', resolve))
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), closed])
  return { code, out, err }
}

/** `killick …args` in a process of its own, of whose output nothing is read: our end of the pipe is closed from the start. */
export async function killickUnread(args: string[], input = '', isDeaf = false): Promise<Omit<Run, 'out'>> {
  const child = spawn(process.execPath, [program, ...args], { env: environment() })
  child.stdout.destroy()
  if (isDeaf) child.stderr.destroy()
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const closed = new Promise<number | null>((resolve) => child.on('close', resolve))
  const [err, code] = await Promise.all([isDeaf ? '' : text(child.stderr), closed])
  return { code, err }
}

type Surroundings = {
  env: NodeJS.ProcessEnv
  stdin: Readable
  stdout: PassThrough
  stderr: PassThrough
  cwd: string | undefined
}
const here = new AsyncLocalStorage<Surroundings>()

// What a command finds in `process` is that of its run; everybody else finds what was there.
for (const name of ['env', 'stdin', 'stdout', 'stderr'] as const) {
  const { get, value } = Object.getOwnPropertyDescriptor(process, name)!
  Object.defineProperty(process, name, {
    configurable: true,
    enumerable: true,
    get: () => here.getStore()?.[name] ?? (get ? get.call(process) : value),
  })
}

const { cwd } = process
const cwdHere = () => here.getStore()?.cwd ?? cwd.call(process)

function runHere(args: string[], surroundings: Surroundings): Promise<number> {
  // At each run, for libraries put functions of their own there: that of Playwright remembers its first answer.
  process.cwd = cwdHere
  return here.run(surroundings, () => main(args))
}

/**
 * `killick …args` in this process, with its own arguments, environment and streams, beside others. Not for what belongs to a
 * process: signals, terminals, limits of memory, and commands that start programs, as `deploy` and `handover` do.
 */
export async function killick(args: string[], options: RunOptions = {}): Promise<Run> {
  const env = environment(options.env)
  const surroundings = {
    ...{ env, stdin: Readable.from([Buffer.from(options.input ?? '')]) },
    ...{
      stdout: Object.assign(new PassThrough(), { isTTY: options.isTerminal === true, getColorDepth: () => 1 }),
      stderr: new PassThrough(),
    },
    cwd: options.cwd,
  }
  const read = Promise.all([text(surroundings.stdout), text(surroundings.stderr)])
  const code = await runHere(args, surroundings)
  surroundings.stdout.end()
  surroundings.stderr.end()
  const [out, err] = await read
  return { code, out, err }
}

/** What the person types when the terminal shows this: text, or a key such as Ctrl-C. */
export type Typed = readonly [shown: RegExp, keys: string]

export const [ENTER, CTRL_C, CTRL_D] = ['\r', '\u0003', '\u0004']

/** `killick …args` in this process, with a person at a terminal, who types when asked. `err` is what the terminal showed. */
export async function killickAsked(args: string[], typed: readonly Typed[], options: RunOptions = {}): Promise<Run> {
  const terminal = () => Object.assign(new PassThrough(), { isTTY: true, columns: 200, setRawMode: () => {} })
  const surroundings = {
    ...{ env: environment(options.env), cwd: options.cwd },
    ...{ stdin: terminal(), stdout: new PassThrough(), stderr: terminal() },
  }
  const left = [...typed]
  let shown = ''
  let from = 0
  surroundings.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    shown += chunk
    const next = left[0]
    if (next === undefined || !next[0].test(shown.slice(from))) return
    left.shift()
    from = shown.length
    setImmediate(() => surroundings.stdin.write(next[1]))
  })
  const read = text(surroundings.stdout)
  const code = await runHere(args, surroundings)
  surroundings.stdout.end()
  const out = await read
  if (left.length > 0) throw new Error(`Nothing was asked like ${left[0]![0]}: ${shown}`)
  return { code, out, err: shown }
}
