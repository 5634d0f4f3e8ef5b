/**
 * Statements that are sent together. This is the only module that uses a part of pg that is not public: the connection that pg
 * passes to a custom query, such as pg-copy-streams. So package.json pins `pg` to one version, and the tests of this module name
 * it. Why: docs/decisions/0005-copy-in-one-exchange.md.
 */
import type { Writable } from 'node:stream'
import type pg from 'pg'
import type { CopyStatement } from './copy.ts'

/** The bytes before tuples and after them. */
const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1')
const TRAILER = Buffer.of(0xff, 0xff)

/** The part of pg's connection that pg passes to a custom query. */
type Wire = {
  stream: Writable
  parse(statement: { text: string }): void
  bind(values: object): void
  execute(portal: object): void
  endCopyFrom(): void
  sync(): void
}

/**
 * Runs statements in order without waiting for the answers in between. They are sent together and answered together, so a
 * transaction costs one exchange, however many tables it writes ("Extended Query" and "COPY Operations" of PostgreSQL's
 * protocol). After the first that fails, no other runs.
 */
export function runAll(client: pg.ClientBase, statements: readonly CopyStatement[]): Promise<void> {
  return new Promise((resolve, reject) => {
    let failure: Error | undefined
    // The methods that pg calls on a custom query, as it does on pg-copy-streams.
    const query = {
      // What pg puts here ends its wait for the answer.
      callback: () => {},
      submit(wire: Wire) {
        wire.stream.cork()
        for (const statement of statements) send(wire, statement)
        wire.sync()
        wire.stream.uncork()
      },
      // Its data is already on the way; after an error the server ignores it.
      handleCopyInResponse() {},
      handleRowDescription() {},
      handleDataRow() {},
      handleCommandComplete() {},
      handleError(error: Error) {
        failure = error
        query.callback()
        reject(error)
      },
      handleReadyForQuery() {
        query.callback()
        if (failure === undefined) resolve()
      },
    }
    client.query(query as unknown as pg.Submittable)
  })
}

function send(wire: Wire, { sql, tuples }: CopyStatement): void {
  wire.parse({ text: sql })
  wire.bind({})
  wire.execute({})
  if (tuples === undefined) return
  for (const bytes of joined([SIGNATURE, ...tuples.map((some) => some.bytes), TRAILER]))
    sendCopyData(wire.stream, bytes)
  wire.endCopyFrom()
}

/** Parts shorter than this are copied together: to write each on its own costs more. */
const SHORT = 16_384

function* joined(parts: readonly Uint8Array[]): Generator<Uint8Array> {
  let short: Uint8Array[] = []
  for (const part of parts) {
    if (part.length < SHORT) {
      short.push(part)
      continue
    }
    if (short.length > 0) yield Buffer.concat(short)
    short = []
    yield part
  }
  if (short.length > 0) yield Buffer.concat(short)
}

/** A CopyData message. pg's own method would copy the bytes twice. */
function sendCopyData(stream: Writable, bytes: Uint8Array): void {
  const head = Buffer.of(0x64, 0, 0, 0, 0)
  head.writeInt32BE(4 + bytes.length, 1)
  stream.write(head)
  stream.write(bytes)
}
