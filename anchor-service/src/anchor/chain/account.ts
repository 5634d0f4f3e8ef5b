import { setTimeout as sleep } from 'node:timers/promises'
import { type Chain, explainRevert, isPayable, openingFees, RpcError, type SendResult, type Sighting } from './chain.ts'
import type { ChainSigner } from './signer.ts'

const POLL_MS = 500
/** How long nodes may know that a nonce is used, and not by what. ms */
const LAG_MS = 10_000
/** How long a block is waited for, ms. */
const BLOCK_MS = 600_000

export type Spending = {
  chainId: number
  /** Most to pay for a unit of gas. */
  maxFeeGwei: number
}

/**
 * Sends one transaction and waits for its block: for commands that a person runs and watches. (The worker never waits:
 * what it sends is kept in the ledger.)
 * @throws Error with a sentence, also when a fee that the settings allow does not get it into a block
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
  if (!isPayable(fees, market))
    throw new Error(
      `the chain asks ${(market.base ?? market.tip) / 1_000_000_000n} gwei for a unit of gas, and the settings allow ${maxFeeGwei} (KILLICK_MAX_FEE_GWEI). Allow more, or wait until fees fall`,
    )
  const { raw, transaction } = await chain.sign(signer, { chainId, nonce, ...call, gas, fees })
  return deliver(chain, raw, transaction)
}

/**
 * Sends until it is in a block.
 * @param lagMs how long nodes may go on saying that its nonce is used, or that it offers too little. Default 10,000
 * @param blockMs how long it may wait for a block. Default 600,000
 * @throws Error with a sentence
 */
export async function deliver(
  chain: Chain,
  raw: string,
  transaction: string,
  lagMs: number = LAG_MS,
  blockMs: number = BLOCK_MS,
): Promise<Sighting> {
  const began = performance.now()
  /** Which refusal the nodes have repeated since when. */
  let refusal = null as { result: SendResult['result']; since: number } | null
  for (;;) {
    // Sending the same again is harmless, and brings it back to nodes that have lost it.
    const sent = await chain.send(raw)
    const seen = await chain.find(transaction, { block: Number.MAX_SAFE_INTEGER })
    if (seen?.succeeded) return seen
    if (seen) throw new Error(`the contract refused the transaction ${transaction}`)
    if (sent.result === 'unfunded' || sent.result === 'refused') throw new Error(sent.detail)
    const { result } = sent
    const isRefused = result === 'nonce_used' || result === 'underpriced'
    const since: number = refusal?.result === result ? refusal.since : performance.now()
    refusal = { result, since }
    if (isRefused && performance.now() - since > lagMs)
      throw new Error(
        result === 'underpriced'
          ? `the nodes do not take transaction ${transaction}, which offers too little: ${sent.detail}. Allow a higher fee, or wait until fees fall, then run the command again`
          : `the nonce of transaction ${transaction} is used, but the nodes show it in no block: another transaction of this key was faster, or they are behind. See what the chain holds, then run the command again if need be`,
      )
    if (performance.now() - began > blockMs)
      throw new Error(
        `transaction ${transaction} was sent ${Math.round(blockMs / 60_000)} minutes ago and is in no block: it offers too little by now, or the chain stands still. It may yet be mined: see what the chain holds, then run the command again if need be`,
      )
    await sleep(POLL_MS)
  }
}

function explain(error: unknown): never {
  if (error instanceof RpcError) throw new Error(explainRevert(error.data) ?? error.message)
  throw error
}
