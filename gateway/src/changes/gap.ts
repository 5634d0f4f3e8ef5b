// A gap: recorded when it is found, once; and where somebody accepts it, a new way begins behind it.
import type { JsonObject } from '@killick/sdk/core'
import type pg from 'pg'
import type { ChangesConfig } from './config.ts'
import { type ServerFacts, slotFacts } from './database.ts'
import { ChangesError } from './errors.ts'
import { printLsn } from './lsn.ts'
import type { Notes } from './notes.ts'
import { gapSentence, type LogGap } from './preflight.ts'
import { makeSlot } from './setup.ts'

/** Where there is a slot from which nothing can be read. */
const UNREADABLE: ReadonlySet<LogGap['why']> = new Set(['slot_lost', 'publication_was_missing', 'log_missing'])

type Parts = {
  readonly config: ChangesConfig
  readonly notes: Notes
  readonly client: pg.Client
  readonly server: ServerFacts
  readonly isAccepted: boolean
  readonly record: (action: string, known: JsonObject, more?: object) => Promise<void>
  readonly say: (text: string) => void
}

/**
 * Records the gap, and if it is accepted goes on with a slot that there is, or with a new one.
 * @throws ChangesError `changes_gap` if it is not accepted
 */
export async function settleGap(
  gap: LogGap,
  { config, notes, client, server, isAccepted, record, say }: Parts,
): Promise<void> {
  const { epoch } = notes.place
  const from = printLsn(gap.from)
  const known = {
    kind: 'gap',
    epoch,
    why: gap.why,
    from,
    ...(gap.to !== null && { to: printLsn(gap.to) }),
    slot: config.slot,
  }
  if (notes.gap !== from) {
    await record('gap', known, { outcome: 'failure' })
    notes.note({ gap: from })
  }
  if (!isAccepted)
    throw new ChangesError(
      'changes_gap',
      `${gapSentence(gap)} To go on behind it: killick-gateway changes run --accept-gap`,
    )
  const confirmed = await slotBehind(gap, config, client, server, say)
  // Up to where the database went back to its log is what was read, though the slot may not know it: before PostgreSQL 17 not even an
  // orderly end keeps how far a slot was confirmed.
  const begins = gap.why === 'database_went_back' && gap.from > confirmed ? gap.from : confirmed
  await record('gap.accept', { ...known, epoch: epoch + 1, to: printLsn(begins) })
  notes.accepted(epoch + 1, begins)
  notes.begin()
  say(`${gapSentence({ ...gap, to: begins })} It was accepted, and recording goes on at ${printLsn(begins)}`)
}

async function slotBehind(
  gap: LogGap,
  config: ChangesConfig,
  client: pg.Client,
  { version }: ServerFacts,
  say: (text: string) => void,
): Promise<bigint> {
  if (UNREADABLE.has(gap.why)) await client.query('select pg_drop_replication_slot($1)', [config.slot])
  await makeSlot(client, config, version, say)
  return (await slotFacts(client, config.slot))!.confirmedLsn!
}
