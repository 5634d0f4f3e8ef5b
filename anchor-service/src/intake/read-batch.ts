import {
  type Alg,
  type BatchHeader,
  equalBytes,
  type Hash,
  type ParsedEvent,
  parseHash,
  printHash,
} from '@killick/sdk/core'
import type { TimeAt } from '../ledger/packs/checked-batch.ts'
import { type EventSketch, sketchEvent } from '../ledger/packs/event-keys.ts'
import { parseOrNull } from '../ledger/packs/read-pack.ts'
import { treeOver } from '../ledger/tree/batch-tree.ts'
import { EventReader, SIGNATURE } from './fast/event-reader.ts'
import { NO } from './fast/scan.ts'

/** A signature, and its line in the body, from 1. */
export type LineSignature = BatchHeader['signature'] & { line: number }

/** Takes the events, in order. */
export type Take = {
  /** @param sketch serves the next event afterwards. @param size of its line, with the line feed */
  event(sketch: EventSketch, size: number): void
  signature(signature: LineSignature): void
  unsigned(line: number): void
  /** An event does not disclose all of its digests. */
  hidden(line: number): void
  /** Each event as a whole, for who needs more of it than the sketch; absent: nobody does. `token` makes its text. */
  whole?: ((token: () => string, line: number) => void) | null
}

/** A JWS header with which events begin, and its content; `bytes` is base64url with the full stop, empty for unsigned events. */
type Head = { bytes: Uint8Array; alg: Alg; kid: string }

const UNSIGNED: Head = { bytes: new Uint8Array(0), alg: 'Ed25519', kid: '' }
/** Heads of events that core has parsed, by their text. A stream repeats the same head thousands of times. */
const heads = new Map<string, Head>()
const MAX_HEADS = 256

/** One for the thread: its buffers hold the longest event. */
const reader = new EventReader()

/** What the batch's events have together. */
export type ReadEvents = {
  /** Their leaf hashes, 32 bytes each. */
  leaves: Buffer
  /** Nodes of the tree over these, as `treeOver` keeps them. */
  nodes: Buffer
  /** `prev` of the first event. */
  prev: Hash | undefined
  /** The earliest and the latest event by time of recording; the first of several with the same time. */
  earliest: TimeAt
  latest: TimeAt
}

/**
 * Reads the events of a batch: structure, chain, digests, fields and root, as core's readBatch does, several times as fast.
 * The caller checks the signatures.
 * @param text the whole body
 * @returns null if something is wrong; core's reader then says what
 */
export function readEvents(text: Buffer, header: BatchHeader, take: Take): ReadEvents | null {
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
      if (event === null || !isComplete(event) || !isAt(event, header, header.seq + i)) return null
      sketch = sketchEvent(event)
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
  const { root, nodes } = treeOver(leaves)
  if (!equalBytes(root, header.root)) return null
  return {
    ...{ leaves, nodes, prev: first === '' ? undefined : parseHash(first)! },
    ...{ earliest: { time: earliest, line: earliestLine }, latest: { time: latest, line: latestLine } },
  }
}

const isComplete = ({ fields }: ParsedEvent) =>
  ['action', 'actor', 'targets'].every((name) => fields[name] !== undefined)

const hiddenOf = ({ fieldCount, disclosures }: ParsedEvent) => fieldCount - disclosures.length

const isAt = (event: ParsedEvent, { source, stream }: BatchHeader, seq: number) =>
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
