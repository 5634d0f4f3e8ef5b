/** Which events an order is about, and what of them would go. */
import {
  type ErasedEvent,
  isEventId,
  isHeld,
  nodePrimitives,
  type ParsedEvent,
  parseEvent,
  parseHash,
  printHash,
  SYSTEM,
} from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import { Refusal } from '../errors.ts'
import { parseOrNull } from '../ledger/packs/read-pack.ts'
import { findEvent } from '../ledger/read/find-event.ts'
import { memoryOf } from '../ledger/read/proof-memory.ts'
import { type EventConditions, findPlaced, numberAt } from '../ledger/read/search.ts'
import type { StoredHold } from './holds.ts'

/** Events by a search, or by their ids or leaf hashes. `fields`: names of the fields that go; null: all */
export type Selection = {
  conditions: EventConditions
  ids: readonly string[] | null
  fields: readonly string[] | null
}

/** One event that loses fields. */
export type Chosen = { number: number; event: ParsedEvent; digests: readonly string[]; names: readonly string[] }

export type Selected = {
  chosen: Chosen[]
  /** Events that a hold covers, with the ids of the holds. */
  held: { event: ParsedEvent; holds: string[] }[]
  /** Events that the database does not hold as they were accepted: nobody can tell what of them would go. */
  unreadable: number
}

/** Most events of one order. Its list is in memory while it is made, about 1 KiB each. */
export const MAX_ERASED = 100_000

/**
 * Reads the events of a selection, in the order of the log.
 * @throws Refusal request_invalid | erasure_too_large | event_not_found
 */
export async function select(db: Db, selection: Selection, holds: readonly StoredHold[]): Promise<Selected> {
  const selected: Selected = { chosen: [], held: [], unreadable: 0 }
  for await (const { number, token } of tokensOf(db, selection)) {
    const event = token === null ? null : parseEvent(token, nodePrimitives)
    if (event === null) {
      selected.unreadable += 1
      continue
    }
    if (event.source === SYSTEM.source)
      throw new Refusal(
        'request_invalid',
        'The ledger’s own events cannot be erased: they say what became of the others.',
      )
    const going = event.disclosures.filter(({ name }) => selection.fields === null || selection.fields.includes(name))
    if (going.length === 0) continue
    const covering = holds.filter((hold) => isHeld(hold.covers, event)).map(({ id }) => id)
    if (covering.length > 0) selected.held.push({ event, holds: covering })
    const digests = going.map(({ text }) => nodePrimitives.digest(text)).sort()
    selected.chosen.push({ number, event, digests, names: going.map(({ name }) => name) })
    if (selected.chosen.length > MAX_ERASED)
      throw new Refusal(
        'erasure_too_large',
        `More than ${MAX_ERASED} events lose fields by this order; make several of it.`,
      )
  }
  selected.chosen.sort((a, b) => a.number - b.number)
  return selected
}

/**
 * Of the events that an order names what the database has again of what it named, as after a restore. Those that a hold covers are not
 * chosen; those that the log does not have are passed over.
 * @returns `unreadable`: leaf hashes of events that the database does not hold as they were accepted
 */
export async function selectAgain(
  db: Db,
  entries: readonly ErasedEvent[],
  holds: readonly StoredHold[],
): Promise<Omit<Selected, 'unreadable'> & { unreadable: string[] }> {
  const selected = { chosen: [] as Chosen[], held: [] as Selected['held'], unreadable: [] as string[] }
  for (const { leafHash, digests: named } of entries) {
    const name = printHash(leafHash)
    const place = await findEvent(db, memoryOf(db), name).catch(orAbsent)
    if (place === null) continue
    const event = parseOrNull(place.token)
    if (event === null) {
      selected.unreadable.push(name)
      continue
    }
    const wanted = new Set(named)
    const going = event.disclosures
      .map(({ name, text }) => ({ name, digest: nodePrimitives.digest(text) }))
      .filter(({ digest }) => wanted.has(digest))
    if (going.length === 0) continue
    const covering = holds.filter((hold) => isHeld(hold.covers, event)).map(({ id }) => id)
    if (covering.length > 0) {
      selected.held.push({ event, holds: covering })
      continue
    }
    const digests = going.map(({ digest }) => digest).sort()
    const number = await numberOf(db, place)
    selected.chosen.push({ number, event, digests, names: going.map(({ name }) => name) })
  }
  selected.chosen.sort((a, b) => a.number - b.number)
  return selected
}

function orAbsent(error: unknown): null {
  if (error instanceof Refusal && error.code === 'event_not_found') return null
  throw error
}

async function numberOf(db: Db, { logIndex, pos }: { logIndex: number; pos: number }): Promise<number> {
  const { rows } = await db.query<{ number: number }>(`select ${numberAt('$1', '$2::int')}::float8 as number`, [
    logIndex,
    pos,
  ])
  return rows[0]!.number
}

async function* tokensOf(
  db: Db,
  { conditions, ids }: Selection,
): AsyncGenerator<{ number: number; token: string | null }> {
  if (ids === null) {
    for await (const { event, number } of findPlaced(db, { ...conditions, own: false }))
      yield { number, token: 'error' in event ? null : event.token }
    return
  }
  const seen = new Set<number>()
  for (const id of ids) {
    if (!isEventId(id) && parseHash(id) === null)
      throw new Refusal('request_invalid', 'One of `ids` is neither an event’s id nor its leaf hash.')
    const place = await findEvent(db, memoryOf(db), id)
    const number = await numberOf(db, place)
    if (seen.has(number)) continue
    seen.add(number)
    yield { number, token: place.token }
  }
}
