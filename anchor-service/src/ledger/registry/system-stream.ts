/**
 * Reads the system stream, batch by batch, and checks that each follows the one before it. Who signed is not checked here: each
 * batch names the one before it, so one signature at the end covers them all.
 */
import { zstdDecompressSync } from 'node:zlib'
import { type Hash, nodePrimitives, printHash, SYSTEM } from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import { type Catalogued, parseCatalogued } from './catalogues.ts'
import { parseRegistered, type Registered, RegistryAltered } from './registrations.ts'

/** How many batches of the system stream are read at a time. */
export const PAGE = 500

type SystemRow = { seq: number; n: number; log_index: number; header: string; body: Buffer | null }

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

/** Where the walk along the system stream stands: behind this batch. `seq` is the next event's. */
type StreamEnd = { seq: number; batch: Hash | null; logIndex: number; header: string }
export const BEGINNING: StreamEnd = { seq: 0, batch: null, logIndex: -1, header: '' }

/**
 * Checks the next batch of the system stream: it holds one event, names the batch before it, and the event is the one accepted.
 * @returns the end after it and, if the event registers something, that, whose signatures are not checked yet
 * @throws RegistryAltered
 */
export function follow(
  end: StreamEnd,
  { seq, n, log_index, header, body }: SystemRow,
): { end: StreamEnd; registered: Registered | null; catalogued: Catalogued | null } {
  const fail = (why: string): never => {
    throw new RegistryAltered(null, `event ${end.seq} of the system stream, log entry ${log_index}: ${why}`)
  }
  const claims = payloadOf(header) ?? fail('its header cannot be read')
  const prev = end.batch === null ? undefined : printHash(end.batch)
  const isOwn = claims.iss === SYSTEM.source && claims.stm === SYSTEM.stream && claims.n === 1 && n === 1
  if (!isOwn || seq !== end.seq || claims.seq !== end.seq || claims.prev !== prev || log_index <= end.logIndex)
    fail('it does not follow the one before it')
  const token = tokenOf(body) ?? fail('it is not there')
  const jws = token.slice(0, token.indexOf('~'))
  if (printHash(nodePrimitives.leafHash(jws)) !== claims.root) fail('it is not the event that was accepted')
  const action = actionOf(jws, token.slice(jws.length)) ?? fail('its action is missing')
  const isRegistration = action === 'source.register' || action === 'source.change'
  return {
    end: { seq: end.seq + 1, batch: nodePrimitives.leafHash(header), logIndex: log_index, header },
    registered: isRegistration ? parseRegistered(null, log_index, header, token) : null,
    catalogued: action === 'source.catalogue' ? parseCatalogued(log_index, header, token) : null,
  }
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

function payloadOf(jws: string): Claims | null {
  try {
    const claims: unknown = JSON.parse(Buffer.from(jws.split('.')[1] ?? '', 'base64url').toString())
    return typeof claims === 'object' && claims !== null ? claims : null
  } catch {
    return null
  }
}

/** The event in a pack that holds one, after the header of its batch. */
function tokenOf(body: Buffer | null): string | null {
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
function actionOf(jws: string, disclosures: string): string | null {
  const digests = payloadOf(jws)?._sd
  for (const text of disclosures.split('~')) {
    const json = Buffer.from(text, 'base64url').toString()
    if (!ACTION.test(json) || !Array.isArray(digests) || !digests.includes(nodePrimitives.digest(text))) continue
    const value: unknown = JSON.parse(json)[2]
    if (typeof value === 'string') return value
  }
  return null
}
