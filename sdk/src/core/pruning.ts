/**
 * Pruning: docs/PROTOCOL.md §7, as C2SP tlog-tiles has it. A log may stop to publish its front. From when on, an event of its own stream
 * says in days, and anchors say which entries are so old: so everybody can tell the minimum index that a log may have.
 */
import { KillickError } from './errors.ts'
import { isCount, type ParsedEvent } from './event.ts'
import type { EventInput } from './fields.ts'
import { hasMembers, isObject } from './json.ts'
import { SYSTEM } from './registry.ts'
import { MAX_RETENTION_DAYS } from './retention.ts'
import { TILE_WIDTH } from './tree.ts'

const PRUNE = 'log.prune'

/** The fields of the system event that says after how many days entries are not published any more; null: never. */
export const pruningFields = (
  origin: string,
  afterDays: number | null,
): Pick<EventInput, 'action' | 'targets' | 'metadata'> => ({
  action: PRUNE,
  targets: [{ type: 'log', id: origin }],
  metadata: { afterDays },
})

/**
 * After how many days a log does not publish its entries any more, by this event (`afterDays` null: never); null if it does not say so.
 * @throws KillickError `pruning_invalid`
 */
export function parsePruning({ source, stream, fields }: ParsedEvent): { readonly afterDays: number | null } | null {
  if (source !== SYSTEM.source || stream !== SYSTEM.stream || fields.action !== PRUNE) return null
  const { metadata } = fields
  const { afterDays } = isObject(metadata) && hasMembers(metadata, ['afterDays']) ? metadata : {}
  const isDays = isCount(afterDays) && afterDays > 0 && afterDays <= MAX_RETENTION_DAYS
  if (afterDays !== null && !isDays)
    throw new KillickError('pruning_invalid', 'Pruning: afterDays is no number of days')
  return { afterDays }
}

/**
 * Whether a log with this minimum index may refuse a tile: all that it holds stands before it.
 * @param level of the tile; entries: 0
 */
export const isPruned = (level: number, index: number, minimumIndex: number): boolean =>
  (index + 1) * TILE_WIDTH ** (level + 1) <= minimumIndex
