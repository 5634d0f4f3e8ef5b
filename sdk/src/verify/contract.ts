/** AnchorLog as a reader sees it: one view function and the hash of its published runtime code. */
import { keccak_256 } from '@noble/hashes/sha3.js'
import { fromHex, toHex, utf8 } from '../core/bytes.ts'

/**
 * keccak256 of the runtime code, 0x and 64 lower-case hex digits, that `contracts/AnchorLog.sol` compiles to with the pinned
 * compiler and settings. The contract has no immutables, so this is its EXTCODEHASH on every chain.
 */
export const ANCHOR_LOG_CODE_HASH = '0x9c3aa3f27069692b923d96c1de108f75800790e1d634d5d5606f0331831122ea'

/** The hash of code as `eth_getCode` returns it, with hex digits of either case; null if it is not hex. */
export function codeHash(code: unknown): string | null {
  const bytes = typeof code === 'string' && code.startsWith('0x') ? fromHex(code.slice(2).toLowerCase()) : null
  return bytes && `0x${toHex(keccak_256(bytes))}`
}

const SELECTOR = toHex(keccak_256(utf8('isAnchored(bytes32,uint64,bytes32,uint32)')).slice(0, 4))

/** Call data of `isAnchored(logId, size, root, time)`. */
export function encodeIsAnchored(logId: string, size: number, root: Uint8Array, time: number): string {
  const word = (value: number) => value.toString(16).padStart(64, '0')
  return `0x${SELECTOR}${logId.slice(2)}${word(size)}${toHex(root)}${word(time)}`
}

const word = (value: 0 | 1) => `0x${String(value).padStart(64, '0')}`

/** The boolean that a call returned; null if it returned anything else. A call to an address without code returns nothing. */
export function decodeBool(result: unknown): boolean | null {
  return result === word(1) ? true : result === word(0) ? false : null
}
