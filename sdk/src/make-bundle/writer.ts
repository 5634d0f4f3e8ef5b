// Writes a bundle into a file that has its name only once it is whole.
import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type BundleManifest, printManifest, printTrailer } from '../bundle/manifest.ts'
import { TAR_END, tarHeader, tarPadding } from '../bundle/tar.ts'
import { KillickError } from '../core/errors.ts'
import { syncFile } from '../node/sync.ts'

/** What was written: lines of `log.txt` that are entries and events, the size of the file, and its SHA-256 in lower-case hex. */
export type WrittenBundle = {
  readonly entries: number
  readonly events: number
  readonly bytes: number
  readonly sha256: string
}

/** Files to stand behind the log, by name, in their order: made of what is known by then. */
export type ForPeople = (written: {
  readonly entries: number
  readonly events: number
  readonly files: Readonly<Record<string, string>>
}) => readonly (readonly [name: string, bytes: Uint8Array])[]

/** How far it has come. */
export type WritingProgress = Omit<WrittenBundle, 'sha256'>

const CHUNK_BYTES = 1 << 18

/**
 * Writes `<file>.part` and renames it once all of it is on the disk. A file that is there already is replaced.
 * @throws KillickError `bundle_too_large` if it would take more than `maxBytes`; errors of the system
 */
export async function writeBundle(
  file: string,
  manifest: BundleManifest,
  lines: AsyncIterable<string>,
  forPeople: ForPeople,
  maxBytes: number,
  onProgress: (progress: WritingProgress) => void,
): Promise<WrittenBundle> {
  const part = `${file}.part`
  const handle = await open(part, 'w')
  try {
    const written = await new Writer(handle, maxBytes, onProgress).write(manifest, lines, forPeople)
    await syncFile(handle)
    await handle.close()
    const sha256 = await sha256Of(part)
    await rename(part, file)
    await syncFolder(dirname(file))
    return { ...written, sha256 }
  } catch (error) {
    await handle.close().catch(() => {})
    await rm(part, { force: true })
    throw error
  }
}

/** Only now is the name on the disk too. Where folders cannot be opened, the system sees to it. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => null)
  if (handle) await syncFile(handle).catch(() => {})
  await handle?.close()
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  return hexOf(hash)
}

class Writer {
  readonly #handle: FileHandle
  readonly #maxBytes: number
  readonly #onProgress: (progress: WritingProgress) => void
  readonly #digests: Record<string, string> = {}
  #at = 0

  constructor(handle: FileHandle, maxBytes: number, onProgress: (progress: WritingProgress) => void) {
    this.#handle = handle
    this.#maxBytes = maxBytes
    this.#onProgress = onProgress
  }

  async write(manifest: BundleManifest, lines: AsyncIterable<string>, forPeople: ForPeople): Promise<WritingProgress> {
    await this.#small('manifest.json', Buffer.from(printManifest(manifest)))
    const { entries, events } = await this.#log(lines)
    for (const [name, bytes] of forPeople({ entries, events, files: { ...this.#digests } }))
      await this.#small(name, bytes)
    const trailer = printTrailer({ entries, events, files: { ...this.#digests } })
    await this.#small('trailer.json', Buffer.from(trailer))
    await this.#put(TAR_END)
    return { entries, events, bytes: this.#at }
  }

  async #small(name: string, bytes: Uint8Array): Promise<void> {
    this.#digests[name] = hexOf(createHash('sha256').update(bytes))
    await this.#put(Buffer.concat([tarHeader(name, bytes.length), bytes, tarPadding(bytes.length)]))
  }

  /** Its header says how long it is, so it is written last. */
  async #log(lines: AsyncIterable<string>): Promise<{ entries: number; events: number }> {
    const start = this.#at
    await this.#put(tarHeader('log.txt', 0))
    const hash = createHash('sha256')
    const counts = { E: 0, H: 0 }
    let held = ''
    const flush = async () => {
      const bytes = Buffer.from(held, 'latin1')
      held = ''
      hash.update(bytes)
      await this.#put(bytes)
      this.#onProgress({ entries: counts.H, events: counts.E, bytes: this.#at })
    }
    for await (const line of lines) {
      const letter = line[0] as keyof typeof counts
      if (letter in counts) counts[letter] += 1
      held += line
      if (held.length >= CHUNK_BYTES) await flush()
    }
    await flush()
    this.#digests['log.txt'] = hexOf(hash)
    const size = this.#at - start - tarHeader('log.txt', 0).length
    await this.#put(tarPadding(size))
    await this.#handle.write(tarHeader('log.txt', size), 0, undefined, start)
    return { entries: counts.H, events: counts.E }
  }

  async #put(bytes: Uint8Array): Promise<void> {
    if (this.#at + bytes.length > this.#maxBytes)
      throw new KillickError('bundle_too_large', `The bundle takes more than ${this.#maxBytes} bytes`)
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, this.#at)
      done += bytesWritten
      this.#at += bytesWritten
    }
  }
}

const hexOf = (hash: Hash): string => hash.digest('hex')
