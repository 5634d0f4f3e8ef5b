import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** A program this process started and answers for: whatever still runs when this process exits is killed, by its id. */
export interface ChildHandle {
  readonly pid: number
  readonly process: ChildProcess
  /** Resolves when the program has ended; never rejects. */
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  /** The last 64 KiB of stdout and stderr, as they came. */
  output(): string
  /** Resolves with the first match of `pattern` in the output; rejects if the program ends or `ms` (default 30 s) pass first. */
  printed(pattern: RegExp, ms?: number): Promise<RegExpMatchArray>
  /** SIGTERM, then SIGKILL if it has not ended within `ms` (default 10 s). */
  stop(ms?: number): Promise<void>
  /** SIGKILL: the program gets no chance to clean up. */
  kill9(): Promise<void>
}

const KEPT = 65_536
const running = new Set<ChildHandle>()
process.on('exit', () => {
  for (const child of running) child.process.kill('SIGKILL')
})

/** An environment that names few things, and the cache of this one: a Node that runs in it need not compile again what others have. */
export function withCompileCache(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { NODE_COMPILE_CACHE } = process.env
  return NODE_COMPILE_CACHE ? { NODE_COMPILE_CACHE, ...env } : env
}

export async function startChild(
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
): Promise<ChildHandle> {
  const env = options.env && withCompileCache(options.env)
  const spawned = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options, env })
  const exited = new Promise<Awaited<ChildHandle['exited']>>((resolve) => {
    spawned.once('exit', (code, signal) => resolve({ code, signal }))
  })
  await once(spawned, 'spawn')

  let text = ''
  const watchers = new Set<() => void>()
  for (const stream of [spawned.stdout, spawned.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text = (text + chunk).slice(-KEPT)
      for (const look of watchers) look()
    })
  }

  const child: ChildHandle = {
    pid: spawned.pid!,
    process: spawned,
    exited,
    output: () => text,
    printed: (pattern, ms = 30_000) =>
      new Promise((resolve, reject) => {
        const settle = (action: () => void) => {
          clearTimeout(timer)
          watchers.delete(look)
          action()
        }
        const look = () => {
          const match = text.match(pattern)
          if (match) settle(() => resolve(match))
        }
        const giveUp = (why: string) => settle(() => reject(new Error(`${command} ${why}; its output:\n${text}`)))
        const timer = setTimeout(() => giveUp(`did not print ${pattern} within ${ms} ms`), ms)
        watchers.add(look)
        look()
        exited.then(({ code, signal }) => giveUp(`ended (${signal ?? code}) without printing ${pattern}`))
      }),
    async stop(ms = 10_000) {
      spawned.kill('SIGTERM')
      const timer = setTimeout(() => spawned.kill('SIGKILL'), ms)
      await exited
      clearTimeout(timer)
    },
    async kill9() {
      spawned.kill('SIGKILL')
      await exited
    },
  }
  running.add(child)
  exited.then(() => running.delete(child))
  return child
}

/**
 * Starts a Node script that also ends when this process is gone without a word (kill -9): the two share an IPC channel,
 * and its closing ends the child.
 */
export function startNode(args: readonly string[], options: SpawnOptions = {}): Promise<ChildHandle> {
  const bond = fileURLToPath(new URL('end-with-parent.ts', import.meta.url))
  return startChild(process.execPath, ['--import', bond, ...args], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    ...options,
  })
}
