// The parts of a deployment, each of which can be killed at any moment and is started again as a supervisor would.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Cluster, startCluster } from '../../anchor-service/src/database/embedded/cluster.ts'
import { freePort } from '../lib/free-port.ts'
import { type ChildHandle, startChild, startNode } from '../lib/processes.ts'
import { findTool } from '../lib/tools.ts'

export type PartKind =
  | ('recorder' | 'emitter' | 'collector' | 'service' | 'worker' | 'postgres' | 'redis')
  | ('client' | 'relay' | 'changes' | 'recorded')

export type Part = {
  kind: PartKind
  /** SIGKILL; does nothing when it is not running. */
  kill(): Promise<void>
  /** Starts it again; returns once it runs, ready or not. */
  start(): Promise<void>
  /** For good, without violence. */
  stop(): Promise<void>
}

/** A program that is started again whenever it ends, by a kill or by itself. */
export function supervised(
  kind: PartKind,
  launch: () => Promise<ChildHandle>,
  onOutput?: (text: string) => void,
): Part {
  let child: ChildHandle | undefined
  let isWanted = false
  async function start(): Promise<void> {
    isWanted = true
    const mine = await launch()
    child = mine
    if (onOutput) mine.process.stdout!.on('data', onOutput)
    mine.exited.then(async ({ signal }) => {
      if (child === mine) child = undefined
      if (signal === 'SIGKILL' || !isWanted) return
      // A database that is not there yet ends it at the start, as it should; a supervisor tries again.
      await sleep(300)
      if (isWanted && child === undefined) await start()
    })
  }
  return {
    kind,
    start,
    async kill() {
      isWanted = false
      await child?.kill9()
    },
    async stop() {
      isWanted = false
      await child?.stop()
    },
  }
}

const MAIN = fileURLToPath(new URL('../../anchor-service/src/main.ts', import.meta.url))
const RECORDER = fileURLToPath(new URL('recorder.ts', import.meta.url))

export const anchorService = (command: 'serve' | 'worker', env: Record<string, string>): Part =>
  supervised(command === 'serve' ? 'service' : 'worker', () =>
    startNode([MAIN, command], { env: { ...process.env, ...env } }),
  )

/** @param acknowledge called with the place and name of each event that record() has answered for */
export function recorder(args: readonly string[], acknowledge: (seq: number, id: string) => void): Part {
  return supervised('recorder', async () => {
    const child = await startNode([RECORDER, ...args])
    let rest = ''
    child.process.stdout!.on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop()!
      for (const line of lines) acknowledge(Number(line.split(' ')[0]), line.split(' ')[1]!)
    })
    return child
  })
}

/** The PostgreSQL that comes with the package, killed by its postmaster: its backends end when they notice. */
export function postgres(
  folder: string,
  kind: 'postgres' | 'recorded' = 'postgres',
): Part & { databaseUrl(): Promise<string> } {
  let cluster: Cluster | undefined
  return {
    kind,
    async start() {
      cluster = await startCluster(folder)
    },
    async kill() {
      const [pid] = (await readFile(join(folder, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')
      process.kill(Number(pid), 'SIGKILL')
      await cluster?.close().catch(() => {})
    },
    stop: async () => cluster?.close(),
    databaseUrl: () => cluster!.databaseUrl('killick'),
  }
}

/** A Redis without persistence, which comes back empty. Null if there is no redis-server. */
export async function redis(folder: string): Promise<(Part & { url: string }) | null> {
  const program = findTool('redis-server')
  if (program === null) return null
  const port = await freePort()
  const args = [
    '--bind',
    '127.0.0.1',
    '--port',
    `${port}`,
    '--dir',
    folder,
    '--save',
    '',
    '--maxmemory-policy',
    'noeviction',
  ]
  return { ...supervised('redis', () => startChild(program, args)), url: `redis://127.0.0.1:${port}` }
}
