// What the terminal of a recorded command showed, as its chunks hold it or as the file beside them does, each held against its hash.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { ParsedEvent } from '../../core/event.ts'
import { isCount } from '../../core/event.ts'
import { isObject, type JsonObject, type JsonValue } from '../../core/json.ts'
import { UsageError } from '../command.ts'
import { SESSION_OUTPUT } from '../run/events.ts'

/** What was shown at a time, seconds since the session began. */
export type Frame = { readonly time: number; readonly shown: string }

/** A chunk to play, or why it cannot be: `fault` where what is there is not what was recorded, `absent` where only its hash is. */
type Chunk = { readonly frames: readonly Frame[] } | { readonly fault: string } | { readonly absent: true }

const CHUNK = 'command.session.chunk'

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

  #play({ chunk, cast }: JsonObject, output: JsonValue | undefined): Chunk {
    if (!isCount(chunk) || !isObject(cast)) return { fault: 'a chunk cannot be read' }
    const { offset, bytes, sha256 } = cast
    if (!isCount(offset) || !isCount(bytes)) return { fault: `chunk ${chunk} cannot be read` }
    const expected = this.#next
    this.#next = chunk + 1
    if (chunk !== expected) this.faults.push(`in front of chunk ${chunk}, ${chunk - expected} are missing`)
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
