import { fileURLToPath } from 'node:url'
import { ContractFactory, HDNodeWallet, hexlify, JsonRpcProvider, randomBytes, Wallet } from 'ethers'
import artifact from '../../anchor-service/src/anchor/chain/AnchorLog.json' with { type: 'json' }
import type { ChainServerOptions } from './chain-server.ts'
import { startNode } from './processes.ts'

/** A private Ethereum chain: a real Hardhat node on a free loopback port. It mines a block per transaction. */
export interface RunningChain {
  readonly url: string
  readonly chainId: number
  /** One JSON-RPC call; throws with the node's message when it answers with an error. */
  rpc<Result>(method: string, params?: readonly unknown[]): Promise<Result>
  /** Private key (0x + 64 hex) of one of the twenty funded accounts of the well-known development mnemonic. */
  key(index: number): string
  /** A new account nobody else has, with 1,000 ether; the answer is its private key. */
  newKey(): Promise<string>
  /** Deploys AnchorLog with `key` (default: account 0) and returns its address, in lower case. */
  deployAnchorLog(key?: string): Promise<string>
}

/** One that is a process of its own. */
export interface LocalChain extends RunningChain {
  readonly pid: number
  /** Resolves when the node has ended, for whatever reason. */
  readonly exited: Promise<void>
  stop(): Promise<void>
}

const MNEMONIC = 'test test test test test test test test test test test junk'
const program = fileURLToPath(new URL('chain-node.ts', import.meta.url))

export interface LocalChainOptions {
  /** Default 0: a free one. */
  port?: number
  /** Default 31337, as development tools expect. */
  chainId?: number
  /** Mines an empty block this often, as a live chain would, beside the block per transaction. Default: never. */
  blockTimeMs?: number
  /**
   * When the chain began, seconds since 1970. Then its clock is the wall's: blocks within a second share it. Default: now, and
   * each block is at least a second later than the one before it, so that many blocks bring the clock ahead.
   */
  since?: number
}

/** Resolves once the node answers, in about half a second. */
export async function startChain(options: LocalChainOptions = {}): Promise<LocalChain> {
  const { port = 0, chainId = 31_337, blockTimeMs = 0, since } = options
  const asked: ChainServerOptions = { port, chainId, ...(since !== undefined && { since }) }
  const node = await startNode([program, JSON.stringify(asked)])
  const url = (await node.printed(/chain is at (http:\/\/[\d.]+:\d+)\//))[1]!
  const chain = chainAt(url, chainId)
  if (blockTimeMs > 0) await chain.rpc('evm_setIntervalMining', [blockTimeMs])
  return { ...chain, pid: node.pid, exited: node.exited.then(() => {}), stop: () => node.stop() }
}

/** What may be done with a development chain that runs. */
export function chainAt(url: string, chainId: number): RunningChain {
  let id = 0
  async function rpc<Result>(method: string, params: readonly unknown[] = []): Promise<Result> {
    const body = JSON.stringify({ jsonrpc: '2.0', id: ++id, method, params })
    const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    const answer = (await response.json()) as { result: Result; error?: { message: string } }
    if (answer.error) throw new Error(`${method}: ${answer.error.message}`)
    return answer.result
  }

  const key = (index: number) => HDNodeWallet.fromPhrase(MNEMONIC, undefined, `m/44'/60'/0'/0/${index}`).privateKey
  return {
    url,
    chainId,
    rpc,
    key,
    async newKey() {
      // Without a mnemonic, which takes a hundred times as long.
      const wallet = new Wallet(hexlify(randomBytes(32)))
      await rpc('hardhat_setBalance', [wallet.address, `0x${(1_000n * 10n ** 18n).toString(16)}`])
      return wallet.privateKey
    },
    async deployAnchorLog(deployer = key(0)) {
      const options = { staticNetwork: true, batchMaxCount: 1, pollingInterval: 50 }
      const provider = new JsonRpcProvider(url, undefined, options)
      try {
        const contract = await new ContractFactory(
          artifact.abi,
          artifact.bytecode,
          new Wallet(deployer, provider),
        ).deploy()
        return (await (await contract.waitForDeployment()).getAddress()).toLowerCase()
      } finally {
        provider.destroy()
      }
    },
  }
}
