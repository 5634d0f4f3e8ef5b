/** What a database is asked. */
import { isObject, type JsonObject, type JsonValue } from '../../../core/json.ts'
import { member, said, shown, type Teller, type ToldStep, targetOf } from '../parts.ts'
import { mayBeHidden } from '../step.ts'

/** The statement; of one that is too long its beginning. */
const statementOf: Teller = (event, { role, known: { function: oid } }) => {
  const { statement } = event.fields
  const denied: ToldStep = role === 'denial' ? ['asked, and was not let: '] : []
  if (typeof statement === 'string') return [...denied, said(statement)]
  const [begin, bytes] = [member(statement, 'begin'), member(statement, 'bytes')]
  if (typeof begin === 'string' && typeof bytes === 'number')
    return [...denied, 'a statement of ', `${bytes.toLocaleString('en')} bytes: `, said(begin)]
  if (oid !== undefined) return [...denied, 'calls the function ', shown(oid)]
  return [...denied, mayBeHidden('statement', event) ? 'a statement that is not shown' : 'a statement without a text']
}

/** What is not executed. */
const stepOf = ({ role, known: { step } }: Parameters<Teller>[1]): ToldStep => {
  const does = role === 'denial' ? undefined : STEPS[String(step)]
  return does === undefined ? [] : [does, ' only: ']
}

const STEPS: Readonly<Record<string, string>> = { parse: 'prepares', bind: 'binds', describe: 'describes' }

const parametersOf = (parameters: JsonValue | undefined): ToldStep =>
  Array.isArray(parameters) && parameters.length > 0 ? [' with ', shown(parameters)] : []

const resultOf = ({ tag, rows, transaction }: JsonObject): ToldStep => [
  ...(typeof tag === 'string' ? [said(tag)] : ['done']),
  ...(typeof rows === 'number' ? [`, ${rows.toLocaleString('en')} ${rows === 1 ? 'row' : 'rows'}`] : []),
  ...undoneOf(transaction, ', '),
]

/** That a statement was executed is not that it was committed. */
const undoneOf = (transaction: JsonValue | undefined, before: string): ToldStep => {
  const state = UNDONE[String(member(transaction, 'state'))]
  return state === undefined ? [] : [before, state]
}

const UNDONE: Readonly<Record<string, string>> = {
  rolled_back: 'rolled back',
  prepared: 'prepared to be committed',
  unknown: 'perhaps committed',
}

const answer: Teller = ({ fields: { error } }, { known }) => {
  const message = member(error, 'message')
  if (typeof message === 'string')
    return [
      ...['error ', ...(typeof known.sqlstate === 'string' ? [said(known.sqlstate), ' '] : []), said(message)],
      ...keptOf(known),
    ]
  const { outcomes, results } = known
  const list = [outcomes, results].find((each) => Array.isArray(each))
  if (!Array.isArray(list)) return known.tag === undefined && known.rows === undefined ? ['answer'] : resultOf(known)
  return resultsOf(list)
}

const resultsOf = (list: readonly JsonValue[]): ToldStep => [
  ...list.slice(0, 3).flatMap((each, i): ToldStep => [i === 0 ? '' : '; ', ...resultOf(isObject(each) ? each : {})]),
  ...(list.length > 3 ? [` and ${list.length - 3} more`] : []),
]

/** What is not undone of a text that has failed: what a COMMIT in it ended, or what may have committed by itself. */
function keptOf({ results, transaction }: JsonObject): ToldStep {
  const kept = Array.isArray(results) ? results.filter((each) => KEPT.has(stateOf(each))) : []
  return [
    ...(kept.length > 0 ? ['; before it, and not undone: ', ...resultsOf(kept)] : []),
    ...(stateOf({ transaction: transaction ?? null }) === 'unknown' ? [', perhaps committed in part'] : []),
  ]
}

const KEPT: ReadonlySet<string> = new Set(['committed', 'prepared', 'unknown'])
const stateOf = (result: JsonValue): string => String(member(member(result, 'transaction'), 'state'))

/** In observe mode: each text once, and how many statements they were. */
const observed: Teller = ({ fields: { statement } }, { known: { statements } }) => {
  const texts = Array.isArray(statement) ? statement : []
  const count = Array.isArray(statements) ? statements.length : texts.length
  return [
    ...(texts.length === 0 ? ['statements that are not shown'] : []),
    ...texts.slice(0, 3).flatMap((text, i): ToldStep => [i === 0 ? '' : '; ', shown(text)]),
    ...(texts.length > 3 ? [` and ${texts.length - 3} more`] : []),
    ...(count > 1 ? [` (${count} statements)`] : []),
  ]
}

export const POSTGRES: Readonly<Record<string, Teller>> = {
  'postgres.session.start': (event, { known: { authentication } }) => [
    'connects to ',
    targetOf(event, 'database'),
    ...(typeof authentication === 'string' ? [', by ', said(authentication)] : []),
  ],
  'postgres.session.end': (_, { known: { by, transaction } }) => [
    'the session ends',
    ...(typeof by === 'string' ? [', by ', said(by)] : []),
    ...undoneOf(transaction, ', what was open in it is '),
  ],
  'postgres.session.refused': (event) => ['is not let in to ', targetOf(event, 'database')],
  'postgres.statement': (event, step) => [
    ...stepOf(step),
    ...statementOf(event, step),
    ...parametersOf(event.fields.parameters),
    ...(step.known.isFullyKnown === false ? [' (its effect is not fully known)'] : []),
  ],
  'postgres.statement.result': answer,
  'postgres.statements': observed,
  'postgres.function': (event, step) => [...statementOf(event, step), ...parametersOf(event.fields.parameters)],
  'postgres.function.result': answer,
  'postgres.cancel': () => ['asks to cancel what is under way'],
}
