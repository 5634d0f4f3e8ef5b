// Kills clients of PostgreSQL, the relay before it, the recorder of its changes, itself, the service and the ledger's PostgreSQL under load at
// random, in every combination. What the recorded server has executed, as its own log tells it, must be a part of the recorded intents, each
// intent must have one outcome, known or *unknown*, and every committed row must be among the recorded changes once.
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { generateKey, openAuditLog, type PrivateJwk, publicJwk, writeKeyFile } from '@killick/sdk'
import pg from 'pg'
import { freePort } from '../lib/free-port.ts'
import { startNode } from '../lib/processes.ts'
import { checkPresence, readEvents } from './check.ts'
import { anchorService, type Part, postgres, supervised } from './parts.ts'
import { seeded } from './random.ts'
import {
  ADMIN,
  type CrashOptions,
  type CrashReport,
  combinations,
  grown,
  READER,
  ready,
  registerSource,
} from './rounds.ts'

const GATEWAY = fileURLToPath(new URL('../../gateway/src/main.ts', import.meta.url))
const CLIENT = fileURLToPath(new URL('sql-client.ts', import.meta.url))
const [RELAY, CHANGES] = ['crash-relay', 'crash-changes'] as const
/** The server itself writes down each statement before it executes it. */
const LOGGING = ["logging_collector = 'on'", "log_directory = 'log'", "log_statement = 'all'", 'log_rotation_size = 0']
const ONCE = { onError: () => {} }
/** How long the recorder of changes may take for what is left at the end. */
const CATCH_UP_MS = 60_000

/** @throws if something was executed and not recorded, has no outcome or two, or was committed and is not among the changes once */
export async function crashPostgres({ rounds, seed, say = () => {}, signal }: CrashOptions): Promise<CrashReport> {
  const random = seeded(seed)
  const folder = await mkdtemp(join(tmpdir(), 'killick-crash-'))
  const parts: Part[] = []
  const answered = new Set<string>()
  const kills: CrashReport['kills'] = {}
  try {
    const database = postgres(join(folder, 'database'))
    await database.start()
    parts.push(database)
    const recorded = postgres(join(folder, 'recorded'), 'recorded')
    await recorded.start()
    await recorded.databaseUrl()
    await recorded.stop()
    const settings = ["wal_level = 'logical'", ...LOGGING].map((line) => `${line}\n`)
    await appendFile(join(folder, 'recorded', 'postgres', 'postgresql.auto.conf'), settings.join(''))
    await recorded.start()
    parts.push(recorded)
    const direct = await recorded.databaseUrl()
    await query(direct, 'create table done (name text primary key)')

    const [servicePort, port] = [await freePort(), await freePort()]
    const url = `http://127.0.0.1:${servicePort}`
    await mkdir(join(folder, 'data'))
    const env = {
      ...{ DATABASE_URL: await database.databaseUrl(), KILLICK_DATA: join(folder, 'data'), PORT: String(servicePort) },
      ...{ KILLICK_ADMIN_TOKEN: ADMIN, KILLICK_READER_TOKEN: READER, KILLICK_RATE_LIMIT: '0' },
      KILLICK_LOG_LEVEL: 'error',
    }
    parts.push(anchorService('serve', env))
    await parts.at(-1)!.start()
    await ready(url)

    const keys = new Map<string, PrivateJwk>()
    const configure = async (source: string, more: object) => {
      const key = generateKey()
      keys.set(source, key)
      await writeKeyFile(join(folder, `${source}.key`), key)
      await registerSource(url, source, publicJwk(key))
      const file = join(folder, `${source}.json`)
      await writeFile(file, JSON.stringify({ url, source, key: `${source}.key`, spool: source, ...more }))
      return file
    }
    const server = { host: '127.0.0.1', port: Number(new URL(direct).port) }
    const relayFile = await configure(RELAY, { listen: { port }, server, limits: { graceMs: 2_000 } })
    const changesFile = await configure(CHANGES, {
      database: direct,
      tables: ['public.done'],
      limits: { reconnectMs: 500 },
    })
    const setup = await startNode([GATEWAY, 'changes', 'setup', '--config', changesFile])
    if ((await setup.exited).code !== 0) throw new Error(`changes setup: ${setup.output()}`)
    const relay = supervised('relay', () => startNode([GATEWAY, 'postgres', '--config', relayFile]))
    const changes = supervised('changes', () => startNode([GATEWAY, 'changes', '--config', changesFile]))
    const through = new URL(direct)
    through.host = `127.0.0.1:${port}`
    const client = lines('client', [CLIENT, through.href], (name) => answered.add(name))
    parts.push(relay, changes, client)
    for (const part of [relay, changes, client]) await part.start()

    for (const [round, kinds] of combinations(rounds, parts, random).entries()) {
      signal?.throwIfAborted()
      say(`round ${round + 1}: ${kinds.join(', ')}`)
      await sleep(random.int(400))
      await Promise.all(
        parts
          .filter(({ kind }) => kinds.includes(kind))
          .map(async (part) => {
            await sleep(random.int(150))
            await part.kill()
            kills[part.kind] = (kills[part.kind] ?? 0) + 1
            await sleep(random.int(400))
            await part.start()
          }),
      )
      const before = answered.size
      await until('no client gets anywhere', () => answered.size > before + 10)
      await grown([url])
    }

    for (const part of [client, relay]) await part.kill()
    // The next start records what the last kill has left open.
    await relay.start()
    await until('the relay does not listen', () => isListening(port))
    await relay.stop()
    await caughtUp(direct)
    await changes.stop()
    for (const source of [RELAY, CHANGES]) {
      const log = await openAuditLog({ url, source, spool: join(folder, source), key: keys.get(source)!, ...ONCE })
      await log.flush()
      await log.close()
    }
    const access = { url, token: READER, rpc: '', trust: {} }
    const events = await checkPresence(access, new Map([RELAY, CHANGES].map((source) => [source, new Map()])))
    const done = new Set((await query(direct, 'select name from done')).map(({ name }) => String(name)))
    for (const name of answered) if (!done.has(name)) throw new Error(`${name} was answered and is not there`)
    const executed = await executedBy(join(folder, 'recorded', 'postgres', 'log'))
    for (const name of done) if (!executed.has(name)) throw new Error(`${name} is there and not in the server's log`)
    const { intents, unknown } = checkIntents(await readEvents(access, RELAY), done, executed)
    checkChanges(await readEvents(access, CHANGES), done)
    say(
      `${executed.size} rows executed, ${done.size} committed; ${intents} intents, ${unknown} of them with an unknown outcome`,
    )
    return { acknowledged: answered.size, events, kills }
  } finally {
    for (const part of parts.reverse()) await part.stop().catch(() => {})
    await rm(folder, { recursive: true, force: true })
  }
}

// biome-ignore lint/suspicious/noExplicitAny: fields of events have any form
type Fields = any
type Event = { id: string; fields: Fields }

/** Names of the rows of which the server's log says that it was told to write them, kept or not. */
async function executedBy(folder: string): Promise<Set<string>> {
  const names = new Set<string>()
  for (const file of await readdir(folder)) {
    const text = await readFile(join(folder, file), 'utf8')
    for (const [, inText, asParameter] of text.matchAll(EXECUTED)) names.add((inText ?? asParameter)!)
  }
  return names
}

const EXECUTED = /: insert into done values \((?:'([^']+)'\)|\$1\)\n.*DETAIL: {2}[Pp]arameters: \$1 = '([^']+)')/g

/** Each row that was written has its intent, each intent one outcome, and what an outcome says is so. */
function checkIntents(
  events: readonly Event[],
  done: ReadonlySet<string>,
  executed: ReadonlySet<string>,
): { intents: number; unknown: number } {
  const ends = new Map<string, Fields>()
  for (const { fields } of events) {
    const known = fields.metadata?.postgres ?? {}
    for (const one of known.outcomes ?? [known]) {
      if (typeof one.intent !== 'string') continue
      if (ends.has(one.intent)) throw new Error(`the intent ${one.intent} has two outcomes`)
      ends.set(one.intent, { state: known.state, ...one, outcome: fields.outcome })
    }
  }
  const intended = new Set<string>()
  let [intents, unknown] = [0, 0]
  for (const { id, fields } of events) {
    if (fields.metadata?.postgres?.isOpen !== true) continue
    const end = ends.get(id)
    if (end === undefined) throw new Error(`the intent ${id} (${fields.action}) has no outcome`)
    intents += 1
    if (end.state === 'unknown') unknown += 1
    if (end.state === 'unknown' && end.outcome !== undefined) throw new Error(`${id} is unknown and ${end.outcome}`)
    if (!/^insert/.test(fields.statement ?? '')) continue
    const name = fields.parameters?.[0] ?? /'(.*)'/.exec(fields.statement)?.[1]
    intended.add(name)
    const isCommitted = end.state === 'answered' && end.outcome === 'success' && end.transaction?.state === 'committed'
    if (isCommitted && !done.has(name)) throw new Error(`${name} is recorded as committed and is not there`)
  }
  for (const name of executed) if (!intended.has(name)) throw new Error(`${name} was executed and not recorded`)
  return { intents, unknown }
}

/** Each row that is there was recorded once, and no other. */
function checkChanges(events: readonly Event[], done: ReadonlySet<string>): void {
  const seen = new Set<string>()
  for (const name of events.flatMap(({ fields }) => insertedBy(fields))) {
    if (seen.has(name)) throw new Error(`the row ${name} is among the changes twice`)
    if (!done.has(name)) throw new Error(`the row ${name} is among the changes and was not committed`)
    seen.add(name)
  }
  for (const name of done) if (!seen.has(name)) throw new Error(`the row ${name} is not among the changes`)
}

/** Waits until the slot has nothing left to say of what is committed now. */
/** Names of the rows that an event says were inserted: of one, or of several where the recorder was too busy for an event each. */
function insertedBy({ action, changes, metadata }: Fields): string[] {
  const nameAt = (at: string): string => changes.find(({ path }: Fields) => path === at).after
  if (action === 'changes.insert') return [nameAt('/name')]
  if (action !== 'changes.transaction') return []
  const rows: Fields[] = metadata.changes.rows
  return rows.flatMap(({ operation }, i) => (operation === 'insert' ? [nameAt(`/${i}/name`)] : []))
}

async function caughtUp(url: string): Promise<void> {
  const [{ lsn } = { lsn: '' }] = await query(url, 'select pg_current_wal_flush_lsn()::text as lsn')
  const isDone = 'select 1 from pg_replication_slots where confirmed_flush_lsn >= $1::pg_lsn'
  await until('the changes are not all recorded', async () => (await query(url, isDone, [lsn])).length > 0)
}

async function until(otherwise: string, check: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + CATCH_UP_MS; !(await check()); await sleep(50))
    if (Date.now() > end) throw new Error(`${otherwise} after ${CATCH_UP_MS / 1000} s`)
}

async function query(url: string, sql: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(sql, values)).rows
  } finally {
    await client.end()
  }
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

/** A program whose lines are noted. */
function lines(kind: 'client', args: readonly string[], note: (line: string) => void): Part {
  return supervised(kind, async () => {
    const child = await startNode([...args])
    let rest = ''
    child.process.stdout!.on('data', (text: string) => {
      const all = (rest + text).split('\n')
      rest = all.pop()!
      for (const line of all) note(line)
    })
    return child
  })
}
