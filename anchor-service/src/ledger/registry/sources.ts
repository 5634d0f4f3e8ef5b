import { KillickError, type PublicJwk, type SourceRecord, type TimeAt } from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import { Refusal, type ServiceCode } from '../../errors.ts'
import type { Demands } from '../packs/checked-batch.ts'

/** A key of a source, and the period in which the service, by its own clock, accepts its signatures; null: no limit. */
export type SourceKey = {
  kid: string
  jwk: PublicJwk
  notBefore: Date | null
  notAfter: Date | null
  /** Log index of the event that first registered it. */
  logIndex: number
}
export type EventSignatures = 'required' | 'optional'

export type Settings = {
  eventSignatures: EventSignatures
  /** Whether events may hold digests without a disclosure. */
  decoys: boolean
  /** How far behind and ahead of the service's clock events may have been recorded, in seconds; null: no bound. */
  maxAge: number | null
  maxAhead: number | null
  /** How often an event is recorded in each stream that has not ended, in seconds; null: it promises nothing. */
  heartbeat: number | null
}

/** A source as the tables have it; `logIndex` is the log index of this registration. */
export type Source = Settings & { source: string; logIndex: number; keys: SourceKey[] }

/** The refusal of a key that is not registered: it says whether the source is, and what to do. */
export function keyUnknown(name: string, source: SourceRecord | undefined, kid: string, line: number): KillickError {
  const unknown = source === undefined ? 'source' : 'key'
  const what =
    unknown === 'source'
      ? `The source "${name}" is not registered. Register it together with its key`
      : `The source "${name}" is registered, but not with the key ${kid}. Add the key`
  const command = `killick register --source ${name} --key <file>`
  return new KillickError('key_unknown', `${what}: ${command}`, { line, kid, source: name, unknown })
}

/** Why the source of this name may not send such a batch at a time (ms); null: it may. */
export function refusalOf(
  name: string,
  source: SourceRecord | undefined,
  demands: Demands,
  now: number,
): KillickError | Refusal | null {
  for (const [kid, line] of demands.kids) {
    const key = source?.keys.get(kid)
    if (key === undefined) return keyUnknown(name, source, kid, line)
    const { notBefore, notAfter } = key
    const validity = { notBefore: toDate(notBefore), notAfter: toDate(notAfter) }
    const refuse = (code: ServiceCode) => new Refusal(code, undefined, { line, kid, ...validity })
    if (notBefore !== null && now < notBefore) return refuse('key_not_yet_valid')
    if (notAfter !== null && now >= notAfter) return refuse('key_expired')
  }
  const { eventSignatures, decoys, maxAge, maxAhead } = source!
  const { unsignedLine, hiddenLine, earliest, latest } = demands
  if (unsignedLine !== null && eventSignatures !== 'optional')
    return new Refusal('event_signature_required', undefined, { line: unsignedLine })
  if (hiddenLine !== null && !decoys)
    return new KillickError('event_incomplete', 'The event has a digest that it does not disclose', {
      line: hiddenLine,
    })
  const outside = ({ line }: TimeAt) => new Refusal('event_time_refused', undefined, { line, maxAge, maxAhead })
  if (maxAge !== null && now - earliest.time > 1000 * maxAge) return outside(earliest)
  if (maxAhead !== null && latest.time - now > 1000 * maxAhead) return outside(latest)
  return null
}

const toDate = (ms: number | null) => (ms === null ? null : new Date(ms))

type Row = {
  source: string
  event_signatures: EventSignatures
  decoys: boolean
  max_age: number | null
  max_ahead: number | null
  heartbeat: number | null
  log_index: number
  kid: string
  jwk: PublicJwk
  not_before: Date | null
  not_after: Date | null
  registered: number
}

/** The newest row of each source and of each of its keys; `wanted` names the sources. */
const NEWEST = `select s.source, s.event_signatures, s.decoys, s.max_age, s.max_ahead, s.heartbeat, s.log_index,
    k.kid, k.jwk, k.not_before, k.not_after, k.registered
  from wanted w
  cross join lateral (select * from sources where source = w.source order by log_index desc limit 1) s
  cross join lateral (
    select distinct on (kid) *, min(log_index) over (partition by kid) as registered
    from source_keys where source = w.source order by kid, log_index desc) k
  order by w.source, k.registered, k.kid`

/**
 * Registered sources as the tables have them, by name; `after` is the last of the page before. The cost depends on the page only.
 */
export async function readSources(
  db: Db,
  page: { limit: number; after?: string | undefined },
): Promise<{ sources: Source[]; next: string | null }> {
  const { rows } = await db.query<Row>(
    `with recursive names as (
       (select source from sources where source > $1 order by source limit 1)
       union all
       select next.source from names n cross join lateral (
         select source from sources where source > n.source order by source limit 1) next),
     wanted as (select source from names limit $2)
     ${NEWEST}`,
    [page.after ?? '', page.limit + 1],
  )
  const sources = toSources(rows)
  const shown = sources.slice(0, page.limit)
  return { sources: shown, next: sources.length > page.limit ? shown.at(-1)!.source : null }
}

/** One registered source as the tables have it; undefined if there is none of this name. */
export async function readSource(db: Db, source: string): Promise<Source | undefined> {
  const { rows } = await db.query<Row>(`with wanted as (select $1::text as source) ${NEWEST}`, [source])
  return toSources(rows)[0]
}

function toSources(rows: readonly Row[]): Source[] {
  const sources = new Map<string, Source>()
  for (const row of rows) {
    const known = sources.get(row.source) ?? {
      ...{ source: row.source, eventSignatures: row.event_signatures, decoys: row.decoys },
      ...{ maxAge: row.max_age, maxAhead: row.max_ahead, heartbeat: row.heartbeat, logIndex: row.log_index, keys: [] },
    }
    const { kid, jwk, not_before: notBefore, not_after: notAfter, registered: logIndex } = row
    known.keys.push({ kid, jwk, notBefore, notAfter, logIndex })
    sources.set(row.source, known)
  }
  return [...sources.values()]
}

/** Keys of a source by kid as the tables have them, whatever their validity. */
export async function readKeys(db: Db, source: string, kids: readonly string[]): Promise<Map<string, PublicJwk>> {
  const { rows } = await db.query<{ kid: string; jwk: PublicJwk }>(
    'select distinct kid, jwk from source_keys where source = $1 and kid = any($2)',
    [source, kids],
  )
  return new Map(rows.map((row) => [row.kid, row.jwk]))
}

/** When a key of a source may be used, ms, by its newest row; null: it has none. */
export async function readPeriod(
  db: Db,
  source: string,
  kid: string,
): Promise<{ notBefore: number | null; notAfter: number | null } | null> {
  const { rows } = await db.query<Pick<Row, 'not_before' | 'not_after'>>(
    'select not_before, not_after from source_keys where source = $1 and kid = $2 order by log_index desc limit 1',
    [source, kid],
  )
  const [row] = rows
  return row === undefined ? null : { notBefore: toMs(row.not_before), notAfter: toMs(row.not_after) }
}

const toMs = (date: Date | null) => (date === null ? null : Number(date))
