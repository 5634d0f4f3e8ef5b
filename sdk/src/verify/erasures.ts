/** Checks the erasures that a proof carries: which fields of its event the log itself says were erased. */
import { parseBatchHeader } from '../core/batch.ts'
import { equalBytes } from '../core/bytes.ts'
import { parseCheckpoint } from '../core/checkpoint.ts'
import { erasedLeaf, parseErasure } from '../core/erasure.ts'
import { KillickError } from '../core/errors.ts'
import { type ParsedEvent, parseEvent } from '../core/event.ts'
import { verifyInclusion } from '../core/merkle.ts'
import { openNote, splitVkeys } from '../core/note.ts'
import type { CarriedErasure, Proof } from '../core/proof.ts'
import { SYSTEM } from '../core/registry.ts'
import { printTime } from '../core/time.ts'
import type { Engine } from './engine.ts'
import { type Finding, fail, pass, skip } from './finding.ts'
import type { Trust } from './trust.ts'
import type { ErasureWord } from './values.ts'

/** What the carried erasures say, and the digests that they name; none if they do not hold, or if nobody has shown that the log says so. */
export type Erased = {
  readonly finding: Finding<'event.erasure'>
  readonly words: readonly ErasureWord[]
  readonly digests: ReadonlySet<string>
}

/**
 * Checks that each carried erasure is in the event's log, under a checkpoint that the log's pinned key signed, and that it names
 * digests of this event of which the proof shows no field.
 */
export function erased(
  event: ParsedEvent,
  carried: readonly CarriedErasure[],
  proof: Proof,
  trust: Trust,
  engine: Engine,
): Erased {
  const shown = new Set(event.disclosures.map(({ text }) => engine.primitives.digest(text)))
  const digests = new Set<string>()
  const words: ErasureWord[] = []
  const told = new Set<string>()
  const without = (finding: Finding<'event.erasure'>): Erased => ({ finding, words: [], digests: new Set() })
  const pinned = splitVkeys(trust.logKeys ?? []).supported
  try {
    for (const one of carried) {
      const { token, what, signed } = read(one, event, proof, pinned, engine)
      if (what !== null) return without(fail('erasure_invalid', { what, entry: one.index }))
      const isOf = (digest: string) => event.digests.includes(digest) && !shown.has(digest)
      if (!one.entry.digests.every(isOf))
        return without(fail('erasure_invalid', { what: 'not_hidden', entry: one.index }))
      for (const digest of one.entry.digests) digests.add(digest)
      // One that is carried twice, as under two checkpoints, is one erasure.
      const name = `${one.index}/${one.entry.index}`
      if (told.has(name)) continue
      told.add(name)
      words.push({ ...signed, logIndex: one.index, at: printTime(token.time), count: one.entry.digests.length })
    }
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    const { code, message } = error
    return without(fail('erasure_invalid', { what: 'unreadable', refusal: { code, message } }))
  }
  const values = { erasures: words, fields: digests.size }
  // Without a key of the log anybody can have made them up, to pass off as erased what they hide.
  return pinned.length > 0 ? { finding: pass(values), words, digests } : without(skip('not_pinned', values))
}

function read(
  { event: text, header: headerText, index, path, checkpoint: note, entry }: CarriedErasure,
  event: ParsedEvent,
  proof: Proof,
  pinned: readonly string[],
  { primitives, verify }: Engine,
) {
  const token = parseEvent(text, primitives)
  const header = parseBatchHeader(headerText)
  const { origin, size, root } = parseCheckpoint(note)
  const order = parseErasure(token)
  const { leafHash } = event
  const claim = { leafHash: erasedLeaf({ leafHash, digests: entry.digests }), index: entry.index, path: entry.path }
  const isSystem = header.source === SYSTEM.source && header.stream === SYSTEM.stream && header.n === 1
  const what =
    order === null
      ? 'no_order'
      : !isSystem || !equalBytes(header.root, token.leafHash)
        ? 'not_alone'
        : origin !== proof.log.origin || !isSignedBy(note, origin, pinned, verify)
          ? 'other_log'
          : index <= proof.log.index ||
              !verifyInclusion({ leafHash: header.leafHash, index, size, path, root }, primitives.nodeHash)
            ? 'not_in_log'
            : !verifyInclusion({ ...claim, size: order.count, root: order.root })
              ? 'not_listed'
              : null
  const { id = '', reason = '', legalBasis = null, order: number = null, policy = null, confirmed = null } = order ?? {}
  const signed = {
    ...{ id, reason, legalBasis, order: number, policy: policy && { id: policy.id, version: policy.version } },
    confirmed: confirmed && { orderedBy: confirmed.orderedBy, confirmedBy: confirmed.confirmedBy },
  }
  return { token, what, signed } as const
}

/** Whether a pinned key of the log signed a checkpoint; true where none is pinned: then nothing rests on it. */
function isSignedBy(note: string, origin: string, pinned: readonly string[], verify: Engine['verify']): boolean {
  if (pinned.length === 0) return true
  try {
    return openNote(note, pinned, verify).signatures.some(({ name }) => name === origin)
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    return false
  }
}
