/**
 * Reads a stretch of `log.txt`: all that can be said without the rest, so that it can be done on any thread. Entries in which nothing is
 * unusual come back in sum; of the others the lines are taken one by one, in their order, by who judges.
 */
import { type BatchHeader, parseBatchHeader, requiredAbsent } from '../core/batch.ts'
import { equalBytes } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { endsStream, type ParsedEvent, parseEvent } from '../core/event.ts'
import type { Hash } from '../core/hash.ts'
import { algOf, type PublicJwk, thumbprint } from '../core/jwk.ts'
import { headerReader, type ReadHeader } from '../core/jws.ts'
import { PORTABLE, type Primitives } from '../core/primitives.ts'
import { SYSTEM } from '../core/registry.ts'
import { GrowingTree } from './growing-tree.ts'
import { parseLine } from './lines.ts'

/** Checks a signature; `verifySignature` of `@killick/sdk/core`, or a platform's own with the same answers. */
export type CheckSignature = (jwk: PublicJwk, signature: BatchHeader['signature']) => boolean | Promise<boolean>

/** Whether a signature verifies under the key that it names; null: that key is not known, or nobody has looked. */
export type MaybeSigned = boolean | null

/** A run of places, from the first to the last. */
export type PlaceRun = readonly [first: number, last: number]

/** An entry whose signatures verify, with lines that belong to it, each event behind the one before it, and the root that it is signed for. */
export type EntryReading = {
  /** Its header's line in the stretch, from 0, and how many lines it has with that. */
  readonly line: number
  readonly lines: number
  readonly source: string
  readonly stream: string
  readonly leafHash: Hash
  /** Who signed it; of no account if it has no other lines, which may be whether it verifies or not. */
  readonly kid: string
  /** Places that are carried and that are not. */
  readonly carried: readonly PlaceRun[]
  readonly absent: readonly PlaceRun[]
  /** Of the events: `prev` of the first, leaf hash of the last, when each was recorded (ms), places of those that end the stream. */
  readonly prev: Hash | undefined
  readonly last: Hash | undefined
  readonly times: readonly number[]
  readonly ends: readonly number[]
  /** The one key that signed them, and how many it signed. */
  readonly signer: string | null
  readonly signed: number
  /** Of each event that shows fewer fields than it has digests: how many fewer, and how many that every event has. */
  readonly lacking: readonly { readonly gone: number; readonly required: number }[]
}

/** What reading a stretch comes to. */
export type StretchReading = {
  /** Those with nothing unusual in them, in their order. */
  readonly entries: readonly EntryReading[]
  /** Of each line. */
  readonly signed: readonly MaybeSigned[]
}

/** Keys by the names under which they sign. */
export class NamedKeys {
  readonly #keys = new Map<string, PublicJwk>()
  readonly #check: CheckSignature

  constructor(check: CheckSignature) {
    this.#check = check
  }

  /** Adds keys; those of before stay. */
  add(keys: readonly PublicJwk[]): void {
    for (const jwk of keys) this.#keys.set(thumbprint(jwk), jwk)
  }

  /** Whether a signature verifies under the key that it names; null: that key was not added. */
  check(signature: BatchHeader['signature']): MaybeSigned | Promise<boolean> {
    const jwk = this.#keys.get(signature.kid)
    if (jwk === undefined) return null
    return algOf(jwk) === signature.alg && this.#check(jwk, signature)
  }
}

/** Of each line of a stretch. */
type Answers = (MaybeSigned | Promise<boolean>)[]

/** What a reading says of the events of an entry. */
type EntryEvents = Omit<EntryReading, 'line' | 'lines' | 'source' | 'stream' | 'leafHash' | 'kid'>

/**
 * A platform's own for the events of an entry, with the same answers; null: they are to be read one by one.
 * @param first their first line @param end behind their last @param answers where what is found of their signatures goes
 */
export type ReadEntry = (header: BatchHeader, first: number, end: number, answers: Answers) => EntryEvents | null

/**
 * Reads a stretch of `log.txt`, for a `BundleReader`.
 * @param lines without their line feeds
 * @param isOpen whether the last entry may go on behind them
 * @param primitives a platform's own; default: portable ones
 * @param readEntry a platform's own for entries as recorders print them; default: none
 */
export async function readStretch(
  lines: readonly string[],
  isOpen: boolean,
  keys: NamedKeys,
  primitives: Primitives = PORTABLE,
  readEntry: ReadEntry = () => null,
): Promise<StretchReading> {
  const answers: Answers = lines.map(() => null)
  const reader = new EntryReader(lines, answers, keys, primitives, readEntry)
  const found: EntryReading[] = []
  for (let at = 0; at < lines.length; ) {
    if (!lines[at]!.startsWith('H ')) {
      reader.check(at)
      at += 1
      continue
    }
    let end = at + 1
    while (end < lines.length && !isEdge(lines[end]!)) end += 1
    const entry = reader.read(at, end)
    if (entry !== null && !(isOpen && end === lines.length)) found.push(entry)
    at = end
  }
  const signed = await Promise.all(answers)
  const isValid = ({ line, lines, signed: count }: EntryReading) => {
    let valid = 0
    for (let i = line; i < line + lines; i++) if (signed[i]) valid += 1
    return lines === 1 || valid === count + 1
  }
  return { entries: found.filter(isValid), signed }
}

/** Whether an entry ends before this line. One that is none ends nothing. */
const isEdge = (line: string): boolean =>
  line.startsWith('H ') || (line.startsWith('T ') && parseLine(line)?.kind === 'tree')

class EntryReader {
  readonly #lines: readonly string[]
  readonly #answers: Answers
  readonly #keys: NamedKeys
  readonly #primitives: Primitives
  readonly #readEntry: ReadEntry
  readonly #read: { readonly entry: ReadHeader; readonly event: ReadHeader } = {
    ...{ entry: headerReader(), event: headerReader() },
  }

  constructor(
    lines: readonly string[],
    answers: Answers,
    keys: NamedKeys,
    primitives: Primitives,
    readEntry: ReadEntry,
  ) {
    this.#lines = lines
    this.#answers = answers
    this.#keys = keys
    this.#primitives = primitives
    this.#readEntry = readEntry
  }

  /** A line that is in no entry of this stretch. */
  check(line: number): void {
    if (this.#lines[line]!.startsWith('E ')) this.#event(line)
  }

  /** @returns null: something in it is unusual */
  read(line: number, end: number): EntryReading | null {
    const header = orNull(() => parseBatchHeader(this.#lines[line]!.slice(2), this.#primitives, this.#read.entry))
    if (header === null) return null
    const { source, stream, seq, n, leafHash, signature } = header
    const sum = { line, lines: end - line, source, stream, leafHash, kid: signature.kid }
    // Of a header alone it may be wanted too: what it has may have been dropped.
    this.#answers[line] = this.#keys.check(signature)
    if (end === line + 1) return { ...sum, ...NO_EVENTS, absent: [[seq, seq + n - 1]] }
    const events = this.#readEntry(header, line + 1, end, this.#answers) ?? this.#events(header, line + 1, end)
    const isOwn = source === SYSTEM.source && stream === SYSTEM.stream && n === 1
    return events === null || isOwn ? null : { ...sum, ...events }
  }

  /** All events are read, so that their signatures are checked, whatever else is found. */
  #events(header: BatchHeader, start: number, end: number): EntryEvents | null {
    const tree = new GrowingTree(this.#primitives)
    const [carried, absent]: [first: number, last: number][][] = [[], []]
    const [times, ends, lacking]: [number[], number[], EntryReading['lacking'][number][]] = [[], [], []]
    let [prev, last, before]: (Hash | undefined)[] = []
    let signer: string | null = null
    let signed = 0
    let isUsual = true
    for (let at = start; at < end; at++) {
      const line = this.#lines[at]!
      if (!line.startsWith('E ')) {
        const node = parseLine(line)
        const first = tree.size
        isUsual &&= node?.kind === 'node' && first + 2 ** node.level <= header.n && tree.add(node.hash, node.level)
        if (isUsual) extend(absent!, header.seq + first, header.seq + tree.size - 1)
        before = undefined
        continue
      }
      const event = this.#event(at)
      const seq = header.seq + tree.size
      isUsual &&= event !== null && isAt(event, header, seq) && tree.size < header.n
      if (event === null || !isUsual) continue
      const { signature, leafHash } = event
      isUsual =
        (before === undefined || (event.prev !== undefined && equalBytes(event.prev, before))) &&
        (signature === undefined || signer === null || signer === signature.kid)
      tree.add(leafHash)
      extend(carried!, seq, seq)
      if (times.length === 0) prev = event.prev
      times.push(event.time)
      if (endsStream(event)) ends.push(seq)
      const gone = event.fieldCount - event.disclosures.length
      if (gone > 0) lacking.push({ gone, required: requiredAbsent(event).length })
      if (signature !== undefined) {
        signer = signature.kid
        signed += 1
      }
      last = leafHash
      before = leafHash
    }
    if (!isUsual || tree.size !== header.n || !equalBytes(tree.root, header.root)) return null
    return { carried: carried!, absent: absent!, prev, last, times, ends, signer, signed, lacking }
  }

  #event(line: number): ParsedEvent | null {
    const event = orNull(() => parseEvent(this.#lines[line]!.slice(2), this.#primitives, this.#read.event))
    if (event?.signature) this.#answers[line] ??= this.#keys.check(event.signature)
    return event
  }
}

const NO_EVENTS = {
  ...{ carried: [], prev: undefined, last: undefined, times: [], ends: [] },
  ...{ signer: null, signed: 0, lacking: [] },
}

const isAt = (event: ParsedEvent, { source, stream }: BatchHeader, seq: number): boolean =>
  event.source === source && event.stream === stream && event.seq === seq

function extend(runs: [first: number, last: number][], first: number, last: number): void {
  const run = runs.at(-1)
  if (run !== undefined && run[1] === first - 1) run[1] = last
  else runs.push([first, last])
}

function orNull<T>(parse: () => T): T | null {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    return null
  }
}
