import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '@killick/anchor-service'
import { asHash, sha256 } from '@killick/sdk/core'
import { Wallet } from 'ethers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ALARM_CODES } from '../../../anchor-service/src/anchor/alarms.ts'
import { calls, logIdOf } from '../../../anchor-service/src/anchor/chain/chain.ts'
import { keySigner } from '../../../anchor-service/src/anchor/chain/signer.ts'
import { openStore } from '../../../anchor-service/src/open-store.ts'
import { startFaultyRpc } from '../../support/faulty-rpc.ts'
import { newSigner } from '../support/producer.ts'
import { call as get, register, testService } from '../support/service.ts'
import { cutTail } from '../support/superuser.ts'
import { anchoredSizes, newTarget, openWorld, type TestTarget, type World } from './support/world.ts'

let world: World
beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world.stop())

/** Sends a transaction with the publisher's key, without the worker. */
async function call(target: TestTarget, data: string): Promise<void> {
  const { rpc, chainId } = world.chain
  const nonce = Number(await rpc('eth_getTransactionCount', [target.signer.address, 'latest']))
  const fees = { maxFeePerGas: 10_000_000_000n, maxPriorityFeePerGas: 1_000_000_000n }
  const fields = { to: world.contract, data, nonce, chainId, gasLimit: 500_000n, type: 2, ...fees }
  await rpc('eth_sendRawTransaction', [await new Wallet(target.key).signTransaction(fields)])
}

/** Settings that use the keys of another data folder. */
const KEYS = (folder: string) => ({
  KILLICK_LOG_KEY: join(folder, 'keys', 'log.json'),
  KILLICK_SYSTEM_KEY: join(folder, 'keys', 'system.json'),
})

const { origin } = { origin: 'test.example/log' }
const EMPTY = sha256(new Uint8Array(0))
const root = () => asHash(new Uint8Array(randomBytes(32)))
const alarm = (code: keyof typeof ALARM_CODES) => ({
  name: 'Alarm',
  code,
  message: expect.stringContaining(ALARM_CODES[code]),
})

/** A service with a new data folder, whose worker is elsewhere, finds out by itself. */
async function refusesBesideWorker({ target, key }: TestTarget): Promise<void> {
  const service = await testService({
    ...{ ...KEYS(world.env.KILLICK_DATA!), KILLICK_ORIGIN: world.env.KILLICK_ORIGIN!, KILLICK_WORKER: 'off' },
    ...{ DATABASE_URL: world.databaseUrl, KILLICK_RPC_URL: world.chain.url },
    ...{ KILLICK_CONTRACT: target.contract, KILLICK_CHAIN_KEY: key },
  })
  try {
    let source = 0
    const code = async () => (await register(service.url, `late-${source++}`, [{ jwk: newSigner().jwk }])).json.code
    await expect.poll(code).toBe('log_went_back')
    expect((await get(service.url, '/readyz')).status).toBe(503)
  } finally {
    await service.stop()
  }
}

describe('a target stops with an alarm when', () => {
  test('there is no code at the address', async () => {
    const target = await newTarget(world, { contract: `0x${'12'.repeat(20)}` })
    await expect(target.advance()).rejects.toMatchObject(alarm('no_contract'))
  })

  test('the code is not the published one', async () => {
    const contract = `0x${'34'.repeat(20)}`
    await world.chain.rpc('hardhat_setCode', [contract, '0x6001600101'])
    const target = await newTarget(world, { contract })
    await expect(target.advance()).rejects.toMatchObject(alarm('other_contract'))
  })

  test('the log has been handed over to another key', async () => {
    const target = await newTarget(world)
    const heir = await newTarget(world, { logId: target.target.logId, mayOpen: false })
    await world.grow()
    await target.settle()
    await call(target, calls.offerPublisher(target.target.logId, heir.signer.address))
    await expect(heir.advance()).rejects.toMatchObject(alarm('not_publisher'))
    await call(heir, calls.acceptPublisher(target.target.logId))
    await expect(target.advance()).rejects.toMatchObject(alarm('not_publisher'))
    // The heir continues the same log.
    const size = await world.grow()
    await heir.settle()
    expect((await anchoredSizes(world, target)).at(-1)).toBe(size)
  })

  test('nobody has opened its log id', async () => {
    const target = await newTarget(world, { logId: `0x${'56'.repeat(32)}`, mayOpen: false })
    await expect(target.advance()).rejects.toMatchObject(alarm('not_opened'))
  })

  test.each([
    ['a larger size than the ledger', 2 ** 53 - 1, 'contract_ahead'],
    ['another history', 2, 'not_a_prefix'],
  ] as const)(
    'the contract holds %s: a thief, for whoever remembers; loss or theft, for a new process',
    async (_, size, unsure) => {
      const target = await newTarget(world)
      await world.grow(3)
      await call(target, calls.open(origin))
      await call(target, calls.anchor(target.target.logId, size, root(), EMPTY, []))
      await expect(target.advance()).rejects.toMatchObject(alarm('publisher_stolen'))
      // Nothing of the log is lost, and it continues.
      await world.grow()

      const folder = await mkdtemp(join(tmpdir(), 'killick-new-'))
      const newcomer = await openStore(
        loadConfig({ ...world.env, ...KEYS(world.env.KILLICK_DATA!), KILLICK_DATA: folder }),
      )
      try {
        await expect(target.advance({ ledger: newcomer.ledger })).rejects.toMatchObject(alarm(unsure))
        const event = { action: 'test.grow', actor: { type: 'test', id: 't' }, targets: [] }
        const recording = newcomer.ledger.record(event)
        if (unsure === 'contract_ahead') {
          await expect(recording).rejects.toMatchObject({ code: 'log_went_back', details: { remembered: size } })
          expect(newcomer.ledger.isWritable()).toBe(false)
          // The log continues under another publisher.
          newcomer.ledger.contractHolds(target.target.name, null)
          await newcomer.ledger.record(event)
          expect(newcomer.ledger.isWritable()).toBe(true)
          await refusesBesideWorker(target)
        } else await recording
      } finally {
        await newcomer.close()
        await rm(folder, { recursive: true })
      }
    },
  )

  test('the tail of the log was cut off below an anchor: loss, not theft', async () => {
    const other = await openWorld()
    try {
      const target = await newTarget(other)
      const size = await other.grow(5)
      await target.settle()
      await cutTail(other.databaseUrl, size - 2)
      await expect(target.advance()).rejects.toMatchObject(alarm('log_went_back'))
    } finally {
      await other.stop()
    }
  })

  test('the contract refuses for no known reason', async () => {
    const proxy = await startFaultyRpc(world.chain.url)
    try {
      proxy.rule = ({ method }) =>
        method === 'eth_estimateGas' ? { fault: 'error', message: 'execution reverted', data: '0x' } : null
      const target = await newTarget(world, {}, { urls: [proxy.url] })
      await expect(target.advance()).rejects.toMatchObject({ name: 'Alarm', code: 'contract_refuses' })
      proxy.rule = () => null
      const size = await world.grow()
      await target.settle()
      expect(await anchoredSizes(world, target)).toEqual([size])
    } finally {
      await proxy.stop()
    }
  })
})

describe('no alarm is raised when', () => {
  test('the ledger forgot its anchors: it continues after what the contract holds', async () => {
    const target = await newTarget(world)
    const size = await world.grow(2)
    await call(target, calls.open(origin))
    const root = (await world.store.ledger.head())!.root
    await call(target, calls.anchor(target.target.logId, size, root, EMPTY, []))
    const next = await world.grow(3)
    await target.settle()
    expect(await anchoredSizes(world, target)).toEqual([size, next])
  })

  test('somebody else opened a log for the same origin', async () => {
    const squatter = await newTarget(world)
    await call(squatter, calls.open(origin))
    const target = await newTarget(world)
    expect(logIdOf(squatter.signer.address, origin)).not.toBe(target.target.logId)
    const size = await world.grow()
    await target.settle()
    expect(await anchoredSizes(world, target)).toEqual([size])
  })

  test('a node has pruned its state: it abstains', async () => {
    const proxy = await startFaultyRpc(world.chain.url)
    try {
      proxy.rule = ({ method, params }) =>
        method === 'eth_call' && params[1] !== 'latest' ? { fault: 'error', message: 'missing trie node' } : null
      const target = await newTarget(world, {}, { urls: [proxy.url, world.chain.url] })
      const size = await world.grow()
      await target.settle()
      expect(await anchoredSizes(world, target)).toEqual([size])
    } finally {
      await proxy.stop()
    }
  })
})

describe('a signature', () => {
  test('by another key than the publisher’s is never sent', async () => {
    const target = await newTarget(world)
    const other = keySigner(await world.chain.newKey())
    const signer = { address: target.signer.address, signDigest: other.signDigest }
    await expect(target.advance({ signer })).rejects.toMatchObject(alarm('signer_failed'))
    expect(Number(await world.chain.rpc('eth_getTransactionCount', [target.signer.address, 'latest']))).toBe(0)
  })
})

test('docs/ANCHORING.md names every alarm', async () => {
  const text = await readFile(new URL('../../../docs/ANCHORING.md', import.meta.url), 'utf8')
  for (const [code, sentence] of Object.entries(ALARM_CODES)) expect(text).toContain(`| \`${code}\` | ${sentence} |`)
})
