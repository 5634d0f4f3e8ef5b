// Which statements may reach the server.
import { matchesName } from '../../name-pattern.ts'
import type { StatementEffect, StatementKind, UnknownWhy } from './effect.ts'
import { type Hours, isWithin } from './hours.ts'
import { parseName } from './table-names.ts'

/**
 * Which statements are denied, as the member `policy` of the configuration has it. In patterns `*` stands for any text. For example:
 *
 *     { "trust": ["similarity", "geometry"],
 *       "rules": [
 *         { "name": "no-ddl", "does": ["ddl", "grant"], "except": ["migrator"] },
 *         { "name": "where", "does": ["update", "delete"], "withoutWhere": true },
 *         { "name": "salaries", "tables": ["hr.*"],
 *           "outside": { "timeZone": "Europe/Berlin", "days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "18:00" } },
 *         { "name": "why", "answer": "require_reason", "does": ["write"], "tables": ["accounts"] } ] }
 */
export type PostgresPolicy = {
  /** Patterns of database users who may send statements. Null: all. */
  users: readonly string[] | null
  /** Patterns of databases that they may be sent to. Null: all. */
  databases: readonly string[] | null
  /** The first that applies says no. */
  rules: readonly PostgresRule[]
  /**
   * Patterns of functions, procedures, operators and types, as statements have them, that touch no table and nothing outside: of those that
   * are not PostgreSQL's own nobody else can tell. Default: none.
   */
  trust: readonly string[]
  /**
   * `deny`: a rule applies also to a statement of which it is not known that the rule does not apply, such as a DO block, a call of
   * a function that is not trusted, or what the parser does not take. `pass`: it applies to what is known only; then a DO block does
   * whatever the rules forbid. Default `deny`.
   */
  unknown: 'deny' | 'pass'
}

/** What a rule may name in `does`. */
export type RuleEffect = StatementKind | 'read' | 'write' | 'unknown'

/** A rule applies if all of its conditions hold. */
export type PostgresRule = {
  /** Its name, as events and errors show it. */
  name: string
  /** `deny`, or `require_reason`: denied unless a reason is given. Default `deny`. */
  answer: 'deny' | 'require_reason'
  /**
   * What the statement does: one of these. Kinds of statements (`StatementKind`), `read` and `write` for whatever reads or writes a table, and
   * `unknown` for what is not fully known, if `trust` does not cover it. Null: everything but transaction control, SET and SHOW.
   */
  does: readonly RuleEffect[] | null
  /**
   * It touches one of these tables: patterns such as `hr.salaries`, `hr.*`, `salaries`. A name without a schema, here or in the statement, may
   * be in any. With `does` of what only reads or only writes those that are read or written; else both. Null: whatever it touches.
   */
  tables: readonly string[] | null
  /** It updates or deletes rows without a WHERE, or with one that names no column. Default false: either way. */
  withoutWhere: boolean
  /** Patterns of the database users for whom it is. Null: all. */
  users: readonly string[] | null
  /** Patterns of the database users for whom it is not. Default: none. */
  except: readonly string[]
  /** Patterns of the databases for which it is. Null: all. */
  databases: readonly string[] | null
  /** Only in these hours; null: at any time. A rule has one of `within` and `outside` at most. */
  within: Hours | null
  /** Only outside of these hours; null: at any time. */
  outside: Hours | null
}

/** What a decision depends on beside the statement. */
export type DecisionFacts = {
  /** Who acts, as far as the session says it. No rule asks for it so far: it is only claimed. */
  readonly actor: unknown
  /** Why, as the statement or the session says it. */
  readonly reason: string | null
  readonly database: string
  readonly user: string
  readonly now: Date
  /** Why what is sent is not fully known beyond what `effects` say, such as an encoding that the parser cannot read. */
  readonly unknownWhy?: readonly string[]
}

/** Why a statement is denied: `users`, `databases` or the name of a rule, and a sentence. */
export type PolicyDenial = { readonly rule: string; readonly why: string }

/**
 * Whether the statements of a text may reach the server. With an EXECUTE in them, `effects` must hold those of what it executes too.
 * @returns null if they may; else the first rule that says no
 */
export function decide(
  policy: PostgresPolicy,
  effects: readonly StatementEffect[],
  facts: DecisionFacts,
): PolicyDenial | null {
  const denial = decideSession(policy, facts)
  if (denial !== null) return denial
  for (const rule of policy.rules) {
    if (!isFor(rule, facts)) continue
    const found = applies(rule, effects, policy, facts.unknownWhy ?? [])
    if (found === null || !holds(rule, facts)) continue
    return { rule: rule.name, why: sentence(rule, found) }
  }
  return null
}

/** Whether there is anything that a policy could deny. */
export const mayDeny = ({ users, databases, rules }: PostgresPolicy): boolean =>
  users !== null || databases !== null || rules.length > 0

/** Whether a session may begin at all. */
export function decideSession(
  { users, databases }: PostgresPolicy,
  { user, database }: Pick<DecisionFacts, 'user' | 'database'>,
): PolicyDenial | null {
  if (!isOf(user, users)) return { rule: 'users', why: `The user ${user} is not one who may send statements.` }
  if (!isOf(database, databases))
    return { rule: 'databases', why: `The database ${database} is not one that statements may be sent to.` }
  return null
}

/** The conditions that cost least to look at. */
function isFor({ users, except, databases, answer }: PostgresRule, { user, database, reason }: DecisionFacts): boolean {
  if (answer === 'require_reason' && reason !== null && reason.trim() !== '') return false
  return isOf(user, users) && !(except.length > 0 && isOf(user, except)) && isOf(database, databases)
}

function holds({ within, outside }: PostgresRule, { now }: DecisionFacts): boolean {
  return (within === null || isWithin(within, now)) && (outside === null || !isWithin(outside, now))
}

const isOf = (name: string, patterns: readonly string[] | null): boolean =>
  patterns === null || patterns.some((pattern) => matchesName(pattern, name))

/** What a rule has found: something that is done, or why that cannot be excluded. */
type Applied = { readonly does: string } | { readonly hidden: string }

function applies(
  rule: PostgresRule,
  effects: readonly StatementEffect[],
  { trust, unknown }: PostgresPolicy,
  more: readonly string[],
): Applied | null {
  for (const effect of effects) {
    const does = doneOf(rule, effect)
    if (does !== null) return { does }
  }
  if (unknown === 'pass' && !rule.does?.includes('unknown')) return null
  const isOfTables = rule.tables !== null
  for (const effect of effects) {
    const why = hiddenIn(effect, trust).filter((each) => isOfTables || !HIDE_TABLES.has(each))
    if (why.length > 0) return { hidden: [...why, ...(effect.calls ?? [])].join(', ') }
  }
  return more.length > 0 ? { hidden: more.join(', ') } : null
}

const PLAIN: ReadonlySet<StatementKind> = new Set(['transaction', 'set', 'show'])

/** What of a statement a rule is about, in words; null if it is not known to do that. */
function doneOf({ does, tables, withoutWhere }: PostgresRule, effect: StatementEffect): string | null {
  const { kind, kinds = [kind], reads, writes } = effect
  const done =
    does === null
      ? kinds.filter((each) => !PLAIN.has(each))
      : does.filter((each) => {
          if (each === 'read') return reads.length > 0
          if (each === 'write') return writes.length > 0
          return each !== 'unknown' && kinds.includes(each)
        })
  if (done.length === 0) return null
  const touched = withoutWhere ? (effect.withoutWhere ?? []) : touchedBy(does && done, effect)
  const named = tables === null ? touched : touched.filter((name) => tables.some((each) => matchesTable(each, name)))
  if (named.length === 0 && (tables !== null || withoutWhere)) return null
  const where = withoutWhere ? ' without WHERE' : ''
  return `${done.join(', ')}${where}${named.length > 0 ? ` on ${named.join(', ')}` : ''}`
}

const READS: ReadonlySet<RuleEffect> = new Set(['read', 'select', 'lock'])
const WRITES: ReadonlySet<RuleEffect> = new Set(['write', 'insert', 'update', 'delete', 'truncate'])

/** @param done null: a rule for everything, so also for what an INSERT reads */
function touchedBy(done: readonly RuleEffect[] | null, { reads, writes }: StatementEffect): readonly string[] {
  if (done?.every((each) => READS.has(each))) return reads
  if (done?.every((each) => WRITES.has(each))) return writes
  return [...new Set([...reads, ...writes])]
}

/** Whether a statement's name may be that of a table of the pattern: parts that one of them does not have may be any. */
export function matchesTable(pattern: string, name: string): boolean {
  const [patterns, parts] = [parseName(pattern)?.toReversed(), parseName(name)?.toReversed()]
  if (patterns === undefined || parts === undefined) return false
  return parts.every((part, i) => patterns[i] === undefined || matchesName(patterns[i], part))
}

/** Reasons that hide which tables are touched, and nothing else. */
const HIDE_TABLES: ReadonlySet<string> = new Set<UnknownWhy>(['cascade', 'all_tables', 'view'])
/** Reasons that `trust` can take away. */
const TRUSTED: ReadonlySet<string> = new Set<UnknownWhy>(['function', 'operator', 'type', 'call'])
/** Reasons that hide nothing here: a name without a schema may be any, and what is executed by name has been looked at where it got its name. */
const HIDE_NOTHING: ReadonlySet<string> = new Set<UnknownWhy>(['search_path', 'execute', 'cursor'])

function hiddenIn({ unknownWhy, calls = [] }: StatementEffect, trust: readonly string[]): UnknownWhy[] {
  if (unknownWhy.length === 0) return []
  const isTrusted = calls.length > 0 && calls.every((name) => isOf(name, trust))
  return unknownWhy.filter((why) => !HIDE_NOTHING.has(why) && !(isTrusted && TRUSTED.has(why)))
}

function sentence({ answer, outside, within }: PostgresRule, found: Applied): string {
  const when = outside !== null || within !== null ? ' at this time' : ''
  const subject =
    'does' in found ? `The statement does ${found.does}` : `It is not known what the statement does (${found.hidden})`
  if (answer === 'deny') return `${subject}, which is denied${when}.`
  return `${subject}, which needs a reason${when}: a comment /* reason: … */, or SET killick.reason.`
}
