import { realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { inputError } from './input.ts'

/**
 * Writes a file whole or not at all: on a disk that is full, what it held before stays. A device or a pipe is written to as it is.
 * @throws UsageError with the reason
 */
export async function writeWhole(path: string, text: string): Promise<void> {
  // Through a link, not in its place.
  const file = await realpath(path).catch(() => path)
  const found = await stat(file).catch(() => null)
  const draft = found === null || found.isFile() ? `${file}.part` : file
  try {
    await writeFile(draft, text)
    if (draft !== file) await rename(draft, file)
  } catch (error) {
    if (draft !== file) await rm(draft, { force: true }).catch(() => {})
    throw inputError(error, path)
  }
}
