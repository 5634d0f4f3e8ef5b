// What a statement does, as far as its text tells.

/** What a statement does, in one word. */
export type StatementKind =
  | 'select'
  | 'insert'
  | 'update'
  | 'delete'
  | 'merge'
  | 'truncate'
  | 'copy'
  /** Creates, alters or drops something, or says something about it: COMMENT, SECURITY LABEL. */
  | 'ddl'
  /** Changes who may do what: GRANT, REVOKE, roles, owners, default privileges. */
  | 'grant'
  | 'transaction'
  /** Changes a setting of the session: SET, RESET, SET CONSTRAINTS, `set_config()`. */
  | 'set'
  | 'show'
  /** Changes who acts: SET ROLE, SET SESSION AUTHORIZATION, and their RESET. */
  | 'identity'
  | 'call'
  | 'do'
  /** EXPLAIN. Of EXPLAIN ANALYZE `kind` is that of the statement which it executes. */
  | 'explain'
  /** LISTEN and UNLISTEN. */
  | 'listen'
  /** NOTIFY, `pg_notify()`. */
  | 'notify'
  | 'prepare'
  | 'execute'
  | 'deallocate'
  /** DECLARE, FETCH, MOVE, CLOSE. */
  | 'cursor'
  | 'lock'
  /** VACUUM, ANALYZE, CLUSTER, REINDEX, REFRESH MATERIALIZED VIEW. */
  | 'maintenance'
  | 'discard'
  /** The server itself: ALTER SYSTEM, LOAD, CHECKPOINT. */
  | 'system'
  /** A statement that this version has no word for. */
  | 'other'
  | 'unparsed'

/** Why it is not fully known what a statement does. */
export type UnknownWhy =
  /** The parser does not take it, or it is larger or nested deeper than is looked into. */
  | 'unparsed'
  /** A DO block. */
  | 'do_block'
  /** CALL of a procedure. */
  | 'call'
  /** A function that is not one of PostgreSQL's own which touch nothing. `calls` names it, as the next two. */
  | 'function'
  /** An operator that is not built in. */
  | 'operator'
  /** A cast to a type that is not built in. */
  | 'type'
  /** EXECUTE: what was prepared under the name. `prepared` of the PREPARE says it. */
  | 'execute'
  /** FETCH or MOVE: what the cursor reads, its DECLARE says. */
  | 'cursor'
  /** An earlier statement of the same text sets search_path, or may do so, and a name here depends on it. */
  | 'search_path'
  /** What is defined elsewhere is executed: REFRESH MATERIALIZED VIEW. */
  | 'view'
  /** COPY from or to a program, or a library that is loaded. */
  | 'program'
  /** COPY from or to a file of the server. */
  | 'file'
  /** Another server is asked: IMPORT FOREIGN SCHEMA, subscriptions. */
  | 'server'
  /** The script of an extension is executed. */
  | 'extension'
  /** CASCADE: what depends on it is not named. */
  | 'cascade'
  /** All tables of a schema, a database or an owner, not named one by one. */
  | 'all_tables'
  /** A statement that this version does not know. */
  | 'other'

/** What a statement does with the transaction. */
export type TransactionStep =
  | 'begin'
  | 'commit'
  | 'rollback'
  | 'savepoint'
  | 'release'
  | 'rollback_to'
  | 'prepare'
  | 'commit_prepared'
  | 'rollback_prepared'

export type SettingSet = { readonly name: string; readonly value: string | null; readonly isLocal?: boolean }

/**
 * What one statement does. Names are as the statement has them, folded and quoted as PostgreSQL prints them: `users`, `hr.salaries`,
 * `"a.b"`. A table's name may stand for a view, and tables have rules, triggers and foreign keys: those no text shows.
 */
export type StatementEffect = {
  /** The first of `kinds`. */
  readonly kind: StatementKind
  /** Everything that it does, in its main part and inside: `WITH d AS (DELETE …) SELECT …` is `delete` and `select`. Absent: only `kind`. */
  readonly kinds?: readonly StatementKind[]
  /** Tables that it reads, or that what it defines will read: a view's, a rule's. Targets of UPDATE, DELETE and MERGE are read too. */
  readonly reads: readonly string[]
  /** Tables and sequences whose rows, definition, privileges, statistics or storage it changes, or that what it defines will change. */
  readonly writes: readonly string[]
  /** Columns that it names, with the table's name where the statement tells which it is, and `*`. Absent: none. */
  readonly columns?: readonly string[]
  /** Tables of which it updates or deletes rows without a WHERE, or with one that names no column. Absent: none. */
  readonly withoutWhere?: readonly string[]
  /** Every name in it is a table's or one of PostgreSQL's own, and `unknownWhy` is empty. */
  readonly isFullyKnown: boolean
  readonly unknownWhy: readonly UnknownWhy[]
  /** Functions, operators and types in it that are not known to touch nothing. Absent: none. */
  readonly calls?: readonly string[]
  /** A name in it is looked up along search_path. */
  readonly usesSearchPath?: boolean
  /**
   * The major version in which its newest function, or what is written as one, became PostgreSQL's own: on an older server the name is
   * somebody else's. Absent: 14 or before.
   */
  readonly sinceVersion?: number
  readonly transaction?: TransactionStep
  /** The name of the savepoint that it sets, releases or goes back to. */
  readonly savepoint?: string
  /** What it sets: a name in lower case, and the value; null for the default, and for a value that the text does not show. `all` for RESET ALL. */
  readonly set?: SettingSet
  /** What it sets of `killick.*` beside that: several `set_config()` of one SELECT. */
  readonly alsoSets?: readonly SettingSet[]
  /** DISCARD ALL. */
  readonly discardsAll?: boolean
  /** The name that PREPARE gives. */
  readonly prepares?: string
  /** What was given that name; the effect of the PREPARE itself includes it. */
  readonly prepared?: StatementEffect
  /** The name of what EXECUTE executes. */
  readonly executes?: string
  /** The name that DEALLOCATE gives up; null for ALL. */
  readonly deallocates?: string | null
}

/** An effect of which nothing is known but why. */
export function unknownEffect(kind: StatementKind, why: UnknownWhy): StatementEffect {
  return { kind, reads: [], writes: [], isFullyKnown: false, unknownWhy: [why] }
}
