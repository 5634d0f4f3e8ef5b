// How far the recorder has come, on disk: so that after any end nothing is recorded twice and nothing is left out.
import { closeSync, fdatasync, fsyncSync, mkdirSync, openSync, renameSync } from 'node:fs'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { isObject, type JsonObject, parseEvent } from '@killick/sdk/core'
import { append } from '../sessions/append.ts'
import { linesOf, syncFolder } from '../sessions/open-intents.ts'
import { parseLsn, printLsn } from './lsn.ts'

/**
 * The newest change that is durable: its transaction's commit, and its number in it, from 1. Places of a later epoch are later: a new
 * one begins where a gap was accepted, and the log may begin again there at a lower place.
 */
export type Place = {
  readonly epoch: number
  readonly commit: bigint
  readonly index: number
  /** When it was committed, with microseconds: in another history something else may stand at the same place. Absent: of no transaction. */
  readonly committedAt?: string | undefined
}

/** A table as it was last described, and the description of a publication: JSON that is compared. */
export type RelationNote = JsonObject & { oid: number }

/** What an earlier process knew of the server: which cluster, on which timeline. */
export type ServerNote = {
  readonly system: string
  readonly timeline: number
  readonly slot: string
  readonly database: string
}

type Line = {
  place?: [number, string, number, string?]
  confirmed?: string
  relation?: RelationNote
  publication?: JsonObject
  server?: JsonObject
  gap?: string | null
}

const sync = promisify(fdatasync)
/** Bytes after which the file is begun anew at the next opening of the slot. */
const MAX_FILE = 8 << 20

/** Whether one place is behind another. */
export function isLater(a: Place, b: Place): boolean {
  if (a.epoch !== b.epoch) return a.epoch > b.epoch
  return a.commit > b.commit || (a.commit === b.commit && a.index > b.index)
}

/**
 * A file of lines. What is written outlives the process; what a power cut could take is in the events that are still in the spool.
 * Before any of those leaves the spool `sync()` must be called.
 */
export class Notes {
  place: Place = { epoch: 1, commit: 0n, index: 0 }
  /** What the server was told is safe; at least that was read. */
  confirmed = 0n
  readonly relations = new Map<number, RelationNote>()
  publication: JsonObject | null = null
  server: ServerNote | null = null
  /** Where a gap begins that was recorded, and that nobody has accepted yet. */
  gap: string | null = null
  readonly #file: string
  #handle = -1
  #bytes = 0
  #written: Place = this.place
  #isDirty = false
  /** Ends when what was written before it is on the disk. */
  #syncing: Promise<void> | null = null

  private constructor(file: string) {
    this.#file = file
  }

  /** Opens the file, or an empty one. Call `found` with the spool's events, then `begin`. */
  static open(file: string): Notes {
    const notes = new Notes(file)
    for (const line of linesOf(file)) notes.#apply(line as unknown as Line)
    return notes
  }

  /** Takes what an event in the spool says. @param token its bytes */
  found(token: string): void {
    const { action, metadata } = parseEvent(token).fields as { action: string; metadata?: JsonObject }
    const known = metadata?.changes
    if (!isObject(known)) return
    const commit = parseLsn(known.commitLsn)
    if (commit !== null && typeof known.index === 'number' && typeof known.epoch === 'number')
      this.reached({ epoch: known.epoch, commit, index: known.index, committedAt: textOf(known.committedAt) })
    if (action === 'changes.relation' && isObject(known.described))
      this.#apply({ relation: known.described as RelationNote })
    if (action === 'changes.gap' && typeof known.from === 'string') this.#apply({ gap: known.from })
    if (action === 'changes.gap.accept') this.accepted(Number(known.epoch), parseLsn(known.to) ?? 0n)
  }

  /** Begins the file anew with what is known. Until all of that is on the disk the former file goes on. @throws the error of the file system */
  begin(): void {
    mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 })
    const fresh = `${this.#file}.new`
    const lines: Line[] = [{ place: printPlace(this.place), confirmed: printLsn(this.confirmed), gap: this.gap }]
    if (this.server) lines.push({ server: this.server as unknown as JsonObject })
    if (this.publication) lines.push({ publication: this.publication })
    for (const relation of this.relations.values()) lines.push({ relation })
    const handle = openSync(fresh, 'w', 0o600)
    let bytes: number
    try {
      bytes = append(handle, lines.map(printLine).join(''), 0)
      fsyncSync(handle)
      renameSync(fresh, this.#file)
    } catch (error) {
      closeSync(handle)
      throw this.#named(error)
    }
    this.#closeOld()
    this.#handle = handle
    this.#bytes = bytes
    syncFolder(dirname(this.#file))
    this.#written = this.place
    this.#isDirty = false
  }

  /** The change at this place, and all before it, are durable in the spool. */
  reached(place: Place): void {
    if (isLater(place, this.place)) this.place = place
  }

  /** Takes something down. */
  note(line: Omit<Line, 'place' | 'confirmed'>): void {
    this.#write(line)
    this.#apply(line)
  }

  /** Takes down that the server may be told that everything before `lsn` is safe. Resolves when that would outlive a power cut. */
  async confirm(lsn: bigint): Promise<void> {
    if (lsn > this.confirmed) {
      this.#write({ confirmed: printLsn(lsn) })
      this.confirmed = lsn
    }
    await this.sync()
  }

  /** A gap was accepted: an epoch begins at `from`. Call `begin` where the file is open. */
  accepted(epoch: number, from: bigint): void {
    this.gap = null
    if (epoch <= this.place.epoch) return
    this.place = { epoch, commit: 0n, index: 0 }
    this.confirmed = from
    this.server = null
  }

  /** Resolves when everything known would outlive a power cut. @throws the error of the file system; then nothing is sure, and the next call tries again */
  async sync(): Promise<void> {
    if (this.#bytes > MAX_FILE) return this.begin()
    const { place } = this
    if (place !== this.#written) {
      this.#write({ place: printPlace(place) })
      this.#written = place
    }
    // What another caller is still waiting for is not on the disk either.
    while (this.#syncing !== null) await this.#syncing.catch(() => {})
    if (!this.#isDirty) return
    this.#isDirty = false
    const handle = this.#handle
    this.#syncing = sync(handle)
      .catch((error) => {
        // A file that was begun anew meanwhile is on the disk as a whole.
        if (handle !== this.#handle) return
        this.#isDirty = true
        throw error
      })
      .finally(() => {
        this.#syncing = null
      })
    await this.#syncing
  }

  close(): void {
    if (this.#handle < 0) return
    this.begin()
    this.#closeOld()
    this.#handle = -1
  }

  /** Closes the file, once nobody waits for the disk to have it: its number is soon another file's. */
  #closeOld(): void {
    const old = this.#handle
    if (old < 0) return
    if (this.#syncing === null) closeSync(old)
    else void this.#syncing.catch(() => {}).finally(() => closeSync(old))
  }

  #apply({ place, confirmed, relation, publication, server, gap }: Line): void {
    if (Array.isArray(place))
      this.reached({
        ...{ epoch: Number(place[0]), commit: parseLsn(place[1]) ?? 0n, index: Number(place[2]) },
        committedAt: textOf(place[3]),
      })
    if (confirmed !== undefined) this.confirmed = parseLsn(confirmed) ?? this.confirmed
    if (relation !== undefined) this.relations.set(relation.oid, relation)
    if (publication !== undefined) this.publication = publication
    if (server !== undefined) this.server = server as unknown as ServerNote
    if (gap !== undefined) this.gap = gap
  }

  #write(line: Line): void {
    this.#isDirty = true
    try {
      this.#bytes += append(this.#handle, printLine(line), this.#bytes)
    } catch (error) {
      throw this.#named(error)
    }
  }

  #named(error: unknown): Error {
    return new Error(`${this.#file}: ${(error as Error).message}`, { cause: error })
  }
}

const printLine = (line: Line): string => `${JSON.stringify(line)}\n`

const printPlace = ({ epoch, commit, index, committedAt }: Place): NonNullable<Line['place']> =>
  committedAt === undefined ? [epoch, printLsn(commit), index] : [epoch, printLsn(commit), index, committedAt]

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
