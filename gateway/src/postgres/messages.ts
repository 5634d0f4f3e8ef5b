// Messages of the protocol, version 3: reading what a client asks, and printing what the relay says itself.
import { POSTGRES_CODES, type PostgresCode } from './errors.ts'

/** A type of a message, by its letter. */
export const letter = (text: string): number => text.charCodeAt(0)

/** What a client's message is not. */
export class MessageFault extends Error {}

/** Reads the body of a message from its beginning. Every method throws MessageFault where there is less than it takes. */
export class BodyReader {
  readonly #frame: Buffer
  #at: number

  /** @param at where the body begins */
  constructor(frame: Buffer, at = 5) {
    this.#frame = frame
    this.#at = at
  }

  int16(): number {
    return this.#take(2).readInt16BE(0)
  }

  int32(): number {
    return this.#take(4).readInt32BE(0)
  }

  bytes(count: number): Buffer {
    if (count < 0) throw new MessageFault('A length in the message is negative.')
    return this.#take(count)
  }

  /** Up to the next zero byte, which is left out. */
  text(): Buffer {
    const end = this.#frame.indexOf(0, this.#at)
    if (end < 0) throw new MessageFault('A text in the message has no end.')
    const text = this.#frame.subarray(this.#at, end)
    this.#at = end + 1
    return text
  }

  /** A count of what follows. */
  count(): number {
    const count = this.int16()
    // The server reads it as a signed number for all but parameters, of which there may be 65,535.
    return count < 0 ? count + 65_536 : count
  }

  done(): void {
    if (this.#at !== this.#frame.length) throw new MessageFault('The message is longer than what is in it.')
  }

  get isDone(): boolean {
    return this.#at === this.#frame.length
  }

  #take(count: number): Buffer {
    const end = this.#at + count
    if (end > this.#frame.length) throw new MessageFault('The message is shorter than what it says is in it.')
    const bytes = this.#frame.subarray(this.#at, end)
    this.#at = end
    return bytes
  }
}

/** A message of a type with some parts behind each other. */
export function printMessage(type: string, ...parts: readonly (Buffer | string)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(`${part}\0`) : part)))
  const head = Buffer.alloc(5)
  head.write(type, 0, 'latin1')
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

/** What the relay answers in the place of the server. */
export type OwnError = {
  readonly code: PostgresCode
  /** Why, in one sentence or more. */
  readonly why: string
  readonly hint?: string
  /** Default: that of the code. */
  readonly sqlstate?: string
}

/** An ErrorResponse. `FATAL` says that the session ends. */
export function printError({ code, why, hint, sqlstate }: OwnError, severity: 'ERROR' | 'FATAL' = 'ERROR'): Buffer {
  const [usual, sentence] = POSTGRES_CODES[code]
  const fields: [string, string][] = [
    ['S', severity],
    ['V', severity],
    ['C', sqlstate ?? usual],
    ['M', `killick: ${sentence}`],
    ['D', `${code}: ${why}`],
    ...(hint === undefined ? [] : [['H', hint] as [string, string]]),
  ]
  const body = fields.map(([field, text]) => `${field}${text.replaceAll('\0', '').slice(0, 2_000)}\0`).join('')
  return printMessage('E', body)
}

/** The fields of an ErrorResponse that events show. */
export type ServerError = {
  readonly severity: string
  readonly sqlstate: string
  readonly message: string
  /** Whether it names the routine that has raised it: PostgreSQL always does, poolers and this relay do not. */
  readonly isOfServer: boolean
}

export function readError(body: Buffer): ServerError {
  const fields: Record<string, string> = {}
  let at = 0
  while (at < body.length && body[at] !== 0) {
    const end = body.indexOf(0, at + 1)
    const stop = end < 0 ? body.length : end
    fields[String.fromCharCode(body[at]!)] = body.toString('utf8', at + 1, stop).toWellFormed()
    at = stop + 1
  }
  return {
    severity: fields.V ?? fields.S ?? 'ERROR',
    sqlstate: fields.C ?? '',
    message: (fields.M ?? '').slice(0, 2_000),
    isOfServer: fields.R !== undefined,
  }
}

/** What the server is sent in the place of a statement that it must not see: it fails, so that what follows is as after any error. */
const IN_PLACE = 'killick refused this statement'
export const POISON_QUERY = printMessage('Q', IN_PLACE)
const NO_LIMIT = Buffer.alloc(4)
/** The portal does not exist. */
export const POISON_EXECUTE = printMessage('E', IN_PLACE, NO_LIMIT)
