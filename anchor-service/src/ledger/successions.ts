import {
  type Anchor,
  isObject,
  KillickError,
  type LogPlace,
  openNote,
  parseSuccession,
  planConsistency,
  type Succeeds,
  type Succession,
} from '@killick/sdk'
import { type AnchorRow, readAnchors, readCoveringAnchor, readProvingAnchors } from './anchors.ts'
import type { LogKey } from './checkpoints.ts'
import { searchEvents } from './search.ts'
import { SYSTEM } from './system.ts'
import { type Db, readPlans } from './tiles.ts'

/** The log goes on under another publisher; the event's `metadata` is a `StatedSuccession`. */
export const SUCCEED = 'log.succeed'

/** A signed statement, and where the anchor that it names is to be found. */
export type StatedSuccession = Omit<Succeeds, 'path'>

/** A succession is rare, and each proof asks. ms */
const KEEP_MS = 1_000
const kept = new WeakMap<Db, { at: number; stated: Promise<(StatedSuccession & Succession)[]> }>()

/** What the log's key has said of successions, the newest first. */
export function readSuccessions(db: Db, log: LogKey): Promise<(StatedSuccession & Succession)[]> {
  const known = kept.get(db)
  if (known && performance.now() - known.at < KEEP_MS) return known.stated
  const stated = readStated(db, log)
  kept.set(db, { at: performance.now(), stated })
  stated.catch(() => kept.delete(db))
  return stated
}

async function readStated(db: Db, { vkey }: LogKey): Promise<(StatedSuccession & Succession)[]> {
  const { events } = await searchEvents(db, { action: SUCCEED, source: SYSTEM.source, limit: 16 })
  return events.flatMap((event) => {
    const said = 'fields' in event ? event.fields.metadata : undefined
    if (!isObject(said)) return []
    const { note, transaction, block } = said as StatedSuccession
    try {
      return [{ note, transaction, block, ...parseSuccession(openNote(note, [vkey]).text) }]
    } catch (error) {
      // What no verifier would believe is not carried.
      if (error instanceof KillickError) return []
      throw error
    }
  })
}

export const isSamePlace = (a: LogPlace, b: LogPlace): boolean =>
  a.chainId === b.chainId && a.contract === b.contract && a.logId === b.logId

/** The newest confirmed anchor in a place. */
export async function readLastAnchor(db: Db, place: LogPlace): Promise<AnchorRow | null> {
  const target = { target: '', ...place }
  const anchors = await readAnchors(db, { limit: 1, states: ['confirmed', 'final'], target })
  return anchors[0] ?? null
}

/**
 * The anchors that a proof carries, each with the word of whom it succeeds, for verifiers who pinned that; of what was left, those too
 * that still prove the entry.
 */
export async function readCarriedAnchors(db: Db, log: LogKey, logIndex: number): Promise<Anchor[]> {
  const proving = await readProvingAnchors(db, logIndex)
  const stated = await readSuccessions(db, log)
  if (stated.length === 0) return proving
  const left = stated.filter(({ from, to }) => proving.some((one) => isSamePlace(one, to)) && from.size > logIndex)
  const earlier = await Promise.all(left.map(({ from }) => readCoveringAnchor(db, from, logIndex, from.size)))
  const anchors = [...earlier.filter((anchor) => anchor !== null), ...proving]
    .filter((one, i, all) => all.findIndex((other) => isSamePlace(other, one)) === i)
    .sort((a, b) => a.size - b.size)
    .slice(0, 16)
  const of = anchors.map((anchor) => stated.find(({ from, to }) => isSamePlace(to, anchor) && from.size <= anchor.size))
  const paths = await readPlans(
    db,
    anchors.flatMap((anchor, i) => (of[i] ? [planConsistency(of[i].from.size, anchor.size)] : [])),
  )
  return anchors.map((anchor, i) => {
    const said = of[i]
    if (said === undefined) return anchor
    const { note, transaction, block } = said
    return { ...anchor, succeeds: { note, transaction, block, path: paths.shift()! } }
  })
}
