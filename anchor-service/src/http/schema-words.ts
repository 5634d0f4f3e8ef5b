/** What is wrong with a request, in words, from what its schema says is wrong. */
import type { FastifyError } from 'fastify'

/** One that the compiler of schemas tells. */
type Fault = NonNullable<FastifyError['validation']>[number]

/** Most faults that are told of one request, names in one of them, and characters of a name. */
const MOST = 3
const MAX_NAME = 64

const PARTS: Readonly<Record<string, string>> = {
  querystring: 'query',
  params: 'path',
  body: 'body',
  headers: 'headers',
}

const TYPES: Readonly<Record<string, string>> = {
  ...{ integer: 'an integer', number: 'a number', string: 'text', boolean: 'true or false' },
  ...{ object: 'an object', array: 'a list', null: 'null' },
}

const FORMATS: Readonly<Record<string, string>> = {
  'date-time': 'a time as RFC 3339 has it, such as 2026-01-31T12:00:00Z',
  uuid: 'a UUID in lower case',
}

/**
 * The error of a request that does not fit.
 * @param faults as the compiler of schemas tells them: of values of several possible forms, what is wrong with each form
 * @param part of the request: `querystring`, `params`, `body` or `headers`
 */
export function schemaError(faults: readonly Fault[], part: string): Error {
  const where = PARTS[part] ?? part
  const told = new Set<string>()
  const forms = faults.filter(({ keyword }) => keyword === 'anyOf').map(({ schemaPath }) => `${schemaPath}/anyOf/`)
  const isOfForm = ({ schemaPath }: Fault) => forms.find((form) => schemaPath.startsWith(form))
  for (const fault of faults) {
    const unknown = fault.params.additionalProperties
    if (fault.keyword === 'anyOf' && isOfForm(fault) === undefined) {
      const form = `${fault.schemaPath}/anyOf/`
      const alternatives = faults.filter(({ schemaPath }) => schemaPath.startsWith(form))
      told.add(`${placeOf(fault, where)} must be ${anyOf(alternatives, fault.instancePath)}`)
    } else if (isOfForm(fault) !== undefined || fault.keyword === 'boolean') continue
    else if (Array.isArray(unknown)) told.add(`${placeOf(fault, where)} takes no ${few(unknown.map(quoted), ', no ')}`)
    else told.add(`${placeOf(fault, where)} ${lacks(fault) ?? `must be ${wanted(fault)}`}`)
  }
  return new Error(`${few([...told], '; ')}.`)
}

function few(list: readonly string[], between: string): string {
  const more = list.length > MOST ? `, and ${list.length - MOST} more` : ''
  return list.slice(0, MOST).join(between) + more
}

/** A name of the caller's own, which may be as long as a request. */
const quoted = (name: unknown): string => {
  const text = String(name)
  return `\`${text.length > MAX_NAME ? `${text.slice(0, MAX_NAME)}…` : text}\``
}

/** "`limit` of the query" */
function placeOf({ instancePath }: Fault, where: string): string {
  const name = instancePath.slice(1)
  return name === '' ? `The ${where}` : `\`${name}\` of the ${where}`
}

function lacks({ params }: Fault): string | null {
  const names = params.requiredProperties
  return Array.isArray(names) ? `lacks ${names.map((name) => `\`${name}\``).join(' and ')}` : null
}

/** What each form wants, where a value could have several; of those in which only a part is wrong, what is wrong there. */
function anyOf(faults: readonly Fault[], at: string): string {
  const constants = faults.filter(({ keyword, instancePath }) => keyword === 'const' && instancePath === at)
  const names = constants.map(({ params }) => `\`${params.allowedValue}\``)
  const others = faults
    .filter(({ keyword }) => !['const', 'anyOf', 'boolean', 'additionalProperties'].includes(keyword))
    // Of a constant its type is told by its value.
    .filter(({ schemaPath }) => !constants.some((constant) => constant.schemaPath === schemaPath))
    .map((fault) => {
      const name = fault.instancePath.slice(1)
      if (fault.instancePath === at) return lacks(fault) === null ? wanted(fault) : 'one that has all it needs'
      return `one whose \`${name}\` ${lacks(fault) ?? `is ${wanted(fault)}`}`
    })
  const one = names.length > 1 ? `one of ${names.join(', ')}` : names.join()
  return [...new Set([one, ...others])].filter(Boolean).join(' or ')
}

function wanted({ keyword, params, message }: Fault): string {
  const limit = Number(params.limit).toLocaleString('en')
  switch (keyword) {
    case 'type':
      return TYPES[String(params.type)] ?? String(params.type)
    case 'minimum':
      return `at least ${limit}`
    case 'maximum':
      return `at most ${limit}`
    case 'const':
      return `\`${params.allowedValue}\``
    case 'format':
      return FORMATS[String(params.format)] ?? `of the form ${params.format}`
    case 'pattern':
      return `of the form ${params.pattern}`
    case 'minLength':
      return params.limit === 1 ? 'a text that is not empty' : `a text of at least ${limit} characters`
    case 'maxLength':
      return `a text of at most ${limit} characters`
    case 'minItems':
      return params.limit === 1 ? 'a list that is not empty' : `a list of at least ${limit}`
    case 'maxItems':
      return `a list of at most ${limit}`
    case 'uniqueItems':
      return 'a list in which nothing comes twice'
    default:
      return `another one: it ${message ?? 'does not fit'}`
  }
}
