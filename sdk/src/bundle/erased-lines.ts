/** Prints what erasures take of the events of a bundle, and what their lists hold besides. */
import { equalBytes } from '../core/bytes.ts'
import { type ErasedEvent, erasedLeaf } from '../core/erasure.ts'
import { KillickError } from '../core/errors.ts'
import { type ParsedEvent, parseEvent } from '../core/event.ts'
import { type Hash, printHash } from '../core/hash.ts'
import type { Primitives } from '../core/primitives.ts'
import { GrowingTree, subtreesOf } from './growing-tree.ts'
import type { FoundErasure, LedgerReader } from './ledger-reader.ts'
import { printLine } from './lines.ts'

/** The list of an order, of which the first `at` events have been read. */
type List = { readonly rest: AsyncIterator<ErasedEvent>; at: number }

export class ErasedLines {
  readonly #reader: LedgerReader
  readonly #primitives: Primitives
  readonly #orders: ReadonlyMap<number, FoundErasure>
  /** Log index of the last of them. */
  readonly #last: number
  /** Of the orders that were named so far, and that have not been printed. */
  readonly #lists = new Map<number, List>()

  constructor(reader: LedgerReader, orders: readonly FoundErasure[], primitives: Primitives) {
    this.#reader = reader
    this.#primitives = primitives
    this.#orders = new Map(orders.map((order) => [order.logIndex, order]))
    this.#last = orders.reduce((last, order) => Math.max(last, order.logIndex), -1)
  }

  /** Whether an entry of the log orders an erasure, so that whether it is needed depends on the events before it. */
  isOrder(logIndex: number): boolean {
    return this.#orders.has(logIndex)
  }

  /** Whether an event that was printed names this order. */
  isNamed(logIndex: number): boolean {
    return this.#lists.has(logIndex)
  }

  /** Orders that were named, of entries from `first` to before `end`, by rising log index. */
  namedIn(first: number, end: number): number[] {
    return [...this.#lists.keys()].filter((at) => at >= first && at < end).sort((a, b) => a - b)
  }

  /**
   * The lines behind events of a batch.
   * @param tokens its events, in the order of the batch, which are carried
   */
  async behind(logIndex: number, tokens: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const lines = new Map<string, string>()
    // What names them comes later in the log.
    if (this.#last <= logIndex) return lines
    const lacking = new Map<string, { token: string; event: ParsedEvent }>()
    for (const token of tokens) {
      const event = this.#parsed(token)
      if (event !== null && event.disclosures.length < event.fieldCount)
        lacking.set(printHash(event.leafHash), { token, event })
    }
    if (lacking.size === 0) return lines
    const named = await this.#reader.erased([...lacking.values()].map(({ event }) => event.leafHash))
    for (const one of [...named].sort((a, b) => a.logIndex - b.logIndex || a.pos - b.pos)) {
      const found = lacking.get(printHash(one.leafHash))
      if (found === undefined || one.logIndex <= logIndex || !this.isOrder(one.logIndex)) continue
      const shown = new Set(found.event.disclosures.map(({ text }) => this.#primitives.digest(text)))
      // It is still being carried out, and this event's turn has not come.
      if (one.digests.some((digest) => shown.has(digest))) continue
      const text = (await this.#skip(one.logIndex, one.pos)) + (await this.#own(one.logIndex, one))
      lines.set(found.token, (lines.get(found.token) ?? '') + text)
    }
    return lines
  }

  /** The lines behind an order that was named: the rest of its list. */
  async rest(logIndex: number): Promise<string> {
    const text = await this.#skip(logIndex, this.#orders.get(logIndex)!.events)
    await this.#lists.get(logIndex)!.rest.return?.()
    this.#lists.delete(logIndex)
    return text
  }

  /** Null: somebody has altered it. It is carried as it is, and whoever checks the bundle sees that. */
  #parsed(token: string): ParsedEvent | null {
    try {
      return parseEvent(token, this.#primitives)
    } catch (error) {
      if (!(error instanceof KillickError)) throw error
      return null
    }
  }

  async #own(order: number, own: ErasedEvent): Promise<string> {
    if (!equalBytes(await this.#next(order), erasedLeaf(own)))
      throw malformed(order, 'another event stands in its place')
    return printLine({ kind: 'erased', order, digests: own.digests })
  }

  /** Hashes for what the list of an order has up to a place. */
  async #skip(order: number, place: number): Promise<string> {
    const { at } = this.#listOf(order)
    if (place < at) throw malformed(order, 'it is not in the order of the log')
    let text = ''
    for (const { level } of subtreesOf(at, place)) {
      const tree = new GrowingTree(this.#primitives)
      while (tree.size < 2 ** level) tree.add(await this.#next(order))
      text += printLine({ kind: 'list', order, level, hash: tree.root })
    }
    return text
  }

  async #next(order: number): Promise<Hash> {
    const list = this.#listOf(order)
    const next = await list.rest.next()
    if (next.done) throw malformed(order, 'it ends too early')
    list.at += 1
    return erasedLeaf(next.value)
  }

  #listOf(order: number): List {
    const known = this.#lists.get(order)
    if (known !== undefined) return known
    const list = { rest: this.#reader.erasedList(this.#orders.get(order)!.id)[Symbol.asyncIterator](), at: 0 }
    this.#lists.set(order, list)
    return list
  }
}

const malformed = (order: number, why: string) =>
  new KillickError('answer_malformed', `The list of the erasure at log entry ${order}: ${why}`)
