// Reads batches: all of their structure, digests, chain and root, and every signature. It needs nothing but their bytes and the keys,
// so that it can be done on any thread.
import { type BatchHeader, droppedLeaves, MAX_BATCH_BYTES, parseBatchHeader, readBatchLines } from '../core/batch.ts'
import { equalBytes } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import type { ParsedEvent } from '../core/event.ts'
import { asHash, type Hash, printHash } from '../core/hash.ts'
import { algOf, type PublicJwk, thumbprint } from '../core/jwk.ts'
import { type EventNotes, EventReader, PlainNotes } from '../node/event-reader.ts'
import { nodePrimitives } from '../node/primitives.ts'
import { type ReadEvents, readEvents, rootOver, type TakeEvents } from '../node/read-events.ts'
import { verifierOf, verifyNatively } from '../node/signature.ts'
import { answerQuestions } from '../node/thread.ts'

/** Batches to read, as in `Stretch`, and keys that may have signed them. Whether they were allowed to is judged elsewhere. */
export type ToRead = {
  readonly ends: readonly number[]
  readonly bytes: Uint8Array
  readonly keys: readonly PublicJwk[]
}

/** The memory of a stretch, which goes to a thread and back. Named here, since the declarations are read by a TypeScript (5.4) that takes no `Uint8Array<ArrayBuffer>`. */
export const memoryOf = (bytes: Uint8Array): ArrayBuffer => bytes.buffer as ArrayBuffer

/** Whether a signature verifies under the key that it names; `unknown`: that key was not given. */
export type Signed = 'valid' | 'invalid' | 'unknown'

/** What reading a batch comes to. */
export type BatchReading = {
  /** Null if it is whole; else what is wrong, and the line of it (1: its header). The rest then says nothing. */
  readonly fault: { readonly line: number; readonly message: string } | null
  /** Whether it has leaf hashes in place of its events, which make its root. Whether the log drops them is judged elsewhere. */
  readonly isDropped: boolean
  readonly header: Signed
  /** `prev` of its first event, which nobody knows of one that was dropped, and the leaf hash of its last. */
  readonly prev: Hash | undefined
  readonly last: Hash | undefined
  /** How many of its events each key signs, by kid. */
  readonly signers: readonly (readonly [kid: string, events: number])[]
  /** Its events whose signature does not verify, or whose key is not known; and those that lack fields. */
  readonly unsigned: readonly { readonly at: number; readonly signed: 'invalid' | 'unknown' }[]
  readonly lacking: readonly number[]
  /** What was noted of its events; null: nothing was to be, or the batch is not whole, or not as recorders print it. */
  readonly noted: Uint8Array | null
}

/** What is noted of all events of a batch while they are read, for who would otherwise parse each of them once more. */
export type Noting<Notes extends EventNotes = EventNotes> = {
  /** They serve for all events that are read. */
  readonly notes: Notes
  /** The notes of an event that had to be parsed. */
  noteOf(event: ParsedEvent): Notes
  /** The next events are those of a batch. */
  begin(): void
  /** Takes the notes of the next event, which serve for others afterwards. */
  add(notes: Notes): void
  /** What has been noted since `begin`, in memory of its own; null: nothing. */
  end(): Uint8Array | null
}

/** Reads batches. @param known keys given before, to which those given now are added */
export type ReadBatches = (batches: ToRead, known: KnownKeys) => BatchReading[]

type Signature = NonNullable<ParsedEvent['signature']>

const LINE_FEED = 0x0a
/** Of a hash in base64url. No event is so short. */
const HASH_CHARACTERS = 43

/** Keys by kid. */
export class KnownKeys {
  readonly #keys = new Map<string, { jwk: PublicJwk; verify: ReturnType<typeof verifierOf> | null }>()

  /** Adds keys; those of before stay. */
  add(keys: readonly PublicJwk[]): void {
    for (const jwk of keys) this.#keys.set(thumbprint(jwk), { jwk, verify: null })
  }

  /** Whether a signature verifies under the key that it names. */
  check({ alg, kid, input, bytes }: Signature): Signed {
    const key = this.#keys.get(kid)
    if (key === undefined) return 'unknown'
    if (algOf(key.jwk) !== alg) return 'invalid'
    key.verify ??= verifierOf(key.jwk)
    return key.verify(input, bytes) ? 'valid' : 'invalid'
  }
}

/** Whether a signature verifies under the key that it names. */
export const isValid = (jwk: PublicJwk, { alg, input, bytes }: Signature): boolean =>
  algOf(jwk) === alg && verifyNatively(jwk, input, bytes)

/** The lines of a batch in wire form. */
export function linesOf(bytes: Uint8Array): { header: string; tokens: string[] } {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
  const [header, ...tokens] = text.slice(0, -1).split('\n')
  return { header: header!, tokens }
}

/** What reads batches, and notes of their events what it is told to. @param noting one for the thread, as what this returns: its buffers hold the longest event */
export function readerOf<Notes extends EventNotes>(noting: Noting<Notes>): ReadBatches {
  const how = { reader: new EventReader(noting.notes), noteOf: noting.noteOf, isTaken: () => true }
  const take = (notes: Notes) => noting.add(notes)
  const read: ReadLines = (text, header, others) => {
    noting.begin()
    return readEvents(text, header, how, { event: take, ...others })
  }
  return ({ ends, bytes, keys }, known) => {
    known.add(keys)
    return ends.map((end, i) => {
      const batch = bytes.subarray(ends[i - 1] ?? 0, end)
      return readDropped(batch, known) ?? readPrinted(batch, known, read, noting) ?? readAny(batch, known)
    })
  }
}

/** The lines of a batch, without what is noted of each. */
type ReadLines = (text: Buffer, header: BatchHeader, take: Omit<TakeEvents<EventNotes>, 'event'>) => ReadEvents | null

/** What a thread answers; the bytes come back with it, since a check may want to look at an event. */
export type ReadThere = { readonly readings: readonly BatchReading[]; readonly bytes: Uint8Array }

/** What a thread that reads for audits does. @param read one for the thread, from `readerOf` */
export function answerReaders(read: ReadBatches): void {
  const known = new KnownKeys()
  answerQuestions(
    async (question: ToRead) => {
      const { bytes } = question
      return { answer: { readings: read(question, known), bytes } satisfies ReadThere, transfer: [memoryOf(bytes)] }
    },
    async () => {},
  )
}

const plain = new PlainNotes()

/** Reads batches, and notes nothing. */
export const readAll: ReadBatches = readerOf({
  notes: plain,
  noteOf({ leafHash }) {
    plain.begin(printHash(leafHash))
    return plain
  },
  begin() {},
  add() {},
  end: () => null,
})

/** Reads a batch as recorders print it; null for one that they would not print so, or that is not whole. */
function readPrinted(
  bytes: Uint8Array,
  known: KnownKeys,
  readLines: ReadLines,
  noting: Pick<Noting, 'end'>,
): BatchReading | null {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const header = headerOf(text)
  if (header === null || bytes.length > MAX_BATCH_BYTES) return null
  const signers = new Map<string, number>()
  const unsigned: { at: number; signed: 'invalid' | 'unknown' }[] = []
  const lacking: number[] = []
  const read = readLines(text, header, {
    unsigned() {},
    signature(signature) {
      const { kid, line } = signature
      signers.set(kid, (signers.get(kid) ?? 0) + 1)
      const signed = known.check(signature)
      if (signed !== 'valid') unsigned.push({ at: line - 2, signed })
    },
    hidden: (line) => lacking.push(line - 2),
  })
  if (read === null || !equalBytes(rootOver(read.leaves), header.root)) return null
  const { prev, leaves } = read
  return {
    ...{ fault: null, isDropped: false, header: known.check(header.signature), prev },
    ...{ last: asHash(new Uint8Array(leaves.subarray(-32))), signers: [...signers], unsigned, lacking },
    noted: noting.end(),
  }
}

/** Reads a batch whose events were dropped; null for any other, also for one of which only some lines are leaf hashes. */
function readDropped(bytes: Uint8Array, known: KnownKeys): BatchReading | null {
  const end = bytes.indexOf(LINE_FEED)
  if (end < 0 || bytes.indexOf(LINE_FEED, end + 1) !== end + 1 + HASH_CHARACTERS) return null
  const header = headerOf(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))
  const leaves = header && droppedLeaves(header, linesOf(bytes).tokens, nodePrimitives)
  if (leaves === null) return null
  return {
    ...{ fault: null, isDropped: true, header: known.check(header!.signature), prev: undefined, last: leaves.at(-1) },
    ...{ signers: [], unsigned: [], lacking: [], noted: null },
  }
}

function headerOf(text: Buffer): BatchHeader | null {
  try {
    return parseBatchHeader(text.toString('latin1', 0, text.indexOf('\n')), nodePrimitives)
  } catch (error) {
    if (error instanceof KillickError) return null
    throw error
  }
}

function readAny(bytes: Uint8Array, known: KnownKeys): BatchReading {
  const signers = new Map<string, number>()
  const unsigned: { at: number; signed: 'invalid' | 'unknown' }[] = []
  const lacking: number[] = []
  const leaves: { prev?: Hash | undefined; last?: Hash } = {}
  let at = 0
  const take = (event: ParsedEvent) => {
    const { signature } = event
    if (at === 0) leaves.prev = event.prev
    leaves.last = event.leafHash
    if (signature) {
      signers.set(signature.kid, (signers.get(signature.kid) ?? 0) + 1)
      const signed = known.check(signature)
      if (signed !== 'valid') unsigned.push({ at, signed })
    }
    if (event.fieldCount > event.disclosures.length) lacking.push(at)
    at += 1
  }
  const none = {
    isDropped: false,
    prev: undefined,
    last: undefined,
    signers: [],
    unsigned: [],
    lacking: [],
    noted: null,
  }
  try {
    if (bytes.length > MAX_BATCH_BYTES) throw new KillickError('batch_too_large')
    const { signature } = readBatchLines(linesOf(bytes), take, nodePrimitives, 'stored')
    const header = known.check(signature)
    return {
      ...{ fault: null, isDropped: false, header, prev: leaves.prev, last: leaves.last },
      ...{ signers: [...signers], unsigned, lacking, noted: null },
    }
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    return { fault: { line: Number(error.details.line ?? 1), message: error.message }, header: 'unknown', ...none }
  }
}
