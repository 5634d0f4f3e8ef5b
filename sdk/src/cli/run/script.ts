// A pseudo-terminal without a native module: `script` of util-linux runs the command in one, and copies what it shows into a pipe.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { KillickError } from '../../core/errors.ts'
import type { Job } from './execute.ts'

/** A command in a terminal of its own, which shows it on ours. */
export type ScriptChild = {
  readonly child: ChildProcess
  /** What it shows, byte by byte. It is shown no faster than this is read. */
  readonly output: Readable
  /** To be called once something has come from `output`: the pipe is open then, and needs its name no longer. */
  opened(): void
  /** Removes what is left of what was needed to start it. */
  clean(): void
}

/** @throws KillickError `option_invalid` if there is no such program */
export function checkScript(): void {
  let version = ''
  try {
    version = execFileSync('script', ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  } catch {
    // Said below.
  }
  if (!version.includes('util-linux'))
    throw new KillickError('option_invalid', '--session needs the program script of util-linux 2.35 or later', {
      option: 'session',
    })
}

/** Starts the command. @throws Error of the file system */
export function startScript({ command, argv0 }: Job): ScriptChild {
  const folder = mkdtempSync(join(tmpdir(), 'killick-session-'))
  const clean = () => rmSync(folder, { recursive: true, force: true })
  try {
    const [file, pipe] = [join(folder, 'start'), join(folder, 'shown')]
    writeFileSync(file, startFile(file, folder, command, argv0, process.env.SHELL), { mode: 0o600 })
    execFileSync('mkfifo', ['-m', '600', pipe])
    // Opening one end waits for the other one. One that has both waits for nobody.
    const both = openSync(pipe, constants.O_RDWR)
    const read = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK)
    const args = ['--quiet', '--return', '--flush', '--log-out', pipe, '--command', `exec /bin/sh '${file}'`]
    const child = spawn('script', args, { stdio: 'inherit', env: { ...process.env, SHELL: '/bin/sh' } })
    // It has its own end once it writes; until it has ended, ours keeps the pipe from ending before it has begun.
    child.once('exit', () => closeSync(both))
    child.once('error', () => closeSync(both))
    const output = new Socket({ fd: read, readable: true, writable: false })
    return { child, output, clean, opened: () => removed(pipe, folder) }
  } catch (error) {
    clean()
    throw error
  }
}

/** The pipe goes here, the other file by itself; whichever is the last takes the folder along. */
function removed(pipe: string, folder: string): void {
  rmSync(pipe, { force: true })
  try {
    rmdirSync(folder)
  } catch {
    // The other file is still there.
  }
}

/** `script` runs a line of a shell: one that has no command in it, since it repeats the line in what it writes. */
function startFile(
  file: string,
  folder: string,
  command: readonly string[],
  argv0: string | undefined,
  shell: string | undefined,
): string {
  const quoted = command.map((each) => `'${each.replaceAll("'", `'\\''`)}'`)
  const login = argv0?.startsWith('-') ? [...quoted, '-l'] : quoted
  const environment = shell === undefined ? 'unset SHELL' : `SHELL='${shell.replaceAll("'", `'\\''`)}'; export SHELL`
  // It goes at once: arguments may be secret, and this program may be killed.
  return `rm -f '${file}'; rmdir '${folder}' 2>/dev/null\n${environment}\nexec ${login.join(' ')}\n`
}

const HEAD = Buffer.from('Script started on ')
const FOOT_TEXT = 'Script done on '
const FOOT = /^\n?Script done on [^\n]*\n$/

/** Takes out of what `script` writes its own first and last line. */
export class ScriptLines {
  #isStarted = false
  #held: Buffer = Buffer.alloc(0)

  /** @returns what the terminal was sent; what may be the last line is held back */
  take(chunk: Buffer): Buffer {
    let bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    this.#held = Buffer.alloc(0)
    if (!this.#isStarted) {
      const end = bytes.indexOf(10)
      if (end < 0) {
        this.#held = bytes
        return this.#held.subarray(0, 0)
      }
      this.#isStarted = true
      if (bytes.subarray(0, HEAD.length).equals(HEAD)) bytes = bytes.subarray(end + 1)
    }
    const at = lastStart(bytes)
    if (at < 0) return bytes
    this.#held = bytes.subarray(at)
    return bytes.subarray(0, at)
  }

  /** What was held back and is no last line. */
  end(): Buffer {
    const isFoot = FOOT.test(this.#held.toString('latin1')) && this.#held.at(-1) === 10
    return isFoot ? this.#held.subarray(0, 0) : this.#held
  }
}

/** Where the last line may begin, or the line feed before it, which comes with it in one piece; -1: nowhere. */
function lastStart(bytes: Buffer): number {
  const isEnded = bytes.at(-1) === 10
  const line = (isEnded ? bytes.lastIndexOf(10, bytes.length - 2) : bytes.lastIndexOf(10)) + 1
  const text = bytes.subarray(line, line + FOOT_TEXT.length).toString('latin1')
  if (text === '' || !FOOT_TEXT.startsWith(isEnded ? text.trimEnd() || '-' : text)) return -1
  return Math.max(0, line - 1)
}
