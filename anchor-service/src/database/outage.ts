import pg from 'pg'

/** Node's codes for a connection that cannot be made or that broke. */
const CONNECTION = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'EADDRNOTAVAIL', 'EMFILE'],
  ...['ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ENETDOWN'],
  ...['ERR_STREAM_DESTROYED', 'ERR_STREAM_WRITE_AFTER_END'],
])
/** Messages of errors that pg and its pool throw without a code. */
const BROKEN =
  /^(Connection terminated|timeout e|Client has encountered|Client was closed|Cannot use a pool after|Query read timeout|The server does not support SSL|There was an error establishing an SSL)/

/**
 * Whether the database is at fault, and not the statement. By SQLSTATE: connection, an idle transaction, rollback, resources (a full disk is 53100),
 * not in the right state, intervention, system; else by a broken connection. Ask on the thread where the error occurs: it loses
 * its class and code on the way to another.
 */
export function isOutage(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) return /^(08|25006|25P03|40|53|55|57|58)/.test(error.code ?? '08')
  if (!(error instanceof Error)) return false
  const { code, syscall } = error as NodeJS.ErrnoException
  return CONNECTION.has(String(code)) || syscall === 'connect' || BROKEN.test(error.message)
}

/** Whether the database refused a row that does not fit those it has. */
export const breaksConstraint = (error: unknown): boolean =>
  error instanceof pg.DatabaseError && /^23/.test(error.code ?? '')
