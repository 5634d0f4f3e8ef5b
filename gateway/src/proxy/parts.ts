// What the parts of a running proxy share.
import type { SessionRecorder } from '../sessions/recorder.ts'
import type { Addresses } from './addresses.ts'
import type { HttpConfig } from './config.ts'
import type { HttpRefusal } from './errors.ts'
import type { HttpMetrics } from './metrics.ts'
import type { Router } from './routes.ts'
import type { Upstream } from './upstream.ts'
import type { Vouching } from './who.ts'

/** What the parts of a running proxy share. */
export type ProxyParts = {
  readonly config: HttpConfig
  readonly recorder: SessionRecorder
  readonly upstream: Upstream
  readonly router: Router
  readonly vouch: Vouching
  /** Whether what a peer says of the way that a request has come goes on. */
  readonly isTrusted: Addresses
  /** Whether what a peer says of who asks is believed. */
  readonly isBelieved: Addresses
  readonly methods: ReadonlySet<string>
  readonly metrics: HttpMetrics
  /** Tells people something: a line on stderr. */
  say(text: string): void
  isDraining(): boolean
  /** Aborted when what is under way is waited for no longer. */
  readonly stop: AbortSignal
  /** What is waited for at the end. */
  track(work: Promise<unknown>): void
  /** The answer to what should not have happened, which is said. */
  internal(error: unknown): HttpRefusal
}
