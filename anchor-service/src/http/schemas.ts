import { type TOptional, type TString, Type } from '@fastify/type-provider-typebox'
import { parseTime } from '@killick/sdk/core'
import Format from 'typebox/format'
import { FILTERS, type FilterName } from '../ledger/packs/filters.ts'

/** Shapes of requests and replies; the OpenAPI document is generated from them. */

// TypeBox would let leap seconds and names of zones pass.
Format.Set('date-time', (text) => parseTime(text) !== null)
// TypeBox would let capitals and `urn:uuid:` pass. Events of the log, and what is computed from them, have ids in one spelling.
Format.Set('uuid', (text) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text))

export const Hash = Type.String({ description: 'SHA-256, base64url', minLength: 43, maxLength: 43 })
const Chain = Type.String({ description: '0x and lower-case hex' })
export const Time = Type.String({ format: 'date-time' })
export const Nullable = <T extends Parameters<typeof Type.Union>[0][number]>(
  type: T,
  options: { description?: string } = {},
) => Type.Union([type, Type.Null()], options)

/** Rows of a page, unless the request says otherwise. */
export const PAGE_LIMIT = 50

export const ProblemSchema = Type.Object(
  { type: Type.String(), title: Type.String(), status: Type.Integer(), code: Type.String(), detail: Type.String() },
  { description: 'RFC 9457 problem document; further members carry the evidence', additionalProperties: true },
)

export const ReceiptSchema = Type.Object({
  source: Type.String(),
  stream: Type.String(),
  seq: Type.Integer(),
  n: Type.Integer(),
  logIndex: Type.Integer(),
  size: Type.Integer({ description: 'size of the first checkpoint that covers the batch' }),
  path: Type.Array(Hash, { description: 'RFC 9162 inclusion path of the batch header at that size' }),
  checkpoint: Type.String({ description: 'C2SP signed note' }),
})

export const StreamSchema = Type.Object({
  source: Type.String(),
  stream: Type.String(),
  seq: Type.Integer({ description: 'seq of the next event' }),
  events: Type.Integer(),
  head: Type.Object({ leafHash: Hash, batchHash: Hash, logIndex: Type.Integer() }),
  firstAt: Time,
  lastAt: Time,
})

/** A parameter for each filter; those with few values take no other. */
export const FilterTexts = Object.fromEntries(
  Object.entries(FILTERS).map(([name, { maxLength, description, values }]) => [
    name,
    Type.Optional(
      values
        ? Type.Union(
            values.map((value) => Type.Literal(value)),
            { description },
          )
        : Type.String({ maxLength, description }),
    ),
  ]),
) as unknown as Record<FilterName, TOptional<TString>>

const TimeParameter = (what: string) =>
  Type.String({ format: 'date-time', description: `${what}: RFC 3339; a + in it is written %2B` })

export const SearchQuery = Type.Object(
  {
    ...FilterTexts,
    from: Type.Optional(TimeParameter('recorded at or after')),
    to: Type.Optional(TimeParameter('recorded before')),
    own: Type.Optional(Type.Boolean({ default: true, description: 'false: without the ledger’s own events' })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500, default: PAGE_LIMIT })),
    cursor: Type.Optional(
      Type.String({
        maxLength: 64,
        description:
          '`next` of the page before: `<log index>.<place in the batch>` of its last event. The page has what comes before that in the log.',
      }),
    ),
  },
  { additionalProperties: false },
)

export const EventsSchema = Type.Object({
  events: Type.Array(
    Type.Object({
      id: Type.Optional(Type.String({ description: 'absent only beside `error`' })),
      leafHash: Type.Optional(Hash),
      source: Type.Optional(Type.String()),
      stream: Type.Optional(Type.String()),
      seq: Type.Optional(Type.Integer()),
      recordedAt: Type.Optional(Time),
      logIndex: Type.Integer(),
      fields: Type.Optional(Type.Object({}, { additionalProperties: true })),
      token: Type.Optional(Type.String({ description: 'the event as it was recorded: an SD-JWT' })),
      missing: Type.Optional(
        Type.Integer({
          minimum: 1,
          description:
            'how many fields of the event the ledger no longer holds, though its source is registered without decoys; absent: none',
        }),
      ),
      erased: Type.Optional(
        Type.Integer({
          minimum: 1,
          description: 'how many fields of the event were erased, by orders in the log (`/v1/erasures`); absent: none',
        }),
      ),
      expired: Type.Optional(
        Type.Integer({
          minimum: 1,
          description:
            'how many fields of the event have expired, by a policy in the log (`/v1/retention`); absent: none',
        }),
      ),
      number: Type.Optional(Type.Integer({ description: 'which event of the log it is; only beside `error`' })),
      error: Type.Optional(
        Type.Object(
          { code: Type.String(), detail: Type.String() },
          {
            description:
              'instead of `fields` and `token`: the event was altered in the database and cannot be read (`event_unreadable`), or a retention policy has dropped it (`event_dropped`); what is not to be found of `id`, `leafHash`, `source`, `stream`, `seq` and `recordedAt` is missing too',
          },
        ),
      ),
    }),
  ),
  next: Nullable(Type.String()),
})

/** A hundred years. */
const SECONDS = { minimum: 0, maximum: 3_155_760_000 }

const Validity = { notBefore: Type.Optional(Nullable(Time)), notAfter: Type.Optional(Nullable(Time)) }

export const EventSignatures = Type.Union([Type.Literal('required'), Type.Literal('optional')])

export const RegistrationSchema = Type.Object(
  {
    source: Type.String({ pattern: '^[a-z0-9][a-z0-9._-]{0,63}$' }),
    keys: Type.Array(
      Type.Object(
        { jwk: Type.Object({}, { additionalProperties: true, description: 'public JWK' }), ...Validity },
        { additionalProperties: false },
      ),
      { maxItems: 32 },
    ),
    eventSignatures: Type.Optional(EventSignatures),
    decoys: Type.Optional(
      Type.Boolean({ description: 'may events hold digests that they do not disclose? At first: no' }),
    ),
    maxAge: Type.Optional(
      Nullable(
        Type.Integer({
          ...SECONDS,
          description: 'seconds by which events may have been recorded before they arrive; null, as at first: any',
        }),
      ),
    ),
    maxAhead: Type.Optional(
      Nullable(
        Type.Integer({
          ...SECONDS,
          description: 'seconds by which the recorder’s clock may be ahead; null, as at first: any',
        }),
      ),
    ),
    heartbeat: Type.Optional(
      Nullable(
        Type.Integer({
          ...SECONDS,
          minimum: 1,
          description:
            'the source promises an event at least every so many seconds in each stream that has not ended; null, as at first: it promises nothing',
        }),
      ),
    ),
  },
  {
    additionalProperties: false,
    examples: [
      {
        source: 'billing-api',
        keys: [{ jwk: { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' } }],
      },
    ],
  },
)

const KeySchema = Type.Object({ kid: Hash, notBefore: Nullable(Time), notAfter: Nullable(Time) })

const SourceFields = {
  source: Type.String(),
  eventSignatures: EventSignatures,
  decoys: Type.Boolean(),
  maxAge: Nullable(Type.Integer({ description: 'seconds' })),
  maxAhead: Nullable(Type.Integer({ description: 'seconds' })),
  heartbeat: Nullable(Type.Integer({ description: 'seconds; null: it promises nothing' })),
  logIndex: Type.Integer({ description: 'log entry of the newest registration' }),
}

const SourceSchema = Type.Object({
  ...SourceFields,
  silence: Nullable(
    Type.Object({
      streams: Type.Integer({ description: 'that are silent; 0: the source has never recorded anything' }),
      since: Type.String({
        format: 'date-time',
        description: 'when the last batch of the first of them was accepted, or since when this process waits',
      }),
    }),
    {
      description:
        'nothing has come for longer than `heartbeat`, as this process has seen; null: no such silence, or no promise',
    },
  ),
  keys: Type.Array(
    Type.Intersect([
      KeySchema,
      Type.Object({
        jwk: Type.Object({ kty: Type.String(), crv: Type.String() }, { additionalProperties: true }),
        logIndex: Type.Integer({ description: 'log entry by which the key was registered first' }),
      }),
    ]),
  ),
})

export const SourcesSchema = Type.Object({ sources: Type.Array(SourceSchema), next: Nullable(Type.String()) })

export const RegisteredSchema = Type.Object({
  ...SourceFields,
  keys: Type.Array(KeySchema),
  event: Type.Object({ id: Type.String(), leafHash: Hash }),
})

export const PageQuery = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500, default: PAGE_LIMIT })),
    cursor: Type.Optional(Type.String({ maxLength: 64 })),
  },
  { additionalProperties: false },
)

/** For lists of what the log tells of. */
export const LogPageQuery = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500, default: PAGE_LIMIT })),
    cursor: Type.Optional(Type.String({ maxLength: 64 })),
    after: Type.Optional(
      Type.Integer({
        minimum: -1,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'only what entries of the log behind this one tell of, oldest first',
      }),
    ),
  },
  { additionalProperties: false },
)

/** For lists by the name of the source. */
export const SourcesQuery = Type.Object(
  {
    source: Type.Optional(Type.String({ maxLength: 64, description: 'only of this source' })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500, default: PAGE_LIMIT })),
    cursor: Type.Optional(Type.String({ maxLength: 160, description: '`next` of the page before' })),
  },
  { additionalProperties: false },
)

const SourceName = Type.String({ pattern: '^[a-z0-9][a-z0-9._-]{0,63}$' })
const VersionName = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$' })
const Actions = Type.Object(
  {},
  {
    additionalProperties: true,
    description:
      'by name of the action exactly {about, targets, requires, metadata, severity}: docs/PROTOCOL.md, Catalogues; `killick actions` writes it',
  },
)
const Enforced = Type.Array(Type.String(), {
  description: 'versions one of which each event must name and fit; empty: the source is not held to a catalogue',
})

export const CatalogueRequestSchema = Type.Object(
  {
    source: SourceName,
    version: Type.Optional(VersionName),
    actions: Type.Optional(Actions),
    enforced: Type.Optional(Enforced),
  },
  { additionalProperties: false },
)

export const CatalogueRegisteredSchema = Type.Object({
  source: Type.String(),
  version: Nullable(Type.String()),
  enforced: Enforced,
  logIndex: Nullable(Type.Integer({ description: 'null: everything was so before, and nothing was recorded' })),
  event: Nullable(Type.Object({ id: Type.String(), leafHash: Hash })),
})

export const CatalogueQuery = Type.Object(
  {
    source: Type.String({ maxLength: 64 }),
    version: Type.Optional(Type.String({ maxLength: 64, description: 'whose actions to show' })),
  },
  { additionalProperties: false },
)

export const CatalogueSchema = Type.Object({
  source: Type.String(),
  enforced: Enforced,
  versions: Type.Array(Type.Object({ version: Type.String(), logIndex: Type.Integer() })),
  actions: Nullable(Actions),
})

export const StreamsSchema = Type.Object({
  streams: Type.Array(
    Type.Object({
      source: Type.String(),
      stream: Type.String(),
      events: Type.Integer(),
      lastAt: Type.String({ format: 'date-time', description: 'when its last batch was accepted' }),
      ended: Nullable(
        Type.Boolean({
          description:
            'whether its last event is `stream.close`, by which a recorder ends a stream; null: that was erased or dropped, and nobody knows',
        }),
      ),
      heartbeat: Nullable(
        Type.Integer({ description: 'seconds by which its source promises another event while it has not ended' }),
      ),
    }),
  ),
  next: Nullable(Type.String()),
})

export const AnchorsSchema = Type.Object({
  anchors: Type.Array(
    Type.Object({
      target: Type.String(),
      chainId: Type.Integer(),
      contract: Chain,
      logId: Chain,
      size: Type.Integer(),
      root: Hash,
      state: Type.String(),
      plannedAt: Time,
      changedAt: Time,
      transaction: Nullable(Chain),
      block: Nullable(Type.Integer()),
      time: Nullable(Type.Integer({ description: 'block time, unix seconds' })),
      confirmations: Nullable(Type.Integer()),
      gasUsed: Nullable(Type.Integer()),
      gasPrice: Nullable(Type.String({ description: 'wei per gas' })),
      fee: Nullable(Type.String({ description: 'wei' })),
      events: Type.Integer({ description: 'events that this anchor is the first of its log to cover' }),
      feePerEvent: Nullable(Type.String({ description: 'wei' })),
      detail: Nullable(Type.String()),
    }),
  ),
  next: Nullable(Type.String()),
})

/** As text, and one spelling for each: what is kept in caches has one address. */
const SizeText = Type.String({ pattern: '^(0|[1-9][0-9]{0,14})$', description: 'entries of the log' })

export const ConsistencyQuery = Type.Object({ from: SizeText, to: SizeText }, { additionalProperties: false })

export const ConsistencySchema = Type.Object({
  from: Type.Integer(),
  to: Type.Integer(),
  path: Type.Array(Hash, { description: 'empty where from is 0 or to' }),
})

export const LogSchema = Type.Object({
  origin: Type.String(),
  vkey: Type.String({ description: 'C2SP verifier key of the log' }),
  targets: Type.Array(Type.Object({ chainId: Type.Integer(), contract: Chain, logId: Chain })),
  successions: Type.Array(
    Type.Object({
      note: Type.String({ description: 'statement that the log goes on under another publisher: a C2SP signed note' }),
      transaction: Chain,
      block: Type.Integer({ description: 'where the last honest anchor that it names is to be found' }),
    }),
  ),
  pruning: Type.Union(
    [
      Type.Object({
        afterDays: Type.Union([Type.Integer(), Type.Null()], {
          description: 'after how many days entries are not published any more, by block times of anchors; null: never',
        }),
        logIndex: Type.Integer({ description: 'of the event that says so' }),
        minimumIndex: Type.Integer({
          description: 'tiles and bundles that end at or below this entry are for holders of a token only',
        }),
      }),
      Type.Null(),
    ],
    { description: 'C2SP tlog-tiles, Pruning; null: the whole log is published' },
  ),
})

export const FrontSchema = Type.Object({
  service: Type.Literal('killick'),
  version: Type.String(),
  origin: Type.String(),
  vkey: Type.String({ description: 'C2SP verifier key of the log' }),
  status: Type.Union([Type.Literal('ready'), Type.Literal('not ready')], { description: 'whether it takes batches' }),
  isPrivate: Type.Boolean({ description: 'how the log stands is told to readers only' }),
  hasChain: Type.Boolean({ description: 'false: no chain is set, and nothing is anchored' }),
  log: Type.Union(
    [
      Type.Object({
        entries: Type.Integer(),
        events: Type.Integer(),
        anchors: Type.Array(
          Type.Object({
            chainId: Type.Integer(),
            contract: Chain,
            logId: Chain,
            size: Type.Integer({ description: 'entries of the log that it covers' }),
            block: Type.Integer(),
            time: Type.Integer({ description: 'block time, unix seconds' }),
            transaction: Chain,
          }),
          { description: 'the newest confirmed anchor of each target, as this service saw it' },
        ),
        upTo: Type.Union([Time, Type.Null()], {
          description:
            'everything that was accepted up to this time is anchored, but for entries of the ledger’s own where `rest` is `own`; null: nothing is',
        }),
        rest: Type.Union([Type.Literal('nothing'), Type.Literal('own'), Type.Literal('entries')], {
          description: 'what stands behind the newest anchor: nothing, only entries of the ledger’s own, or any',
        }),
        open: Type.Integer({ description: 'entries behind the newest anchor' }),
      }),
      Type.Null(),
    ],
    { description: 'null: it is private, or the database does not answer' },
  ),
  paths: Type.Record(Type.String(), Type.String(), { description: 'where what is to be found' }),
})

export const HealthSchema = Type.Object({ status: Type.String() })

export const ReadinessSchema = Type.Object({
  status: Type.Union([Type.Literal('ready'), Type.Literal('not ready')]),
  database: Type.Optional(Type.Boolean({ description: 'it answers' })),
  writable: Type.Optional(Type.Boolean({ description: 'it stores what it is given' })),
  wentBack: Type.Optional(
    Type.Union([Type.Object({ remembered: Type.Integer(), found: Type.Integer() }), Type.Null()], {
      description:
        'log_went_back: entries of the newest head that was signed, and of the one in the database, which does not continue it',
    }),
  ),
  logSize: Type.Optional(Nullable(Type.Integer())),
  anchoredSize: Type.Optional(
    Type.Union([Type.Integer(), Type.Null()], { description: 'entries that a confirmed anchor covers' }),
  ),
  registry: Type.Optional(
    Type.Object(
      {
        checked: Type.Boolean({ description: 'the system stream has been walked, and the tables held against it' }),
        altered: Type.Array(Type.Object({ source: Nullable(Type.String()), detail: Type.String() }), {
          description:
            'where the database does not hold what was registered; batches of the source (null: of any) are refused',
        }),
      },
      { description: 'who may record what' },
    ),
  ),
  anchoring: Type.Optional(Type.Unknown()),
  audit: Type.Optional(Type.Unknown()),
})
