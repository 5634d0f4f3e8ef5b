import {
  type Anchor,
  isObject,
  KillickError,
  type LogPlace,
  MAX_SUCCESSIONS,
  openNote,
  parseSuccession,
  planConsistency,
  type Succeeds,
  type Succession,
  SYSTEM,
} from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import { readAnchors, readCoveringAnchor, type StoredAnchor } from '../registry/anchors.ts'
import type { LogKey } from '../tree/checkpoints.ts'
import { readPlans } from '../tree/tiles.ts'
import { searchEvents } from './search.ts'

/** The log goes on under another publisher; the event's `metadata` is a `StatedSuccession`. */
export const SUCCEED = 'log.succeed'

/** A signed statement, and where to find the anchor that it names. */
export type StatedSuccession = Omit<Succeeds, 'path'>

type Stated = StatedSuccession & Succession

/** How long statements are kept in memory, ms: successions are rare, and each proof asks for them. */
const KEEP_MS = 1_000
const kept = new WeakMap<Db, { at: number; stated: Promise<Stated[]> }>()

/** The log's statements of succession, newest first. */
export function readSuccessions(db: Db, log: LogKey): Promise<Stated[]> {
  const known = kept.get(db)
  if (known && performance.now() - known.at < KEEP_MS) return known.stated
  const stated = readStated(db, log)
  kept.set(db, { at: performance.now(), stated })
  stated.catch(() => kept.delete(db))
  return stated
}

/** The same from the database, and not from memory. */
export async function readStated(db: Db, { vkey }: LogKey): Promise<Stated[]> {
  const { events } = await searchEvents(db, { action: SUCCEED, source: SYSTEM.source, limit: 16 })
  return events.flatMap((event) => {
    const said = 'fields' in event ? event.fields.metadata : undefined
    if (!isObject(said)) return []
    const { note, transaction, block } = said as StatedSuccession
    try {
      return [{ note, transaction, block, ...parseSuccession(openNote(note, [vkey]).text) }]
    } catch (error) {
      // Statements that no verifier would believe are left out.
      if (error instanceof KillickError) return []
      throw error
    }
  })
}

export const isSamePlace = (a: LogPlace, b: LogPlace): boolean =>
  a.chainId === b.chainId && a.contract === b.contract && a.logId === b.logId

/** The newest confirmed anchor of a chain, contract and log. */
export async function readLastAnchor(db: Db, place: LogPlace): Promise<StoredAnchor | null> {
  const target = { target: '', ...place }
  const anchors = await readAnchors(db, { limit: 1, states: ['confirmed', 'final'], target })
  return anchors[0] ?? null
}

/** The steps back from an anchor, or from a log of any size; each names an anchor that is no larger than the one before. */
function stepsFrom(stated: readonly Stated[], anchor: LogPlace & { readonly size: number }): Stated[] {
  const steps: Stated[] = []
  let at: LogPlace & { readonly size: number } = anchor
  while (steps.length < MAX_SUCCESSIONS) {
    const { size } = at
    const step = stated.find(({ from, to }) => isSamePlace(to, at) && from.size <= size)
    // A statement that returns to a log already left ends the steps.
    if (step === undefined || steps.some(({ from }) => isSamePlace(from, step.from))) break
    steps.push(step)
    at = step.from
  }
  return steps
}

/**
 * The anchors that a proof carries, of those that prove its entry, each with the word of whom it succeeds, for verifiers who pinned that; of what was left, those too
 * that still prove the entry.
 */
export async function readCarriedAnchors(
  db: Db,
  log: LogKey,
  logIndex: number,
  proving: readonly Anchor[],
): Promise<readonly Anchor[]> {
  const stated = await readSuccessions(db, log)
  if (stated.length === 0) return proving
  const left = proving.flatMap((one) => stepsFrom(stated, { ...one, size: Number.MAX_SAFE_INTEGER }))
  const covering = left.filter(({ from }) => from.size > logIndex)
  const earlier = await Promise.all(covering.map(({ from }) => readCoveringAnchor(db, from, logIndex, from.size)))
  const anchors = [...earlier.filter((anchor) => anchor !== null), ...proving]
    .filter((one, i, all) => all.findIndex((other) => isSamePlace(other, one)) === i)
    .sort((a, b) => a.size - b.size)
    .slice(0, 16)
  const steps = anchors.map((anchor) => stepsFrom(stated, anchor))
  const paths = await readPlans(
    db,
    anchors.flatMap((anchor, i) =>
      steps[i]!.map(({ from }, n) => planConsistency(from.size, steps[i]![n - 1]?.from.size ?? anchor.size)),
    ),
  )
  return anchors.map((anchor, i) => {
    const succeeds = steps[i]!.map(({ note, transaction, block }) => ({
      note,
      transaction,
      block,
      path: paths.shift()!,
    }))
    return succeeds.length === 0 ? anchor : { ...anchor, succeeds }
  })
}
