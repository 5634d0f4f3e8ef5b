/** What the service answers, as types for its own web pages: an answer that changes does not compile there. Nothing runs here. */
import type { Static } from '@fastify/type-provider-typebox'
import type { Anchoring } from '../anchor/anchoring.ts'
import type { AuditStatus } from '../audit/index.ts'
import type { FoundEvent, UnreadableEvent } from '../ledger/read/events.ts'
import type { ActivitySchema } from './routes/activity.ts'
import type { BundleSchema } from './routes/bundles.ts'
import type { ErasureSchema, HoldSchema } from './routes/erasures.ts'
import type { HistorySchema } from './routes/history.ts'
import type { EquivocationsSchema, RefusalsSchema } from './routes/incidents.ts'
import type { ProposalSchema } from './routes/proposals.ts'
import type { RetentionSchema } from './routes/retention.ts'
import type { SessionSchema } from './routes/sessions.ts'
import type { CreatedSchema, ShareSchema } from './routes/shares.ts'
import type { AnchorsSchema, FrontSchema, ReadinessSchema, SourcesSchema, StreamsSchema } from './schemas.ts'

export type FrontAnswer = Static<typeof FrontSchema>

export type SessionAnswer = Static<typeof SessionSchema>

/** An event, or what is left of one that was altered in the database. */
export type EventAnswer = (Omit<FoundEvent, 'token'> & { error?: never }) | UnreadableEvent

export type ActivityAnswer = Static<typeof ActivitySchema>

export type AnchorAnswer = Static<typeof AnchorsSchema>['anchors'][number]

export type SourceAnswer = Static<typeof SourcesSchema>['sources'][number]

export type StreamAnswer = Static<typeof StreamsSchema>['streams'][number]

export type EquivocationAnswer = Static<typeof EquivocationsSchema>['equivocations'][number]

export type RefusalsAnswer = Static<typeof RefusalsSchema>

export type HistoryAnswer = Static<typeof HistorySchema>

export type HoldAnswer = Static<typeof HoldSchema>

export type ErasureAnswer = Static<typeof ErasureSchema>

export type ProposalAnswer = Static<typeof ProposalSchema>

export type RetentionAnswer = Static<typeof RetentionSchema>

export type ShareAnswer = Static<typeof ShareSchema>

export type MadeShareAnswer = Static<typeof CreatedSchema>

export type BundleAnswer = Static<typeof BundleSchema>

/** What readers are told. The schema leaves to the worker and to the audit what they say of themselves. */
export type ReadinessAnswer = Required<Omit<Static<typeof ReadinessSchema>, 'anchoring' | 'audit'>> & {
  anchoring: ReturnType<Anchoring['status']> | null
  audit: AuditStatus | null
}
