// What was begun and has no end yet, on disk: so that the next start can say of it that its outcome is unknown.
import { closeSync, fdatasync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync } from 'node:fs'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { isObject, type JsonObject, parseEvent, parseJson } from '@killick/sdk/core'
import { endedBy, isSealedValue } from '../sealed/sealing.ts'
import { append } from './append.ts'
import type { RecorderKind } from './event.ts'

/** Something that was begun: a session, or a request whose intent is recorded. */
export type Begun = {
  /** Id of the event that says so. */
  readonly event: string
  readonly action: string
  readonly session: string
  /** Who asked; null where that is sealed. */
  readonly actor: JsonObject | null
  /** And of what. */
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
    for (const each of ends) {
      this.begun.delete(each)
      this.ended.add(each)
    }
  }
}

/** Bytes behind which the file is written anew, if most of it is of what has ended. */
const MAX_BYTES = 8 << 20

/**
 * A file of lines, `begun` and `ended`. While the events are in the spool they say the same, so a line need not be written before one of
 * them may leave it: before that `sync()` must be called. What begins and ends in between is never written.
 */
export class OpenIntents {
  readonly #file: string
  #handle: number
  #bytes: number
  /** Everything that is open. */
  readonly #open: Map<string, Begun>
  /** What the file does not say yet. */
  readonly #unwritten = new Set<string>()
  readonly #unwrittenEnds = new Set<string>()
  #isDirty = false
  #syncing: Promise<void> = Promise.resolve()

  private constructor(file: string, open: Map<string, Begun>) {
    this.#file = file
    this.#open = open
    const { handle, bytes } = writeAnew(file, open)
    this.#handle = handle
    this.#bytes = bytes
  }

  /**
   * Opens the file and begins it anew with what is open in it.
   * @param found what the spool holds @param isSealed whether actors are sealed, and so must not be in the file
   * @returns what an earlier process has left open
   */
  static open(file: string, found: FoundEvents, isSealed: boolean): { intents: OpenIntents; left: Begun[] } {
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
    if (isSealed) for (const [event, begun] of left) left.set(event, { ...begun, actor: null })
    return { intents: new OpenIntents(file, new Map(left)), left: [...left.values()] }
  }

  begun(begun: Begun): void {
    this.#open.set(begun.event, begun)
    this.#unwritten.add(begun.event)
  }

  /** @param event id of the event that said it was begun */
  ended(event: string): void {
    this.#open.delete(event)
    if (!this.#unwritten.delete(event)) this.#unwrittenEnds.add(event)
  }

  /** Resolves when everything said so far would outlive a power cut. @throws the error of the file system, with the file's name */
  sync(): Promise<void> {
    const done = this.#syncing.catch(() => {}).then(() => this.#sync())
    this.#syncing = done
    return done
  }

  close(): void {
    this.#write()
    fsyncSync(this.#handle)
    closeSync(this.#handle)
  }

  async #sync(): Promise<void> {
    if (this.#unwritten.size > 0 || this.#unwrittenEnds.size > 0) this.#write()
    if (!this.#isDirty) return
    await sync(this.#handle)
    this.#isDirty = false
  }

  #write(): void {
    try {
      if (this.#bytes > MAX_BYTES && this.#bytes > 4 * MAX_LINE * this.#open.size) this.#compact()
      else {
        const lines = [
          ...[...this.#unwritten].map((event) => lineOf({ begun: this.#open.get(event)! })),
          ...[...this.#unwrittenEnds].map((ended) => lineOf({ ended })),
        ].join('')
        this.#isDirty = true
        this.#bytes += append(this.#handle, lines, this.#bytes)
      }
    } catch (error) {
      throw new Error(`${this.#file}: ${(error as Error).message}`, { cause: error })
    }
    this.#unwritten.clear()
    this.#unwrittenEnds.clear()
  }

  #compact(): void {
    const { handle, bytes } = writeAnew(this.#file, this.#open)
    closeSync(this.#handle)
    this.#handle = handle
    this.#bytes = bytes
  }
}

/** About what a line has. */
const MAX_LINE = 1_024

const lineOf = (line: object): string => `${JSON.stringify(line)}\n`

/** Durable when it returns. */
function writeAnew(file: string, open: ReadonlyMap<string, Begun>): { handle: number; bytes: number } {
  const fresh = `${file}.new`
  const handle = openSync(fresh, 'w', 0o600)
  try {
    const lines = [...open.values()].map((begun) => lineOf({ begun })).join('')
    const bytes = append(handle, lines, 0)
    fsyncSync(handle)
    renameSync(fresh, file)
    syncFolder(dirname(file))
    return { handle, bytes }
  } catch (error) {
    closeSync(handle)
    throw error
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
function notesOf(event: string, kind: RecorderKind): { begun: Begun | null; ends: string[] } {
  const { id, fields } = parseEvent(event)
  const { action, actor, targets, context, metadata } = fields as Record<string, JsonObject>
  const known = isObject(metadata) && isObject(metadata[kind]) ? metadata[kind] : {}
  const ends = endedBy(known)
  if (known.isOpen !== true) return { begun: null, ends }
  const asked = targets as unknown as JsonObject[]
  // The last target too says which session it is, where the context is sealed.
  const session = String(context?.session ?? asked.at(-1)?.id ?? '')
  const who = isSealedValue(actor) ? null : actor!
  return { begun: { event: id, action: `${action}`, session, actor: who, targets: asked }, ends }
}

export function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
