import type { FastifyBaseLogger } from 'fastify'
import type pg from 'pg'
import type { Registry } from 'prom-client'
import type { Ledger } from '../ledger/ledger.ts'
import type { Chain } from './chain/chain.ts'
import type { Doorbell } from './queue.ts'
import type { TargetSettings } from './settings.ts'
import type { Keeper } from './visits.ts'

/** What the anchor worker is given. */
export type AnchoringDeps = {
  targets: readonly TargetSettings[]
  /** Null: the queue is in the database. */
  redisUrl: string | null
  /** For a queue that keeps its own connections. */
  databaseUrl: string
  pool: pg.Pool
  ledger: Ledger
  /** Where the worker's metrics go. */
  registry: Registry
  log: FastifyBaseLogger
}

/** What a target says of itself in `/readyz`. */
export type TargetStatus = ReturnType<Keeper['status']> & {
  target: string
  contract: string
  logId: string
  /** The account that anchors. 0x, lower case */
  publisher: string
  /** What it has, in wei as decimal text; null: not read yet. */
  funds: { balance: string; anchors: number; isLow: boolean } | null
  queue: ReturnType<Doorbell['status']>
  nodes: ReturnType<Chain['nodes']>
}

/** A running anchor worker. */
export type Anchoring = {
  /** The log has grown; the worker decides whether that is worth an anchor now. */
  ring(): Promise<void>
  /** Shown in `/readyz`. */
  status(): { targets: TargetStatus[] }
  close(): Promise<void>
}
