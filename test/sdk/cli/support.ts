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
export type RunOptions = { input?: string; env?: Record<string, string> }

/** The environment is ours without any KILLICK_ setting. */
function environment(more: Record<string, string> = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(KILLICK_|NO_COLOR|FORCE_COLOR)/.test(name))
  return { ...Object.fromEntries(inherited), ...more }
}

/** `killick …args` in a process of its own, with `input` on stdin, or the file `stdin`. */
export async function killickProcess(args: string[], options: RunOptions & { stdin?: string } = {}): Promise<Run> {
  const child = spawn(process.execPath, [program, ...args], { env: environment(options.env) })
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

type Surroundings = { env: NodeJS.ProcessEnv; stdin: Readable; stdout: PassThrough; stderr: PassThrough }
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

/**
 * `killick …args` in this process, with its own arguments, environment and streams, beside others. Not for what belongs to a
 * process: signals, terminals, limits of memory, and commands that start programs, as `deploy` and `handover` do.
 */
export async function killick(args: string[], options: RunOptions = {}): Promise<Run> {
  const env = environment(options.env)
  const surroundings = {
    ...{ env, stdin: Readable.from([Buffer.from(options.input ?? '')]) },
    ...{ stdout: new PassThrough(), stderr: new PassThrough() },
  }
  const read = Promise.all([text(surroundings.stdout), text(surroundings.stderr)])
  const code = await here.run(surroundings, () => main(args))
  surroundings.stdout.end()
  surroundings.stderr.end()
  const [out, err] = await read
  return { code, out, err }
}
