// Where an export goes. Only whole parts stay: what a part left that broke off is taken back before it is asked for again.
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { type FileHandle, mkdtemp, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeAll } from '../../client/segment.ts'
import { isObject, parseJson } from '../../core/json.ts'
import { syncFile } from '../../node/sync.ts'
import { UsageError } from '../command.ts'
import { inputError, isSystemError } from '../input.ts'

/** What is kept: `next` is the cursor of the part to be asked for next; null: the first; `end`: none. */
export type ExportPlace = { readonly next: string | null; readonly export: string | null; readonly events: number }

/** What an export was asked for. */
export type ExportAsked = { readonly url: string; readonly query: string }

export type ExportSink = {
  /** What people know it by. */
  readonly name: string
  readonly kept: ExportPlace
  /** Takes back what was written since `keep`. */
  rewind(): Promise<void>
  write(chunk: Uint8Array): Promise<void>
  /** Keeps what was written: it stays even if the process is killed. */
  keep(kept: ExportPlace): Promise<void>
  done(): Promise<void>
  /** Ends it early. @returns whether something is left to go on from */
  leave(): Promise<boolean>
}

const FORMAT = 'killick-export-part/1'

/**
 * A file that has its name only once it is whole. Until then its parts are in `<file>.part`, and what they are in
 * `<file>.part.json`, where the same export goes on.
 * @throws UsageError
 */
export async function toFile(file: string, asked: ExportAsked): Promise<ExportSink> {
  const [part, note] = [`${file}.part`, `${file}.part.json`]
  let { bytes, ...kept } = await readNote(part, note, asked)
  const handle = await open(part, existsSync(part) ? 'r+' : 'wx+', 0o666).catch((error) => {
    throw inputError(error, part)
  })
  let at = bytes
  const writeNote = async () => {
    const text = `${JSON.stringify({ format: FORMAT, ...asked, ...kept, bytes, process: process.pid }, null, 2)}\n`
    const written = await open(`${note}.tmp`, 'w')
    try {
      await written.writeFile(text)
      await syncFile(written)
    } finally {
      await written.close()
    }
    await rename(`${note}.tmp`, note)
  }
  try {
    if ((await handle.stat()).size < bytes)
      throw new UsageError(`${part} has lost what ${note} says that it has: remove both, and begin again`)
    await writeNote()
  } catch (error) {
    await handle.close()
    throw isSystemError(error) ? inputError(error, note) : error
  }
  return {
    name: part,
    get kept() {
      return kept
    },
    async rewind() {
      at = bytes
      await handle.truncate(at)
    },
    async write(chunk) {
      await writeAll(handle, chunk, at)
      at += chunk.length
    },
    async keep(now) {
      await syncFile(handle)
      kept = now
      bytes = at
      await writeNote()
    },
    async done() {
      await handle.close()
      await rename(part, file)
      await rm(note, { force: true })
    },
    async leave() {
      await handle.truncate(bytes).catch(() => {})
      await handle.close().catch(() => {})
      if (bytes > 0) return true
      for (const left of [part, note, `${note}.tmp`]) await rm(left, { force: true })
      return false
    },
  }
}

/** What an earlier run has left. @throws UsageError if it is another export's, or is still being written */
async function readNote(part: string, note: string, asked: ExportAsked): Promise<ExportPlace & { bytes: number }> {
  const found = await readFile(note, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw inputError(error, note)
  })
  const there = await stat(part).catch(() => null)
  const none = { next: null, export: null, events: 0, bytes: 0 }
  if (found === null) {
    if (there === null || there.size === 0) return none
    throw new UsageError(`${part} is there, and is not what an export left: give another --out, or remove it`)
  }
  const begin = `remove ${part} and ${note} to begin again`
  const left = parsed(found)
  if (left === null) throw new UsageError(`${note} is not what an export left: ${begin}`)
  // Without its parts it says nothing: they were whole, and have been given their name or were removed.
  if (there === null) return none
  if (left.url !== asked.url || left.query !== asked.query)
    throw new UsageError(`${part} is from another export, of ${left.url}${left.query}: give another --out, or ${begin}`)
  if (left.process !== process.pid && isAlive(left.process))
    throw new UsageError(`${part} is being written by process ${left.process}; if that is another program, ${begin}`)
  const { next, export: id, events, bytes } = left
  return { next, export: id, events, bytes }
}

type Note = ExportAsked & ExportPlace & { bytes: number; process: number }

function parsed(text: string): Note | null {
  let value: unknown
  try {
    value = parseJson(text)
  } catch {
    return null
  }
  if (!isObject(value) || value.format !== FORMAT) return null
  const { url, query, next, export: id, events, bytes, process: pid } = value
  const isText = (member: unknown) => member === null || typeof member === 'string'
  const isCount = (member: unknown) => Number.isSafeInteger(member) && (member as number) >= 0
  const isSound =
    [url, query].every((member) => typeof member === 'string') &&
    [next, id].every(isText) &&
    [events, bytes, pid].every(isCount)
  return isSound ? (value as unknown as Note) : null
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** What is written to a pipe cannot be taken back, so each part goes to a file of its own before. */
export async function toStdout(): Promise<ExportSink> {
  const folder = await mkdtemp(join(tmpdir(), 'killick-export-'))
  const handle = await open(join(folder, 'part'), 'wx+', 0o600)
  // It has no name any more, and goes with the process. Where that cannot be, it is removed at the end.
  await rm(folder, { recursive: true, force: true }).catch(() => {})
  let kept: ExportPlace = { next: null, export: null, events: 0 }
  let at = 0
  const close = async () => {
    await handle.close()
    await rm(folder, { recursive: true, force: true })
  }
  return {
    name: 'stdout',
    get kept() {
      return kept
    },
    async rewind() {
      at = 0
      await handle.truncate(0)
    },
    async write(chunk) {
      await writeAll(handle, chunk, at)
      at += chunk.length
    },
    async keep(now) {
      await print(handle, at)
      kept = now
    },
    done: close,
    async leave() {
      await close()
      return false
    },
  }
}

const CHUNK_BYTES = 1 << 18

async function print(handle: FileHandle, end: number): Promise<void> {
  const { stdout } = process
  for (let at = 0; at < end; ) {
    const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, at)
    if (bytesRead === 0) return
    at += bytesRead
    if (!stdout.write(buffer.subarray(0, bytesRead))) await once(stdout, 'drain')
  }
}
