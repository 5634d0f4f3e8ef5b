/** What of a bundle's scope is not carried, and which of it drops in the log name: docs/PROTOCOL.md §14 and §17. */
import { KillickError } from '../core/errors.ts'
import type { ParsedEvent } from '../core/event.ts'
import { parseDrop, type RetentionDrop } from '../core/retention.ts'
import { printTime } from '../core/time.ts'
import type { PlaceRun } from './reading.ts'
import type { BundleDropped } from './verdict.ts'

/** Most batches of a bundle's scope of which events are not carried. */
export const MAX_ABSENT_BATCHES = 2 ** 20

/** A stream, by its source and its own name. */
export type Stream = { readonly source: string; readonly stream: string }

/** What a drop says of the places that it names. */
type Word = Pick<BundleDropped, 'logIndex' | 'at' | 'policy'>

/** Places of a stream that are not carried, one behind another. `drop`: by which all of them were dropped; null: none names them */
type AbsentRun = Stream & {
  readonly first: number
  last: number
  readonly turn: number
  readonly drop: Word | null
}

/**
 * Places of batches that are not carried. What drops one comes later in the log, and may name millions of entries, so they are kept in
 * columns, by rising log index, and of those that a drop has named each knows where to go on looking.
 */
export class AbsentPlaces {
  readonly #streams: Stream[] = []
  readonly #numbers = new Map<string, number>()
  readonly #entries: number[] = []
  readonly #firsts: number[] = []
  readonly #lasts: number[] = []
  readonly #streamOf: number[] = []
  readonly #turns: number[] = []
  /** Of each its drop in `words`, or -1. */
  readonly #named: number[] = []
  /** Of each itself, or of one that is named a later one: between the two all are. */
  readonly #next: number[] = []
  readonly #words: Word[] = []

  /** @param turn its place in the list of what is missing @returns false: there are too many */
  add({ source, stream }: Stream, logIndex: number, [first, last]: PlaceRun, turn: number): boolean {
    if (this.#entries.length >= MAX_ABSENT_BATCHES) return false
    const name = `${source}/${stream}`
    let number = this.#numbers.get(name)
    if (number === undefined) {
      number = this.#streams.push({ source, stream }) - 1
      this.#numbers.set(name, number)
    }
    this.#next.push(this.#entries.length)
    this.#entries.push(logIndex)
    this.#firsts.push(first)
    this.#lasts.push(last)
    this.#streamOf.push(number)
    this.#turns.push(turn)
    this.#named.push(-1)
    return true
  }

  /**
   * Takes a drop, which can only name what was added before.
   * @param time when its event was recorded, ms @returns whether it names something that no drop before it has named
   */
  name({ id, version, entries }: RetentionDrop, logIndex: number, time: number): boolean {
    const word = this.#words.length
    let isNamed = false
    for (const [first, last] of entries) {
      for (let i = this.#open(this.#from(first)); i < this.#entries.length && this.#entries[i]! <= last; ) {
        this.#named[i] = word
        this.#next[i] = i + 1
        isNamed = true
        i = this.#open(i + 1)
      }
    }
    if (isNamed) this.#words.push({ logIndex, at: printTime(time), policy: { id, version } })
    return isNamed
  }

  /** All of them, as far as they follow each other in a stream and the same drop names them, or none. @param isSound false: no drop counts */
  *runs(isSound: boolean): Generator<AbsentRun> {
    const open = new Map<number, AbsentRun>()
    for (const [i, number] of this.#streamOf.entries()) {
      const [first, last, turn] = [this.#firsts[i]!, this.#lasts[i]!, this.#turns[i]!]
      const drop = (isSound && this.#words[this.#named[i]!]) || null
      const run = open.get(number)
      if (run !== undefined && run.last + 1 === first && run.drop === drop) {
        run.last = last
        continue
      }
      if (run !== undefined) yield run
      open.set(number, { ...this.#streams[number]!, first, last, turn, drop })
    }
    yield* open.values()
  }

  /** The first one of an entry from `logIndex` on. */
  #from(logIndex: number): number {
    let [low, high] = [0, this.#entries.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#entries[middle]! < logIndex) low = middle + 1
      else high = middle
    }
    return low
  }

  /** The first one, from this on, that no drop has named. The way there is shortened for the next that looks. */
  #open(from: number): number {
    let open = from
    while (open < this.#next.length && this.#next[open] !== open) open = this.#next[open]!
    for (let at = from; at < open; ) {
      const behind = this.#next[at]!
      this.#next[at] = open
      at = behind
    }
    return open
  }
}

/** What an event of the ledger's own stream drops; null: nothing, or nobody can read what. */
export function dropIn(event: ParsedEvent): RetentionDrop | null {
  try {
    return parseDrop(event)
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    return null
  }
}
