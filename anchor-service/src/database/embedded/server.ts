// A PostgreSQL cluster as files and a server: makes it, starts it, connects to it. cluster.ts offers it to the service.
import { randomBytes } from 'node:crypto'
import {
  chown,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { StartError } from '../../errors.ts'
import { replaceFile } from '../../whole-file.ts'
import { type Binaries, type RunAs, run } from './process.ts'

/** By what a server is reached. */
export type Credentials = { port: number; password: string }

/** Where a cluster is and what runs it. */
export type ClusterPlace = {
  /** Has `postgres.json`. */
  folder: string
  /** The cluster itself. */
  data: string
  binaries: Binaries
  runAs: RunAs
}

export const USER = 'killick'
const MAJOR = '18'

/** The credentials of an existing cluster, or null if there is none yet. */
export async function readCluster(folder: string, data: string): Promise<Credentials | null> {
  const version = await readText(join(data, 'PG_VERSION'))
  const credentials = await readText(join(folder, 'postgres.json'))
  if (version === null && (await readdir(data).catch(() => [])).length > 0) {
    throw new StartError(
      `${data} is not a finished PostgreSQL cluster. Move it away (it may hold data), then start again.`,
    )
  }
  if (version === null) return null
  if (version.trim() !== MAJOR) {
    throw new StartError(
      `PostgreSQL ${version.trim()} made ${data}; this package has PostgreSQL ${MAJOR}. Dump it with the old version and load it into the new one.`,
    )
  }
  if (credentials === null) {
    throw new StartError(
      `${folder}/postgres.json (port and password of the database) is missing. Restore it from a backup.`,
    )
  }
  return JSON.parse(credentials)
}

/** Runs initdb in a temporary folder and renames that: a crash leaves either no cluster or a whole one. */
export async function makeCluster({ folder, data, binaries, runAs }: ClusterPlace): Promise<Credentials> {
  const credentials = { port: await freePort(), password: randomBytes(24).toString('hex') }
  const draft = `${data}.new`
  const passwordFile = join(draft, '..', 'postgres.password.new')
  await rm(draft, { recursive: true, force: true })
  await mkdir(draft, { mode: 0o700 })
  await writeFile(passwordFile, credentials.password, { mode: 0o600 })
  if (runAs.uid !== undefined) {
    await chown(draft, runAs.uid, runAs.gid!)
    await chown(passwordFile, runAs.uid, runAs.gid!)
  }
  const options = ['--auth=scram-sha-256', `--username=${USER}`, '--encoding=UTF8', '--locale=C', '--data-checksums']
  const made = await run(binaries.initdb, ['-D', draft, `--pwfile=${passwordFile}`, ...options], runAs)
  await rm(passwordFile, { force: true })
  if (made.code !== 0) throw new StartError(`PostgreSQL could not make its cluster in ${data}: ${made.out.trim()}`)
  await replaceFile(join(folder, 'postgres.json'), JSON.stringify(credentials))
  await rename(draft, data)
  return credentials
}

/**
 * @param mayMove whether to take another port if its own is taken; false while anyone knows the server by the old one
 * @param tell called with what stood in the way and was removed
 * @returns the port the server listens on
 * @throws StartError with the last words of PostgreSQL
 */
export async function ensureRunning(
  { folder, data, binaries, runAs }: ClusterPlace,
  credentials: Credentials,
  { mayMove, tell }: { mayMove: boolean; tell: (reason: string) => void },
): Promise<number> {
  await disownDeadServer(data)
  for (let attempt = 0; ; attempt++) {
    const running = await run(binaries.pg_ctl, ['status', '-D', data], runAs)
    // It may have ended since.
    const lines = running.code === 0 ? (await readText(pidFileOf(data)))?.split('\n') : undefined
    if (lines !== undefined) return Number(lines[3])
    const logged = (await stat(logOf(data)).catch(() => null))?.size ?? 0
    const settings = `-p ${credentials.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=on -c shared_buffers=256MB -c max_wal_size=2GB`
    const started = await run(
      binaries.pg_ctl,
      ['start', '-D', data, '-l', logOf(data), '-w', '-t', '120', '-o', settings],
      runAs,
    )
    if (started.code === 0) return credentials.port
    // What an earlier start left in the log would hide why this one did not get that far, such as files of another user.
    const since = (await readFile(logOf(data)).catch(() => null))?.subarray(logged).toString().trim()
    const log = (since || started.out.trim()).split('\n').slice(-8).join('\n')
    if (attempt === 3) throw new StartError(`PostgreSQL did not start from ${data}. Its last words:\n${log}`)
    if (log.includes('pre-existing shared memory block')) {
      const ended = await endOrphans(data)
      if (ended > 0) tell(`${ended} of its processes outlived it and were ended`)
    }
    if (mayMove && /could not bind|Address already in use/.test(log)) {
      credentials.port = await freePort()
      await replaceFile(join(folder, 'postgres.json'), JSON.stringify(credentials))
    }
    await sleep(300) // another process may be starting or stopping the same cluster
  }
}

/** How long a server may take to end, ms; and how often to look. */
const [STOP_MS, LOOK_MS] = [60_000, 50]

/**
 * Stops the server and waits until it is gone. `pg_ctl stop -w` looks ten times a second whether there is a server, and so waits a minute for
 * one that somebody has started in between.
 */
export async function stopServer({ data, binaries, runAs }: ClusterPlace): Promise<void> {
  const pidOf = async () => (await readText(pidFileOf(data)))?.split('\n')[0]
  const pid = await pidOf()
  await run(binaries.pg_ctl, ['stop', '-D', data, '-m', 'fast', '-W'], runAs)
  const until = performance.now() + STOP_MS
  while (pid !== undefined && (await pidOf()) === pid && isAlive(Number(pid)) && performance.now() < until)
    await sleep(LOOK_MS)
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

const pidFileOf = (data: string): string => join(data, 'postmaster.pid')
const logOf = (data: string): string => join(data, 'server.log')

/** Size at which the server's log is cut, and how much of its end is kept beside it, bytes. */
const [MAX_LOG, KEPT_LOG] = [16 << 20, 1 << 20]

/**
 * Cuts the server's log, which else grows for ever: its end goes into `server.log.1`, in the place of what was there. The server appends, so
 * it goes on in the file that was emptied; what it writes between the two steps is lost.
 */
export async function cutLog(data: string): Promise<void> {
  const path = logOf(data)
  const { size, uid, gid } = await stat(path)
  if (size <= MAX_LOG) return
  const log = await open(path, 'r')
  const end = await log.read(Buffer.alloc(KEPT_LOG), 0, KEPT_LOG, size - KEPT_LOG).finally(() => log.close())
  await rm(`${path}.1`, { force: true })
  const kept = await open(`${path}.1`, 'wx', 0o600)
  try {
    // A base backup reads every file of the cluster, as the user of the server.
    await kept.chown(uid, gid)
    await kept.writeFile(end.buffer.subarray(0, end.bytesRead))
  } finally {
    await kept.close()
  }
  await truncate(path)
}

/**
 * PostgreSQL takes the process id in postmaster.pid for a live server as long as any process has it: a zombie that nobody reaps
 * (containers without init), or another program after a restart of the machine. If Linux says that this process is not
 * PostgreSQL, this writes an id that cannot exist; the server still checks its shared memory itself.
 */
async function disownDeadServer(data: string): Promise<void> {
  const path = pidFileOf(data)
  const lock = await readText(path)
  if (lock === null || process.platform !== 'linux') return
  const pid = Number(lock.split('\n')[0])
  const stat = await readText(`/proc/${pid}/stat`).catch(() => null)
  if (stat === null || /^\d+ \(postgres\) [^Z]/.test(stat)) return
  // In place: on a full disk, a file that is emptied first cannot be filled again.
  const file = await open(path, 'r+')
  await file.write(lock.replace(/^\d+/, '2147483647'), 0).finally(() => file.close())
}

/**
 * The processes of a server that was killed end when they notice it. One that waits for a lock whose holder was killed with the
 * server never does, and while it lives no other server starts. None of them can do anything any more, and PostgreSQL recovers
 * from whatever they leave, so this kills them. Only Linux tells which they are; elsewhere that is left to an operator.
 * @returns how many it killed
 */
async function endOrphans(data: string): Promise<number> {
  if (process.platform !== 'linux') return 0
  const home = await realpath(data)
  const of = (pid: string, what: string) => readText(`/proc/${pid}/${what}`).catch(() => null)
  const isOurs = async (pid: string) => (await readlink(`/proc/${pid}/cwd`).catch(() => null)) === home
  let ended = 0
  for (const pid of await readdir('/proc')) {
    if (!(await of(pid, 'cmdline'))?.startsWith('postgres: ') || !(await isOurs(pid))) continue
    const [, parent] = /\) \S (\d+)/.exec((await of(pid, 'stat')) ?? '') ?? []
    // Of a server that another process has started meanwhile.
    if (parent === undefined || (await isOurs(parent))) continue
    try {
      process.kill(Number(pid), 'SIGKILL')
      ended++
    } catch {
      // It has just ended by itself.
    }
  }
  return ended
}

/** How long PostgreSQL may recover from a crash before it counts as dead. */
const RECOVERY_MS = 60_000
/** How long it may take to let anyone in: a process that outlives a killed server may hang before it answers, ms. */
const ANSWER_MS = 20_000

/**
 * Connects, waiting while the server recovers from a crash.
 * @param patience how long to wait for a server that does not listen, ms; it may have died since it was seen to run
 */
export async function connect(url: string, data: string, patience: number): Promise<pg.Client> {
  const start = performance.now()
  for (;;) {
    const settings = { connectionTimeoutMillis: ANSWER_MS, query_timeout: RECOVERY_MS }
    const client = new pg.Client({ connectionString: url, application_name: 'killick cluster', ...settings })
    try {
      await client.connect()
      return client
    } catch (error) {
      const code = (error as { code?: string }).code
      const starting = code === '57P03'
      if (!starting && code !== 'ECONNREFUSED' && code !== 'ECONNRESET') {
        throw new StartError(`The PostgreSQL of ${data} refuses the service: ${(error as Error).message}.`)
      }
      if (performance.now() - start > (starting ? RECOVERY_MS : patience)) {
        throw new StartError(
          `${data}/postmaster.pid names a running process that does not answer. If it is not PostgreSQL, delete that file and start again.`,
        )
      }
      await sleep(200)
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((found, failed) => {
    const server = createServer().once('error', failed)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => found(port))
    })
  })
}

async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
