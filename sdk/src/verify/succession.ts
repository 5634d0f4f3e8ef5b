import { KillickError } from '../core/errors.ts'
import type { Hash } from '../core/hash.ts'
import { verifyConsistency } from '../core/merkle.ts'
import { openNote } from '../core/note.ts'
import type { Anchor, Proof, Succeeds } from '../core/proof.ts'
import { type LogPlace, parseSuccession, type Succession } from '../core/succession.ts'
import { anchorContract, factAbout } from './checks.ts'
import { type Finding, fail, skip } from './finding.ts'
import type { PinnedLog, Trust } from './trust.ts'

/** The last honest anchor that a statement names, as an anchor to ask a node about; none if the statement cannot be read. */
export function predecessorOf({ note, transaction, block }: Succeeds): Anchor[] {
  try {
    // The signature is checked where the statement is relied on.
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
 * What the log's key stated in a note.
 * @throws KillickError if none of these keys signed it, or if it states no succession
 */
export function openSuccession(note: string, logKeys: readonly string[]): Succession {
  const stated = parseSuccession(openNote(note, logKeys).text)
  if (isPlace(stated.from, stated.to)) throw new KillickError('note_malformed', 'A log does not succeed itself')
  return stated
}

type Step = Succession & { readonly path: readonly Hash[]; readonly held: Finding<'anchor.contract'> }

/**
 * Checks an anchor in a log that is not pinned but says that it succeeds a pinned one, directly or through others. That is never
 * as good as a pin, since whoever holds all of the operator's keys could say so too. It must extend what the pinned log held.
 * @param succeeds the steps back from the anchor's log; those beyond the pinned log are ignored
 * @returns null if no log key is pinned, or if the log succeeds none of the pinned ones
 */
export function succeeded(
  anchor: Anchor,
  succeeds: readonly Succeeds[],
  proof: Pick<Proof, 'log'>,
  trust: Trust,
): Finding<'anchor.log'> | null {
  if (trust.logKeys === undefined || trust.logKeys.length === 0) return null
  const steps: Step[] = []
  const isPinned = ({ from }: Step) => (trust.logs ?? []).some((log) => isPlace(from, log))
  for (const { note, transaction, block, path } of succeeds) {
    try {
      const stated = openSuccession(note, trust.logKeys)
      if (stated.origin !== proof.log.origin || !isPlace(steps.at(-1)?.from ?? anchor, stated.to))
        return fail('succession_invalid', { what: 'other_logs' })
      steps.push({ ...stated, path, held: anchorContract(factAbout({ ...stated.from, transaction, block }, trust)) })
    } catch (error) {
      if (!(error instanceof KillickError)) throw error
      const { code, message } = error
      return fail('succession_invalid', { what: 'unreadable', refusal: { code, message } })
    }
    if (isPinned(steps.at(-1)!)) break
  }
  const last = steps.at(-1)
  if (last === undefined || !isPinned(last)) return null

  for (const [i, { from, path }] of steps.entries()) {
    const { size: newSize, root: newRoot } = steps[i - 1]?.from ?? anchor
    if (!verifyConsistency({ oldSize: from.size, newSize, oldRoot: from.root, newRoot, path }))
      return fail('succession_invalid', { what: 'not_extended' })
  }
  const held = steps.map((step) => step.held)
  const open = held.find(({ status }) => status === 'failed') ?? held.find(({ status }) => status !== 'passed')
  if (open && open.reason !== 'ok') return open
  const { size, time } = last.from
  const lies = proof.log.index < size ? 'before' : 'after'
  return skip('succeeded', { steps: steps.length, lies, size, time: new Date(1000 * time).toISOString() })
}
