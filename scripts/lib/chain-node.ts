// The program that `startChain` starts: a chain behind HTTP, until it is ended.
//
//   node scripts/lib/chain-node.ts <options as JSON>
import { flushCompileCache } from 'node:module'
import { type ChainServerOptions, openChainServer } from './chain-server.ts'

const { url } = await openChainServer(JSON.parse(process.argv[2]!) as ChainServerOptions)
console.log(`The chain is at ${url}/`)
// A signal ends this program, and would leave nothing in the cache for the next one.
flushCompileCache()
