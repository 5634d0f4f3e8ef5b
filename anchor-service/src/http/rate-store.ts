/** Addresses that are counted at a time; beyond that number the oldest are forgotten. */
const MAX_KEYS = 50_000

type Counts = { endsAt: number; counts: Map<string, number> }
type Answer = (error: Error | null, state: { current: number; ttl: number }) => void

/**
 * Counts requests by address for @fastify/rate-limit. Its own store uses the wall clock: if that is set back an hour,
 * it counts on for an hour and refuses nearly everyone. This one has one window for all, by a clock that only goes forward.
 */
export class RateStore {
  #window: Counts = { endsAt: 0, counts: new Map() }

  /** @param windowMs length of a window, the same for every call */
  incr(key: string, answer: Answer, windowMs: number): void {
    const now = performance.now()
    if (now >= this.#window.endsAt) this.#window = { endsAt: now + windowMs, counts: new Map() }
    const { counts, endsAt } = this.#window
    const current = (counts.get(key) ?? 0) + 1
    counts.set(key, current)
    if (counts.size > MAX_KEYS) counts.delete(counts.keys().next().value!)
    answer(null, { current, ttl: Math.ceil(endsAt - now) })
  }

  /** Requests of the address in this window. */
  read(key: string): number {
    const { counts, endsAt } = this.#window
    return performance.now() < endsAt ? (counts.get(key) ?? 0) : 0
  }

  /** Seconds until its window ends. */
  leftS(): number {
    return Math.max(1, Math.ceil((this.#window.endsAt - performance.now()) / 1000))
  }

  /** A route with a limit of its own counts by itself. */
  child(): RateStore {
    return new RateStore()
  }
}
