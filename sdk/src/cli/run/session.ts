// `killick run --session`: the command in a terminal of its own, and what that shows recorded in chunks while it goes on.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, fdatasync, mkdirSync, openSync, writeSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { CastWriter, type SessionChunk, type SessionReport, type TerminalSize } from './cast.ts'
import type { Ended, Job } from './execute.ts'
import { type ScriptChild, ScriptLines, startScript } from './script.ts'
import type { SignalRelay } from './signals.ts'

/** What a session is recorded with. */
export type SessionWay = {
  /** Folder for the file of the session, and its name. */
  readonly folder: string
  readonly name: string
  readonly size: TerminalSize
  /** Records a chunk; durable when it resolves. @param lines its part of the file */
  record(chunk: SessionChunk, lines: string): Promise<void>
  /** Told once of what could not be recorded. @returns whether the session goes on */
  failed(error: Error): boolean
}

/** Bounds of a chunk: what is shown is recorded so soon, and no more of it than this waits. */
const CHUNK_MS = 1_000
const CHUNK_BYTES = 16 << 10

const ENDING = new Set(['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGQUIT'])

const sync = promisify(fdatasync)

/** Size of our terminal; of one that does not say, what is usual. */
export const terminalSize = (): TerminalSize => ({
  width: process.stdout.columns || 80,
  height: process.stdout.rows || 24,
})

/** Runs the command. Resolves when it has ended and everything that it showed is recorded. */
export async function executeSession(job: Job, signals: SignalRelay, way: SessionWay): Promise<Ended> {
  const start = performance.now()
  let file: number | null = null
  let script: ScriptChild
  try {
    mkdirSync(way.folder, { recursive: true, mode: 0o700 })
    file = openSync(join(way.folder, way.name), 'wx', 0o600)
    script = startScript(job)
  } catch (error) {
    if (file !== null) closeSync(file)
    const how = { result: 'not_started', error: (error as NodeJS.ErrnoException).code ?? 'internal' } as const
    return { how, durationMs: Math.round(performance.now() - start), streams: {} }
  }
  const { child, output, opened, clean } = script
  const exit = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
  // script hands on no signal but this one.
  let isStopped = false
  const stop = () => {
    isStopped = true
    return child.kill('SIGTERM')
  }
  signals.to({ kill: (signal) => ENDING.has(signal as string) && stop() })
  const cast = new CastWriter(start)
  const saved = new SavedChunks(file, CastWriter.header(way.size, Date.now(), environment()), cast, way)
  saved.onLoss = stop
  const resized = () => cast.resized(terminalSize(), performance.now())
  process.stdout.on('resize', resized)
  const timer = setInterval(() => void saved.next(), CHUNK_MS)
  const lines = new ScriptLines()
  let isOpened = false
  for await (const data of output) {
    if (!isOpened) opened()
    isOpened = true
    await saved.show(lines.take(data))
  }
  await saved.show(lines.end())
  const [code, signal] = await exit
  clearInterval(timer)
  process.stdout.off('resize', resized)
  await saved.next()
  closeSync(file)
  clean()
  const terminal = { terminal: true } as const
  return {
    how: code === null ? { result: 'signalled', signal: signal! } : howItEnded(code, isStopped),
    durationMs: Math.round(performance.now() - start),
    streams: { stdin: terminal, stdout: terminal, stderr: terminal },
    session: saved.report(),
  }
}

/** `script` ends with 128 + n where a signal has ended the command; a command may end so by itself, too. */
function howItEnded(code: number, isStopped: boolean): Ended['how'] {
  // What it then ends with says nothing of the command, which it has ended by this signal, and after two seconds by SIGKILL.
  if (isStopped) return { result: 'signalled', signal: 'SIGTERM' }
  const signal = Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0]
  return signal === undefined
    ? { result: 'exited', exitCode: code }
    : { result: 'signalled', signal: signal as NodeJS.Signals }
}

function environment(): Record<string, string> {
  const { TERM, SHELL } = process.env
  return { ...(TERM && { TERM }), ...(SHELL && { SHELL }) }
}

/** Brings chunks into file and log, one after the other. */
class SavedChunks {
  onLoss: () => unknown = () => {}
  readonly #file: number
  readonly #cast: CastWriter
  readonly #way: SessionWay
  readonly #whole = createHash('sha256')
  #header: string
  #offset = 0
  #count = 0
  #lost = 0
  #isLost = false
  #tail: Promise<void> = Promise.resolve()

  constructor(file: number, header: string, cast: CastWriter, way: SessionWay) {
    this.#file = file
    this.#header = header
    this.#cast = cast
    this.#way = way
  }

  /** Takes what was shown. Where chunks wait, so does whoever shows more. */
  async show(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      this.#cast.shown(bytes.subarray(at, at + CHUNK_BYTES), performance.now())
      if (this.#cast.pending >= CHUNK_BYTES) await this.next()
    }
  }

  /** Ends the chunk, and resolves when it is saved, or lost and said. */
  next(): Promise<void> {
    const chunk = this.#cast.take()
    if (chunk !== null)
      this.#tail = this.#tail.then(async () => {
        const lines = this.#header + chunk.lines
        this.#header = ''
        const { lines: _, ...facts } = chunk
        const bytes = Buffer.from(lines)
        const offset = this.#offset
        const cast = {
          offset,
          bytes: bytes.length,
          sha256: createHash('sha256').update(bytes).digest('hex'),
        }
        this.#offset += bytes.length
        this.#whole.update(bytes)
        try {
          // A session that is being ended is still written down as far as that can be done. Each chunk at its own place: a full disk may
          // have taken a part of the one before.
          for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at, bytes.length - at, offset + at)
          await sync(this.#file)
          await this.#way.record({ chunk: this.#count++, ...facts, cast }, lines)
        } catch (error) {
          this.#lose(error as Error)
        }
      })
    return this.#tail
  }

  report(): SessionReport {
    return {
      ...{ chunks: this.#count, ...this.#cast.total() },
      cast: { bytes: this.#offset, sha256: this.#whole.digest('hex') },
      ...(this.#lost > 0 && { unrecordedChunks: this.#lost }),
    }
  }

  #lose(error: Error): void {
    this.#lost += 1
    if (this.#isLost) return
    this.#isLost = true
    if (!this.#way.failed(error)) this.onLoss()
  }
}
