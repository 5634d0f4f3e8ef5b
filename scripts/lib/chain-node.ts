// The program that `startChain` starts: Hardhat's simulated chain behind HTTP. `hardhat node` does the same in twice the time,
// which goes into a TypeScript loader, source maps and a watch over compiled contracts: docs/decisions/0010.
//
//   node scripts/lib/chain-node.ts <options as JSON>
import { flushCompileCache } from 'node:module'
import { createHardhatRuntimeEnvironment } from 'hardhat/hre'

export interface ChainNodeOptions {
  port: number
  chainId: number
  /** See `LocalChainOptions`. */
  since?: number
}

const { port, chainId, since } = JSON.parse(process.argv[2]!) as ChainNodeOptions
const config = { networks: { node: { type: 'edr-simulated', chainType: 'l1', hardfork: 'osaka' } } } as const
const hre = await createHardhatRuntimeEnvironment(config, {}, import.meta.dirname)
const clock = since === undefined ? {} : { allowBlocksWithSameTimestamp: true, initialDate: new Date(since * 1000) }
const params = { network: 'node', override: { chainId, ...clock } }
const server = await hre.network.createServer(params, '127.0.0.1', port)
console.log(`The chain is at http://127.0.0.1:${(await server.listen()).port}/`)
// A signal ends this program, and would leave nothing in the cache for the next one.
flushCompileCache()
