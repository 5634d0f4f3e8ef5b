// Walks the tree of a statement. What nothing here knows is looked through all the same: a table's name counts as read and a function's
// name is checked wherever they stand.
import {
  BUILT_IN_OPERATOR_CLASSES,
  BUILT_IN_OPERATORS,
  BUILT_IN_TYPES,
  CATALOGS,
  HARMLESS_FUNCTIONS,
} from './builtins.ts'
import type { EffectDraft } from './effect-draft.ts'
import type { SqlTree } from './parser.ts'
import { parseName, printName, printOperator } from './table-names.ts'

/** Names that WITH gives, innermost first; a table's name without a schema may be one. */
export type Scope = { readonly name: string; readonly outer: Scope } | null

/** Looks through one kind of node. */
export type VisitNode = (node: SqlTree, scope: Scope, draft: EffectDraft) => void

/** What the kinds of nodes need beyond being looked through, by their names in the tree; statements.ts adds those of statements. */
export const VISITS: { [type: string]: VisitNode } = Object.create(null)

/** Looks through a node, a list, or anything else that a member may be. */
export function walk(value: unknown, scope: Scope, draft: EffectDraft): void {
  if (typeof value !== 'object' || value === null) return
  if (Array.isArray(value)) {
    for (const each of value) walk(each, scope, draft)
    return
  }
  const node = value as SqlTree
  // A table and a type are recognised by their members: in some places the tree has them without their kind.
  if (typeof node.relname === 'string') {
    reads(node, scope, draft)
    return
  }
  if (Array.isArray(node.names)) type(node, draft)
  for (const [name, child] of Object.entries(node)) {
    if (typeof child !== 'object' || child === null) continue
    const visit = VISITS[name]
    if (visit === undefined) walk(child, scope, draft)
    else visit(child as SqlTree, scope, draft)
  }
}

/** Looks through all members but some. */
export function walkRest(node: SqlTree, without: readonly string[], scope: Scope, draft: EffectDraft): void {
  walk(Object.fromEntries(Object.entries(node).filter(([name]) => !without.includes(name))), scope, draft)
}

/** @returns what strings a list of String nodes holds */
export const strings = (list: unknown): string[] =>
  Array.isArray(list)
    ? list.flatMap((each) => (typeof each?.String === 'object' ? [String(each.String.sval ?? '')] : []))
    : []

/** The parts of a table's name. */
export const partsOf = ({ catalogname, schemaname, relname }: SqlTree): string[] =>
  [catalogname, schemaname, relname].filter((part) => typeof part === 'string') as string[]

const aliasOf = (node: SqlTree): string | undefined => (node.alias as { aliasname?: string } | undefined)?.aliasname

/** A table that is read, or what WITH has named. */
function reads(node: SqlTree, scope: Scope, draft: EffectDraft): void {
  const parts = partsOf(node)
  if (parts.length === 1 && isNamedByWith(parts[0]!, scope)) draft.alias(aliasOf(node) ?? parts[0]!, null)
  else draft.reads.add(draft.table(parts, aliasOf(node)))
}

function isNamedByWith(name: string, scope: Scope): boolean {
  let each = scope
  while (each !== null && each.name !== name) each = each.outer
  return each !== null
}

/** A table that is changed: WITH cannot name it. */
export function writes(node: unknown, draft: EffectDraft): string | null {
  const table = node as SqlTree | undefined
  if (typeof table?.relname !== 'string') return null
  // Its rule sets what an UPDATE of a row names.
  if (table.relname === 'pg_settings' && (table.schemaname ?? 'pg_catalog') === 'pg_catalog') {
    draft.also.add('set')
    draft.unknown('function', 'set_config')
  }
  const name = draft.table(partsOf(table), aliasOf(table))
  draft.writes.add(name)
  return name
}

/** A table of which rows are changed. Those of a catalog are what is defined, who may do what, and what is set at the next login. */
export function changesRows(node: unknown, draft: EffectDraft): string | null {
  const { schemaname, relname } = (node ?? {}) as SqlTree
  if (CATALOGS.has(String(relname)) && /^(pg_catalog|information_schema)$/.test(String(schemaname ?? 'pg_catalog'))) {
    draft.kinds.add('ddl').add('grant')
    if (relname === 'pg_db_role_setting' || relname === 'pg_proc') draft.kinds.add('identity')
    draft.unknown('all_tables')
  }
  return writes(node, draft)
}

/** The scope inside a statement that has a WITH. Its parts are looked through. */
export function withClause(node: SqlTree, scope: Scope, draft: EffectDraft): Scope {
  const clause = node.withClause as { ctes?: { CommonTableExpr: SqlTree }[]; recursive?: boolean } | undefined
  const parts = (clause?.ctes ?? []).map((each) => each.CommonTableExpr)
  const add = (outer: Scope, part: SqlTree): Scope => ({ name: String(part.ctename), outer })
  let inner = clause?.recursive ? parts.reduce(add, scope) : scope
  for (const part of parts) {
    walk(part, inner, draft)
    if (!clause?.recursive) inner = add(inner, part)
  }
  return inner
}

/** Whether a condition names a column, or is one that a cursor answers. */
export function namesColumn(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  if ('ColumnRef' in value || 'CurrentOfExpr' in value) return true
  return Object.values(value).some(namesColumn)
}

/** @param names its parts @returns whether it is one of PostgreSQL's own that touches nothing */
function isHarmless(names: readonly string[], known: { has(name: string): boolean }): boolean {
  return (names.length === 1 || (names.length === 2 && names[0] === 'pg_catalog')) && known.has(names.at(-1)!)
}

function type(node: SqlTree, draft: EffectDraft): void {
  const names = strings(node.names)
  if (names.length === 1) draft.usesSearchPath = true
  if (names.length > 0 && !isHarmless(names, BUILT_IN_TYPES)) draft.unknown('type', printName(names))
}

/** Types with modifiers, as `mine(3)`: wherever one is named, a function of the type reads them. */
export function modifiers(value: unknown, draft: EffectDraft): void {
  if (typeof value !== 'object' || value === null) return
  const { names, typmods } = value as SqlTree
  if (Array.isArray(names) && typmods !== undefined) type(value as SqlTree, draft)
  for (const child of Object.values(value)) modifiers(child, draft)
}

function operator(list: unknown, draft: EffectDraft): void {
  named(list, draft, BUILT_IN_OPERATORS, printOperator)
}

function named(
  list: unknown,
  draft: EffectDraft,
  known: ReadonlySet<string>,
  print: (parts: readonly string[]) => string,
): void {
  const names = strings(list)
  if (names.length === 0) return
  if (names.length === 1) draft.usesSearchPath = true
  if (!isHarmless(names, known)) draft.unknown('operator', print(names))
}

/**
 * The text of a constant, through casts that leave it as it is: one to `varchar(4)`, `bpchar` or `bytea` makes another one of it.
 * @param last the type that the outermost one may have too
 */
export function constantOf(value: unknown, last = 'text'): string | null {
  const node = value as { A_Const?: { sval?: { sval?: string } }; TypeCast?: SqlTree } | undefined
  if (node?.TypeCast !== undefined) return isOfType(node.TypeCast, last) ? constantOf(node.TypeCast.arg) : null
  return node?.A_Const?.sval === undefined ? null : (node.A_Const.sval.sval ?? '')
}

/** Whether a cast is to a type of text without a length, or to this type of PostgreSQL's own. */
function isOfType({ typeName }: SqlTree, type: string): boolean {
  const { names, typmods, arrayBounds } = typeName as SqlTree
  return (
    typmods === undefined && arrayBounds === undefined && isHarmless(strings(names), new Set(['text', 'varchar', type]))
  )
}

/** Settings that one statement sets beside its first. */
const MAX_SETS = 10

const TRUE = /^\s*(?:t(?:r(?:ue?)?)?|y(?:es?)?|on|1)\s*$/i
const FALSE = /^\s*(?:f(?:a(?:l(?:se?)?)?)?|no?|off?|0)\s*$/i

/** Whether PostgreSQL takes a constant for true; null where that cannot be told. */
function truthOf(value: unknown): boolean | null {
  const node = value as { A_Const?: { boolval?: { boolval?: boolean }; isnull?: boolean }; TypeCast?: SqlTree }
  if (node?.TypeCast !== undefined) return isOfType(node.TypeCast, 'bool') ? truthOf(node.TypeCast.arg) : null
  if (node?.A_Const?.boolval !== undefined) return node.A_Const.boolval.boolval === true
  const text = constantOf(value) ?? ''
  if (TRUE.test(text)) return true
  return FALSE.test(text) || node?.A_Const?.isnull === true ? false : null
}

VISITS.FuncCall = (node, scope, draft) => {
  const names = strings(node.funcname)
  const args = node.args as unknown[] | undefined
  if (names.length === 1) draft.usesSearchPath = true
  const isOwn = names.length === 1 || (names.length === 2 && names[0] === 'pg_catalog')
  const own = isOwn ? names.at(-1)! : ''
  if (own === 'nextval' || own === 'setval') {
    const first = constantOf(args?.[0], 'regclass')
    // A text of digits is the number of a sequence, not its name.
    const sequence = first === null || /^[\s\d]*$/.test(first) ? null : parseName(first)
    if (sequence === null) draft.unknown('function', own)
    else draft.writes.add(draft.table(sequence))
  } else if (own === 'set_config') {
    draft.also.add('set')
    const name = constantOf(args?.[0])?.toLowerCase() ?? null
    const isLocal = truthOf(args?.[2])
    // What is not known to hold, nor for how long, is not said.
    const value = isLocal === null ? null : constantOf(args?.[1])
    const sets = { name: name ?? '', value, ...(isLocal && { isLocal }) }
    const { set, alsoSets = [] } = draft.own
    // These mean nothing to the server, whatever else it is told to set.
    if (set !== undefined && name?.startsWith('killick.') && alsoSets.length < MAX_SETS)
      draft.own = { ...draft.own, alsoSets: [...alsoSets, sets] }
    // Whose setting it is cannot be told, or there is another one already.
    else if (name === null || set !== undefined) draft.unknown('function', own)
    else {
      draft.own = { ...draft.own, set: sets }
      if (name === 'role' || name === 'session_authorization') draft.also.add('identity')
    }
  } else if (own === 'pg_notify') draft.also.add('notify')
  else {
    const since = isOwn ? HARMLESS_FUNCTIONS.get(own) : undefined
    if (since === undefined) draft.unknown('function', printName(names))
    else draft.sinceVersion = Math.max(draft.sinceVersion, since)
  }
  walkRest(node, ['funcname'], scope, draft)
}

/** What became part of the grammar in a version: an older server reads the same text as a call of somebody's function. */
const CALLS_BEFORE: { [type: string]: number } = {
  ...{ JsonObjectConstructor: 16, JsonArrayConstructor: 16, JsonArrayAgg: 16 },
  ...{ JsonParseExpr: 17, JsonScalarExpr: 17, JsonSerializeExpr: 17, JsonFuncExpr: 17, MergeSupportFunc: 17 },
}
for (const [type, version] of Object.entries(CALLS_BEFORE))
  VISITS[type] = (node, scope, draft) => {
    draft.sinceVersion = Math.max(draft.sinceVersion, version)
    walk(node, scope, draft)
  }

VISITS.A_Expr = (node, scope, draft) => {
  if (/^AEXPR_OP/.test(String(node.kind))) operator(node.name, draft)
  else draft.usesSearchPath = true
  walkRest(node, ['name'], scope, draft)
}

VISITS.SubLink = (node, scope, draft) => {
  operator(node.operName, draft)
  // The operator of IN is looked up as any other.
  if (node.subLinkType === 'ANY_SUBLINK') draft.usesSearchPath = true
  walkRest(node, ['operName'], scope, draft)
}

/** CASE with an operand compares it by the operator that is found as `=`. */
VISITS.CaseExpr = (node, scope, draft) => {
  if (node.arg !== undefined) draft.usesSearchPath = true
  walk(node, scope, draft)
}

/** USING and NATURAL compare so too. */
VISITS.JoinExpr = (node, scope, draft) => {
  if (node.usingClause !== undefined || node.isNatural === true) draft.usesSearchPath = true
  walk(node, scope, draft)
}

VISITS.SortBy = (node, scope, draft) => {
  operator(node.useOp, draft)
  walkRest(node, ['useOp'], scope, draft)
}

/** What an index or partitions are made by: rows that are there are compared at once. */
VISITS.IndexElem = (node, scope, draft) => {
  named(node.opclass, draft, BUILT_IN_OPERATOR_CLASSES, printName)
  walkRest(node, ['opclass'], scope, draft)
}
VISITS.PartitionElem = VISITS.IndexElem

VISITS.exclusions = (node, scope, draft) => {
  for (const { List } of node as unknown as { List: { items: SqlTree[] } }[]) {
    walk(List.items[0], scope, draft)
    operator((List.items[1]?.List as SqlTree | undefined)?.items, draft)
  }
}

VISITS.RangeTableSample = (node, scope, draft) => {
  const names = strings(node.method)
  if (!isHarmless(names, new Set(['bernoulli', 'system']))) draft.unknown('function', printName(names))
  walkRest(node, ['method'], scope, draft)
}

/** Rows are made of these types where they stand behind a function, or behind one of several in ROWS FROM. */
VISITS.RangeFunction = (node, scope, draft) => {
  const several = ((node.functions ?? []) as { List?: { items?: { List?: { items?: unknown } }[] } }[]).flatMap(
    ({ List }) => List?.items?.[1]?.List?.items ?? [],
  )
  for (const { ColumnDef } of [...((node.coldeflist ?? []) as SqlTree[]), ...(several as SqlTree[])])
    walk(ColumnDef, scope, draft)
  walkRest(node, ['coldeflist'], scope, draft)
}

VISITS.ColumnRef = (node, _scope, draft) => {
  const parts = (node.fields as SqlTree[]).flatMap((field) => ('A_Star' in field ? ['*'] : strings([field])))
  if (parts.length > 0) draft.column(parts)
}

/** The names there are aliases of tables that stand in FROM. */
VISITS.LockingClause = () => {}

VISITS.SelectStmt = select
VISITS.larg = select
VISITS.rarg = select

function select(node: SqlTree, scope: Scope, draft: EffectDraft): void {
  const inner = withClause(node, scope, draft)
  const into = node.intoClause as SqlTree | undefined
  if (into !== undefined) {
    draft.kinds.add('ddl')
    writes(into.rel, draft)
  }
  walkRest(node, ['withClause', 'intoClause'], inner, draft)
}
