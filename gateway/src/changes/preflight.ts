// What must be so before the stream can begin, each with a sentence that says what to do.
import type { JsonObject } from '@killick/sdk/core'
import type { ChangesConfig } from './config.ts'
import type { ServerFacts, SlotFacts } from './database.ts'
import { ChangesError } from './errors.ts'
import { printLsn } from './lsn.ts'
import type { Notes } from './notes.ts'

/** Changes that can never be read: from where, to where as far as that is known, and what has happened. */
export type LogGap = {
  readonly from: bigint
  readonly to: bigint | null
  readonly why:
    | 'slot_missing'
    | 'slot_lost'
    | 'slot_moved'
    | 'other_cluster'
    | 'database_went_back'
    | 'publication_was_missing'
    | 'log_missing'
}

/** How the stream ended when it was read last: whether it lacked the newest transaction that was recorded, and why the server could not read on. */
export type LastStream = {
  readonly isOther: boolean
  readonly unreadable: 'publication_was_missing' | 'log_missing' | null
}

/** @throws ChangesError `changes_database_unsuitable` with everything that is wrong with the server */
export function checkServer(facts: ServerFacts): void {
  const faults: string[] = []
  if (facts.version < 140_000)
    faults.push(`PostgreSQL is version ${Math.floor(facts.version / 10_000)}; it must be 14 or later.`)
  if (facts.walLevel !== 'logical')
    faults.push(
      `wal_level is ${facts.walLevel}. Set it: alter system set wal_level = 'logical'; then restart the server.`,
    )
  if (!facts.mayReplicate) faults.push('The user may not replicate. As a superuser: alter role <user> replication.')
  if (facts.encoding === 'SQL_ASCII')
    faults.push(
      'The encoding of the database is SQL_ASCII, so its texts are bytes of no known encoding and could not be shown as they are.',
    )
  if (facts.isStandby) faults.push('The server is a standby. Connect to the primary.')
  if (faults.length > 0) throw new ChangesError('changes_database_unsuitable', faults.join('\n'))
}

/** @throws ChangesError `changes_publication_missing` */
export function checkPublication(
  facts: JsonObject | null,
  { publication }: ChangesConfig,
): asserts facts is JsonObject {
  if (facts === null)
    throw new ChangesError(
      'changes_publication_missing',
      `There is no publication "${publication}". Run: killick-gateway changes setup`,
    )
  const published = facts['/operations'] as string[]
  const left = ['insert', 'update', 'delete', 'truncate'].filter((each) => !published.includes(each))
  if (left.length > 0)
    throw new ChangesError(
      'changes_publication_missing',
      `The publication "${publication}" leaves out ${left.join(', ')}. Run: alter publication "${publication}" set (publish = 'insert, update, delete, truncate')`,
    )
}

/** Why a server invalidates a slot. */
export const BY_LIMITS =
  ', because it held back more of the log than max_slot_wal_keep_size allows, or was not read from for idle_replication_slot_timeout'

/** @throws ChangesError `changes_slot_unsuitable`, `changes_slot_missing` if nothing was ever read from it */
export function checkSlot(
  slot: SlotFacts | null,
  { slot: name }: ChangesConfig,
  server: ServerFacts,
  notes: Notes,
): void {
  if (slot === null) {
    if (notes.server !== null) return
    throw new ChangesError(
      'changes_slot_missing',
      `There is no replication slot "${name}". Run: killick-gateway changes setup`,
    )
  }
  const unsuitable = (why: string) =>
    new ChangesError('changes_slot_unsuitable', `The replication slot "${name}" ${why}`)
  if (slot.plugin !== 'pgoutput') throw unsuitable(`is for ${slot.plugin ?? 'physical replication'}, not for pgoutput.`)
  if (slot.database !== server.database) throw unsuitable(`belongs to the database ${slot.database}.`)
  // What is prepared may never be committed.
  if (slot.isTwoPhase)
    throw unsuitable('sends transactions when they are prepared. Drop it, and run: killick-gateway changes setup')
  if (slot.isTemporary) throw unsuitable('is temporary: it would not outlive its connection.')
}

/**
 * What was lost since this recorder last read; null: nothing.
 * @param leftAt where the server left the timeline that was read before; null: it is still on it
 */
export function findGap(
  slot: SlotFacts | null,
  server: ServerFacts,
  notes: Notes,
  leftAt: bigint | null,
  last: LastStream,
): LogGap | null {
  const from = notes.confirmed
  if (notes.server === null) return null
  if (notes.server.system !== server.system) return { from, to: null, why: 'other_cluster' }
  // A standby that was promoted without all that was read, or a backup: its log goes on in another way from there.
  if (leftAt !== null && leftAt < from) return { from: leftAt, to: from, why: 'database_went_back' }
  if (server.writtenLsn < from) return { from: server.writtenLsn, to: from, why: 'database_went_back' }
  if (slot === null) return { from, to: null, why: 'slot_missing' }
  if (slot.walStatus === 'lost' || slot.confirmedLsn === null) return { from, to: null, why: 'slot_lost' }
  // Nobody else has a reason to move it.
  if (slot.confirmedLsn > from) return { from, to: slot.confirmedLsn, why: 'slot_moved' }
  // A server that had not let go of the slot may have heard by now that it was recorded: then it is no wonder that it did not come.
  if (last.isOther && slot.confirmedLsn <= notes.place.commit) {
    const isBehind = from < notes.place.commit
    return { from: slot.confirmedLsn, to: isBehind ? notes.place.commit : from, why: 'database_went_back' }
  }
  if (last.unreadable !== null) return { from, to: null, why: last.unreadable }
  return null
}

const WHY: Record<LogGap['why'], string> = {
  slot_missing: 'the replication slot was dropped',
  slot_lost: `the replication slot was invalidated${BY_LIMITS}`,
  slot_moved: 'somebody has moved the replication slot, or dropped it and made another one',
  other_cluster: 'this is another database cluster than before',
  database_went_back:
    'the database does not have all of the log that this recorder has read: it was restored, or a standby without all of it was promoted',
  publication_was_missing:
    'something was committed while there was no publication, and before PostgreSQL 18 the server can send neither that nor what follows',
  log_missing: 'files of the database’s log are gone that the replication slot needs',
}

/** In words. */
export function gapSentence({ from, to, why }: LogGap): string {
  const until = to === null ? 'until the new slot begins' : `to ${printLsn(to)}`
  return `Changes cannot be read any more: ${WHY[why]}. The gap is from ${printLsn(from)} ${until}, and it is recorded.`
}
