// Writes a bundle into a file that has its name only once it is whole.
import { createHash, type Hash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { type BundleManifest, printManifest, printTrailer } from '../../bundle/manifest.ts'
import { TAR_END, tarHeader, tarPadding } from '../../bundle/tar.ts'
import { UsageError } from '../command.ts'
import { inputError } from '../input.ts'

/** What was written. */
export type WrittenBundle = { readonly entries: number; readonly events: number; readonly bytes: number }

const CHUNK_BYTES = 1 << 18

/** @param onEvents told now and then how many events are written @throws UsageError if there is such a file, or it cannot be written */
export async function writeBundle(
  file: string,
  manifest: BundleManifest,
  lines: AsyncIterable<string>,
  onEvents: (events: number) => void,
): Promise<WrittenBundle> {
  if (existsSync(file)) throw new UsageError(`${file} exists already and was not overwritten`)
  const part = `${file}.part`
  const handle = await open(part, 'w').catch((error) => {
    throw inputError(error, part)
  })
  try {
    const written = await new Writer(handle).write(manifest, lines, onEvents)
    await handle.sync()
    await handle.close()
    await rename(part, file)
    return written
  } catch (error) {
    await handle.close().catch(() => {})
    await rm(part, { force: true })
    throw error
  }
}

class Writer {
  readonly #handle: FileHandle
  readonly #digests: Record<string, string> = {}
  #at = 0

  constructor(handle: FileHandle) {
    this.#handle = handle
  }

  async write(
    manifest: BundleManifest,
    lines: AsyncIterable<string>,
    onEvents: (events: number) => void,
  ): Promise<WrittenBundle> {
    await this.#small('manifest.json', printManifest(manifest))
    const { entries, events } = await this.#log(lines, onEvents)
    await this.#small('trailer.json', printTrailer({ entries, events, files: { ...this.#digests } }))
    await this.#put(TAR_END)
    return { entries, events, bytes: this.#at }
  }

  async #small(name: string, text: string): Promise<void> {
    const bytes = Buffer.from(text)
    this.#digests[name] = hexOf(createHash('sha256').update(bytes))
    await this.#put(Buffer.concat([tarHeader(name, bytes.length), bytes, tarPadding(bytes.length)]))
  }

  /** Its header says how long it is, so it is written last. */
  async #log(
    lines: AsyncIterable<string>,
    onEvents: (events: number) => void,
  ): Promise<{ entries: number; events: number }> {
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
      onEvents(counts.E)
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
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, this.#at)
      done += bytesWritten
      this.#at += bytesWritten
    }
  }
}

const hexOf = (hash: Hash): string => hash.digest('hex')
