import {
  asHash,
  EMPTY_ROOT,
  fromBase64url,
  type Hash,
  printCheckpoint,
  printSuccession,
  printVkey,
  type Signer,
  type Succession,
  signNote,
} from '@killick/sdk/core'
import { type CopyStatement, TupleWriter } from '../../database/copy.ts'
import type { Db } from '../../database/pool.ts'

export type SignedHead = { size: number; root: Hash; note: string }

/** The log's identity and key. It signs synchronously, because checkpoints are signed while the log is locked. */
export type LogKey = {
  origin: string
  vkey: string
  signCheckpoint(size: number, root: Hash): string
  signSuccession(places: Omit<Succession, 'origin'>): string
}

/** @param origin also the name of the key in signed notes: no white space, no "+" */
export function logKey(origin: string, signer: Signer & { sign(message: Uint8Array): Uint8Array }): LogKey {
  const publicKey = fromBase64url(signer.jwk.x)!
  return {
    origin,
    vkey: printVkey(origin, publicKey),
    signCheckpoint: (size, root) => signNote(printCheckpoint({ origin, size, root }), origin, publicKey, signer.sign),
    signSuccession: (places) => signNote(printSuccession({ origin, ...places }), origin, publicKey, signer.sign),
  }
}

type Row = { size: number; root: Buffer; note: string }

const toHead = (row: Row): SignedHead => ({ size: row.size, root: asHash(new Uint8Array(row.root)), note: row.note })

/** The newest checkpoint, or null while the log is empty. */
export async function readHead(db: Db): Promise<SignedHead | null> {
  const { rows } = await db.query<Row>('select size, root, note from checkpoints order by size desc limit 1')
  return rows[0] ? toHead(rows[0]) : null
}

export async function readCheckpoint(db: Db, size: number): Promise<SignedHead | null> {
  const { rows } = await db.query<Row>('select size, root, note from checkpoints where size = $1', [size])
  return rows[0] ? toHead(rows[0]) : null
}

/** Signed notes from a size on, smallest first. */
export async function readNotes(
  db: Db,
  { from, limit }: { from: number; limit: number },
): Promise<{ size: number; note: string }[]> {
  const sql = 'select size, note from checkpoints where size >= $1 order by size limit $2'
  return (await db.query<{ size: number; note: string }>(sql, [from, limit])).rows
}

/** For each log index, the first checkpoint that covers it, which its receipt has. */
export async function readCovering(db: Db, indices: readonly number[]): Promise<SignedHead[]> {
  const { rows } = await db.query<Row>(
    `select c.size, c.root, c.note from unnest($1::bigint[]) with ordinality as wanted (log_index, place)
     cross join lateral (select * from checkpoints where size > log_index order by size limit 1) c order by place`,
    [indices],
  )
  return rows.map(toHead)
}

/** The statement that stores a checkpoint. */
export function checkpointStatement({ size, root, note }: SignedHead): CopyStatement {
  const checkpoint = new TupleWriter(64 + note.length)
  checkpoint.begin(3)
  checkpoint.int8(size)
  checkpoint.bytes(root)
  checkpoint.bytes(Buffer.from(note, 'utf8'))
  return { sql: 'copy checkpoints (size, root, note) from stdin (format binary)', tuples: [checkpoint.done()] }
}

/** The head of a log without entries. */
export const EMPTY_HEAD: Omit<SignedHead, 'note'> = { size: 0, root: EMPTY_ROOT }
