// What each kind of statement does.
import type { StatementKind, TransactionStep, UnknownWhy } from './effect.ts'
import { EffectDraft } from './effect-draft.ts'
import type { SqlTree } from './parser.ts'
import { printName } from './table-names.ts'
import {
  changesRows,
  constantOf,
  modifiers,
  namesColumn,
  type Scope,
  strings,
  VISITS,
  type VisitNode,
  walk,
  walkRest,
  withClause,
  writes,
} from './walk.ts'

/** Looks through a whole statement. @param tree its kind and its node */
export function statement(tree: SqlTree, scope: Scope, draft: EffectDraft): void {
  const [type = ''] = Object.keys(tree)
  if (VISITS[type] === undefined) {
    // What begins so defines something, in every version so far; tables in it count as changed by nobody and read.
    const isDefinition = /^(Create|Alter|Drop|Define|Composite)/.test(type)
    draft.kinds.add(isDefinition ? 'ddl' : 'other')
    if (!isDefinition) draft.unknown('other')
  }
  walk(tree, scope, draft)
  if (type === 'SelectStmt') draft.kinds.add('select')
}

const inner = (value: unknown, scope: Scope, draft: EffectDraft): void => {
  if (typeof value === 'object' && value !== null) statement(value as SqlTree, scope, draft)
}

const list = (value: unknown): SqlTree[] => (Array.isArray(value) ? value : [])

// Rows.

VISITS.InsertStmt = (node, scope, draft) => {
  draft.kinds.add('insert')
  const inside = withClause(node, scope, draft)
  const table = changesRows(node.relation, draft)
  const conflict = node.onConflictClause as SqlTree | undefined
  if (conflict?.action === 'ONCONFLICT_UPDATE') draft.kinds.add('update')
  if (table !== null && (conflict !== undefined || node.returningClause !== undefined)) draft.reads.add(table)
  targets(node.cols, draft)
  targets(conflict?.targetList, draft)
  if (conflict !== undefined) draft.alias('excluded', table)
  walkRest(node, ['withClause', 'relation'], inside, draft)
}

VISITS.UpdateStmt = (node, scope, draft) => {
  draft.kinds.add('update')
  targets(node.targetList, draft)
  changed(node, scope, draft)
}

VISITS.DeleteStmt = (node, scope, draft) => {
  draft.kinds.add('delete')
  changed(node, scope, draft)
}

function changed(node: SqlTree, scope: Scope, draft: EffectDraft): void {
  const inside = withClause(node, scope, draft)
  const table = changesRows(node.relation, draft)
  if (table !== null) draft.reads.add(table)
  if (table !== null && !namesColumn(node.whereClause)) draft.withoutWhere.add(table)
  walkRest(node, ['withClause', 'relation'], inside, draft)
}

VISITS.MergeStmt = (node, scope, draft) => {
  draft.kinds.add('merge')
  const inside = withClause(node, scope, draft)
  const table = changesRows(node.relation, draft)
  if (table !== null) draft.reads.add(table)
  for (const { MergeWhenClause: clause } of list(node.mergeWhenClauses) as { MergeWhenClause: SqlTree }[]) {
    const kind = MERGES[String(clause.commandType)]
    if (kind !== undefined) draft.kinds.add(kind)
    targets(clause.targetList, draft)
    // Rows that match nothing are those for which what is joined on does not hold.
    const isJoined = clause.matchKind !== 'MERGE_WHEN_NOT_MATCHED_BY_SOURCE' && namesColumn(node.joinCondition)
    const isForAll = kind !== 'insert' && !isJoined && !namesColumn(clause.condition)
    if (table !== null && kind !== undefined && isForAll) draft.withoutWhere.add(table)
  }
  walkRest(node, ['withClause', 'relation'], inside, draft)
}

const MERGES: { [command: string]: StatementKind } = {
  CMD_INSERT: 'insert',
  CMD_UPDATE: 'update',
  CMD_DELETE: 'delete',
}

/** Columns that are set. */
function targets(value: unknown, draft: EffectDraft): void {
  for (const { ResTarget: target } of list(value) as { ResTarget?: SqlTree }[])
    if (typeof target?.name === 'string') draft.column([target.name])
}

VISITS.TruncateStmt = (node, _scope, draft) => {
  draft.kinds.add('truncate')
  tables(node.relations, draft)
  cascade(node, draft)
}

VISITS.CopyStmt = (node, scope, draft) => {
  draft.kinds.add('copy')
  if (node.is_program === true) draft.unknown('program')
  else if (typeof node.filename === 'string') draft.unknown('file')
  if (node.query !== undefined) inner(node.query, scope, draft)
  else if (node.is_from === true) {
    draft.kinds.add('insert')
    changesRows(node.relation, draft)
  } else {
    draft.kinds.add('select')
    walk(node.relation, scope, draft)
  }
  for (const column of strings(node.attlist)) draft.column([column])
  walk(node.whereClause, scope, draft)
}

function tables(value: unknown, draft: EffectDraft): void {
  for (const { RangeVar } of list(value)) writes(RangeVar, draft)
}

function cascade(node: SqlTree, draft: EffectDraft): void {
  if (node.behavior === 'DROP_CASCADE') draft.unknown('cascade')
}

// Statements about statements.

VISITS.ExplainStmt = (node, scope, draft) => {
  if (isAnalyze(node.options)) {
    inner(node.query, scope, draft)
    draft.kinds.add('explain')
    return
  }
  draft.kinds.add('explain')
  const planned = new EffectDraft()
  inner(node.query, scope, planned)
  draft.takeAsRead(planned)
}

/** If any of its options may mean it, it is. */
const isAnalyze = (options: unknown): boolean =>
  list(options).some(({ DefElem }) => {
    const { defname, arg } = DefElem as {
      defname?: string
      arg?: { String?: { sval?: string }; Integer?: { ival?: number } }
    }
    if (defname !== 'analyze') return false
    if (arg?.Integer !== undefined) return (arg.Integer.ival ?? 0) !== 0
    return !/^(false|off|0)$/i.test(arg?.String?.sval ?? 'true')
  })

VISITS.PrepareStmt = (node, scope, draft) => {
  draft.kinds.add('prepare')
  const prepared = new EffectDraft()
  inner(node.query, scope, prepared)
  inner(node.query, scope, draft)
  walk(node.argtypes, scope, draft)
  draft.own = { prepares: String(node.name ?? ''), prepared: prepared.effect() }
}

VISITS.ExecuteStmt = (node, scope, draft) => {
  draft.kinds.add('execute')
  draft.unknown('execute')
  walk(node.params, scope, draft)
  draft.own = { ...draft.own, executes: String(node.name ?? '') }
}

VISITS.DeallocateStmt = (node, _scope, draft) => {
  draft.kinds.add('deallocate')
  draft.own = { deallocates: typeof node.name === 'string' ? node.name : null }
}

VISITS.DeclareCursorStmt = (node, scope, draft) => {
  draft.kinds.add('cursor')
  inner(node.query, scope, draft)
}

VISITS.FetchStmt = (_node, _scope, draft) => {
  draft.kinds.add('cursor')
  draft.unknown('cursor')
}

VISITS.DoStmt = (_node, _scope, draft) => {
  draft.kinds.add('do')
  draft.unknown('do_block')
}

VISITS.CallStmt = (node, scope, draft) => {
  draft.kinds.add('call')
  const { funcname, args } = node.funccall as SqlTree
  draft.unknown('call', printName(strings(funcname)))
  draft.usesSearchPath = true
  walk(args, scope, draft)
}

// The session.

const STEPS: { [kind: string]: TransactionStep } = {
  BEGIN: 'begin',
  START: 'begin',
  COMMIT: 'commit',
  ROLLBACK: 'rollback',
  SAVEPOINT: 'savepoint',
  RELEASE: 'release',
  ROLLBACK_TO: 'rollback_to',
  PREPARE: 'prepare',
  COMMIT_PREPARED: 'commit_prepared',
  ROLLBACK_PREPARED: 'rollback_prepared',
}

VISITS.TransactionStmt = (node, _scope, draft) => {
  draft.kinds.add('transaction')
  const transaction = STEPS[String(node.kind).replace('TRANS_STMT_', '')]
  if (transaction === undefined) draft.unknown('other')
  else draft.own = { transaction, ...(typeof node.savepoint_name === 'string' && { savepoint: node.savepoint_name }) }
}

VISITS.VariableSetStmt = (node, _scope, draft) => {
  const name = node.kind === 'VAR_RESET_ALL' ? 'all' : String(node.name ?? '').toLowerCase()
  draft.kinds.add(isIdentity(name) ? 'identity' : 'set')
  const isValue = node.kind === 'VAR_SET_VALUE'
  const value = isValue ? list(node.args).map(settingOf) : [null]
  draft.own = {
    ...draft.own,
    set: {
      name,
      value: value.includes(null) ? null : value.join(', '),
      ...(node.is_local === true && { isLocal: true }),
    },
  }
}

const isIdentity = (setting: string): boolean => setting === 'role' || setting === 'session_authorization'

/** What a role or a database sets holds from the next login on: then a role is taken on by it. */
VISITS.setstmt = (node, _scope, draft) => {
  if (isIdentity(String(node.name ?? '').toLowerCase())) draft.also.add('identity')
}

/** What a function sets holds while it runs. */
VISITS.DefElem = (node, scope, draft) => {
  const { VariableSetStmt: setting } = (node.arg ?? {}) as { VariableSetStmt?: SqlTree }
  if (setting === undefined) walk(node, scope, draft)
  else VISITS.setstmt!(setting, scope, draft)
}

/** The value of a setting as SHOW prints it, nearly. */
function settingOf(value: unknown): string | null {
  const text = constantOf(value)
  if (text !== null) return text
  const constant = (value as { A_Const?: SqlTree }).A_Const
  const { ival, fval, boolval } = (constant ?? {}) as {
    ival?: { ival?: number }
    fval?: { fval?: string }
    boolval?: { boolval?: boolean }
  }
  if (ival !== undefined) return `${ival.ival ?? 0}`
  if (fval !== undefined) return fval.fval ?? null
  return boolval === undefined ? null : boolval.boolval ? 'on' : 'off'
}

VISITS.ConstraintsSetStmt = only('set')
VISITS.VariableShowStmt = only('show')
VISITS.ListenStmt = only('listen')
VISITS.UnlistenStmt = only('listen')
VISITS.NotifyStmt = only('notify')
VISITS.ClosePortalStmt = only('cursor')
VISITS.DiscardStmt = (node, _scope, draft) => {
  draft.kinds.add('discard')
  if (node.target === 'DISCARD_ALL') draft.own = { discardsAll: true }
}

/** A statement whose node names no table. */
function only(kind: StatementKind, why?: UnknownWhy): VisitNode {
  return (_node, _scope, draft) => {
    draft.kinds.add(kind)
    if (why !== undefined) draft.unknown(why)
  }
}

// The server, and upkeep.

VISITS.AlterSystemStmt = (node, scope, draft) => {
  draft.kinds.add('system')
  VISITS.VariableSetStmt!(node.setstmt as SqlTree, scope, draft)
}
VISITS.LoadStmt = only('system', 'program')
VISITS.CheckPointStmt = only('system')

VISITS.LockStmt = (node, scope, draft) => {
  draft.kinds.add('lock')
  walk(node.relations, scope, draft)
}

VISITS.VacuumStmt = upkeep
VISITS.ClusterStmt = upkeep
VISITS.ReindexStmt = upkeep

function upkeep(node: SqlTree, _scope: Scope, draft: EffectDraft): void {
  draft.kinds.add('maintenance')
  const relations = [node, ...list(node.rels).map((each) => each.VacuumRelation as SqlTree)].map(
    (each) => each.relation,
  )
  const named = relations.map((each) => writes(each, draft)).filter((name) => name !== null)
  if (named.length === 0) draft.unknown('all_tables')
}

VISITS.RefreshMatViewStmt = (node, _scope, draft) => {
  draft.kinds.add('maintenance')
  writes(node.relation, draft)
  draft.unknown('view')
}

// Definitions. What is named `relation` there, or as `tables` says, is changed by them; every other table is read.

function definition(changes: readonly string[] = ['relation'], ...kinds: StatementKind[]): VisitNode {
  return (node, scope, draft) => {
    for (const kind of ['ddl' as const, ...kinds]) draft.kinds.add(kind)
    for (const name of changes) writes(node[name], draft)
    cascade(node, draft)
    const { own } = draft
    walkRest(node, changes, scope, draft)
    // What it defines sets nothing yet.
    draft.own = own
  }
}

VISITS.IndexStmt = definition()
VISITS.ViewStmt = definition(['view'])
VISITS.RuleStmt = definition()
/** A schema takes all its tables to another name. */
VISITS.RenameStmt = (node, scope, draft) => {
  if (node.renameType === 'OBJECT_SCHEMA') draft.unknown('all_tables')
  definition()(node, scope, draft)
}
VISITS.CreateTrigStmt = definition(['relation', 'constrrel'])
VISITS.CreatePolicyStmt = definition(['table'])
VISITS.AlterPolicyStmt = definition(['table'])
VISITS.CreateSeqStmt = definition(['sequence'])
VISITS.AlterSeqStmt = definition(['sequence'])
VISITS.AlterObjectSchemaStmt = definition()
VISITS.AlterObjectDependsStmt = definition()
VISITS.AlterOwnerStmt = definition(['relation'], 'grant')

VISITS.CreateStmt = (node, scope, draft) => {
  draft.kinds.add('ddl')
  writes(node.relation, draft)
  tables(node.inhRelations, draft)
  walkRest(node, ['relation', 'inhRelations', 'ofTypename'], scope, draft)
}

/** The table that a foreign key refers to gets triggers. */
VISITS.Constraint = (node, scope, draft) => {
  writes(node.pktable, draft)
  walkRest(node, ['pktable'], scope, draft)
}

/** What a column's type does is done when a row is written, not when the column is defined, but for its modifiers. */
VISITS.ColumnDef = (node, scope, draft) => {
  modifiers(node.typeName, draft)
  walkRest(node, ['typeName'], scope, draft)
}

VISITS.CreateForeignTableStmt = (node, scope, draft) => {
  VISITS.CreateStmt!(node.base as SqlTree, scope, draft)
}

VISITS.CreateTableAsStmt = (node, scope, draft) => {
  draft.kinds.add('ddl')
  writes((node.into as SqlTree | undefined)?.rel, draft)
  inner(node.query, scope, draft)
  draft.kinds.delete('select')
}

VISITS.AlterTableStmt = (node, scope, draft) => {
  draft.kinds.add('ddl')
  writes(node.relation, draft)
  for (const { AlterTableCmd: command } of list(node.cmds) as { AlterTableCmd: SqlTree }[]) {
    if (command.subtype === 'AT_ChangeOwner') draft.kinds.add('grant')
    const defined = command.def as { ColumnDef?: SqlTree; RangeVar?: SqlTree } | undefined
    // Rows are converted, or filled, with what the type does.
    if (/^AT_(AddColumn|AlterColumnType)$/.test(String(command.subtype))) walk(defined?.ColumnDef, scope, draft)
    // The parent of a table that inherits.
    if (/Inherit$/.test(String(command.subtype))) writes(defined?.RangeVar, draft)
    cascade(command, draft)
  }
  walk(node.cmds, scope, draft)
}

VISITS.PartitionCmd = (node, scope, draft) => {
  writes(node.name, draft)
  walk(node.bound, scope, draft)
}

/** What is sent to subscribers is a property of the table. */
VISITS.pubtable = (node, scope, draft) => {
  writes(node.relation, draft)
  walkRest(node, ['relation'], scope, draft)
}

/** Definitions that concern all tables of something. */
function ofAllTables(isOfAll: (node: SqlTree) => boolean = () => true): VisitNode {
  return (node, scope, draft) => {
    if (isOfAll(node)) draft.unknown('all_tables')
    definition([])(node, scope, draft)
  }
}

VISITS.AlterTableMoveAllStmt = ofAllTables()
VISITS.DropdbStmt = ofAllTables()
/** Of a template that is named, all tables are copied. */
VISITS.CreatedbStmt = ofAllTables(({ options }) => list(options).some(({ DefElem }) => isOption(DefElem, 'template')))
VISITS.CreatePublicationStmt = ofAllTables((node) => node.for_all_tables === true || hasSchemas(node))
VISITS.AlterPublicationStmt = ofAllTables((node) => node.for_all_tables === true || hasSchemas(node))

const isOption = (option: unknown, name: string): boolean => (option as SqlTree | undefined)?.defname === name

/** Whether a publication names schemas, whose tables it does not name. */
const hasSchemas = ({ pubobjects }: SqlTree): boolean =>
  list(pubobjects).some(({ PublicationObjSpec }) =>
    /^PUBLICATIONOBJ_TABLES_IN/.test(String((PublicationObjSpec as SqlTree | undefined)?.pubobjtype)),
  )

/** The validator of a foreign data wrapper is called at once, whatever its options are. */
VISITS.CreateFdwStmt = (node, scope, draft) => {
  for (const { DefElem } of list(node.func_options)) {
    const { items } = ((DefElem as SqlTree).arg as { List?: SqlTree } | undefined)?.List ?? {}
    if (isOption(DefElem, 'validator') && items !== undefined) draft.unknown('function', printName(strings(items)))
  }
  definition([])(node, scope, draft)
}
VISITS.AlterFdwStmt = VISITS.CreateFdwStmt

VISITS.CreateSchemaStmt = (node, scope, draft) => {
  draft.kinds.add('ddl')
  for (const each of list(node.schemaElts)) inner(each, scope, draft)
}

/** Those whose validators only look. Others may be anybody's; and that of PL/Perl compiles the text, whose BEGIN blocks run. */
const LANGUAGES = new Set(['internal', 'sql', 'plpgsql'])

/** A body that is a text is executed by whoever calls it; one that is SQL counts as done, as a view's query does. */
VISITS.CreateFunctionStmt = (node, scope, draft) => {
  draft.kinds.add('ddl')
  // The server loads the library of one in C to see whether it is there.
  const language = list(node.options).find(({ DefElem }) => isOption(DefElem, 'language'))?.DefElem as
    | SqlTree
    | undefined
  const named = (language?.arg as { String?: { sval?: string } } | undefined)?.String?.sval
  if (named?.toLowerCase() === 'c') draft.unknown('program')
  else if (named !== undefined && !LANGUAGES.has(named)) draft.unknown('function', printName([named]))
  modifiers([node.parameters, node.returnType], draft)
  const { own } = draft
  walk(node.sql_body, scope, draft)
  draft.own = own
  walk(
    list(node.options).filter(({ DefElem }) => isOption(DefElem, 'set')),
    scope,
    draft,
  )
}

/** Kinds of objects whose name is a table's. */
const RELATIONS = new Set(
  ['TABLE', 'VIEW', 'MATVIEW', 'FOREIGN_TABLE', 'SEQUENCE', 'INDEX'].map((name) => `OBJECT_${name}`),
)
/** Kinds whose name begins with a table's. */
const PARTS = new Set(['COLUMN', 'TRIGGER', 'RULE', 'POLICY', 'TABCONSTRAINT'].map((name) => `OBJECT_${name}`))

/** An object that is named by a list of strings. */
function object(kind: unknown, named: unknown, draft: EffectDraft): void {
  modifiers(named, draft)
  const items = (named as { List?: { items?: unknown } } | undefined)?.List?.items
  const parts = strings(items)
  const table = RELATIONS.has(String(kind)) ? parts : PARTS.has(String(kind)) ? parts.slice(0, -1) : []
  if (table.length > 0) draft.writes.add(draft.table(table))
}

VISITS.DropStmt = (node, _scope, draft) => {
  draft.kinds.add('ddl')
  for (const each of list(node.objects)) object(node.removeType, each, draft)
  cascade(node, draft)
}

VISITS.CommentStmt = (node, _scope, draft) => {
  draft.kinds.add('ddl')
  object(node.objtype, node.object, draft)
}

VISITS.SecLabelStmt = (node, _scope, draft) => {
  for (const kind of ['ddl', 'grant'] as const) draft.kinds.add(kind)
  object(node.objtype, node.object, draft)
}

// Privileges.

VISITS.GrantStmt = (node, _scope, draft) => {
  draft.kinds.add('grant')
  const isOfTables = node.objtype === 'OBJECT_TABLE' || node.objtype === 'OBJECT_SEQUENCE'
  if (node.targtype !== 'ACL_TARGET_OBJECT' && isOfTables) draft.unknown('all_tables')
  tables(node.objects, draft)
  modifiers(node.objects, draft)
  cascade(node, draft)
  for (const { AccessPriv } of list(node.privileges))
    for (const column of strings((AccessPriv as SqlTree).cols)) draft.column([column])
}

VISITS.GrantRoleStmt = only('grant')
VISITS.AlterDefaultPrivilegesStmt = only('grant')
for (const type of ['CreateRoleStmt', 'AlterRoleStmt', 'AlterRoleSetStmt', 'DropRoleStmt'])
  VISITS[type] = definition([], 'grant')
VISITS.ReassignOwnedStmt = (node, scope, draft) => {
  draft.kinds.add('grant')
  draft.unknown('all_tables')
  walk(node, scope, draft)
}
VISITS.DropOwnedStmt = (node, scope, draft) => {
  for (const kind of ['ddl', 'grant'] as const) draft.kinds.add(kind)
  draft.unknown('all_tables')
  walk(node, scope, draft)
}

// What brings in things from elsewhere.

VISITS.CreateExtensionStmt = only('ddl', 'extension')
VISITS.AlterExtensionStmt = only('ddl', 'extension')
for (const type of ['ImportForeignSchema', 'CreateSubscription', 'AlterSubscription', 'DropSubscription'])
  VISITS[`${type}Stmt`] = only('ddl', 'server')
