import {
  type AnyEventInput,
  type EventInput,
  fromBase64url,
  type Hash,
  hideFields,
  makeEvent,
  type Proof,
  parseBatchHeader,
  parseEvent,
  planConsistency,
  planInclusion,
  printCheckpoint,
  printVkey,
  signBatchHeader,
  signNote,
  treeRoot,
  utf8,
} from '@killick/sdk/core'
import { Contract, id, JsonRpcProvider, Wallet } from 'ethers'
import artifact from '../../anchor-service/src/anchor/chain/AnchorLog.json' with { type: 'json' }
import { generateKey, publicJwk, signerOf } from '../../sdk/src/client/key.ts'
import type { LocalChain } from '../support/local-chain.ts'

/** A ledger in memory, anchored on a real chain: what the page needs a proof of, without the service. */
export interface Ledger {
  /** What a verifier pins. */
  trust: { publisher: string; sourceKeys: object[]; logKeys: string[]; logs: object[]; rpcs: string[] }
  /** Records, batches and logs events, three to a batch with companions, and anchors unless told not to. */
  prove(input: AnyEventInput, options?: { anchor?: boolean; shown?: string[] }): Promise<Proof>
}

const ORIGIN = 'ledger.example.com/2026'

/** The hash of any node, from the leaves: the tests have no store. */
function hashesOf(nodes: readonly { level: number; index: number }[], leaves: readonly Hash[]): Hash[] {
  return nodes.map(({ level, index }) => treeRoot(leaves.slice(index * 2 ** level, (index + 1) * 2 ** level)))
}

export async function openLedger(chain: LocalChain): Promise<Ledger> {
  const source = generateKey()
  const signer = signerOf(source)
  const log = signerOf(generateKey())
  const logKey = fromBase64url((log.jwk as { x: string }).x)!
  const provider = new JsonRpcProvider(chain.url, undefined, {
    staticNetwork: true,
    cacheTimeout: -1,
    batchMaxCount: 1,
    pollingInterval: 20,
  })
  const contract = new Contract(await chain.deployAnchorLog(), artifact.abi, new Wallet(await chain.newKey(), provider))
  const address = String(contract.target).toLowerCase()
  const originHash = id(ORIGIN)
  const logId = (await contract.getFunction('open').staticCall(originHash)) as string
  await (await contract.getFunction('open')(originHash)).wait()

  const stream = 'pod-7'
  const leaves: Hash[] = []
  let seq = 0
  let previous: Hash | undefined
  let previousBatch: Hash | undefined
  let anchoredSize = 0
  let clock = Date.UTC(2026, 2, 3, 14, 2, 11, 250)

  async function batch(inputs: AnyEventInput[]) {
    const first = seq
    const tokens: string[] = []
    const hashes: Hash[] = []
    for (const input of inputs) {
      clock += 1250
      const uuid = `0195${clock.toString(16).slice(-8)}`.slice(0, 8)
      const mint = {
        id: `${uuid}-0000-7000-8000-${seq.toString(16).padStart(12, '0')}`,
        time: clock,
        salt: () => crypto.getRandomValues(new Uint8Array(16)),
      }
      const made = await makeEvent(input, { source: 'billing-api', stream, seq: seq++, prev: previous }, mint, signer)
      tokens.push(made.token)
      hashes.push(made.leafHash)
      previous = made.leafHash
    }
    const fields = { source: 'billing-api', stream, seq: first, n: inputs.length, root: treeRoot(hashes), time: clock }
    const header = await signBatchHeader({ ...fields, ...(previousBatch && { prev: previousBatch }) }, signer)
    previousBatch = parseBatchHeader(header).leafHash
    leaves.push(previousBatch)
    return { header, tokens, hashes }
  }

  const companion = (n: number): EventInput => ({
    action: 'invoice.view',
    actor: { type: 'user', id: `u-${n}` },
    targets: [{ type: 'invoice', id: '2026-0041' }],
  })

  async function anchor(): Promise<Proof['anchors'][number]> {
    const size = leaves.length
    const plan = planConsistency(anchoredSize, size)
    const root = treeRoot(leaves)
    const oldRoot = treeRoot(leaves.slice(0, anchoredSize))
    const sent = await contract.getFunction('anchor')(
      logId,
      size,
      root,
      oldRoot,
      plan.fold(hashesOf(plan.nodes, leaves)),
    )
    const receipt = await sent.wait()
    const block = await provider.getBlock(receipt.blockNumber)
    anchoredSize = size
    return {
      ...{ chainId: chain.chainId, contract: address, logId, size, root },
      ...{ time: block!.timestamp, transaction: receipt.hash, block: receipt.blockNumber },
    }
  }

  return {
    trust: {
      publisher: 'Example Ltd',
      sourceKeys: [{ source: 'billing-api', jwk: publicJwk(source) }],
      logKeys: [printVkey(ORIGIN, logKey)],
      logs: [{ chainId: chain.chainId, contract: address, logId }],
      rpcs: [chain.url],
    },
    async prove(input, { anchor: anchored = true, shown } = {}) {
      for (let i = 0; i < 3; i++) await batch([companion(i), companion(i + 10)])
      const index = leaves.length
      const { header, tokens, hashes } = await batch([companion(1), input, companion(2)])
      await batch([companion(3)])
      const size = leaves.length
      const [inBatch, inLog] = [planInclusion(1, 3), planInclusion(index, size)]
      const root = treeRoot(leaves)
      const text = printCheckpoint({ origin: ORIGIN, size, root })
      const signature = await log.sign(utf8(text))
      return {
        event: shown ? hideFields(parseEvent(tokens[1]!), shown) : tokens[1]!,
        batch: { header, index: 1, path: inBatch.fold(hashesOf(inBatch.nodes, hashes)) },
        log: { origin: ORIGIN, index, size, path: inLog.fold(hashesOf(inLog.nodes, leaves)) },
        checkpoint: signNote(text, ORIGIN, logKey, () => signature),
        anchors: anchored ? [await anchor()] : [],
        keys: [publicJwk(source)],
      }
    },
  }
}

export const INVOICE: EventInput = {
  action: 'invoice.approve',
  actor: { type: 'user', id: 'u-17', name: 'Zoë Lindqvist' },
  targets: [{ type: 'invoice', id: '2026-0042', name: 'Harbour dues, March' }],
  outcome: 'success',
  changes: [{ path: '/status', before: 'draft', after: 'approved' }],
  context: { ip: '203.0.113.7', requestId: 'req-8f2c' },
}
