import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Config, loadConfig, StartError } from '@killick/anchor-service'
import { ANCHOR_LOG_CODE_HASH } from '@killick/sdk/verify'
import { encryptKeystoreJson, Wallet } from 'ethers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { deliver } from '../../../anchor-service/src/anchor/chain/account.ts'
import { ANCHOR_LOG_ADDRESS } from '../../../anchor-service/src/anchor/chain/deploy.ts'
import { openSigner } from '../../../anchor-service/src/anchor/chain/open-signer.ts'
import { keySigner, signTransaction } from '../../../anchor-service/src/anchor/chain/signer.ts'
import { deploy, handover } from '../../../anchor-service/src/commands/contracts.ts'
import { succeed } from '../../../anchor-service/src/commands/succeed.ts'
import { type LocalChain, startChain } from '../../support/local-chain.ts'
import { startChild, startNode } from '../../support/processes.ts'
import { anchoredSizes, newTarget, openWorld, type World } from '../anchor/support/world.ts'

const MAIN = fileURLToPath(new URL('../../../anchor-service/src/main.ts', import.meta.url))
let world: World
let folder: string
beforeAll(async () => {
  world = await openWorld()
  folder = await mkdtemp(join(tmpdir(), 'killick-commands-'))
})
afterAll(async () => {
  await world.stop()
  await rm(folder, { recursive: true, force: true })
})

/** What a command prints, or the message with which it fails. */
async function run(command: (config: Config) => Promise<string>, env: Record<string, string>): Promise<string> {
  try {
    return await command(loadConfig(env))
  } catch (error) {
    if (error instanceof StartError) return error.message
    throw error
  }
}

describe('deploy', () => {
  test('puts the published code at the same address on every chain, once', async () => {
    const other: LocalChain = await startChain({ chainId: 4242 })
    try {
      for (const chain of [world.chain, other]) {
        const env = {
          KILLICK_RPC_URL: chain.url,
          KILLICK_CHAIN_KEY: await chain.newKey(),
          KILLICK_CONTRACT: ANCHOR_LOG_ADDRESS,
        }
        const first = await run(deploy, env)
        expect(first).toContain(`chain ${chain.chainId}, deployed`)
        for (const part of [ANCHOR_LOG_ADDRESS, ANCHOR_LOG_CODE_HASH]) expect(first).toContain(part)
        expect(await run(deploy, env)).toContain('there already')
      }
    } finally {
      await other.stop()
    }
  })

  test('needs no contract as a command, and shows no key', async () => {
    const key = await world.chain.newKey()
    const env = { PATH: process.env.PATH ?? '', KILLICK_RPC_URL: world.chain.url, KILLICK_CHAIN_KEY: key }
    const child = await startChild(process.execPath, [MAIN, 'deploy'], { env })
    expect(await child.exited).toMatchObject({ code: 0 })
    expect(child.output()).toContain(ANCHOR_LOG_ADDRESS)
    expect(child.output()).not.toContain(key.slice(2))
  })

  test('names what is wrong with its settings', async () => {
    const contract = { KILLICK_CONTRACT: ANCHOR_LOG_ADDRESS }
    const poor = { ...contract, KILLICK_RPC_URL: world.chain.url, KILLICK_CHAIN_KEY: Wallet.createRandom().privateKey }
    expect(await run(deploy, { ...poor, KILLICK_RPC_URL: 'ftp://x' })).toContain('KILLICK_RPC_URL must be')
    expect(await run(deploy, contract)).toContain('KILLICK_RPC_URL is missing')
    expect(await run(deploy, {})).toContain('at least one target')
    expect(await run(deploy, { ...poor, KILLICK_CHAIN_KEY: 'no-such-file' })).toContain('neither 64 hex digits')
  })
})

test('handover gives the log to a new key, with its id and its past', async () => {
  const target = await newTarget(world)
  await world.grow()
  await target.settle()
  const { logId } = target.target
  const heir = await newTarget(world, { logId, mayOpen: false })
  const env = { KILLICK_RPC_URL: world.chain.url, KILLICK_CONTRACT: world.contract, KILLICK_ORIGIN: 'test.example/log' }
  const offer = (config: Config) => handover(config, heir.signer.address)
  const accept = (config: Config) => handover(config, 'accept')
  expect(await run(offer, { ...env, KILLICK_CHAIN_KEY: target.key })).toContain(`KILLICK_LOG_ID=${logId}`)
  const mine = { ...env, KILLICK_CHAIN_KEY: heir.key, KILLICK_LOG_ID: logId }
  expect(await run(accept, { ...mine, KILLICK_LOG_ID: '' })).toContain('KILLICK_LOG_ID must say')
  const stranger = { ...mine, KILLICK_CHAIN_KEY: await world.chain.newKey() }
  expect(await run(accept, stranger)).toContain('NotOffered')
  expect(await run(accept, mine)).toContain(`${heir.signer.address} publishes log ${logId}\n  transaction 0x`)
  // Who was interrupted runs it again, and it goes on to the next target.
  expect(await run(accept, mine)).toContain(`${heir.signer.address} publishes log ${logId}\n  It did before.`)
  // What stands on one chain is told, though the next one cannot be asked.
  const targets = join(folder, 'targets.json')
  const [key, one] = [join(folder, 'heir'), { rpcUrl: world.chain.url, contract: world.contract, logId }]
  await writeFile(key, heir.key)
  await writeFile(
    targets,
    JSON.stringify([
      { ...one, target: 'one', chainKey: key },
      { ...one, target: 'two', chainKey: key, rpcUrl: 'http://127.0.0.1:9' },
    ]),
  )
  expect(await run(accept, { KILLICK_TARGETS: targets, KILLICK_ORIGIN: env.KILLICK_ORIGIN })).toMatch(
    new RegExp(`^Target two: .*\nThis was done before that, and stands:\none: ${heir.signer.address} publishes log`),
  )
  const size = await world.grow()
  await heir.settle()
  expect((await anchoredSizes(world, target)).at(-1)).toBe(size)
})

test('a command asks the nodes as the settings say: by their quorum, on their chain', async () => {
  const target = await newTarget(world)
  await world.grow()
  await target.settle()
  const { logId } = target.target
  const heir = await newTarget(world, { logId, mayOpen: false })
  const ours = { ...world.env, KILLICK_CONTRACT: world.contract, KILLICK_RPC_URL: world.chain.url }
  const offer = (config: Config) => handover(config, heir.signer.address)
  const state = (config: Config) => succeed(config, logId, false)
  const elsewhere = { ...ours, KILLICK_CHAIN_ID: '5' }
  const onAnother = /is on chain \d+, not 5/
  expect(await run(deploy, { ...elsewhere, KILLICK_CHAIN_KEY: target.key })).toMatch(onAnother)
  expect(await run(offer, { ...elsewhere, KILLICK_CHAIN_KEY: target.key })).toMatch(onAnother)
  expect(await run(state, { ...elsewhere, KILLICK_CHAIN_KEY: heir.key })).toMatch(onAnother)
  const quorum = { ...ours, KILLICK_RPC_URL: `${world.chain.url} http://127.0.0.1:9`, KILLICK_RPC_QUORUM: '2' }
  expect(await run(offer, { ...quorum, KILLICK_CHAIN_KEY: target.key })).toContain('1 of 2 nodes')
  expect(await run(state, { ...quorum, KILLICK_CHAIN_KEY: heir.key })).toContain('1 of 2 nodes')
})

test('a command does not wait for a transaction that another one of the same key has overtaken', async () => {
  const target = await newTarget(world)
  const { chain } = target
  const { chainId } = world.chain
  const fees = { max: 100_000_000_000n, tip: 1_000_000_000n }
  const fields = { chainId, nonce: 0, to: target.signer.address, data: '0x', gas: 21_000n, fees }
  const { raw, transaction } = await chain.sign(target.signer, fields)
  await target.spend()
  await expect(deliver(chain, raw, transaction, 100)).rejects.toThrow('is used')
})

test('a command says what it waits for in vain: fees beyond what it may pay, or a block', async () => {
  const target = await newTarget(world)
  const { chain } = target
  const { chainId, rpc } = world.chain
  const sign = (max: bigint) =>
    chain.sign(target.signer, {
      ...{ chainId, nonce: 0, to: target.signer.address, data: '0x', gas: 21_000n, fees: { max, tip: max } },
    })
  const cheap = await sign(1n)
  await expect(deliver(chain, cheap.raw, cheap.transaction, 100)).rejects.toThrow(/offers too little: .*higher fee/)

  await rpc('evm_setAutomine', [false])
  const stuck = await sign(100_000_000_000n)
  await expect(deliver(chain, stuck.raw, stuck.transaction, 100, 100)).rejects.toThrow('is in no block')
  await rpc('evm_setAutomine', [true])
  await rpc('evm_mine')
  await target.settle()
  await rpc('hardhat_setNextBlockBaseFeePerGas', [`0x${(500n * 10n ** 9n).toString(16)}`])
  await rpc('evm_mine')
  const env = { ...world.env, KILLICK_CONTRACT: world.contract, KILLICK_RPC_URL: world.chain.url }
  const offer = (config: Config) => handover(config, target.signer.address)
  expect(await run(offer, { ...env, KILLICK_CHAIN_KEY: target.key })).toContain(
    'asks 500 gwei for a unit of gas, and the settings allow 200 (KILLICK_MAX_FEE_GWEI)',
  )
  await rpc('hardhat_setNextBlockBaseFeePerGas', ['0x3b9aca00'])
  await rpc('evm_mine')
})

describe('a signer', () => {
  const key = Wallet.createRandom().privateKey
  const { address } = new Wallet(key)

  test('is a key, a file with a key, or a keystore with a password', async () => {
    const [plain, store, password] = ['key', 'store.json', 'password'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ]
    await writeFile(plain, `${key}\n`)
    await writeFile(
      store,
      await encryptKeystoreJson({ address, privateKey: key }, 'open sesame', { scrypt: { N: 1024 } }),
    )
    await writeFile(password, 'open sesame\n')
    const settings = [
      { key, password: null },
      { key: key.slice(2), password: null },
      { key: plain, password: null },
      { key: store, password },
      { key: store, password: 'open sesame' },
    ]
    for (const each of settings) expect((await openSigner(each)).address).toBe(address.toLowerCase())
    await expect(openSigner({ key: store, password: 'wrong' })).rejects.toThrow('does not open with this password')
    await expect(openSigner({ key: store, password: null })).rejects.toThrow('needs a password')
  })

  test('in another process anchors like any other, whether it answers with high or low s', async () => {
    const script = join(folder, 'signer.mjs')
    await writeFile(
      script,
      `import { once } from 'node:events'
import { createServer } from 'node:http'
       import { SigningKey, computeAddress } from ${JSON.stringify(import.meta.resolve('ethers'))}
       const key = new SigningKey(process.env.KEY)
       const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
       const server = createServer(async (request, response) => {
         if (request.method === 'GET') return response.end(JSON.stringify({ address: computeAddress(key.publicKey) }))
         let body = ''
         for await (const chunk of request) body += chunk
         const { r, s } = key.sign(JSON.parse(body).digest)
         const high = (order - BigInt(s)).toString(16).padStart(64, '0')
         response.end(JSON.stringify({ signature: r + high }))
       })
       server.listen(0, '127.0.0.1', () => console.log('signer on ' + server.address().port))`,
    )
    const signerKey = await world.chain.newKey()
    const child = await startNode([script], { env: { PATH: process.env.PATH ?? '', KEY: signerKey } })
    const port = (await child.printed(/signer on (\d+)/))[1]
    const signer = await openSigner({ signerUrl: `http://127.0.0.1:${port}/` })
    const target = await newTarget(world, {}, {}, signerKey)
    const size = await world.grow()
    await target.settle({ signer })
    expect(await anchoredSizes(world, target)).toEqual([size])
    await child.stop()
    await world.grow()
    await expect(target.advance({ signer })).rejects.toMatchObject({ code: 'signer_failed' })
  })

  test('whose signature is by another key is refused', async () => {
    const { signDigest } = keySigner(Wallet.createRandom().privateKey)
    const fields = { chainId: 1, nonce: 0, to: address, data: '0x', gas: 21_000n, max: 1n, tip: null }
    await expect(signTransaction({ address: address.toLowerCase(), signDigest }, fields)).rejects.toThrow(
      'not that of the signer',
    )
    const server = createServer((_, response) => response.end('{}')).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    await expect(openSigner({ signerUrl: `http://127.0.0.1:${port}` })).rejects.toThrow('did not tell its address')
    server.close()
  })
})
