// A note in a spool on the command that its program runs now. It is durable before command.run is, and goes when command.end is
// durable: so whoever finds one in a spool that nobody holds knows of a command whose end was not recorded.
import { open, readFile, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { AuditLog } from '../../client/open.ts'
import { syncDirectory, writeAll } from '../../client/segment.ts'
import { KillickError } from '../../core/errors.ts'
import { isCount } from '../../core/event.ts'
import { isObject } from '../../core/json.ts'
import { syncFile } from '../../node/sync.ts'
import { type CommandIdentity, unknownEnd } from './events.ts'

export const NOTE_FILE = 'under-way.json'

/** `stream` and `seq`: the place that command.run takes. Only one program at a time writes to the stream, and only these events. */
type Note = {
  readonly v: 1
  readonly stream: string
  readonly seq: number
  /** Place of the newest chunk of its session that was to be recorded. Default: there is none. */
  readonly last?: number
  readonly identity: CommandIdentity
}

/** Writes the note on a command whose command.run is the next event of `log`. */
export function noteCommand(dir: string, { status }: AuditLog, identity: CommandIdentity): Promise<number> {
  const { stream, recorded: seq } = status
  return writeNote(dir, { v: 1, stream, seq, identity }).then(() => seq)
}

/**
 * Notes how far the chunks of its session have come, before the next one is recorded; and before its end is, so that a chunk that could not be
 * recorded is not taken for the end.
 * @param seq place of command.run @param last place of the newest chunk that there is or will be
 */
export const noteChunk = (
  dir: string,
  { status }: AuditLog,
  identity: CommandIdentity,
  seq: number,
  last: number,
): Promise<void> => writeNote(dir, { v: 1, stream: status.stream, seq, last, identity })

async function writeNote(dir: string, note: Note): Promise<void> {
  const file = join(dir, NOTE_FILE)
  const handle = await open(`${file}.tmp`, 'w', 0o600)
  try {
    await writeAll(handle, Buffer.from(`${JSON.stringify(note)}\n`), 0)
    await syncFile(handle)
  } finally {
    await handle.close()
  }
  await rename(`${file}.tmp`, file)
  await syncDirectory(dir)
}

/** Removes the note. If it outlives a crash after all, the place of the next event shows that it says nothing any more. */
export const forgetCommand = (dir: string): Promise<void> => unlink(join(dir, NOTE_FILE))

/**
 * Records the end as unknown, if a program that held this spool before left a command without one.
 * @returns whether it did
 */
export async function settleCommand(dir: string, log: AuditLog): Promise<boolean> {
  const note = await readNote(join(dir, NOTE_FILE))
  if (note === null) return false
  const { stream, recorded } = log.status
  // Without command.run, nothing was started; with an event behind it, the end is there.
  const isOpen = note.stream === stream && recorded > note.seq && recorded <= (note.last ?? note.seq) + 1
  if (isOpen) await log.record(unknownEnd(note.identity))
  await forgetCommand(dir)
  return isOpen
}

async function readNote(file: string): Promise<Note | null> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  let note: unknown
  try {
    note = JSON.parse(text)
  } catch {}
  if (!isObject(note) || note.v !== 1 || !isCount(note.seq) || !isCount(note.last ?? 0) || !isObject(note.identity))
    throw new KillickError('spool_corrupt', `${file} is damaged; remove it to go on without what it says`, { file })
  return note as unknown as Note
}
