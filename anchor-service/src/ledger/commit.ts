import {
  type EventInput,
  equalBytes,
  type Hash,
  InvariantError,
  planInclusion,
  printHash,
  type Receipt,
  type Signer,
} from '@killick/sdk'
import type pg from 'pg'
import { EMPTY_HEAD, type Head, insertCheckpoint, type LogKey, readCovering, readHead } from './checkpoints.ts'
import { append, frontierRoot } from './frontier.ts'
import {
  type CheckedBatch,
  eventLeaf,
  isSameBatch,
  type KeptBatch,
  refusalAtHead,
  refusalBehindHead,
  type StreamHead,
} from './place.ts'
import { type Appended, insertBatches, nextNumber } from './rows.ts'
import { readHeads, readKeptBatch, streamKey } from './streams.ts'
import { makeSystemBatch, SYSTEM } from './system.ts'
import { type Db, insertSegments, readFrontier, readPlans, splitHashes } from './tiles.ts'

/** What the ledger can be asked to take: a batch of a source, or something the service itself did. */
export type Submission =
  | { batch: CheckedBatch }
  | {
      event: EventInput
      /** The event's name, a UUIDv7. */
      id: string
      /** Writes what the event speaks of, in the same transaction; when it throws, nothing of this submission is kept. */
      write?: ((db: Db) => Promise<void>) | undefined
    }

/** `firstLeaf`: leaf hash of the batch's first event. */
export type Accepted = { receipt: Receipt; isNew: boolean; firstLeaf: Hash }
export type Outcome = Accepted | { refusal: Error }

export type CommitContext = { log: LogKey; system: Signer; now: () => number }

/** Guards the one log of a database: whoever holds it decides what comes next. */
const LOG_LOCK = 7_019_320

/**
 * The commit point. In one transaction, under the log's lock: places each submission behind the head of its stream or
 * refuses it, assigns indices, stores batches and events, appends to the tree and signs the one new checkpoint. Returns
 * once all of it is durable. Throws where the database fails; then nothing is known to be stored, and sending the same
 * again gives the receipt that was or will be made.
 *
 * @returns one outcome per submission, in order; a refused one leaves the others untouched
 */
export async function commitGroup(
  db: pg.ClientBase,
  group: readonly Submission[],
  context: CommitContext,
): Promise<Outcome[]> {
  await db.query('begin')
  await db.query('select pg_advisory_xact_lock($1)', [LOG_LOCK])
  const head = (await readHead(db)) ?? EMPTY_HEAD
  const names = group.map((submission) => ('batch' in submission ? submission.batch.header : SYSTEM))
  const heads = await readHeads(db, [...new Map(names.map((name) => [streamKey(name), name])).values()])
  const round: Round = { size: head.size, heads, appended: [], evidence: [] }
  const places: (KeptOrNew | { refusal: Error })[] = []
  for (const submission of group) places.push(await place(db, submission, round, context))
  const newHead = round.appended.length > 0 ? await store(db, head, round.appended, context.log) : null
  for (const { kept, refused } of round.evidence) await keepEvidence(db, kept, refused)
  const receipts = await makeReceipts(
    db,
    places.filter((p) => 'logIndex' in p),
    newHead,
  )
  await db.query('commit')
  return places.map((p) =>
    'refusal' in p ? p : { receipt: receipts.get(p.logIndex)!, isNew: p.isNew, firstLeaf: p.firstLeaf },
  )
}

type KeptOrNew = {
  logIndex: number
  isNew: boolean
  header: Pick<CheckedBatch['header'], 'source' | 'stream' | 'seq' | 'n'>
  firstLeaf: Hash
}

/** What a transaction has decided so far. */
type Round = {
  readonly size: number
  readonly heads: Map<string, StreamHead>
  readonly appended: Appended[]
  readonly evidence: { kept: KeptBatch; refused: CheckedBatch }[]
}

async function place(
  db: Db,
  submission: Submission,
  round: Round,
  context: CommitContext,
): Promise<KeptOrNew | { refusal: Error }> {
  const { size, heads, appended } = round
  let batch: CheckedBatch
  if ('batch' in submission) {
    batch = submission.batch
  } else {
    const failure = submission.write && (await attempt(db, submission.write))
    if (failure) return { refusal: failure }
    batch = await makeSystemBatch(submission, heads.get(streamKey(SYSTEM)) ?? null, context.system, context.now())
  }
  const { header } = batch
  const firstLeaf = eventLeaf(batch, 0)
  const head = heads.get(streamKey(header)) ?? null
  if (head !== null && header.seq < head.seq) {
    const kept = keptInGroup(appended, batch) ?? (await readKeptBatch(db, header, header.seq))
    if (kept === null) throw new InvariantError(`no batch holds ${streamKey(header)} ${header.seq}`)
    if (isSameBatch(batch, kept)) return { logIndex: kept.logIndex, isNew: false, header, firstLeaf }
    const refusal = refusalBehindHead(batch, kept, head)
    if (refusal.code === 'equivocation') round.evidence.push({ kept, refused: batch })
    return { refusal }
  }
  const refusal = refusalAtHead(batch, head)
  if (refusal !== null) return { refusal }
  const logIndex = size + appended.length
  appended.push({ logIndex, batch })
  heads.set(streamKey(header), {
    seq: header.seq + header.n,
    batch: header.leafHash,
    event: eventLeaf(batch, header.n - 1),
  })
  return { logIndex, isNew: true, header, firstLeaf }
}

/** Runs a write that may fail without failing the transaction. */
async function attempt(db: Db, write: (db: Db) => Promise<void>): Promise<Error | null> {
  await db.query('savepoint attempt')
  try {
    await write(db)
    await db.query('release savepoint attempt')
    return null
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

async function keepEvidence(db: Db, kept: KeptBatch, { header }: CheckedBatch): Promise<void> {
  await db.query(
    `insert into equivocations (log_index, accepted, refused, refused_hash) values ($1, $2, $3, $4)
     on conflict do nothing`,
    [kept.logIndex, kept.header, header.text, Buffer.from(header.leafHash)],
  )
}

async function store(
  db: pg.ClientBase,
  head: Omit<Head, 'note'> & { note?: string },
  appended: readonly Appended[],
  log: LogKey,
): Promise<Head> {
  // Ed25519 is deterministic: what this key signed, it signs again.
  if (head.size > 0 && log.signCheckpoint(head.size, head.root) !== head.note)
    throw new InvariantError(`the checkpoint of ${head.size} is not one that this log's key has signed`)
  const before = await readFrontier(db, head.size)
  // Tiles that somebody has tampered with must never lead to a checkpoint that contradicts a signed one.
  if (!equalBytes(frontierRoot(before), head.root))
    throw new InvariantError(`the tiles do not hash to the root at ${head.size}`)
  const { frontier, segments } = append(
    before,
    appended.map(({ batch }) => batch.header.leafHash),
  )
  const root = frontierRoot(frontier)
  const newHead = { size: frontier.size, root, note: log.signCheckpoint(frontier.size, root) }
  await insertBatches(db, appended, await nextNumber(db, head.size))
  await insertSegments(db, segments)
  await insertCheckpoint(db, newHead)
  return newHead
}

async function makeReceipts(db: Db, places: readonly KeptOrNew[], newHead: Head | null): Promise<Map<number, Receipt>> {
  if (places.length === 0) return new Map()
  const old = places.filter((p) => newHead === null || !p.isNew).map((p) => p.logIndex)
  const covering = old.length > 0 ? await readCovering(db, old) : []
  const checkpoints = new Map(old.map((logIndex, i) => [logIndex, covering[i]!]))
  const covers = places.map((p) => checkpoints.get(p.logIndex) ?? newHead!)
  const paths = await readPlans(
    db,
    places.map((p, i) => planInclusion(p.logIndex, covers[i]!.size)),
  )
  return new Map(
    places.map(({ logIndex, header: { source, stream, seq, n } }, i) => {
      const { size, note } = covers[i]!
      return [logIndex, { source, stream, seq, n, logIndex, size, path: paths[i]!.map(printHash), checkpoint: note }]
    }),
  )
}
