/** Reads what a service under audit says of retention, and of what was due how much has not expired for long. */
import { KillickError } from '../core/errors.ts'
import { isCount } from '../core/event.ts'
import type { HoldScope } from '../core/holds.ts'
import type { JsonObject } from '../core/json.ts'
import type { Anchor } from '../core/proof.ts'
import { DAY_S, isPolicyName, isRetentionScope, type RetentionPolicy } from '../core/retention.ts'
import { isPlace } from '../verify/succession.ts'
import { malformed, rowsOf, within } from './answers.ts'
import type { Api } from './api.ts'
import { isFaulty } from './faulty.ts'
import type { Hold } from './holds.ts'

export const PATH = '/v1/retention'
const MAX_BYTES = 1 << 24
/** How much longer than due an event may be there: a backlog takes its time. Days */
export const PATIENCE_DAYS = 7

/** Up to which log entry (exclusive) an anchor in the same place covers what is so many days older than one. */
export function olderThan(clock: Anchor, days: number, anchors: readonly Anchor[]): number {
  const sizes = anchors.filter((anchor) => isPlace(anchor, clock) && anchor.time <= clock.time - DAY_S * days)
  return sizes.reduce((most, { size }) => Math.max(most, size), 0)
}

/** A policy as the service lists it. `ended`: the log entry that ends it. */
export type Row = RetentionPolicy & { readonly logIndex: number; readonly ended: number | null }

/** What the service says of policies, up to which log entry each should have been carried out, and what was held meanwhile. */
export type Claims = {
  readonly rows: readonly Row[]
  readonly policies: readonly (Row & { readonly overdue: number })[]
  readonly held: readonly HoldScope[]
  readonly fault: string | null
}

/**
 * @param anchors by which what is due is told
 * @param listedAt how many entries the log had as the audit began: what later ones say excuses nothing
 * @param holds that another check holds against the log
 */
export async function readClaims(
  api: Api,
  anchors: readonly Anchor[],
  listedAt: number,
  holds: () => Promise<readonly Hold[]>,
): Promise<Claims> {
  try {
    const rows = rowsOf(await api.json(PATH, MAX_BYTES), PATH, 'policies').map(parseRow)
    const clock = anchors.reduce<Anchor | null>(
      (newest, each) => (each.size > (newest?.size ?? 0) ? each : newest),
      null,
    )
    const patient = clock === null ? 0 : olderThan(clock, PATIENCE_DAYS, anchors)
    const isLong = (row: Row) => row.logIndex < patient
    const policies = rows
      .filter(({ logIndex, ended }) => logIndex < listedAt && within(ended, listedAt) === null)
      .map((row) => ({
        ...row,
        overdue: clock !== null && isLong(row) ? olderThan(clock, row.contentsDays + PATIENCE_DAYS, anchors) : 0,
      }))
    // What was held a week ago may not have been taken up yet.
    const held = (await holds()).filter(({ lifted }) => lifted === null || lifted >= patient)
    return { rows, policies, held: held.map(({ covers }) => covers), fault: null }
  } catch (error) {
    const none = { rows: [], policies: [], held: [] }
    if (error instanceof KillickError && error.details.status === 404) return { ...none, fault: null }
    if (!isFaulty(error)) throw error
    return { ...none, fault: `${PATH} cannot be read: ${error.message}` }
  }
}

function parseRow({ id, version, covers, contentsDays, logIndex, ended }: JsonObject): Row {
  if (!isPolicyName(id) || !isRetentionScope(covers)) return malformed(`${PATH}: a policy has no name, or no scope`)
  if (!isCount(version) || !isCount(contentsDays) || !isCount(logIndex))
    return malformed(`${PATH}: a policy has no numbers`)
  if (ended !== null && !isCount(ended)) return malformed(`${PATH}: ended is no number`)
  return { id, version, covers, contentsDays, logIndex, ended }
}
