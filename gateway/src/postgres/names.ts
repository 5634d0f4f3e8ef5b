// What a name stands for: prepared statements and portals. The server may refuse to give a name, and the client need not wait to hear of it.

/** A name that was asked for (or given up: null), until the server has answered. */
export type Naming<T> = { readonly name: string; readonly value: T | null; readonly segment: number }

/** It depends on answers that have not come yet; all of them come once the server has answered the syncs that it was sent. */
export const UNCERTAIN = Symbol('uncertain')

/**
 * The names of a session. A *segment* is what a client sends between two syncs: after an error in it the server skips the rest of it, so
 * within a segment the newest meaning of a name is the one that holds, or nothing is executed at all.
 */
export class GivenNames<T> {
  readonly #known = new Map<string, T>()
  readonly #asked = new Map<string, Naming<T>[]>()

  ask(name: string, value: T | null, segment: number): Naming<T> {
    const naming = { name, value, segment }
    const asked = this.#asked.get(name)
    if (asked) asked.push(naming)
    else this.#asked.set(name, [naming])
    return naming
  }

  /** The server has given, or given up, the name. */
  confirm(naming: Naming<T>): void {
    this.drop(naming)
    if (naming.value === null) this.#known.delete(naming.name)
    else this.#known.set(naming.name, naming.value)
  }

  /** The server has refused, or skipped it. */
  drop(naming: Naming<T>): void {
    const asked = this.#asked.get(naming.name)
    const at = asked?.indexOf(naming) ?? -1
    if (at >= 0) asked!.splice(at, 1)
    if (asked?.length === 0) this.#asked.delete(naming.name)
  }

  /** The server has given up all of them. */
  clear(): void {
    this.#known.clear()
  }

  /**
   * @param segment the one in which the name is used
   * @param isShared whether it may have been given where nobody saw it
   * @returns undefined if it stands for nothing that has passed here
   */
  meaning(name: string, segment: number, isShared: boolean): T | undefined | typeof UNCERTAIN {
    const asked = this.#asked.get(name)
    const newest = asked?.at(-1)
    if (newest === undefined) return this.#known.get(name)
    if (newest.segment === segment) return newest.value ?? undefined
    // If it is refused, the name stands for nothing, and what uses it fails.
    if (asked!.length === 1 && !this.#known.has(name) && !isShared) return newest.value ?? undefined
    return UNCERTAIN
  }

  get size(): number {
    return this.#known.size + this.#asked.size
  }
}
