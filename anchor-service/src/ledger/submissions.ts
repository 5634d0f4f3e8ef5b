/**
 * What becomes of each submission of a commit: its batch goes to the end of its stream, or was accepted before, or is refused.
 * Nothing is written here but the rows that an event tells of.
 */

import {
  asHash,
  type EventInput,
  type Hash,
  InvariantError,
  printHash,
  type Signer,
  SYSTEM,
  uuidv7,
} from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import { Refusal } from '../errors.ts'
import type { HeadMemory } from './head-memory.ts'
import {
  type CheckedBatch,
  eventLeaf,
  isSameBatch,
  type KeptBatch,
  refusalAtHead,
  refusalBehindHead,
  type StreamHead,
} from './packs/checked-batch.ts'
import type { Appended } from './packs/packer.ts'
import { equivocationEvent, insertEquivocation } from './registry/equivocations.ts'
import type { LedgerRegistry } from './registry/registry.ts'
import { refusalOf } from './registry/sources.ts'
import { readKeptBatch, streamKey } from './registry/streams.ts'
import { makeSystemBatch } from './system.ts'
import type { LogKey } from './tree/checkpoints.ts'
import { splitHashes } from './tree/tiles.ts'

/** What the ledger can record: a batch of a source, or an event about what the service itself did. */
export type Submission =
  | { batch: CheckedBatch }
  | {
      /**
       * A function for a registration, which is made at the commit: it names the one before it, and is found by its log index.
       */
      event: EventInput | ((db: Db, logIndex: number) => Promise<EventInput>)
      /** The event's name, a UUIDv7. */
      id: string
      /**
       * Writes the rows that the event tells of, with the event's log index, in the same transaction. If it throws, nothing of
       * this submission is kept.
       */
      write?: ((db: Db, logIndex: number) => Promise<void>) | undefined
    }

export type CommitContext = {
  log: LogKey
  system: Signer
  registry: LedgerRegistry
  now: () => number
  memory: Pick<HeadMemory, 'check'>
}

export type KeptOrNew = {
  logIndex: number
  isNew: boolean
  header: Pick<CheckedBatch['header'], 'source' | 'stream' | 'seq' | 'n'>
  firstLeaf: Hash
}

export type Placed = KeptOrNew | { refusal: Error }

/** The decisions of a transaction so far. */
export type Round = {
  readonly size: number
  /** Head of the system stream when the transaction began. */
  readonly system: StreamHead | null
  readonly heads: Map<string, StreamHead>
  readonly appended: Appended[]
  readonly evidence: { kept: KeptBatch; refused: CheckedBatch }[]
}

export async function place(db: Db, submission: Submission, round: Round, context: CommitContext): Promise<Placed> {
  const { size, heads, appended } = round
  let batch: CheckedBatch
  if ('batch' in submission) {
    batch = submission.batch
  } else {
    const ended = await refusalOfOwn(db, round, context)
    if (ended !== null) return { refusal: ended }
    const made = await attempt(db, submission, size + appended.length)
    if (made instanceof Error) return { refusal: made }
    batch = await makeSystemBatch(
      { event: made, id: submission.id },
      heads.get(streamKey(SYSTEM)) ?? null,
      context.system,
      context.now(),
    )
  }
  const { header } = batch
  const firstLeaf = eventLeaf(batch, 0)
  const head = heads.get(streamKey(header)) ?? null
  if (head !== null && header.seq < head.seq) {
    const kept = keptInGroup(appended, batch) ?? (await readKeptBatch(db, header, header.seq))
    if (kept === null) throw new InvariantError(`no batch holds ${streamKey(header)} ${header.seq}`)
    if (isSameBatch(batch, kept)) return { logIndex: kept.logIndex, isNew: false, header, firstLeaf }
    const refusal = refusalBehindHead(batch, kept, head)
    if (refusal.code !== 'equivocation') return { refusal }
    // The evidence is told of by an event.
    const ended = await refusalOfOwn(db, round, context)
    if (ended !== null) return { refusal: ended }
    round.evidence.push({ kept, refused: batch })
    return { refusal }
  }
  const refusal = refusalAtHead(batch, head) ?? (await refusalSince(db, batch, round.system, context))
  if (refusal !== null) return { refusal }
  return { logIndex: accept(round, batch), isNew: true, header, firstLeaf }
}

/** @returns the log index that the batch gets */
function accept({ size, appended, heads }: Round, batch: CheckedBatch): number {
  const { header } = batch
  const logIndex = size + appended.length
  appended.push({ logIndex, batch })
  heads.set(streamKey(header), {
    seq: header.seq + header.n,
    batch: header.leafHash,
    // A copy: a head may be kept, and must not keep the leaves of the whole batch alive.
    event: asHash(eventLeaf(batch, header.n - 1).slice()),
  })
  return logIndex
}

/** Whether a refusal says that this process may record nothing of its own: the database has not failed then. */
export const isOfOwnKey = ({ code, details }: Refusal): boolean => code === 'unavailable' && 'kid' in details

/** Why this process may record nothing of its own: somebody has ended the time of its key, while it runs with it. */
async function refusalOfOwn(db: Db, { system }: Round, { registry, now }: CommitContext): Promise<Refusal | null> {
  if ((await registry.ownKeyOutside(db, now(), system)) === null) return null
  return new Refusal(
    'unavailable',
    `The key with which this process signs for the source "${SYSTEM.source}" is registered for another time. Start it with the key that is in use (KILLICK_SYSTEM_KEY).`,
    { kid: registry.systemKid },
  )
}

/**
 * The checking thread judged the batch by the tables; at the commit the newest registration in the log counts. If the two differ,
 * somebody has registered something since, or the tables are not what the log says.
 */
async function refusalSince(
  db: Db,
  { header, judged }: CheckedBatch,
  system: StreamHead | null,
  { registry, now }: CommitContext,
): Promise<Error | null> {
  if (judged === null) return null
  try {
    // From here on, registrations by other processes count too.
    await registry.catchUp(db, system)
    if (judged.catalogue !== registry.enforcement.enforcedBy(header.source)) return new Refusal('catalogue_changed')
    const source = registry.source(header.source)
    if (judged.registered === (source ? printHash(source.newest) : null)) {
      registry.acquit(header.source)
      return null
    }
    const fault = await registry.compare(db, header.source)
    if (fault !== null) return new Refusal('registry_altered', fault, { source: header.source })
    return refusalOf(header.source, source, judged, now())
  } catch (error) {
    if (error instanceof Refusal) return error
    throw error
  }
}

/** Writes the rows that an event tells of. If that fails, the transaction continues. @returns the event, or why there is none */
async function attempt(
  db: Db,
  { event, write }: Extract<Submission, { event: unknown }>,
  logIndex: number,
): Promise<EventInput | Error> {
  if (typeof event !== 'function' && write === undefined) return event
  await db.query('savepoint attempt')
  try {
    const made = typeof event === 'function' ? await event(db, logIndex) : event
    await write?.(db, logIndex)
    await db.query('release savepoint attempt')
    return made
  } catch (error) {
    await db.query('rollback to savepoint attempt')
    return error as Error
  }
}

function keptInGroup(appended: readonly Appended[], { header }: CheckedBatch): KeptBatch | undefined {
  const found = appended.find(
    ({ batch: { header: h } }) => streamKey(h) === streamKey(header) && h.seq <= header.seq && header.seq < h.seq + h.n,
  )
  if (found === undefined) return undefined
  const { header: h } = found.batch
  const eventLeaves = splitHashes(found.batch.eventLeaves)
  return { logIndex: found.logIndex, seq: h.seq, n: h.n, header: h.text, leafHash: h.leafHash, eventLeaves }
}

/** Stores headers that contradict accepted batches, each with an event of the system stream that tells of it. */
export async function keepEvidence(db: Db, round: Round, context: CommitContext): Promise<void> {
  const { heads, appended } = round
  for (const { kept, refused } of round.evidence) {
    const logIndex = round.size + appended.length
    if (!(await insertEquivocation(db, logIndex, kept, refused.header))) continue
    const event = equivocationEvent(kept, refused.header)
    const now = context.now()
    const submission = { event, id: uuidv7(now) }
    const batch = await makeSystemBatch(submission, heads.get(streamKey(SYSTEM)) ?? null, context.system, now)
    accept(round, batch)
  }
}
