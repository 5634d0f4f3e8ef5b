import { setTimeout as sleep } from 'node:timers/promises'
import { openChain } from '../../../../anchor-service/src/anchor/chain/chain.ts'
import { type FaultyRpc, type RpcFault, startFaultyRpc } from '../../../support/faulty-rpc.ts'
import { newTarget, type TestTarget, type World } from './world.ts'

/** Numbers from 0 to 1 that follow from the seed alone (mulberry32). */
export function randomness(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

const STEPS = [
  'plan',
  'signed',
  'replaced',
  'send',
  'broadcast',
  'mined',
  'confirmed',
  'final',
  'dropped',
  'reorganised',
]
const LINES = STEPS.flatMap((step) => [`before ${step}`, `after ${step}`])

const RPC_FAULTS: RpcFault[] = [
  { fault: 'delay', ms: 15 },
  { fault: 'lose' },
  { fault: 'swallow' },
  { fault: 'duplicate' },
  { fault: 'stale' },
  { fault: 'status', status: 429 },
  { fault: 'garbage' },
  { fault: 'error', message: 'internal error' },
]

class Killed extends Error {}

/** One target's fate: how its workers die, what its node does to calls, and what else its account does. */
export type Schedule = {
  seed: number
  target: TestTarget
  proxy: FaultyRpc
  run(until: () => boolean): Promise<void>
  calm(): void
}

export async function makeSchedule(world: World, seed: number): Promise<Schedule> {
  const random = randomness(seed)
  const oneOf = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!
  const proxy = await startFaultyRpc(world.chain.url)
  const confirmations = oneOf([1, 1, 2, 3])
  const target = await newTarget(world, { confirmations, bumpAfterMs: oneOf([40, 150, 1_000]), lagMs: 20 })
  const faultRate = oneOf([0, 0.02, 0.1])
  const deathRate = oneOf([0, 0.1, 0.3])
  let isCalm = false
  proxy.rule = () => (!isCalm && random() < faultRate ? oneOf(RPC_FAULTS) : null)

  /** A worker's life: it may die at a line chosen beforehand. */
  async function live(): Promise<void> {
    const line = !isCalm && random() < deathRate ? oneOf(LINES) : null
    const door = (step: string) => {
      if (step === line) throw new Killed(step)
    }
    const chain = openChain({ urls: [proxy.url], timeoutMs: 1_000, maxLag: 8 })
    for (let visits = 0; visits < 5; visits++) {
      const visit = await target.advance({ chain, door })
      if (visit.outcome === 'idle') return
      await sleep(5 + random() * 20)
    }
  }

  return {
    ...{ seed, target, proxy },
    async run(until) {
      while (!until()) {
        const workers = random() < 0.2 ? 2 : 1
        await Promise.allSettled(Array.from({ length: workers }, live))
        if (!isCalm && random() < 0.03) await target.spend().catch(() => {})
        await sleep(random() * 20)
      }
    },
    calm() {
      isCalm = true
    },
  }
}
