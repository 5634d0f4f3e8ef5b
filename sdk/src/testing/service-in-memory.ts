// The service as a recorder meets it, in the memory of the process: it checks batches, keeps a log, signs checkpoints and gives
// receipts that hold. It answers by `fetch`, so that what sends and what checks receipts is the real thing.
import { createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type BatchHeader, readBatch } from '../core/batch.ts'
import { printCheckpoint } from '../core/checkpoint.ts'
import { ERROR_CODES, KillickError } from '../core/errors.ts'
import { type Hash, printHash } from '../core/hash.ts'
import type { PublicJwk } from '../core/jwk.ts'
import { treeRoot } from '../core/merkle.ts'
import { printVkey, signNote } from '../core/note.ts'
import type { Receipt } from '../core/receipt.ts'
import { type Node, type Plan, planConsistency, planInclusion } from '../core/tree.ts'
import { nodePrimitives } from '../node/primitives.ts'

const ORIGIN = 'test.killick.invalid'
/** Where nothing listens: RFC 6761 keeps this name from ever being one. */
export const URL_IN_MEMORY = `http://${ORIGIN}`

export type ServiceInMemory = {
  readonly logKey: string
  /** `down`: nothing answers. A number: an answer takes so long, in ms. */
  state: 'down' | number
  /** How many batches it has accepted. */
  readonly size: number
  readonly fetch: typeof fetch
}

/** @param key that signs for the source */
export function serviceInMemory(source: string, key: () => PublicJwk): ServiceInMemory {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x as string, 'base64url')
  const leaves: Hash[] = []
  const accepted = new Map<string, Receipt>()
  let next = 0

  const nodeAt = ({ level, index }: Node) =>
    treeRoot(leaves.slice(index * 2 ** level, (index + 1) * 2 ** level), nodePrimitives.nodeHash)
  const hashesOf = ({ nodes, fold }: Plan<Hash[]>) => fold(nodes.map(nodeAt), nodePrimitives.nodeHash).map(printHash)

  function accept(body: Uint8Array): Receipt {
    const signatures: { line: number; signed: NonNullable<BatchHeader['signature']> }[] = []
    let line = 1
    const header = readBatch(
      body,
      (event) => {
        line += 1
        if (event.signature) signatures.push({ line, signed: event.signature })
      },
      nodePrimitives,
    )
    const signer = createPublicKey({ format: 'jwk', key: { ...key() } })
    for (const { line, signed } of [{ line: 1, signed: header.signature }, ...signatures]) {
      const isEd25519 = signed.alg === 'Ed25519'
      const by = isEd25519 ? signer : ({ key: signer, dsaEncoding: 'ieee-p1363' } as const)
      if (!verify(isEd25519 ? null : 'sha256', signed.input, by, signed.bytes))
        throw new KillickError('signature_invalid', ERROR_CODES.signature_invalid, { line })
    }
    const known = accepted.get(header.text)
    if (known) return known
    if (header.source !== source) throw new KillickError('key_unknown', ERROR_CODES.key_unknown, { line: 1 })
    if (header.seq !== next) throw new KillickError('refused', `The stream continues at ${next}.`)
    leaves.push(header.leafHash)
    next = header.seq + header.n
    const size = leaves.length
    const text = printCheckpoint({ origin: ORIGIN, size, root: treeRoot(leaves, nodePrimitives.nodeHash) })
    const receipt: Receipt = {
      ...{ source: header.source, stream: header.stream, seq: header.seq, n: header.n, logIndex: size - 1, size },
      path: hashesOf(planInclusion(size - 1, size)),
      checkpoint: signNote(text, ORIGIN, raw, (message) => sign(null, message, privateKey)),
    }
    accepted.set(header.text, receipt)
    return receipt
  }

  function answer(address: URL, body: Uint8Array | undefined): unknown {
    if (address.pathname === '/v1/batches') return accept(body!)
    if (address.pathname !== '/v1/consistency') throw new KillickError('refused', 'There is nothing at this address.')
    const [from, to] = ['from', 'to'].map((name) => Number(address.searchParams.get(name))) as [number, number]
    return { from, to, path: hashesOf(planConsistency(from, to)) }
  }

  const service: ServiceInMemory = {
    logKey: printVkey(ORIGIN, raw),
    state: 0,
    get size() {
      return leaves.length
    },
    async fetch(url, init) {
      if (service.state === 'down') throw refusedConnection()
      if (service.state > 0) await sleep(service.state, undefined, init?.signal ? { signal: init.signal } : {})
      try {
        return Response.json(answer(new URL(String(url)), init?.body as Uint8Array | undefined), { status: 201 })
      } catch (error) {
        if (!(error instanceof KillickError)) throw error
        const { code, message: detail, details } = error
        return Response.json({ ...details, code, detail }, { status: 400 })
      }
    },
  }
  return service
}

/** What `fetch` throws where nothing listens. */
function refusedConnection(): Error {
  const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED', syscall: 'connect' })
  return new TypeError('fetch failed', { cause })
}
