// Reads what the commands get from disk and stdin, up to a limit.
import { closeSync, openSync, readSync } from 'node:fs'
import { UsageError } from './command.ts'

/** A path as a message names it. Who puts a private key or a token itself in its place must not find it in a terminal or a log. */
function shownPath(path: string): string {
  if (/^\s*[{["]/.test(path)) return 'JSON, which is not shown here, since it may hold a private key'
  return /^[\w-]{24,}$/.test(path) ? 'a name that is not shown here, since it may be a token' : path
}

/** Text of a small file, at most 64 KiB. @throws UsageError in terms of an option */
export function readOption(path: string, option: string, what = 'neither a key nor the path of a file'): string {
  const buffer = Buffer.alloc((64 << 10) + 1)
  let length = 0
  try {
    const file = openSync(path, 'r')
    try {
      for (let n = -1; n !== 0 && length < buffer.length; length += n)
        n = readSync(file, buffer, length, buffer.length - length, null)
    } finally {
      closeSync(file)
    }
  } catch (error) {
    throw new UsageError(`--${option} is ${what} that can be read (${reasonOf(error)}): ${shownPath(path)}`)
  }
  if (length === buffer.length) throw new UsageError(`--${option}: ${path} is larger than 64 KiB`)
  return buffer.subarray(0, length).toString('utf8')
}

/** Lines without their ends, LF or CR LF. A line longer than `maxBytes` is cut to one byte more than that. */
export async function* readLines(stream: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<Buffer> {
  let rest: Buffer[] = []
  let length = 0
  const take = (): Buffer => {
    const line = Buffer.concat(rest)
    rest = []
    length = 0
    // Cut last: a CR in the middle of a line does not end it.
    return (line.at(-1) === 0x0d ? line.subarray(0, -1) : line).subarray(0, maxBytes + 1)
  }
  for await (const chunk of stream) {
    let at = 0
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, at)) {
      rest.push(chunk.subarray(at, end))
      at = end + 1
      yield take()
    }
    rest.push(chunk.subarray(at))
    length += chunk.length - at
    // One more than what is too long, for its last byte may be the CR of its end.
    if (length > maxBytes + 1) {
      yield take()
      return
    }
  }
  if (length > 0) yield take()
}

const REASONS: Record<string, string> = {
  ENOENT: 'there is no such file or folder',
  ENOTDIR: 'a part of the path is not a folder',
  EISDIR: 'it is a folder',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EEXIST: 'it exists already',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk is full',
  EROFS: 'the disk is read-only',
  ENAMETOOLONG: 'the name is too long',
  ELOOP: 'its links lead in a circle',
  EMFILE: 'too many files are open',
  EIO: 'the disk is at fault',
}

/** Whether the system refused access to a file. */
export const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && typeof (error as NodeJS.ErrnoException).code === 'string' && 'syscall' in error

/** The system's reason, in words. */
export function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return (code && REASONS[code]) ?? code ?? message
}

export const inputError = (error: unknown, path: string): UsageError => new UsageError(`${path}: ${reasonOf(error)}`)
