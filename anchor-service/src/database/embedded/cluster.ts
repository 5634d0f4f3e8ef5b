import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { StartError } from '../../errors.ts'
import { lockFile } from '../../file-lock.ts'
import { findBinaries, whoRuns } from './process.ts'
import {
  type ClusterPlace,
  type Credentials,
  connect,
  cutLog,
  ensureRunning,
  makeCluster,
  readCluster,
  stopServer,
  USER,
} from './server.ts'

/** A PostgreSQL cluster in the data folder. */
export type Cluster = {
  /** Connection URL of `database`, which is created if missing. */
  databaseUrl(database: string): Promise<string>
  /** Leaves the cluster; the last process to leave stops the server and waits for its shutdown checkpoint. */
  close(): Promise<void>
}

export type ClusterHooks = {
  /** Called when the server is gone, for every failed attempt to start it again, and for what stood in its way. */
  down?: (reason: string) => void
  /** Called when the server answers again. */
  up?: () => void
}

/** Every process that uses the cluster holds this lock shared, so that the last one to leave knows that it is the last. */
const USERS_LOCK = 7_019_318
/** How long a server that another process has just started may take until it listens, ms. */
const LISTEN_MS = 10_000
/** How long to wait for it before it is looked at again, ms. */
const JOIN_MS = 1_000
/** How often to look whether another process has made the cluster, ms. */
const MAKING_MS = 200
/** How long another process may take to make the cluster, ms: some seconds are usual, on the slowest machines half a minute. */
const MADE_MS = 120_000
/** How often to look at the size of the server's log, ms. */
const LOG_MS = 60_000
/** Time between two attempts to start a server that went down, ms. */
const REVIVE_MS = 2_000

/** Those that this process has begun to use. */
const used: Promise<Cluster>[] = []
/** Cuts off the starts that wait for another process. */
let leaving = new AbortController()

/** Leaves every cluster that this process uses, for one that a signal ends: the server is in a session of its own, and would go on. */
export async function leaveClusters(): Promise<void> {
  leaving.abort()
  leaving = new AbortController()
  for (const cluster of used)
    await cluster.then(
      ({ close }) => close(),
      () => {},
    )
}

/**
 * Starts the PostgreSQL that comes with the package, or joins it if a process on this data folder already runs it (also after
 * `kill -9` of the process that started it). Loopback only, random password, fsync on. The server runs in a session of its own:
 * Ctrl-C in the terminal does not reach it, so the service can drain first.
 *
 * If the server goes down while it is used (PostgreSQL ends itself on a full disk rather than lose a write), it is started again
 * at the same address until it runs.
 *
 * @param dataFolder made if missing; the cluster is its `postgres`, port and password are in `postgres.json` (0600)
 * @param madeMs how long to wait for another process that makes the cluster. Default 120,000
 * @throws StartError with a sentence that says what to do
 */
export function startCluster(dataFolder: string, hooks: ClusterHooks = {}, madeMs = MADE_MS): Promise<Cluster> {
  const cluster = enterCluster(dataFolder, hooks, { madeMs, signal: leaving.signal })
  used.push(cluster)
  return cluster
}

/** How long another process may take to make the cluster, ms, and what ends the wait before. */
type Patience = { madeMs: number; signal: AbortSignal }

async function enterCluster(dataFolder: string, hooks: ClusterHooks, patience: Patience): Promise<Cluster> {
  const folder = resolve(dataFolder)
  const binaries = await findBinaries()
  const data = join(folder, 'postgres')
  await mkdir(folder, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    throw new StartError(
      `The data folder ${folder} cannot be made (${error.code}). Set KILLICK_DATA to a folder that can.`,
    )
  })
  const runAs = await whoRuns([data, binaries.postgres])
  const place = { folder, data, binaries, runAs }
  const credentials = (await readCluster(folder, data)) ?? (await makeAlone(place, patience))
  const tell = (reason: string) => hooks.down?.(reason)
  let port = await ensureRunning(place, credentials, { mayMove: true, tell })
  // What the environment says of other servers (PGSSLMODE) does not hold for this one.
  const url = (database: string) =>
    `postgres://${USER}:${credentials.password}@127.0.0.1:${port}/${database}?sslmode=disable`

  const closing = new AbortController()
  let closed: Promise<void> | null = null
  let reviving: Promise<void> | null = null
  let presence = await enterFirst()
  // Where that fails, as on a full disk, the log stays as it is.
  const cutting = setInterval(() => cutLog(data).catch(() => {}), LOG_MS).unref()

  /** Another process may just be leaving, and end the server that was seen to run: then it is started again. */
  async function enterFirst(): Promise<pg.Client> {
    const began = performance.now()
    for (;;) {
      try {
        return await enter(JOIN_MS)
      } catch (error) {
        if (performance.now() - began > LISTEN_MS) throw error
      }
      port = await ensureRunning(place, credentials, { mayMove: true, tell })
    }
  }

  async function enter(patience: number): Promise<pg.Client> {
    const client = await connect(url('postgres'), data, patience)
    client.on('error', () => {})
    await client.query('select pg_advisory_lock_shared($1)', [USERS_LOCK])
    client.once('end', () => {
      if (!closing.signal.aborted) reviving ??= revive()
    })
    return client
  }

  async function revive(): Promise<void> {
    hooks.down?.('its connection broke')
    while (!closing.signal.aborted) {
      try {
        await ensureRunning(place, credentials, { mayMove: false, tell })
        // A server that does not listen may be dying, or may have died while this waited: the next attempt looks again.
        presence = await enter(0)
        hooks.up?.()
        break
      } catch (error) {
        hooks.down?.((error as Error).message)
        await sleep(REVIVE_MS, undefined, { signal: closing.signal }).catch(() => {})
      }
    }
    reviving = null
  }

  return {
    async databaseUrl(database) {
      const { rowCount } = await presence.query('select from pg_database where datname = $1', [database])
      if (rowCount === 0) {
        await presence
          .query(`create database ${presence.escapeIdentifier(database)}`)
          .catch((error: pg.DatabaseError) => {
            // 42P04 and 23505: another process has just made it.
            if (error.code !== '42P04' && error.code !== '23505') throw error
          })
      }
      return url(database)
    },
    close() {
      closed ??= close()
      return closed
    },
  }

  async function close(): Promise<void> {
    closing.abort()
    clearInterval(cutting)
    await reviving
    const last = await leave(presence)
    // The lock is held until the server is down, so that nobody enters meanwhile who would lose it at once.
    if (last) await stopServer(place)
    await presence.end().catch(() => {})
  }
}

/** Makes the cluster, or waits for another process on this data folder to have made it. @throws StartError if that takes too long */
async function makeAlone(place: ClusterPlace, { madeMs, signal }: Patience): Promise<Credentials> {
  const { folder, data } = place
  const began = performance.now()
  for (;;) {
    const release = lockFile(join(folder, 'postgres.lock'))
    try {
      if (release !== null) return (await readCluster(folder, data)) ?? (await makeCluster(place))
    } finally {
      release?.()
    }
    if (performance.now() - began > madeMs)
      throw new StartError(
        `Another process has been making the PostgreSQL of ${folder} for more than ${madeMs / 1000} s. Start again when it is done, or end it if it hangs.`,
      )
    await sleep(MAKING_MS, undefined, { signal })
  }
}

/** Gives up this process's share of the lock. @returns whether no other process uses the cluster */
async function leave(presence: pg.Client): Promise<boolean> {
  try {
    await presence.query('select pg_advisory_unlock_shared($1)', [USERS_LOCK])
    const { rows } = await presence.query('select pg_try_advisory_lock($1) as last', [USERS_LOCK])
    return rows[0].last
  } catch {
    // The server is gone already.
    return false
  }
}
