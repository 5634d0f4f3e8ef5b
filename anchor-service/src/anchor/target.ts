import type { FeeLimits } from './chain/chain.ts'

/** One log in one contract on one chain, and how to anchor to it. */
export type Target = {
  /** Its name in configuration, metrics, API and queue: lower-case letters, digits and dashes. */
  name: string
  /** 0x, lower case, like every chain identifier. */
  contract: string
  /** The log's id: the key's own log for the origin or, after a hand-over, the log that an earlier key opened. */
  logId: string
  /** Whether the key itself can open this log. */
  mayOpen: boolean
  /** Shortest time between two anchors, unless the log grows fast. ms */
  intervalMs: number
  /** Entries after which to anchor without waiting for the interval. */
  growth: number
  /** Blocks, counting its own, after which an anchor counts; and after which it is final, on chains without finality. */
  confirmations: number
  /** How often to look at an anchor that is under way. ms */
  pollMs: number
  /** How long a transaction may wait before its fee is raised. ms */
  bumpAfterMs: number
  /** How long nodes may be behind a block that they have shown, or a transaction that they took, before it counts as gone. ms */
  lagMs: number
  fees: FeeLimits
  /** Warn when the balance pays for fewer anchors than this. */
  balanceAnchors: number
}
