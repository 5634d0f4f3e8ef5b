import type { AuditLog } from '../client/open.ts'
import type { Recorded } from '../client/recorder.ts'
import {
  type ActionRule,
  type ActionRules,
  faultOf,
  KIT_MEMBERS,
  metadataToCheck,
  parseActions,
  SEVERITIES,
} from '../core/catalogue.ts'
import { KillickError } from '../core/errors.ts'
import { type EventInput, isVersionName, type Party, type Recordable } from '../core/fields.ts'
import type { JsonValue } from '../core/json.ts'
import { nearest } from '../core/nearest.ts'
import { knownOptions } from '../core/options.ts'
import { escapePointer } from '../core/pointer.ts'
import { type Catalogue, compileRedaction, createAudit, type KitEvent, type Redaction } from '../kit/index.ts'
import { BRAND } from './brand.ts'
import type { ActionDefinition, ActionDefinitions, EventOf } from './events.ts'
import { pointerOf, type StandardSchema } from './standard-schema.ts'

/** The target of JSON Schema that catalogues are written in. */
const DRAFT = 'draft-2020-12'
/** A catalogue of actions: what `createAudit` takes as `catalogue`, and what writes its documentation. */
export type Actions<Definitions extends ActionDefinitions = ActionDefinitions> = Catalogue<EventOf<Definitions>> & {
  readonly [BRAND]: true
  /** The version that its events carry; null: they carry none. */
  readonly version: string | null
  /** Names of the actions, as defined. */
  readonly names: readonly (keyof Definitions & string)[]
  /**
   * The catalogue as a ledger registers it, with a JSON Schema for each schema.
   * @throws KillickError `catalogue_invalid` where a library makes no JSON Schema, or one that a ledger does not take
   */
  rules(): ActionRules
  /**
   * An open log that takes the events of this catalogue alone: `createAudit(log, { catalogue })`, for those who need no more of the
   * kit. Events are checked, redacted by the rules of their action, and carry the version.
   * @param log its `flush()`, `close()` and `status` stay as they are
   */
  over<Fields extends string = never>(log: Pick<AuditLog<Fields>, 'record'>): ActionLog<Definitions, Fields>
}

/** A log that takes the events of a catalogue alone. */
export type ActionLog<Definitions extends ActionDefinitions, Fields extends string = never> = {
  /**
   * As `AuditLog.record`. A refused event that nobody awaits does not end the process, but is warned of.
   * @throws KillickError `action_unknown`, `action_invalid`, and as `AuditLog.record`; nothing was recorded then
   */
  record(
    event: EventOf<Definitions> & { readonly actor: Party } & { readonly [name in Fields]?: Recordable | undefined },
  ): Promise<Recorded>
}

/**
 * Defines the actions that an application records. An event of an unknown action, without something that its action requires, or
 * with metadata that its schema refuses, does not compile; at run time it is refused before anything is recorded.
 * @param options `version`: a name for what is defined here, which events then carry (1 to 64 letters, digits, `.`, `_`, `-`). Give it
 * another with each change: a ledger takes a name once. Default: none
 * @throws KillickError `catalogue_invalid`, with the place in `details.field`
 * @example
 * const actions = defineActions(
 *   { 'invoice.refund': { target: 'invoice', requires: ['reason'], metadata: z.object({ amount: z.number() }), severity: 'high' } },
 *   { version: '2026-01' },
 * )
 * const audit = createAudit(log, { catalogue: actions })
 */
export function defineActions<const Definitions extends ActionDefinitions>(
  definitions: Definitions,
  options?: { readonly version?: string | undefined },
): Actions<Definitions> {
  const { version = null } = knownOptions(options, { version: true }, (message) =>
    invalid('', `cannot be made: ${message}`),
  )
  if (version !== null && !isVersionName(version))
    invalid('/version', 'must be 1 to 64 letters, digits, dots, underscores and hyphens, first a letter or digit')
  const entries = Object.entries(definitions).map(([name, definition]) => [name, compile(name, definition)] as const)
  if (entries.length === 0) invalid('', 'defines no action')
  const compiled = new Map(entries)

  function compiledOf(action: unknown): Compiled {
    const found = compiled.get(action as string)
    return found ?? unknownAction(action, [...compiled.keys()])
  }

  const actions: Actions<Definitions> = {
    [BRAND]: true,
    version,
    names: [...compiled.keys()],
    precheck(event) {
      const { rule } = compiledOf(event.action)
      const targets = targetsOf(event)
      // What has no target yet may still get one.
      if (rule.targets !== null && targets.length > 0) demandFit({ targets }, { ...rule, requires: [] }, event.action)
    },
    prepare(event) {
      const { rule, schema } = compiledOf(event.action)
      demandFit(event, rule, event.action)
      const metadata = schema === null ? event.metadata : checkMetadata(event, schema)
      return { ...event, ...(metadata && { metadata }), ...(version !== null && { catalogue: version }) }
    },
    redaction: (action) => compiled.get(action)?.redaction,
    rules: () => rulesOf(compiled),
    over: (log) => ({ record: createAudit(log, { catalogue: actions }).record as never }),
  }
  return actions
}

type Compiled = {
  rule: Omit<ActionRule, 'metadata'>
  schema: StandardSchema | null
  jsonSchema: object | undefined
  redaction: Redaction | undefined
}

function invalid(path: string, why: string): never {
  throw new KillickError('catalogue_invalid', `Catalogue: ${path === '' ? 'it' : path} ${why}`, { field: path })
}

const MEMBERS = ['about', 'target', 'requires', 'metadata', 'jsonSchema', 'severity', 'redact'] as const

function compile(name: string, definition: ActionDefinition): Compiled {
  const path = `/${escapePointer(name)}`
  if (typeof definition !== 'object' || definition === null) invalid(path, 'must be an object')
  const odd = Object.keys(definition).find((member) => !MEMBERS.includes(member as never))
  if (odd !== undefined) {
    const meant = nearest(odd, [...MEMBERS])
    invalid(`${path}/${odd}`, `is not a member of an action${meant === null ? '' : `; did you mean ${meant}?`}`)
  }
  const { about = null, target, requires = [], metadata, jsonSchema, severity = null, redact } = definition
  if (severity !== null && !SEVERITIES.includes(severity))
    invalid(`${path}/severity`, `must be ${SEVERITIES.join(', ')}`)
  if (metadata !== undefined && !isStandard(metadata))
    invalid(
      `${path}/metadata`,
      'must be a schema that implements Standard Schema (a JSON Schema goes beside it, as jsonSchema)',
    )
  if (jsonSchema !== undefined && metadata === undefined)
    invalid(`${path}/jsonSchema`, 'is for what metadata has a schema for, and there is none')
  const targets = target === undefined ? null : target === null ? [] : typeof target === 'string' ? [target] : target
  if (Array.isArray(target) && target.length === 0)
    invalid(`${path}/target`, 'names no type; null stands for no target')
  // Everything else is checked as a ledger checks it, but for the schema, which is not made before somebody needs it.
  const [rule] = Object.values(
    parseActions({ [name]: { about, targets, requires, metadata: null, severity } } as unknown as JsonValue),
  ) as [ActionRule]
  return {
    rule,
    schema: metadata ?? null,
    jsonSchema,
    redaction: redact === undefined ? undefined : compileRedaction(redact),
  }
}

function isStandard(schema: unknown): schema is StandardSchema {
  const props = (schema as { '~standard'?: Partial<StandardSchema['~standard']> } | null)?.['~standard']
  return props?.version === 1 && typeof props.validate === 'function'
}

function unknownAction(action: unknown, known: readonly string[]): never {
  const meant = nearest(String(action), [...known])
  const advice = meant === null ? '' : ` Did you mean ${meant}?`
  throw new KillickError(
    'action_unknown',
    `The catalogue has no action ${JSON.stringify(action) ?? 'undefined'}.${advice}`,
    {
      ...{ field: '/action', action },
      ...(meant !== null && { meant }),
    },
  )
}

function misfit(path: string, why: string, action: string, more: object = {}): never {
  throw new KillickError('action_invalid', `An event of the action ${action}: ${path} ${why}`, {
    ...{ field: path, action },
    ...more,
  })
}

function demandFit(fields: { readonly [name: string]: unknown }, rule: Compiled['rule'], action: string): void {
  const fault = faultOf(fields, { ...rule, metadata: null })
  if (fault !== null) misfit(fault.path, fault.why, action)
}

/** The metadata as its schema gives it back, with the members of the kit beside it. */
function checkMetadata(event: EventInput, schema: StandardSchema): EventInput['metadata'] {
  const { metadata, action } = event
  const checked = metadataToCheck(event)
  if (checked === null) return metadata
  const result = schema['~standard'].validate(checked)
  if (result instanceof Promise)
    invalid(`/${action}/metadata`, 'answers with a promise: a schema of metadata must answer at once')
  if (result.issues) {
    const issues = result.issues.map((issue) => ({ field: `/metadata${pointerOf(issue)}`, why: issue.message }))
    const [first = { field: '/metadata', why: 'does not fit its schema' }] = issues
    misfit(first.field, `does not fit: ${first.why}`, action, { issues: issues.slice(0, 16) })
  }
  if (typeof result.value !== 'object' || result.value === null || Array.isArray(result.value))
    misfit('/metadata', 'is made something else than an object by its schema', action)
  const kept = Object.entries(metadata ?? {}).filter(([name]) => KIT_MEMBERS.has(name))
  if (metadata === undefined && Object.keys(result.value!).length === 0) return undefined
  return { ...(result.value as object), ...Object.fromEntries(kept) }
}

const targetsOf = ({ target, targets = [] }: KitEvent): readonly Party[] => (target ? [target, ...targets] : targets)

function rulesOf(compiled: ReadonlyMap<string, Compiled>): ActionRules {
  return parseActions(
    Object.fromEntries(
      [...compiled].map(([name, { rule, schema, jsonSchema }]) => [
        name,
        { ...rule, metadata: schema === null ? null : (jsonSchema ?? jsonSchemaOf(name, schema)) },
      ]),
    ) as unknown as JsonValue,
  )
}

/** What the library says of what it gives back, as plain JSON. */
function jsonSchemaOf(name: string, schema: StandardSchema): JsonValue {
  const { vendor, jsonSchema } = schema['~standard']
  const path = `/${name}/metadata`
  if (jsonSchema === undefined)
    return invalid(
      path,
      `is a schema of ${vendor}, which makes no JSON Schema by itself; give one beside it, as jsonSchema`,
    )
  try {
    return JSON.parse(JSON.stringify(jsonSchema.output({ target: DRAFT })))
  } catch (error) {
    return invalid(
      path,
      `cannot be written as JSON Schema (${(error as Error).message}); give one beside it, as jsonSchema`,
    )
  }
}
