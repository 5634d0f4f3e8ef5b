// What the requests of one recorder over HTTP share.
import type { FairShare } from '../../fairness.ts'
import type { McpConfig, McpHttp } from '../config.ts'
import type { HttpSessions } from './sessions.ts'
import type { McpUpstream } from './upstream.ts'

export type HttpParts = {
  readonly config: McpConfig
  readonly http: McpHttp
  readonly sessions: HttpSessions
  readonly upstream: McpUpstream
  /** Bytes of clients' bodies, which addresses share. */
  readonly memory: FairShare
  /** Tells people something: a line on stderr. */
  readonly say: (text: string) => void
  /** The same of what clients can bring about as often as they like. */
  readonly often: (text: string) => void
}
