// The durable part of the spool: segments, group commit, and failures of the disk. Knows nothing of events.
import { type FileHandle, open, rm, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { KillickError } from '../core/errors.ts'
import { syncData } from '../node/sync.ts'
import {
  createSegment,
  cutTornTail,
  frameLength,
  type LineKind,
  listSegments,
  openSegment,
  readFrames,
  type SpoolLine,
  segmentFile,
  syncDirectory,
  writeAll,
  writeDurably,
  writeDurablyNow,
  writeFrame,
} from './segment.ts'

// Reserved on disk so that a batch header and its acceptance can still be written when the disk is full: without them nothing
// could be sent and freed.
const RESERVE_BYTES = 64 * 1024
/** A thread waits for the disk itself for so many lines at most: while more are written, it can make the next ones. */
const MAX_WAITED_FOR = 2
const NO_SPACE = new Set(['ENOSPC', 'EDQUOT'])
/** What a process or a machine lacks for a while: files that it may open, memory. */
const PASSING = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN'])
/** When a new segment is tried again that could not be begun, ms. */
const AGAIN_MS = 1_000

export type Segment = { number: number; file: string; bytes: number }

export type JournalOptions<M> = {
  /** Size in bytes at which a new segment begins. */
  segmentBytes: number
  /** Whether the calling thread waits for the disk where little is written, instead of being told by another one. */
  waits: boolean
  /** Text of the state line that begins a new segment: the sum of everything durable so far. */
  state: () => string
  /** Called with every group once it is durable, before its appends resolve. */
  onDurable: (metas: readonly M[]) => void
  /** Called when a write has failed, before its appends and all queued behind them reject: none of them took place. */
  onRollback: () => void
  /** Called when a segment begins; the one before it gets no more lines. */
  onBegin: (number: number) => void
}

type Entry<M> = { kind: LineKind; text: string; meta: M; resolve: () => void; reject: (error: unknown) => void }

/**
 * Append-only journal in `dir`. An append resolves when it is durable (written and fdatasync'ed, including a new file's directory
 * entry); concurrent appends share one write and one sync. Appends are all or nothing and keep their order: when one
 * fails, those queued behind it fail with it and the file is cut back to what was durable.
 */
export class Journal<M> {
  readonly segments: Segment[] = []
  readonly #dir: string
  readonly #options: JournalOptions<M>
  #handle: FileHandle | undefined
  #queue: Entry<M>[] = []
  #lines: Buffer = Buffer.alloc(0)
  #queuedBytes = 0
  #storedBytes = 0
  #writing: Promise<void> | undefined
  #rotateNext = false
  #again: NodeJS.Timeout | undefined
  #failure: KillickError | undefined
  #full = false
  #probe: Promise<void> | undefined
  /** The removals under way; it never rejects. */
  #removing: Promise<unknown> = Promise.resolve()

  constructor(dir: string, options: JournalOptions<M>) {
    this.#dir = dir
    this.#options = options
  }

  /** Opens the existing segments (and cuts a torn end) or creates the first, and passes every stored frame to `replay`. */
  async open(replay: (frame: SpoolLine, segment: Segment, first: boolean) => void): Promise<void> {
    const numbers = await listSegments(this.#dir)
    const newest = numbers.at(-1)
    if (newest === undefined) await this.#begin(1)
    for (const number of numbers) {
      const file = segmentFile(this.#dir, number)
      const bytes = number === newest ? await cutTornTail(file) : (await stat(file)).size
      const segment = { number, file, bytes }
      this.segments.push(segment)
      this.#storedBytes += bytes
      let first = true
      for await (const frames of readFrames(file, 0, bytes)) {
        for (const one of frames) {
          replay(one, segment, first)
          first = false
        }
      }
    }
    if (newest !== undefined) this.#handle = await openSegment(this.#dir, newest)
    await this.#holdReserve().catch((error) => {
      if (!isNoSpace(error)) throw error
      this.#full = true
    })
  }

  /** Bytes on disk and waiting for it. */
  get bytes(): number {
    return this.#storedBytes + this.#queuedBytes
  }

  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** True after the disk refused a write for lack of space, until `probe()` finds space. */
  get full(): boolean {
    return this.#full
  }

  get active(): Segment {
    return this.segments.at(-1) as Segment
  }

  append(kind: LineKind, text: string, meta: M): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure)
    this.#queuedBytes += frameLength(text)
    return new Promise((resolve, reject) => {
      this.#queue.push({ kind, text, meta, resolve, reject })
      this.#writing ??= this.#write()
    })
  }

  /** Begins a new segment before the next line, or soon if no line is waiting. */
  rotate(): void {
    if (this.#failure) return
    this.#rotateNext = true
    this.#writing ??= this.#write()
  }

  /** Resolves when nothing is waiting for the disk. */
  async settled(): Promise<void> {
    while (this.#writing) await this.#writing
  }

  /**
   * Removes the segments up to number `last` permanently, one removal after another and oldest first: one that cannot be removed stays,
   * as do those behind it, for a gap between segments is damage.
   */
  remove(last: number): Promise<void> {
    const removed = this.#removing.then(() => this.#remove(last))
    this.#removing = removed.catch(() => {})
    return removed
  }

  /**
   * Resolves when a full disk has space again.
   * @throws KillickError `spool_disk_full`.
   */
  probe(): Promise<void> {
    this.#probe ??= orSpoolError(this.#dir, () => this.#holdReserve())
      .then(() => {
        this.#full = false
      })
      .finally(() => {
        this.#probe = undefined
      })
    return this.#probe
  }

  async close(): Promise<void> {
    await this.settled()
    clearTimeout(this.#again)
    this.#failure ??= new KillickError('log_closed', 'The audit log is closed')
    await this.#handle?.close()
    this.#handle = undefined
  }

  async #remove(last: number): Promise<void> {
    for (let oldest = this.segments[0]; oldest && oldest.number <= last; oldest = this.segments[0]) {
      await rm(oldest.file, { force: true })
      this.segments.shift()
      this.#storedBytes -= oldest.bytes
    }
    await syncDirectory(this.#dir)
  }

  async #write(): Promise<void> {
    // The first group takes everything recorded in this turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#queue.length > 0 || this.#rotateNext) {
      const isDue = this.active.bytes >= this.#options.segmentBytes && this.#again === undefined
      if (this.#rotateNext || isDue) await this.#rotate()
      if (this.#queue.length > 0) await this.#commit()
    }
    this.#writing = undefined
  }

  async #commit(): Promise<void> {
    const group = this.#queue
    this.#queue = []
    const data = this.#print(group)
    try {
      const handle = this.#handle as FileHandle
      if (this.#options.waits && group.length <= MAX_WAITED_FOR) writeDurablyNow(handle, data, this.active.bytes)
      else await writeDurably(handle, data, this.active.bytes)
    } catch (error) {
      await this.#undo(group, error)
      return
    }
    this.active.bytes += data.length
    this.#storedBytes += data.length
    this.#queuedBytes -= data.length
    this.#options.onDurable(group.map((entry) => entry.meta))
    for (const entry of group) entry.resolve()
  }

  /** The lines of a group, in memory that the next group reuses. */
  #print(group: readonly Entry<M>[]): Buffer {
    const bytes = group.reduce((sum, { text }) => sum + frameLength(text), 0)
    if (this.#lines.length < bytes) this.#lines = Buffer.alloc(2 * bytes)
    let end = 0
    for (const { kind, text } of group) end = writeFrame(this.#lines, end, kind, text)
    return this.#lines.subarray(0, end)
  }

  async #undo(group: Entry<M>[], error: unknown): Promise<void> {
    try {
      if (!isNoSpace(error)) throw error
      await (this.#handle as FileHandle).truncate(this.active.bytes)
      await syncData(this.#handle as FileHandle)
      await this.#releaseReserve()
    } catch (cause) {
      // After a failed sync nobody knows what the disk holds until a new start reads it again.
      this.#failure = spoolFailed(this.#dir, cause as Error)
    }
    const failure = this.#failure ?? diskFull(this.#dir)
    const refused = group.concat(this.#queue)
    this.#queue = []
    this.#queuedBytes = 0
    this.#options.onRollback()
    for (const entry of refused) entry.reject(failure)
  }

  /** Lack of space for a new segment is no fault, nor is what passes: the old one goes on. */
  async #rotate(): Promise<void> {
    this.#rotateNext = false
    try {
      await this.#begin(this.active.number + 1)
    } catch (error) {
      if (isNoSpace(error)) await this.#releaseReserve()
      else if (PASSING.has(codeOf(error)))
        this.#again ??= setTimeout(() => {
          this.#again = undefined
          this.rotate()
        }, AGAIN_MS).unref()
      else await this.#undo([], error)
    }
  }

  async #begin(number: number): Promise<void> {
    const { handle, bytes } = await createSegment(this.#dir, number, this.#options.state())
    await this.#handle?.close()
    this.#handle = handle
    this.segments.push({ number, file: segmentFile(this.#dir, number), bytes })
    this.#storedBytes += bytes
    this.#options.onBegin(number)
  }

  async #holdReserve(): Promise<void> {
    const handle = await open(join(this.#dir, 'reserve'), 'w', 0o600)
    try {
      await writeAll(handle, Buffer.alloc(RESERVE_BYTES), 0)
      await syncData(handle)
    } finally {
      await handle.close()
    }
  }

  async #releaseReserve(): Promise<void> {
    this.#full = true
    await unlink(join(this.#dir, 'reserve')).catch(() => {})
  }
}

/** Whether an error comes from the system, or from what `node --permission` allows; any other is a bug of ours. */
const isOfSystem = (error: unknown): error is Error =>
  error instanceof Error &&
  !(error instanceof KillickError) &&
  ('errno' in error || codeOf(error) === 'ERR_ACCESS_DENIED')

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? ''

const isNoSpace = (error: unknown): boolean => NO_SPACE.has(codeOf(error))

/** The error for a disk that is read-only, gone or broken, in the words of the system. */
const spoolFailed = (dir: string, { message }: Error): KillickError =>
  new KillickError('spool_failed', `The spool ${dir} cannot be read or written: ${message}`, { dir })

/** Turns the system's error about the disk into an error of the spool. */
export async function orSpoolError<T>(dir: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (isNoSpace(error)) throw diskFull(dir)
    throw isOfSystem(error) ? spoolFailed(dir, error) : error
  }
}

/** The error for a disk without space. */
export const diskFull = (dir: string): KillickError =>
  new KillickError('spool_disk_full', `The disk with the spool ${dir} is full; the event was not recorded`, { dir })
