// `verifyBundle` with Node's own cryptography, on all cores.
import { createHash } from 'node:crypto'
import { availableParallelism } from 'node:os'
import type { BundleVerdict } from '../../bundle/index.ts'
import { NamedKeys } from '../../bundle/reading.ts'
import {
  type BundleEngine,
  type BundleOptions,
  type BundleReader,
  type BundleStretchRead,
  type BundleTrust,
  type Sha256,
  verifyBundleWith,
} from '../../bundle/verify-bundle.ts'
import { type AskThread, openReadingThreads, type ReadingThreads } from '../in-threads.ts'
import { nodePrimitives } from '../primitives.ts'
import { verifyNatively } from '../signature.ts'
import { threadBeside } from '../thread.ts'
import type { BundleReadThere, BundleToRead } from './bundle-reader-thread.ts'
import { checkSignature } from './check-signature.ts'
import { linesIn } from './lines.ts'
import { readStretchNatively } from './read-stretch.ts'

const entry = () => threadBeside(import.meta.url, 'bundle-reader-thread')

/** Options of `verifyBundle` in Node. */
export type NodeBundleOptions = Pick<BundleOptions, 'onEvent' | 'onProgress' | 'signal'> & {
  /** Most threads that read events and check signatures; with 0 or 1, and for a small bundle, the calling one does it all. Default: as many as the machine has cores. */
  readonly threads?: number
}

/**
 * Checks a bundle against what the verifier trusts, while its bytes arrive, with Node's own cryptography and on all cores; `verifyBundle` of
 * `@killick/sdk/bundle` gives the same verdict with portable code, on the thread that calls it. Neither the verdict nor its faults and their
 * order depend on the number of threads. Memory does not grow with the bundle: a few hundred KiB of it are held for each thread, a hash for each
 * level of the trees, where each stream stands, the erasures that it names, and the places that are missing.
 * @param chunks the bytes of a `killick-bundle/1`; they are read as fast as they are checked, and closed when nothing more is wanted
 * @throws KillickError `bundle_malformed` or `bundle_version` if the bytes do not begin as a bundle does, `json_*`; `vkey_invalid`,
 * `key_invalid`, `trust_invalid` if what was pinned is malformed; `thread_failed` if a thread ends before it has answered
 * @example
 * const verdict = await verifyBundle(createReadStream('second-quarter.bundle'), {
 *   logKeys: ['ledger.example.com+1f2e3d4c+AQ…'],
 *   logs: [{ chainId: 1, contract: '0x…', logId: '0x…' }],
 *   sourceKeys: [{ source: 'billing-api', jwk: sourceKey }],
 *   facts: (anchors) => readAnchors({ anchors }, ['https://rpc.example.com']),
 *   heads: (logs) => readLogHeads(logs, ['https://rpc.example.com']),
 * })
 * verdict.outcome // 'verified': genuine
 * verdict.completeness.verdict // 'complete': and all there is
 */
export async function verifyBundle(
  chunks: AsyncIterable<Uint8Array>,
  trust: BundleTrust,
  { threads = availableParallelism(), ...options }: NodeBundleOptions = {},
): Promise<BundleVerdict> {
  const opened = openBundleThreads(threads)
  try {
    return await verifyBundleOn(opened, chunks, trust, options)
  } finally {
    await opened.close()
  }
}

export const openBundleThreads = (most: number): ReadingThreads<BundleToRead, BundleReadThere> =>
  openReadingThreads(entry, most)

/** `verifyBundle` on threads that the caller opens and closes. */
export const verifyBundleOn = (
  threads: ReadingThreads<BundleToRead, BundleReadThere>,
  chunks: AsyncIterable<Uint8Array>,
  trust: BundleTrust,
  options: Omit<NodeBundleOptions, 'threads'> = {},
): Promise<BundleVerdict> =>
  verifyBundleWith(engineOf(threads), chunks, trust, { ...options, primitives: nodePrimitives, checkSignature })

function engineOf(threads: ReadingThreads<BundleToRead, BundleReadThere>): BundleEngine {
  const known = new NamedKeys(checkSignature)
  /** How many keys each thread has been told; null: this one. */
  const told = new Map<AskThread<BundleToRead, BundleReadThere> | null, number>()
  const read: BundleReader['read'] = ({ bytes, isOpen }, keys) => {
    const untold = (thread: AskThread<BundleToRead, BundleReadThere> | null) => {
      const fresh = keys.slice(told.get(thread) ?? 0)
      told.set(thread, keys.length)
      return fresh
    }
    return threads.read<BundleStretchRead>(
      bytes.length,
      async () => {
        known.add(untold(null))
        const lines = linesIn(bytes)
        return { lines: () => lines, reading: await readStretchNatively(bytes, lines, isOpen, known), bytes }
      },
      async (ask) => {
        const question = { bytes, isOpen, keys: untold(ask) }
        const { reading, bytes: own } = await ask(question, [bytes.buffer as ArrayBuffer])
        return { lines: () => linesIn(own), reading, bytes: own }
      },
    )
  }
  return { reader: { read, ahead: threads.ahead }, newSha256, verify: verifyNatively }
}

function newSha256(): Sha256 {
  const hash = createHash('sha256')
  return {
    update: (bytes) => void hash.update(bytes),
    hex: () => hash.digest('hex'),
  }
}
