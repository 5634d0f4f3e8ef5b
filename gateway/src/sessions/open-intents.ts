// What was begun and has no end yet, on disk: so that the next start can say of it that its outcome is unknown.
import { closeSync, fdatasync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { isObject, type JsonObject, parseEvent, parseJson } from '@killick/sdk/core'
import type { RecorderKind } from './event.ts'

/** Something that was begun: a session, or a request whose intent is recorded. */
export type Begun = {
  /** Id of the event that says so. */
  readonly event: string
  readonly action: string
  readonly session: string
  /** Who asked, and of what. */
  readonly actor: JsonObject
  readonly targets: readonly JsonObject[]
}

const sync = promisify(fdatasync)

/** What the events in the spool begin and end. Of each event only that is kept: a spool may be large. */
export class FoundEvents {
  readonly #kind: RecorderKind
  readonly begun = new Map<string, Begun>()
  readonly ended = new Set<string>()

  constructor(kind: RecorderKind) {
    this.#kind = kind
  }

  /** @param event its bytes */
  take(event: string): void {
    const { begun, ends } = notesOf(event, this.#kind)
    if (begun !== null) this.begun.set(begun.event, begun)
    if (ends === null) return
    this.begun.delete(ends)
    this.ended.add(ends)
  }
}

/**
 * A file of lines, `begun` and `ended`. A line is written without waiting for the disk: what is written outlives the process, and what a
 * power cut could take is read from the events that are still in the spool. Before any of those leaves the spool `sync()` must be called.
 */
export class OpenIntents {
  readonly #file: string
  #handle: number
  #isDirty = false

  private constructor(file: string, handle: number) {
    this.#file = file
    this.#handle = handle
  }

  /**
   * Opens the file and begins it anew with what is open in it.
   * @param found what the spool holds
   * @returns what an earlier process has left open
   */
  static open(file: string, found: FoundEvents): { intents: OpenIntents; left: Begun[] } {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
    const left = new Map<string, Begun>()
    const ended = new Set(found.ended)
    for (const line of linesOf(file)) {
      const begun = line.begun as Begun | undefined
      if (isObject(begun)) left.set(begun.event, begun)
      else if (typeof line.ended === 'string') ended.add(line.ended)
    }
    for (const [event, begun] of found.begun) left.set(event, begun)
    for (const event of ended) left.delete(event)
    const fresh = `${file}.new`
    const handle = openSync(fresh, 'w', 0o600)
    writeSync(handle, [...left.values()].map((begun) => `${JSON.stringify({ begun })}\n`).join(''))
    fsyncSync(handle)
    renameSync(fresh, file)
    syncFolder(dirname(file))
    return { intents: new OpenIntents(file, handle), left: [...left.values()] }
  }

  begun(begun: Begun): void {
    this.#write({ begun })
  }

  /** @param event id of the event that said it was begun */
  ended(event: string): void {
    this.#write({ ended: event })
  }

  /** Resolves when everything written so far would outlive a power cut. */
  async sync(): Promise<void> {
    if (!this.#isDirty) return
    this.#isDirty = false
    await sync(this.#handle)
  }

  close(): void {
    fsyncSync(this.#handle)
    closeSync(this.#handle)
  }

  /** @throws the error of the file system, with the file's name in its message */
  #write(line: object): void {
    this.#isDirty = true
    try {
      writeSync(this.#handle, `${JSON.stringify(line)}\n`)
    } catch (error) {
      throw new Error(`${this.#file}: ${(error as Error).message}`, { cause: error })
    }
  }
}

/** The objects in a file of lines, without a torn last one; none where there is no file. */
export function linesOf(file: string): JsonObject[] {
  let text = ''
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  return text.split('\n').flatMap((line) => {
    try {
      const value = parseJson(line)
      return isObject(value) ? [value] : []
    } catch {
      // The last line may be torn; the spool has its event.
      return []
    }
  })
}

/** What an event in the spool begins or ends. */
function notesOf(event: string, kind: RecorderKind): { begun: Begun | null; ends: string | null } {
  const { id, fields } = parseEvent(event)
  const { action, actor, targets, context, metadata } = fields as Record<string, JsonObject>
  const known = isObject(metadata) && isObject(metadata[kind]) ? metadata[kind] : {}
  const ends = typeof known.intent === 'string' ? known.intent : null
  if (known.isOpen !== true) return { begun: null, ends }
  const session = String(context?.session ?? '')
  const begun = { event: id, action: `${action}`, session, actor: actor!, targets: targets as unknown as JsonObject[] }
  return { begun, ends }
}

export function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
