// Lines go on in their order, each once it is decided that it may.
import type { Readable, Writable } from 'node:stream'
import { LineSplitter } from './lines.ts'
import type { Passage } from './message.ts'

/** Lines, and bytes of lines, that may wait to be passed on before no more is read. */
const MAX_WAITING_LINES = 256
const MAX_WAITING_BYTES = 4 << 20

export type RelayOptions = {
  readonly from: Readable
  readonly to: Writable
  /** Where answers to the sender go. */
  readonly back: Writable
  readonly maxLineBytes: number
  take(line: Buffer): Promise<Passage>
}

/** Resolves when everything that came was passed on, answered, or can no longer be. @throws LineTooLong */
export async function relay({ from, to, back, maxLineBytes, take }: RelayOptions): Promise<void> {
  const splitter = new LineSplitter(maxLineBytes)
  let [lines, bytes] = [0, 0]
  let latest: Promise<void> = Promise.resolve()
  const pass = (line: Buffer): void => {
    const passage = take(line)
    lines += 1
    bytes += line.length
    latest = latest.then(async () => {
      const { isPassed, answer, held } = await passage
      if (isPassed) await write(to, line)
      await write(back, answer)
      // What waits for a person holds nothing up that came after it.
      held?.then(async (late) => {
        if (late.isPassed) await write(to, line)
        await write(back, late.answer)
      })
      lines -= 1
      bytes -= line.length
    })
  }
  try {
    for await (const chunk of from) {
      for (const line of splitter.push(chunk as Buffer)) {
        pass(line)
        if (lines >= MAX_WAITING_LINES || bytes >= MAX_WAITING_BYTES) await latest
      }
    }
    const rest = splitter.end()
    if (rest !== null) pass(rest)
  } catch (error) {
    // Whoever closes a stream that is being read means to stop.
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error
  } finally {
    await latest
  }
}

/** Resolves when there is room for more. What nobody reads any more is dropped: the end of the session says why. */
export async function write(to: Writable, bytes: Buffer): Promise<void> {
  if (bytes.length === 0 || to.destroyed || to.writableEnded) return
  await new Promise<void>((resolve) => {
    if (to.write(bytes, () => resolve())) resolve()
  })
}
