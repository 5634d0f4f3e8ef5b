import { KillickError } from '../core/errors.ts'
import { verifyConsistency } from '../core/merkle.ts'
import { openNote } from '../core/note.ts'
import type { Anchor, Proof, Succeeds } from '../core/proof.ts'
import { type LogPlace, parseSuccession, type Succession } from '../core/succession.ts'
import { anchorContract, factAbout } from './checks.ts'
import { type Finding, fail, skip } from './finding.ts'
import type { PinnedLog, Trust } from './trust.ts'

/** The last honest anchor that a statement names, as an anchor to ask a node about; none where there is nothing to ask. */
export function predecessorOf({ note, transaction, block }: Succeeds): Anchor[] {
  try {
    // Whether anyone has signed it is checked where it is relied on.
    const { from } = parseSuccession(note.slice(0, note.lastIndexOf('\n\n') + 1))
    return [{ ...from, transaction, block }]
  } catch (error) {
    if (error instanceof KillickError) return []
    throw error
  }
}

export const isPlace = (place: LogPlace, log: PinnedLog): boolean =>
  log.chainId === place.chainId &&
  log.contract.toLowerCase() === place.contract &&
  log.logId.toLowerCase() === place.logId

/**
 * An anchor in a log that nobody pinned, which says that it succeeds a pinned one. That is never as good as a pin: whoever holds
 * all of the operator's keys could say so too. But then it must extend what the pinned log held.
 * @returns null where no pinned key could have said so, or it succeeds none of the pinned ones
 */
export function succeeded(anchor: Anchor, succeeds: Succeeds, proof: Proof, trust: Trust): Finding | null {
  if (trust.logKeys === undefined || trust.logKeys.length === 0) return null
  let statement: Succession
  try {
    statement = parseSuccession(openNote(succeeds.note, trust.logKeys).text)
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    return fail('succession_invalid', `The statement that it succeeds the pinned log does not hold: ${error.message}`)
  }
  const { origin, from, to } = statement
  if (origin !== proof.log.origin || !isPlace(anchor, to) || isPlace(from, to))
    return fail('succession_invalid', 'The statement of succession is about other logs')
  if (!(trust.logs ?? []).some((log) => isPlace(from, log))) return null
  const sizes = { oldSize: from.size, newSize: anchor.size }
  if (!verifyConsistency({ ...sizes, oldRoot: from.root, newRoot: anchor.root, path: succeeds.path }))
    return fail('succession_invalid', 'What is anchored does not extend the last honest anchor of the pinned log')
  const held = anchorContract(factAbout({ ...from, transaction: succeeds.transaction, block: succeeds.block }, trust))
  if (held.status !== 'passed') return held
  const lies = proof.log.index < from.size ? 'before' : 'after'
  const end = `${from.size} entries, ${new Date(1000 * from.time).toISOString()}`
  return skip(
    'succeeded',
    `It succeeds the pinned log, on the publisher’s word; the entry lies ${lies} the last honest anchor of that (${end})`,
  )
}
