import type { FastifyBaseLogger } from 'fastify'
import type pg from 'pg'
import type { Registry } from 'prom-client'
import type { Ledger } from '../ledger/ledger.ts'
import type { TargetSettings } from './settings.ts'

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

/** A running anchor worker. */
export type Anchoring = {
  /** The log has grown; the worker decides whether that is worth an anchor now. */
  ring(): Promise<void>
  /** Shown in `/readyz`. */
  status(): unknown
  close(): Promise<void>
}
