// One process at a time owns a folder, such as a spool. A process that wants it listens on a socket in the folder, its beacon, and then asks every
// other beacon there. The operating system answers for a process: a beacon takes a connection exactly while its process lives,
// even if that is busy or stopped. So the lock ends with the process however that ends, a process id that is used again means
// nothing, and containers that share a folder see each other: docs/decisions/0014-spool-lock-is-a-socket.md.
//
// Safety: a beacon appears under its name only when it already listens, and every process looks around after that. So of two
// processes the later one sees the earlier one, and both cannot hold the lock.
//
// The machines that share a network folder cannot ask each other's sockets. So a beacon names its machine, its process touches it
// every two seconds, and a beacon of another machine counts as alive while its time moves. What this cannot do: notice a process
// on another machine that was stopped for longer than that and goes on, or tell clones of one virtual machine apart.
import { createHash, randomBytes } from 'node:crypto'
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { utimes } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { KillickError } from '../core/errors.ts'

/** What is thrown; `by`: the process that holds the lock, as far as it is known; `isOwn`: this program holds it. */
export type LockFaults = {
  locked(dir: string, by: string, isOwn: boolean): KillickError
  noSockets(dir: string, why: string): KillickError
}

/**
 * `machine`: 8 hex digits, the same for all processes that share a kernel. `beatMs`: how often a beacon's time moves. `faults`: default: those
 * of a spool.
 */
export type LockOptions = { machine?: string; beatMs?: number; faults?: LockFaults }

/** Who holds the lock, for the tie between two that come at once, and for people. */
const HOLDER_FILE = 'lock'
const BEACON = /^lock-([0-9a-f]{8})-([0-9a-f]{12})$/
/** A beacon of another machine whose time has not moved for so many beats is a dead one's. */
const BEATS = 3.5
/** How long two that come at once may take to settle it, ms. */
const SETTLE_MS = 10_000
/** Bytes of a socket's path on macOS, with its end; Linux takes four more. */
const MAX_PATH_BYTES = 103
/** The locks that this thread holds. */
const held = new Set<string>()
/** What systems say of a file system that has no sockets. */
const NO_SOCKETS = new Set(['EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'EINVAL', 'ENOSYS'])

/**
 * Locks `dir` until the returned function is called or the process ends.
 * @throws KillickError `spool_locked` when a live process (or another log in this one) holds it; `spool_failed` where the file
 * system has no sockets; or what `faults` says
 */
export async function lockDirectory(
  dir: string,
  { machine = thisMachine(), beatMs = 2000, faults = OF_SPOOL }: LockOptions = {},
): Promise<() => void> {
  if (process.platform === 'win32') return lockPipe(dir, faults)
  const id = randomBytes(6).toString('hex')
  const name = `lock-${machine}-${id}`
  const short = shorten(dir, name)
  const file = join(dir, name)
  try {
    const server = await listen(join(short.dir, `${name}.tmp`), dir, faults)
    if (!appears(file, server)) return lockDirectory(dir, { machine, beatMs, faults })
    const beat = setInterval(() => void utimes(file, new Date(), new Date()).catch(() => {}), beatMs)
    beat.unref()
    const release = () => {
      held.delete(id)
      clearInterval(beat)
      try {
        unlinkSync(file)
      } catch {
        // Somebody removed it, or the disk is gone.
      }
      server.close()
    }
    try {
      await outlast(dir, short.dir, id, { machine, beatMs, faults })
      writeFileSync(`${file}.tmp`, `${id} process ${process.pid}\n`, { mode: 0o600 })
      renameSync(`${file}.tmp`, join(dir, HOLDER_FILE))
      held.add(id)
    } catch (error) {
      release()
      throw error
    }
    return release
  } finally {
    short.remove()
  }
}

/** Gives a beacon its name. False if it was taken for a file that an ended process had left half-made, and removed. */
function appears(file: string, server: Server): boolean {
  try {
    renameSync(`${file}.tmp`, file)
    return true
  } catch (error) {
    server.close()
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

/** Returns when no other beacon is alive. Of two that come at once, the one with the lower id stays. */
async function outlast(
  dir: string,
  short: string,
  id: string,
  { machine, beatMs, faults }: Required<LockOptions>,
): Promise<void> {
  const until = performance.now() + Math.max(SETTLE_MS, 2 * BEATS * beatMs)
  for (;;) {
    const others = readdirSync(dir).filter((name) => BEACON.exec(name) && !name.endsWith(id))
    const living = await Promise.all(
      others.map(async (name) => {
        const isMine = BEACON.exec(name)![1] === machine
        if (await (isMine ? answers(join(short, name)) : moves(join(dir, name), BEATS * beatMs))) return name
        removeDead(join(dir, name))
        return null
      }),
    )
    const rivals = living.filter((name) => name !== null).map((name) => BEACON.exec(name)![2]!)
    if (rivals.length === 0) return
    const [holder, by] = readHolder(dir)
    const isHeld = rivals.includes(holder)
    if (isHeld || rivals.some((rival) => rival < id) || performance.now() > until)
      throw faults.locked(dir, isHeld ? by : '', isHeld && held.has(holder))
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

const OF_SPOOL: LockFaults = {
  locked: (dir, by, isOwn) =>
    new KillickError(
      'spool_locked',
      isOwn
        ? `The spool ${dir} is open in this process already; open the log once, and keep it on globalThis where modules are loaded again`
        : `Another recorder${by && ` (${by})`} is using the spool ${dir}; give each recorder a directory of its own`,
      { dir },
    ),
  noSockets: (dir, why) => new KillickError('spool_failed', `The spool ${dir} ${why}`, { dir }),
}

/** A beacon that listens but has no name yet that others look for. It keeps no process alive. */
function listen(path: string, dir: string, faults: LockFaults): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = `lies where there are no sockets (${error.code}), which its lock needs; put it on a local disk`
      const hasNone = NO_SOCKETS.has(error.code ?? '')
      reject(hasNone ? faults.noSockets(dir, why) : error)
    })
    // In a cluster's worker, the primary would listen otherwise, and outlive it.
    server.listen({ path, exclusive: true }, () => resolve(server))
    server.unref()
  })
}

/** Whether a process of this machine holds the beacon. Only the two certain signs of death count. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code !== 'ECONNREFUSED' && code !== 'ENOENT'))
  })
}

/** Whether the time of a file moves within `ms`, by this process's own clock: clocks of machines differ. */
async function moves(file: string, ms: number): Promise<boolean> {
  const first = timeOf(file)
  for (const until = performance.now() + ms; performance.now() < until; ) {
    const now = timeOf(file)
    if (now === null) return false
    if (now !== first) return true
    await new Promise((resolve) => setTimeout(resolve, ms / 20))
  }
  return false
}

const timeOf = (file: string): number | null => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? null

function removeDead(file: string): void {
  try {
    unlinkSync(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

function readHolder(dir: string): [id: string, by: string] {
  try {
    const [, id = '', by = ''] =
      /^([0-9a-f]{12}) (process \d+)\n$/.exec(readFileSync(join(dir, HOLDER_FILE), 'latin1')) ?? []
    return [id, by]
  } catch {
    return ['', '']
  }
}

/** Another way to a folder whose path is too long for a socket. */
function shorten(dir: string, name: string): { dir: string; remove: () => void } {
  if (Buffer.byteLength(join(dir, `${name}.tmp`)) <= MAX_PATH_BYTES) return { dir, remove: () => {} }
  const folder = mkdtempSync(join(tmpdir(), 'killick-'))
  symlinkSync(realpathSync(dir), join(folder, 's'))
  return { dir: join(folder, 's'), remove: () => rmSync(folder, { recursive: true, force: true }) }
}

/** A kernel, as far as it can be named: containers on one machine see the same, and a restart makes another. */
function thisMachine(): string {
  let name: string
  try {
    name = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1')
  } catch {
    name = hostname()
  }
  return createHash('sha256').update(name).digest('hex').slice(0, 8)
}

/** On Windows: a named pipe, of which the system allows one owner and which ends with it. */
async function lockPipe(dir: string, faults: LockFaults): Promise<() => void> {
  const name = createHash('sha256').update(realpathSync.native(dir).toLowerCase()).digest('hex')
  try {
    const server = await listen(`\\\\.\\pipe\\killick-${name}`, dir, faults)
    return () => void server.close()
  } catch (error) {
    if (!['EADDRINUSE', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    throw faults.locked(dir, '', false)
  }
}
