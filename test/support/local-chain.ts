import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { chainAt, type RunningChain } from '../../scripts/lib/local-chain.ts'
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
  const { process } = child
  for (const each of [process, process.channel!, process.stdout as Socket, process.stderr as Socket]) each.unref()
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
export async function startChain({ chainId = 31_337 } = {}): Promise<LocalChain> {
  const chain = chainAt(await ask({ open: { port: 0, chainId } }), chainId)
  return { ...chain, stop: async () => void (await ask({ close: chain.url })) }
}
