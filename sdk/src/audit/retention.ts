/**
 * Checks retention: what orders say has expired, and what was dropped, was covered by a policy that stood in the log, and was due by the
 * anchors; and what is due for long has gone, or is held. So nobody can pass an erasure off as an expiry, nor a policy for carried out. What
 * expired of events that were dropped since is not shown any more, so of that only the drop is judged.
 */
import { KillickError } from '../core/errors.ts'
import type { ParsedEvent } from '../core/event.ts'
import { isHeld } from '../core/holds.ts'
import type { JsonValue } from '../core/json.ts'
import { SYSTEM } from '../core/registry.ts'
import {
  isCovered,
  KEPT_FIELD,
  keptFrom,
  parseDrop,
  parseRetention,
  parseRetentionEnd,
  type RetentionDrop,
  type RetentionPolicy,
} from '../core/retention.ts'
import { within } from './answers.ts'
import type { Api } from './api.ts'
import type { DroppedLeaves } from './dropped.ts'
import { judgeDrops, type KeptDrops } from './drops.ts'
import type { Fault, FaultPlace } from './findings.ts'
import type { HoldCheck } from './holds.ts'
import type { OwnCheck, WalkedEntry } from './own-check.ts'
import { systemEvent } from './records.ts'
import { type Claims, type Clocks, dueBy, PATH, PATIENCE_DAYS, type Row, readClaims } from './retention-claims.ts'

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

/** What is still there although it was due for long: how many events, and the first of them. */
type Overdue = { count: number; first: FaultPlace | null }

/** What is kept: of what is overdue by itself in the members of a version that knew of no drops. */
type Kept = { overdue: number; first: FaultPlace | null; undropped?: Overdue; drops?: KeptDrops }

/**
 * @param holds that the service tells of, and those of the log
 * @param leaves where to put the leaf hashes of events that were dropped
 */
export function checkRetention(
  api: Api,
  anchors: Clocks,
  holds: Pick<HoldCheck, 'claimed' | 'standing'>,
  leaves: DroppedLeaves,
): RetentionCheck {
  const versions: Version[] = []
  const faults: Fault[] = []
  const drops = judgeDrops(api, anchors, leaves)
  let claims: Promise<Claims> | null = null
  let [size, events, unasked, unlisted] = [0, 0, 0, 0]
  let contents: Overdue = { count: 0, first: null }
  let undropped: Overdue = { count: 0, first: null }

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

  /** Counts what should have gone by now of what a batch shows. */
  function countOverdue(walked: WalkedEntry, { policies, held }: Claims) {
    const { logIndex, header, isWhole } = walked
    for (const policy of policies) {
      if (logIndex >= policy.overdue) continue
      // To ask for the events is to have them parsed once more.
      for (const event of walked.events ?? []) {
        const shown = { source: event.source, stream: event.stream, action: event.fields[KEPT_FIELD] }
        const isLeft = event.disclosures.some(({ name }) => name !== KEPT_FIELD)
        if (!isLeft || !isCovered(policy, shown)) continue
        const isKept = policies.some((other) => other.contentsDays > policy.contentsDays && isCovered(other, shown))
        if (isKept || held.some((covers) => isHeld(covers, event))) continue
        contents.count += 1
        contents.first ??= { logIndex, source: event.source, stream: event.stream, seq: event.seq, id: event.id }
      }
    }
    const { source, stream, seq, n } = header
    const isDue = (policy: (typeof policies)[number]) =>
      logIndex < policy.dropOverdue && keptFrom(policy, header, policies, held) === null
    if (!isWhole || !policies.some(isDue)) return
    undropped.count += n
    undropped.first ??= { logIndex, source, stream, seq }
  }

  /** Takes a drop, once holds and policies before it are known. */
  async function takeDrop(drop: RetentionDrop, { logIndex, isEarlier }: WalkedEntry): Promise<void> {
    if (isEarlier) drops.takeEarlier(drop, logIndex)
    else await drops.judge(drop, logIndex, { policies: standing(logIndex), holds: holds.standing(logIndex) })
  }

  return {
    id: 'retention',
    title: 'What has expired or was dropped was due by a policy in the log, and what is due has gone or is held',
    resumes: {
      again: true,
      *save() {
        yield { overdue: contents.count, first: contents.first, undropped, drops: drops.save() } as unknown as JsonValue
        for (const stretches of drops.saveUnexplained()) yield { stretches }
      },
      load(value, isSame) {
        const { stretches } = value as { stretches?: [number, number][] }
        if (stretches !== undefined) return drops.loadUnexplained(stretches)
        const kept = value as unknown as Kept
        if (kept.drops) drops.load(kept.drops, isSame)
        if (!isSame) return
        contents = { count: kept.overdue, first: kept.first }
        undropped = kept.undropped ?? undropped
      },
      async begin(before) {
        size = before.size
        drops.beginAfter(before)
        return []
      },
    },
    async entry(walked) {
      claims ??= readClaims(api, [...anchors.asked, ...anchors.heads], anchors.listedAt, holds.claimed)
      const { logIndex } = walked
      const { fault } = await claims
      if (size === 0 && fault !== null) faults.push({ place: null, reason: 'unreadable', message: fault })
      size = logIndex + 1
      drops.take(walked)
      countOverdue(walked, await claims)
      const event = systemEvent(walked)
      if (event === null) return []
      const place = { logIndex, ...SYSTEM, seq: event.seq }
      const found: Fault[] = []
      let drop: RetentionDrop | null = null
      try {
        const wrong = take(event, logIndex)
        if (wrong !== null)
          found.push({ place, reason: 'misplaced', message: `Retention, log entry ${logIndex}: ${wrong}` })
        drop = parseDrop(event)
      } catch (error) {
        if (!(error instanceof KillickError)) throw error
        found.push({ place, reason: 'unreadable', message: error.message })
      }
      if (drop !== null) await takeDrop(drop, walked)
      return found
    },
    judge({ id, logIndex, policy: by }, expired) {
      const about = `The order ${id} says that events have expired by policy ${by.id}, version ${by.version}`
      const wrong = (why: string, place: FaultPlace = { logIndex, ...SYSTEM }) =>
        void faults.push({ place, reason: 'retention_unfounded', message: `${about}: ${why}` })
      const policy = standing(logIndex).find((one) => one.id === by.id && one.version === by.version)
      if (policy === undefined) return wrong('no such policy stood in the log then')
      const clock = dueBy(anchors, by, policy, policy.contentsDays, logIndex)
      if (clock === null) {
        unlisted += 1
        return
      }
      if (typeof clock === 'string') return wrong(clock)
      if (!clock.isAsked) unasked += 1
      const { due } = clock
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
      if (contents.count > 0)
        faults.push({
          place: contents.first,
          reason: 'retention_overdue',
          message: `${contents.count.toLocaleString('en')} events were due to expire more than ${PATIENCE_DAYS} days before the newest anchor, are not held, and have not`,
        })
      if (undropped.count > 0)
        faults.push({
          place: undropped.first,
          reason: 'retention_overdue',
          message: `${undropped.count.toLocaleString('en')} events were due to be dropped more than ${PATIENCE_DAYS} days before the newest anchor, are not held, and are still shown`,
        })
      const found = await drops.finish(size)
      faults.push(...found.faults)
      const stand = versions.filter(({ until }) => until === null).length
      const counts = [
        `${stand.toLocaleString('en')} policies`,
        `${events.toLocaleString('en')} events have expired`,
        ...(found.events > 0 ? [`${found.events.toLocaleString('en')} were dropped`] : []),
      ]
      const detail = counts.join('; ')
      const open = [
        ...(unasked + found.unasked > 0
          ? [
              `${(unasked + found.unasked).toLocaleString('en')} orders and drops are judged by anchors about which no node was asked`,
            ]
          : []),
        ...(unlisted + found.unlisted > 0
          ? [
              `${(unlisted + found.unlisted).toLocaleString('en')} orders and drops go by anchors that were not listed yet, which the next audit judges`,
            ]
          : []),
        ...(found.since > 0
          ? [
              `${found.since.toLocaleString('en')} batches were dropped while the log was read, which the next audit judges`,
            ]
          : []),
      ]
      if (open.length === 0 || faults.length > 0) return { faults, detail }
      const isMeanwhile = found.since + unlisted + found.unlisted > 0
      const reason = isMeanwhile ? ('changed_meanwhile' as const) : ('not_asked' as const)
      return { faults, detail, skipped: { reason, detail: [detail, ...open].join('; ') } }
    },
  }
}

function isSame(row: Row, told: Version): boolean {
  const textOf = ({ version, covers: { source, stream, action }, contentsDays, eventsDays, logIndex }: Row | Version) =>
    JSON.stringify([version, source, stream, action, contentsDays, eventsDays, logIndex])
  return textOf(row) === textOf(told) && row.ended === (told.isEnded ? told.until : null)
}
