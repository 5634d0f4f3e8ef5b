/**
 * Registrations in the log: events of the system stream, each alone in its batch. Each names the source's registration before it,
 * so the hash of the newest covers everything that was ever registered of the source.
 */

import { isDeepStrictEqual } from 'node:util'
import {
  equalBytes,
  type Hash,
  KillickError,
  nodePrimitives,
  type ParsedEvent,
  parseBatchHeader,
  parseEvent,
  parseRegistration,
  type Registration,
  Registry,
  type SourceRecord,
  SYSTEM,
} from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import { readLines } from '../packs/read-pack.ts'

/** One registration, and its place in the log. */
export type Registered = {
  registration: Registration
  logIndex: number
  leafHash: Hash
  /** The event and the header of its batch, as they were accepted. */
  event: ParsedEvent
  header: string
}

/**
 * The database does not hold registrations as they were accepted; the message says what, and of which source if that is known.
 */
export class RegistryAltered extends Error {
  override readonly name = 'RegistryAltered'
  readonly source: string | null

  constructor(source: string | null, message: string) {
    super(message)
    this.source = source
  }
}

/**
 * The event of a batch of the system stream, whole and signed; whose signature it is, is not checked.
 * @param source whose registry it concerns, if that is known
 * @throws RegistryAltered
 */
export function readSystemEvent(source: string | null, logIndex: number, header: string, token: string): ParsedEvent {
  const fail = (why: string): never => {
    throw new RegistryAltered(source, `log entry ${logIndex} ${why}`)
  }
  try {
    const { source: owner, stream, n, root } = parseBatchHeader(header)
    const event = parseEvent(token, nodePrimitives)
    const isOwn = owner === SYSTEM.source && stream === SYSTEM.stream && n === 1
    if (!isOwn || !equalBytes(event.leafHash, root)) fail('does not hold the event that its header stands for')
    if (event.signature === undefined) fail('is not signed')
    if (event.disclosures.length !== event.fieldCount) fail('is a registration of which a part is missing')
    return event
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    return fail(`cannot be read: ${error.code}`)
  }
}

/** @throws RegistryAltered if it is not a registration, or cannot be read */
export function parseRegistered(source: string | null, logIndex: number, header: string, token: string): Registered {
  const event = readSystemEvent(source, logIndex, header, token)
  const fail = (why: string): never => {
    throw new RegistryAltered(source, `log entry ${logIndex} ${why}`)
  }
  try {
    const registration = parseRegistration(event) ?? fail('is no registration')
    return { registration, logIndex, leafHash: event.leafHash, event, header }
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    return fail(`cannot be read: ${error.code}`)
  }
}

/** The registrations at these log indices, in order. @throws RegistryAltered */
export async function readRegistered(db: Db, source: string, places: readonly number[]): Promise<Registered[]> {
  const lines = await readSystemLines(db, source, places)
  return lines.map(({ place, header, token }) => parseRegistered(source, place, header, token))
}

/**
 * Headers and events of batches of the system stream, as they stand in the database.
 * @param source whose registry they concern
 * @throws RegistryAltered if one is not there
 */
export async function readSystemLines(
  db: Db,
  source: string,
  places: readonly number[],
): Promise<{ place: number; header: string; token: string }[]> {
  if (places.length === 0) return []
  const { rows } = await db.query<{ place: number; header: string | null; body: Buffer | null }>(
    `select place::float8 as place, b.header, p.body from unnest($1::bigint[]) as wanted (place)
     left join batches b on b.log_index = place left join packs p on p.first_event = b.first_event order by place`,
    [places],
  )
  return Promise.all(
    rows.map(async ({ place, header, body }) => {
      if (header === null || body === null) throw new RegistryAltered(source, `log entry ${place} is not there`)
      const line = await readLines(body, 0)
      return { place, header, token: line(0) }
    }),
  )
}

/** The source after these registrations, which must be all of its registrations. @throws RegistryAltered */
export function foldSource(source: string, all: readonly Registered[]): SourceRecord | undefined {
  const registry = new Registry()
  for (const { registration, logIndex, leafHash, event } of all) {
    if (registration.source !== source) throw new RegistryAltered(source, `log entry ${logIndex} is of another source`)
    const signedBy = event.signature!.kid
    // The commit knows the ledger's own registrations, which say whose signatures count.
    const fault = registry.apply({ registration, logIndex, leafHash, signedBy }, new Set([signedBy]))
    if (fault !== null) throw new RegistryAltered(source, `a registration before log entry ${logIndex} is missing`)
  }
  return registry.source(source)
}

const toDate = (ms: number | null) => (ms === null ? null : new Date(ms))

/** A table's rows as JSON, so that no value can fail the query, however it was altered. */
const ROWS = `
  select
    (select coalesce(json_agg(json_build_object('log_index', log_index, 'source', source, 'event_signatures', event_signatures,
       'decoys', decoys, 'max_age', max_age, 'max_ahead', max_ahead, 'heartbeat', heartbeat) order by log_index), '[]')
     from sources where source = any($1)) as sources,
    (select coalesce(json_agg(json_build_object('log_index', log_index, 'source', source, 'kid', kid, 'jwk', jwk,
       'not_before', extract(epoch from not_before) * 1000, 'not_after', extract(epoch from not_after) * 1000)
       order by log_index, kid), '[]')
     from source_keys where source = any($1)) as source_keys`

type TableRow = { log_index: number; source: string; [column: string]: unknown }
export type Rows = { sources: TableRow[]; source_keys: TableRow[] }

/** The rows of some sources. */
export async function readRows(db: Db, sources: readonly string[]): Promise<Rows> {
  const { rows } = await db.query<Rows>(ROWS, [sources])
  return rows[0]!
}

/** Sources with rows, except these; at most 100. */
export async function readOthers(db: Db, sources: readonly string[]): Promise<string[]> {
  const { rows } = await db.query<{ source: string }>(
    `select distinct source from (select source from sources union all select source from source_keys) s
     where source <> all($1) limit 100`,
    [sources],
  )
  return rows.map(({ source }) => source)
}

/** The rows that stand for registrations. */
function rowsOf(all: readonly Pick<Registered, 'registration' | 'logIndex'>[]): Rows {
  return {
    sources: all.map(({ registration: r, logIndex: log_index }) => ({
      ...{ log_index, source: r.source, event_signatures: r.eventSignatures },
      ...{ decoys: r.decoys, max_age: r.maxAge, max_ahead: r.maxAhead, heartbeat: r.heartbeat },
    })),
    source_keys: all.flatMap(({ registration: r, logIndex: log_index }) =>
      r.keys
        .map(({ kid, jwk, notBefore: not_before, notAfter: not_after }) => ({
          ...{ log_index, source: r.source, kid, jwk: { ...jwk }, not_before, not_after },
        }))
        .toSorted((a, b) => (a.kid < b.kid ? -1 : 1)),
    ),
  }
}

/** The faults of rows that should stand for these registrations, each a sentence that begins with a table or column. */
export function differences(
  all: readonly Pick<Registered, 'registration' | 'logIndex'>[],
  actual: Rows,
): { source: string; message: string }[] {
  const expected = rowsOf(all)
  return (['sources', 'source_keys'] as const).flatMap((table) => {
    const name = (row: TableRow) => `${row.log_index} ${row.kid ?? ''}`
    const has = new Map(actual[table].map((row) => [name(row), row]))
    const wants = new Map(expected[table].map((row) => [name(row), row]))
    const lost = expected[table].flatMap((row) => {
      const found = has.get(name(row))
      if (found === undefined)
        return [{ source: row.source, message: `${table}: there is no row for log entry ${row.log_index}` }]
      return Object.keys(row)
        .filter((column) => !isDeepStrictEqual(row[column], found[column]))
        .map((column) => ({
          source: row.source,
          message: `${table}.${column}: it is not what log entry ${row.log_index} says`,
        }))
    })
    const more = actual[table]
      .filter((row) => !wants.has(name(row)) || has.get(name(row)) !== row)
      .map((row) => ({ source: row.source, message: `${table}: a row that no registration stands for` }))
    return [...lost, ...more]
  })
}

/** Stores what a registration says, under the log index that it is about to get. */
export async function insertRegistration(db: Db, registration: Registration, logIndex: number): Promise<void> {
  const { source, eventSignatures, decoys, maxAge, maxAhead, heartbeat, keys } = registration
  await db.query(
    `insert into sources (log_index, source, event_signatures, decoys, max_age, max_ahead, heartbeat)
     values ($1, $2, $3, $4, $5, $6, $7)`,
    [logIndex, source, eventSignatures, decoys, maxAge, maxAhead, heartbeat],
  )
  for (const { kid, jwk, notBefore, notAfter } of keys) {
    await db.query(
      `insert into source_keys (log_index, source, kid, jwk, not_before, not_after) values ($1, $2, $3, $4, $5, $6)`,
      [logIndex, source, kid, jwk, toDate(notBefore), toDate(notAfter)],
    )
  }
}
