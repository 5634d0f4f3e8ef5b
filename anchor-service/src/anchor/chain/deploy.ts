import { getCreate2Address, keccak256, Transaction, ZeroHash } from 'ethers'
import { deliver, type Spending, transact } from './account.ts'
import { type Chain, openChain } from './chain.ts'
import { deploymentCode, isPublishedCode } from './contract.ts'
import { openNode, quantity } from './rpc.ts'
import type { ChainSigner } from './signer.ts'

/**
 * The deterministic deployment proxy (github.com/Arachnid/deterministic-deployment-proxy), which stands at this address on
 * most chains: it deploys with CREATE2, so that what is deployed has the same address on every chain, whoever pays.
 */
const PROXY = '0x4e59b44847b379578588920ca78fbf26c0b4956c'

/**
 * The transaction that puts the proxy on a chain. Nobody knows the key of its sender: the signature was made up. It names no
 * chain (it is older than EIP-155), so it is valid on each.
 */
const PROXY_TRANSACTION = Transaction.from(
  '0xf8a58085174876e800830186a08080b853604580600e600039806000f350fe7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf31ba02222222222222222222222222222222222222222222222222222222222222222a02222222222222222222222222222222222222222222222222222222222222222',
)

/** Where AnchorLog is, or would be, on every chain. */
export const ANCHOR_LOG_ADDRESS: string = getCreate2Address(PROXY, ZeroHash, keccak256(deploymentCode)).toLowerCase()

export type Deployment = {
  /** 0x, lower case. */
  address: string
  chainId: number
  /** False: it had been there before. */
  isNew: boolean
}

/** Deploys AnchorLog at its one address, unless it is there. @throws Error with a sentence */
export async function deployAnchorLog(options: {
  rpcUrl: string
  signer: ChainSigner
  /** Default 200. */
  maxFeeGwei?: number
  /** The chain that the node must be on; default: any. */
  wanted?: number | null
}): Promise<Deployment> {
  const { rpcUrl, signer, maxFeeGwei = 200, wanted = null } = options
  const node = openNode(rpcUrl, 30_000)
  const codeAt = async (address: string) => String(await node.call('eth_getCode', [address, 'latest']))
  const chainId = quantity(await node.call('eth_chainId', []))
  if (wanted !== null && chainId !== wanted) throw new Error(`${node.label} is on chain ${chainId}, not ${wanted}`)
  const found = await codeAt(ANCHOR_LOG_ADDRESS)
  if (found !== '0x') return { address: ANCHOR_LOG_ADDRESS, chainId, isNew: false }
  const chain = openChain({ urls: [rpcUrl], timeoutMs: 30_000, maxLag: 8 })
  const spending = { chainId, maxFeeGwei }
  if ((await codeAt(PROXY)) === '0x') await deployProxy(chain, signer, spending)
  await transact(chain, signer, { to: PROXY, data: ZeroHash + deploymentCode.slice(2) }, spending)
  if (!isPublishedCode(await codeAt(ANCHOR_LOG_ADDRESS))) {
    throw new Error(`the code at ${ANCHOR_LOG_ADDRESS} is not the published one`)
  }
  return { address: ANCHOR_LOG_ADDRESS, chainId, isNew: true }
}

/** Gives the proxy's nameless sender what its transaction may cost, then sends it. */
async function deployProxy(chain: Chain, signer: ChainSigner, spending: Spending): Promise<void> {
  const { from, gasLimit, gasPrice, serialized } = PROXY_TRANSACTION
  const missing = gasLimit * gasPrice! - (await chain.balance(from!))
  if (missing > 0n) await transact(chain, signer, { to: from!, data: '0x', value: missing }, spending)
  await deliver(chain, serialized, PROXY_TRANSACTION.hash!)
}
