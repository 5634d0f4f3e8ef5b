import type { Hash } from '@killick/sdk/core'
import { decodeBool, parseQuantity } from '@killick/sdk/verify'
import { calls, decodeHead, explainRevert, isPublishedCode, type LogHead } from './contract.ts'
import type { Fees, Market } from './fees.ts'
import { type NodeStatus, type Nodes, type NodesOptions, NoQuorum, openNodes } from './nodes.ts'
import { bigQuantity, hex, quantity, RpcError } from './rpc.ts'
import { type ChainSigner, signTransaction } from './signer.ts'

export { calls, explainRevert, type LogHead, logIdOf, originHash, readSigned } from './contract.ts'
export { bumpedFees, type FeeLimits, type Fees, isPayable, type Market, openingFees } from './fees.ts'
export { type NodeStatus, type NodesOptions, NoQuorum } from './nodes.ts'
export { RpcError } from './rpc.ts'

/** The chain at one block that a quorum of nodes knows: everything in it was read at that block. */
export type ChainView = {
  chainId: number
  /** Hash of block 0. It tells a chain from another with the same id, such as a restarted development chain. Null: unknown. */
  genesis: string | null
  block: number
  code: 'published' | 'other' | 'none'
  /** Null: the log is not open. */
  head: LogHead | null
  /** Transactions of the sender that are in blocks: the next nonce to be mined. */
  nonce: number
}

/** A transaction in a block. */
export type Sighting = {
  transaction: string
  block: number
  blockHash: string
  /** Block time, unix seconds. */
  time: number
  succeeded: boolean
  gasUsed: number
  /** wei per gas, as decimal digits */
  gasPrice: string
}

/** The result of an attempt to send. `unknown`: it may have been forwarded; sending the same again is harmless. */
export type SendResult =
  | { result: 'taken' }
  | { result: 'nonce_used' | 'underpriced' | 'unfunded' | 'unknown' | 'refused'; detail: string }

export type Chain = {
  /** @throws NoQuorum */
  look(contract: string, logId: string, sender: string): Promise<ChainView>
  /**
   * The newest block that the chain itself calls final; null if the chain has no finality.
   * @throws NoQuorum
   */
  finalized(view: ChainView): Promise<number | null>
  /** Where a transaction is, as of the view. @throws NoQuorum */
  find(transaction: string, view: Pick<ChainView, 'block'>): Promise<Sighting | null>
  /** Whether the contract holds (size, root) anchored at block time `time`. @throws NoQuorum */
  isAnchored(contract: string, logId: string, size: number, root: Hash, time: number, view: ChainView): Promise<boolean>
  /** Whether any node has the transaction, in a block or waiting for one. */
  knows(transaction: string): Promise<boolean>
  /** The next nonce after everything that waits. */
  pendingNonce(sender: string): Promise<number>
  market(): Promise<Market>
  /** wei */
  balance(sender: string): Promise<bigint>
  /** Gas that a call takes. @throws RpcError; if the contract itself refused, `explainRevert` reads its `data` */
  estimate(call: { from: string; to: string; data: string; value?: bigint }): Promise<bigint>
  /** Signs; sends nothing. */
  sign(
    signer: ChainSigner,
    fields: { chainId: number; nonce: number; to: string; data: string; gas: bigint; fees: Fees; value?: bigint },
  ): Promise<{ raw: string; transaction: string }>
  send(raw: string): Promise<SendResult>
  nodes(): NodeStatus[]
}

export function openChain(options: NodesOptions): Chain {
  const nodes = openNodes(options)
  const call = (to: string, data: string, view: { block: number }) =>
    nodes.agree('eth_call', [{ to, data }, hex(view.block)], String)
  /** Facts that do not change while a chain lives; kept for seconds, so that a restarted development chain is noticed. */
  let lasting = {
    contract: '',
    code: 'none' as ChainView['code'],
    genesis: null as string | null,
    head: null as LogHead | null,
    readAt: Number.NEGATIVE_INFINITY,
  }

  async function readLasting(contract: string, at: string) {
    if (
      lasting.contract === contract &&
      lasting.code === 'published' &&
      performance.now() - lasting.readAt < LASTING_MS
    )
      return lasting
    const [code, genesis] = await Promise.all([
      nodes.agree('eth_getCode', [contract, at], kindOfCode),
      readGenesis(nodes),
    ])
    lasting = { ...lasting, contract, code, genesis: genesis ?? lasting.genesis, readAt: performance.now() }
    return lasting
  }

  return {
    async look(contract, logId, sender) {
      const { chainId, block } = await nodes.survey()
      const [{ code }, nonce] = await Promise.all([
        readLasting(contract, hex(block)),
        nodes.agree('eth_getTransactionCount', [sender, hex(block)], quantity),
      ])
      const head = code === 'published' ? decodeHead(await call(contract, calls.head(logId), { block })) : null
      // A head that has moved may be another chain's: what was read with the last one does not go with it.
      if (head?.size !== lasting.head?.size || head?.time !== lasting.head?.time) {
        lasting = { ...lasting, head, readAt: Number.NEGATIVE_INFINITY }
        await readLasting(contract, hex(block))
      }
      return { chainId, genesis: lasting.genesis, block, code: lasting.code, head, nonce }
    },

    finalized: (view) => finalizedBlock(nodes, view.block),

    async find(transaction, view) {
      const seen = await nodes.agree('eth_getTransactionReceipt', [transaction], (receipt) =>
        toSighting(receipt, transaction, view.block),
      )
      if (seen === null) return null
      // A receipt may outlive its block by a moment; the block at its height says whether it still counts.
      const block = await nodes.agree('eth_getBlockByNumber', [hex(seen.block), false], (found) => {
        const { hash, number, timestamp } = (found ?? {}) as Record<string, unknown>
        if (found === null) return null
        if (quantity(number) !== seen.block) throw answersElse('another block')
        return { hash: lower(hash), time: quantity(timestamp) }
      })
      return block?.hash === seen.blockHash ? { ...seen, time: block.time } : null
    },

    isAnchored: async (contract, logId, size, root, time, view) =>
      // A call to an address without code returns nothing, which is no.
      decodeBool(await call(contract, calls.isAnchored(logId, size, root, time), view)) === true,

    async knows(transaction) {
      const answers = await nodes.poll('eth_getTransactionByHash', [transaction])
      return answers.some((answer) => answer.status === 'rejected' || answer.value !== null)
    },

    pendingNonce: async (sender) => quantity(await nodes.ask('eth_getTransactionCount', [sender, 'pending'])),

    async market() {
      const block = (await nodes.ask('eth_getBlockByNumber', ['latest', false])) as { baseFeePerGas?: unknown } | null
      if (block === null) throw answersElse('no block for its latest')
      if (block.baseFeePerGas === undefined)
        return { base: null, tip: bigQuantity(await nodes.ask('eth_gasPrice', [])) }
      // Not every chain suggests a tip; one gwei is the floor that most block builders keep.
      const tip = await nodes.ask('eth_maxPriorityFeePerGas', []).then(bigQuantity, () => 1_000_000_000n)
      return { base: bigQuantity(block.baseFeePerGas), tip }
    },

    balance: async (sender) => bigQuantity(await nodes.ask('eth_getBalance', [sender, 'latest'])),

    async estimate({ value = 0n, ...call }) {
      const gas = bigQuantity(
        // Of the pending block a node would say that a transaction which is to be replaced has done it already.
        await nodes.ask('eth_estimateGas', [{ ...call, ...(value > 0n && { value: hex(value) }) }, 'latest']),
      )
      return gas + gas / 5n
    },

    sign: (signer, { fees, ...fields }) => signTransaction(signer, { ...fields, ...fees }),

    async send(raw) {
      const answers = nodes
        .tell('eth_sendRawTransaction', [raw])
        .map((answer) => answer.then((): SendResult => ({ result: 'taken' }), judge))
      // One node that has it is enough; slow nodes are not awaited.
      const taken = answers.map(async (answer) => ((await answer).result === 'taken' ? answer : Promise.reject()))
      return Promise.any(taken).catch(async () => {
        const results = await Promise.all(answers)
        return results.find(({ result }) => result !== 'unknown') ?? results[0]!
      })
    },

    nodes: nodes.status,
  }
}

const LASTING_MS = 3_000

/** What a node means by its error. The texts are those of geth, Erigon, Nethermind, Besu, Reth and Hardhat. */
function judge(error: unknown): SendResult {
  if (!(error instanceof RpcError)) throw error
  const detail = explainRevert(error.data) ?? error.message
  if (error.kind === 'unreachable') return { result: 'unknown', detail }
  if (/already known|already imported|known transaction|alreadyknown/i.test(detail)) return { result: 'taken' }
  if (/nonce.*too low|oldnonce|nonce.*already|already been (used|mined)/i.test(detail))
    return { result: 'nonce_used', detail }
  if (/insufficient funds|enough funds|insufficient balance|upfront cost exceeds/i.test(detail))
    return { result: 'unfunded', detail }
  // That is no price: a higher fee would not help, and cost.
  if (/intrinsic gas|gas ?limit|floor data gas/i.test(detail)) return { result: 'refused', detail }
  if (/underpriced|too low|fee.*less than|below|not enough.*replace/i.test(detail))
    return { result: 'underpriced', detail }
  return { result: 'refused', detail }
}

/**
 * The newest block that a quorum calls final. A node that calls its newest block final has no finality (development
 * chains), and one that does not know the word has none either.
 */
async function finalizedBlock(nodes: Nodes, latest: number): Promise<number | null> {
  const answers = await nodes.poll('eth_getBlockByNumber', ['finalized', false])
  const blocks: number[] = []
  let without = 0
  for (const answer of answers) {
    if (answer.status === 'rejected') without += (answer.reason as RpcError).kind === 'refused' ? 1 : 0
    else if (answer.value === null) without += 1
    else blocks.push(quantity((answer.value as { number: unknown }).number))
  }
  const block = blocks.sort((a, b) => b - a)[nodes.quorum - 1]
  if (block !== undefined) return block >= latest ? null : block
  if (without >= nodes.quorum) return null
  throw new NoQuorum('unreachable', 'too few nodes say what is final')
}

/** Hash of block 0, by most nodes; null if they do not give it. @throws NoQuorum if none answers */
async function readGenesis(nodes: Nodes): Promise<string | null> {
  const answers = await nodes.poll('eth_getBlockByNumber', ['0x0', false])
  const counts = new Map<string, number>()
  for (const answer of answers) {
    if (answer.status === 'rejected' && (answer.reason as RpcError).kind === 'unreachable') continue
    if (answer.status === 'fulfilled' && !isFirstBlock(answer.value)) continue
    const hash = answer.status === 'fulfilled' ? blockHash(answer.value) : null
    counts.set(hash ?? '', (counts.get(hash ?? '') ?? 0) + 1)
  }
  const [most] = [...counts].sort((a, b) => b[1] - a[1])
  if (most === undefined) throw new NoQuorum('unreachable', 'no node tells the first block of its chain')
  return most[0] === '' ? null : most[0]
}

/** Also null, from who does not give it. What is another block, or none at all, names no chain. */
const isFirstBlock = (block: unknown): boolean => {
  if (block === null) return true
  const { number, hash } = block as Record<string, unknown>
  return parseQuantity(number) === 0 && /^0x[\da-f]{64}$/i.test(String(hash))
}

function kindOfCode(code: unknown): ChainView['code'] {
  if (code === '0x') return 'none'
  return isPublishedCode(String(code)) ? 'published' : 'other'
}

function toSighting(receipt: unknown, transaction: string, latest: number): Omit<Sighting, 'time'> | null {
  if (receipt === null) return null
  const seen = receipt as Record<string, unknown>
  if (lower(seen.transactionHash) !== lower(transaction)) throw answersElse('the receipt of another transaction')
  const block = quantity(seen.blockNumber)
  if (block > latest) return null
  return {
    transaction: lower(seen.transactionHash),
    block,
    blockHash: lower(seen.blockHash),
    succeeded: quantity(seen.status) === 1,
    gasUsed: quantity(seen.gasUsed),
    gasPrice: bigQuantity(seen.effectiveGasPrice ?? '0x0').toString(),
  }
}

/** What was not asked for says neither yes nor no, whoever mixed the answers up. */
const answersElse = (what: string) => new RpcError('unreachable', `a node sent ${what}`)

const lower = (value: unknown) => String(value).toLowerCase()
const blockHash = (block: unknown): string | null => (block === null ? null : lower((block as { hash: unknown }).hash))
