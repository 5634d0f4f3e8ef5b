import { type PublicJwk, thumbprint } from '@killick/sdk'
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

/** Registered sources by name, with the newest word on each key; all of them, or one. */
export async function readSources(db: Db, source?: string): Promise<Source[]> {
  const { rows } = await db.query<Row>(
    `with settings as (select distinct on (source) source, event_signatures from sources
                       where $1::text is null or source = $1 order by source, id desc)
     select * from (select distinct on (source, kid) source, event_signatures, kid, jwk, not_before, not_after, k.id
                    from settings join source_keys k using (source) order by source, kid, k.id desc) newest
     order by source, id`,
    [source ?? null],
  )
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
