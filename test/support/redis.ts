import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../scripts/lib/free-port.ts'
import { findTool } from '../../scripts/lib/tools.ts'
import { startChild } from './processes.ts'

/** A real redis-server on a free loopback port, with its own temporary folder. */
export interface Redis {
  readonly url: string
  readonly port: number
  readonly pid: number
  /** Forgets everything, as a Redis that was lost and came back empty does. */
  flush(): Promise<void>
  stop(): Promise<void>
  /** SIGKILL: with `appendonly` it comes back with what it had fsynced, without it empty. */
  kill9(): Promise<void>
  /** Starts it again on the same port and folder, after `stop` or `kill9`. */
  restart(): Promise<Redis>
}

/** For `describe.skipIf(!redisAvailable())`; `npm test` says how to install it, and CI allows no skip. */
export const redisAvailable = (): boolean => findTool('redis-server') !== null

export async function startRedis(options: { appendonly?: boolean } = {}): Promise<Redis> {
  return launch(options.appendonly ?? false, await freePort(), await mkdtemp(join(tmpdir(), 'killick-redis-')))
}

async function launch(appendonly: boolean, port: number, folder: string): Promise<Redis> {
  const program = findTool('redis-server')
  if (program === null) throw new Error('redis-server is missing: apt-get install redis-server')
  const durable = appendonly ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no']
  // BullMQ asks for noeviction: a full Redis must refuse, not forget.
  const settings = [
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
  const server = await startChild(program, [...settings, ...durable])
  await server.printed(/Ready to accept connections/)
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    pid: server.pid,
    async flush() {
      const { Redis } = await import('ioredis')
      const client = new Redis(port, '127.0.0.1')
      await client.flushall()
      client.disconnect()
    },
    async stop() {
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    },
    kill9: () => server.kill9(),
    restart: () => launch(appendonly, port, folder),
  }
}
