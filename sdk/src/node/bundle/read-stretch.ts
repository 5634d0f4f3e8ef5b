// Reads stretches of bundles with what Node has built in, and the events of most entries byte by byte: docs/decisions/0006-event-reader-by-hand.md.
import { type NamedKeys, type ReadEntry, readStretch, type StretchReading } from '../../bundle/reading.ts'
import { equalBytes } from '../../core/bytes.ts'
import { endsStream, type ParsedEvent } from '../../core/event.ts'
import { asHash, printHash } from '../../core/hash.ts'
import { EventReader, PlainNotes } from '../event-reader.ts'
import { nodePrimitives } from '../primitives.ts'
import { readEvents, rootOver } from '../read-events.ts'

const CLOSES = Buffer.from('stream.close')

/** Whether it may end its stream is noted too. */
class BundleNotes extends PlainNotes {
  mayEnd = false

  override begin(leafHash: string): void {
    super.begin(leafHash)
    this.mayEnd = false
  }

  override term(kind?: string, bytes?: Uint8Array, from?: number, to?: number): void {
    if (kind === 'action') this.mayEnd = CLOSES.equals(bytes!.subarray(from, to))
  }
}

/** One for the thread: its buffers hold the longest event. */
const notes = new BundleNotes()
const how = { reader: new EventReader(notes), noteOf, isTaken: () => true }

function noteOf(event: ParsedEvent): BundleNotes {
  notes.begin(printHash(event.leafHash))
  notes.time = event.time
  notes.mayEnd = endsStream(event)
  return notes
}

/** @param lines of these bytes */
export const readStretchNatively = (
  bytes: Uint8Array,
  lines: readonly string[],
  isOpen: boolean,
  keys: NamedKeys,
): Promise<StretchReading> => readStretch(lines, isOpen, keys, nodePrimitives, printedReader(bytes, lines, keys))

/** An entry with all of its events, as recorders print them, each of which shows all of its fields and does not end its stream. */
function printedReader(bytes: Uint8Array, lines: readonly string[], keys: NamedKeys): ReadEntry {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  let [line, at] = [0, 0]
  const startOf = (wanted: number): number => {
    for (; line < wanted; line++) at += lines[line]!.length + 1
    return at
  }
  return ({ source, stream, seq, n, root }, first, end, answers) => {
    if (end - first !== n) return null
    const body = withoutLetters(text, startOf(first), lines, first, end)
    const times: number[] = []
    let signer: string | null = null
    let signed = 0
    let isUsual = body !== null
    const read =
      body &&
      readEvents(body, { source, stream, seq, n }, how, {
        event({ time, mayEnd }) {
          times.push(time)
          if (mayEnd) isUsual = false
        },
        signature(signature) {
          if (signer !== null && signer !== signature.kid) isUsual = false
          signer = signature.kid
          signed += 1
          answers[first + signature.line - 2] = keys.check(signature)
        },
        unsigned() {},
        hidden() {
          isUsual = false
        },
      })
    if (!read || !isUsual || !equalBytes(rootOver(read.leaves), root)) return null
    const last = asHash(new Uint8Array(read.leaves.subarray(-32)))
    return {
      ...{ carried: [[seq, seq + n - 1]], absent: [], prev: read.prev, last },
      ...{ times, ends: [], signer, signed, lacking: [] },
    }
  }
}

/** Grows to the longest entry. */
let room = Buffer.alloc(1 << 20)

/** Lines of events as in a batch, behind an empty one; null: there are others among them. Overwritten by the next. */
function withoutLetters(
  text: Buffer,
  start: number,
  lines: readonly string[],
  first: number,
  end: number,
): Buffer | null {
  let used = 1
  let at = start
  for (let line = first; line < end; line++) {
    if (!lines[line]!.startsWith('E ')) return null
    const length = lines[line]!.length - 1
    if (used + length > room.length) room = Buffer.concat([room], 2 * (used + length))
    text.copy(room, used, at + 2, at + 2 + length)
    used += length
    at += 2 + length
  }
  room[0] = 0x0a
  return room.subarray(0, used)
}
