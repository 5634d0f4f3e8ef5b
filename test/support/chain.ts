import { BrowserProvider, ContractFactory, Interface, type InterfaceAbi, type JsonRpcSigner } from 'ethers'
import { network } from 'hardhat'
import artifact from '../../anchor-service/src/anchor/chain/AnchorLog.json' with { type: 'json' }

/** A private Ethereum chain inside this process; a transaction is mined as it is sent. Close it when done. */
export interface Chain {
  provider: BrowserProvider
  /** Twenty funded accounts. */
  signers: JsonRpcSigner[]
  deploy(contract: { abi: InterfaceAbi; bytecode: string }): Promise<string>
  close(): Promise<void>
}

export async function openChain(): Promise<Chain> {
  const connection = await network.create()
  // A mined chain has no need of polling, and a cached answer may be older than the last transaction.
  const provider = new BrowserProvider(connection.provider, undefined, { cacheTimeout: -1, pollingInterval: 20 })
  const signers = await provider.listAccounts()
  return {
    provider,
    signers,
    async deploy({ abi, bytecode }) {
      const contract = await new ContractFactory(abi, bytecode, signers[0]!).deploy()
      return await (await contract.waitForDeployment()).getAddress()
    },
    async close() {
      provider.destroy()
      await connection.close()
    },
  }
}

export const anchorLog = artifact
export const anchorLogInterface = new Interface(artifact.abi)
