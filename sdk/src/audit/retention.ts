/**
 * Checks retention: what orders say has expired was covered by a policy that stood in the log, and was due by the anchors; and what
 * is due for long has expired, or is held. So nobody can pass an erasure off as an expiry, nor a policy for carried out.
 */
import { KillickError } from '../core/errors.ts'
import type { ParsedEvent } from '../core/event.ts'
import { isHeld } from '../core/holds.ts'
import type { JsonValue } from '../core/json.ts'
import type { Anchor } from '../core/proof.ts'
import { SYSTEM } from '../core/registry.ts'
import { isCovered, KEPT_FIELD, parseRetention, parseRetentionEnd, type RetentionPolicy } from '../core/retention.ts'
import { within } from './answers.ts'
import type { Api } from './api.ts'
import type { Fault, FaultPlace } from './findings.ts'
import type { HoldCheck } from './holds.ts'
import type { OwnCheck } from './own-check.ts'
import { systemEvent } from './records.ts'
import { type Claims, olderThan, PATH, PATIENCE_DAYS, type Row, readClaims } from './retention-claims.ts'

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

/**
 * @param anchors that the service lists, those among them that nodes are asked about, and how many entries the log had afterwards: an
 * order that came later may name a newer one
 * @param holds that the service tells of
 */
export function checkRetention(
  api: Api,
  anchors: { readonly all: readonly Anchor[]; readonly asked: readonly Anchor[]; readonly listedAt: number },
  holds: Pick<HoldCheck, 'claimed'>,
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
    resumes: {
      again: true,
      save: () => [{ overdue, first }],
      load(value, isSame) {
        if (isSame) ({ overdue, first } = value as { overdue: number; first: FaultPlace | null })
      },
      async begin(before) {
        size = before.size
        return []
      },
    },
    async entry(walked) {
      claims ??= readClaims(api, anchors.asked, anchors.listedAt, holds.claimed)
      const { policies, held, fault } = await claims
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
          if (isKept || held.some((covers) => isHeld(covers, event))) continue
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
        const [row, ...more] = rows.filter((row) => row.id === id)
        const at = (reason: Fault['reason'], what: string) =>
          void faults.push({
            place: told ? { logIndex: told.logIndex, ...SYSTEM } : null,
            reason,
            message: `${PATH}, ${id}: ${what}`,
          })
        if (row === undefined) at('absent', 'the policy is not listed, though the log sets it')
        else if (more.length > 0) at('different', 'it is listed more than once')
        // One of which a later event tells is for the next audit.
        else if (row.logIndex >= size) continue
        else if (told === undefined) at('untold', 'the log sets no such policy')
        else if (!isSame({ ...row, ended: within(row.ended, size) }, told))
          at('different', 'it is not what the log says of the policy')
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

function isSame(row: Row, told: Version): boolean {
  const textOf = ({ version, covers: { source, stream, action }, contentsDays, logIndex }: Row | Version) =>
    JSON.stringify([version, source, stream, action, contentsDays, logIndex])
  return textOf(row) === textOf(told) && row.ended === (told.isEnded ? told.until : null)
}
