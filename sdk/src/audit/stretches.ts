// Downloads the log and cuts it into stretches: consecutive batches, whose bytes a thread can read without the rest.
import { type BatchHeader, MAX_BATCH_BYTES, parseBatchHeader } from '../core/batch.ts'
import { KillickError } from '../core/errors.ts'
import { MAX_EVENT_BYTES } from '../core/event.ts'
import { nodePrimitives } from '../node/primitives.ts'
import type { Api } from './api.ts'
import { isUnreadable } from './faulty.ts'
import type { Findings } from './findings.ts'

/** Consecutive batches in wire form, each with as many event lines as its header says; the last of all may have fewer. */
export type Stretch = {
  /** Log index of the first. */
  readonly first: number
  readonly headers: readonly BatchHeader[]
  /** How many events there are of each. */
  readonly counts: readonly number[]
  /** Where each ends in `bytes`, of which nothing else holds the memory. */
  readonly ends: readonly number[]
  readonly bytes: Uint8Array
}

/** A stretch ends with the batch that reaches either of these: small enough that a few in memory do not matter. */
const STRETCH_BYTES = 256 << 10
const STRETCH_BATCHES = 128

const LINE_FEED = 0x0a

export type StretchOptions = {
  readonly api: Api
  /** The first batch, and how many there are in the log. */
  readonly from: number
  readonly size: number
  /** How many batches one request asks for. */
  readonly page: number
  readonly findings: Findings
  /** Called before each request, with how many events have been read. */
  readonly beforePage: (events: number) => Promise<void>
}

/** The batches of the log in order. It ends with a finding where they cannot be told apart any more, or are missing. */
export async function* readStretches(options: StretchOptions): AsyncGenerator<Stretch> {
  const { api, from, size, page, findings, beforePage } = options
  const cutter = new Cutter(from, size)
  const fail = (...[reason, message, at]: NonNullable<Cutter['fault']>) =>
    findings.fail('batches', reason, message, at === null ? null : { logIndex: at })
  while (cutter.next < size) {
    const before = cutter.next
    await beforePage(cutter.events)
    const path = `/v1/batches?from=${before}&limit=${Math.min(page, size - before)}`
    try {
      for await (const chunk of api.chunks(path)) {
        yield* cutter.take(chunk)
        if (cutter.fault !== null) break
      }
      cutter.endPage(path)
    } catch (error) {
      if (!isUnreadable(error)) throw error
      cutter.fault = ['unreadable', `Batch ${cutter.next}: ${error.message}`, cutter.next]
    }
    const rest = cutter.flush()
    if (rest !== null) yield rest
    if (cutter.fault !== null) return fail(...cutter.fault)
    if (cutter.isCut) return
    if (cutter.next === before) return fail('absent', `Batch ${before} of ${size} is missing`, before)
  }
}

/** Finds the batches in bytes as they arrive. */
class Cutter {
  /** Log index of the batch that comes next, and how many events have been seen. */
  next: number
  events = 0
  fault: [reason: 'unreadable' | 'untold' | 'absent', message: string, logIndex: number | null] | null = null
  /** Whether the last batch has fewer lines than its header says, so that nobody knows what comes behind it. */
  isCut = false
  readonly #size: number
  #bytes = Buffer.allocUnsafeSlow(2 * STRETCH_BYTES)
  #used = 0
  #lineAt = 0
  #headers: BatchHeader[] = []
  #counts: number[] = []
  #ends: number[] = []
  /** The batch whose lines are being read, where it begins, and how many events of it there were. */
  #open: { header: BatchHeader; at: number; events: number } | null = null

  constructor(from: number, size: number) {
    this.next = from
    this.#size = size
  }

  /** @returns the stretches that are complete with it */
  take(chunk: Uint8Array): Stretch[] {
    const done: Stretch[] = []
    let scanned = this.#used
    this.#append(chunk)
    while (this.fault === null && !this.isCut) {
      const end = this.#bytes.subarray(0, this.#used).indexOf(LINE_FEED, scanned)
      if (end < 0) break
      this.#line(end)
      this.#lineAt = end + 1
      scanned = end + 1
      const last = this.#ends.at(-1) ?? 0
      if (this.#open === null && (last >= STRETCH_BYTES || this.#ends.length >= STRETCH_BATCHES)) {
        scanned -= last
        done.push(this.flush()!)
      }
    }
    if (this.#used - this.#lineAt > MAX_EVENT_BYTES && this.fault === null && !this.isCut)
      throw new KillickError('batch_malformed', 'a line has no end')
    return done
  }

  /** @throws KillickError where it ends within a line */
  endPage(path: string): void {
    if (this.fault !== null || this.isCut) return
    if (this.#lineAt < this.#used) throw new KillickError('batch_malformed', `${path} ends within a line`)
    if (this.#open !== null) this.#close(this.#used)
  }

  /** What is complete of the next stretch; null if nothing is. What has come of a batch behind it is kept for the next. */
  flush(): Stretch | null {
    const end = this.#ends.at(-1)
    if (end === undefined) return null
    const rest = this.#bytes.subarray(end, this.#used)
    const fresh = Buffer.allocUnsafeSlow(Math.max(2 * STRETCH_BYTES, rest.length))
    fresh.set(rest)
    const first = this.next - this.#headers.length
    const bytes = this.#bytes.subarray(0, end)
    const stretch = { first, headers: this.#headers, counts: this.#counts, ends: this.#ends, bytes }
    this.#bytes = fresh
    this.#used = rest.length
    this.#lineAt -= end
    if (this.#open !== null) this.#open.at -= end
    this.#headers = []
    this.#counts = []
    this.#ends = []
    return stretch
  }

  #append(chunk: Uint8Array): void {
    const needed = this.#used + chunk.length
    if (needed > this.#bytes.length) {
      const longer = Buffer.allocUnsafeSlow(2 * needed)
      longer.set(this.#bytes.subarray(0, this.#used))
      this.#bytes = longer
    }
    this.#bytes.set(chunk, this.#used)
    this.#used = needed
  }

  /** Takes the line that ends there. */
  #line(end: number): void {
    if (this.#open === null) {
      this.#begin(this.#bytes.toString('latin1', this.#lineAt, end))
      return
    }
    const { header, at } = this.#open
    this.#open.events += 1
    // One that is too long is not read any further.
    if (this.#open.events === header.n || end - at > MAX_BATCH_BYTES) this.#close(end + 1)
  }

  #begin(text: string): void {
    if (this.next >= this.#size) {
      const message = `More batches than the ${this.#size} of the checkpoint come where they are asked for`
      this.fault = ['untold', message, null]
      return
    }
    try {
      this.#open = { header: parseBatchHeader(text, nodePrimitives), at: this.#lineAt, events: 0 }
    } catch (error) {
      // Without a header nobody knows where the batch ends.
      this.fault = ['unreadable', `Batch ${this.next}: ${(error as Error).message}`, this.next]
    }
  }

  #close(end: number): void {
    const { header, events } = this.#open!
    this.#open = null
    this.isCut = events < header.n
    this.#headers.push(header)
    this.#counts.push(events)
    this.#ends.push(end)
    this.events += events
    this.next += 1
  }
}
