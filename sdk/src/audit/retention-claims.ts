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

/** What an anchor tells of time. */
export type Clock = Pick<Anchor, 'chainId' | 'contract' | 'logId' | 'size' | 'time'>

/** Up to which log entry (exclusive) an anchor in the same place covers what is so many days older than one. */
export function olderThan(clock: Clock, days: number, anchors: readonly Clock[]): number {
  const sizes = anchors.filter((anchor) => isPlace(anchor, clock) && anchor.time <= clock.time - DAY_S * days)
  return sizes.reduce((most, { size }) => Math.max(most, size), 0)
}

/** The anchors that the service lists, and those among them that nodes are asked about. */
export type Clocks = {
  readonly all: readonly Anchor[]
  readonly asked: readonly Anchor[]
  /** The newest that contracts hold of the log, which no list can leave out. */
  readonly heads: readonly Clock[]
  /** How many entries the log had by then: what came later may name a newer one. */
  readonly listedAt: number
}

/**
 * Up to which log entry (exclusive) something is due by the anchor that an event names, and whether a node is asked about that; a text: why
 * it cannot go by that anchor; null: the anchor may be newer than those that were listed.
 * @param policy by which it is due @param logIndex of the event
 */
export function dueBy(
  { all, asked, listedAt }: Clocks,
  { size, time }: { readonly size: number; readonly time: number },
  policy: { readonly logIndex: number },
  days: number,
  logIndex: number,
): { readonly due: number; readonly isAsked: boolean } | string | null {
  const isNamed = (anchor: Anchor) => anchor.size === size && anchor.time === time
  const known = all.filter(isNamed)
  if (known.length === 0) return logIndex < listedAt ? `nothing is anchored with ${size} entries at that time` : null
  const clocks = asked.filter(isNamed)
  if (policy.logIndex >= size) return 'the anchor that it is judged by does not cover the policy'
  const isAsked = clocks.length > 0
  return { isAsked, due: Math.max(...(isAsked ? clocks : known).map((clock) => olderThan(clock, days, all))) }
}

/** A policy as the service lists it. `ended`: the log entry that ends it. */
export type Row = RetentionPolicy & { readonly logIndex: number; readonly ended: number | null }

/**
 * What the service says of policies, up to which log entry contents (`overdue`) and events (`dropOverdue`) should have gone by each, and what
 * was held meanwhile.
 */
export type Claims = {
  readonly rows: readonly Row[]
  readonly policies: readonly (Row & { readonly overdue: number; readonly dropOverdue: number })[]
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
  anchors: readonly Clock[],
  listedAt: number,
  holds: () => Promise<readonly Hold[]>,
): Promise<Claims> {
  try {
    const rows = rowsOf(await api.json(PATH, MAX_BYTES), PATH, 'policies').map(parseRow)
    const clock = anchors.reduce<Clock | null>(
      (newest, each) => (each.size > (newest?.size ?? 0) ? each : newest),
      null,
    )
    const patient = clock === null ? 0 : olderThan(clock, PATIENCE_DAYS, anchors)
    const upTo = (row: Row, days: number | undefined) =>
      clock !== null && days !== undefined && row.logIndex < patient
        ? olderThan(clock, days + PATIENCE_DAYS, anchors)
        : 0
    const policies = rows
      .filter(({ logIndex, ended }) => logIndex < listedAt && within(ended, listedAt) === null)
      .map((row) => ({ ...row, overdue: upTo(row, row.contentsDays), dropOverdue: upTo(row, row.eventsDays) }))
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

function parseRow({ id, version, covers, contentsDays, eventsDays = null, logIndex, ended }: JsonObject): Row {
  if (!isPolicyName(id) || !isRetentionScope(covers)) return malformed(`${PATH}: a policy has no name, or no scope`)
  if (!isCount(version) || !isCount(contentsDays) || !isCount(logIndex))
    return malformed(`${PATH}: a policy has no numbers`)
  if (ended !== null && !isCount(ended)) return malformed(`${PATH}: ended is no number`)
  if (eventsDays !== null && !isCount(eventsDays)) return malformed(`${PATH}: eventsDays is no number`)
  return { id, version, covers, contentsDays, ...(eventsDays !== null && { eventsDays }), logIndex, ended }
}
