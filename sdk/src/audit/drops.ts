/**
 * Judges drops: what came without events is what drops in the log name, and each of them was due, by a policy and an anchor that stood there, and
 * kept by nothing. What it needs for that of a batch stands in its header, which stays.
 */
import type { HoldScope } from '../core/holds.ts'
import { SYSTEM } from '../core/registry.ts'
import { keptFrom, type RetentionDrop, type RetentionPolicy } from '../core/retention.ts'
import { MAX_MEANWHILE } from './answers.ts'
import type { Api } from './api.ts'
import type { AuditReason } from './codes.ts'
import { readDrops } from './drop-answers.ts'
import { type BatchScope, DroppedBatches, type DroppedLeaves, EntrySet } from './dropped.ts'
import { isFaulty } from './faulty.ts'
import type { Fault, FaultPlace } from './findings.ts'
import type { WalkedEntry } from './own-check.ts'
import type { Prefix } from './prefix.ts'
import { readAgain } from './read-again.ts'
import { type Clocks, dueBy } from './retention-claims.ts'

/** What stood in the log where a drop does. */
export type DropRule = {
  readonly policies: readonly (RetentionPolicy & { readonly logIndex: number })[]
  readonly holds: readonly HoldScope[]
}

/** What is kept of drops where an audit may go on, beside the entries that are not explained yet. */
export type KeptDrops = { readonly events: number; readonly unasked: number; readonly faults: readonly Fault[] }

/** What was found of drops. `events`: how many were dropped as they may be; `unasked`: drops that go by anchors about which no node was asked */
export type DropsFound = {
  readonly faults: readonly Fault[]
  readonly events: number
  readonly unasked: number
  /** Drops that go by anchors which were not listed yet. */
  readonly unlisted: number
  /** Batches that only drops explain which came after what was audited. */
  readonly since: number
}

/** Stretches in one value of what is kept. */
const KEPT_STRETCHES = 1000

const WHY = {
  uncovered: 'the policy drops no event of this one',
  kept: 'a policy that stood then keeps this one for longer',
  held: 'a hold that stood then keeps this one',
} as const

/** @param leaves where to put the leaf hashes of events that were dropped */
export function judgeDrops(api: Api, anchors: Clocks, leaves: DroppedLeaves) {
  const batches = new DroppedBatches()
  /** Entries that drops in the log have named so far, and those that came without events and were not. */
  const named = new EntrySet()
  const unexplained = new EntrySet()
  let faults: Fault[] = []
  let [events, unasked, unlisted] = [0, 0, 0]
  /** Up to where the audit has read nothing itself. */
  let before: Prefix | null = null

  /** Judges a drop that the log tells of at an entry, by what stood there. */
  async function judge(drop: RetentionDrop, logIndex: number, { policies, holds }: DropRule): Promise<void> {
    const about = `The drop at log entry ${logIndex}, by policy ${drop.id}, version ${drop.version}`
    const whole: FaultPlace = { logIndex, ...SYSTEM }
    /** One fault for each reason: a drop names thousands of batches. */
    const wrong = new Map<string, { reason: AuditReason; place: FaultPlace; count: number }>()
    const tell = (why: string, place = whole, reason: AuditReason = 'retention_unfounded', count = 1) => {
      const known = wrong.get(why)
      if (known === undefined) wrong.set(why, { reason, place, count })
      else known.count += count
    }

    const policy = policies.find(({ id, version }) => id === drop.id && version === drop.version)
    const clock = policy && dueBy(anchors, drop, policy, policy.eventsDays ?? 0, logIndex)
    if (policy === undefined) tell('no such policy stood in the log then')
    if (typeof clock === 'string') tell(clock)
    const due = clock && typeof clock !== 'string' ? clock : null
    if (due?.isAsked === false) unasked += 1
    if (clock === null) unlisted += 1

    const reasons = new Map<string, ReturnType<typeof keptFrom>>()
    const keptBy = (batch: BatchScope) => {
      const name = `${batch.source}/${batch.stream}`
      if (!reasons.has(name)) reasons.set(name, keptFrom(policy!, batch, policies, holds))
      return reasons.get(name)!
    }
    let sum = 0
    let isSummed = true
    let founded = 0
    const judgeOne = (at: number, batch: BatchScope) => {
      sum += batch.n
      if (policy === undefined) return
      const place = { logIndex: at, source: batch.source, stream: batch.stream }
      const kept = keptBy(batch)
      if (kept !== null) tell(WHY[kept], place)
      else if (due !== null && at >= due.due) tell('by the anchors this one was not due', place)
      else if (due !== null) founded += batch.n
    }
    const isShown = (at: number) => {
      isSummed = false
      tell('the events of this one are shown all the same', { logIndex: at }, 'erasure_undone')
    }

    const earlier: [number, number][] = []
    for (const [first, last] of drop.entries) {
      if (last >= logIndex) {
        isSummed = false
        tell('it names entries that are not before it in the log')
      }
      for (let at = first; at <= Math.min(last, logIndex - 1); at++) {
        if (named.has(at)) {
          isSummed = false
          tell('another drop before it has named this one', { logIndex: at })
          continue
        }
        named.add(at)
        unexplained.delete(at)
        if (before !== null && at < before.size) {
          if (earlier.at(-1)?.[1] === at - 1) earlier.at(-1)![1] = at
          else earlier.push([at, at])
          continue
        }
        const found = batches.of(at)
        if (found === null) isShown(at)
        // The audit has told of it.
        else if (found === 'unreadable') isSummed = false
        else judgeOne(at, found)
      }
    }
    if (earlier.length > 0) {
      const left = new EntrySet()
      for (const [first, last] of earlier) for (let at = first; at <= last; at++) left.add(at)
      for await (const { logIndex: at, header, state, leaves: own } of readAgain(api, before!, earlier)) {
        if (state === 'unreadable') continue
        left.delete(at)
        if (state === 'shown') isShown(at)
        else {
          for (const leaf of own) leaves.add(leaf)
          judgeOne(at, header)
        }
      }
      for (const [first, last] of left.stretches()) {
        isSummed = false
        tell(
          'this one, which was read before, is not served any more as the log has it',
          { logIndex: first },
          'unreadable',
          last - first + 1,
        )
      }
    }
    if (isSummed && sum !== drop.events) tell(`its batches have ${sum} events, and it says ${drop.events}`)
    if (wrong.size === 0) events += founded
    for (const [why, { reason, place, count }] of wrong) {
      const more = count > 1 ? ` (and ${(count - 1).toLocaleString('en')} more)` : ''
      const what = place === whole ? '' : `, batch ${place.logIndex}${more}`
      faults.push({ place, reason, message: `${about}${what}: ${why}` })
    }
  }

  return {
    /** Takes a batch at its turn. */
    take({ logIndex, header, isWhole, isEarlier, dropped }: WalkedEntry): void {
      if (isEarlier || isWhole) return
      if (dropped === null) {
        batches.addUnreadable(logIndex)
        return
      }
      batches.add(logIndex, header)
      for (const leaf of dropped) leaves.add(leaf)
      unexplained.add(logIndex)
    },
    judge,
    /** Takes a drop that an earlier audit, or this one before it went on, has judged. */
    takeEarlier({ entries }: RetentionDrop, logIndex: number): void {
      for (const [first, last] of entries) for (let at = first; at <= Math.min(last, logIndex - 1); at++) named.add(at)
    },
    beginAfter(prefix: Prefix): void {
      before = prefix
    },
    save: (): KeptDrops => ({ events, unasked, faults }),
    /** @param isSame if not, a next audit begins: it judges none of these drops again, so what was left open of them stays open */
    load(kept: KeptDrops, isSame: boolean): void {
      unasked = kept.unasked
      if (!isSame) return
      events = kept.events
      faults = [...kept.faults]
    },
    /** Entries that came without events, and that no drop has named up to now. */
    *saveUnexplained(): Generator<[first: number, last: number][]> {
      let part: [number, number][] = []
      for (const stretch of unexplained.stretches()) {
        part.push(stretch)
        if (part.length < KEPT_STRETCHES) continue
        yield part
        part = []
      }
      if (part.length > 0) yield part
    },
    loadUnexplained(stretches: readonly (readonly [first: number, last: number])[]): void {
      for (const [first, last] of stretches) for (let at = first; at <= last; at++) unexplained.add(at)
    },
    /** To be called after the walk. @param size of the log that was walked */
    async finish(size: number): Promise<DropsFound> {
      const open = unexplained.size
      const told = [...faults]
      try {
        // Dropped while the log was read: the next audit reads what says so.
        if (open > 0)
          for await (const { entries } of readDrops(api, size, MAX_MEANWHILE)) {
            if (unexplained.size === 0) break
            for (const [first, last] of entries)
              for (let at = first; at <= Math.min(last, size - 1); at++) unexplained.delete(at)
          }
      } catch (error) {
        if (!isFaulty(error)) throw error
        told.push({ place: null, reason: 'unreadable', message: `What was dropped cannot be read: ${error.message}` })
      }
      const since = open - unexplained.size
      for (const [first] of unexplained.stretches()) {
        const batch = batches.of(first)
        const more = unexplained.size > 1 ? ` (and ${(unexplained.size - 1).toLocaleString('en')} more)` : ''
        const place: FaultPlace = { logIndex: first }
        if (batch !== null && batch !== 'unreadable')
          Object.assign(place, { source: batch.source, stream: batch.stream })
        const message = `Batch ${first}${more}: nothing but leaf hashes is shown of its events, and no drop in the log names it`
        told.push({ place, reason: 'absent', message })
        break
      }
      return { faults: told, events, unasked, unlisted, since }
    },
  }
}
