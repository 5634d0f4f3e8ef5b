/** Notes what of a scope is there while the lines of a bundle are read, and says at the end whether it is all. */
import { endsStream, type ParsedEvent } from '../core/event.ts'
import { SYSTEM } from '../core/registry.ts'
import type { RetentionDrop } from '../core/retention.ts'
import { printTime } from '../core/time.ts'
import type { PinnedLog } from '../verify/trust.ts'
import { AbsentPlaces, type Stream } from './drops.ts'
import type { BundleScope } from './manifest.ts'
import type { PlaceRun } from './reading.ts'
import { type BundleCompleteness, type BundleDropped, type BundleGap, Few } from './verdict.ts'

/** An anchor that the chain confirms: at `time` (ms) the log as anchored there had `size` entries. `log`: where that is, as `nameOfLog` has it */
export type Confirmed = { readonly log: string; readonly size: number; readonly time: number }

export class ScopeWatch {
  readonly #scope: BundleScope
  readonly #gaps = new Few<BundleGap>()
  readonly #gone = { events: 0, entries: 0 }
  readonly #absent = new AbsentPlaces()
  /** Of each stream of the scope, as far as its last place is carried, whether the event there ends it. */
  readonly #ended = new Map<string, boolean>()
  /** Of a stream: the place that comes next. */
  #next: number
  /** Of each stream of a source: the place that comes next, and the entry that says so. */
  readonly #streams = new Map<string, { readonly next: number; readonly logIndex: number }>()
  /** Of a source: behind the last entry in its range that is not carried. */
  #carriedFrom = 0

  constructor(scope: BundleScope) {
    this.#scope = scope
    this.#next = scope.kind === 'stream' ? scope.first : 0
  }

  /** Entries that are not carried, from `first` to before `end`. */
  skipped(first: number, end: number): void {
    if (this.#scope.kind !== 'source') return
    const [from, to] = [Math.max(first, this.#scope.from), Math.min(end, this.#scope.to)]
    if (from >= to) return
    this.#gap({ what: 'entries', first: from, last: to - 1 })
    this.#carriedFrom = to
  }

  /**
   * Whether places of a batch that are not carried are of the scope. Of a batch that a search has found, those are that it found; all may be
   * if none of the batch is carried.
   * @param isBare whether there is but its header
   */
  lacks({ source, stream }: Stream, logIndex: number, absent: readonly PlaceRun[], isBare: boolean): boolean {
    const scope = this.#scope
    if (scope.kind === 'source') return absent.length > 0 && this.#isWanted(source, logIndex)
    if (scope.kind === 'search') return isBare && source !== SYSTEM.source
    const isOwn = source === scope.source && stream === scope.stream
    return isOwn && absent.some(([first, last]) => first <= scope.last && last >= scope.first)
  }

  /** Whether nobody can say what else belongs to the scope. */
  get isSearch(): boolean {
    return this.#scope.kind === 'search'
  }

  /** Places of a batch for which `lacks` says so, in the order of its lines. @returns false: there are too many such batches */
  absent({ source, stream }: Stream, logIndex: number, [from, to]: PlaceRun): boolean {
    const scope = this.#scope
    let [first, last] = [from, to]
    if (scope.kind === 'stream') {
      first = Math.max(from, scope.first, this.#next)
      last = Math.min(to, scope.last)
      if (first > last) return true
      this.#gapBefore(first)
      this.#next = last + 1
    } else if (scope.kind === 'source') this.#follow({ source, stream }, logIndex, from, to)
    // Whether what is missing ended it, nobody knows.
    this.#ended.delete(`${source}/${stream}`)
    return this.#absent.add({ source, stream }, logIndex, [first, last], this.#gaps.turn())
  }

  /** What an event of the log drops. @param time when it was recorded, ms @returns whether it names something that is missing here */
  dropped(drop: RetentionDrop, logIndex: number, time: number): boolean {
    // No policy covers what the ledger itself records.
    const isOwn = this.#scope.kind !== 'search' && this.#scope.source === SYSTEM.source
    return !isOwn && this.#absent.name(drop, logIndex, time)
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
    } else if (scope.kind === 'source') {
      if (!this.#isWanted(source, logIndex)) return
      this.#follow({ source, stream }, logIndex, from, to)
    }
    this.#ended.set(`${source}/${stream}`, ends.includes(last))
  }

  /** What an event that has lost fields, the last that was given, still tells of the end of its stream; null: nothing. */
  ends({ source, stream, seq }: ParsedEvent, logIndex: number, end: boolean | null): void {
    const scope = this.#scope
    const isOwn =
      scope.kind === 'stream'
        ? source === scope.source && stream === scope.stream && seq >= scope.first && seq <= scope.last
        : scope.kind === 'search' || this.#isWanted(source, logIndex)
    if (!isOwn) return
    if (end === null) this.#ended.delete(`${source}/${stream}`)
    else this.#ended.set(`${source}/${stream}`, end)
  }

  /**
   * @param reach how far anchors of pinned logs reach @param isSound whether everything in the bundle holds
   */
  finish(size: number, reach: Reach, isSound: boolean): BundleCompleteness {
    const { logs, confirmed } = reach
    const scope = this.#scope
    if (scope.kind === 'stream') this.#gapBefore(scope.last + 1)
    if (scope.kind === 'source' && scope.to > size)
      this.#gap({ what: 'entries', first: Math.max(size, scope.from), last: scope.to - 1 })
    const dropped = this.#told(isSound)
    const { after, by } = scope.kind === 'source' ? boundsOf(scope, logs, confirmed) : { after: null, by: null }
    const isReached = isReachedBy(scope, reach)
    return {
      verdict: this.#verdict(isSound, isReached, dropped.events > 0),
      gaps: this.#gaps.list,
      gapCount: this.#gaps.count,
      absent: { ...this.#gone },
      dropped,
      isReached,
      heads: isReached ? latest(reach.heads) : [],
      after: printTime(after),
      by: printTime(by),
      streams: this.#ended.size,
      ended: [...this.#ended.values()].filter(Boolean).length,
    }
  }

  /** Tells of all that is not carried, now that what names it has come, or will not come any more. */
  #told(isSound: boolean): BundleCompleteness['dropped'] {
    const dropped = new Few<BundleDropped>()
    let events = 0
    for (const { source, stream, first, last, turn, drop } of this.#absent.runs(isSound)) {
      if (drop !== null) {
        dropped.add({ source, stream, first, last, ...drop }, turn)
        events += last - first + 1
      } else if (this.#scope.kind !== 'search') this.#gap({ what: 'events', source, stream, first, last }, turn)
    }
    return { events, found: dropped.list, foundCount: dropped.count }
  }

  #verdict(isSound: boolean, isReached: boolean, isDropped: boolean): BundleCompleteness['verdict'] {
    const scope = this.#scope
    if (!isSound) return 'not_judged'
    if (scope.kind === 'search') return 'as_index_says'
    if (this.#gaps.count > 0 || isDropped) return 'incomplete'
    return isReached ? 'complete' : 'open'
  }

  #isWanted(source: string, logIndex: number): boolean {
    const scope = this.#scope
    return scope.kind === 'source' && source === scope.source && logIndex >= scope.from && logIndex < scope.to
  }

  /** Places of a stream of a source. If it jumps while each entry is carried, the log itself lacks what is between. */
  #follow({ source, stream }: Stream, logIndex: number, first: number, last: number): void {
    const name = `${source}/${stream}`
    const { from } = this.#scope as SourceScope
    // What came before the range nobody knows here.
    const before = this.#streams.get(name) ?? (from === 0 ? { next: 0, logIndex: 0 } : null)
    this.#streams.set(name, { next: last + 1, logIndex })
    if (before !== null && first > before.next && this.#carriedFrom <= before.logIndex)
      this.#gap({ what: 'events', source, stream, first: before.next, last: first - 1 })
  }

  #gapBefore(seq: number): void {
    const { source, stream } = this.#scope as Extract<BundleScope, { kind: 'stream' }>
    if (seq > this.#next) this.#gap({ what: 'events', source, stream, first: this.#next, last: seq - 1 })
  }

  #gap(gap: BundleGap, turn = this.#gaps.turn()): void {
    this.#gaps.add(gap, turn)
    this.#gone[gap.what] += gap.last - gap.first + 1
  }
}

/** What pinned logs show of the time. */
export type Reach = {
  /** Their names, as `nameOfLog` has them. */
  readonly logs: readonly string[]
  /** Anchors in them that the chain confirms, by rising size. */
  readonly confirmed: readonly Confirmed[]
  /** What nodes said of some of them: as of `time` (ms) no more than `size` entries were anchored there. */
  readonly heads: readonly (Confirmed & PinnedLog)[]
}

/**
 * Pinned logs of which no confirmed anchor shows how much they had when the time ended that was asked for, while one of another log does. Only then does
 * it help to ask the chain: what was accepted by that time, and is anchored nowhere, no head shows.
 */
export function unshown(scope: BundleScope, logs: readonly string[], confirmed: readonly Confirmed[]): string[] {
  if (scope.kind !== 'source' || scope.until === null) return []
  const without = logs.filter((log) => !isShown(scope, log, confirmed))
  return without.length < logs.length ? without : []
}

/** Whether anchors show that the entries of a scope reach as far as the times that were asked for. */
function isReachedBy(scope: BundleScope, { logs, confirmed, heads }: Reach): boolean {
  if (scope.kind !== 'source') return true
  const { from, to, since, until } = scope
  // What comes before the range was in the log by `since`, and what comes behind it was not in the log as anchored at `until` or later.
  const isSince =
    since === null || from === 0 || confirmed.some((it) => it.size >= from && it.time <= Date.parse(since))
  if (until === null || !isSince) return isSince
  // A log that is anchored on several chains is anchored late on one of them; another may have had more by then, and whoever made the
  // bundle need not name the anchor that says so. So each has to show it, or the chain says that there is no such anchor.
  const end = Date.parse(until)
  const isAhead = confirmed.some((it) => it.size > to && it.time <= end)
  const open = logs.filter((log) => !isShown(scope, log, confirmed))
  return !isAhead && open.length < logs.length && open.every((log) => isBehind(scope, log, heads))
}

/** Whether an anchor shows that a log had no entry behind the range when the time ended that was asked for. */
function isShown({ to, until }: SourceScope, log: string, confirmed: readonly Confirmed[]): boolean {
  return confirmed.some((it) => it.log === log && it.size <= to && it.time >= Date.parse(until!))
}

/** Whether all nodes that were asked say the same, and one of them of a time that is late enough. */
function isBehind({ to, until }: SourceScope, log: string, heads: Reach['heads']): boolean {
  const told = heads.filter((head) => head.log === log)
  return told.every(({ size }) => size <= to) && told.some(({ time }) => time >= Date.parse(until!))
}

/** Of what nodes said of each log, the latest. */
function latest(heads: Reach['heads']): BundleCompleteness['heads'] {
  const rising = [...heads].sort((a, b) => a.time - b.time)
  return [...new Map(rising.map((head) => [head.log, head])).values()].map(
    ({ chainId, contract, logId, size, time }) => ({ chainId, contract, logId, size, at: printTime(time)! }),
  )
}

type SourceScope = Extract<BundleScope, { kind: 'source' }>

/** When none of the entries was in any of the logs yet, and when all of them were in one. ms; null: nobody can tell */
function boundsOf(
  { from, to }: SourceScope,
  logs: readonly string[],
  confirmed: readonly Confirmed[],
): { after: number | null; by: number | null } {
  const without = logs.map((log) => confirmed.findLast((it) => it.log === log && it.size <= from)?.time)
  const isKnown = (time: number | undefined) => time !== undefined
  const withAll = confirmed.filter(({ size }) => size >= to).map(({ time }) => time)
  return {
    after: without.length > 0 && without.every(isKnown) ? Math.min(...without) : null,
    by: withAll.length > 0 ? Math.min(...withAll) : null,
  }
}
