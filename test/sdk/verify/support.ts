// A proof whose anchor stands in a real contract on a real chain.
import { type Anchor, EMPTY_ROOT } from '@killick/sdk/verify'
import { Contract, JsonRpcProvider, sha256, toUtf8Bytes, Wallet } from 'ethers'
import { makeWorld, ORIGIN, type World } from '../../../scripts/lib/vectors/world.ts'
import { anchorLog } from '../../support/chain.ts'
import type { LocalChain } from '../../support/local-chain.ts'

/** `snapshot`: of the chain, before the anchor. */
export type AnchoredWorld = World & { snapshot: string; codeHash: string }

export async function anchorWorld(chain: LocalChain): Promise<AnchoredWorld> {
  const { url, rpc } = chain
  const { proof, trust } = await makeWorld()
  const provider = new JsonRpcProvider(url, undefined, { staticNetwork: true, pollingInterval: 20, cacheTimeout: -1 })
  try {
    const contract = await chain.deployAnchorLog()
    const publisher = new Wallet(chain.key(0), provider)
    const log = new Contract(contract, anchorLog.abi, publisher)
    const originHash = sha256(toUtf8Bytes(ORIGIN))
    await (await log.getFunction('open').send(originHash)).wait()
    const logId = (await log.getFunction('logIdOf').staticCall(publisher.address, originHash)) as string
    const snapshot = await rpc<string>('evm_snapshot')
    const { size, root } = proof.anchors[0]!
    const receipt = await (await log.getFunction('anchor').send(logId, size, root, EMPTY_ROOT, [])).wait()
    const time = (await receipt!.getBlock()).timestamp
    const where = { chainId: chain.chainId, contract, logId }
    const anchor: Anchor = { ...where, size, root, time, transaction: receipt!.hash, block: receipt!.blockNumber }
    return {
      proof: { ...proof, anchors: [anchor] },
      trust: { ...trust, logs: [where] },
      snapshot,
      codeHash: anchorLog.codeHash,
    }
  } finally {
    provider.destroy()
  }
}
