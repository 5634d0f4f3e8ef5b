/**
 * Something limited that all emitters share, such as requests under way or bytes in memory. An emitter gets as much as is left free
 * besides: one that floods takes half, two take a third each, and the next one always finds something. (In switches this is known
 * as the dynamic threshold of Choudhury and Hahne.)
 */
export class FairShare {
  readonly #capacity: number
  readonly #held = new Map<string, number>()
  #total = 0

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get total(): number {
    return this.#total
  }

  /** Takes `amount`, if the emitter may have it. */
  take(emitter: string, amount: number): boolean {
    const held = (this.#held.get(emitter) ?? 0) + amount
    if (held > this.#capacity - this.#total) return false
    this.#held.set(emitter, held)
    this.#total += amount
    return true
  }

  /** Gives back what was taken. */
  give(emitter: string, amount: number): void {
    const held = this.#held.get(emitter)! - amount
    if (held === 0) this.#held.delete(emitter)
    else this.#held.set(emitter, held)
    this.#total -= amount
  }
}
