// What the output plugin pgoutput says, with every value as the text that PostgreSQL printed.
import { PgoutputPlugin } from 'pg-logical-replication'
import { ChangesError } from './errors.ts'
import { parseLsn } from './lsn.ts'

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
  /** Of types that are not built in. */
  readonly typeName: string | null
}

/** Values by column: text, null, or undefined for what the stream does not tell. */
export type Tuple = Readonly<Record<string, string | null | undefined>>

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

// biome-ignore lint/suspicious/noExplicitAny: the library's types leave most of it open
type Told = any

const NONE: StreamMessage = { kind: 'none' }
const asText = (text: string): string => text

/** Reads the messages of one connection, in their order. */
export class PgoutputReader {
  readonly #plugin = new PgoutputPlugin({ protoVersion: 1, publicationNames: [], messages: true })
  /** By the library's own description of the table. */
  readonly #relations = new WeakMap<object, Relation>()

  /** @throws ChangesError `changes_stream_invalid` */
  read(bytes: Buffer): StreamMessage {
    try {
      return this.#read(this.#plugin.parse(bytes))
    } catch (error) {
      throw new ChangesError(
        'changes_stream_invalid',
        `A message of pgoutput cannot be read: ${(error as Error).message}`,
      )
    }
  }

  #read(told: Told): StreamMessage {
    switch (told.tag) {
      case 'begin':
        return { kind: 'begin', commitLsn: lsnOf(told.commitLsn), micros: told.commitTime, xid: told.xid >>> 0 }
      case 'commit':
        return { kind: 'commit', commitLsn: lsnOf(told.commitLsn), endLsn: lsnOf(told.commitEndLsn) }
      case 'relation':
        this.#relations.set(told, relationOf(told))
        return NONE
      case 'insert':
      case 'update':
      case 'delete': {
        const relation = this.#relations.get(told.relation)!
        return {
          kind: told.tag,
          relation,
          old: told.old ?? null,
          key: told.key ?? null,
          new: told.new ?? null,
        } as RowMessage
      }
      case 'truncate': {
        const relations = told.relations.map((each: object) => this.#relations.get(each)!)
        return { kind: 'truncate', relations, cascade: told.cascade, restart: told.restartIdentity }
      }
      case 'message': {
        const { transactional, prefix, content } = told
        return { kind: 'message', isTransactional: transactional, prefix, content: Buffer.from(content) }
      }
      case 'type':
      case 'origin':
        return NONE
      default:
        throw new Error(`unknown message ${told.tag}`)
    }
  }
}

/** The library would make numbers, dates and objects of the values, and lose what these cannot hold. */
function relationOf(told: Told): Relation {
  const columns = told.columns.map((column: Told): RelationColumn => {
    column.parser = asText
    const { name, flags, typeOid, typeMod, typeSchema, typeName } = column
    return {
      name,
      isKey: (flags & 1) === 1,
      typeOid: typeOid >>> 0,
      typeMod,
      typeName: typeName && `${typeSchema}.${typeName}`,
    }
  })
  return {
    oid: told.relationOid >>> 0,
    schema: told.schema || 'pg_catalog',
    name: told.name,
    identity: told.replicaIdentity,
    columns,
  }
}

function lsnOf(text: string | null): bigint {
  const lsn = parseLsn(text)
  if (lsn === null) throw new Error(`"${text}" is no LSN`)
  return lsn
}
