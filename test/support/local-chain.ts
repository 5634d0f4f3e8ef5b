import { fileURLToPath } from 'node:url'
import { chainAt, type LocalChainOptions, type RunningChain, serverOptions } from '../../scripts/lib/local-chain.ts'
import { type ChildHandle, startNode } from '../../scripts/lib/processes.ts'
import type { ChainAnswer, ChainAsk, ChainWork } from './chain-host.ts'

/** A private chain that nobody else uses, in a process that makes those of the next test files too. */
export interface LocalChain extends RunningChain {
  /** It answers nobody any more. */
  stop(): Promise<void>
}

const waiting = new Map<number, PromiseWithResolvers<string>>()
let host: Promise<ChildHandle> | null = null
let id = 0

/** Ends with this process. Where it has ended before, the next chain gets another. */
async function startHost(): Promise<ChildHandle> {
  const child = await startNode([fileURLToPath(new URL('chain-host.ts', import.meta.url))])
  child.process.on('message', (answer: ChainAnswer) => {
    const asked = waiting.get(answer.id)!
    waiting.delete(answer.id)
    if ('url' in answer) asked.resolve(answer.url)
    else asked.reject(new Error(answer.error))
  })
  child.exited.then(({ code, signal }) => {
    host = null
    for (const asked of waiting.values())
      asked.reject(new Error(`the chains' process ended (${signal ?? code}):\n${child.output()}`))
    waiting.clear()
  })
  await child.printed(/ready/)
  // Nothing of it keeps the worker alive.
  child.process.unref()
  child.process.channel!.unref()
  return child
}

async function ask(work: ChainWork): Promise<string> {
  host ??= startHost()
  const { process } = await host
  const asked = Promise.withResolvers<string>()
  waiting.set(++id, asked)
  process.send({ id, work } satisfies ChainAsk)
  return await asked.promise
}

/** As scripts/lib/local-chain.ts has it, for a test file that kills no process of the chain. */
export async function startChain(options: LocalChainOptions = {}): Promise<LocalChain> {
  const { blockTimeMs = 0 } = options
  const asked = serverOptions(options)
  const chain = chainAt(await ask({ open: asked }), asked.chainId)
  if (blockTimeMs > 0) await chain.rpc('evm_setIntervalMining', [blockTimeMs])
  return {
    ...chain,
    async stop() {
      await chain.rpc('evm_setIntervalMining', [0])
      await ask({ close: chain.url })
    },
  }
}
