import pg from 'pg'

/** Node's codes for a connection that cannot be made or that broke. */
const CONNECTION = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'EADDRNOTAVAIL', 'EMFILE'],
  ...['ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ENETDOWN'],
  ...['ERR_STREAM_DESTROYED', 'ERR_STREAM_WRITE_AFTER_END'],
])
/** Codes of OpenSSL and Node. */
const TLS =
  /CERT|^(ERR_(SSL|TLS|OSSL)_|UNABLE_TO_VERIFY_LEAF_SIGNATURE$|HOSTNAME_MISMATCH$|INVALID_(CA|PURPOSE)$|PATH_LENGTH_EXCEEDED$)/
/** Messages of errors that pg and its pool throw without a code. */
const BROKEN =
  /^(Connection terminated|timeout e|Client has encountered|Client was closed|Cannot use a pool after|Query read timeout|SASL: |The server does not support SSL|There was an error establishing an SSL)/

/** Whether a connection is not made for want of TLS: a certificate of either side has expired, is foreign, or names another. */
export const isTlsFault = (error: Error): boolean => TLS.test(String((error as NodeJS.ErrnoException).code))

/**
 * Whether the database is at fault, and not the statement. By SQLSTATE: connection, an idle transaction, a login that is refused (its password was
 * changed), no such database, rollback, resources (a full disk is 53100), not in the right state, intervention, system; else by a connection that
 * broke or is not made. Ask on the thread where the error occurs: it loses its class and code on the way to another.
 */
export function isOutage(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) return /^(08|25006|25P03|28|3D|40|53|55|57|58)/.test(error.code ?? '08')
  if (!(error instanceof Error)) return false
  const { code, syscall } = error as NodeJS.ErrnoException
  return CONNECTION.has(String(code)) || isTlsFault(error) || syscall === 'connect' || BROKEN.test(error.message)
}

/** Whether the database refused a row that does not fit those it has. */
export const breaksConstraint = (error: unknown): boolean =>
  error instanceof pg.DatabaseError && /^23/.test(error.code ?? '')
