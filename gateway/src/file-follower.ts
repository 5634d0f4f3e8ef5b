// Files of NDJSON, followed across rotation by renaming and by truncation. A line without an id of its own is named by its file and
// its place in it, so what is read again after a crash is recorded once, and the position need not be synced.

import { hash } from 'node:crypto'
import { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FollowedFile } from './config.ts'
import type { Authenticated } from './emitters.ts'
import { GatewayRefusal } from './errors.ts'
import { toGatewayProblem } from './http/problems.ts'
import type { Contents } from './ids/contents.ts'
import type { Received } from './received.ts'
import { parseAt, parseForeign, readPlain } from './receivers/json.ts'
import { type MappingConfig, mapInput } from './receivers/mapping.ts'
import type { EmitterRecording } from './recording.ts'
import { type FileFacts, factsOf, isSameFile, nextAfter, type Sibling, siblingsOf } from './rotation.ts'
import { textOf } from './utf8.ts'

/**
 * `inode` and `start`, a hash of how the file begins, tell one file from the next; `turn` counts how often it was cut to nothing. `born`
 * and `written` say what follows it, and are missing in what earlier versions kept.
 */
type Position = {
  inode: string
  start: string
  turn: number
  offset: number
  born?: string
  written?: string
  /** How the part ends that was read: how many bytes a hash was made of, and it. Missing: nothing was read, or an earlier version kept it. */
  end?: { bytes: number; name: string } | undefined
  /** Another one is at its path, and it has nothing more. */
  isRead?: boolean
}

export type FollowerParts = {
  readonly file: FollowedFile
  readonly mapping: MappingConfig | null
  readonly who: Authenticated
  readonly recording: EmitterRecording
  /** Folder for positions, and for lines that could not be recorded. */
  readonly folder: string
  /** Most bytes of a line. */
  readonly maxBytes: number
  /** What a text is remembered by, and then what it may be remembered by from before. */
  readonly namesOf: Contents['namesOf']
  /** Whether what is written of lines may not show them. */
  readonly isSealed: boolean
  /** Told of each line that could not be recorded. */
  readonly refused: (error: unknown, at: string) => void
  /** Told of a file that was missed, and of each time that one cannot be opened; in a sentence if it is new. */
  readonly fault: (fault: FileFault, sentence: string | null) => void
}

/** Why lines of a file may not be recorded: nobody has them any more, they cannot be read now, or the file was cut to nothing. */
export type FileFault = 'missed' | 'unreadable' | 'cut'

type Opened = { handle: FileHandle; facts: FileFacts; starts: string[] }

const NOTHING: Buffer = Buffer.alloc(0)
const POLL_MS = 200
const READ_BYTES = 256 * 1024
/** How long to wait where spool or disk have no room, ms. */
const PATIENCE_MS = 500
/** So many bytes at the beginning tell files apart, and at the end of what was read. */
const START_BYTES = 256

/** Follows a file until `stop` is called, which resolves when what was read is recorded. */
export function followFile(parts: FollowerParts): { stop(): Promise<void> } {
  const follower = new Follower(parts)
  const running = follower.run()
  return {
    stop() {
      follower.isStopping = true
      return running
    },
  }
}

class Follower {
  isStopping = false
  readonly #parts: FollowerParts
  readonly #state: string
  #position: Position | null = null
  #rest: Buffer = NOTHING
  #saidFault = ''

  constructor(parts: FollowerParts) {
    this.#parts = parts
    const name = hash('sha256', parts.file.path).slice(0, 16)
    this.#state = join(parts.folder, `${name}.position.json`)
    try {
      this.#position = JSON.parse(readFileSync(this.#state, 'utf8')) as Position
    } catch {
      // The first time; or it is read again from its beginning, and what is known is found by its ids.
    }
  }

  async run(): Promise<void> {
    while (!this.isStopping) {
      const handle = await this.#open().catch((error) => this.#unopened(error))
      if (handle === null) {
        await sleep(POLL_MS)
        continue
      }
      this.#saidFault = ''
      try {
        await this.#follow(handle)
      } catch (error) {
        this.#parts.refused(error, this.#parts.file.path)
        await sleep(PATIENCE_MS)
      } finally {
        await handle.close()
      }
    }
  }

  /** A file that is not there yet is nothing to speak of. */
  #unopened(error: NodeJS.ErrnoException): null {
    if (error.code === 'ENOENT') return null
    const sentence = `${this.#parts.file.path} is not followed: ${error.message}`
    this.#parts.fault('unreadable', this.#saidFault === sentence ? null : sentence)
    this.#saidFault = sentence
    return null
  }

  /** The file that was being read, under whatever name it has now; else the one that was written after it, and at last the one at the path. */
  async #open(): Promise<FileHandle> {
    const { path } = this.#parts.file
    const position = this.#position
    if (position === null) return this.#start(await this.#opened(path))
    const { inode, born = '0', written = '0' } = position
    const known = { inode, born: BigInt(born), written: BigInt(written) }
    const isIt = (it: FileFacts) => isSameFile(it, known)
    if (!position.isRead) {
      const found = (await siblingsOf(path)).find(isIt)
      const opened = found && (await this.#opened(found.path, found))
      if (opened && (opened.starts.includes(position.start) || position.start === '')) return opened.handle
      await opened?.handle.close()
    }
    // Before the others are listed: what is renamed meanwhile is then seen by its new name.
    const current = await this.#opened(path).catch((error) => {
      if (error.code === 'ENOENT') return null
      throw error
    })
    try {
      // Cut to nothing and written again while nobody looked.
      if (current !== null && isIt(current.facts)) {
        if (!(await this.#readCopy())) throw Object.assign(new Error('stopped'), { code: 'ENOENT' })
        return this.#start(current)
      }
      const siblings = (await siblingsOf(path)).filter((it) => !(position.isRead && isIt(it)))
      const { next, packed } = nextAfter(known, siblings, !position.isRead)
      // Nothing says which of them an earlier version had read.
      const opened = next === null || position.born === undefined ? current : await this.#opened(next.path, next)
      if (opened === null) throw Object.assign(new Error('not there yet'), { code: 'ENOENT' })
      if (position.born !== undefined) this.#sayMissed(position, packed)
      if (opened !== current) await current?.handle.close()
      return this.#start(opened)
    } catch (error) {
      await current?.handle.close()
      throw error
    }
  }

  /** @param expected what must be found there: it may have been renamed since */
  async #opened(path: string, expected?: FileFacts): Promise<Opened> {
    const handle = await open(path, 'r')
    try {
      const opened = { handle, ...(await identify(handle, this.#parts.namesOf)) }
      if (expected !== undefined && !isSameFile(expected, opened.facts))
        throw Object.assign(new Error('renamed'), { code: 'ENOENT' })
      return opened
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  /** From the beginning. */
  #start({ handle, facts, starts }: Opened): FileHandle {
    // A file that was cut, or another one with its inode: lines of both may have the same place.
    const turn = this.#position?.inode === facts.inode ? this.#position.turn + 1 : 0
    const { inode, born, written } = facts
    this.#begin({ inode, start: starts[0]!, turn, offset: 0, born: `${born}`, written: `${written}` })
    return handle
  }

  #sayMissed({ isRead, offset }: Position, packed: readonly Sibling[]): void {
    const { file, fault } = this.#parts
    if (!isRead)
      fault(
        'missed',
        `The file that ${file.path} was is gone: what was written to it from byte ${offset} on, if anything was, is not recorded.`,
      )
    for (const { path } of packed)
      fault('missed', `${path} was compressed before it was read to its end, and is not read.`)
  }

  /** Reads until another file stands at the path, and this one has nothing more. */
  async #follow(handle: FileHandle): Promise<void> {
    const buffer = Buffer.alloc(READ_BYTES)
    let isLast = false
    this.#rest = NOTHING
    while (!this.isStopping) {
      const position = this.#position!
      const stats = await handle.stat({ bigint: true })
      position.born = `${stats.birthtimeNs}`
      position.written = `${stats.mtimeNs}`
      const again = (): void =>
        this.#begin({ ...this.#position!, start: '', turn: position.turn + 1, offset: 0, end: undefined })
      if (stats.size < position.offset) {
        if (!(await this.#readCopy())) return
        again()
        continue
      }
      // Lines are named by how the file begins, so none is read before that is known.
      if (position.start === '') position.start = (await identify(handle, this.#parts.namesOf)).starts[0]!
      const isNamed = position.start !== '' || isLast
      const { bytesRead } = !isNamed
        ? { bytesRead: 0 }
        : await handle.read(buffer, 0, READ_BYTES, position.offset + this.#rest.length)
      if (bytesRead > 0) {
        // Cut, and grown beyond that since: looked at when it was read, so that what was read is of the same file.
        if (position.start !== '' && !(await identify(handle, this.#parts.namesOf)).starts.includes(position.start)) {
          if (!(await this.#readCopy())) return
          again()
          continue
        }
        await this.#take(Buffer.concat([this.#rest, buffer.subarray(0, bytesRead)]))
        continue
      }
      if (isLast) {
        // A last line without its end will not get one any more.
        if (this.#rest.length > 0 && !(await this.#take(Buffer.concat([this.#rest, Buffer.from('\n')])))) return
        position.isRead = true
        this.#keep()
        return
      }
      // Once more after the rename: whoever writes may not have noticed it yet.
      isLast = await this.#isReplaced()
      await sleep(POLL_MS)
    }
  }

  /**
   * The file was cut. Who cuts it so that a copy stays (`copytruncate`) has put there what was not read yet, but what was written between the two.
   * @returns false: the collector is stopped before all was read
   */
  async #readCopy(): Promise<boolean> {
    const { file, fault } = this.#parts
    const { offset } = this.#position!
    const copy = await this.#copy()
    const cut = `${file.path} was cut: what was written to it from byte ${offset} on`
    fault(
      'cut',
      copy === null
        ? `${cut}, if anything was, is not recorded.`
        : `${cut} is read from ${copy.path}; what came between copy and cut, if anything did, is not recorded.`,
    )
    if (copy === null) return true
    try {
      const buffer = Buffer.alloc(READ_BYTES)
      this.#rest = NOTHING
      for (;;) {
        if (this.isStopping) return false
        const at = this.#position!.offset + this.#rest.length
        const { bytesRead } = await copy.handle.read(buffer, 0, READ_BYTES, at)
        const isEnd = bytesRead === 0
        if (isEnd && this.#rest.length === 0) return true
        const more = isEnd ? Buffer.from('\n') : buffer.subarray(0, bytesRead)
        if (!(await this.#take(Buffer.concat([this.#rest, more])))) return false
      }
    } finally {
      await copy.handle.close()
    }
  }

  /** The file that begins as what was read, and has the last of it at its place; null: there is none. */
  async #copy(): Promise<{ path: string; handle: FileHandle } | null> {
    const { inode, start, offset, end } = this.#position!
    if (end === undefined || start === '') return null
    const { namesOf, file } = this.#parts
    const siblings = (await siblingsOf(file.path)).filter((it) => it.kind === 'rotated' && it.inode !== inode)
    for (const { path } of siblings) {
      const handle = await open(path, 'r').catch(() => null)
      if (handle === null) continue
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(end.bytes), 0, end.bytes, offset - end.bytes)
      const names = namesOf(buffer.toString('latin1', 0, bytesRead)).map(shortOf)
      if (names.includes(end.name) && (await identify(handle, namesOf)).starts.includes(start)) return { path, handle }
      await handle.close()
    }
    return null
  }

  async #isReplaced(): Promise<boolean> {
    const now = await stat(this.#parts.file.path, { bigint: true }).catch(() => null)
    return now !== null && `${now.dev}-${now.ino}` !== this.#position!.inode
  }

  #begin(position: Position): void {
    this.#position = position
    this.#rest = NOTHING
    this.#keep()
  }

  /** Records the lines that are whole; together, so that they share a write to the disk. False: not all could be any more. */
  async #take(data: Buffer): Promise<boolean> {
    const position = this.#position!
    const end = data.lastIndexOf(0x0a) + 1
    const lines: Promise<boolean>[] = []
    for (let from = 0; from < end; ) {
      const to = data.indexOf(0x0a, from) + 1
      lines.push(this.#line(data.subarray(from, to - 1), position.offset + from))
      from = to
    }
    // Where one could not be recorded any more, all are read again, and those that were are found by their ids.
    if (!(await Promise.all(lines)).every(Boolean)) return false
    this.#rest = data.subarray(end)
    this.#pass(data.subarray(0, end))
    if (this.#rest.length > this.#parts.maxBytes) {
      // Nobody knows where it ends; what follows is read as if it began there.
      this.#reject(this.#rest, position.offset, new GatewayRefusal('collect_body_too_large', 'The line is too long.'))
      this.#pass(this.#rest)
      this.#rest = NOTHING
    }
    this.#keep()
    return true
  }

  #pass(read: Buffer): void {
    if (read.length === 0) return
    const position = this.#position!
    position.offset += read.length
    const last = read.subarray(-START_BYTES)
    position.end = { bytes: last.length, name: shortOf(this.#parts.namesOf(last.toString('latin1'))[0]!) }
  }

  /** False: the collector is stopped before there was room. */
  async #line(bytes: Buffer, offset: number): Promise<boolean> {
    if (bytes.every((byte) => byte === 0x20 || byte === 0x0d)) return true
    for (;;) {
      try {
        await this.#parts.recording.record(this.#read(bytes, offset), this.#parts.who, 'file', bytes.length)
        return true
      } catch (error) {
        if (toGatewayProblem(error).status !== 503) {
          this.#reject(bytes, offset, error)
          return true
        }
        if (this.isStopping) return false
        await sleep(PATIENCE_MS)
      }
    }
  }

  #read(bytes: Buffer, offset: number): Received[] {
    const { inode, start, turn } = this.#position!
    const at = `${this.#parts.file.path} at byte ${offset}`
    const { mapping } = this.#parts
    const value = parseAt(textOf(bytes), at, mapping === null ? undefined : parseForeign)
    const received = mapping === null ? [readPlain(value, at)] : mapInput(mapping, value, {}, at)
    const name = `file:${inode}:${start}:${turn}:${offset}`
    return received.map((each, i) => (each.id === null ? { ...each, id: i === 0 ? name : `${name}:${i}` } : each))
  }

  /** What cannot be recorded is kept beside, for people, and counted. */
  #reject(bytes: Buffer, offset: number, error: unknown): void {
    const { file, folder, refused, isSealed } = this.#parts
    const { code, detail } = toGatewayProblem(error)
    // What should be sealed is not written in clear; the file that is followed has it.
    const line = isSealed ? { bytes: bytes.length } : { detail, line: bytes.toString('latin1') }
    const entry = { file: file.path, offset, code, ...line }
    appendFileSync(join(folder, 'rejected.ndjson'), `${JSON.stringify(entry)}\n`, { mode: 0o600 })
    refused(error, `${file.path} at byte ${offset}`)
  }

  #keep(): void {
    writeFileSync(`${this.#state}.tmp`, JSON.stringify(this.#position), { mode: 0o600 })
    renameSync(`${this.#state}.tmp`, this.#state)
  }
}

const shortOf = (name: string): string => name.slice(0, 16)

/** `starts`: what its beginning is remembered by, the first; where that is not whole yet, and would be another one later, nothing. */
async function identify(
  handle: FileHandle,
  namesOf: Contents['namesOf'],
): Promise<{ facts: FileFacts; starts: string[] }> {
  const facts = factsOf(await handle.stat({ bigint: true }))
  const { bytesRead, buffer } = await handle.read(Buffer.alloc(START_BYTES), 0, START_BYTES, 0)
  const text = buffer.toString('latin1', 0, bytesRead)
  const end = text.indexOf('\n')
  const isWhole = end >= 0 || bytesRead === START_BYTES
  const names = isWhole ? namesOf(text.slice(0, end < 0 ? undefined : end)) : ['']
  return { facts, starts: names.map(shortOf) }
}
