// One segment of the spool: a text file of framed lines, `<kind> <crc32> <length> <text>\n`, all ASCII. A line is either
// whole (terminator, length and checksum agree) or the unfinished end of the last write; there is no third state.
import { constants, fdatasyncSync, writeSync } from 'node:fs'
import { type FileHandle, open, readdir, rename, rm, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import zlib from 'node:zlib'
import { KillickError } from '../core/errors.ts'
import { syncData, syncFile } from '../node/sync.ts'

/** S = state at the start of a segment, E = event, B = signed batch header, A = acceptance of the batch by the log. */
export type LineKind = 'S' | 'E' | 'B' | 'A'
/** A line and its place in the file; `end` is just after the line feed. */
export type SpoolLine = { kind: LineKind; text: string; start: number; end: number }

// Not imported by its name: where that is missing, nothing could say so (../node/version.ts).
const { crc32 } = zlib

const { O_RDWR, O_CREAT, O_TRUNC, O_DSYNC } = constants
/**
 * Where Linux is, a write is durable by itself: to ask for that behind it would take another way to the thread pool and back. Elsewhere
 * such writes may end in the drive's own memory.
 */
const DURABLE = process.platform === 'linux' ? O_DSYNC : 0

const SEED: Record<string, number> = { S: crc32('S'), E: crc32('E'), B: crc32('B'), A: crc32('A') }
const LINE_FEED = 0x0a
const READ_BYTES = 1 << 20
// The longest line is an event of 256 KiB. A longer tail without a line feed is not the end of one write.
const MAX_LINE_BYTES = 1 << 20
const UNFINISHED_HEAD = /^[SEBA]( ([0-9a-f]{0,8}|[0-9a-f]{8} \d{0,7}))?$/
const HEAD = /^([SEBA]) ([0-9a-f]{8}) (\d{1,7}) /

const toHex = (checksum: number) => checksum.toString(16).padStart(8, '0')
const checksum = (kind: string, text: string) => toHex(crc32(text, SEED[kind]))

/** Bytes of the line that stores `text`. */
export const frameLength = (text: string): number => text.length + String(text.length).length + 13

/** Writes the line that stores `text`, which must be ASCII without line feeds, at `at`. @returns where it ends */
export function writeFrame(buffer: Buffer, at: number, kind: LineKind, text: string): number {
  const head = `${kind} ........ ${text.length} `
  const start = at + head.length
  buffer.write(head, at, 'latin1')
  const end = start + buffer.write(text, start, 'latin1')
  buffer.write(toHex(crc32(buffer.subarray(start, end), SEED[kind])), at + 2, 'latin1')
  buffer[end] = LINE_FEED
  return end + 1
}

/** The line that stores `text`, as text. */
export function frame(kind: LineKind, text: string): string {
  const buffer = Buffer.alloc(frameLength(text))
  writeFrame(buffer, 0, kind, text)
  return buffer.toString('latin1')
}

export const corrupt = (file: string, offset: number, reason: string): KillickError =>
  new KillickError('spool_corrupt', `The spool is damaged: ${file} at byte ${offset}: ${reason}`, {
    file,
    offset,
    reason,
  })

const parseLine = (line: string, file: string, offset: number): SpoolLine => {
  const space = line.indexOf(' ', 11)
  const kind = line[0] as LineKind
  const text = line.slice(space + 1)
  if (space < 0 || !(kind in SEED) || line[1] !== ' ' || line[10] !== ' ' || line.slice(11, space) !== `${text.length}`)
    throw corrupt(file, offset, 'not a spool line')
  if (line.slice(2, 10) !== checksum(kind, text)) throw corrupt(file, offset, 'the checksum does not match')
  return { kind, text, start: offset, end: offset + line.length + 1 }
}

/**
 * Reads the frames between two offsets, a chunk at a time. `to` must be the end of a frame.
 * @throws KillickError `spool_corrupt` with file and offset.
 */
export async function* readFrames(file: string, from: number, to: number): AsyncGenerator<SpoolLine[]> {
  const handle = await open(file, 'r')
  try {
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, to - from))
    let rest = ''
    let offset = from
    for (let position = from; position < to; ) {
      const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, to - position), position)
      if (bytesRead === 0) throw corrupt(file, position, `the file ends here, ${to - position} bytes are missing`)
      position += bytesRead
      const lines = (rest + buffer.toString('latin1', 0, bytesRead)).split('\n')
      rest = lines.pop() as string
      if (rest.length > MAX_LINE_BYTES) throw corrupt(file, offset, 'a line without end')
      const frames: SpoolLine[] = []
      for (const line of lines) {
        const parsed = parseLine(line, file, offset)
        offset = parsed.end
        frames.push(parsed)
      }
      yield frames
    }
    if (rest !== '') throw corrupt(file, offset, 'the last line is incomplete')
  } finally {
    await handle.close()
  }
}

/** True when `tail` is what an interrupted write leaves: a proper beginning of one frame and nothing else. */
export const isTorn = (tail: string): boolean => {
  const head = HEAD.exec(tail)
  if (!head) return UNFINISHED_HEAD.test(tail)
  const text = tail.slice(head[0].length)
  if (text.length !== Number(head[3])) return text.length < Number(head[3])
  return checksum(head[1] as string, text) === head[2]
}

/**
 * Cuts the unfinished line that a killed process may leave at the end of the newest segment. Its record() had not
 * resolved: that happens only after the whole line is on disk.
 * @returns the size after the cut, in bytes.
 */
export async function cutTornTail(file: string): Promise<number> {
  const handle = await open(file, 'r+')
  try {
    const { size } = await handle.stat()
    const length = Math.min(size, MAX_LINE_BYTES)
    const { buffer } = await handle.read(Buffer.alloc(length), 0, length, size - length)
    const tail = buffer.toString('latin1', buffer.lastIndexOf(LINE_FEED) + 1)
    if (tail === '') return size
    const end = size - tail.length
    if (end === 0 || !isTorn(tail)) throw corrupt(file, end, 'the end is not an unfinished line')
    await handle.truncate(end)
    await syncData(handle)
    return end
  } finally {
    await handle.close()
  }
}

export const segmentFile = (dir: string, number: number): string => join(dir, `${String(number).padStart(10, '0')}.log`)

/** Numbers of the segments in `dir`, ascending and without a gap. Half-created files are removed. */
export async function listSegments(dir: string): Promise<number[]> {
  const names = await readdir(dir)
  // One may be the beacon of a process that asks for the lock (node/lock.ts), which has got its name, or has gone, meanwhile.
  for (const name of names) if (name.endsWith('.tmp')) await rm(join(dir, name), { force: true })
  const numbers = names
    .filter((name) => /^\d{10}\.log$/.test(name))
    .map((name) => Number.parseInt(name, 10))
    .sort((a, b) => a - b)
  numbers.forEach((number, i) => {
    const before = numbers[i - 1]
    if (before !== undefined && number !== before + 1)
      throw corrupt(segmentFile(dir, before + 1), 0, 'this segment is missing')
  })
  return numbers
}

/** Opens a segment for more lines. */
export const openSegment = (dir: string, number: number): Promise<FileHandle> =>
  open(segmentFile(dir, number), O_RDWR | DURABLE)

/** Creates a segment; it appears under its name only when its first line is durable. */
export async function createSegment(
  dir: string,
  number: number,
  state: string,
): Promise<{ handle: FileHandle; bytes: number }> {
  const file = segmentFile(dir, number)
  const line = Buffer.from(frame('S', state), 'latin1')
  const handle = await open(`${file}.tmp`, O_RDWR | O_CREAT | O_TRUNC | DURABLE, 0o600)
  try {
    await writeDurably(handle, line, 0)
    // Opened before: whoever goes on with the segment before this one must not leave this one behind.
    await withDirectory(dir, async (sync) => {
      await rename(`${file}.tmp`, file)
      await sync()
    })
    return { handle, bytes: line.length }
  } catch (error) {
    await handle.close()
    await unlink(`${file}.tmp`).catch(() => {})
    throw error
  }
}

/** Writes all of `data` at `position`. After a short write it writes on until the system names the reason. */
export async function writeAll(handle: FileHandle, data: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < data.length; ) {
    const { bytesWritten } = await handle.write(data, done, data.length - done, position + done)
    done += bytesWritten
  }
}

/** Writes to a segment; durable when it resolves. */
export async function writeDurably(segment: FileHandle, data: Uint8Array, position: number): Promise<void> {
  await writeAll(segment, data, position)
  if (DURABLE === 0) await syncData(segment)
}

/** The same, durable when it returns: the calling thread waits for the disk. */
export function writeDurablyNow({ fd }: FileHandle, data: Uint8Array, position: number): void {
  for (let done = 0; done < data.length; ) done += writeSync(fd, data, done, data.length - done, position + done)
  if (DURABLE === 0) fdatasyncSync(fd)
}

/** Makes creations, renames and removals in `dir` durable. Windows cannot open a directory; its file systems journal names. */
export const syncDirectory = (dir: string): Promise<void> => withDirectory(dir, (sync) => sync())

async function withDirectory(dir: string, work: (sync: () => Promise<void>) => Promise<void>): Promise<void> {
  if (process.platform === 'win32') return work(async () => {})
  const handle = await open(dir, 'r')
  try {
    await work(() => syncFile(handle))
  } finally {
    await handle.close()
  }
}
