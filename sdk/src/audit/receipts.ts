// Compares the log with what it gave to others: receipts of recorders, and notes of any age.
import { parseBatchHeader } from '../core/batch.ts'
import { equalBytes } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import type { Shown } from '../core/fork.ts'
import { EMPTY_ROOT, type Hash } from '../core/hash.ts'
import { isIncluded, openCheckpoint, type SignedCheckpoint } from '../core/receipt.ts'
import { verifyNatively } from '../node/signature.ts'
import type { Fault } from './findings.ts'
import type { OwnCheck } from './own-check.ts'

/**
 * The check `receipts`: the log has every batch that a receipt is for, at its place, and at the size of every note the root
 * that was signed.
 * @param shown notes, and receipts under them
 * @param vkeys verifier keys of the log; if none of them opens a note, that note is at fault, not the log
 * @throws KillickError `receipt_invalid` for a note or receipt that proves nothing
 */
export function holdReceipts(shown: readonly Shown[], vkeys: readonly string[]): OwnCheck {
  const roots = new Map<number, Hash[]>()
  const batches = new Map<number, { leaf: Hash; name: string }[]>()
  for (const { note, receipt } of shown) {
    const checkpoint = openWithAny(note, vkeys)
    roots.set(checkpoint.size, [...(roots.get(checkpoint.size) ?? []), checkpoint.root])
    if (!receipt) continue
    if (!isIncluded(receipt, checkpoint))
      throw new KillickError('receipt_invalid', 'A receipt does not prove that the log has its batch')
    const { source, stream, seq, n, logIndex, header } = receipt
    const name = `events ${seq} to ${seq + n - 1} of ${source}/${stream}`
    const leaf = parseBatchHeader(header).leafHash
    batches.set(logIndex, [...(batches.get(logIndex) ?? []), { leaf, name }])
  }
  const rewritten = (size: number): Fault => ({
    place: { logIndex: Math.max(0, size - 1) },
    reason: 'rewritten',
    message: `A note was signed for ${size} entries with another root: the log was rewritten`,
  })
  const untold = (size: number): Fault => ({
    place: null,
    reason: 'unreadable',
    message: `The root of the log’s first ${size} entries does not follow from its tiles`,
  })
  const rootFaults = (size: number, root: () => Hash): Fault[] =>
    (roots.get(size) ?? []).flatMap((signed) => (equalBytes(signed, root()) ? [] : [rewritten(size)]))
  let entries = 0
  return {
    id: 'receipts',
    title: 'The log is what receipts and older notes say',
    resumes: {
      again: false,
      // A receipt proves that its batch is in the log under its note: no entry need be read for it.
      async begin({ size: before, rootAt }) {
        entries = before
        const faults: Fault[] = []
        for (const size of roots.keys()) {
          const root = size > 0 && size <= before ? await rootAt(size) : null
          if (root !== null) faults.push(...rootFaults(size, () => root))
          else if (size > 0 && size <= before) faults.push(untold(size))
        }
        return faults
      },
    },
    entry: async ({ logIndex, header, root }) => {
      entries = logIndex + 1
      const others = (batches.get(logIndex) ?? []).filter(({ leaf }) => !equalBytes(leaf, header.leafHash))
      return [
        ...others.map(({ name }) => ({
          place: { logIndex },
          reason: 'rewritten' as const,
          message: `There is a receipt for ${name} here; the log has another batch in its place`,
        })),
        ...rootFaults(entries, root),
      ]
    },
    finish: async () => {
      const missing = [...roots.keys()].filter((size) => size > entries)
      const faults = missing.map((size) => ({
        place: { logIndex: entries },
        reason: 'removed' as const,
        message: `A note was signed for ${size} entries; the log shows ${entries}: entries were removed`,
      }))
      const receipts = [...batches.values()].flat().length
      const sizes = [...roots.keys()].sort((a, b) => a - b)
      return {
        faults: [...rootFaults(0, () => EMPTY_ROOT), ...faults],
        detail: `${receipts} receipts, and the roots of ${sizes.length} notes, of ${sizes[0]} to ${sizes.at(-1)} entries`,
        skipped: sizes.length === 0 ? { reason: 'nothing_known', detail: 'There is no receipt and no note' } : null,
      }
    },
  }
}

function openWithAny(note: string, vkeys: readonly string[]): SignedCheckpoint {
  let fault: unknown
  for (const vkey of vkeys) {
    try {
      return openCheckpoint(note, vkey, verifyNatively)
    } catch (error) {
      fault = error
    }
  }
  throw fault ?? new KillickError('receipt_invalid', 'A note cannot be checked without the log’s key')
}
