// Catalogues: events of the ledger that change one, and events of a source that is held to one.
import { catalogueFields } from '../../../sdk/src/core/catalogue.ts'
import { leafHash } from '../../../sdk/src/core/hash.ts'

type Json = Record<string, unknown>

const SCHEMA = {
  type: 'object',
  properties: {
    amount: { $ref: '#/$defs/amount' },
    note: { type: 'string', maxLength: 10, pattern: '^[a-z]+$', format: 'email' },
    tags: { type: 'array', items: { enum: ['a', 'b'] }, uniqueItems: true },
  },
  required: ['amount'],
  additionalProperties: false,
  $defs: { amount: { type: 'number', exclusiveMinimum: 0 } },
}
const refund = {
  about: 'Money goes back.',
  targets: ['invoice'],
  requires: ['reason', 'changes'],
  metadata: SCHEMA,
  severity: 'high',
}
const bare = { about: null, targets: null, requires: [], metadata: null, severity: null }
const ACTIONS = { 'invoice.refund': refund, 'session.start': { ...bare, targets: [] }, 'anything.else': bare }

const change = {
  ...catalogueFields({
    ...{ source: 'billing-api', previous: leafHash(new Uint8Array([1])), enforced: ['1', '2'], version: '2' },
    actions: ACTIONS as never,
  }),
} as Json
const twisted = (twist: Json): Json => ({ ...change, metadata: { ...(change.metadata as Json), ...twist } })
const withRule = (twist: Json): Json => twisted({ actions: { 'invoice.refund': { ...refund, ...twist } } })
const withSchema = (metadata: unknown): Json => withRule({ metadata })

const good = (description: string, fields: Json) => ({ description, valid: true, fields })
const bad = (description: string, field: string, fields: Json) => ({
  ...{ description, valid: false, code: 'catalogue_invalid', field, fields },
})
const SCHEMA_AT = '/metadata/actions/invoice.refund/metadata'

const event = {
  ...{
    action: 'invoice.refund',
    actor: { type: 'user', id: 'ada' },
    targets: [{ type: 'invoice', id: '42' }],
    catalogue: '2',
  },
  ...{ changes: [{ path: '/status' }], metadata: { amount: 12, reason: 'damaged' } },
}
const fits = (description: string, twist: Json) => ({ description, valid: true, fields: { ...event, ...twist } })
const misfit = (description: string, field: string, twist: Json, code = 'action_invalid') => ({
  ...{ description, valid: false, code, field, fields: { ...event, ...twist } },
})
const metadata = (twist: Json) => ({ metadata: { ...event.metadata, ...twist } })

export function catalogues() {
  return {
    changes: [
      good('a version, and what is enforced', change),
      good('the first of a source', twisted({ previous: null })),
      good('only what is enforced', twisted({ version: null, actions: null, enforced: [] })),
      bad('a source and something else', '/targets', { ...change, targets: [{ type: 'source', id: 'a', name: 'A' }] }),
      bad('one member more', '/metadata', twisted({ more: 1 })),
      bad('previous is no hash', '/metadata/previous', twisted({ previous: 'x' })),
      bad('a version without actions', '/metadata/actions', twisted({ actions: null })),
      bad('actions without a version', '/metadata/actions', twisted({ version: null })),
      bad('a version that is no name', '/metadata/version', twisted({ version: '2 ' })),
      bad('a version enforced twice', '/metadata/enforced', twisted({ enforced: ['1', '1'] })),
      bad('no actions', '/metadata/actions', twisted({ actions: {} })),
      bad('a rule with an unknown member', '/metadata/actions/invoice.refund', withRule({ redact: [] })),
      bad('an unknown severity', '/metadata/actions/invoice.refund/severity', withRule({ severity: 'huge' })),
      bad('a field that there cannot be', '/metadata/actions/invoice.refund/requires', withRule({ requires: ['a b'] })),
      bad('an unknown keyword', `${SCHEMA_AT}/if`, withSchema({ if: true })),
      bad('members by pattern', `${SCHEMA_AT}/patternProperties`, withSchema({ patternProperties: {} })),
      bad('a reference to elsewhere', `${SCHEMA_AT}/$ref`, withSchema({ $ref: 'https://example.com/schema' })),
      bad(
        'a circle',
        `${SCHEMA_AT}/$defs/a/items/$ref`,
        withSchema({ $defs: { a: { items: { $ref: '#/$defs/a' } } } }),
      ),
      bad('a member of the kit', `${SCHEMA_AT}/properties/reason`, withSchema({ properties: { reason: true } })),
      bad('more than 512 schemas', SCHEMA_AT, withSchema({ anyOf: Array(512).fill(true) })),
    ],
    held: { enforced: ['2'], actions: ACTIONS },
    events: [
      fits('everything that is required', {}),
      fits('a rule that requires nothing', {
        action: 'anything.else',
        targets: [],
        metadata: { any: [1] },
        changes: undefined,
      }),
      fits('pattern, format and uniqueItems are not checked', metadata({ note: 'A!', tags: ['a', 'a'] })),
      fits(
        'what stands in the place of a removed value',
        metadata({ note: '[redacted:a long name]', redactions: [{ path: '/metadata/note', rule: 'a long name' }] }),
      ),
      fits('a denial without changes and metadata', {
        outcome: 'denied',
        changes: undefined,
        metadata: { reason: 'late' },
      }),
      fits('a failure with metadata that fits', { outcome: 'failure', changes: undefined }),
      misfit('a failure with metadata that does not fit', '/metadata/amount', {
        outcome: 'failure',
        ...metadata({ amount: '12' }),
      }),
      misfit('a denial without a reason', '/metadata/reason', { outcome: 'denied', metadata: {} }),
      misfit('a success without metadata', '/metadata/amount', { outcome: 'success', metadata: { reason: 'late' } }),
      fits('members of the kit', metadata({ error: { name: 'Error' } })),
      misfit('no version', '/catalogue', { catalogue: undefined }),
      misfit('another version', '/catalogue', { catalogue: '1' }),
      misfit('an unknown action', '/action', { action: 'invoice.void' }, 'action_unknown'),
      misfit('no target', '/targets', { targets: [] }),
      misfit('a target of another type', '/targets/0/type', { targets: [{ type: 'x', id: '1' }] }),
      misfit('a target where there is none', '/targets', { action: 'session.start' }),
      misfit('no reason', '/metadata/reason', { metadata: { amount: 12 } }),
      misfit('empty changes', '/changes', { changes: [] }),
      misfit('metadata of another type', '/metadata/amount', metadata({ amount: '12' })),
      misfit('a value beyond its bound', '/metadata/amount', metadata({ amount: 0 })),
      misfit('an item that is no choice', '/metadata/tags/1', metadata({ tags: ['a', 'c'] })),
      misfit('a removed value does not excuse another', '/metadata/amount', {
        ...metadata({ amount: '12', redactions: [{ path: '/metadata/note', rule: 'r' }] }),
      }),
    ],
  }
}
