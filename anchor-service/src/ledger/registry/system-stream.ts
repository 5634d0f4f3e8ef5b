/** Reads the system stream, batch by batch, and what its events are about. Nothing is checked here. */
import { zstdDecompressSync } from 'node:zlib'
import { nodePrimitives, SYSTEM } from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'

/** How many batches of the system stream are read at a time. */
export const PAGE = 500

export type SystemRow = { seq: number; n: number; log_index: number; header: string; body: Buffer | null }

/** Reads a page of the system stream. Numbers are read as float8, so that no alteration of one can fail the query. */
export async function readPage(db: Db, from: number): Promise<SystemRow[]> {
  const { rows } = await db.query<SystemRow>(
    `select b.seq::float8 as seq, b.n, b.log_index::float8 as log_index, b.header, p.body
     from batches b left join packs p on p.first_event = b.first_event
     where b.source = $1 and b.stream = $2 and b.seq >= $3 order by b.seq limit ${PAGE}`,
    [SYSTEM.source, SYSTEM.stream, from],
  )
  return rows
}

// A header that is chained by hash to a signed one need not be parsed as strictly as at its acceptance, and there may be hundreds
// of thousands.
type Claims = {
  iss?: unknown
  stm?: unknown
  seq?: unknown
  n?: unknown
  prev?: unknown
  root?: unknown
  _sd?: unknown
}

export function payloadOf(jws: string): Claims | null {
  try {
    const claims: unknown = JSON.parse(Buffer.from(jws.split('.')[1] ?? '', 'base64url').toString())
    return typeof claims === 'object' && claims !== null ? claims : null
  } catch {
    return null
  }
}

/** The event in a pack that holds one, after the header of its batch. */
export function tokenOf(body: Buffer | null): string | null {
  try {
    const [, token] = zstdDecompressSync(body!, { maxOutputLength: 1024 * 1024 })
      .toString('latin1')
      .split('\n')
    return token ?? null
  } catch {
    return null
  }
}

/** The beginning of a disclosure of the field `action`: its salt and its name. */
const ACTION = /^\["[\w-]{22}","action",/

/** An event's action; null if it is not disclosed any more. */
export function actionOf(jws: string, disclosures: string): string | null {
  const digests = payloadOf(jws)?._sd
  for (const text of disclosures.split('~')) {
    const json = Buffer.from(text, 'base64url').toString()
    if (!ACTION.test(json) || !Array.isArray(digests) || !digests.includes(nodePrimitives.digest(text))) continue
    const value: unknown = JSON.parse(json)[2]
    if (typeof value === 'string') return value
  }
  return null
}
