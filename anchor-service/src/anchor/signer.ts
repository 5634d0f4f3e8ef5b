import { readFile } from 'node:fs/promises'
import { Signature, Transaction, Wallet } from 'ethers'

/**
 * Who signs transactions. A key in this process, or anything else that signs 32-byte digests with a secp256k1 key: a KMS
 * or HSM fits, because nothing more is asked of it.
 */
export type ChainSigner = {
  /** 0x and 40 lower-case hex digits. */
  readonly address: string
  /** Signature over a digest (Keccak-256 of the unsigned transaction): r ‖ s ‖ yParity, as 0x and 130 hex digits. */
  signDigest(digest: string): Promise<string>
}

export function keySigner(privateKey: string): ChainSigner {
  const wallet = new Wallet(privateKey)
  return {
    address: wallet.address.toLowerCase(),
    signDigest: async (digest) => wallet.signingKey.sign(digest).serialized,
  }
}

/** The signed transaction, 0x, and its hash. @throws where the signature is not the signer's */
export async function signTransaction(
  signer: ChainSigner,
  fields: {
    chainId: number
    nonce: number
    to: string | null
    data: string
    gas: bigint
    max: bigint
    tip: bigint | null
  },
): Promise<{ raw: string; transaction: string }> {
  const { chainId, nonce, to, data, gas, max, tip } = fields
  const fees = tip === null ? { type: 0, gasPrice: max } : { type: 2, maxFeePerGas: max, maxPriorityFeePerGas: tip }
  const signed = Transaction.from({ chainId, nonce, to, data, gasLimit: gas, value: 0n, ...fees })
  signed.signature = Signature.from(await signer.signDigest(signed.unsignedHash))
  if (signed.from?.toLowerCase() !== signer.address) throw new Error('the signer signed with another key than its own')
  return { raw: signed.serialized, transaction: signed.hash! }
}

/** A private key, 0x and 64 hex digits (0x may be missing), or the path of a file that holds one. Errors never show the key. */
export async function openKey(keyOrFile: string): Promise<ChainSigner> {
  const isKey = (text: string) => /^(0x)?[0-9a-fA-F]{64}$/.test(text)
  const text = isKey(keyOrFile) ? keyOrFile : (await readFile(keyOrFile, 'utf8').catch(() => '')).trim()
  if (!isKey(text)) throw new Error('it is neither a private key (64 hex digits) nor the path of a file that holds one')
  return keySigner(text.startsWith('0x') ? text : `0x${text}`)
}
