import { createHash } from 'node:crypto'
import { join } from 'node:path'
import {
  algOf,
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
import { verifierOf } from '../verifier.ts'
import { type HeadFile, type Kept, openHeadFile, readHeadFiles } from './head-file.ts'
import { searchEvents } from './read/search.ts'
import { type LogKey, readHead, type SignedHead } from './tree/checkpoints.ts'
import { readConsistency } from './tree/tiles.ts'

/**
 * The log in the database does not continue the newest head that this process knows. `found`: the database's head; null: none.
 */
export type WentBack = { remembered: SignedHead; found: SignedHead | null }

export const ACCEPT_HEAD = 'log.accept-head'
export const PIN_HEAD = 'log.pin-head'

/**
 * The newest head that this process has signed or seen, kept outside the database: the database's owner could cut off the log's
 * end and have other entries signed in its place. Nothing is signed unless the database's head extends this one.
 */
export type HeadMemory = {
  newest(): SignedHead | null
  /** The notes of the newest head and of all heads in the folder. An operator who accepts another head gives these up. */
  notes(): string[]
  /** Since when heads have been kept without a break, ms; 0: since the log began. */
  since(): number
  /** Why heads are kept only from now on, although the log has entries; null: they have been kept all along. */
  began(): 'gone' | 'damaged' | null
  /** A contract is a memory too, see `Ledger.contractHolds`. */
  contractHolds(target: string, size: number | null): void
  /** Whether no contract is known to hold more than the log. */
  isWhole(): boolean
  /** The result of the last check. */
  wentBack(): WentBack | null
  /** Grows each time that the log was found to be another, or the one that was known again: what was read of it before may be of another log. */
  turns(): number
  /**
   * Compares the database's head with the newest one known, and then remembers it.
   * @throws Refusal `log_went_back`
   */
  check(db: Db, head: SignedHead | null): Promise<void>
  /** Reads the database's head and checks it. Never throws because of what it finds. */
  look(db: Db): Promise<WentBack | null>
  /** Resolves once this head or a later one would be known after a crash. Many callers share one write. */
  remember(head: SignedHead): Promise<void>
  /** Continues from the database's head. Writes nothing until the next `remember`, which forgets all earlier heads. */
  forget(found: SignedHead | null): void
  close(): Promise<void>
}

export type HeadMemoryOptions = {
  log: LogKey
  /** The key that signs acceptances. */
  system: Signer
  /** The folder for all logs of this process; null: the memory ends with the process. */
  folder: string | null
  now: () => number
  /** Called when the log went back, or is as it should be again (null). */
  turned?: ((fault: WentBack | null) => void) | undefined
}

/** @throws StartError if the folder cannot be used */
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
  let turns = 0
  /** Whether this process has seen the log while it was empty. Then it knows all heads. */
  let metEmpty = false

  let durable = -1
  let writing: Promise<void> | null = null
  /** Grows each time that all earlier heads are forgotten. */
  let life = 0
  let isFresh = false

  /** Sizes that contracts hold and that this log should have, by target. */
  const contracts = new Map<string, number>()

  function turn(next: WentBack | null): void {
    const isTurn = (fault === null) !== (next === null)
    fault = next
    if (!isTurn) return
    turns++
    turned?.(next)
  }

  /** @param isNewest whether nothing can have been committed since `head` was read */
  async function hold(db: Db, head: SignedHead | null, isNewest: boolean): Promise<void> {
    for (;;) {
      const before = remembered
      const verdict = await judge(db, before, head)
      if (before !== remembered) {
        // A commit in the meantime has gone beyond the head that was read.
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

  /** Takes the first head that this process learns. */
  function meet(head: SignedHead): void {
    remembered = head
    if (metEmpty) return
    since = now()
    began ??= 'gone'
  }

  /** The two heads for which an operator's acceptance was last looked for, so that it is looked for once. */
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
    turns++
    isFresh = true
    asked = null
  }

  return {
    newest: () => remembered,
    notes: () => [...new Set([remembered, ...found.map(({ head }) => head)].flatMap((head) => head?.note ?? []))],
    since: () => since,
    began: () => began,
    wentBack: () => fault,
    turns: () => turns,
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
        const detail = `A contract holds an anchor of ${anchored} entries, the database has ${size}. No batch is accepted until they are back, or the log goes on under another publisher.`
        throw new Refusal('log_went_back', detail, { remembered: anchored, found: size })
      }
    },
    async look(db) {
      const before = remembered
      const head = await readHead(db)
      // If a commit has gone beyond this head while it was read, it is no longer the head and says nothing.
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

/** One name for each log key, so that a folder also keeps what it knows about other logs and keys. */
const nameOf = ({ vkey }: LogKey) => createHash('sha256').update(vkey).digest('hex').slice(0, 16)

async function openFolder(folder: string | null): Promise<{ file: HeadFile | null; kept: Kept[]; isDamaged: boolean }> {
  if (folder === null) return { file: null, kept: [], isDamaged: false }
  try {
    const before = await readHeadFiles(folder)
    const file = await openHeadFile(folder)
    // Read once this process owns the file: its former owner is gone, and will never write again.
    const { kept, damaged } = await readHeadFiles(folder)
    return { file, kept, isDamaged: before.damaged.length > damaged.length }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw new StartError(
      `The newest head of the log cannot be kept in ${folder} (${code ?? message}). Put it on a disk that can be written.`,
    )
  }
}

/** Portable code takes 60 ms of CPU for the first signature of a process, and a service that starts again checks its head. */
const verifyOwn: typeof verifySignature = (jwk, message, signature) => verifierOf(jwk)(algOf(jwk), message, signature)

/** Null for a note of another log. */
function openHead(note: string, { origin, vkey }: LogKey): SignedHead | null {
  try {
    const { size, root, origin: named } = parseCheckpoint(openNote(note, [vkey], verifyOwn).text)
    return named === origin ? { size: Number(size), root, note } : null
  } catch {
    return null
  }
}

/** Whether `newer` extends `older`, by the consistency path from the database's tiles. */
async function extendsHead(db: Db, older: SignedHead, newer: SignedHead): Promise<boolean> {
  if (newer.size < older.size) return false
  const path = await readConsistency(db, older.size, newer.size).catch((error) => {
    if (error instanceof InvariantError) return null
    throw error
  })
  const sizes = { oldSize: older.size, newSize: newer.size }
  return path !== null && verifyConsistency({ ...sizes, oldRoot: older.root, newRoot: newer.root, path })
}

/** Whether an operator has accepted the loss of exactly the remembered head, in an event of this log's system stream. */
async function isAccepted(
  db: Db,
  { remembered, found }: { remembered: SignedHead; found: SignedHead },
  log: LogKey,
  system: Signer,
): Promise<boolean> {
  // In such a database, an event that cannot be read is no acceptance.
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
  const detail = `The newest head that this service knows has ${remembered.size} entries; the database's log of ${found?.size ?? 0} entries does not continue it.`
  return new Refusal('log_went_back', detail, { remembered: remembered.size, found: found?.size ?? 0 })
}
