import {
  type EventInput,
  InvariantError,
  nearestTime,
  printHash,
  printTime,
  type Receipt,
  type Registration,
  registrationFields,
  SYSTEM,
  uuidv7,
} from '@killick/sdk/core'
import type pg from 'pg'
import type { Db } from '../database/pool.ts'
import { Refusal, StartError } from '../errors.ts'
import type { Accepted } from './commit.ts'
import { ACCEPT_HEAD, type HeadMemory, openHeadMemory, PIN_HEAD, type WentBack } from './head-memory.ts'
import type { CheckedBatch } from './packs/checked-batch.ts'
import { insertRegistration } from './registry/registrations.ts'
import { keepRegistry, type LedgerRegistry } from './registry/registry.ts'
import { SEQUENCER_LIMITS, type SequencerHooks, type SequencerLimits, startSequencer } from './sequencer.ts'
import type { LocalSigner } from './signing-keys.ts'
import { isOfOwnKey, type Submission } from './submissions.ts'
import { type LogKey, logKey, readHead, type SignedHead } from './tree/checkpoints.ts'

/** The ledger of one database: every write goes through here, reads take `db`. */
export type Ledger = {
  readonly db: pg.Pool
  readonly log: LogKey
  /** Submits a checked batch. Resolves when it is durable; `isNew` is false if it had been accepted before. */
  submit(batch: CheckedBatch): Promise<Accepted>
  /** Records something that the service did, and what `write` stores, in one transaction. */
  record(
    event: Extract<Submission, { event: unknown }>['event'],
    write?: (db: Db, logIndex: number) => Promise<void>,
  ): Promise<{ id: string; leafHash: string; receipt: Receipt }>
  /** The newest checkpoint, or null while the log is empty. */
  head(): Promise<SignedHead | null>
  /** Compares the database's log with the newest head that this process knows. Returns what is wrong, or null. */
  checkHead(): Promise<WentBack | null>
  /** The newest head that this process has signed or seen. */
  newestKnown(): SignedHead | null
  /** The result of the last comparison, at a commit or by `checkHead`. While it is not null, nothing is signed. */
  wentBack(): WentBack | null
  /** How many times that turned, or the log went on from another head: what was read of the log before may be of another. */
  turns(): number
  /**
   * Records, as an event, an operator's decision to continue from the database's head.
   * @returns what was given up, and the head that the log continues from; null: there was nothing to decide
   */
  acceptHead(): Promise<WentBack | null>
  /** Since when this process has known every head, ms; 0: since the log began. */
  headsKnownSince(): number
  /**
   * Tells the ledger that a contract holds this size although the log is smaller, and that no memory here reaches back to that
   * time: the log may have lost entries, and nothing is signed. Null: this is not the case, or not any more.
   */
  contractHolds(target: string, size: number | null): void
  /** Why this process knows heads only from now on, although the log had entries; null: it has known them all along. */
  memoryBegan(): 'gone' | 'damaged' | null
  /** How many submissions wait for their transaction. */
  depth(): number
  /** The sources and keys that the log registers. */
  readonly registry: LedgerRegistry
  /**
   * False while a contract holds more than the log (`contractHolds`). Also false for a minute after the database failed to store
   * something, unless it has stored something since.
   */
  isWritable(): boolean
  /** Stops taking submissions and waits for those under way; the pool stays open. */
  close(): Promise<void>
}

export type LedgerHooks = SequencerHooks & {
  /** Called when the database failed to store a submission, which was refused as `unavailable`. */
  failed?: () => void
  /** Called when the log in the database does not continue what was signed last, or (null) does so again. */
  wentBack?: (fault: WentBack | null) => void
  /** Called when the registry in the database was found altered; `source` is null if that concerns all sources. */
  registryAltered?: (source: string | null, detail: string) => void
}

export type LedgerOptions = {
  pool: pg.Pool
  origin: string
  logSigner: LocalSigner
  systemSigner: LocalSigner
  /** The folder for the newest head, outside the database. Default: in memory only. */
  headFolder?: string
  now?: () => number
  limits?: SequencerLimits
  hooks?: LedgerHooks
}

/** In ms. Longer than a recorder waits between two attempts, so that a lasting outage does not look like many. */
const OUTAGE_MS = 60_000

/**
 * Opens the ledger of a migrated database.
 * @throws StartError if the database holds another log, or this log under another key
 */
export async function openLedger(options: LedgerOptions): Promise<Ledger> {
  const { pool, origin, logSigner, systemSigner, now: clock = Date.now } = options
  const now = () => nearestTime(clock())
  const log = logKey(origin, logSigner)
  await claimLog(pool, log)
  const memory = await openHeadMemory({
    ...{ log, system: systemSigner, now, folder: options.headFolder ?? null },
    turned: options.hooks?.wentBack,
  })
  const registry = keepRegistry(log, systemSigner, options.hooks?.registryAltered, memory.turns)
  const context = { log, system: systemSigner, registry, now, memory }
  const sequencer = startSequencer(pool, context, options.limits ?? SEQUENCER_LIMITS, options.hooks)
  let failedAt = Number.NEGATIVE_INFINITY

  async function submit(submission: Submission): Promise<Accepted> {
    try {
      const accepted = await sequencer.submit(submission)
      failedAt = Number.NEGATIVE_INFINITY
      return accepted
    } catch (error) {
      if (error instanceof Refusal && error.code === 'unavailable' && !isOfOwnKey(error)) {
        failedAt = performance.now()
        options.hooks?.failed?.()
      }
      throw error
    }
  }

  const ledger: Ledger = {
    db: pool,
    log,
    async submit(batch) {
      // The first time this may take a while, and should not do so within a transaction.
      if (!registry.isWalked() && memory.wentBack() === null) await registry.catchUp(pool)
      return submit({ batch })
    },
    async record(event, write) {
      const id = uuidv7(now())
      const { receipt, firstLeaf } = await submit({ event, id, write })
      return { id, leafHash: printHash(firstLeaf), receipt }
    },
    head: () => readHead(pool),
    checkHead: () => memory.look(pool),
    newestKnown: memory.newest,
    wentBack: memory.wentBack,
    turns: memory.turns,
    async acceptHead() {
      const fault = await memory.look(pool)
      if (fault === null) return null
      const given = memory.notes()
      memory.forget(fault.found)
      await registerItself(ledger, systemSigner, now)
      await ledger.record(acceptance(origin, given, fault.found))
      return fault
    },
    headsKnownSince: memory.since,
    contractHolds: memory.contractHolds,
    memoryBegan: memory.began,
    depth: sequencer.depth,
    registry,
    isWritable: () => memory.isWhole() && performance.now() - failedAt > OUTAGE_MS,
    async close() {
      await sequencer.close()
      await memory.close()
    },
  }
  try {
    // A log that went back can be read, and an operator can decide.
    if (await isContinued(memory, pool)) {
      const head = memory.newest()
      if (head !== null) await memory.remember(head)
      await registerItself(ledger, systemSigner, now)
      if (memory.began() !== null && options.headFolder !== undefined) await ledger.record(pinning(origin, memory))
    }
  } catch (error) {
    await ledger.close()
    throw error
  }
  return ledger
}

/** A database that contradicts itself can be read too; a commit reports what is wrong. */
async function isContinued(memory: HeadMemory, db: Db): Promise<boolean> {
  try {
    return (await memory.look(db)) === null
  } catch (error) {
    if (error instanceof InvariantError) return false
    throw error
  }
}

const SERVICE = { type: 'service', id: 'anchor-service' }

/** Says that this process knows the log's heads from here on, and believed what was there before. */
function pinning(origin: string, memory: HeadMemory): EventInput {
  const { size, root } = memory.newest()!
  const metadata = { reason: memory.began(), size, root: printHash(root) }
  return { action: PIN_HEAD, actor: SERVICE, targets: [{ type: 'log', id: origin }], metadata }
}

function acceptance(origin: string, remembered: string[], accepted: SignedHead | null): EventInput {
  const metadata = { remembered, accepted: accepted?.note ?? null }
  const targets = [{ type: 'log', id: origin }]
  return { action: ACCEPT_HEAD, actor: { type: 'operator', id: 'accept-head' }, targets, metadata }
}

/** A log keeps its name and its key: verifiers would take a checkpoint under another key for a forgery. */
async function claimLog(pool: pg.Pool, { origin, vkey }: LogKey): Promise<void> {
  await pool.query('insert into ledger (origin, vkey) values ($1, $2) on conflict do nothing', [origin, vkey])
  const { rows } = await pool.query<{ origin: string; vkey: string }>('select origin, vkey from ledger')
  const held = rows[0]!
  if (held.origin !== origin) {
    throw new StartError(
      `This database holds the log "${held.origin}", but KILLICK_ORIGIN is "${origin}". Set the origin back, or use another database.`,
    )
  }
  if (held.vkey !== vkey) {
    throw new StartError(
      `This database holds a log with the key ${held.vkey}, but the log key in use is ${vkey}. Restore the key file (KILLICK_LOG_KEY, by default keys/log.json in the data folder), or use another database.`,
    )
  }
}

/** The ledger is a source too: its key is registered like any other, in an event that this key signs. */
async function registerItself(ledger: Ledger, signer: LocalSigner, now: () => number): Promise<void> {
  if (await isRegistered(ledger.db, signer)) {
    const period = await ledger.registry.ownKeyOutside(ledger.db, now())
    if (period === null) return
    const { notBefore, notAfter } = period
    throw new StartError(
      `The key in KILLICK_SYSTEM_KEY (by default keys/system.json in the data folder) is ${signer.kid}, which is registered for the source "${SYSTEM.source}" ${describe(notBefore, notAfter)} only. Start with the key that is in use.`,
    )
  }
  // If several processes start on an empty database, the first to get the log's lock does it.
  const overtaken = new Error('another process has registered the ledger')
  await ledger
    .record(async (db, logIndex) => {
      if (await isRegistered(db, signer)) throw overtaken
      const registration: Registration = {
        ...{ source: SYSTEM.source, previous: null },
        ...{ eventSignatures: 'required', decoys: false, maxAge: null, maxAhead: null, heartbeat: null },
        keys: [{ kid: signer.kid, jwk: signer.jwk, notBefore: null, notAfter: null }],
      }
      await insertRegistration(db, registration, logIndex)
      return { actor: SERVICE, ...registrationFields(registration) }
    })
    .catch((error) => {
      if (error !== overtaken) throw error
    })
}

const describe = (notBefore: number | null, notAfter: number | null): string =>
  [notBefore !== null && `from ${printTime(notBefore)}`, notAfter !== null && `until ${printTime(notAfter)}`]
    .filter(Boolean)
    .join(' ')

/**
 * Tells a new database from one in use. The registry later checks whether the row stands for a registration.
 * @throws StartError if the ledger was registered with other keys only
 */
async function isRegistered(db: Db, { kid }: LocalSigner): Promise<boolean> {
  const { rows } = await db.query<{ kid: string }>('select kid from source_keys where source = $1', [SYSTEM.source])
  if (rows.length === 0 || rows.some((row) => row.kid === kid)) return rows.length > 0
  throw new StartError(
    `The key in KILLICK_SYSTEM_KEY (by default keys/system.json in the data folder) is ${kid}, which is not registered for the source "${SYSTEM.source}". Start with the key that was in use, and register this one first (POST /v1/sources with the admin token).`,
  )
}
