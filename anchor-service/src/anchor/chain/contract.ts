import { type Hash, sha256, utf8 } from '@killick/sdk/core'
import { ANCHOR_LOG_CODE_HASH } from '@killick/sdk/verify'
// By parts, because all of ethers takes half as long again to load, and each audit loads this.
import { AbiCoder, Interface } from 'ethers/abi'
import { ZeroAddress } from 'ethers/constants'
import { keccak256 } from 'ethers/crypto'
import { Transaction } from 'ethers/transaction'
import { hexlify } from 'ethers/utils'
import artifact from './AnchorLog.json' with { type: 'json' }

/** Encodes calls to AnchorLog and decodes its answers. Addresses and hashes are 0x and lower case. */
const abi = new Interface(artifact.abi)

export type LogHead = { publisher: string; size: number; time: number }

export const isPublishedCode = (code: string): boolean => keccak256(code) === ANCHOR_LOG_CODE_HASH
export const deploymentCode: string = artifact.bytecode

export function originHash(origin: string): string {
  return hexlify(sha256(utf8(origin)))
}

/** Id of the log that `creator` opens for an origin; a hand-over does not change it. */
export function logIdOf(creator: string, origin: string): string {
  return keccak256(AbiCoder.defaultAbiCoder().encode(['address', 'bytes32'], [creator, originHash(origin)]))
}

export const calls = {
  open: (origin: string) => abi.encodeFunctionData('open', [originHash(origin)]),
  anchor: (logId: string, size: number, root: Hash, oldRoot: Hash, path: readonly Hash[]) =>
    abi.encodeFunctionData('anchor', [logId, size, hexlify(root), hexlify(oldRoot), path.map((hash) => hexlify(hash))]),
  head: (logId: string) => abi.encodeFunctionData('head', [logId]),
  isAnchored: (logId: string, size: number, root: Hash, time: number) =>
    abi.encodeFunctionData('isAnchored', [logId, size, hexlify(root), time]),
  offerPublisher: (logId: string, to: string) => abi.encodeFunctionData('offerPublisher', [logId, to]),
  acceptPublisher: (logId: string) => abi.encodeFunctionData('acceptPublisher', [logId]),
}

/** The head of a log; null if no log was opened. @throws if another contract is at the address */
export function decodeHead(result: string): LogHead | null {
  const [publisher, size, time] = abi.decodeFunctionResult('head', result) as unknown as [string, bigint, bigint]
  if (publisher === ZeroAddress) return null
  return { publisher: publisher.toLowerCase(), size: Number(size), time: Number(time) }
}

/** Name and arguments of the contract's own error, or null for any other revert data. */
export function explainRevert(data: string | null): string | null {
  const error = data === null || data.length < 10 ? null : abi.parseError(data)
  return error === null ? null : `${error.name}(${error.args.join(', ')})`
}

/**
 * The content of a signed transaction. Hex is 0x and lower case; fees are wei per gas, in decimal digits; `maxPriorityFee` is null
 * if the transaction has a single gas price.
 */
export type SignedCall = {
  transaction: string
  sender: string
  nonce: number
  chainId: number
  contract: string
  maxFee: string
  maxPriorityFee: string | null
  /** `open` with the hash of the origin, or `anchor` with log id, size and root; null if it is not a call of AnchorLog's. */
  call: { name: string; args: readonly string[] } | null
}

/** Transactions that were read: each audit reads those of the audit before again, and to find the sender of one takes milliseconds. */
const known = new Map<string, Readonly<SignedCall>>()
const MOST_KNOWN = 1_000
/** Characters. What we sign is shorter, and a database may hold anything. */
const LONGEST_KNOWN = 10_000

/** Reads a raw transaction; null if it is not one. */
export function readSigned(raw: string): Readonly<SignedCall> | null {
  const before = known.get(raw)
  if (before !== undefined) return before
  const signed = parseSigned(raw)
  if (signed === null || raw.length > LONGEST_KNOWN) return signed
  if (known.size >= MOST_KNOWN) known.delete(known.keys().next().value!)
  known.set(raw, signed)
  return signed
}

function parseSigned(raw: string): SignedCall | null {
  try {
    const { hash, from, nonce, chainId, to, data, gasPrice, maxFeePerGas, maxPriorityFeePerGas } = Transaction.from(raw)
    const parsed = abi.parseTransaction({ data })
    return {
      ...{
        transaction: hash!,
        sender: from!.toLowerCase(),
        nonce,
        chainId: Number(chainId),
        contract: to!.toLowerCase(),
      },
      maxFee: String(maxFeePerGas ?? gasPrice),
      maxPriorityFee: maxFeePerGas === null ? null : String(maxPriorityFeePerGas),
      call: parsed && { name: parsed.name, args: parsed.args.slice(0, 3).map(String) },
    }
  } catch {
    return null
  }
}
