import { ftruncateSync, writeSync } from 'node:fs'

/**
 * Writes all of a text at the end of a file, or nothing: a disk that is nearly full takes a part of it, and says so only by a number.
 * @param end where the file ends, bytes
 * @returns how many bytes it was
 * @throws the error of the file system
 */
export function append(handle: number, text: string, end: number): number {
  const bytes = Buffer.from(text)
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(handle, bytes, at, bytes.length - at, end + at)
  } catch (error) {
    ftruncateSync(handle, end)
    throw error
  }
  return bytes.length
}
