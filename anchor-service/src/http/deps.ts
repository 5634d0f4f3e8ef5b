import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify'
import type { Bundles } from '../bundles/bundles.ts'
import type { Erasing } from '../erasure/erasing.ts'
import type { Expiring } from '../erasure/expiring.ts'
import type { SecondPerson } from '../erasure/second-person.ts'
import type { Intake } from '../intake/intake.ts'
import type { Refusals } from '../intake/refusals.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { SilenceWatch } from '../ledger/silence.ts'
import type { AccessControl } from './auth.ts'
import type { Metrics } from './metrics.ts'
import type { Published } from './page-settings.ts'

export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

/** What the routes are given. */
export type AppDeps = {
  ledger: Ledger
  bundles: Bundles
  intake: Intake
  erasing: Erasing
  expiring: Expiring
  secondPerson: SecondPerson
  /** Which streams were refused a batch that did not follow, for those who look for gaps. */
  refusals: Refusals
  /** Which sources are silent beyond what they promise. */
  silences: Pick<SilenceWatch, 'of'>
  metrics: Metrics
  tokens: AccessControl
  /** Whether checkpoint and tiles need the reader's token: entries show source names and counts. */
  tiles: 'public' | 'private'
  /** False if no chain is set. A worker that runs by itself may have one that this process does not know of. */
  hasChain: boolean
  /** What the anchor worker says of itself, for `/readyz`. */
  anchoring: () => unknown
  /** What the audit in the background says of itself, for `/readyz`. */
  auditing: () => unknown
  published: Published
  /** Requests per minute and address, those apart that add a batch; 0: no limit. */
  rateLimit: number
  /** Reverse proxies whose word on the client's address is believed. */
  trustProxy: string[]
  /** Connections that may be open at a time; further ones are closed at once. */
  maxConnections: number
  /** ms in which a whole request must have arrived. */
  requestTimeout: number
  /** What is written to standard output, as JSON lines. */
  logLevel: 'silent' | 'error' | 'warn' | 'info' | 'debug'
}
