// What the checks of tables share while the log is walked.

import type { AuditReason, Fault } from '@killick/sdk/audit'
import { RowCursor } from '@killick/sdk/audit'
import type { JsonValue } from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'

/** A row as JSON, so that no value can fail the query, however it was altered; times in µs since 1970. */
export type Columns = { readonly [column: string]: JsonValue }
export type KeyedRow = { key: number; columns: Columns }

/** What is known of the entry that the walk is at. */
export type Walk = {
  /** When it was accepted, by the column that nobody signs. µs; null: the database does not say. */
  acceptedAt: number | null
  /** The latest such time up to here. */
  latest: number
}

/** How far times that nobody signs may lie from signed ones, or stand out of order. µs */
export const TOLERANCE = 3_600_000_000

const PAGE = 500

/** @param sql gives `key` and `columns` of at most $2 rows with keys above $1, the smallest first; $3 and more are `values` */
export function cursor(db: Db, sql: string, values: readonly unknown[] = []): RowCursor<KeyedRow> {
  return new RowCursor<KeyedRow>(
    async (after) => (await db.query<KeyedRow>(sql, [after, PAGE, ...values])).rows,
    ({ key }) => key,
  )
}

/** A time in µs, whatever somebody has made of it. */
export const micros = (column: string) => `extract(epoch from ${column}) * 1000000`

export const fault = (logIndex: number | null, reason: AuditReason, message: string): Fault => ({
  place: logIndex === null ? null : { logIndex },
  reason,
  message,
})

/** Names of the columns that are not as expected. Their values may be personal, so they are not shown. */
export function differing(columns: Columns, expected: { readonly [column: string]: unknown }): string[] {
  return Object.keys(expected).filter(
    (name) => JSON.stringify(columns[name] ?? null) !== JSON.stringify(expected[name] ?? null),
  )
}
