/**
 * Checks retention: what orders say has expired was covered by a policy that stood in the log, and was due by the anchors; and what
 * is due for long has expired, or is held. So nobody can pass an erasure off as an expiry, nor a policy for carried out.
 */
import { KillickError } from '../core/errors.ts'
import { isCount, type ParsedEvent } from '../core/event.ts'
import { isObject, type JsonObject, type JsonValue } from '../core/json.ts'
import type { Anchor } from '../core/proof.ts'
import { SYSTEM } from '../core/registry.ts'
import {
  DAY_S,
  isCovered,
  isPolicyName,
  isRetentionScope,
  KEPT_FIELD,
  parseRetention,
  parseRetentionEnd,
  type RetentionPolicy,
} from '../core/retention.ts'
import { parseTime } from '../core/time.ts'
import { isPlace } from '../verify/succession.ts'
import type { Api } from './api.ts'
import { isFaulty } from './faulty.ts'
import type { Fault, FaultPlace } from './findings.ts'
import type { OwnCheck } from './own-check.ts'
import { systemEvent } from './records.ts'

/** A version of a policy in the log: from the entry that sets it to the one that replaces or ends it. */
type Version = RetentionPolicy & { readonly logIndex: number; until: number | null; isEnded: boolean }

/** An event that has expired by an order's word. `action`: as it is still shown; `isOrdered`: other orders took fields of it too */
export type ExpiredEvent = {
  readonly place: FaultPlace
  readonly action: JsonValue | undefined
  readonly isOrdered: boolean
}

/** An order that names a policy. */
export type ExpiryOrder = {
  readonly id: string
  readonly logIndex: number
  readonly policy: { readonly id: string; readonly version: number; readonly size: number; readonly time: number }
}

export type RetentionCheck = OwnCheck & {
  /** Judges an order with the events that it names and that lack fields; to be called after the walk. */
  judge(order: ExpiryOrder, events: readonly ExpiredEvent[]): void
}

const PATH = '/v1/retention'
const MAX_BYTES = 1 << 24
/** How much longer than due an event may be there: a backlog takes its time. Days */
const PATIENCE_DAYS = 7

/**
 * @param anchors that the service lists, those among them that nodes are asked about, and how many entries the log had afterwards: an
 * order that came later may name a newer one
 */
export function checkRetention(
  api: Api,
  anchors: { readonly all: readonly Anchor[]; readonly asked: readonly Anchor[]; readonly listedAt: number },
): RetentionCheck {
  const versions: Version[] = []
  const faults: Fault[] = []
  let claims: Promise<Claims> | null = null
  let [size, events, unasked, overdue] = [0, 0, 0, 0]
  let first: FaultPlace | null = null

  const standing = (at: number) =>
    versions.filter(({ logIndex, until }) => logIndex < at && (until === null || until >= at))
  const newestOf = (id: string) => versions.findLast((version) => version.id === id)

  /** Takes what an event says of policies. @returns why it cannot be so */
  function take(event: ParsedEvent, logIndex: number): string | null {
    const set = parseRetention(event)
    const end = parseRetentionEnd(event)
    const newest = newestOf((set ?? end)?.id ?? '')
    if (set !== null) {
      if (set.version !== (newest?.version ?? 0) + 1) return 'it is not the next version of the policy'
      if (newest !== undefined) newest.until ??= logIndex
      versions.push({ ...set, logIndex, until: null, isEnded: false })
    }
    if (end !== null) {
      if (newest?.version !== end.version || newest.isEnded) return 'it ends a policy that does not stand'
      newest.until = logIndex
      newest.isEnded = true
    }
    return null
  }

  return {
    id: 'retention',
    title: 'What has expired was due by a policy in the log, and what is due has expired or is held',
    async entry(walked) {
      claims ??= readClaims(api, anchors.asked)
      const { policies, holds, fault } = await claims
      const { logIndex } = walked
      if (size === 0 && fault !== null) faults.push({ place: null, reason: 'unreadable', message: fault })
      size = logIndex + 1
      for (const policy of policies) {
        if (logIndex >= policy.overdue) continue
        for (const event of walked.events ?? []) {
          const shown = { source: event.source, stream: event.stream, action: event.fields[KEPT_FIELD] }
          const isLeft = event.disclosures.some(({ name }) => name !== KEPT_FIELD)
          if (!isLeft || !isCovered(policy, shown)) continue
          const isKept = policies.some((other) => other.contentsDays > policy.contentsDays && isCovered(other, shown))
          if (isKept || holds.some((covers) => mayHold(covers, event))) continue
          overdue += 1
          first ??= { logIndex, source: event.source, stream: event.stream, seq: event.seq, id: event.id }
        }
      }
      const event = systemEvent(walked)
      if (event === null) return []
      const place = { logIndex, ...SYSTEM, seq: event.seq }
      try {
        const wrong = take(event, logIndex)
        return wrong === null
          ? []
          : [{ place, reason: 'misplaced', message: `Retention, log entry ${logIndex}: ${wrong}` }]
      } catch (error) {
        if (!(error instanceof KillickError)) throw error
        return [{ place, reason: 'unreadable', message: error.message }]
      }
    },
    judge({ id, logIndex, policy: by }, expired) {
      const about = `The order ${id} says that events have expired by policy ${by.id}, version ${by.version}`
      const wrong = (why: string, place: FaultPlace = { logIndex, ...SYSTEM }) =>
        void faults.push({ place, reason: 'retention_unfounded', message: `${about}: ${why}` })
      const policy = standing(logIndex).find((one) => one.id === by.id && one.version === by.version)
      if (policy === undefined) return wrong('no such policy stood in the log then')
      const isNamed = (anchor: Anchor) => anchor.size === by.size && anchor.time === by.time
      const known = anchors.all.filter(isNamed)
      if (known.length === 0) {
        if (logIndex < anchors.listedAt) wrong(`nothing is anchored with ${by.size} entries at that time`)
        return
      }
      const clocks = anchors.asked.filter(isNamed)
      if (clocks.length === 0) unasked += 1
      if (policy.logIndex >= by.size) return wrong('the anchor that it is judged by does not cover the policy')
      const due = Math.max(
        ...(clocks.length > 0 ? clocks : known).map((clock) => olderThan(clock, policy.contentsDays, anchors.all)),
      )
      const { action: _, ...wide } = policy.covers
      const longer = standing(logIndex).filter(({ contentsDays }) => contentsDays > policy.contentsDays)
      for (const { place, action, isOrdered } of expired) {
        const shown = { source: place.source!, stream: place.stream!, action }
        // An action that another order took cannot tell any more.
        const isOpen = action === undefined && isOrdered
        const why = !isCovered({ covers: isOpen ? wide : policy.covers }, shown)
          ? 'it does not cover this one'
          : place.logIndex >= due
            ? 'by the anchors this one was not due'
            : longer.some((other) => isCovered(other, shown))
              ? 'a policy that stood then keeps this one for longer'
              : null
        if (why !== null) wrong(why, place)
        else events += 1
      }
    },
    async finish() {
      const { rows } = (await claims) ?? { rows: [] }
      for (const id of new Set([...versions, ...rows].map(({ id }) => id))) {
        const told = newestOf(id)
        const row = rows.find((row) => row.id === id)
        const at = (reason: Fault['reason'], what: string) =>
          void faults.push({
            place: told ? { logIndex: told.logIndex, ...SYSTEM } : null,
            reason,
            message: `${PATH}, ${id}: ${what}`,
          })
        if (row === undefined) at('absent', 'the policy is not listed, though the log sets it')
        // One of which a later event tells is for the next audit.
        else if (row.logIndex >= size || (row.ended ?? 0) >= size) continue
        else if (told === undefined) at('untold', 'the log sets no such policy')
        else if (!isSame(row, told)) at('different', 'it is not what the log says of the policy')
      }
      if (overdue > 0)
        faults.push({
          place: first,
          reason: 'retention_overdue',
          message: `${overdue.toLocaleString('en')} events were due to expire more than ${PATIENCE_DAYS} days before the newest anchor, are not held, and have not`,
        })
      const stand = versions.filter(({ until }) => until === null).length
      const detail = `${stand.toLocaleString('en')} policies; ${events.toLocaleString('en')} events have expired`
      const isOpen = unasked > 0 && faults.length === 0
      const why = `${detail}; ${unasked.toLocaleString('en')} orders are judged by anchors about which no node was asked`
      return { faults, detail, ...(isOpen && { skipped: { reason: 'not_asked' as const, detail: why } }) }
    },
  }
}

/** Up to which log entry (exclusive) an anchor in the same place covers what is so many days older than one. */
function olderThan(clock: Anchor, days: number, anchors: readonly Anchor[]): number {
  const sizes = anchors.filter((anchor) => isPlace(anchor, clock) && anchor.time <= clock.time - DAY_S * days)
  return sizes.reduce((most, { size }) => Math.max(most, size), 0)
}

type Row = RetentionPolicy & { readonly logIndex: number; readonly ended: number | null }

/** What the service says of policies and holds, and up to which log entry each policy should have been carried out. */
type Claims = {
  readonly rows: readonly Row[]
  readonly policies: readonly (Row & { readonly overdue: number })[]
  readonly holds: readonly JsonObject[]
  readonly fault: string | null
}

async function readClaims(api: Api, anchors: readonly Anchor[]): Promise<Claims> {
  try {
    const rows = listOf(await api.json(PATH, MAX_BYTES), 'policies').map(parseRow)
    const clock = anchors.reduce<Anchor | null>(
      (newest, each) => (each.size > (newest?.size ?? 0) ? each : newest),
      null,
    )
    const patient = clock === null ? 0 : olderThan(clock, PATIENCE_DAYS, anchors)
    const isLong = (row: Row) => row.ended === null && row.logIndex < patient
    const policies = rows
      .filter(({ ended }) => ended === null)
      .map((row) => ({
        ...row,
        overdue: clock !== null && isLong(row) ? olderThan(clock, row.contentsDays + PATIENCE_DAYS, anchors) : 0,
      }))
    const holds = rows.length === 0 ? [] : listOf(await api.json('/v1/holds', MAX_BYTES), 'holds')
    // What was held a week ago may not have been taken up yet.
    const stands = holds.filter(({ lifted }) => !(isCount(lifted) && lifted < patient))
    return { rows, policies, holds: stands.map(({ covers }) => (isObject(covers) ? covers : {})), fault: null }
  } catch (error) {
    const none = { rows: [], policies: [], holds: [] }
    if (error instanceof KillickError && error.details.status === 404) return { ...none, fault: null }
    if (!isFaulty(error)) throw error
    return { ...none, fault: `${PATH} cannot be read: ${error.message}` }
  }
}

function malformed(why: string): never {
  throw new KillickError('answer_malformed', `${PATH}: ${why}`)
}

function listOf(answer: JsonValue, member: string): JsonObject[] {
  const list = isObject(answer) ? answer[member] : undefined
  return Array.isArray(list) && list.every(isObject) ? (list as JsonObject[]) : malformed(`it has no ${member}`)
}

function parseRow({ id, version, covers, contentsDays, logIndex, ended }: JsonObject): Row {
  if (!isPolicyName(id) || !isRetentionScope(covers)) malformed('a policy has no name, or no scope')
  if (!isCount(version) || !isCount(contentsDays) || !isCount(logIndex)) malformed('a policy has no numbers')
  if (ended !== null && !isCount(ended)) malformed('ended is no number')
  return { id, version, covers, contentsDays, logIndex, ended }
}

function isSame(row: Row, told: Version): boolean {
  const textOf = ({ version, covers: { source, stream, action }, contentsDays, logIndex }: Row | Version) =>
    JSON.stringify([version, source, stream, action, contentsDays, logIndex])
  return textOf(row) === textOf(told) && row.ended === (told.isEnded ? told.until : null)
}

/** Whether a hold may cover an event: one that does not show what the hold asks for counts as covered, as at the service. */
function mayHold(covers: JsonObject, { source, stream, time, fields }: ParsedEvent): boolean {
  const idOf = (party: JsonValue | undefined) => (isObject(party) ? party.id : undefined)
  const { action, actor, targets, outcome } = fields
  const says: { readonly [name: string]: (text: string) => boolean } = {
    source: (text) => source === text,
    stream: (text) => stream === text,
    action: (text) =>
      action === undefined || isCovered({ covers: { action: text } }, { source: '', stream: '', action }),
    actor: (text) => actor === undefined || idOf(actor) === text,
    target: (text) => !Array.isArray(targets) || targets.some((target) => idOf(target) === text),
    outcome: (text) => outcome === undefined || outcome === text,
    from: (text) => time >= (parseTime(text) ?? 0),
    to: (text) => time < (parseTime(text) ?? Number.POSITIVE_INFINITY),
  }
  return Object.entries(covers).every(([name, text]) => typeof text !== 'string' || (says[name]?.(text) ?? true))
}
