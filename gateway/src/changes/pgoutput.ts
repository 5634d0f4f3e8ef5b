// What the output plugin pgoutput says (its protocol 1), with every value as the text that PostgreSQL printed.
// https://www.postgresql.org/docs/18/protocol-logicalrep-message-formats.html
import { hashOf } from '../sessions/disclosed.ts'
import { ChangesError } from './errors.ts'

/** A table as the stream describes it, as it was when the rows behind it were written. */
export type Relation = {
  readonly oid: number
  readonly schema: string
  readonly name: string
  readonly identity: 'default' | 'nothing' | 'full' | 'index'
  readonly columns: readonly RelationColumn[]
}

export type RelationColumn = {
  readonly name: string
  /** Whether it belongs to the replica identity; with FULL every column does. */
  readonly isKey: boolean
  readonly typeOid: number
  readonly typeMod: number
}

/** A value that is too large for any event to show, and may be larger than the longest string: what stands for its text in UTF-8. */
export type LargeValue = { readonly sha256: string; readonly bytes: number }

/** Values by column: text, null, or undefined for what the stream does not tell. */
export type Tuple = Readonly<Record<string, string | LargeValue | null | undefined>>

/** `undefined` in `new` is a large value that was not changed and that the stream leaves out. */
export type RowMessage =
  | {
      readonly kind: 'insert'
      readonly relation: Relation
      readonly old: null
      readonly key: null
      readonly new: Tuple
    }
  | {
      readonly kind: 'update'
      readonly relation: Relation
      readonly old: Tuple | null
      readonly key: Tuple | null
      readonly new: Tuple
    }
  | {
      readonly kind: 'delete'
      readonly relation: Relation
      readonly old: Tuple | null
      readonly key: Tuple | null
      readonly new: null
    }

export type StreamMessage =
  | { readonly kind: 'begin'; readonly commitLsn: bigint; readonly micros: bigint; readonly xid: number }
  | { readonly kind: 'commit'; readonly commitLsn: bigint; readonly endLsn: bigint }
  | RowMessage
  | {
      readonly kind: 'truncate'
      readonly relations: readonly Relation[]
      readonly cascade: boolean
      readonly restart: boolean
    }
  | { readonly kind: 'message'; readonly isTransactional: boolean; readonly prefix: string; readonly content: Buffer }
  /** What comes with the stream and changes nothing: descriptions of tables and types, names of origins. */
  | { readonly kind: 'none' }

const NONE: StreamMessage = { kind: 'none' }
/** Bytes beyond which a value is held as its hash: as many as `limits.discloseBytes` may be. */
const MAX_TEXT = 64 << 10
const POSTGRES_EPOCH_MICROS = 946_684_800_000_000n
const IDENTITIES: Readonly<Record<string, Relation['identity']>> = { d: 'default', n: 'nothing', f: 'full', i: 'index' }

/** Reads the messages of one connection, in their order. */
export class PgoutputReader {
  readonly #relations = new Map<number, Relation>()

  /** @throws ChangesError `changes_stream_invalid` */
  read(bytes: Buffer): StreamMessage {
    try {
      return this.#read(new Cursor(bytes))
    } catch (error) {
      throw new ChangesError(
        'changes_stream_invalid',
        `A message of pgoutput cannot be read: ${(error as Error).message}`,
      )
    }
  }

  #read(from: Cursor): StreamMessage {
    const tag = from.letter()
    switch (tag) {
      case 'B':
        return { kind: 'begin', commitLsn: from.uint64(), micros: from.time(), xid: from.oid() }
      case 'C':
        from.skip(1)
        return { kind: 'commit', commitLsn: from.uint64(), endLsn: from.uint64() }
      case 'R': {
        const relation = relationIn(from)
        this.#relations.set(relation.oid, relation)
        return NONE
      }
      case 'I': {
        const relation = this.#relation(from)
        from.skip(1)
        return { kind: 'insert', relation, old: null, key: null, new: tupleIn(from, relation) }
      }
      case 'U': {
        const relation = this.#relation(from)
        const before = from.letter()
        if (before === 'N') return { kind: 'update', relation, old: null, key: null, new: tupleIn(from, relation) }
        const former = formerIn(before, from, relation)
        from.skip(1)
        return { kind: 'update', relation, ...former, new: tupleIn(from, relation, former.old) }
      }
      case 'D': {
        const relation = this.#relation(from)
        return { kind: 'delete', relation, ...formerIn(from.letter(), from, relation), new: null }
      }
      case 'T': {
        const count = from.int32()
        const options = from.uint8()
        const relations = Array.from({ length: count }, () => this.#relation(from))
        return { kind: 'truncate', relations, cascade: (options & 1) !== 0, restart: (options & 2) !== 0 }
      }
      case 'M': {
        const isTransactional = (from.uint8() & 1) !== 0
        from.skip(8)
        return { kind: 'message', isTransactional, prefix: from.name(), content: Buffer.from(from.bytes(from.int32())) }
      }
      // Types and origins.
      case 'Y':
      case 'O':
        return NONE
      default:
        throw new Error(`unknown message ${tag}`)
    }
  }

  #relation(from: Cursor): Relation {
    const oid = from.oid()
    const relation = this.#relations.get(oid)
    if (relation === undefined) throw new Error(`table ${oid} was never described`)
    return relation
  }
}

function relationIn(from: Cursor): Relation {
  const oid = from.oid()
  const schema = from.name() || 'pg_catalog'
  const name = from.name()
  const letter = from.letter()
  const identity = IDENTITIES[letter]
  if (identity === undefined) throw new Error(`unknown replica identity ${letter}`)
  const columns = Array.from({ length: from.int16() }, (): RelationColumn => {
    const isKey = (from.uint8() & 1) !== 0
    return { isKey, name: from.name(), typeOid: from.oid(), typeMod: from.int32() }
  })
  return { oid, schema, name, identity, columns }
}

/** @param fallback has the large values that were not changed */
function tupleIn(from: Cursor, { columns }: Relation, fallback: Tuple | null = null): Tuple {
  const count = from.int16()
  const tuple: Record<string, Tuple[string]> = Object.create(null)
  for (const { name } of columns.slice(0, count)) {
    const kind = from.letter()
    if (kind === 't') tuple[name] = textOrHash(from.bytes(from.int32()))
    else if (kind === 'n') tuple[name] = null
    else if (kind === 'u') tuple[name] = fallback?.[name]
    else throw new Error(`unknown kind of value ${kind}`)
  }
  return tuple
}

/** The row before: all of it, or its key, of which the columns beside it come as null, which no key is. */
function formerIn(letter: string, from: Cursor, relation: Relation): { old: Tuple | null; key: Tuple | null } {
  if (letter === 'O') return { old: tupleIn(from, relation), key: null }
  if (letter !== 'K') throw new Error(`unknown part of a row ${letter}`)
  const all = tupleIn(from, relation)
  const key: Record<string, Tuple[string]> = Object.create(null)
  for (const { name, isKey } of relation.columns) if (isKey) key[name] = all[name] ?? undefined
  return { old: null, key }
}

/** Without a decoder that takes a mark of byte order (U+FEFF) from the beginning of a text: it is part of the value. */
const textOrHash = (bytes: Buffer): string | LargeValue =>
  bytes.length > MAX_TEXT ? hashOf(bytes) : bytes.toString('utf8')

/** Reads on in a message. A `Buffer` throws where it ends. */
class Cursor {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  skip(count: number): void {
    this.#at += count
  }

  uint8(): number {
    this.#at += 1
    return this.#bytes.readUInt8(this.#at - 1)
  }

  letter(): string {
    return String.fromCharCode(this.uint8())
  }

  int16(): number {
    this.#at += 2
    return this.#bytes.readInt16BE(this.#at - 2)
  }

  int32(): number {
    this.#at += 4
    return this.#bytes.readInt32BE(this.#at - 4)
  }

  oid(): number {
    this.#at += 4
    return this.#bytes.readUInt32BE(this.#at - 4)
  }

  uint64(): bigint {
    this.#at += 8
    return this.#bytes.readBigUInt64BE(this.#at - 8)
  }

  /** Microseconds since 1970. */
  time(): bigint {
    return BigInt.asIntN(64, this.uint64()) + POSTGRES_EPOCH_MICROS
  }

  /** Ends with a zero. */
  name(): string {
    const end = this.#bytes.indexOf(0, this.#at)
    if (end < 0) throw new Error('a name does not end')
    const name = this.#bytes.toString('utf8', this.#at, end)
    this.#at = end + 1
    return name
  }

  /** Bytes of the message itself, not a copy. */
  bytes(count: number): Buffer {
    if (count < 0 || this.#at + count > this.#bytes.length) throw new Error('the message ends within a value')
    this.#at += count
    return this.#bytes.subarray(this.#at - count, this.#at)
  }
}
