import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '@killick/anchor-service'
import { Contract, JsonRpcProvider, Wallet } from 'ethers'
import pg from 'pg'
import type { Alarm } from '../../../../anchor-service/src/anchor/alarms.ts'
import { type Chain, logIdOf, openChain } from '../../../../anchor-service/src/anchor/chain/chain.ts'
import type { NodesOptions } from '../../../../anchor-service/src/anchor/chain/nodes.ts'
import { keySigner } from '../../../../anchor-service/src/anchor/chain/signer.ts'
import type { WorkerDeps } from '../../../../anchor-service/src/anchor/step-context.ts'
import type { Target } from '../../../../anchor-service/src/anchor/target.ts'
import { advance, type Visit } from '../../../../anchor-service/src/anchor/worker.ts'
import { openStore, type Store } from '../../../../anchor-service/src/open-store.ts'
import { anchorLogInterface } from '../../../support/chain.ts'
import { type LocalChain, startChain } from '../../../support/local-chain.ts'
import { createDatabase, queryAsOwner } from '../../../support/postgres.ts'

/** A ledger without its HTTP side, and one real chain with the contract on it. */
export type World = {
  chain: LocalChain
  contract: string
  store: Store
  /** Settings with which a service opens this ledger too. */
  env: Record<string, string>
  databaseUrl: string
  locks: pg.Pool
  /** Adds entries to the log; the size it has then. */
  grow(entries?: number): Promise<number>
  stop(): Promise<void>
}

export async function openWorld(): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'killick-anchor-'))
  const databaseUrl = await createDatabase(true)
  const env = { DATABASE_URL: databaseUrl, KILLICK_DATA: folder, KILLICK_ORIGIN: 'test.example/log' }
  const [chain, store] = await Promise.all([startChain(), openStore(loadConfig(env))])
  // More targets than connections: on a busy machine one waits for its turn longer than a service would.
  const locks = new pg.Pool({ ...store.pool.options, max: 40, connectionTimeoutMillis: 60_000 })
  locks.on('error', () => {})
  return {
    ...{ chain, store, env, databaseUrl, locks, contract: await chain.deployAnchorLog() },
    async grow(entries = 1) {
      const event = { action: 'test.grow', actor: { type: 'test', id: 't' }, targets: [{ type: 'log', id: 'l' }] }
      // One after the other, for a checkpoint of each size.
      for (let i = 0; i < entries; i++) await store.ledger.record(event)
      return (await store.ledger.head())!.size
    },
    async stop() {
      await locks.end()
      await store.close()
      await chain.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export type TestTarget = WorkerDeps & {
  key: string
  /** One visit by a new worker, which knows nothing of those before. */
  advance(more?: Partial<WorkerDeps>): Promise<Visit>
  /** Visits, mining a block where that is what is waited for, until there is nothing left to do. */
  settle(more?: Partial<WorkerDeps>): Promise<void>
  /** The same account does something else with a wallet: sends itself nothing. The transaction's hash. */
  spend(fees?: { maxFeePerGas: bigint; maxPriorityFeePerGas: bigint }): Promise<string>
}

/** A target with a publisher, and so a log, of its own. */
export async function newTarget(
  world: World,
  settings: Partial<Target> = {},
  nodes: Partial<NodesOptions> = {},
  privateKey?: string,
): Promise<TestTarget> {
  const key = privateKey ?? (await world.chain.newKey())
  const signer = keySigner(key)
  const target: Target = {
    ...{ name: `t-${randomBytes(4).toString('hex')}`, contract: world.contract, mayOpen: true },
    ...{ logId: logIdOf(signer.address, world.store.ledger.log.origin), intervalMs: 0, growth: 1, confirmations: 1 },
    ...{ pollMs: 20, bumpAfterMs: 100, lagMs: 0, fees: { cap: 500_000_000_000n }, balanceAnchors: 1 },
    ...settings,
  }
  const open = (): Chain => openChain({ urls: [world.chain.url], timeoutMs: 5_000, maxLag: 8, ...nodes })
  const deps = { target, signer, key, ledger: world.store.ledger, chain: open() }
  const advanceOnce = (more: Partial<WorkerDeps> = {}) => advance({ ...deps, chain: open(), ...more }, world.locks)
  return {
    ...deps,
    advance: advanceOnce,
    async spend(fees = { maxFeePerGas: 100_000_000_000n, maxPriorityFeePerGas: 2_000_000_000n }) {
      const { chain } = world
      const nonce = Number(await chain.rpc('eth_getTransactionCount', [signer.address, 'pending']))
      const transfer = { to: signer.address, nonce, gasLimit: 21_000n, chainId: chain.chainId, type: 2, ...fees }
      return chain.rpc<string>('eth_sendRawTransaction', [await new Wallet(key).signTransaction(transfer)])
    },
    async settle(more) {
      for (let i = 0; i < 100; i++) {
        const visit = await advanceOnce(more).catch((error) => {
          if ((error as Alarm).code !== 'nodes_unreachable') throw error
        })
        if (visit?.outcome === 'idle') return
        await world.chain.rpc('hardhat_mine', ['0x1'])
      }
      throw new Error(`the target does not come to rest: ${JSON.stringify(await advanceOnce(more))}`)
    },
  }
}

/** What the contract says was anchored, as its events tell it: sizes in order. */
export async function anchoredSizes(
  { chain, contract }: Pick<World, 'chain' | 'contract'>,
  { target }: { target: Pick<Target, 'logId'> },
): Promise<number[]> {
  const provider = new JsonRpcProvider(chain.url, chain.chainId, { staticNetwork: true, cacheTimeout: -1 })
  try {
    const log = new Contract(contract, anchorLogInterface, provider)
    const found = await log.queryFilter(log.filters.Anchored!(target.logId))
    return found.map((event) => Number(('args' in event ? event.args : [])[1]))
  } finally {
    provider.destroy()
  }
}

/** All states of the target's anchors, by size (0: the opening). */
export async function history(world: World, { target }: WorkerDeps): Promise<Map<number, string[]>> {
  const rows = await queryAsOwner<{ size: string; states: string[] }>(
    world.databaseUrl,
    `select size, array_agg(state order by seq) as states from killick.anchors a join killick.anchor_states s on s.anchor = a.id
     where target = $1 group by size order by size`,
    [target.name],
  )
  return new Map(rows.map(({ size, states }) => [Number(size), states]))
}
