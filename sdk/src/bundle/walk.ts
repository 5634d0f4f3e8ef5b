/** Reads `log.txt` from top to bottom: makes the log's tree, opens the batches that are carried, and checks every signature. */
import { type BatchHeader, parseBatchHeader, requiredAbsent } from '../core/batch.ts'
import { equalBytes } from '../core/bytes.ts'
import { parseErasure } from '../core/erasure.ts'
import { KillickError } from '../core/errors.ts'
import { endsStream, type ParsedEvent, parseEvent, stillEndsStream } from '../core/event.ts'
import type { Hash } from '../core/hash.ts'
import { algOf } from '../core/jwk.ts'
import { headerReader } from '../core/jws.ts'
import { type Registration, SYSTEM } from '../core/registry.ts'
import { dropIn } from './drops.ts'
import { GrowingTree } from './growing-tree.ts'
import { registrationIn } from './keys.ts'
import { type LogLine, MAX_LINE_BYTES, parseLine } from './lines.ts'
import type { EntryReading, MaybeSigned, StretchReading } from './reading.ts'
import { endless } from './stretches.ts'
import type { BundlePlace, BundleReason } from './verdict.ts'
import type { OpenBatch, WalkParts } from './walk-parts.ts'

const NOTHING: ReadonlySet<string> = new Set()
/** Signatures that may be under way before reading goes on. */
const IN_FLIGHT = 256

export class BundleWalk {
  entries = 0
  events = 0
  /** Of these, how many are of entries that no anchor covers. */
  unanchored = 0
  registrations = 0
  signatures = 0
  /** Lines of either kind, whatever they hold. */
  readonly lines = { entry: 0, event: 0 }
  readonly roots = new Map<number, Hash>()
  readonly #parts: WalkParts
  readonly #tree: GrowingTree
  /** Of each stream the place that comes next, and the leaf hash before it if it is known. */
  readonly #streams = new Map<string, { next: number; leaf: Hash | null }>()
  #pending: Promise<void>[] = []
  #open: OpenBatch | null = null
  #line = 0
  /** The headers of signatures repeat. */
  readonly #read = { entry: headerReader(), event: headerReader() }

  constructor(parts: WalkParts) {
    this.#parts = parts
    this.#tree = new GrowingTree(parts.primitives)
    this.#note()
  }

  get size(): number {
    return this.#tree.size
  }

  get root(): Hash {
    return this.#tree.root
  }

  /**
   * Takes the next lines.
   * @param make makes them, without their line feeds @param reading what was read in them, by whoever; null: nothing
   * @throws KillickError `bundle_malformed` if one is longer than any may be
   */
  async take(make: () => readonly string[], reading: StretchReading | null): Promise<void> {
    let made: readonly string[] | null = null
    const lines = () => {
      made ??= make()
      return made
    }
    let at = 0
    const takeUntil = async (end: number) => {
      for (; at < end; at++) await this.#take(lines()[at]!, reading?.signed[at] ?? null)
    }
    for (const entry of reading?.entries ?? []) {
      await takeUntil(entry.line)
      if (await this.#whole(entry)) at += entry.lines
    }
    await takeUntil(reading?.signed.length ?? lines().length)
  }

  async #take(text: string, signed: MaybeSigned): Promise<void> {
    if (text.length > MAX_LINE_BYTES) throw endless('A line')
    this.#line += 1
    const line = parseLine(text)
    if (line?.kind === 'entry' || line?.kind === 'event') this.lines[line.kind] += 1
    if (line === null) this.#fault('malformed')
    else if (line.kind === 'tree') {
      await this.#close()
      const first = this.size
      if (this.#tree.add(line.hash, line.level)) this.#parts.watch.skipped(first, this.size)
      else this.#fault('place_mismatch', { logIndex: first })
      this.#note()
    } else if (line.kind === 'entry') {
      await this.#close()
      this.#entry(line.text, signed)
    } else if (this.#open === null) this.#fault('place_mismatch')
    else if (line.kind === 'event') this.#event(this.#open, line.text, signed)
    else if (line.kind === 'node') this.#node(this.#open, line.level, line.hash)
    else this.#erasure(this.#open, line)
    if (this.#pending.length >= IN_FLIGHT) await this.#settle()
  }

  /**
   * Takes an entry with all its lines, as `#take` would one after another.
   * @returns false, and nothing is taken: it does not follow what is there, or its keys may not sign here
   */
  async #whole(entry: EntryReading): Promise<boolean> {
    const { keys, watch, silence, erasures, onEvent } = this.#parts
    const { source, stream, carried, absent, times, ends, signer } = entry
    if (onEvent !== null && times.length > 0) return false
    await this.#close()
    const logIndex = this.size
    if (watch.lacks(entry, logIndex, absent, entry.lines === 1)) return false
    const name = `${source}/${stream}`
    const first = carried[0]?.[0]
    if (first !== undefined) {
      const known = this.#streams.get(name)
      if (known !== undefined && first < known.next) return false
      const leaf = known?.next === first ? known.leaf : null
      if (leaf !== null && (entry.prev === undefined || !equalBytes(entry.prev, leaf))) return false
    }
    if (entry.lines > 1)
      for (const kid of [signer, entry.kid])
        if (kid !== null && 'reason' in keys.find(source, kid, logIndex)) return false

    this.#line += entry.lines
    this.lines.entry += 1
    this.lines.event += times.length
    this.entries += 1
    this.#count(times.length, logIndex)
    this.signatures += entry.lines > 1 ? entry.signed + 1 : 0
    this.#tree.add(entry.leafHash)
    this.#note()
    let i = 0
    for (const [from, to] of carried) {
      watch.events(entry, logIndex, [from, to], ends)
      for (let seq = from; seq <= to; seq++, i++)
        silence.event({ source, stream, seq, time: times[i]! }, ends.includes(seq))
    }
    for (const { gone, required } of entry.lacking) {
      const certain = keys.hasDecoys(source) ? required : gone
      erasures.judge({ certain, gone, named: NOTHING, orders: [] })
    }
    if (first !== undefined) this.#streams.set(name, { next: carried.at(-1)![1] + 1, leaf: entry.last! })
    return true
  }

  #count(events: number, logIndex: number): void {
    this.events += events
    if (logIndex >= this.#parts.anchored) this.unanchored += events
  }

  /** To be called behind the last line. */
  async finish(): Promise<void> {
    await this.#close()
    for (const logIndex of this.#parts.erasures.open) this.#fault('erasure_invalid', { logIndex })
    await this.#settle()
  }

  #entry(text: string, signed: MaybeSigned): void {
    const logIndex = this.size
    const parse = () => parseBatchHeader(text, this.#parts.primitives, this.#read.entry)
    const header = this.#parsed(parse, 'header_invalid', { logIndex })
    // Nobody could say what the tree is from here on; the root will not fit.
    if (header === null) return
    this.#tree.add(header.leafHash)
    this.entries += 1
    this.#note()
    const tree = new GrowingTree(this.#parts.primitives)
    this.#open = {
      header,
      logIndex,
      line: this.#line,
      tree,
      signed,
      lines: 0,
      before: null,
      lacking: null,
      own: null,
    }
  }

  #node(open: OpenBatch, level: number, hash: Hash): void {
    this.#judgeFields(open)
    const { header, tree, logIndex } = open
    const { watch } = this.#parts
    open.lines += 1
    const first = header.seq + tree.size
    const run = [first, first + 2 ** level - 1] as const
    if (run[1] >= header.seq + header.n || !tree.add(hash, level)) {
      this.#fault('place_mismatch', placeOf(open))
      return
    }
    if (watch.lacks(header, logIndex, [run], false) && !watch.absent(header, logIndex, run)) this.#fault('malformed')
    open.before = null
  }

  #event(open: OpenBatch, token: string, signed: MaybeSigned): void {
    this.#judgeFields(open)
    const { header, tree, logIndex } = open
    open.lines += 1
    const seq = header.seq + tree.size
    const place = { ...placeOf(open), seq }
    const parse = () => parseEvent(token, this.#parts.primitives, this.#read.event)
    const event = this.#parsed(parse, 'event_invalid', place)
    if (event === null) return
    if (
      event.source !== header.source ||
      event.stream !== header.stream ||
      event.seq !== seq ||
      tree.size >= header.n
    ) {
      this.#fault('place_mismatch', place)
      return
    }
    tree.add(event.leafHash)
    this.#chain(event, open.before, place)
    open.before = event.leafHash
    if (header.source === SYSTEM.source && header.stream === SYSTEM.stream && header.n === 1) {
      // Its signature is checked with that of its batch, because what it registers counts from here on.
      open.own = { event, signed }
      return
    }
    this.#count(1, logIndex)
    this.#parts.watch.event(event, logIndex)
    this.#parts.silence.event(event, endsStream(event))
    this.#parts.onEvent?.(event, logIndex)
    const { certain, gone } = this.#goneOf(event)
    if (gone > 0) open.lacking = { event, logIndex, certain, gone, named: new Set(), orders: [] }
    if (event.signature) this.#check(event.source, event.signature, logIndex, { ...this.#here(), ...place }, signed)
  }

  /** What is gone of the event before it; or, behind an order, what else is in its list. */
  #erasure({ lacking, own, ...open }: OpenBatch, line: Extract<LogLine, { order: number }>): void {
    const { erasures } = this.#parts
    const { order } = line
    const isBehind = own !== null && order === open.logIndex && erasures.isNamed(order)
    const isOf = lacking !== null && order > open.logIndex
    const holds =
      line.kind === 'list'
        ? (isBehind || isOf) && erasures.skipped(order, line.hash, line.level)
        : isOf && erasures.erased(order, line.digests, lacking)
    if (!holds) this.#fault('erasure_invalid', { logIndex: order })
  }

  /** How many fields an event lacks, for certain and at most. */
  #goneOf(event: ParsedEvent): { certain: number; gone: number } {
    const gone = event.fieldCount - event.disclosures.length
    // Of a source that adds digests of no field, only what every event has is certain.
    const isVague = gone > 0 && this.#parts.keys.hasDecoys(event.source)
    return { certain: isVague ? requiredAbsent(event).length : gone, gone }
  }

  #judgeFields(open: OpenBatch): void {
    const { lacking } = open
    open.lacking = null
    if (lacking === null) return
    const { erasures, watch, silence } = this.#parts
    if (!erasures.judge(lacking)) this.#fault('malformed')
    // What nobody ordered is gone by the maker's will, and lets no silence pass, also where orders took other fields.
    const isOrdered = lacking.orders.length > 0 && lacking.certain <= lacking.named.size
    const end = isOrdered ? stillEndsStream(lacking.event) : false
    if (end === false) return
    watch.ends(lacking.event, lacking.logIndex, end)
    silence.mayEnd(lacking.event)
  }

  /** An event must follow the one before it, where that is known, and no two may stand in one place of a stream. */
  #chain(event: ParsedEvent, before: Hash | null, place: Partial<BundlePlace>): void {
    const name = `${event.source}/${event.stream}`
    const known = this.#streams.get(name)
    if (known !== undefined && event.seq < known.next) this.#fault('stream_forked', place)
    const leaf = before ?? (known?.next === event.seq ? known.leaf : null)
    if (leaf !== null && (event.prev === undefined || !equalBytes(event.prev, leaf))) this.#fault('chain_broken', place)
    this.#streams.set(name, { next: event.seq + 1, leaf: event.leafHash })
  }

  /** What is to be said of a batch when all its lines have been read. */
  async #close(): Promise<void> {
    const open = this.#open
    this.#open = null
    if (open === null) return
    this.#judgeFields(open)
    const { header, logIndex, tree, lines, own, signed } = open
    const place = { ...this.#here(open.line), ...placeOf(open) }
    if (lines === 0) {
      this.#bare(open, place)
      return
    }
    if (tree.size < header.n) this.#add('batch_incomplete', place)
    else if (!equalBytes(tree.root, header.root)) this.#add('batch_root_mismatch', place)
    if (own === null) this.#check(header.source, header.signature, logIndex, place, signed)
    else await this.#register(own, open, place)
  }

  /** A batch of which no event is carried. If it is of the scope, its header must hold: what it has may have been dropped. */
  #bare({ header, logIndex, signed }: OpenBatch, place: BundlePlace): void {
    const { watch, keys } = this.#parts
    const { source, stream, seq, n, signature } = header
    const run = [seq, seq + n - 1] as const
    // Of other batches only the place in the log is shown, and nothing is said.
    if (!watch.lacks(header, logIndex, [run], true)) return
    if (watch.isSearch && 'reason' in keys.find(source, signature.kid, logIndex)) return
    const name = `${source}/${stream}`
    if (seq < (this.#streams.get(name)?.next ?? 0)) this.#add('stream_forked', place)
    this.#streams.set(name, { next: seq + n, leaf: null })
    if (!watch.absent(header, logIndex, run)) this.#add('malformed', place)
    this.#check(source, signature, logIndex, place, signed)
  }

  async #register(
    { event, signed }: NonNullable<OpenBatch['own']>,
    { header, logIndex, signed: isHeaderSigned }: OpenBatch,
    place: BundlePlace,
  ): Promise<void> {
    const registration = registrationIn(event)
    const found: Registration | null = registration === 'fault' ? null : registration
    if (registration === 'fault') this.#add('registration_invalid', place)
    // Only what is found in this very entry says whether its registration counts.
    if (found !== null) await this.#settle()
    const before = this.#parts.faults.count
    this.#check(header.source, header.signature, logIndex, place, isHeaderSigned, found)
    if (event.signature) this.#check(event.source, event.signature, logIndex, place, signed, found)
    const { watch, erasures, onEvent } = this.#parts
    const isNamed = erasures.isNamed(logIndex)
    const drop = dropIn(event)
    const isDrop = drop !== null && watch.dropped(drop, logIndex, event.time)
    watch.event(event, logIndex, registration !== null || isNamed || isDrop)
    if (isNamed) {
      const order = this.#parsed(() => parseErasure(event), 'erasure_invalid', place)
      if (!erasures.close(logIndex, order, event.time)) this.#add('erasure_invalid', place)
      return
    }
    if (registration === null) {
      if (isDrop) return
      this.#count(1, logIndex)
      // No order takes anything of what the ledger itself records.
      erasures.judge({ ...this.#goneOf(event), named: NOTHING, orders: [] })
      onEvent?.(event, logIndex)
      return
    }
    this.registrations += 1
    if (found === null) return
    // The next entry may depend on what this one registers.
    await this.#settle()
    const isSigned = this.#parts.faults.count === before
    if (isSigned && this.#parts.keys.apply(found, event, logIndex, header.signature.kid))
      this.#parts.silence.registered(found)
    else this.#add('registration_invalid', place)
  }

  #check(
    source: string,
    signature: BatchHeader['signature'],
    logIndex: number,
    place: BundlePlace,
    signed: MaybeSigned,
    registration: Registration | null = null,
  ): void {
    const { keys, checkSignature, faults } = this.#parts
    const found = keys.find(source, signature.kid, logIndex, registration)
    if ('reason' in found) {
      this.#add(found.reason, place)
      return
    }
    const turn = faults.turn()
    const told = (isValid: boolean): void => {
      if (isValid) this.signatures += 1
      else faults.add({ ...place, reason: 'signature_invalid' }, turn)
    }
    const answer = signed ?? (algOf(found.jwk) === signature.alg && checkSignature(found.jwk, signature))
    if (typeof answer === 'boolean') told(answer)
    else this.#pending.push(answer.then(told))
  }

  async #settle(): Promise<void> {
    const pending = this.#pending
    this.#pending = []
    await Promise.all(pending)
  }

  #parsed<T>(parse: () => T, reason: BundleReason, place: Partial<BundlePlace>): T | null {
    try {
      return parse()
    } catch (error) {
      if (!(error instanceof KillickError)) throw error
      this.#parts.faults.add({ ...this.#here(), ...place, reason, code: error.code })
      return null
    }
  }

  #note(): void {
    if (this.#parts.edges.has(this.size)) this.roots.set(this.size, this.root)
  }

  #here(line = this.#line): BundlePlace {
    return { file: 'log.txt', line }
  }

  #fault(reason: BundleReason, place: Partial<BundlePlace> = {}): void {
    this.#add(reason, { ...this.#here(), ...place })
  }

  #add(reason: BundleReason, place: BundlePlace): void {
    this.#parts.faults.add({ ...place, reason })
  }
}

const placeOf = ({ header: { source, stream, seq }, logIndex }: OpenBatch): Partial<BundlePlace> => ({
  ...{ logIndex, source, stream, seq },
})
