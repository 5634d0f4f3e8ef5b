/**
 * Keeps the entries that were used last, within a number of bytes. The caller says how many bytes an entry takes. The entry used
 * longest ago is dropped first, and one larger than the whole room is not kept.
 */
export class Lru<V> {
  readonly maxBytes: number
  #bytes = 0
  #hits = 0
  #misses = 0
  readonly #kept = new Map<string, { value: V; bytes: number }>()

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  get(name: string): V | undefined {
    const found = this.#kept.get(name)
    if (found === undefined) {
      this.#misses++
      return undefined
    }
    this.#hits++
    this.#kept.delete(name)
    this.#kept.set(name, found)
    return found.value
  }

  /** Without using it. */
  has(name: string): boolean {
    return this.#kept.has(name)
  }

  set(name: string, value: V, bytes: number): void {
    this.delete(name)
    if (bytes > this.maxBytes) return
    this.#kept.set(name, { value, bytes })
    this.#bytes += bytes
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= this.maxBytes) break
      this.delete(oldest)
    }
  }

  delete(name: string): void {
    this.#bytes -= this.#kept.get(name)?.bytes ?? 0
    this.#kept.delete(name)
  }

  clear(): void {
    this.#kept.clear()
    this.#bytes = 0
  }

  /** Since the beginning; `bytes` and `size` are what is kept now. */
  get counts(): { hits: number; misses: number; bytes: number; size: number } {
    return { hits: this.#hits, misses: this.#misses, bytes: this.#bytes, size: this.#kept.size }
  }
}
