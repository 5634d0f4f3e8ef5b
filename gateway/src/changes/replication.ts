// The connection on which PostgreSQL streams what was committed, and hears how much of it is safe.
// Why it is our own: docs/decisions/0016-own-replication-connection.md.
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { printLsn } from './lsn.ts'

/** Settings of the connection that decide how values look as text, whatever role and database set: exact, and the same everywhere. */
export const EXACT_TEXT =
  '-c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=3 -c bytea_output=hex -c timezone=UTC -c xmloption=content'

/**
 * Names and operators are PostgreSQL's own, whatever role and database set, and whatever others have made: the `||` of somebody else would be run with
 * the rights of whoever sets up, and catalogs of somebody else would show what they like.
 */
const OWN_NAMES = '-c search_path=pg_catalog,pg_temp'

/** What the stream hands over, on the call stack of the socket. */
export type ReplicationEvents = {
  /** A message of the output plugin. @param message valid during the call only @param lsn its place */
  data(message: Buffer, lsn: bigint): void
  /** Everything before `end` has been sent. @param isAsked whether the server waits for `confirm` */
  keepalive(end: bigint, isAsked: boolean): void
}

/** What pg's own connection has, and its types leave out. */
type Raw = {
  stream: { pause(): void; resume(): void; destroy(): void }
  on(event: 'copyData', listener: (message: { chunk: Buffer }) => void): void
  once(event: 'replicationStart', listener: () => void): void
  sendCopyFromChunk(chunk: Buffer): void
}

/** How long the end of a connection may take, ms. */
const CLOSE_MS = 2_000
const POSTGRES_EPOCH_MS = 946_684_800_000
const [XLOG_DATA, KEEPALIVE, STATUS] = [0x77, 0x6b, 0x72]
/** Lengths of the heads of the two messages, and of a status. */
const [DATA_HEAD, KEEPALIVE_LENGTH, STATUS_LENGTH] = [25, 18, 34]

/** Streams one slot. */
export class Replication {
  /** Rejects when the connection has ended, and never resolves. */
  readonly ended: Promise<never>
  readonly #client: pg.Client
  readonly #raw: Raw
  readonly #fail: (error: Error) => void
  #timer: NodeJS.Timeout | undefined
  #confirmed = 0n

  private constructor(client: pg.Client) {
    this.#client = client
    this.#raw = rawOf(client)
    const { promise, reject } = Promise.withResolvers<never>()
    promise.catch(() => {})
    this.ended = promise
    this.#fail = reject
    client.on('error', reject)
    client.once('end', () => reject(new Error('the database has ended the replication connection')))
  }

  /** @throws the error of the connection or the server */
  static async connect(database: string): Promise<Replication> {
    const options = { ...clientOptions(database, 'killick changes'), replication: 'database' }
    const client = new pg.Client(options as pg.ClientConfig)
    const replication = new Replication(client)
    await client.connect()
    return replication
  }

  /**
   * @param from where to go on: what was committed before is not sent again
   * @param statusMs how often the server hears from us, well below its wal_sender_timeout
   * @throws the error of the server
   */
  async start(
    { slot, publication, from, statusMs }: { slot: string; publication: string; from: bigint; statusMs: number },
    events: ReplicationEvents,
  ): Promise<void> {
    const names = `"${publication.replaceAll('"', '""')}"`.replaceAll("'", "''")
    const started = new Promise<void>((resolve) => this.#raw.once('replicationStart', resolve))
    this.#raw.on('copyData', ({ chunk }) => take(chunk, events))
    this.#client
      .query(
        `START_REPLICATION SLOT "${slot}" LOGICAL ${printLsn(from)} (proto_version '1', publication_names '${names}', messages 'true')`,
      )
      .then(() => this.#fail(new Error('the database has ended the stream')), this.#fail)
    await Promise.race([started, this.ended])
    this.#confirmed = from
    // Sent while reading is paused, too: a server that hears nothing for wal_sender_timeout ends the connection.
    this.#timer = setInterval(() => this.#send(), statusMs)
  }

  /** Tells the server that everything before `lsn` is durable here, so that it may forget it. */
  confirm(lsn: bigint): void {
    if (lsn > this.#confirmed) this.#confirmed = lsn
    this.#send()
  }

  /** Nothing more is read from the socket until `resume`, so that the server waits. */
  pause(): void {
    this.#raw.stream.pause()
  }

  resume(): void {
    this.#raw.stream.resume()
  }

  /** Ends the connection once what was confirmed has gone out. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    const isOver = once(this.#client, 'end').catch(() => {})
    if (this.#timer !== undefined) this.#send()
    this.resume()
    this.#client.end().catch(() => {})
    // A server that is gone does not answer.
    await Promise.race([isOver, this.ended.catch(() => {}), sleep(CLOSE_MS, undefined, { ref: false })])
    this.#raw.stream.destroy()
  }

  #send(): void {
    const status = Buffer.alloc(STATUS_LENGTH)
    status[0] = STATUS
    for (const at of [1, 9, 17]) status.writeBigUInt64BE(this.#confirmed, at)
    status.writeBigInt64BE(BigInt(Date.now() - POSTGRES_EPOCH_MS) * 1000n, 25)
    this.#raw.sendCopyFromChunk(status)
  }
}

function take(chunk: Buffer, events: ReplicationEvents): void {
  if (chunk[0] === XLOG_DATA && chunk.length >= DATA_HEAD)
    events.data(chunk.subarray(DATA_HEAD), chunk.readBigUInt64BE(1))
  else if (chunk[0] === KEEPALIVE && chunk.length >= KEEPALIVE_LENGTH)
    events.keepalive(chunk.readBigUInt64BE(1), chunk[17] === 1)
}

const rawOf = (client: pg.Client): Raw => (client as unknown as { connection: Raw }).connection

/** How each connection to the database is made. Options in the URL hold as far as they are not ours: pg would take them instead of ours. */
export function clientOptions(database: string, name: string): pg.ClientConfig {
  const [place, query] = database.split(/\?(.*)/s)
  const asked = new URLSearchParams(query)
  const given = asked.getAll('options').slice(-1)
  asked.delete('options')
  return {
    connectionString: given.length === 0 ? database : `${place}?${asked}`,
    application_name: name,
    options: [...given, EXACT_TEXT, OWN_NAMES].join(' '),
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  }
}
