// The program that test/support/local-chain.ts asks for the chains of all test files of a worker: to load Hardhat takes longer than to
// make a chain.
import { flushCompileCache } from 'node:module'
import { type ChainServer, type ChainServerOptions, openChainServer } from '../../scripts/lib/chain-server.ts'

/** `close` has the URL of a chain that is no longer needed. */
export type ChainWork = { open: ChainServerOptions } | { close: string }
export type ChainAsk = { id: number; work: ChainWork }
export type ChainAnswer = { id: number; url: string } | { id: number; error: string }

const chains = new Map<string, ChainServer>()

async function perform(work: ChainWork): Promise<string> {
  if ('open' in work) {
    const chain = await openChainServer(work.open)
    chains.set(chain.url, chain)
    return chain.url
  }
  const { close: url } = work
  await chains.get(url)!.close()
  chains.delete(url)
  return url
}

process.on('message', ({ id, work }: ChainAsk) => {
  perform(work).then(
    (url) => process.send!({ id, url } satisfies ChainAnswer),
    (error: Error) => process.send!({ id, error: String(error.stack) } satisfies ChainAnswer),
  )
})
// It waits for questions, and ends with whoever asks them.
process.channel!.ref()
console.log('ready')
flushCompileCache()
