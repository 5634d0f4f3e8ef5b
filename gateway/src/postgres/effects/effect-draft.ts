// What is found in a statement while its tree is walked.
import type { StatementEffect, StatementKind, UnknownWhy } from './effect.ts'
import { printName } from './table-names.ts'

/** The facts that only one kind of statement has. */
export type OwnFacts = Pick<
  StatementEffect,
  | 'transaction'
  | 'savepoint'
  | 'set'
  | 'alsoSets'
  | 'discardsAll'
  | 'prepares'
  | 'prepared'
  | 'executes'
  | 'deallocates'
>

/** Columns that an effect names. */
const MAX_COLUMNS = 1_000

/** Collects; each set keeps the order in which its members were found. */
export class EffectDraft {
  readonly kinds = new Set<StatementKind>()
  /** What functions in it do beside: no statement is of that kind for their sake. */
  readonly also = new Set<StatementKind>()
  readonly reads = new Set<string>()
  readonly writes = new Set<string>()
  readonly withoutWhere = new Set<string>()
  readonly why = new Set<UnknownWhy>()
  readonly calls = new Set<string>()
  usesSearchPath = false
  sinceVersion = 14
  own: OwnFacts = {}
  readonly #columns = new Map<string, readonly string[]>()
  /** From an alias, or a table's own name, to the table; null where it stands for several. */
  readonly #aliases = new Map<string, string | null>()

  /** @param parts a qualified name; the alias stands for it in names of columns */
  table(parts: readonly string[], alias?: string): string {
    const name = printName(parts)
    if (parts.length === 1) this.usesSearchPath = true
    this.alias(alias ?? parts.at(-1)!, name)
    return name
  }

  /** @param table null: it is none, such as a part of WITH */
  alias(alias: string, table: string | null): void {
    const known = this.#aliases.get(alias)
    this.#aliases.set(alias, known === undefined || known === table ? table : null)
  }

  /** @param parts as the statement has them; the last one is the column */
  column(parts: readonly string[]): void {
    if (this.#columns.size < MAX_COLUMNS) this.#columns.set(parts.join('\0'), parts)
  }

  unknown(why: UnknownWhy, call?: string): void {
    this.why.add(why)
    if (call !== undefined) this.calls.add(call)
  }

  /** What is planned, and not executed: what would be written as read. */
  takeAsRead(other: EffectDraft): void {
    for (const name of [...other.reads, ...other.writes]) this.reads.add(name)
    for (const why of other.why) this.why.add(why)
    for (const call of other.calls) this.calls.add(call)
    for (const kind of other.also) this.also.add(kind)
    this.usesSearchPath ||= other.usesSearchPath
    this.sinceVersion = Math.max(this.sinceVersion, other.sinceVersion)
  }

  effect(): StatementEffect {
    const [kind = 'other', ...kinds] = new Set([...this.kinds, ...this.also])
    const columns = new Set([...this.#columns.values()].map((parts) => this.#columnName(parts)))
    return {
      kind,
      ...(kinds.length > 0 && { kinds: [kind, ...kinds] }),
      reads: [...this.reads],
      writes: [...this.writes],
      ...(columns.size > 0 && { columns: [...columns] }),
      ...(this.withoutWhere.size > 0 && { withoutWhere: [...this.withoutWhere] }),
      isFullyKnown: this.why.size === 0,
      unknownWhy: [...this.why],
      ...(this.calls.size > 0 && { calls: [...this.calls] }),
      ...(this.usesSearchPath && { usesSearchPath: true }),
      ...(this.sinceVersion > 14 && { sinceVersion: this.sinceVersion }),
      ...this.own,
    }
  }

  #columnName(parts: readonly string[]): string {
    const column = parts.at(-1) === '*' ? '*' : printName(parts.slice(-1))
    if (parts.length === 1) return column
    const table = parts.length === 2 ? this.#aliases.get(parts[0]!) : undefined
    return `${table ?? printName(parts.slice(0, -1))}.${column}`
  }
}
