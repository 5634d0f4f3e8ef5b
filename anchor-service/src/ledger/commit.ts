import {
  asHash,
  equalBytes,
  type Hash,
  InvariantError,
  planInclusion,
  printHash,
  type Receipt,
  SYSTEM,
} from '@killick/sdk/core'
import type pg from 'pg'
import type { CopyStatement } from '../database/copy.ts'
import { runAll } from '../database/exchange.ts'
import type { Db } from '../database/pool.ts'
import type { StreamHead } from './packs/checked-batch.ts'
import { batchStatements } from './packs/packer.ts'
import { readHeads, type StreamName, streamKey } from './registry/streams.ts'
import {
  type CommitContext,
  type KeptOrNew,
  keepEvidence,
  type Placed,
  place,
  type Round,
  type Submission,
} from './submissions.ts'
import { checkpointStatement, EMPTY_HEAD, type LogKey, readCovering, type SignedHead } from './tree/checkpoints.ts'
import { append, appendedPaths, type Frontier, frontierRoot } from './tree/frontier.ts'
import { readFrontier, readPlans, tileStatement } from './tree/tiles.ts'

/** `firstLeaf`: leaf hash of the batch's first event. */
export type Accepted = { receipt: Receipt; isNew: boolean; firstLeaf: Hash }
export type CommitResult = Accepted | { refusal: Error }

/**
 * What a commit leaves in memory for the next one. It is valid unless another process has made the log grow meanwhile, which the
 * head shows.
 */
export type Known = {
  readonly head: SignedHead
  readonly frontier: Frontier
  /** The number that the next event gets. */
  readonly nextNumber: number
  /** Heads of streams; those that grew last are at the end. */
  readonly heads: Map<string, StreamHead>
}

/** How many heads are kept in memory, about 300 bytes each. */
const MAX_KNOWN_HEADS = 10_000

/** The lock of a database's log: its holder decides what comes next. */
export const LOG_LOCK = 7_019_320

/**
 * The commit point. In one transaction, under the log's lock, it places each submission behind the head of its stream or refuses
 * it, assigns indices, stores batches and events, appends to the tree and signs the one new checkpoint. It returns once all of
 * this is durable. It throws if the database fails: then nothing is known to be stored, and sending the same again gives the
 * receipt that was or will be made. It throws the Refusal `log_went_back` if the database's log does not continue the one that
 * was signed last.
 *
 * @param known what the last commit of this process left
 * @returns one outcome per submission, in order; a refused one leaves the others untouched
 */
export async function commitGroup(
  db: pg.ClientBase,
  group: readonly Submission[],
  context: CommitContext,
  known: Known | null,
): Promise<{ outcomes: CommitResult[]; known: Known | null }> {
  const log = await beginAt(db, context, known)
  const names = group.map((submission) => ('batch' in submission ? submission.batch.header : SYSTEM))
  const heads = await headsOf(db, [...names, SYSTEM], log.heads)
  const system = heads.get(streamKey(SYSTEM)) ?? null
  const round: Round = { size: log.head.size, system, heads, appended: [], evidence: [] }
  const places: Placed[] = []
  for (const submission of group) places.push(await place(db, submission, round, context))
  await keepEvidence(db, round, context)
  const receipts = await receiptsOfKept(db, log.head.size, places)
  const { statements, next } = grow(log, round, places, receipts, context.log)
  await runAll(db, [...statements, { sql: 'commit' }])
  const outcomes = places.map((p) =>
    'refusal' in p ? p : { receipt: receipts.get(p.logIndex)!, isNew: p.isNew, firstLeaf: p.firstLeaf },
  )
  return { outcomes, known: next }
}

type Start = Omit<Known, 'head'> & { head: Omit<SignedHead, 'note'> & { note?: string } }

/** Begins the transaction. @returns where the log ends now */
async function beginAt(db: pg.ClientBase, { log, memory }: CommitContext, known: Known | null): Promise<Start> {
  const { head, nextNumber } = await beginUnderLock(db)
  await memory.check(db, head)
  const isKnown = head !== null && head.note === known?.head.note && equalBytes(head.root, known.head.root)
  return isKnown ? known! : readStart(db, log, head, nextNumber)
}

async function readStart(db: Db, log: LogKey, head: SignedHead | null, nextNumber: number): Promise<Start> {
  if (head === null) return { head: EMPTY_HEAD, frontier: { size: 0, tiles: [] }, nextNumber: 0, heads: new Map() }
  if (log.signCheckpoint(head.size, head.root) !== head.note)
    throw new InvariantError(`the checkpoint of ${head.size} is not one that this log's key has signed`)
  const frontier = await readFrontier(db, head.size)
  // Altered tiles must never lead to a checkpoint that contradicts a signed one.
  if (!equalBytes(frontierRoot(frontier), head.root))
    throw new InvariantError(`the tiles do not hash to the root at ${head.size}`)
  return { head, frontier, nextNumber, heads: new Map() }
}

/** One exchange with PostgreSQL, since this holds the log's lock: docs/decisions/0005-copy-in-one-exchange.md. */
async function beginUnderLock(db: pg.ClientBase): Promise<{ head: SignedHead | null; nextNumber: number }> {
  const results = (await db.query(
    `begin; select pg_advisory_xact_lock(${LOG_LOCK});
     select c.*, first_event + n as next from (select size, root, note from checkpoints order by size desc limit 1) c
     left join batches on log_index = size - 1`,
  )) as unknown as pg.QueryResult[]
  const [row] = results[2]!.rows
  if (row === undefined) return { head: null, nextNumber: 0 }
  const { size, root, note, next } = row
  if (next === null) throw new InvariantError(`the log has no batch ${size - 1}`)
  return { head: { size, root: asHash(new Uint8Array(root)), note }, nextNumber: next }
}

async function headsOf(db: Db, names: readonly StreamName[], known: Map<string, StreamHead>) {
  const wanted = [...new Map(names.map((name) => [streamKey(name), name])).values()]
  const heads = await readHeads(
    db,
    wanted.filter((name) => !known.has(streamKey(name))),
  )
  for (const name of wanted) {
    const head = known.get(streamKey(name))
    if (head) heads.set(streamKey(name), head)
  }
  return heads
}

/** Ends a round: the statements that store it, and what is known after it. Adds the receipts of new batches. */
function grow(
  start: Start,
  round: Round,
  places: readonly Placed[],
  receipts: Map<number, Receipt>,
  log: LogKey,
): { statements: CopyStatement[]; next: Known | null } {
  const { head, frontier, nextNumber, heads } = start
  const { appended } = round
  if (appended.length === 0) return { statements: [], next: head.size > 0 ? (start as Known) : null }
  const leaves = appended.map(({ batch }) => batch.header.leafHash)
  const added = append(frontier, leaves)
  const { frontier: grown, segments } = added
  const root = frontierRoot(grown)
  const newHead = { size: grown.size, root, note: log.signCheckpoint(grown.size, root) }
  const paths = appendedPaths(frontier.size, added)
  for (const place of places)
    if ('logIndex' in place && place.logIndex >= head.size)
      receipts.set(place.logIndex, receiptOf(place, newHead, paths[place.logIndex - head.size]!))
  const events = appended.reduce((sum, { batch }) => sum + batch.header.n, 0)
  return {
    statements: [...batchStatements(appended, nextNumber), tileStatement(segments), checkpointStatement(newHead)],
    next: { head: newHead, frontier: grown, nextNumber: nextNumber + events, heads: newest(heads, round.heads) },
  }
}

/** The heads that grew now, and as many of the others as may be kept. */
function newest(known: Map<string, StreamHead>, grown: Map<string, StreamHead>): Map<string, StreamHead> {
  // Re-inserted, so that the map's order is least recently grown first.
  for (const [name, head] of grown) {
    known.delete(name)
    known.set(name, head)
  }
  for (const name of known.keys()) {
    if (known.size <= MAX_KNOWN_HEADS) break
    known.delete(name)
  }
  return known
}

/** Receipts of batches that the log held before, by log index, each under the first checkpoint that covers it. */
async function receiptsOfKept(db: Db, size: number, places: readonly Placed[]): Promise<Map<number, Receipt>> {
  const kept = places.filter((place): place is KeptOrNew => 'logIndex' in place && place.logIndex < size)
  if (kept.length === 0) return new Map()
  const covers = await readCovering(
    db,
    kept.map(({ logIndex }) => logIndex),
  )
  const paths = await readPlans(
    db,
    kept.map(({ logIndex }, i) => planInclusion(logIndex, covers[i]!.size)),
  )
  return new Map(kept.map((place, i) => [place.logIndex, receiptOf(place, covers[i]!, paths[i]!)]))
}

function receiptOf({ logIndex, header }: KeptOrNew, { size, note }: SignedHead, path: readonly Hash[]): Receipt {
  const { source, stream, seq, n } = header
  return { source, stream, seq, n, logIndex, size, path: path.map(printHash), checkpoint: note }
}
