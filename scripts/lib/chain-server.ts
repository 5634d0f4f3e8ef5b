// Hardhat's simulated chain behind HTTP, in this process. `hardhat node` does the same in twice the time, which goes into a TypeScript
// loader, source maps and a watch over compiled contracts: docs/decisions/0010.
import { createHardhatRuntimeEnvironment } from 'hardhat/hre'

export interface ChainServerOptions {
  /** 0: a free one. */
  port: number
  chainId: number
  /** See `LocalChainOptions`. */
  since?: number
}

export interface ChainServer {
  readonly url: string
  /** Takes no more requests, and ends once those under way are answered. */
  close(): Promise<void>
}

const config = { networks: { node: { type: 'edr-simulated', chainType: 'l1', hardfork: 'osaka' } } } as const
const hre = await createHardhatRuntimeEnvironment(config, {}, import.meta.dirname)

/** A chain of its own: it shares nothing with others of this process. */
export async function openChainServer({ port, chainId, since }: ChainServerOptions): Promise<ChainServer> {
  const clock = since === undefined ? {} : { allowBlocksWithSameTimestamp: true, initialDate: new Date(since * 1000) }
  const params = { network: 'node', override: { chainId, ...clock } }
  const server = await hre.network.createServer(params, '127.0.0.1', port)
  return { url: `http://127.0.0.1:${(await server.listen()).port}`, close: () => server.close() }
}
