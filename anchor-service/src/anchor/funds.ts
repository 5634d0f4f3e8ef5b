import type { Chain } from './chain/chain.ts'
import type { ChainSigner } from './chain/signer.ts'
import type { Target } from './target.ts'

export type Funds = {
  /** wei */
  balance: bigint
  /** Anchors that the balance pays for at the current gas price. */
  anchors: number
  isLow: boolean
}

/** What the dearest anchor of a million entries uses, rounded up (contracts/GAS.md). */
const GAS_OF_ANCHOR = 90_000n

/** How long the publisher's money will last. @throws RpcError */
export async function readFunds(chain: Chain, signer: ChainSigner, target: Target): Promise<Funds> {
  const [balance, { base, tip }] = await Promise.all([chain.balance(signer.address), chain.market()])
  const anchors = Number(balance / (GAS_OF_ANCHOR * ((base ?? 0n) + tip) || 1n))
  return { balance, anchors, isLow: anchors < target.balanceAnchors }
}
