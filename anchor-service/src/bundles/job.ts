import type { BundleConditions } from '@killick/sdk/make-bundle'

/** What was asked for. Of an optional member there is none, so that the same request has one form. */
export type RequestedBundle = { [name in keyof BundleConditions]?: NonNullable<BundleConditions[name]> }

/**
 * A bundle that somebody asked for, as its state file has it. Times are ISO 8601 in UTC.
 *
 * - `waiting`: nobody has begun with it, or the process that had is gone
 * - `running`: it is being made
 * - `done`: its file is whole and on the disk
 * - `failed`: `error` says why
 */
export type BundleJob = {
  readonly id: string
  readonly state: 'waiting' | 'running' | 'done' | 'failed'
  readonly conditions: RequestedBundle
  /** The role that asked. */
  readonly by: string
  readonly askedAt: string
  readonly startedAt: string | null
  readonly finishedAt: string | null
  /** The newest log entry by which something of events was gone when it was begun; null: there was none. Absent: it is not known. */
  readonly gone?: number | null
  /** How often it was begun and not ended, because the process was killed. */
  readonly attempts: number
  /** So far. */
  readonly entries: number
  readonly events: number
  readonly bytes: number
  /** How many entries there will be; null: not known yet. */
  readonly of: number | null
  /** SHA-256 of the file, lower-case hex. */
  readonly sha256: string | null
  /** What the bundle says that it holds all of: `scope` of its manifest. */
  readonly scope: object | null
  readonly error: { readonly code: string; readonly detail: string } | null
}

/** The same for requests that ask for the same. */
export const keyOf = (conditions: RequestedBundle): string =>
  JSON.stringify(Object.entries(conditions).sort(([a], [b]) => (a < b ? -1 : 1)))

/** What has been made of a job so far, before any of it. */
export const NOTHING_YET = {
  ...{ startedAt: null, finishedAt: null, entries: 0, events: 0, bytes: 0 },
  ...{ of: null, sha256: null, scope: null, error: null },
} as const

/** Why there is no room for a file, and whether that is so. */
export const DISK_FULL = 'The disk is full.'
export const isFull = (error: unknown): boolean =>
  ['ENOSPC', 'EDQUOT'].includes(String((error as NodeJS.ErrnoException).code))
