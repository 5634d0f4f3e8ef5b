// The server: a child process whose input and output are the recorder's, and whose stderr is everybody's.
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import { GatewayStartError } from '../errors.ts'

/** How a server ended. */
export type ServerExit = { readonly code: number | null; readonly signal: NodeJS.Signals | null }

/** A server that runs. */
export type ServerProcess = {
  readonly input: Writable
  readonly output: Readable
  readonly exited: Promise<ServerExit>
  /** Ends its input, and it too if it does not end by itself: SIGTERM after `graceMs`, SIGKILL after twice that. */
  end(graceMs: number, signal?: NodeJS.Signals): void
}

/** @throws GatewayStartError if the command cannot be started */
export async function startServer([program, ...args]: readonly string[]): Promise<ServerProcess> {
  const child = spawn(program!, args, { stdio: ['pipe', 'pipe', 'inherit'] }) as ChildProcessByStdio<
    Writable,
    Readable,
    null
  >
  try {
    await once(child, 'spawn')
  } catch (error) {
    throw new GatewayStartError('gateway_start_failed', `The server cannot be started: ${(error as Error).message}`)
  }
  const exited = new Promise<ServerExit>((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })))
  // A server that has ended takes no more input; how it ended is told by `exited`.
  child.stdin.on('error', () => {})
  child.on('error', () => {})
  const timers: NodeJS.Timeout[] = []
  let hasEnded = false
  exited.then(() => {
    hasEnded = true
    for (const timer of timers) clearTimeout(timer)
  })
  return {
    input: child.stdin,
    output: child.stdout,
    exited,
    end(graceMs, signal) {
      if (hasEnded) return
      child.stdin.end()
      if (signal !== undefined) child.kill(signal)
      timers.push(
        setTimeout(() => child.kill('SIGTERM'), graceMs),
        setTimeout(() => child.kill('SIGKILL'), 2 * graceMs),
      )
    },
  }
}

/** The exit code by which a shell would tell of this end. */
export const exitCodeOf = ({ code, signal }: ServerExit): number => code ?? 128 + constants.signals[signal!]
