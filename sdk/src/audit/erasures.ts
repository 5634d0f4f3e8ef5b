/**
 * Checks erasures: what is gone of events is exactly what orders in the log name. One field more that is gone is tampering; one
 * that is still there is an erasure that was not carried out. Of an event that was dropped since nothing is there.
 */
import { equalBytes } from '../core/bytes.ts'
import { type ErasedEvent, type Erasure, erasedLeaf, parseErasure, parseErasureEnd } from '../core/erasure.ts'
import { KillickError } from '../core/errors.ts'
import { isCount, type ParsedEvent, parseEvent } from '../core/event.ts'
import { type Hash, printHash } from '../core/hash.ts'
import { isObject, type JsonValue } from '../core/json.ts'
import { treeRoot } from '../core/merkle.ts'
import { type Anchor, MAX_PROOF_BYTES, parseProof } from '../core/proof.ts'
import { SYSTEM } from '../core/registry.ts'
import { KEPT_FIELD } from '../core/retention.ts'
import { nodePrimitives } from '../node/primitives.ts'
import { MAX_MEANWHILE } from './answers.ts'
import type { Api } from './api.ts'
import type { DroppedLeaves } from './dropped.ts'
import { ERASURES_PATH, type ErasedRow, type ErasureRow, readErased, readErasures } from './erasure-answers.ts'
import { isFaulty } from './faulty.ts'
import type { Fault, FaultPlace } from './findings.ts'
import type { OwnCheck } from './own-check.ts'
import { systemEvent } from './records.ts'
import type { ExpiryOrder, RetentionCheck } from './retention.ts'
import { olderThan } from './retention-claims.ts'

/** What is gone of an event: at least so many fields (`certain`), among these digests, each with whether an erasure names it. */
type Hole = {
  readonly place: FaultPlace
  readonly what: string
  readonly fields: number
  readonly certain: number
  readonly gone: Map<string, boolean>
  readonly action: JsonValue | undefined
  /** Whether an order without a policy names some of it. */
  isOrdered: boolean
}

/** An order in the log, and the entry that says that it was carried out. */
type Order = { erasure: Erasure; logIndex: number; time: number; end: number | null }

/** A hole in JSON. */
type KeptHole = Omit<Hole, 'action' | 'gone' | 'isOrdered'> & {
  readonly leafHash: string
  readonly gone: readonly string[]
  readonly action: JsonValue
  readonly hasAction: boolean
}

/** An erasure that was not carried out a day after its order is one that somebody has stopped. ms */
const PATIENCE_MS = 86_400_000

export type ErasureCheck = OwnCheck & {
  /** Takes an event that certainly lacks so many fields. @param what its name in findings */
  lacks(event: ParsedEvent, certain: number, what: string, place: FaultPlace): void
  /** Holds what is gone against the erasures; to be called after the walk. @param size of the log that was walked */
  settle(size: number): Promise<Settled>
}

/** What is left of the gone fields. */
type Settled = {
  /** Events that lack fields which no erasure names. */
  readonly faults: readonly Fault[]
  /** How many events lack fields that only orders name which came after what was walked. */
  readonly since: number
  /** How many fields of how many events were erased. */
  readonly fields: number
  readonly events: number
}

const namedOf = ({ gone }: Hole) => [...gone.values()].filter((isNamed) => isNamed).length
/** How many fields are gone, at least, that no erasure names. */
const lostOf = (hole: Hole) => Math.max(0, hole.certain - namedOf(hole))

/**
 * @param retention judges the orders that name a policy
 * @param dropped what is left of events that were dropped, by the time of `settle`
 * @param anchors by which an order is old; times that the ledger gave its events count for what none of them covers
 */
export function checkErasures(
  api: Api,
  retention: Pick<RetentionCheck, 'judge'>,
  dropped: DroppedLeaves,
  anchors: readonly Anchor[] = [],
  now: () => number = Date.now,
): ErasureCheck {
  const newest = anchors.reduce<Anchor | null>((last, each) => (each.size > (last?.size ?? 0) ? each : last), null)
  const dayOld = newest === null ? 0 : olderThan(newest, 1, anchors)
  const isLate = (logIndex: number, time: number) =>
    newest !== null && logIndex < newest.size ? logIndex < dayOld : now() - time > PATIENCE_MS

  const holes = new Map<string, Hole>()
  /** The orders in the log, and the log index of the event that says that one was carried out. */
  const orders = new Map<string, Order>()
  const faults: Fault[] = []
  /** The orders that name a policy, each with what it names. */
  const expiries: [ExpiryOrder, Hole[]][] = []
  let open = 0

  const at = (logIndex: number): FaultPlace => ({ logIndex, ...SYSTEM })

  /** Reads an erasure's list. @returns null if it is not the one that the order commits to */
  async function readList(id: string, { count, root }: Pick<Erasure, 'count' | 'root'>): Promise<ErasedRow[] | null> {
    const list: ErasedRow[] = []
    for await (const row of readErased(api, id)) {
      if (row.pos !== list.length) return null
      list.push(row)
      if (list.length >= count) break
    }
    return list.length === count && equalBytes(treeRoot(list.map(erasedLeaf), nodePrimitives.nodeHash), root)
      ? list
      : null
  }

  /** @returns digests of an entry that are not among what is gone */
  function explain({ leafHash, digests }: ErasedEvent): string[] {
    const gone = holes.get(printHash(leafHash))?.gone
    return digests.filter((digest) => {
      if (!gone?.has(digest)) return true
      gone.set(digest, true)
      return false
    })
  }

  /**
   * Whether the service still holds one of these fields of an event, as it shows it now; an entry of the log if it says instead that this has
   * dropped the event.
   */
  async function isHeld(leafHash: Hash, digests: readonly string[]): Promise<boolean | number> {
    const path = `/v1/proofs/${printHash(leafHash)}`
    const bytes = await api.bytes(path, MAX_PROOF_BYTES).catch((error) => {
      const by = dropOf(error)
      if (by === null) throw error
      return by
    })
    if (typeof bytes === 'number') return bytes
    const { disclosures } = parseEvent(parseProof(bytes).event, nodePrimitives)
    return disclosures.some(({ text }) => digests.includes(nodePrimitives.digest(text)))
  }

  async function checkOrder(id: string, { erasure, end, time, logIndex }: Order, size: number) {
    const list = await readList(id, erasure)
    if (list === null) {
      faults.push({
        place: at(logIndex),
        reason: 'different',
        message: `${ERASURES_PATH}/${id}/entries: it is not what the order commits to`,
      })
      return
    }
    if (end === null) {
      open += 1
      if (isLate(logIndex, time))
        faults.push({
          place: at(logIndex),
          reason: 'erasure_undone',
          message: `The erasure ${id} was ordered more than a day ago, and nothing says that it was carried out`,
        })
    }
    const named = list.map(({ leafHash }) => holes.get(printHash(leafHash))).filter((hole) => hole !== undefined)
    if (erasure.policy === null) for (const hole of named) hole.isOrdered = true
    else expiries.push([{ id, logIndex, policy: erasure.policy }, named])
    for (const entry of list) {
      const left = explain(entry)
      if (left.length === 0 || end === null || dropped.has(entry.leafHash)) continue
      const held = await isHeld(entry.leafHash, left)
      // What an entry behind those that were read has dropped is for the next audit.
      if (held === false || (typeof held === 'number' && held >= size)) continue
      const name = `event ${printHash(entry.leafHash)}`
      if (held !== true) {
        const message = `The erasure ${id} names ${name}, which log entry ${held} is said to have dropped, and that was not found`
        faults.push({ place: at(logIndex), reason: 'different', message })
        continue
      }
      const what = `of ${name} ${left.length === 1 ? 'a field' : `${left.length} fields`}`
      faults.push({
        place: at(logIndex),
        reason: 'erasure_undone',
        message: `The erasure ${id} was not carried out: ${what} that it names can still be read`,
      })
    }
  }

  return {
    id: 'erasures',
    title: 'What orders in the log erase is gone, and the list of each is the one that the log commits to',
    resumes: {
      again: true,
      *save() {
        for (const [leafHash, { gone, isOrdered: _, ...hole }] of holes)
          yield {
            leafHash,
            ...hole,
            action: hole.action ?? null,
            hasAction: hole.action !== undefined,
            gone: [...gone.keys()],
          }
        for (const leaves of dropped.save()) yield { leaves }
      },
      load(value) {
        const { leaves } = value as { leaves?: string }
        if (leaves !== undefined) {
          dropped.load(leaves)
          return
        }
        const { leafHash, gone, hasAction, ...hole } = value as unknown as KeptHole
        const action = hasAction ? hole.action : undefined
        holes.set(leafHash, { ...hole, action, isOrdered: false, gone: new Map(gone.map((digest) => [digest, false])) })
      },
    },
    lacks(event, certain, what, place) {
      const shown = new Set(event.disclosures.map(({ text }) => nodePrimitives.digest(text)))
      const gone = event.digests.filter((digest) => !shown.has(digest))
      holes.set(printHash(event.leafHash), {
        ...{ place, what, fields: event.fieldCount, certain, action: event.fields[KEPT_FIELD], isOrdered: false },
        gone: new Map(gone.map((digest) => [digest, false])),
      })
    },
    async entry(walked) {
      const event = systemEvent(walked)
      if (event === null) return []
      try {
        const erasure = parseErasure(event)
        const end = parseErasureEnd(event)
        if (erasure !== null)
          orders.set(erasure.id, { erasure, logIndex: walked.logIndex, time: event.time, end: null })
        const ended = end === null ? undefined : orders.get(end)
        if (ended !== undefined) ended.end = walked.logIndex
        else if (end !== null)
          return [
            {
              place: at(walked.logIndex),
              reason: 'untold',
              message: `It says that an erasure was carried out which nothing orders: ${end}`,
            },
          ]
        return []
      } catch (error) {
        if (!(error instanceof KillickError)) throw error
        return [{ place: at(walked.logIndex), reason: 'unreadable', message: error.message }]
      }
    },
    async settle(size) {
      let since = 0
      let rows: ErasureRow[] = []
      try {
        rows = await readErasures(api, size + MAX_MEANWHILE)
        for (const [id, order] of orders) {
          const { erasure, logIndex } = order
          const row = rows.find((row) => row.id === id)
          const isSame =
            row?.logIndex === logIndex && row.events === erasure.count && equalBytes(row.root, erasure.root)
          if (row === undefined)
            faults.push({
              place: at(logIndex),
              reason: 'absent',
              message: `${ERASURES_PATH}: an erasure that the log orders is not there`,
            })
          else if (!isSame)
            faults.push({
              place: at(logIndex),
              reason: 'different',
              message: `${ERASURES_PATH}: an erasure is not what the log says of it`,
            })
          await checkOrder(id, order, size)
        }
        for (const [order, expired] of expiries) retention.judge(order, expired)
        const unexplained = () => [...holes.values()].filter((hole) => lostOf(hole) > 0).length
        const before = unexplained()
        for (const { logIndex, id, events, root } of rows) {
          if (orders.has(id)) continue
          if (logIndex < size)
            faults.push({
              place: at(logIndex),
              reason: 'untold',
              message: `${ERASURES_PATH}: an erasure of which the log does not tell`,
            })
          // Ordered while the log was read: the next audit reads the order.
          else for (const entry of (await readList(id, { count: events, root })) ?? []) explain(entry)
        }
        since = before - unexplained()
      } catch (error) {
        if (!isFaulty(error)) throw error
        faults.push({ place: null, reason: 'unreadable', message: `${ERASURES_PATH} cannot be read: ${error.message}` })
      }
      const all = [...holes.values()]
      const lost = all.flatMap((hole): Fault[] => {
        const { place, what, fields } = hole
        const n = lostOf(hole)
        if (n === 0) return []
        const message = `${what}: ${n} of its ${fields} fields ${n === 1 ? 'is' : 'are'} gone, and no erasure names ${n === 1 ? 'it' : 'them'}`
        return [{ place, reason: 'fields_missing', message }]
      })
      const named = all.map(namedOf).filter((n) => n > 0)
      return { faults: lost, since, fields: named.reduce((sum, n) => sum + n, 0), events: named.length }
    },
    async finish() {
      const carried = `${orders.size.toLocaleString('en')} ordered`
      return { faults, detail: open === 0 ? carried : `${carried}; ${open} still being carried out` }
    },
  }
}

/** The log entry that has dropped an event, if that is what the service refuses it for. */
function dropOf(error: unknown): number | null {
  if (!(error instanceof KillickError) || error.details.code !== 'event_dropped') return null
  const drop = error.details.drop as JsonValue | undefined
  return isObject(drop) && isCount(drop.logIndex) ? drop.logIndex : null
}
