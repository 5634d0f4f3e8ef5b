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

/** Characters of events that are held until it is seen whether an order has come since. */
const MAX_HELD = 4 << 20

export class ErasedLines {
  readonly #reader: LedgerReader
  readonly #primitives: Primitives
  readonly #orders: ReadonlyMap<number, FoundErasure>
  /** Log index of the last of them. */
  readonly #last: number
  /** Of the log that the bundle is of. */
  readonly #size: number
  /** Events behind which no order was known, until it is seen that none has come since; and how many characters they are. */
  #unsettled: string[] = []
  #held = 0
  /** Of the orders that were named so far, and that have not been printed. */
  readonly #lists = new Map<number, List>()

  /** @param size of the log that the bundle is of; orders behind it are left out */
  constructor(reader: LedgerReader, orders: readonly FoundErasure[], size: number, primitives: Primitives) {
    this.#reader = reader
    this.#primitives = primitives
    this.#size = size
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
   * @throws KillickError `bundle_outdated` if what erased fields of them comes behind the end of the bundle's log
   */
  async behind(logIndex: number, tokens: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const lines = new Map<string, string>()
    // What names them comes later in the log.
    if (this.#last <= logIndex) {
      for (const token of tokens) this.#held += token.length
      this.#unsettled.push(...tokens)
      if (this.#held >= MAX_HELD) await this.settle()
      return lines
    }
    const lacking = this.#lacking(tokens)
    if (lacking.size === 0) return lines
    const named = await this.#reader.erased([...lacking.values()].map(({ event }) => event.leafHash))
    for (const one of [...named].sort((a, b) => a.logIndex - b.logIndex || a.pos - b.pos)) {
      const found = lacking.get(printHash(one.leafHash))
      if (found === undefined || one.logIndex <= logIndex) continue
      // It is still being carried out, and this event's turn has not come.
      if (this.#shows(found.event, one)) continue
      if (one.logIndex >= this.#size) throw outdated()
      if (!this.isOrder(one.logIndex)) continue
      const text = (await this.#skip(one.logIndex, one.pos)) + (await this.#own(one.logIndex, one))
      lines.set(found.token, (lines.get(found.token) ?? '') + text)
    }
    return lines
  }

  /**
   * To be called once all events were read.
   * @throws KillickError `bundle_outdated` if what erased fields of them comes behind the end of the bundle's log
   */
  async settle(): Promise<void> {
    const tokens = this.#unsettled
    this.#unsettled = []
    this.#held = 0
    // To ask is cheap, and to parse so many is not.
    if (tokens.length === 0 || (await this.#reader.erasures(this.#size - 1)).length === 0) return
    const lacking = this.#lacking(tokens)
    for (const one of await this.#reader.erased([...lacking.values()].map(({ event }) => event.leafHash))) {
      const found = lacking.get(printHash(one.leafHash))
      if (found !== undefined && one.logIndex >= this.#size && !this.#shows(found.event, one)) throw outdated()
    }
  }

  /** Those that do not show all their fields, by leaf hash. */
  #lacking(tokens: readonly string[]): Map<string, { token: string; event: ParsedEvent }> {
    const lacking = new Map<string, { token: string; event: ParsedEvent }>()
    for (const token of tokens) {
      const event = this.#parsed(token)
      if (event !== null && event.disclosures.length < event.fieldCount)
        lacking.set(printHash(event.leafHash), { token, event })
    }
    return lacking
  }

  /** Whether an event still shows something of what is erased of it. */
  #shows(event: ParsedEvent, { digests }: ErasedEvent): boolean {
    const shown = new Set(event.disclosures.map(({ text }) => this.#primitives.digest(text)))
    return digests.some((digest) => shown.has(digest))
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

const outdated = () => new KillickError('bundle_outdated', 'Fields were erased while the bundle was made')

const malformed = (order: number, why: string) =>
  new KillickError('answer_malformed', `The list of the erasure at log entry ${order}: ${why}`)
