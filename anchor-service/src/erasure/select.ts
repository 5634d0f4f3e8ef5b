/** Which events an order is about, and what of them would go. */
import {
  type ErasedEvent,
  equalBytes,
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
import { parseOrNull, readLines } from '../ledger/packs/read-pack.ts'
import { isDropped } from '../ledger/read/events.ts'
import { findEvent } from '../ledger/read/find-event.ts'
import { memoryOf } from '../ledger/read/proof-memory.ts'
import { type EventConditions, findPlaced, numberAt } from '../ledger/read/search.ts'
import { readDroppedBy } from '../ledger/registry/drops.ts'
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
      // Nothing is left of one that was dropped.
      if (!(await isDroppedAt(db, place.logIndex))) selected.unreadable.push(name)
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

/** Packs that are read at a time. */
const PACKS_AT_ONCE = 16

/** Reads the events of a list that was made before, in the order of the log. What is gone of them meanwhile has no name any more. */
export async function selectListed(
  db: Db,
  list: readonly (ErasedEvent & { number: number })[],
  holds: readonly StoredHold[],
): Promise<Selected> {
  const selected: Selected = { chosen: [], held: [], unreadable: 0 }
  const { rows: packs } = await db.query<{ first: number }>(
    `select distinct p.first_event::float8 as first from unnest($1::bigint[]) as wanted (number) cross join lateral (
       select first_event from packs where first_event <= number order by first_event desc limit 1) p order by first`,
    [list.map(({ number }) => number)],
  )
  let at = 0
  for (let from = 0; from < packs.length; from += PACKS_AT_ONCE) {
    const { rows } = await db.query<{ first: number; pos: number; n: number; body: Buffer }>(
      'select first_event::float8 as first, pos, n, body from packs where first_event = any($1::bigint[]) order by first_event',
      [packs.slice(from, from + PACKS_AT_ONCE).map(({ first }) => first)],
    )
    for (const { first, pos, n, body } of rows) {
      const line = await readLines(body, pos)
      for (; at < list.length && list[at]!.number < first + n; at++) {
        const { number, leafHash, digests } = list[at]!
        const event = number < first ? null : parseOrNull(line(number - first))
        if (event === null || !equalBytes(event.leafHash, leafHash)) {
          selected.unreadable += 1
          continue
        }
        const wanted = new Set(digests)
        const left = event.disclosures.filter(({ text }) => wanted.has(nodePrimitives.digest(text)))
        const covering = holds.filter((hold) => isHeld(hold.covers, event)).map(({ id }) => id)
        if (covering.length > 0) selected.held.push({ event, holds: covering })
        selected.chosen.push({ number, event, digests, names: left.map(({ name }) => name) })
      }
    }
  }
  selected.unreadable += list.length - at
  return selected
}

const isDroppedAt = async (db: Db, logIndex: number) => (await readDroppedBy(db, [logIndex])).size > 0

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
      if (!isDropped(event)) yield { number, token: 'error' in event ? null : event.token }
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
    if (place.token === '' && (await isDroppedAt(db, place.logIndex))) continue
    yield { number, token: place.token === '' ? null : place.token }
  }
}
