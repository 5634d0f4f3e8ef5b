// The ids of senders that were seen, so that what is sent again gets the answer it got before.
//
// An id must not be remembered for an event that was lost, nor forgotten for one that was kept, whenever the process is killed. So
// the spool decides alone. An event carries its sender's id (the field `collected`), and is durable in the spool before its line is
// written here; the answer waits for the spool only. A batch leaves for the ledger, and an event may thus leave the spool, only after
// the lines of all recorded events are durable (`sync`, called by the collector before each request to the ledger). So at any
// moment each id is in these files or in the spool, and opening a collector reads both.
import { mkdirSync, readdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { GatewayRefusal } from '../errors.ts'
import { IdFile, type IdLine, syncFolder } from './file.ts'

/** How long ids are remembered. */
export type IdLimits = {
  /** Days. */
  days: number
  /** Ids beyond which the oldest file goes earlier than that. */
  count: number
}

/** Most lines of a file, so that files go one at a time. */
const FILE_LINES = 1_500_000
const DAY_MS = 86_400_000

export class SenderIds {
  readonly #folder: string
  readonly #limits: IdLimits
  readonly #now: () => number
  readonly #fileLines: number
  /** Oldest first; only the last one is written. */
  readonly #files: IdFile[] = []
  /** Events for which space is reserved and no line is written yet. */
  #promised = 0
  #unwritten: IdLine[] = []
  #day = 0
  #number = 0
  #failure: Error | null = null

  constructor(folder: string, limits: IdLimits, now: () => number = Date.now, fileLines: number = FILE_LINES) {
    this.#folder = folder
    this.#limits = limits
    this.#now = now
    this.#fileLines = fileLines
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const names = readdirSync(folder)
      .filter((name) => /^\d{10}\.ids$/.test(name))
      .sort()
    for (const name of names) this.#files.push(new IdFile(join(folder, name)))
    this.#number = names.length === 0 ? 0 : Number.parseInt(names.at(-1)!, 10)
    if (names.length === 0) this.#begin(0)
    this.#day = Math.floor((this.#files.at(-1)!.newest || now()) / DAY_MS)
  }

  /** How many ids are remembered. */
  get count(): number {
    this.#write()
    return this.#files.reduce((sum, { lines }) => sum + lines, 0)
  }

  find(key: Buffer): IdLine | null {
    this.#write()
    for (let i = this.#files.length - 1; i >= 0; i--) {
      const line = this.#files[i]!.find(key)
      if (line !== null) return line
    }
    return null
  }

  /**
   * Reserves space for the lines of `count` events. Called before they are recorded, so that a disk that is full refuses events
   * and never loses what must be remembered of one. Each is followed by `add` or `release`.
   * @throws GatewayRefusal `ids_failed`
   */
  promise(count: number): void {
    this.#write()
    if (this.#failure) throw failed(this.#failure)
    try {
      if (this.#isDue()) this.#begin(count)
      else this.#files.at(-1)!.reserve(this.#promised + count)
    } catch (error) {
      throw failed(error as Error)
    }
    this.#promised += count
  }

  /** Gives back what was promised for events that were not recorded. */
  release(count: number): void {
    this.#promised -= count
  }

  /** Remembers an event that was promised, and is durable in the spool. Lines of one turn of the event loop share a write. */
  add(line: IdLine): void {
    if (this.#unwritten.push(line) === 1) setImmediate(() => this.#write())
  }

  /** Remembers an event that was found in the spool, unless it is remembered. */
  found(line: IdLine): void {
    if (this.find(line.key) !== null) return
    this.promise(1)
    this.add(line)
  }

  #write(): void {
    const lines = this.#unwritten
    if (lines.length === 0) return
    this.#unwritten = []
    this.#promised -= lines.length
    if (this.#failure) return
    try {
      this.#files.at(-1)!.add(lines)
    } catch (error) {
      // The events are durable, and their ids with them. Nothing may leave the spool until these files are made from it again.
      this.#failure = error as Error
    }
  }

  /** Resolves when every line so far is durable. @throws GatewayRefusal `ids_failed` */
  async sync(): Promise<void> {
    this.#write()
    if (this.#failure) throw failed(this.#failure)
    try {
      await this.#files.at(-1)!.sync()
    } catch (error) {
      // After a failed sync nobody knows what the disk holds until a new start reads it again.
      this.#failure = error as Error
      throw failed(this.#failure)
    }
  }

  close(): void {
    this.#write()
    for (const file of this.#files) file.close()
  }

  /** A file begins each day, and when one is full. */
  #isDue(): boolean {
    const { lines } = this.#files.at(-1)!
    return lines >= this.#fileLines || (lines > 0 && Math.floor(this.#now() / DAY_MS) !== this.#day)
  }

  /** Begins a file with space for what was promised and `count` more. Without it the file before stays in use. */
  #begin(count: number): void {
    const path = join(this.#folder, `${String(this.#number + 1).padStart(10, '0')}.ids`)
    const file = new IdFile(path)
    try {
      file.reserve(this.#promised + count)
      // `sync` looks at the newest file only, so nothing in the one before may wait.
      this.#files.at(-1)?.syncNow()
    } catch (error) {
      file.close()
      unlinkSync(path)
      throw error
    }
    this.#number += 1
    this.#day = Math.floor(this.#now() / DAY_MS)
    this.#files.push(file)
    this.#drop()
  }

  #drop(): void {
    const oldest = this.#now() - this.#limits.days * DAY_MS
    for (let [first, next] = this.#files; next !== undefined; [first, next] = this.#files) {
      const rest = this.count - first!.lines
      if (first!.newest >= oldest && rest < this.#limits.count) return
      this.#files.shift()
      first!.close()
      unlinkSync(first!.path)
      syncFolder(this.#folder)
    }
  }
}

const failed = (error: Error): GatewayRefusal => new GatewayRefusal('ids_failed', undefined, { cause: error.message })
