/**
 * What the rows of a batch hold once its events were dropped: nothing of them but their leaf hashes, and the keys of these. Whatever is left beside
 * was not dropped; whatever is missing hides from readers that an event was.
 */
import type { Fault, WalkedBatch } from '@killick/sdk/audit'
import type { Hash } from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import { packKeys } from '../ledger/packs/event-keys.ts'
import { SCHEMES } from '../ledger/packs/filters.ts'
import { keysOfDropped } from '../ledger/packs/make-keys.ts'
import { readDroppedBy } from '../ledger/registry/drops.ts'
import {
  type BatchRow,
  type ColumnValues,
  differences,
  digest,
  hex,
  NOTHING,
  type Pack,
  placeOf,
} from './batch-rows.ts'

/** Whether a drop takes the events of a batch, by the table of drops, which another check holds against the log. */
export const isDroppedSince = async (db: Db, { logIndex }: WalkedBatch): Promise<boolean> =>
  (await readDroppedBy(db, [logIndex])).size > 0

const packColumns = ({ logIndex }: WalkedBatch, pos: number, n: number): ColumnValues => ({
  ...{ log_index: logIndex, pos, n, frame_ends: true, empty: true, ids: NOTHING, times: NOTHING },
})

const keysOf = ({ header: { source, stream } }: WalkedBatch, leaves: readonly Hash[], scheme: number) =>
  keysOfDropped({ source, stream, n: leaves.length, leaves: Buffer.concat(leaves) }, scheme)

/** Whether nothing is wrong with packs and keys; then it need not be found out what. */
export function areDroppedRight(batch: WalkedBatch, leaves: readonly Hash[], { packs, keys }: BatchRow): boolean {
  let pos = 0
  let checked = 0
  for (const { first, columns } of packs) {
    const part = leaves.slice(pos, pos + Number(columns.n))
    if (first !== batch.firstEvent + pos) return false
    if (differences(columns, packColumns(batch, pos, part.length)).length > 0) return false
    const before = checked
    for (; keys[checked]?.first === first; checked++) {
      const { scheme, columns: found } = keys[checked]!
      if (!(scheme in SCHEMES)) return false
      const made = keysOf(batch, part, scheme)
      const expected = { keys: digest([made.keys]), key_counts: digest([made.key_counts]) }
      if (differences(found, expected).length > 0) return false
    }
    if (checked === before) return false
    pos += part.length
  }
  return pos === leaves.length && checked === keys.length
}

/** What is wrong with packs and keys, by packs. */
export function compareDropped(batch: WalkedBatch, leaves: readonly Hash[], { packs, keys }: BatchRow): Fault[] {
  const { logIndex, firstEvent, header } = batch
  const faults: Fault[] = []
  const tell = (number: number, reason: Fault['reason'], message: string) =>
    void faults.push({
      place: placeOf(logIndex, { ...header, seq: header.seq + number - firstEvent }),
      reason,
      message,
    })
  if (packs[0]?.first !== firstEvent) tell(firstEvent, 'absent', `packs.first_event: no event has ${firstEvent}`)
  for (const [i, pack] of packs.entries()) {
    const { first } = pack
    const part = leaves.slice(first - firstEvent, (packs[i + 1]?.first ?? firstEvent + header.n) - firstEvent)
    const where = `of the pack at ${first}, whose events were dropped`
    for (const column of wrongColumns(batch, pack, part.length))
      tell(first, 'different', `packs.${column}: it is not that ${where}`)
    const own = keys.filter((row) => row.first === first)
    if (own.length === 0)
      tell(first, 'absent', `pack_keys.first_event: no row has what the pack at ${first} is found by`)
    for (const { scheme, details } of own) {
      if (!(scheme in SCHEMES)) {
        tell(first, 'unreadable', `pack_keys.scheme: this version knows no scheme ${scheme}`)
        continue
      }
      const made = keysOf(batch, part, scheme)
      const of = packKeys(header, scheme).length
      if (details!.key_counts !== hex(made.key_counts))
        tell(first, 'different', `pack_keys.key_counts: it is not that ${where}`)
      if (details!.keys !== hex(made.keys)) {
        const isOfEvents = details!.keys.slice(0, 2 * of) === hex(made.keys.subarray(0, of))
        const what = isOfEvents ? 'leaf hashes' : 'source and stream'
        tell(first, 'different', `pack_keys.keys: they are not those of the ${what} ${where}`)
      }
    }
  }
  for (const { first } of keys)
    if (!packs.some((pack) => pack.first === first))
      tell(first, 'untold', `pack_keys.first_event: no pack begins at ${first}`)
  return faults
}

/** Names of the columns of a pack that are not what is left of it. */
function wrongColumns(batch: WalkedBatch, { first, columns, details }: Pack, n: number): string[] {
  const { frame_ends: _, empty: __, ...expected } = packColumns(batch, first - batch.firstEvent, n)
  return [
    ...differences(columns, expected),
    ...(details!.body === '' ? [] : ['body']),
    ...(details!.frame_ends === '{}' ? [] : ['frame_ends']),
  ]
}
