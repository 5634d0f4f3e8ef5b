import { setTimeout as sleep } from 'node:timers/promises'
import { type Chain, explainRevert, openingFees, RpcError, type Sighting } from './chain.ts'
import type { ChainSigner } from './signer.ts'

const POLL_MS = 500
/** How long nodes may know that a nonce is used, and not by what. ms */
const LAG_MS = 10_000

export type Spending = {
  chainId: number
  /** Most to pay for a unit of gas. */
  maxFeeGwei: number
}

/**
 * Sends one transaction and waits for its block: for commands that a person runs and watches. (The worker never waits:
 * what it sends is kept in the ledger.)
 * @throws Error with a sentence
 */
export async function transact(
  chain: Chain,
  signer: ChainSigner,
  call: { to: string; data: string; value?: bigint },
  { chainId, maxFeeGwei }: Spending,
): Promise<Sighting> {
  const [gas, nonce, market] = await Promise.all([
    chain.estimate({ from: signer.address, ...call }).catch(explain),
    chain.pendingNonce(signer.address),
    chain.market(),
  ])
  const fees = openingFees(market, { cap: BigInt(maxFeeGwei) * 1_000_000_000n })
  const { raw, transaction } = await chain.sign(signer, { chainId, nonce, ...call, gas, fees })
  return deliver(chain, raw, transaction)
}

/** Sends until it is in a block. @throws Error with a sentence */
export async function deliver(
  chain: Chain,
  raw: string,
  transaction: string,
  lagMs: number = LAG_MS,
): Promise<Sighting> {
  for (let usedSince: number | null = null; ; ) {
    // Sending the same again is harmless, and brings it back to nodes that have lost it.
    const sent = await chain.send(raw)
    const seen = await chain.find(transaction, { block: Number.MAX_SAFE_INTEGER })
    if (seen?.succeeded) return seen
    if (seen) throw new Error(`the contract refused the transaction ${transaction}`)
    if (sent.result === 'unfunded' || sent.result === 'refused') throw new Error(sent.detail)
    usedSince = sent.result === 'nonce_used' ? (usedSince ?? performance.now()) : null
    if (usedSince !== null && performance.now() - usedSince > lagMs)
      throw new Error(
        `the nonce of transaction ${transaction} is used, but the nodes show it in no block: another transaction of this key was faster, or they are behind. See what the chain holds, then run the command again if need be`,
      )
    await sleep(POLL_MS)
  }
}

function explain(error: unknown): never {
  if (error instanceof RpcError) throw new Error(explainRevert(error.data) ?? error.message)
  throw error
}
