// Runs a command, passes its streams and signals through, and says how it ended.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, createReadStream, fstatSync } from 'node:fs'
import { Socket } from 'node:net'
import { constants } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import { isatty } from 'node:tty'
import type { SessionReport } from './cast.ts'
import { type Passed, passIn, passOut } from './passing.ts'
import { openPipes, type Pipe } from './pipes.ts'
import type { SignalRelay } from './signals.ts'

export const STREAMS = ['stdin', 'stdout', 'stderr'] as const
export type CommandStream = (typeof STREAMS)[number]

/** Of a stream: what went through it, or why nothing is known of that. */
export type StreamReport = Passed | { readonly terminal: true } | { readonly passed: true }

export type Ended = {
  /** `not_started`: `error` is the system's code, such as ENOENT. */
  readonly how:
    | { readonly result: 'exited'; readonly exitCode: number }
    | { readonly result: 'signalled'; readonly signal: NodeJS.Signals }
    | { readonly result: 'not_started'; readonly error: string }
  readonly durationMs: number
  readonly streams: { readonly [name in CommandStream]?: StreamReport }
  /** Of a terminal that was recorded. */
  readonly session?: SessionReport
}

export type Job = {
  readonly command: readonly string[]
  /** What the command finds as its own name; default: the first of `command`. */
  readonly argv0?: string | undefined
  /** Streams that it gets as they are. */
  readonly pass: ReadonlySet<CommandStream>
}

/** The exit code of a shell. */
export function exitCodeOf({ how }: Ended): number {
  if (how.result === 'exited') return how.exitCode
  if (how.result === 'signalled') return 128 + constants.signals[how.signal]
  return how.error === 'ENOENT' ? 127 : 126
}

/** Resolves when the command has ended and everything it wrote is passed on. */
export async function execute({ command, argv0, pass }: Job, signals: SignalRelay): Promise<Ended> {
  const kinds = STREAMS.map((name, fd) => (pass.has(name) ? 'passed' : isatty(fd) ? 'terminal' : 'hashed'))
  const pipes = openPipes(kinds.filter((kind) => kind === 'hashed').length)
  const ends = kinds.map((kind) => (kind === 'hashed' ? (pipes?.shift() ?? null) : null))
  const stdio = kinds.map((kind, fd) => (kind === 'hashed' ? (childEnd(ends[fd]!, fd) ?? 'pipe') : 'inherit'))
  const start = performance.now()
  let child: ChildProcess
  try {
    child = spawn(command[0]!, command.slice(1), { stdio, ...(argv0 !== undefined && { argv0 }) })
  } catch (error) {
    // Of some failures Node tells at once, of others later.
    for (const end of ends) if (end) for (const each of [end.read, end.write]) closeSync(each)
    const how = { result: 'not_started', error: codeOf(error as Error) } as const
    return { how, durationMs: Math.round(performance.now() - start), streams: {} }
  }
  signals.to(child)
  for (const [fd, end] of ends.entries()) if (end) closeSync(childEnd(end, fd)!)
  const ended = howItEnds(child)
  const passed = passStreams(child, kinds, ends)
  const how = await ended
  const durationMs = Math.round(performance.now() - start)
  return { how, durationMs, streams: await passed(how.result !== 'not_started') }
}

const childEnd = (pipe: Pipe | null, fd: number): number | null => pipe && (fd === 0 ? pipe.read : pipe.write)

const codeOf = (error: Error): string => (error as NodeJS.ErrnoException).code ?? 'internal'

/** A command that could not be started has no process, and no exit. */
function howItEnds(child: ChildProcess): Promise<Ended['how']> {
  return new Promise((resolve) => {
    child.once('error', (error) => {
      if (child.pid === undefined) resolve({ result: 'not_started', error: codeOf(error) })
    })
    child.once('exit', (code, signal) =>
      resolve(code === null ? { result: 'signalled', signal: signal! } : { result: 'exited', exitCode: code }),
    )
  })
}

/** @returns what resolves with the reports once the streams have ended; to be called when the command has */
function passStreams(child: ChildProcess, kinds: readonly string[], ends: readonly (Pipe | null)[]) {
  const to = kinds[0] === 'hashed' ? (ends[0] ? writer(ends[0].write) : child.stdin!) : null
  const input = to && passIn(ourInput(), to)
  const output = ([1, 2] as const).map((fd) => {
    if (kinds[fd] !== 'hashed') return null
    return passOut(ends[fd] ? reader(ends[fd].read) : fd === 1 ? child.stdout! : child.stderr!, fd)
  })
  return async (isStarted: boolean): Promise<Ended['streams']> => {
    input?.stop()
    const passed = await Promise.all([input?.passed, ...output])
    if (!isStarted) return {}
    return Object.fromEntries(STREAMS.map((name, fd) => [name, passed[fd] ?? { [kinds[fd]!]: true }]))
  }
}

/** Of a block device and of a folder, Node makes an empty stdin, as if there was nothing in it. */
function ourInput(): Readable {
  const stat = fstatSync(0)
  return stat.isBlockDevice() || stat.isDirectory() ? createReadStream('', { fd: 0, autoClose: false }) : process.stdin
}

const reader = (fd: number): Readable => new Socket({ fd, readable: true, writable: false })
const writer = (fd: number): Writable => new Socket({ fd, readable: false, writable: true })
