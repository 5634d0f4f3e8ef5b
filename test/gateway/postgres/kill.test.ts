import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { seeded } from '../../../scripts/crash/random.ts'
import { queryAsOwner } from '../../support/postgres.ts'
import { type ChildHandle, startNode } from '../../support/processes.ts'
import { configFile, played, statements, type World, world } from './support.ts'

const MAIN = fileURLToPath(new URL('../../../gateway/src/main.ts', import.meta.url))
const CLIENTS = 4

let it: World
beforeAll(async () => {
  it = await world()
  await queryAsOwner(it.direct, 'create table done (n text primary key)')
  // Its folder is for the process that is killed.
  await it.events()
})
afterAll(() => it?.remove())

test('killed at any moment: what the server did is a part of what was recorded before, and each intent has one outcome', async () => {
  const seed = Math.floor(Math.random() * 2 ** 32)
  const random = seeded(seed)
  const config = configFile(it)
  let child: ChildHandle
  let address = ''
  const start = async () => {
    child = await startNode([MAIN, 'postgres', '--config', config])
    address = (await child.printed(/listens on (\S+)/))[1]!
  }
  let isOver = false
  const answered: string[] = []
  async function insert(who: number): Promise<void> {
    for (let n = 0; !isOver; ) {
      const url = new URL(it.direct)
      url.host = address
      const client = new pg.Client({ connectionString: url.href, connectionTimeoutMillis: 5_000 })
      client.on('error', () => {})
      try {
        await client.connect()
        for (; !isOver; n++) {
          const name = `${who}-${n}`
          // By the simple protocol, by the extended one, and several at a time.
          if (n % 3 === 0) await client.query(`insert into done values ('${name}')`)
          else if (n % 3 === 1) await client.query('insert into done values ($1)', [name])
          else await Promise.all([client.query('insert into done values ($1)', [name]), client.query('select 1')])
          answered.push(name)
        }
      } catch {
        n += 1
        await sleep(10)
      }
      client.end().catch(() => {})
    }
  }
  try {
    await start()
    const clients = Array.from({ length: CLIENTS }, (_, i) => insert(i))
    for (let round = 0; round < 3; round++) {
      const enough = answered.length + 20 + random.int(60)
      while (answered.length < enough) await sleep(2)
      await child!.kill9()
      await start()
    }
    isOver = true
    await Promise.all(clients)
    await child!.stop()
  } finally {
    isOver = true
    await child!.kill9()
  }
  const events = await it.events()
  const done = new Set((await queryAsOwner<{ n: string }>(it.direct, 'select n from done')).map(({ n }) => n))
  const found = statements(events).filter(({ intent }) => `${intent.statement}`.startsWith('insert'))
  const named = found.map(({ intent, end }) => {
    const name = intent.parameters?.[0] ?? /'(.*)'/.exec(intent.statement)![1]
    return [name as string, end] as const
  })
  const intents = new Map(named)
  expect(intents.size, `seed ${seed}: intents twice`).toBe(named.length)
  for (const name of done) expect(intents.has(name), `seed ${seed}: ${name} was done and not recorded`).toBe(true)
  for (const name of answered) expect(done.has(name), `seed ${seed}: ${name} was answered`).toBe(true)
  for (const { intent, end } of played(events)) expect(end, `seed ${seed}: ${intent.id} has no outcome`).toBeDefined()
  for (const [name, end] of intents) {
    expect(['answered', 'unknown', 'not_sent', 'skipped'], `seed ${seed}`).toContain(end.state)
    if (end.state === 'answered')
      expect(done.has(name), `seed ${seed}: ${name}`).toBe(end.transaction.state === 'committed')
    if (end.state === 'unknown') expect(end.outcome).toBeUndefined()
  }
  expect(
    named.some(([, end]) => end.state === 'unknown'),
    `seed ${seed}: nothing was under way`,
  ).toBe(true)
})
