import { ContractFactory, FetchRequest, JsonRpcProvider, Wallet } from 'ethers'
import artifact from '../AnchorLog.json' with { type: 'json' }

/**
 * Deploys AnchorLog from a key's account.
 * @param privateKey 0x and 64 hex digits
 * @returns its address, 0x and lower case
 */
export async function deployAnchorLog({ rpcUrl, privateKey }: { rpcUrl: string; privateKey: string }): Promise<string> {
  const provider = new JsonRpcProvider(new FetchRequest(rpcUrl), undefined, {
    ...{ staticNetwork: true, batchMaxCount: 1, cacheTimeout: -1, pollingInterval: 100 },
  })
  try {
    const contract = await new ContractFactory(
      artifact.abi,
      artifact.bytecode,
      new Wallet(privateKey, provider),
    ).deploy()
    return (await (await contract.waitForDeployment()).getAddress()).toLowerCase()
  } finally {
    provider.destroy()
  }
}
