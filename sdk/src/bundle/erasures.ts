/** What the log erased of the events of a bundle: docs/PROTOCOL.md §14 and §16. */
import { equalBytes } from '../core/bytes.ts'
import { type Erasure, erasedLeaf } from '../core/erasure.ts'
import type { ParsedEvent } from '../core/event.ts'
import type { Hash } from '../core/hash.ts'
import type { Primitives } from '../core/primitives.ts'
import { printTime } from '../core/time.ts'
import { GrowingTree } from './growing-tree.ts'
import { type BundleErasure, type BundleFields, Few } from './verdict.ts'

/** Most erasures that a bundle may name, and most different sets of them that take of one event. */
export const MAX_BUNDLE_ERASURES = 65_536

/** An event that has been read, while lines behind it may name what is gone of it. */
export type Lacking = {
  readonly event: ParsedEvent
  readonly logIndex: number
  /** Fields that it certainly lacks, and those that it may lack. */
  readonly certain: number
  readonly gone: number
  /** Digests that are named so far, and the orders that name them, by rising log index. */
  readonly named: Set<string>
  readonly orders: number[]
}

/** What counts of it when all that is said of the event was read. */
type Judged = Pick<Lacking, 'certain' | 'gone' | 'orders'> & { readonly named: ReadonlySet<string> }

/**
 * Follows the list of each erasure from its first event to its last, while the events of a bundle go by in the order of the log,
 * which is that of each list. The order itself comes behind them, and says what its list must hash to.
 */
export class ErasureWatch {
  /** The lists so far, by the log index of their orders. */
  readonly #lists = new Map<number, { readonly tree: GrowingTree; events: number }>()
  /** Orders that hold. */
  readonly #words = new Few<BundleErasure>()
  readonly #expiring = new Set<number>()
  /** How many events are named by the same orders, by their log indexes. */
  readonly #sets = new Map<string, number>()
  readonly #primitives: Primitives
  #hidden = 0
  #undecided = 0

  constructor(primitives: Primitives) {
    this.#primitives = primitives
  }

  /** Log indexes of orders that were named, and have not come. */
  get open(): IterableIterator<number> {
    return this.#lists.keys()
  }

  /** Events of an order's list that are not carried. @returns whether they can stand here */
  skipped(order: number, hash: Hash, level: number): boolean {
    return this.#listOf(order)?.tree.add(hash, level) ?? false
  }

  /** What an order takes of an event. @returns whether it can be so */
  erased(order: number, digests: readonly string[], lacking: Lacking): boolean {
    const { event, named, orders, logIndex } = lacking
    const isRising = digests.every((digest, i) => i === 0 || digest > digests[i - 1]!)
    if (!isRising || order <= (orders.at(-1) ?? logIndex)) return false
    const shown = new Set(event.disclosures.map(({ text }) => this.#primitives.digest(text)))
    if (!digests.every((digest) => event.digests.includes(digest) && !shown.has(digest))) return false
    const list = this.#listOf(order)
    if (list === undefined) return false
    list.tree.add(erasedLeaf({ leafHash: event.leafHash, digests }))
    list.events += 1
    orders.push(order)
    for (const digest of digests) named.add(digest)
    return true
  }

  /** To be called when all that is said of an event was read. @returns false: there are too many sets of orders */
  judge({ certain, gone, named, orders }: Judged): boolean {
    if (certain > named.size) this.#hidden += 1
    else if (gone > named.size) this.#undecided += 1
    if (orders.length === 0) return true
    const set = orders.join()
    this.#sets.set(set, (this.#sets.get(set) ?? 0) + 1)
    return this.#sets.size <= MAX_BUNDLE_ERASURES
  }

  /** Whether events before this entry name it as the order of what is gone of them. */
  isNamed(logIndex: number): boolean {
    return this.#lists.has(logIndex)
  }

  /**
   * The order of a list, of which all has been read.
   * @param erasure null: the entry orders none
   * @returns whether the list is what it commits to
   */
  close(logIndex: number, erasure: Erasure | null, time: number): boolean {
    const list = this.#lists.get(logIndex)!
    this.#lists.delete(logIndex)
    if (erasure === null) return false
    const { id, reason, legalBasis, order, policy, confirmed, count, root } = erasure
    if (list.tree.size !== count || !equalBytes(list.tree.root, root)) return false
    if (policy !== null) this.#expiring.add(logIndex)
    this.#words.add({
      ...{ id, logIndex, at: printTime(time), reason, legalBasis, order, events: list.events },
      policy: policy && { id: policy.id, version: policy.version },
      confirmed: confirmed && { orderedBy: confirmed.orderedBy, confirmedBy: confirmed.confirmedBy },
    })
    return true
  }

  /** To be called when every order has come and holds. */
  finish(): BundleFields {
    let [erased, expired] = [0, 0]
    for (const [set, events] of this.#sets)
      if (set.split(',').every((order) => this.#expiring.has(Number(order)))) expired += events
      else erased += events
    const { list: erasures, count: erasureCount } = this.#words
    return { erased, expired, hidden: this.#hidden, undecided: this.#undecided, erasures, erasureCount }
  }

  /** Undefined: there are too many. */
  #listOf(order: number) {
    const known = this.#lists.get(order)
    if (known !== undefined || this.#lists.size >= MAX_BUNDLE_ERASURES) return known
    const list = { tree: new GrowingTree(this.#primitives), events: 0 }
    this.#lists.set(order, list)
    return list
  }
}
