// What readers get of a catalogue: a page, and JSON Schema for tools.
import { type ActionRule, type ActionRules, KIT_MEMBERS } from '../core/catalogue.ts'
import { isObject, type JsonObject, type JsonValue } from '../core/json.ts'
import { checkMetadataSchema } from '../core/metadata-schema.ts'

const code = (text: string): string => `\`${text.replaceAll('`', 'ˋ').replaceAll('|', '\\|')}\``

/** Text of a catalogue in a cell or a paragraph: what would end either is taken out of it. */
const prose = (text: string): string =>
  text
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/[|<>[\]*_`\\]/g, (sign) => `\\${sign}`)
    .trim()

/**
 * A page in Markdown: what each action means, and what its events have.
 * @param version null: the catalogue has no version
 */
export function markdownOf(rules: ActionRules, version: string | null): string {
  const entries = Object.entries(rules)
  const many = entries.length === 1 ? '1 action' : `${entries.length} actions`
  const head = ['# Actions', '', `${many}${version === null ? '' : `, version ${code(version)}`}.`, '']
  const table = [
    '| action | targets | severity |',
    '|---|---|---|',
    ...entries.map(([name, rule]) => rowOf(name, rule)),
  ]
  return `${[...head, ...table, ...entries.flatMap(([name, rule]) => sectionOf(name, rule))].join('\n')}\n`
}

const targetsOf = ({ targets }: ActionRule): string => {
  if (targets === null) return 'any'
  return targets.length === 0 ? 'none' : targets.map(code).join(', ')
}

const rowOf = (name: string, rule: ActionRule): string =>
  `| ${code(name)} | ${targetsOf(rule)} | ${rule.severity ?? '–'} |`

function sectionOf(name: string, rule: ActionRule): string[] {
  const { about, targets, requires, metadata, severity } = rule
  const facts = [
    targets === null
      ? 'Targets: any.'
      : targets.length === 0
        ? 'Targets: none.'
        : `Targets: at least one, each of the type ${targets.map(code).join(' or ')}.`,
    ...(requires.length > 0 ? [`Required: ${requires.map(code).join(', ')}.`] : []),
    ...(severity === null ? [] : [`Severity: ${severity}.`]),
  ]
  return [
    '',
    `## ${code(name)}`,
    '',
    ...(about === null ? [] : [prose(about), '']),
    ...facts.map((fact) => `- ${fact}`),
  ].concat(metadata === null ? [] : metadataOf(metadata))
}

function metadataOf(schema: JsonValue): string[] {
  const { properties, required } = isObject(schema) ? schema : {}
  const members = Object.entries(isObject(properties) ? properties : {})
  const isRequired = (name: string) => Array.isArray(required) && required.includes(name)
  const unchecked = checkMetadataSchema(schema, (path, why) => {
    throw new Error(`${path} ${why}`)
  })
  return [
    ...(members.length === 0
      ? ['', 'Metadata has a schema without named members.']
      : ['', '| metadata | is | required | |', '|---|---|---|---|']),
    ...members.map(([name, member]) => {
      const { description } = isObject(member) ? member : {}
      const about = typeof description === 'string' ? prose(description) : ''
      return `| ${code(name)} | ${prose(typeOf(member))} | ${isRequired(name) ? 'yes' : 'no'} | ${about} |`
    }),
    ...(unchecked.length === 0
      ? []
      : ['', `The ledger does not check ${unchecked.map(code).join(', ')}; the recorder does.`]),
  ]
}

/** A schema in a few words. */
function typeOf(schema: JsonValue): string {
  if (!isObject(schema)) return schema === false ? 'nothing' : 'anything'
  const { type, items, format, $ref } = schema
  if (typeof $ref === 'string') return $ref.replace('#/$defs/', '')
  if ('const' in schema) return JSON.stringify(schema.const)
  if (Array.isArray(schema.enum)) return schema.enum.map((value) => JSON.stringify(value)).join(', ')
  for (const keyword of ['anyOf', 'oneOf']) {
    const choices = schema[keyword]
    if (Array.isArray(choices)) return choices.map(typeOf).join(', or ')
  }
  if (type === 'array' && items !== undefined) return `array of ${typeOf(items)}`
  const name = Array.isArray(type) ? type.join(' or ') : typeof type === 'string' ? type : 'anything'
  return typeof format === 'string' ? `${name} (${format})` : name
}

/**
 * JSON Schema (2020-12) of the fields of an event, for tools and for senders without this package: an object with `action`, `actor`,
 * `targets` and so on, as `killick record` and a collector take it.
 */
export function jsonSchemaOfEvents(rules: ActionRules, version: string | null): JsonObject {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: version === null ? 'Events of the catalogue' : `Events of the catalogue, version ${version}`,
    type: 'object',
    required: ['action', 'actor', ...(version === null ? [] : ['catalogue'])],
    properties: {
      actor: PARTY,
      ...(version !== null && { catalogue: { const: version } }),
    },
    oneOf: Object.entries(rules).map(([name, rule]) => eventSchema(name, rule)),
  }
}

const TEXT = { type: 'string', minLength: 1, maxLength: 512 }
const PARTY: JsonObject = {
  ...{ type: 'object', required: ['type', 'id'] },
  properties: { type: TEXT, id: TEXT, name: { type: 'string' } },
}

/** Outcomes of what did not come about. */
const UNSUCCESSFUL: JsonObject = { required: ['outcome'], properties: { outcome: { enum: ['failure', 'denied'] } } }

function eventSchema(name: string, { about, targets, requires, metadata }: ActionRule): JsonObject {
  const isReasoned = requires.includes('reason')
  const always = requires.filter((field) => !['reason', 'changes', 'metadata'].includes(field))
  const onSuccess = requires.filter((field) => field === 'changes' || field === 'metadata')
  const party: JsonObject =
    targets === null
      ? PARTY
      : { ...PARTY, properties: { ...(PARTY.properties as JsonObject), type: { enum: [...targets] } } }
  // Each has an id of its own, since no document may have one twice.
  const [schema, otherwise] = ['success', 'otherwise'].map((id) => metadata && embedded(`${name}/${id}`, metadata))
  const wanted = isObject(metadata) && Array.isArray(metadata.required) && metadata.required.length > 0
  const needsMetadata = isReasoned || wanted ? ['metadata'] : []
  return {
    ...(about !== null && { description: about }),
    required: ['action', ...(targets === null || targets.length === 0 ? [] : ['targets']), ...always].concat(
      isReasoned ? ['metadata'] : [],
    ),
    properties: {
      action: { const: name },
      ...(targets !== null && {
        targets: targets.length === 0 ? { type: 'array', maxItems: 0 } : { type: 'array', minItems: 1, items: party },
      }),
      metadata: {
        type: 'object',
        ...(isReasoned && { required: ['reason'], properties: { reason: { type: 'string', minLength: 1 } } }),
      },
    },
    anyOf: [
      // What did not come about may say nothing of it; what it says must fit.
      {
        ...UNSUCCESSFUL,
        ...(otherwise && { allOf: [{ properties: { metadata: { anyOf: [KIT_ALONE, otherwise] } } }] }),
      },
      {
        not: UNSUCCESSFUL,
        required: [...new Set([...onSuccess, ...needsMetadata])],
        properties: {
          ...(onSuccess.includes('changes') && { changes: { type: 'array', minItems: 1 } }),
          ...(schema && { metadata: schema }),
        },
      },
    ],
  }
}

const KIT_ALONE: JsonObject = {
  additionalProperties: false,
  properties: Object.fromEntries([...KIT_MEMBERS].map((name) => [name, true])),
}

/** A schema inside another: it keeps its own `$defs`, and where it is closed, leaves room for what the kit writes beside it. */
function embedded(name: string, schema: JsonValue): JsonValue {
  if (!isObject(schema)) return schema
  const { $schema: _, ...own } = schema
  if (own.$defs !== undefined) own.$id = `urn:killick:action:${encodeURIComponent(name)}`
  if (own.additionalProperties === undefined) return own
  const kit = Object.fromEntries([...KIT_MEMBERS].map((member) => [member, true]))
  return { ...own, properties: { ...(isObject(own.properties) ? own.properties : {}), ...kit } }
}
