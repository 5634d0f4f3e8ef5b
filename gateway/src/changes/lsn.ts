// Places in PostgreSQL's write-ahead log.

const LSN = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/

/** A place in the write-ahead log from its text, such as `16/B374D848`; null for what is none. */
export function parseLsn(text: unknown): bigint | null {
  const parts = typeof text === 'string' ? LSN.exec(text) : null
  return parts === null ? null : (BigInt(`0x${parts[1]}`) << 32n) | BigInt(`0x${parts[2]}`)
}

/** As PostgreSQL 18 prints it; every version reads it, and texts of the same length sort as the places do. */
export function printLsn(lsn: bigint): string {
  const low = (lsn & 0xffffffffn).toString(16).padStart(8, '0')
  return `${(lsn >> 32n).toString(16)}/${low}`.toUpperCase()
}

/** A time of PostgreSQL with its microseconds, as RFC 3339 in UTC. @param micros since 1970 */
export function printMicros(micros: bigint): string {
  const text = new Date(Number(micros / 1000n)).toISOString()
  return `${text.slice(0, -1)}${(micros % 1000n).toString().padStart(3, '0')}Z`
}
