import { createHash } from 'node:crypto'
import { join } from 'node:path'
import {
  equalBytes,
  InvariantError,
  openNote,
  parseCheckpoint,
  parseEvent,
  type Signer,
  SYSTEM,
  verifyConsistency,
  verifySignature,
} from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import { Refusal, StartError } from '../errors.ts'
import { type HeadFile, type Kept, openHeadFile, readHeadFiles } from './head-file.ts'
import { searchEvents } from './read/search.ts'
import { type LogKey, readHead, type SignedHead } from './tree/checkpoints.ts'
import { readConsistency } from './tree/tiles.ts'

/** The log in the database does not continue the newest head that this process knows. `found`: what it has; null: nothing. */
export type WentBack = { remembered: SignedHead; found: SignedHead | null }

export const ACCEPT_HEAD = 'log.accept-head'
export const PIN_HEAD = 'log.pin-head'

/**
 * The newest head that this process has signed or seen, held outside the database: whoever owns that could cut off the log's
 * end, and have other entries signed in its place. Nothing is signed behind a head that does not extend this one.
 */
export type HeadMemory = {
  newest(): SignedHead | null
  /** The notes of the newest head and of all that were in the folder: what an operator gives up who accepts another. */
  notes(): string[]
  /** Since when heads have been kept without a break, ms; 0: since the log began. */
  since(): number
  /** Why heads are kept from now on only, although the log has entries; null: they have been kept all along. */
  began(): 'gone' | 'damaged' | null
  /** A contract is a memory too, see `Ledger.contractHolds`. */
  contractHolds(target: string, size: number | null): void
  /** Does no contract hold more than the log, as far as is known? */
  isWhole(): boolean
  /** As the last check found it. */
  wentBack(): WentBack | null
  /**
   * Holds the database's head against the newest that is known, and knows it from then on.
   * @throws Refusal `log_went_back`
   */
  check(db: Db, head: SignedHead | null): Promise<void>
  /** Reads the database's head and checks it; never throws for what it finds. */
  look(db: Db): Promise<WentBack | null>
  /** Resolves once this head, or one behind it, would be known after a crash; many wait for one write. */
  remember(head: SignedHead): Promise<void>
  /** Goes on from what the database has: nothing is written before the next `remember`, which forgets all before it. */
  forget(found: SignedHead | null): void
  close(): Promise<void>
}

export type HeadMemoryOptions = {
  log: LogKey
  /** Whose word an acceptance is. */
  system: Signer
  /** The folder of all logs of this process; null: nothing outlives it. */
  folder: string | null
  now: () => number
  /** The log went back, or is as it should be again. */
  turned?: ((fault: WentBack | null) => void) | undefined
}

/** @throws StartError where the folder cannot be used */
export async function openHeadMemory(options: HeadMemoryOptions): Promise<HeadMemory> {
  const { log, system, folder, now, turned } = options
  const { file, kept, isDamaged } = await openFolder(folder && join(folder, nameOf(log)))
  const found = kept
    .map(({ note, since }) => ({ head: openHead(note, log), since }))
    .filter((one): one is { head: SignedHead; since: number } => one.head !== null)
    .sort((a, b) => b.head.size - a.head.size)
  let remembered: SignedHead | null = found[0]?.head ?? null
  let since = found[0]?.since ?? 0
  let began: 'gone' | 'damaged' | null = isDamaged ? 'damaged' : null
  let fault: WentBack | null = null
  /** Has this process met the log while it was empty? Then nothing before its first head is unknown. */
  let metEmpty = false

  let durable = -1
  let writing: Promise<void> | null = null
  /** Grows each time that all before is forgotten. */
  let life = 0
  let isFresh = false

  /** By target: sizes that contracts hold, and that this log should have had. */
  const contracts = new Map<string, number>()

  function turn(next: WentBack | null): void {
    const isTurn = (fault === null) !== (next === null)
    fault = next
    if (isTurn) turned?.(next)
  }

  /** @param isNewest nothing can have been committed since `head` was read */
  async function hold(db: Db, head: SignedHead | null, isNewest: boolean): Promise<void> {
    for (;;) {
      const before = remembered
      const verdict = await judge(db, before, head)
      if (before !== remembered) {
        // What was committed meanwhile is behind what was read.
        if (!isNewest && (head?.size ?? 0) <= (remembered?.size ?? 0)) return
        continue
      }
      if (verdict === 'back') {
        turn({ remembered: before!, found: head })
        throw refusal(fault!)
      }
      if (verdict === 'accepted') forget(head)
      else if (head !== null && before === null) meet(head)
      else if (head !== null && head.size > before!.size) remembered = head
      metEmpty ||= head === null
      return turn(null)
    }
  }

  /** The first head that is known. */
  function meet(head: SignedHead): void {
    remembered = head
    if (metEmpty) return
    since = now()
    began ??= 'gone'
  }

  /** An operator's word is looked for once for each head. */
  let asked: string | null = null

  async function judge(
    db: Db,
    before: SignedHead | null,
    head: SignedHead | null,
  ): Promise<'continues' | 'accepted' | 'back'> {
    if (head === null) return before === null ? 'continues' : 'back'
    if (before?.note === head.note && equalBytes(before.root, head.root)) return 'continues'
    // Ed25519 is deterministic: what this key signed, it signs again.
    const isSigned = log.signCheckpoint(head.size, head.root) === head.note
    if (before === null) {
      if (isSigned) return 'continues'
      throw new InvariantError(`the checkpoint of ${head.size} is not one that this log's key has signed`)
    }
    if (!isSigned) return 'back'
    if (await extendsHead(db, before, head)) return 'continues'
    const question = `${before.note}\n${head.note}`
    if (asked === question) return 'back'
    if (await isAccepted(db, { remembered: before, found: head }, log, system)) return 'accepted'
    asked = question
    return 'back'
  }

  async function write(): Promise<void> {
    const head = remembered!
    const mine = life
    const kept = { note: head.note, since }
    const wasFresh = isFresh
    isFresh = false
    try {
      await (wasFresh ? file?.replace(kept) : file?.write(kept))
    } catch (error) {
      isFresh ||= wasFresh
      const reason = 'The newest head of the log could not be written to the data folder.'
      throw new Refusal('unavailable', reason, { cause: String(error) })
    }
    if (mine === life) durable = head.size
  }

  async function remember(head: SignedHead): Promise<void> {
    if (remembered === null || head.size > remembered.size) remembered = head
    const mine = life
    while (durable < head.size) {
      writing ??= write().finally(() => {
        writing = null
      })
      await writing
      if (mine !== life) throw new Refusal('unavailable')
    }
  }

  function forget(found: SignedHead | null): void {
    remembered = found
    since = now()
    durable = -1
    life++
    isFresh = true
    asked = null
  }

  return {
    newest: () => remembered,
    notes: () => [...new Set([remembered, ...found.map(({ head }) => head)].flatMap((head) => head?.note ?? []))],
    since: () => since,
    began: () => began,
    wentBack: () => fault,
    contractHolds(target, size) {
      if (size === null) contracts.delete(target)
      else contracts.set(target, size)
    },
    isWhole: () => contracts.size === 0,
    async check(db, head) {
      await hold(db, head, true)
      const anchored = Math.max(0, ...contracts.values())
      const size = head?.size ?? 0
      if (anchored > size) {
        const detail = `A contract holds an anchor of ${anchored} entries, the database has ${size}. Nothing is taken until they are back, or the log goes on under another publisher.`
        throw new Refusal('log_went_back', detail, { remembered: anchored, found: size })
      }
    },
    async look(db) {
      const before = remembered
      const head = await readHead(db)
      // What was committed while it was read is behind it: then it is no head any more, and says nothing.
      const size = head?.size ?? 0
      if (before !== remembered && size >= (before?.size ?? 0) && size <= (remembered?.size ?? 0)) return fault
      await hold(db, head, false).catch((error) => {
        if (!(error instanceof Refusal)) throw error
      })
      return fault
    },
    remember,
    forget,
    async close() {
      await writing?.catch(() => {})
      await file?.close()
    },
  }
}

/** A folder that was used for another log, or another key of it, keeps what it knows of that. */
const nameOf = ({ vkey }: LogKey) => createHash('sha256').update(vkey).digest('hex').slice(0, 16)

async function openFolder(folder: string | null): Promise<{ file: HeadFile | null; kept: Kept[]; isDamaged: boolean }> {
  if (folder === null) return { file: null, kept: [], isDamaged: false }
  try {
    const before = await readHeadFiles(folder)
    const file = await openHeadFile(folder)
    // Read when the file is this process's: whoever had it before is gone, and has written all that it ever will.
    const { kept, damaged } = await readHeadFiles(folder)
    return { file, kept, isDamaged: before.damaged.length > damaged.length }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw new StartError(
      `The newest head of the log cannot be kept in ${folder} (${code ?? message}). It must be on a disk that can be written.`,
    )
  }
}

/** Null for a note of another log. */
function openHead(note: string, { origin, vkey }: LogKey): SignedHead | null {
  try {
    const { size, root, origin: named } = parseCheckpoint(openNote(note, [vkey]).text)
    return named === origin ? { size: Number(size), root, note } : null
  } catch {
    return null
  }
}

/** Is `newer` the same log, grown? Answered by the hashes of its tiles, which cannot lie. */
async function extendsHead(db: Db, older: SignedHead, newer: SignedHead): Promise<boolean> {
  if (newer.size < older.size) return false
  const path = await readConsistency(db, older.size, newer.size).catch((error) => {
    if (error instanceof InvariantError) return null
    throw error
  })
  const sizes = { oldSize: older.size, newSize: newer.size }
  return path !== null && verifyConsistency({ ...sizes, oldRoot: older.root, newRoot: newer.root, path })
}

/** Has an operator accepted the loss of exactly the remembered head, in an event of this log's system stream? */
async function isAccepted(
  db: Db,
  { remembered, found }: { remembered: SignedHead; found: SignedHead },
  log: LogKey,
  system: Signer,
): Promise<boolean> {
  // What cannot be read in such a database is no acceptance.
  const { events } = await searchEvents(db, { action: ACCEPT_HEAD, source: SYSTEM.source, limit: 10 }).catch(() => ({
    events: [],
  }))
  for (const event of events) {
    if ('error' in event) continue
    const word = acceptanceIn(event.token, system)
    if (word === null || !word.remembered.includes(remembered.note)) continue
    if (word.accepted === null) return true
    const accepted = openHead(word.accepted, log)
    if (accepted !== null && (await extendsHead(db, accepted, found))) return true
  }
  return false
}

function acceptanceIn(token: string, system: Signer): { remembered: string[]; accepted: string | null } | null {
  const { signature, fields } = parseEvent(token)
  if (signature?.kid !== system.kid || !verifySignature(system.jwk, signature.input, signature.bytes)) return null
  const { metadata, action } = fields as { metadata?: unknown; action?: unknown }
  const { remembered, accepted } = (metadata ?? {}) as { remembered?: unknown; accepted?: unknown }
  if (action !== ACCEPT_HEAD || !Array.isArray(remembered)) return null
  return { remembered: remembered as string[], accepted: typeof accepted === 'string' ? accepted : null }
}

function refusal({ remembered, found }: WentBack): Refusal {
  const detail = `The newest head that this service knows has ${remembered.size} entries; what the database holds now, ${found?.size ?? 0} entries, does not continue it.`
  return new Refusal('log_went_back', detail, { remembered: remembered.size, found: found?.size ?? 0 })
}
