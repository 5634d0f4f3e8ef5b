/** Holds the times of consecutive events against what their source promised when they came into the log. */
import type { ParsedEvent } from '../core/event.ts'
import type { Registration } from '../core/registry.ts'
import { printTime } from '../core/time.ts'
import type { BundleScope } from './manifest.ts'
import { type BundleSilence, type BundleSilences, Few } from './verdict.ts'

type Settings = Pick<Registration, 'heartbeat' | 'maxAge' | 'maxAhead'>

type Told = Pick<ParsedEvent, 'source' | 'stream' | 'seq' | 'time'>

/** The event of a stream that was read last. */
type Last = Told & { isEnd: boolean; promise: Settings | null }

export class PromiseWatch {
  readonly #silences = new Few<BundleSilence>()
  readonly #settings = new Map<string, Settings>()
  readonly #last = new Map<string, Last>()
  readonly #compared = new Set<string>()
  #pairs = 0

  /** A registration that counts for what follows in the log. */
  registered({ source, heartbeat, maxAge, maxAhead }: Registration): void {
    this.#settings.set(source, { heartbeat, maxAge, maxAhead })
    // Between two events, the loosest promise counts that was in force; none, if there was none for a while.
    for (const last of this.#last.values()) {
      if (last.source !== source || last.promise === null) continue
      const { heartbeat: before } = last.promise
      const both = heartbeat === null || before === null ? null : Math.max(before, heartbeat)
      last.promise = both === null ? null : { heartbeat: both, maxAge, maxAhead }
    }
  }

  /** @param isEnd whether it ends its stream */
  event({ source, stream, seq, time }: Told, isEnd: boolean): void {
    const settings = this.#settings.get(source)
    const promise = settings === undefined || settings.heartbeat === null ? null : settings
    const name = `${source}/${stream}`
    const last = this.#last.get(name)
    if (last?.promise && !last.isEnd && seq === last.seq + 1) {
      this.#pairs += 1
      this.#compared.add(name)
      if (time - last.time > 1000 * last.promise.heartbeat!) this.#add(last, last.promise, time)
    }
    this.#last.set(name, { source, stream, seq, time, isEnd, promise })
  }

  /** The event that was read last has lost fields, and ends its stream, or nobody knows whether it does. */
  mayEnd({ source, stream }: Told): void {
    const last = this.#last.get(`${source}/${stream}`)
    if (last !== undefined) last.isEnd = true
  }

  /** @param isWhole whether everything of the scope is there */
  finish(scope: BundleScope, isWhole: boolean): BundleSilences {
    // What had not come by `until` is only known of where all that had come is there.
    if (scope.kind === 'source' && scope.until !== null && isWhole)
      for (const last of this.#last.values()) {
        if (last.source !== scope.source || last.promise === null || last.isEnd) continue
        if (Date.parse(scope.until) - last.time > 1000 * last.promise.heartbeat!) this.#add(last, last.promise, null)
      }
    return {
      ...{ pairs: this.#pairs, streams: this.#compared.size },
      ...{ found: this.#silences.list, foundCount: this.#silences.count },
    }
  }

  #add({ source, stream, seq, time }: Last, { heartbeat, maxAge, maxAhead }: Settings, to: number | null): void {
    const [from, until] = [printTime(time), printTime(to)]
    this.#silences.add({ source, stream, seq, from, to: until, promised: heartbeat!, maxAge, maxAhead })
  }
}
