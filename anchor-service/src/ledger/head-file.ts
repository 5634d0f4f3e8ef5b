import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { lockFile } from '../file-lock.ts'
import { syncFolder } from '../sync-folder.ts'

/** A kept head: a signed note, and since when (ms) heads have been kept without a break; 0: since the log began. */
export type Kept = { note: string; since: number }

/** The file of one process. It is durable once `write` resolves; one write at a time. */
export type HeadFile = {
  write(kept: Kept): Promise<void>
  /** Forgets what was written before, so that it can never be read again, and writes this. */
  replace(kept: Kept): Promise<void>
  close(): Promise<void>
}

/** Bytes of a slot. A file has two, written in turn: if a crash tears one, the other still holds the head before. */
const SLOT = 4096
const FORM = 'killick-head/1'
/**
 * On Linux, a write to a file opened with O_DSYNC returns once its bytes are on the disk (open(2)), which saves a second call per
 * commit. Elsewhere the flag promises less than fdatasync, or does not exist: 0.
 */
const DSYNC = process.platform === 'linux' ? constants.O_DSYNC : 0

const checksum = (body: string) => createHash('sha256').update(body).digest('hex')

/** @param write number of this write to the file, which tells the older of two slots from the newer */
function print({ note, since }: Kept, write: number): Buffer {
  const body = JSON.stringify({ note, since, write })
  const slot = Buffer.alloc(SLOT)
  slot.write(`${FORM} ${checksum(body)}\n${body}\n`)
  return slot
}

function parse(slot: Buffer): (Kept & { write: number }) | null {
  const [first, body] = slot.toString('utf8').split('\n')
  return body !== undefined && first === `${FORM} ${checksum(body)}` ? JSON.parse(body) : null
}

const FILE = /^\d+\.head$/

/**
 * What all processes with this folder have kept, including dead ones.
 * @returns `damaged`: files to which something was written, and from which nothing can be read
 */
export async function readHeadFiles(folder: string): Promise<{ kept: Kept[]; damaged: string[] }> {
  const names = (await readdir(folder).catch(orNone)) ?? []
  const [kept, damaged]: [Kept[], string[]] = [[], []]
  for (const name of names.filter((each) => FILE.test(each))) {
    const bytes = await readFile(join(folder, name))
    const slots = [bytes.subarray(0, SLOT), bytes.subarray(SLOT)].map(parse).filter((slot) => slot !== null)
    kept.push(...slots)
    if (slots.length === 0 && bytes.some((byte) => byte !== 0)) damaged.push(join(folder, name))
  }
  return { kept, damaged }
}

function orNone(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null
  throw error
}

/**
 * Takes the first file of the folder that no living process holds. The lock ends with the process however that ends. So two processes never write to one file, and the files of dead
 * processes are used again.
 */
export async function openHeadFile(folder: string): Promise<HeadFile> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  for (let number = 0; ; number++) {
    const release = lockFile(join(folder, `${number}.lock`))
    if (release === null) continue
    const path = join(folder, `${number}.head`)
    try {
      return await openSlots(folder, path, release)
    } catch (error) {
      release()
      throw error
    }
  }
}

const readOrClose = (file: FileHandle): Promise<Buffer> =>
  file.readFile().catch(async (error) => {
    await file.close()
    throw error
  })

async function openSlots(folder: string, path: string, release: () => void): Promise<HeadFile> {
  let file = await open(path, constants.O_RDWR | DSYNC).catch(orNone)
  const bytes = file && (await readOrClose(file))
  const writes = [bytes?.subarray(0, SLOT), bytes?.subarray(SLOT)].map((slot) => (slot && parse(slot)?.write) ?? 0)
  let last = Math.max(...writes)
  if (file !== null && last === 0) {
    await file.close()
    // Kept aside, as evidence.
    if (bytes!.some((byte) => byte !== 0)) await rename(path, `${path}.${Date.now()}.damaged`)
    file = null
  }
  // Overwrites the older slot, or the one that cannot be read.
  let next = writes[0]! <= writes[1]! ? 0 : 1

  /** Makes the file complete before it gets its name, so that a file with this name always has its full length. */
  async function make(first: Buffer): Promise<FileHandle> {
    const unnamed = `${path}.new`
    const made = await open(unnamed, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC | DSYNC, 0o600)
    try {
      await made.write(Buffer.concat([first, Buffer.alloc(SLOT)]), 0, 2 * SLOT, 0)
      await made.sync()
      await rename(unnamed, path)
      await syncFolder(folder)
    } catch (error) {
      // Every commit on a full disk tries again.
      await made.close()
      throw error
    }
    next = 1
    return made
  }

  return {
    async write(kept) {
      if (file === null) {
        file = await make(print(kept, ++last))
        return
      }
      await file.write(print(kept, ++last), 0, SLOT, next * SLOT)
      // Within the file's length, so that only these bytes have to reach the disk.
      if (DSYNC === 0) await file.datasync()
      next = 1 - next
    },
    async replace(kept) {
      const before = file
      file = await make(print(kept, ++last))
      await before?.close()
    },
    async close() {
      await file?.close()
      release()
    },
  }
}
