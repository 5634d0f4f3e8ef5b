import { open } from 'node:fs/promises'

const CHUNK_BYTES = 256 << 10

/** The bytes of a file for `verifyBundle`, which is done with a chunk when it asks for the next: all stand in the same memory. */
export async function* readFileInPlace(path: string): AsyncGenerator<Uint8Array> {
  const file = await open(path)
  try {
    const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
    for (;;) {
      // With its length, without which a `FileHandle` of Yarn's Plug'n'Play reads nothing.
      const { bytesRead } = await file.read(chunk, 0, chunk.length)
      if (bytesRead === 0) return
      yield chunk.subarray(0, bytesRead)
    }
  } finally {
    await file.close()
  }
}
