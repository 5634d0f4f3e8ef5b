/**
 * Whether an order that comes under a known id is the one that was recorded. What was searched for is not kept, so it is told by what was
 * found then: all of that is among what is asked for now, and nothing else of that time is.
 */
import type { ErasedEvent, Erasure } from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import { Refusal } from '../errors.ts'
import { readFound } from '../ledger/read/events.ts'
import { matches } from '../ledger/read/search.ts'
import { type Selection, select } from './select.ts'

/** The words of an order. */
export type Words = Pick<Erasure, 'reason' | 'legalBasis' | 'order' | 'fields'>

/** Events that are read at a time. */
const PAGE = 500

/**
 * @param known what was recorded, with its list in the order of the log
 * @throws Refusal erasure_id_taken
 */
export async function refuseOther(
  db: Db,
  known: Words & { readonly list: readonly (ErasedEvent & { number: number })[] },
  order: Omit<Words, 'fields'> & { readonly selection: Selection },
): Promise<void> {
  const { selection } = order
  const isSame = textOf(known) === textOf({ ...order, fields: selection.fields })
  if (!isSame || !(await isOf(db, known.list, selection))) throw new Refusal('erasure_id_taken')
}

const textOf = ({ reason, legalBasis, order, fields }: Words) =>
  JSON.stringify([reason, legalBasis, order, fields?.toSorted() ?? null])

async function isOf(
  db: Db,
  list: readonly (ErasedEvent & { number: number })[],
  selection: Selection,
): Promise<boolean> {
  const { ids, conditions } = selection
  const names = ids && new Set(ids)
  const numbers = list.map(({ number }) => number)
  for (let at = 0; at < numbers.length; at += PAGE)
    for (const { event } of await readFound(db, numbers.slice(at, at + PAGE))) {
      // Of one that was dropped since, or that cannot be read, nobody can tell.
      if ('error' in event) continue
      const isAsked = names
        ? names.has(event.id) || names.has(event.leafHash)
        : matches(event, { ...conditions, own: false })
      if (!isAsked) return false
    }
  const { chosen } = await select(db, selection, []).catch((error) => {
    // Its events may have been dropped since, and others have come.
    if (error instanceof Refusal && ['event_not_found', 'erasure_too_large'].includes(error.code)) return { chosen: [] }
    throw error
  })
  const known = new Set(numbers)
  // What a search finds behind the last may have come since. What has an id was there.
  const end = ids === null ? (numbers.at(-1) ?? -1) : Number.POSITIVE_INFINITY
  return chosen.every(({ number }) => number > end || known.has(number))
}
