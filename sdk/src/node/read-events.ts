/**
 * Reads the events of a batch byte by byte: docs/decisions/0006-event-reader-by-hand.md. What it does not recognise, core's parser
 * reads; it accepts nothing that core refuses.
 */
import crypto from 'node:crypto'
import type { BatchHeader } from '../core/batch.ts'
import { KillickError } from '../core/errors.ts'
import { type ParsedEvent, parseEvent } from '../core/event.ts'
import { asHash, type Hash, parseHash, printHash } from '../core/hash.ts'
import type { Alg } from '../core/jwk.ts'
import { type EventNotes, type EventReader, SIGNATURE } from './event-reader.ts'
import { nodePrimitives } from './primitives.ts'
import { NO } from './scan.ts'

// Not imported by its name: on a Node without it, the import itself would fail before version.ts could say so.
const { hash } = crypto

/** A signature, and its line in the body, from 1. */
export type LineSignature = BatchHeader['signature'] & { line: number }

/** Takes the events, in order. */
export type TakeEvents<Notes> = {
  /** Each event, in order. @param notes serve the next event afterwards. @param size of its line, with the line feed */
  event(notes: Notes, size: number): void
  /** Of each signed event, for the caller to check. */
  signature(signature: LineSignature): void
  /** An event has no signature of its own. */
  unsigned(line: number): void
  /** An event does not disclose all of its digests. */
  hidden(line: number): void
  /** Each event as a whole, for who needs more of it than notes; absent: nobody does. `token` makes its text. */
  whole?: ((token: () => string, line: number) => void) | null
}

/** A time of recording, ms since 1970, and the line of the event. */
export type TimeAt = { readonly time: number; readonly line: number }

/** A JWS header with which events begin, and its content; `bytes` is base64url with the full stop, empty for unsigned events. */
type Head = { bytes: Uint8Array; alg: Alg; kid: string }

const UNSIGNED: Head = { bytes: new Uint8Array(0), alg: 'Ed25519', kid: '' }
/** Heads of events that core has parsed, by their text. A stream repeats the same head thousands of times. */
const heads = new Map<string, Head>()
const MAX_HEADS = 256

/** What a batch's events have together. */
export type ReadEvents = {
  /** Their leaf hashes, 32 bytes each. */
  leaves: Buffer
  /** `prev` of the first event. */
  prev: Hash | undefined
  /** The earliest and the latest event by time of recording; the first of several with the same time. */
  earliest: TimeAt
  latest: TimeAt
}

/** How events are read: what is noted of one that core's parser has read, and which it must disclose. */
export type EventsReader<Notes extends EventNotes> = {
  /** Reads events as recorders print them; it is used for one batch at a time. */
  reader: EventReader<Notes>
  /** The notes of an event that core's parser has read. */
  noteOf(event: ParsedEvent): Notes
  /** Whether an event that core has parsed may be there as it is. */
  isTaken(event: ParsedEvent): boolean
}

/**
 * Reads the events of a batch: structure, chain and digests, as core's readBatch does, several times as fast. The caller checks the
 * signatures, and the root over `leaves`.
 * @param text the whole body
 * @returns null if something is wrong; core's reader then says what
 */
export function readEvents<Notes extends EventNotes>(
  text: Buffer,
  header: Pick<BatchHeader, 'source' | 'stream' | 'seq' | 'n'>,
  { reader, noteOf, isTaken }: EventsReader<Notes>,
  take: TakeEvents<Notes>,
): ReadEvents | null {
  reader.open(header.source, header.stream)
  const leaves = Buffer.alloc(32 * header.n)
  let at = text.indexOf('\n') + 1
  let head = headAt(text, at)
  let first = ''
  let last = ''
  // Four variables instead of two objects, since this runs for every event.
  let earliest = Number.POSITIVE_INFINITY
  let earliestLine = 0
  let latest = Number.NEGATIVE_INFINITY
  let latestLine = 0
  for (let i = 0; i < header.n; i++) {
    const line = i + 2
    let end = reader.read(text, at, head.bytes, header.seq + i)
    let { sketch, prev, hidden } = reader
    if (end === NO) {
      end = text.indexOf('\n', at) + 1
      const event = end === 0 ? null : parseOrNull(text.toString('latin1', at, end - 1))
      if (event === null || !isTaken(event) || !isAt(event, header, header.seq + i)) return null
      sketch = noteOf(event)
      prev = event.prev ? printHash(event.prev) : ''
      hidden = hiddenOf(event)
      head = event.signature ? learnHead(event) : UNSIGNED
      if (event.signature) take.signature({ ...event.signature, line })
    } else if (head !== UNSIGNED) {
      const { signatureAt } = reader
      const bytes = Buffer.from(text.toString('latin1', signatureAt, signatureAt + SIGNATURE), 'base64url')
      take.signature({ alg: head.alg, kid: head.kid, input: text.subarray(at, signatureAt - 1), bytes, line })
    }
    if (head === UNSIGNED) take.unsigned(line)
    if (hidden > 0) take.hidden(line)
    if (take.whole) {
      const [from, to] = [at, end]
      take.whole(() => text.toString('latin1', from, to - 1), line)
    }
    if (i === 0) first = prev
    else if (prev !== last) return null
    last = sketch.leafHash
    leaves.write(last, 32 * i, 'base64url')
    const { time } = sketch
    if (time < earliest) {
      earliest = time
      earliestLine = line
    }
    if (time > latest) {
      latest = time
      latestLine = line
    }
    take.event(sketch, end - at)
    at = end
  }
  if (at !== text.length) return null
  return {
    ...{ leaves, prev: first === '' ? undefined : parseHash(first)! },
    ...{ earliest: { time: earliest, line: earliestLine }, latest: { time: latest, line: latestLine } },
  }
}

function parseOrNull(token: string): ParsedEvent | null {
  try {
    return parseEvent(token, nodePrimitives)
  } catch (error) {
    if (error instanceof KillickError) return null
    throw error
  }
}

const hiddenOf = ({ fieldCount, disclosures }: ParsedEvent) => fieldCount - disclosures.length

const isAt = (event: ParsedEvent, { source, stream }: Pick<BatchHeader, 'source' | 'stream'>, seq: number) =>
  event.source === source && event.stream === stream && event.seq === seq

/** The head of the event at `at`, if it is known. */
function headAt(text: Buffer, at: number): Head {
  const end = text.indexOf('.', at) + 1
  return (end > 0 && end - at < 512 && heads.get(text.toString('latin1', at, end))) || UNSIGNED
}

function learnHead({ leaf, signature }: ParsedEvent): Head {
  const text = leaf.slice(0, leaf.indexOf('.') + 1)
  const known = heads.get(text) ?? { bytes: Buffer.from(text, 'latin1'), alg: signature!.alg, kid: signature!.kid }
  if (heads.size >= MAX_HEADS) heads.clear()
  heads.set(text, known)
  return known
}

/** The prefix of an inner node, and a pair of nodes behind it. */
const pair = Buffer.alloc(65, 0x01)

/** Root over leaf hashes of 32 bytes each (RFC 9162 §2.1.1), of which there is one at least. */
export function rootOver(leaves: Uint8Array): Hash {
  const level = Buffer.from(leaves)
  for (let count = leaves.length / 32; count > 1; count = (count + 1) >> 1) {
    for (let i = 0; i < count >> 1; i++) {
      level.copy(pair, 1, 64 * i, 64 * i + 64)
      level.write(hash('sha256', pair, 'binary'), 32 * i, 'latin1')
    }
    if (count % 2 === 1) level.copy(level, 32 * (count >> 1), 32 * (count - 1), 32 * count)
  }
  return asHash(new Uint8Array(level.subarray(0, 32)))
}
