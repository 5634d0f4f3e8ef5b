// A folder in memory for what a test run throws away. Tests make and remove many files, most of them PostgreSQL's, which costs ext4 much
// and need not outlive the run: docs/decisions/0010-more-test-workers-than-cores.md.
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, statSync } from 'node:fs'
import { freemem } from 'node:os'
import { join } from 'node:path'

const MEMORY = '/dev/shm'
/** A whole run leaves 3.2 GB there, and its processes need as much besides. */
const NEEDED = 10 * 2 ** 30
const ABANDONED_MS = 3_600_000

/**
 * Makes a folder in memory, where the machine has one from which programs can be started, and much room.
 * @param home where such folders are; null: there is none
 * @param room bytes of memory that must be free
 * @returns null where that is not so
 */
export function makeMemoryFolder(home: string | null = memoryHome(), room = NEEDED): string | null {
  if (home === null) return null
  removeAbandoned(home)
  const { bavail, bsize } = statfsSync(home)
  if (Math.min(freemem(), bavail * bsize) < room) return null
  // Short, since the path of a socket has at most 107 bytes.
  const folder = join(home, `killick-${process.pid}`)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  // As of the usual folder: servers that tests start run as other users.
  chmodSync(folder, 0o1777)
  return folder
}

/** Linux lets programs be started from its folder in memory, unless it was mounted otherwise. */
function memoryHome(): string | null {
  try {
    const mounts = readFileSync('/proc/mounts', 'utf8').split('\n')
    const options = mounts
      .map((line) => line.split(' '))
      .findLast(([, place, type]) => place === MEMORY && type === 'tmpfs')
    return options?.[3]?.split(',').every((option) => option !== 'noexec' && option !== 'ro') ? MEMORY : null
  } catch {
    return null
  }
}

/** What is left of runs that were killed is memory that nobody would give back. A run of another container has no process here, and is busy. */
function removeAbandoned(home: string): void {
  for (const name of readdirSync(home)) {
    const pid = /^killick-(\d+)$/.exec(name)?.[1]
    if (pid === undefined || isRunning(Number(pid))) continue
    const folder = join(home, name)
    const idle = Date.now() - (statSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? 0)
    if (idle <= ABANDONED_MS) continue
    try {
      rmSync(folder, { recursive: true, force: true })
    } catch (error) {
      // Somebody else's, or with a disk that a test had mounted there. It is in nobody's way.
      console.warn(`What a test run has left in ${folder} cannot be removed: ${(error as Error).message}`)
    }
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}
