// What else could take the same events: each durable in its own way, none checks anything.
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import Hypercore from 'hypercore'
import { Redis } from 'ioredis'
import pg from 'pg'
import { startCluster } from '../../anchor-service/src/database/embedded/cluster.ts'
import { startChild } from '../lib/processes.ts'
import { findTool } from '../lib/tools.ts'

/** Tokens in batches, and events per second. */
type Batches = readonly (readonly string[])[]

const rateOf = async (batches: Batches, append: (tokens: readonly string[]) => Promise<unknown>): Promise<number> => {
  const start = performance.now()
  for (const tokens of batches) await append(tokens)
  return (batches.reduce((sum, tokens) => sum + tokens.length, 0) * 1000) / (performance.now() - start)
}

/** One table with a primary key, one multi-row insert and one commit per batch, on the cluster the service uses. */
export async function postgresRate(folder: string, batches: Batches): Promise<number> {
  const cluster = await startCluster(join(folder, 'data'))
  const client = new pg.Client({ connectionString: await cluster.databaseUrl('peer') })
  await client.connect()
  await client.query(
    'drop table if exists peer; create table peer (batch bigint, pos int, id uuid, token text, primary key (batch, pos))',
  )
  let batch = 0
  const rate = await rateOf(batches, (tokens) => {
    const rows = tokens.map((_, i) => `($1, ${i}, $${2 * i + 2}, $${2 * i + 3})`)
    return client.query(`insert into peer values ${rows.join()}`, [
      batch++,
      ...tokens.flatMap((t) => [randomUUID(), t]),
    ])
  })
  await client.end()
  await cluster.close()
  return rate
}

/** Appends batch by batch; its flat Merkle tree is hashed and its head signed per batch, without fsync. */
export async function hypercoreRate(folder: string, batches: Batches): Promise<number> {
  const core = new Hypercore(join(folder, `hypercore-${randomUUID()}`))
  await core.ready()
  const rate = await rateOf(batches, (tokens) => core.append(tokens.map((token) => Buffer.from(token, 'latin1'))))
  await core.close()
  return rate
}

/** XADD of each event, pipelined per batch, appendfsync always. Null if there is no redis-server. */
export async function redisRate(folder: string, batches: Batches): Promise<number | null> {
  const program = findTool('redis-server')
  if (program === null) return null
  const port = 20_000 + Math.floor(Math.random() * 40_000)
  const durable = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', '']
  const server = await startChild(program, ['--bind', '127.0.0.1', '--port', `${port}`, '--dir', folder, ...durable])
  await server.printed(/Ready to accept connections/)
  const redis = new Redis(port, '127.0.0.1')
  const rate = await rateOf(batches, (tokens) => {
    const pipeline = redis.pipeline()
    for (const token of tokens) pipeline.xadd('events', '*', 'token', token)
    return pipeline.exec()
  })
  redis.disconnect()
  await server.stop()
  return rate
}
