/**
 * A local chain that outlives its process. A Hardhat node keeps everything in memory and can write nothing out, but what it
 * holds follows from its transactions: these are kept in a file, with number, time and base fee of their blocks, and
 * sent again at the next start. So contract, roots, block times, numbers and transaction hashes are the same as before, and
 * proofs that were made then still hold.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { getCreateAddress, Transaction, type TransactionLike, Wallet } from 'ethers'
import { lockFile } from '../../anchor-service/src/file-lock.ts'
import { type LocalChain, startChain } from './local-chain.ts'

/** The first line of the file. The key is worth nothing anywhere else. */
interface Genesis {
  chainId: number
  /** Time of block 0, seconds since 1970. */
  since: number
  key: string
}
interface KeptBlock {
  number: number
  time: number
  baseFee: string
  /** Raw, as they were sent. */
  transactions: string[]
}

interface Kept {
  genesis: Genesis
  blocks: KeptBlock[]
}

export interface KeptChain {
  chain: Pick<LocalChain, 'url' | 'chainId' | 'exited'>
  /** Private key of the account that pays and publishes. */
  key: string
  contract: string
  /** How many blocks of earlier starts were restored; null if an earlier chain could not be restored, and is gone. */
  restored: number | null
  /** Saves the newest blocks, then stops the chain. */
  stop(): Promise<void>
}

const POLL_MS = 100
const BALANCE = `0x${(1_000n * 10n ** 18n).toString(16)}`
const hex = (n: number) => `0x${n.toString(16)}`
const seconds = () => Math.floor(Date.now() / 1000)
const contractOf = (key: string) => getCreateAddress({ from: new Wallet(key).address, nonce: 0 }).toLowerCase()

/**
 * Brings the chain in `folder` back, or begins a new one there; joins it where another process keeps it running. Blocks
 * come every second, as on a live chain.
 */
export async function openKeptChain(folder: string): Promise<KeptChain> {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const file = join(folder, 'blocks.ndjson')
  const at = join(folder, 'port')
  for (;;) {
    // Two that keep a chain in one file mix their blocks, and neither chain comes back.
    const release = lockFile(join(folder, 'lock'))
    const port = existsSync(at) ? Number(readFileSync(at, 'utf8')) : 0
    const kept = existsSync(file) ? read(file) : null
    const isRunning = kept !== null && (await chainAt(port)) === kept.genesis.chainId
    if (isRunning) {
      release?.()
      return joinRunning(kept.genesis, port)
    }
    if (release === null) {
      await sleep(POLL_MS) // another process is about to start it, or to stop it
      continue
    }
    try {
      const opened = await restoreOrBegin(kept, file, at, port)
      return { ...opened, stop: () => opened.stop().finally(release) }
    } catch (error) {
      release()
      throw error
    }
  }
}

async function restoreOrBegin(kept: Kept | null, file: string, at: string, port: number): Promise<KeptChain> {
  if (kept !== null) {
    const chain = await start(kept.genesis, port)
    try {
      await replay(chain, kept.blocks)
      const opened = await follow(chain, kept.genesis, file, kept.blocks.length)
      // The first start was ended before the contract was there.
      if (kept.blocks.length === 0) await chain.deployAnchorLog(kept.genesis.key)
      writeFileSync(at, new URL(chain.url).port)
      return opened
    } catch {
      await chain.stop()
    }
  }
  const isThere = existsSync(file)
  if (isThere) renameSync(file, `${file}.lost`)
  const chainId = 31_337_000_000 + Math.floor(Math.random() * 1e6)
  const genesis = { chainId, since: seconds(), key: Wallet.createRandom().privateKey }
  const chain = await start(genesis, 0)
  writeFileSync(file, `${JSON.stringify(genesis)}\n`, { mode: 0o600 })
  const opened = await follow(chain, genesis, file, isThere ? null : 0)
  await chain.deployAnchorLog(genesis.key)
  // Last: others join what they find there.
  writeFileSync(at, new URL(chain.url).port)
  return opened
}

/** The number of the chain that somebody runs at this port of this machine. */
async function chainAt(port: number): Promise<number | null> {
  if (port === 0) return null
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'eth_chainId', params: [] })
  try {
    const headers = { 'content-type': 'application/json' }
    const asked = { method: 'POST', headers, body, signal: AbortSignal.timeout(2000) }
    return Number(((await (await fetch(`http://127.0.0.1:${port}`, asked)).json()) as { result: string }).result)
  } catch {
    return null
  }
}

/** One that another process runs, and ends. */
function joinRunning({ chainId, key }: Genesis, port: number): KeptChain {
  let isOver = false
  const exited = (async () => {
    while (!isOver && (await chainAt(port)) === chainId) await sleep(1000)
  })()
  return {
    chain: { url: `http://127.0.0.1:${port}`, chainId, exited },
    ...{ key, contract: contractOf(key), restored: 0 },
    async stop() {
      isOver = true
    },
  }
}

/** Null if it cannot be read. A last line that was cut off is ignored. */
function read(file: string): Kept | null {
  try {
    const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1)
    const [genesis, ...blocks] = lines.map((line) => JSON.parse(line) as unknown)
    return { genesis: genesis as Genesis, blocks: blocks as KeptBlock[] }
  } catch {
    return null
  }
}

/** At the port of before, so that addresses that were printed stay true, unless somebody else is there now. */
async function start({ chainId, since, key }: Genesis, port: number): Promise<LocalChain> {
  const chain = await startChain({ chainId, since, port }).catch((error) => {
    if (port === 0) throw error
    return startChain({ chainId, since })
  })
  await chain.rpc('hardhat_setBalance', [new Wallet(key).address, BALANCE])
  return chain
}

async function replay(chain: LocalChain, blocks: readonly KeptBlock[]): Promise<void> {
  let head = 0
  let now = Number((await chain.rpc<{ timestamp: string }>('eth_getBlockByNumber', ['0x0', false])).timestamp)
  for (const { number, time, baseFee, transactions } of blocks) {
    if (number - head > 1) {
      await chain.rpc('evm_setNextBlockTimestamp', [now])
      await chain.rpc('hardhat_mine', [hex(number - head - 1), '0x0'])
    }
    await chain.rpc('evm_setNextBlockTimestamp', [time])
    await chain.rpc('hardhat_setNextBlockBaseFeePerGas', [baseFee])
    for (const raw of transactions) await chain.rpc('eth_sendRawTransaction', [raw])
    head = Number(await chain.rpc('eth_blockNumber'))
    if (head !== number) throw new Error(`Block ${number} came out as ${head}`)
    now = time
  }
}

type Block = {
  number: string
  timestamp: string
  baseFeePerGas: string
  transactions: (Record<string, string> & { accessList?: TransactionLike['accessList'] })[]
}

async function follow(chain: LocalChain, genesis: Genesis, file: string, restored: number | null): Promise<KeptChain> {
  // From here on by the wall's clock, however long the start has taken.
  const latest = await chain.rpc<{ timestamp: string }>('eth_getBlockByNumber', ['latest', false])
  await chain.rpc('evm_setNextBlockTimestamp', [Math.max(seconds(), Number(latest.timestamp))])
  await chain.rpc('evm_mine')
  let next = Number(await chain.rpc('eth_blockNumber')) + 1
  let isOver = false
  await chain.rpc('evm_setIntervalMining', [1000])
  const keep = async () => {
    const head = Number(await chain.rpc('eth_blockNumber'))
    for (; next <= head; next++) {
      const block = await chain.rpc<Block>('eth_getBlockByNumber', [hex(next), true])
      if (block.transactions.length > 0) append(file, keptBlock(block))
    }
  }
  const following = (async () => {
    while (!isOver) {
      await keep().catch(() => {}) // a chain that has ended is told by `exited`
      await sleep(POLL_MS)
    }
  })()
  return {
    ...{ chain, key: genesis.key, restored },
    contract: contractOf(genesis.key),
    async stop() {
      isOver = true
      await following
      await keep().catch(() => {})
      await chain.stop()
    },
  }
}

function keptBlock({ number, timestamp, baseFeePerGas, transactions }: Block): KeptBlock {
  return {
    ...{ number: Number(number), time: Number(timestamp), baseFee: baseFeePerGas },
    transactions: transactions.map(
      (sent) =>
        Transaction.from({
          ...{ type: Number(sent.type), chainId: sent.chainId!, nonce: Number(sent.nonce) },
          ...{ to: sent.to ?? null, value: sent.value!, data: sent.input!, gasLimit: sent.gas! },
          ...(sent.maxFeePerGas === undefined
            ? { gasPrice: sent.gasPrice! }
            : { maxFeePerGas: sent.maxFeePerGas, maxPriorityFeePerGas: sent.maxPriorityFeePerGas! }),
          ...(sent.accessList && { accessList: sent.accessList }),
          signature: { r: sent.r!, s: sent.s!, v: Number(sent.v) },
        } as TransactionLike).serialized,
    ),
  }
}

/** On the disk before anything else is done: what follows relies on it. */
function append(file: string, block: KeptBlock): void {
  const handle = openSync(file, 'a')
  try {
    writeSync(handle, `${JSON.stringify(block)}\n`)
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
