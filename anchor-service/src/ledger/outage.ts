import pg from 'pg'

const CONNECTION = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EHOSTUNREACH'])
/** What pg and its pool throw without a code. */
const BROKEN = /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered)/

/**
 * Is the database at fault, rather than what it was asked? By SQLSTATE: connection, rollback, resources (a full disk is
 * 53100), not in the right state, intervention, system; else by the connection that broke.
 */
export function isOutage(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) return /^(08|25006|40|53|55|57|58)/.test(error.code ?? '08')
  if (!(error instanceof Error)) return false
  return CONNECTION.has(String((error as NodeJS.ErrnoException).code)) || BROKEN.test(error.message)
}
