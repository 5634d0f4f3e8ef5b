import { getBytes, hexlify, recoverAddress, Signature, Transaction, Wallet } from 'ethers'

/**
 * Signs transactions: a key in this process, or anything else that signs 32-byte digests with a secp256k1 key, which a KMS or an
 * HSM can do.
 */
export type ChainSigner = {
  /** 0x and 40 lower-case hex digits. */
  readonly address: string
  /**
   * ECDSA signature over a digest (Keccak-256 of the unsigned transaction): r ‖ s, 0x and 128 hex digits. Which of the
   * two forms of s it is does not matter, and what follows (a recovery byte) is not read.
   */
  signDigest(digest: string): Promise<string>
}

/** @param privateKey 0x and 64 hex digits */
export function keySigner(privateKey: string): ChainSigner {
  const { address, signingKey } = new Wallet(privateKey)
  return { address: address.toLowerCase(), signDigest: async (digest) => signingKey.sign(digest).serialized }
}

export type TransactionFields = {
  chainId: number
  nonce: number
  to: string
  data: string
  gas: bigint
  /** wei; default 0 */
  value?: bigint
  /** wei per gas; without a tip the transaction is of the old kind, with one price */
  max: bigint
  tip: bigint | null
}

/** The signed transaction and its hash, 0x. @throws if the signature is not the signer's */
export async function signTransaction(
  signer: ChainSigner,
  { chainId, nonce, to, data, gas, max, tip, value = 0n }: TransactionFields,
): Promise<{ raw: string; transaction: string }> {
  const fees = tip === null ? { type: 0, gasPrice: max } : { type: 2, maxFeePerGas: max, maxPriorityFeePerGas: tip }
  const signed = Transaction.from({ chainId, nonce, to, data, gasLimit: gas, value, ...fees })
  signed.signature = completeSignature(
    signed.unsignedHash,
    await signer.signDigest(signed.unsignedHash),
    signer.address,
  )
  return { raw: signed.serialized, transaction: signed.hash! }
}

/** Half the order of secp256k1: Ethereum takes the smaller of the two values of s (EIP-2). */
const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n

/** Brings s into the lower half and finds the parity: what Ethereum wants beyond an ECDSA signature. */
function completeSignature(digest: string, signature: string, address: string): Signature {
  if (!/^0x([0-9a-f]{128}|[0-9a-f]{130})$/i.test(signature)) throw new Error('the signer did not answer with r and s')
  const bytes = getBytes(signature)
  const [r, given] = [hexlify(bytes.slice(0, 32)), BigInt(hexlify(bytes.slice(32, 64)))]
  const low = given > ORDER / 2n ? ORDER - given : given
  const s = `0x${low.toString(16).padStart(64, '0')}`
  for (const yParity of [0, 1] as const) {
    try {
      const complete = Signature.from({ r, s, yParity })
      if (recoverAddress(digest, complete).toLowerCase() === address) return complete
    } catch {
      // r is no point of the curve with this parity
    }
  }
  throw new Error('the signature is not that of the signer’s key')
}
