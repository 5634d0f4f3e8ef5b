// Streams on their way through: passed on at once, counted and hashed. No more of one is in memory than a few chunks.
import { createHash } from 'node:crypto'
import { write } from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import { promisify } from 'node:util'

/** What went through a stream; `sha256` in hex, as sha256sum prints it. `error`: the code of what ended it early. */
export type Passed = { readonly bytes: number; readonly sha256: string; readonly error?: string }

const writeSome = promisify(write)
const NONBLOCKING_PAUSE_MS = 5

function tally() {
  const hash = createHash('sha256')
  let bytes = 0
  return {
    add(chunk: Uint8Array) {
      hash.update(chunk)
      bytes += chunk.length
    },
    end: (error?: unknown): Passed => {
      const code = error === undefined ? undefined : ((error as NodeJS.ErrnoException).code ?? 'internal')
      return { bytes, sha256: hash.digest('hex'), ...(code !== undefined && { error: code }) }
    },
  }
}

/**
 * Passes what the command writes on to a file descriptor of this process. If nobody takes it any more, the command's end is closed
 * too, so that it hears of it as it would have without us.
 */
export async function passOut(from: Readable, fd: number): Promise<Passed> {
  const passed = tally()
  try {
    for await (const chunk of from) {
      await writeAll(fd, chunk)
      passed.add(chunk)
    }
    return passed.end()
  } catch (error) {
    return passed.end(error)
  } finally {
    from.destroy()
  }
}

/** Writes in another thread, so that a slow reader holds up nothing else; `process.stdout` would wait here. */
async function writeAll(fd: number, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length; ) {
    try {
      at += (await writeSome(fd, chunk, at)).bytesWritten
    } catch (error) {
      // Whoever shares the descriptor has made it non-blocking, and it is full.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      await new Promise((resolve) => setTimeout(resolve, NONBLOCKING_PAUSE_MS))
    }
  }
}

/** Passes stdin on to the command, until it ends, the command closes it, or `stop` is called. */
export function passIn(from: Readable, to: Writable): { passed: Promise<Passed>; stop: () => void } {
  const passed = tally()
  let isStopped = false
  let wake = () => {}
  to.on('drain', () => wake())
  const stop = () => {
    isStopped = true
    wake()
    from.destroy()
    to.destroy()
  }
  to.on('error', stop)
  const pass = async (): Promise<Passed> => {
    try {
      for await (const chunk of from) {
        if (isStopped) break
        passed.add(chunk)
        if (!to.write(chunk)) await new Promise<void>((resolve) => (wake = resolve))
      }
    } catch (error) {
      if (!isStopped) return passed.end(error)
    } finally {
      to.end()
    }
    return passed.end()
  }
  return { passed: pass(), stop }
}
