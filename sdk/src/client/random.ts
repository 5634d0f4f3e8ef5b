// Random bytes for salts and ids, drawn from the system in blocks: a call for each salt would cost as much as hashing a field.
import { randomFillSync } from 'node:crypto'

const POOL_BYTES = 16_384
const pool = Buffer.alloc(POOL_BYTES)
let used = POOL_BYTES

/** `length` fresh random bytes, valid until the next call: read them at once. */
const take = (length: number): Buffer => {
  if (used + length > POOL_BYTES) {
    randomFillSync(pool)
    used = 0
  }
  used += length
  return pool.subarray(used - length, used)
}

/** A new 128-bit salt, base64url. */
export const saltText = (): string => take(16).toString('base64url')

/**
 * A UUIDv7 (RFC 9562 §5.7): 48 bits of time, 74 random bits.
 * @param time ms since 1970, a whole number
 */
export function uuidv7(time: number): string {
  const random = take(10)
  random[0] = 0x70 | ((random[0] as number) & 0x0f)
  random[2] = 0x80 | ((random[2] as number) & 0x3f)
  const hex = time.toString(16).padStart(12, '0') + random.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
