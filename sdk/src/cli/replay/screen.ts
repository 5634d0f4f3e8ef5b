// What the terminal of a recorded command showed, as its chunks hold it or as the file beside them does, each held against its hash.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { ParsedEvent } from '../../core/event.ts'
import { isCount } from '../../core/event.ts'
import { isObject, type JsonObject, type JsonValue } from '../../core/json.ts'
import { UsageError } from '../command.ts'
import { SESSION_OUTPUT } from '../run/events.ts'
import { count } from '../terminal.ts'

/** What was shown at a time, seconds since the session began. */
export type Frame = { readonly time: number; readonly shown: string }

/** A chunk to play, or why it cannot be: `fault` where what is there is not what was recorded, `absent` where only its hash is. */
type Chunk = { readonly frames: readonly Frame[] } | { readonly fault: string } | { readonly absent: true }

const CHUNK = 'command.session.chunk'
const END = 'command.end'

/**
 * What a terminal needs after it was shown half of something: the end of an unfinished string, the first screen, a cursor, colours and
 * letters as they are by default, the whole screen to scroll, keys that send themselves, and no reports of the mouse or of what is pasted.
 */
const RESET =
  '\u001b\\\u001b[?1049l\u001b[?25h\u001b[0m\u001b(B\u000f\u001b7\u001b[r\u001b8\u001b[?1l\u001b>\u001b[?1000l\u001b[?1002l\u001b[?1003l\u001b[?1006l\u001b[?2004l\n'

/** Takes the steps of a session, in order. */
export class Screen {
  readonly #cast: Buffer | null
  #next = 0
  /** Chunks played, and those of which nothing but the hash is there. */
  chunks = 0
  absent = 0
  readonly faults: string[] = []

  /** @param cast the file that `killick run --session` wrote; null: what the events show */
  constructor(cast: Buffer | null) {
    this.#cast = cast
  }

  /** @returns what the terminal showed by this event; nothing where it is no chunk, or does not hold */
  take({ fields: { action, metadata, [SESSION_OUTPUT]: output } }: ParsedEvent): readonly Frame[] {
    if (action === END && isObject(metadata) && isObject(metadata.session)) this.#ended(metadata.session)
    if (action !== CHUNK) return []
    const played = this.#play(isObject(metadata) ? metadata : {}, output)
    if ('frames' in played) {
      this.chunks += 1
      return played.frames
    }
    if ('absent' in played) this.absent += 1
    else this.faults.push(played.fault)
    return []
  }

  /** The end says how many chunks there are: nothing else tells that the last ones are missing. */
  #ended({ chunks }: JsonObject): void {
    if (isCount(chunks) && chunks > this.#next)
      this.faults.push(`at the end of the session, ${chunks - this.#next} of ${count(chunks, 'chunk')} are missing`)
  }

  #play({ chunk, cast }: JsonObject, output: JsonValue | undefined): Chunk {
    if (!isCount(chunk) || !isObject(cast)) return { fault: 'a chunk cannot be read' }
    const { offset, bytes, sha256 } = cast
    if (!isCount(offset) || !isCount(bytes)) return { fault: `chunk ${chunk} cannot be read` }
    const expected = this.#next
    this.#next = Math.max(expected, chunk + 1)
    if (chunk < expected) return { fault: `chunk ${chunk} comes again, or behind a later one` }
    if (chunk > expected) this.faults.push(`in front of chunk ${chunk}, ${chunk - expected} are missing`)
    const shown = typeof output === 'string' ? Buffer.from(output) : null
    const lines = this.#cast === null ? shown : this.#cast.subarray(offset, offset + bytes)
    if (lines === null) return { absent: true }
    if (createHash('sha256').update(lines).digest('hex') !== sha256)
      return { fault: `chunk ${chunk}: ${this.#cast === null ? 'what is shown' : 'the file'} is not what was recorded` }
    const frames = framesOf(lines.toString())
    return frames === null ? { fault: `chunk ${chunk} is no asciicast` } : { frames }
  }

  /** Shows a frame as the terminal did, control characters and all: only for who has asked for that. */
  async show({ shown }: Frame): Promise<void> {
    if (!process.stdout.write(shown)) await once(process.stdout, 'drain')
  }

  /** Leaves a terminal as it was, whatever it was shown last. */
  leave(): void {
    if (process.stdout.isTTY) process.stdout.write(RESET)
  }

  /** @throws UsageError where nothing but hashes is there */
  check(): void {
    if (this.chunks + this.faults.length > 0) return
    throw new UsageError(
      this.absent > 0
        ? 'The events hold hashes of what the terminal showed: give the file that killick run wrote (run/casts in its spool) with --cast'
        : 'The session has nothing that a terminal showed: killick run --session records that',
    )
  }
}

/** Lines of an asciicast v2 that show something; its header, and changes of the terminal's size, show nothing. Null: it is none. */
function framesOf(lines: string): Frame[] | null {
  const frames: Frame[] = []
  for (const line of lines.split('\n').filter((each) => each.startsWith('['))) {
    const parts = parsed(line)
    if (!Array.isArray(parts)) return null
    const [time, kind, shown] = parts
    if (typeof time !== 'number' || typeof shown !== 'string') return null
    if (kind === 'o') frames.push({ time, shown })
  }
  return frames
}

function parsed(line: string): JsonValue {
  try {
    return JSON.parse(line)
  } catch {
    return null
  }
}
