// The log of a server: lines on standard output, which may be a file on a full disk, or a pipe that nobody reads any more.
import { writeSync } from 'node:fs'

/** How long a pipe that is full is waited for at most, ms. */
const PATIENCE_MS = 100
const LINE_FEED = 0x0a

let lost = 0

/** How many lines this process could not write to its log since it began. */
export const lostLogLines = (): number => lost

/** Where log lines go. */
export type LogLines = {
  /** Never throws. @param line with its line feed */
  write(line: string): void
}

/**
 * A log of JSON lines that takes no part in what the process does: what finds no room, or no reader, is lost and counted, and the next line that
 * finds some comes behind one that says how many. (A logger's own way is to throw where the line was logged, which ends the process, or
 * leaves it waiting for the disk for ever.)
 * @param fd where it goes. Default: standard output
 */
export function openLogLines(fd = 1): LogLines {
  /** Since a line was written last. */
  let missing = 0
  /** Whether what was written last is a part of a line. */
  let isTorn = false
  return {
    write(line) {
      const notice = missing === 0 ? '' : `${JSON.stringify(noticeOf(missing))}\n`
      const bytes = Buffer.from(`${isTorn ? '\n' : ''}${notice}${line}`)
      let at = 0
      try {
        while (at < bytes.length) at += writeSome(fd, bytes, at, missing === 0 ? PATIENCE_MS : 0)
        missing = 0
      } catch {
        missing += 1
        lost += 1
      }
      if (at > 0) isTorn = bytes[at - 1] !== LINE_FEED
    },
  }
}

const noticeOf = (lines: number) => ({
  ...{ level: 40, time: Date.now(), pid: process.pid },
  msg: `${lines} log ${lines === 1 ? 'line' : 'lines'} before this one found no room`,
})

/** @returns how many bytes were written */
function writeSome(fd: number, bytes: Buffer, at: number, patienceMs: number): number {
  for (const until = performance.now() + patienceMs; ; ) {
    try {
      return writeSync(fd, bytes, at)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || performance.now() >= until) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    }
  }
}
