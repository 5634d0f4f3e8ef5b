/** The way from what a record says up to the block that anchors it, hash by hash, as rows to draw. Pure. */
import {
  type BatchHeader,
  type Check,
  type CheckStatus,
  type Hash,
  leafHash,
  nodeHash,
  type Proof,
  parseBatchHeader,
  parseCheckpoint,
  printHash,
  type Verdict,
} from '@killick/sdk/verify'
import { words } from '../shared/language.ts'
import { anchorTime, chainName, weightyAnchors } from '../shared/words.ts'

export type Station = {
  readonly kind: 'station'
  readonly id: 'fields' | 'event' | 'batch' | 'entry' | 'log' | 'block'
  readonly name: string
  readonly note: string
  readonly hashes: readonly { readonly label: string; readonly value: string }[]
  /** The checks that the line into this station stands for. */
  readonly checks: readonly Check[]
  readonly status: CheckStatus
}

export type Step = {
  readonly kind: 'step'
  /** On which side the neighbour joins. */
  readonly side: 'left' | 'right'
  readonly sibling: string
  /** The hash of both together. */
  readonly node: string
}

export type PathRow = Station | Step

/** RFC 9162 §2.1.3.2, keeping what it passes: as `rootFromInclusion`, but a path of wrong length simply ends. */
export function climb(leaf: Hash, index: number, size: number, path: readonly Hash[]): Step[] {
  const steps: Step[] = []
  let node = leaf
  let fn = BigInt(index)
  let sn = BigInt(size) - 1n
  for (const sibling of path) {
    const isRight = (fn & 1n) === 1n || fn === sn
    node = isRight ? nodeHash(sibling, node) : nodeHash(node, sibling)
    steps.push({ kind: 'step', side: isRight ? 'left' : 'right', sibling: printHash(sibling), node: printHash(node) })
    if (isRight) {
      while ((fn & 1n) === 0n && fn !== 0n) {
        fn >>= 1n
        sn >>= 1n
      }
    }
    fn >>= 1n
    sn >>= 1n
  }
  return steps
}

function worst(checks: readonly Check[]): CheckStatus {
  if (checks.some(({ status }) => status === 'failed')) return 'failed'
  return checks.length === 0 || checks.some(({ status }) => status === 'skipped') ? 'skipped' : 'passed'
}

function attempt<T>(parse: () => T): T | null {
  try {
    return parse()
  } catch {
    return null
  }
}

const ascii = (text: string) => new TextEncoder().encode(text)

export function pathOf(proof: Proof, verdict: Verdict): PathRow[] {
  const header = attempt(() => parseBatchHeader(proof.batch.header))
  const checkpoint = attempt(() => parseCheckpoint(proof.checkpoint))
  const event = leafHash(ascii(proof.event.split('~')[0]!))
  const station = (
    id: Station['id'],
    name: string,
    note: string,
    hashes: Record<string, string>,
    ids: readonly string[],
  ): Station => {
    const checks = verdict.checks.filter((check) => ids.includes(check.id))
    const all = Object.entries(hashes).map(([label, value]) => ({ label, value }))
    return { kind: 'station', id, name, note, hashes: all, checks, status: worst(checks) }
  }
  const told = words.path
  const { hashes } = told
  const shown = verdict.event
  const fields = shown ? Object.keys(shown.fields).length : 0
  return [
    station('fields', told.fields, shown ? told.fieldsShown(fields, shown.hiddenFields) : told.unmatched, {}, []),
    station(
      'event',
      told.event,
      shown ? told.eventAt(shown.seq, shown.stream, shown.source) : told.signedPart,
      { [hashes.leaf]: printHash(event) },
      ['event.form', 'event.signature'],
    ),
    ...climb(event, proof.batch.index, header?.n ?? proof.batch.index + 1, proof.batch.path),
    station(
      'batch',
      told.batch,
      header ? told.batchOf(header.n, proof.batch.index) : told.noHeader,
      header ? { [hashes.root]: printHash(header.root) } : {},
      ['batch.inclusion'],
    ),
    ...entry(
      proof,
      header,
      station(
        'entry',
        told.entry,
        header ? told.signedBy(header.source) : told.unreadable,
        { [hashes.leaf]: printHash(header?.leafHash ?? leafHash(ascii(proof.batch.header))) },
        ['batch.signature', 'source.key'],
      ),
    ),
    station(
      'log',
      told.log,
      told.logOf(proof.log.origin, proof.log.size),
      checkpoint ? { [hashes.root]: printHash(checkpoint.root) } : {},
      ['log.inclusion', 'log.signature'],
    ),
    ...weightyAnchors(proof, verdict).anchors.flatMap((anchor): PathRow[] => [
      ...(anchor.path ? climb(header?.leafHash ?? event, proof.log.index, anchor.size, anchor.path) : []),
      station(
        'block',
        told.block(anchor.block),
        `${chainName(anchor.chainId)}, ${words.time(anchorTime(anchor))}`,
        {
          [hashes.anchored]: printHash(anchor.root),
          [hashes.transaction]: anchor.transaction,
          [hashes.contract]: anchor.contract,
          [hashes.logId]: anchor.logId,
        },
        ['path', 'contract', 'block', 'final', 'log'].map((name) => `anchor.${proof.anchors.indexOf(anchor)}.${name}`),
      ),
    ]),
    ...(proof.anchors.length === 0 ? [station('block', told.noBlock, told.noBlockWhy, {}, ['anchor'])] : []),
  ]
}

function entry(proof: Proof, header: BatchHeader | null, station: Station): PathRow[] {
  const { index, size, path } = proof.log
  return [station, ...(header ? climb(header.leafHash, index, size, path) : [])]
}
