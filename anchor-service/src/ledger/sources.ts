import { KillickError, type PublicJwk, thumbprint } from '@killick/sdk'
import { Refusal, type ServiceCode } from '../errors.ts'
import type { Db } from './tiles.ts'

/** A key of a source and when the service takes its signatures, by the service's own clock; null: without limit. */
export type SourceKey = { kid: string; jwk: PublicJwk; notBefore: Date | null; notAfter: Date | null }
export type EventSignatures = 'required' | 'optional'
export type Source = { source: string; eventSignatures: EventSignatures; keys: SourceKey[] }

type Row = {
  source: string
  event_signatures: EventSignatures
  kid: string
  jwk: PublicJwk
  not_before: Date | null
  not_after: Date | null
}

/** With the newest word on the source and on each of its keys; `wanted` names the sources. */
const NEWEST = `select s.source, s.event_signatures, k.kid, k.jwk, k.not_before, k.not_after from wanted w
  cross join lateral (select source, event_signatures from sources where source = w.source order by id desc limit 1) s
  cross join lateral (select distinct on (kid) * from source_keys where source = w.source order by kid, id desc) k
  order by w.source, k.id`

/** A registered source with its keys; undefined where there is none of this name. */
export async function readSource(db: Db, source: string): Promise<Source | undefined> {
  const { rows } = await db.query<Row>(`with wanted as (select $1::text as source) ${NEWEST}`, [source])
  return toSources(rows)[0]
}

/** A source as it was registered when the registry had this version, which grows with each registration. */
export type Registered = { source: Source | undefined; registry: number }

export async function readRegistered(db: Db, source: string): Promise<Registered> {
  const { rows } = await db.query<Row & { registry: number }>(
    `with wanted as (select $1::text as source)
     select registry, newest.* from (select coalesce(max(id), 0)::float8 as registry from sources) r left join (${NEWEST}) newest on true`,
    [source],
  )
  const registry = rows[0]!.registry
  return { source: rows[0]!.source === null ? undefined : toSources(rows)[0], registry }
}

/** How a batch is signed: keys by kid, each with the first line it signed, and the first line of an event that is not signed. */
export type Signed = { readonly kids: ReadonlyMap<string, number>; readonly unsignedLine: number | null }

/** Why a source may not sign so at a time (ms); null: it may. */
export function refusalOf(
  source: Source | undefined,
  { kids, unsignedLine }: Signed,
  now: number,
): KillickError | Refusal | null {
  for (const [kid, line] of kids) {
    const key = source?.keys.find((known) => known.kid === kid)
    if (key === undefined) return new KillickError('key_unknown', undefined, { line, kid })
    const { notBefore, notAfter } = key
    const refuse = (code: ServiceCode) => new Refusal(code, undefined, { line, kid, notBefore, notAfter })
    if (notBefore !== null && now < notBefore.getTime()) return refuse('key_not_yet_valid')
    if (notAfter !== null && now >= notAfter.getTime()) return refuse('key_expired')
  }
  if (unsignedLine !== null && source!.eventSignatures !== 'optional')
    return new Refusal('event_signature_required', undefined, { line: unsignedLine })
  return null
}

/** Registered sources by name; `after` is the last source of the page before. Costs as much as the page is long. */
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

function toSources(rows: readonly Row[]): Source[] {
  const sources = new Map<string, Source>()
  for (const row of rows) {
    const known = sources.get(row.source) ?? { source: row.source, eventSignatures: row.event_signatures, keys: [] }
    known.keys.push({ kid: row.kid, jwk: row.jwk, notBefore: row.not_before, notAfter: row.not_after })
    sources.set(row.source, known)
  }
  return [...sources.values()]
}

export type Registration = {
  source: string
  eventSignatures: EventSignatures
  keys: { jwk: PublicJwk; notBefore: Date | null; notAfter: Date | null }[]
}

/** Registers a source, or adds to it: of each key, and of the setting, the newest row counts. */
export async function insertSource(db: Db, { source, eventSignatures, keys }: Registration): Promise<void> {
  await db.query('insert into sources (source, event_signatures) values ($1, $2)', [source, eventSignatures])
  for (const { jwk, notBefore, notAfter } of keys) {
    await db.query('insert into source_keys (source, kid, jwk, not_before, not_after) values ($1, $2, $3, $4, $5)', [
      source,
      thumbprint(jwk),
      jwk,
      notBefore,
      notAfter,
    ])
  }
}

/** Keys of a source by kid, whatever their validity: for proofs of what they once signed. */
export async function readKeys(db: Db, source: string, kids: readonly string[]): Promise<Map<string, PublicJwk>> {
  const { rows } = await db.query<{ kid: string; jwk: PublicJwk }>(
    'select distinct kid, jwk from source_keys where source = $1 and kid = any($2)',
    [source, kids],
  )
  return new Map(rows.map((row) => [row.kid, row.jwk]))
}
