/** Notes what of a scope is there while the lines of a bundle are read, and says at the end whether it is all. */
import { endsStream, type ParsedEvent } from '../core/event.ts'
import { printTime } from '../core/time.ts'
import type { BundleScope } from './manifest.ts'
import type { PlaceRun } from './reading.ts'
import { type BundleCompleteness, type BundleGap, Few } from './verdict.ts'

/** An anchor that the chain confirms: at `time` (ms) the log had `size` entries. */
export type Confirmed = { readonly size: number; readonly time: number }

/** A stream, by its source and its own name. */
type Stream = { readonly source: string; readonly stream: string }

export class ScopeWatch {
  readonly #scope: BundleScope
  readonly #gaps = new Few<BundleGap>()
  /** Of each stream of the scope whether its last event ends it. */
  readonly #ended = new Map<string, boolean>()
  /** Of a stream: the place that comes next. */
  #next: number

  constructor(scope: BundleScope) {
    this.#scope = scope
    this.#next = scope.kind === 'stream' ? scope.first : 0
  }

  /** Entries that are not carried, from `first` to before `end`. */
  skipped(first: number, end: number): void {
    if (this.#scope.kind !== 'source') return
    const [from, to] = [Math.max(first, this.#scope.from), Math.min(end, this.#scope.to)]
    if (from < to) this.#gaps.add({ what: 'entries', first: from, last: to - 1 })
  }

  /** A batch of which all lines were read. @param absent runs of places that are not carried, from the first to the last */
  batch({ source, stream }: Stream, logIndex: number, absent: readonly PlaceRun[]): void {
    if (!this.#isWanted(source, logIndex)) return
    for (const [first, last] of absent) this.#gaps.add({ what: 'events', source, stream, first, last })
  }

  /** @param isSupport whether it is carried for the sake of others, whatever the scope */
  event(event: ParsedEvent, logIndex: number, isSupport = false): void {
    if (isSupport && this.#scope.kind === 'search') return
    const { seq } = event
    this.events(event, logIndex, [seq, seq], endsStream(event) ? [seq] : [])
  }

  /** Events of a batch, one behind another. @param ends places of those that end their stream */
  events({ source, stream }: Stream, logIndex: number, [from, to]: PlaceRun, ends: readonly number[]): void {
    const scope = this.#scope
    let [first, last] = [from, to]
    if (scope.kind === 'stream') {
      if (source !== scope.source || stream !== scope.stream) return
      first = Math.max(from, scope.first)
      last = Math.min(to, scope.last)
      if (first > last) return
      this.#gapBefore(first)
      this.#next = last + 1
    } else if (scope.kind === 'source' && !this.#isWanted(source, logIndex)) return
    this.#ended.set(`${source}/${stream}`, ends.includes(last))
  }

  /** @param confirmed anchors that the chain confirms, by rising size @param isSound whether everything in the bundle holds */
  finish(size: number, confirmed: readonly Confirmed[], isSound: boolean): BundleCompleteness {
    const scope = this.#scope
    if (scope.kind === 'stream') this.#gapBefore(scope.last + 1)
    if (scope.kind === 'source' && scope.to > size)
      this.#gaps.add({ what: 'entries', first: Math.max(size, scope.from), last: scope.to - 1 })
    const after = scope.kind === 'source' ? (confirmed.findLast((each) => each.size <= scope.from) ?? null) : null
    const by = scope.kind === 'source' ? (confirmed.find((each) => each.size >= scope.to) ?? null) : null
    return {
      verdict: this.#verdict(isSound, confirmed),
      gaps: this.#gaps.list,
      gapCount: this.#gaps.count,
      after: printTime(after?.time ?? null),
      by: printTime(by?.time ?? null),
      streams: this.#ended.size,
      ended: [...this.#ended.values()].filter(Boolean).length,
    }
  }

  #verdict(isSound: boolean, confirmed: readonly Confirmed[]): BundleCompleteness['verdict'] {
    const scope = this.#scope
    if (!isSound) return 'not_judged'
    if (this.#gaps.count > 0) return 'incomplete'
    if (scope.kind === 'search') return 'as_index_says'
    if (scope.kind === 'stream') return 'complete'
    const { from, to, since, until } = scope
    // What comes before the range was in the log by `since`, and what comes behind it was not yet in the log at `until`.
    const isSince =
      since === null || from === 0 || confirmed.some((it) => it.size >= from && it.time <= Date.parse(since))
    const isUntil = until === null || confirmed.some((it) => it.size <= to && it.time >= Date.parse(until))
    return isSince && isUntil ? 'complete' : 'open'
  }

  #isWanted(source: string, logIndex: number): boolean {
    const scope = this.#scope
    return scope.kind === 'source' && source === scope.source && logIndex >= scope.from && logIndex < scope.to
  }

  #gapBefore(seq: number): void {
    const { source, stream } = this.#scope as Extract<BundleScope, { kind: 'stream' }>
    if (seq > this.#next) this.#gaps.add({ what: 'events', source, stream, first: this.#next, last: seq - 1 })
  }
}
