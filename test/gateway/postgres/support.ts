import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkPostgresConfig, type PostgresRelay, startPostgresRelay } from '@killick/gateway'
import { generateKey, openAuditLog, writeKeyFile } from '@killick/sdk'
import { type JsonObject, type ParsedEvent, parseEvent } from '@killick/sdk/core'
import pg from 'pg'
import { createDatabase } from '../../support/postgres.ts'
import { NOWHERE } from '../support.ts'

// biome-ignore lint/suspicious/noExplicitAny: tests look into it
export type Told = any

export type World = {
  folder: string
  settings: JsonObject
  /** URL of the database, without the relay. */
  direct: string
  relay: PostgresRelay
  said: string[]
  /** URL of the database, through the relay. */
  url: string
  /** Does something over one connection through the relay. */
  with<T>(work: (client: pg.Client) => Promise<T>, config?: pg.ClientConfig): Promise<T>
  /** Stops the relay and returns everything recorded, in order; `start` starts another one on its folder. */
  events(): Promise<ParsedEvent[]>
  start(settings?: JsonObject): Promise<void>
  remove(): Promise<void>
}

/**
 * A database, a relay before it, and a folder. Nothing leaves the spool, so all of it can be read there.
 * @param database its URL; default: one of the test run's PostgreSQL
 */
export async function world(settings: JsonObject = {}, database?: string): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'killick-postgres-'))
  await writeKeyFile(join(folder, 'key.json'), generateKey())
  const direct = database ?? (await createDatabase())
  const { hostname, port } = new URL(direct)
  const config: JsonObject = {
    ...{ url: NOWHERE, source: 'db', key: 'key.json', spool: 'spool' },
    ...{ listen: { port: 0 }, server: { host: hostname, port: Number(port) } },
    ...settings,
    limits: { drainMs: 0, graceMs: 0, ...(settings.limits as JsonObject) },
  }
  let isRunning = false
  const it: World = {
    ...{ folder, settings: config, direct, url: '', said: [], relay: undefined as unknown as PostgresRelay },
    async start(more = {}) {
      it.relay = await startPostgresRelay(checkPostgresConfig({ ...config, ...more }, folder), (line) =>
        it.said.push(line),
      )
      const url = new URL(direct)
      url.host = it.relay.address
      it.url = url.href
      isRunning = true
    },
    async with(work, more = {}) {
      const client = new pg.Client({ connectionString: it.url, ...more })
      client.on('error', () => {})
      await client.connect()
      try {
        return await work(client)
      } finally {
        await client.end()
      }
    },
    async events() {
      if (isRunning) await it.relay.close()
      isRunning = false
      const found: ParsedEvent[] = []
      const spool = await openAuditLog({
        ...{ url: NOWHERE, source: 'db', key: join(folder, 'key.json'), spool: join(folder, 'spool') },
        onError: () => {},
        onFound: (event) => void found.push(parseEvent(event)),
      })
      await spool.close({ timeoutMs: 0 })
      return found
    },
    async remove() {
      if (isRunning) await it.relay.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
  await it.start()
  return it
}

/** Writes the configuration for a relay in a process of its own. */
export function configFile({ folder, settings }: World): string {
  const file = join(folder, 'postgres.json')
  writeFileSync(file, JSON.stringify(settings))
  return file
}

/** What the tests look at in an event. */
export type Seen = {
  id: string
  action: string
  outcome: string | undefined
  statement: Told
  parameters: Told
  error: Told
  context: Told
  actor: Told
  targets: Told
  metadata: Told
  /** `metadata.postgres`. */
  known: Told
}

export const seen = ({ id, fields }: ParsedEvent): Seen => {
  const { action, actor, targets, outcome, context, metadata, statement, parameters, error } = fields as Told
  return {
    id,
    action,
    actor,
    targets,
    outcome,
    context,
    metadata,
    known: metadata.postgres,
    statement,
    parameters,
    error,
  }
}

/** One statement from its intent to its end. */
export type Played = { intent: Seen; end: Told }

/** Each intent with its outcome, which may stand in an event with others. */
export function played(events: readonly ParsedEvent[]): Played[] {
  const all = events.map(seen)
  const ends = new Map<string, Told>()
  for (const { known, outcome, error } of all) {
    for (const one of known.outcomes ?? [known]) {
      if (typeof one.intent !== 'string') continue
      if (ends.has(one.intent)) throw new Error(`${one.intent} has two outcomes`)
      ends.set(one.intent, { state: known.state, ...one, outcome, error })
    }
  }
  return all.filter(({ known }) => known.isOpen).map((intent) => ({ intent, end: ends.get(intent.id) }))
}

/** Those of statements and functions. */
export const statements = (events: readonly ParsedEvent[]): Played[] =>
  played(events).filter(({ intent }) => !intent.action.startsWith('postgres.session'))

/** Those that were executed, without what was only prepared, bound or described. */
export const executed = (events: readonly ParsedEvent[]): Played[] =>
  statements(events).filter(({ intent }) => intent.known.step === undefined)

/** A connection of which the test writes every byte. */
export class RawClient {
  readonly socket: Socket
  #bytes = Buffer.alloc(0)
  #isEnded = false
  #wake: () => void = () => {}

  constructor(address: string) {
    const [host, port] = address.split(':') as [string, string]
    this.socket = connect(Number(port), host)
    this.socket.on('error', () => {})
    this.socket.on('data', (chunk) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk])
      this.#wake()
    })
    this.socket.on('close', () => {
      this.#isEnded = true
      this.#wake()
    })
  }

  /** The next message: its type and its body; null where the connection has ended. */
  async next(): Promise<{ type: string; body: Buffer } | null> {
    for (;;) {
      const length = this.#bytes.length >= 5 ? this.#bytes.readInt32BE(1) + 1 : Number.POSITIVE_INFINITY
      if (this.#bytes.length >= length) {
        const [message, rest] = [this.#bytes.subarray(0, length), this.#bytes.subarray(length)]
        this.#bytes = rest
        return { type: String.fromCharCode(message[0]!), body: message.subarray(5) }
      }
      if (this.#isEnded) return null
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** The types of the messages up to the next of this type. */
  async until(type: string): Promise<{ types: string; last: Buffer; all: { type: string; body: Buffer }[] }> {
    const all: { type: string; body: Buffer }[] = []
    for (let message = await this.next(); message !== null; message = await this.next()) {
      all.push(message)
      if (message.type === type) break
    }
    return { types: all.map((each) => each.type).join(''), last: all.at(-1)?.body ?? Buffer.alloc(0), all }
  }

  async ended(): Promise<void> {
    while ((await this.next()) !== null);
  }
}

export const message = (type: string, ...parts: (string | number | Buffer)[]): Buffer => {
  const body = Buffer.concat(
    parts.map((part) => {
      if (typeof part === 'string') return Buffer.from(`${part}\0`)
      return typeof part === 'number' ? Buffer.from([part >> 8, part & 255]) : part
    }),
  )
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}
export const NO_LIMIT = Buffer.alloc(4)

/** A connection of the relay's that is logged in, by a user of its own who needs no password. */
export async function loggedIn(it: World): Promise<RawClient> {
  const raw = new RawClient(it.relay.address)
  const { username, pathname } = new URL(it.direct)
  const body = Buffer.from(`user\0${username}\0database\0${pathname.slice(1)}\0\0`)
  const head = Buffer.alloc(8)
  head.writeInt32BE(body.length + 8, 0)
  head.writeInt32BE(196_608, 4)
  raw.socket.write(Buffer.concat([head, body]))
  await authenticate(raw, it)
  await raw.until('Z')
  return raw
}

/** SCRAM, by the functions of `pg`. */
async function authenticate(raw: RawClient, it: World): Promise<void> {
  // @ts-expect-error pg has no types for it
  const sasl = (await import('pg/lib/crypto/sasl.js')).default
  const { password } = new URL(it.direct)
  await raw.next()
  const session = sasl.startSession(['SCRAM-SHA-256'])
  const first = Buffer.from(session.response)
  const length = Buffer.alloc(4)
  length.writeInt32BE(first.length, 0)
  raw.socket.write(message('p', session.mechanism, length, first))
  const challenge = await raw.next()
  await sasl.continueSession(session, password, challenge!.body.toString('utf8', 4))
  raw.socket.write(message('p', Buffer.from(session.response)))
  await raw.next()
}
