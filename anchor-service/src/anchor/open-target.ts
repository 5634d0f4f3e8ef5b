import { StartError } from '../errors.ts'
import { type Chain, logIdOf, openChain } from './chain/chain.ts'
import { openSigner } from './chain/open-signer.ts'
import type { ChainSigner } from './chain/signer.ts'
import { nodesOf, type TargetSettings } from './settings.ts'
import type { Target } from './target.ts'

/** A configured target, with what it is reached by. */
export type OpenTarget = { target: Target; chain: Chain; signer: ChainSigner }

/** @throws StartError if its key cannot be used */
export async function openTarget(settings: TargetSettings, origin: string): Promise<OpenTarget> {
  const { name, contract, key, logId, maxFeeGwei, ...rest } = settings
  const signer = await openSigner(key).catch((error) => {
    throw new StartError(`Target ${name}: ${error.message}.`)
  })
  const own = logIdOf(signer.address, origin)
  const fees = { cap: BigInt(maxFeeGwei) * 1_000_000_000n }
  const target = { ...rest, name, contract, logId: logId ?? own, mayOpen: (logId ?? own) === own, lagMs: LAG_MS, fees }
  return { target, signer, chain: openChain(nodesOf(settings)) }
}

const LAG_MS = 10_000
