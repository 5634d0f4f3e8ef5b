// A long ledger at once, for reading only: rows of batches and events as intake writes them, by SQL. Their signatures, hashes
// and tree are not made, so nothing in it can be proven; what readers search, list and page through is all there.
import pg from 'pg'
import { draftEvent, sealEvent } from '../../sdk/src/client/capture.ts'
import { saltText, uuidv7 } from '../../sdk/src/client/random.ts'

/** Events of a batch, and batches of one statement. */
const BATCH = 100
const CHUNK = 2_500
const PARTITION = 4_194_304

export const SOURCES = 20
export const STREAMS = 10
/** The first event was recorded so long ago, the last one now. */
export const AGE_MS = 365 * 86_400_000

/** @returns numbers of the first and the one after the last event that were added */
export async function fillLedger(databaseUrl: string, events: number): Promise<{ first: number; end: number }> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    await client.query(
      'set search_path = killick; set session_replication_role = replica; set synchronous_commit = off',
    )
    await client.query('create temp table tokens (k int primary key, jws text, disclosures text)')
    await client.query('insert into tokens select * from unnest($1::int[], $2::text[], $3::text[])', await someTokens())
    const { rows } = await client.query<{ log_index: string; first: string }>(
      'select max(log_index) + 1 as log_index, max(first_event + n) as first from batches',
    )
    const [index, first] = [Number(rows[0]!.log_index), Number(rows[0]!.first)]
    const end = first + Math.ceil(events / BATCH) * BATCH
    for (let p = 0; p <= end; p += PARTITION) await client.query('select extend_events($1)', [p])
    await client.query('select extend_events($1)', [end])
    const batches = (end - first) / BATCH
    const start = Date.now() - AGE_MS
    for (let b = 0; b < batches; b += CHUNK) {
      const chunk = [index, first, b, Math.min(b + CHUNK, batches) - 1, start, AGE_MS / (end - first)]
      await client.query(BATCHES_SQL, chunk)
      await client.query(EVENTS_SQL, chunk)
    }
    await client.query('vacuum (analyze) batches')
    await client.query('vacuum (analyze) events')
    return { first, end }
  } finally {
    await client.end()
  }
}

/** The least that an event says, of many kinds; stored again and again. */
async function someTokens(): Promise<[number[], string[], string[]]> {
  const tokens: string[] = []
  for (let i = 0; i < 1000; i++) {
    const input = {
      action: ACTIONS[i % 5]!,
      actor: { type: 'user', id: `u-${i}` },
      targets: [{ type: 'invoice', id: `inv-${i}` }],
    }
    const draft = draftEvent(input, { id: uuidv7(Date.now()), time: Date.now(), salt: saltText })
    const position = { source: 'bench-00', stream: 'stream-0', seq: i, prev: i === 0 ? null : 'A'.repeat(43) }
    tokens.push((await sealEvent(draft, position, null)).token)
  }
  const cuts = tokens.map((token) => token.indexOf('~'))
  return [
    tokens.map((_, i) => i),
    tokens.map((t, i) => t.slice(0, cuts[i])),
    tokens.map((t, i) => t.slice(cuts[i]! + 1)),
  ]
}

const ACTIONS = ['invoice.approve', 'invoice.create', 'user.login', 'user.update', 'report.export']

/** $1 log index and $2 number of the first, $3 to $4 the batches of this chunk, $5 ms at the first event and $6 between two. */
const TIME = (i: string) => `to_timestamp(($5::float8 + $6::float8 * (${i})) / 1000)`
const SOURCE = `'bench-' || lpad((b % ${SOURCES})::text, 2, '0')`
const BATCHES_SQL = `
  insert into batches (log_index, source, stream, seq, n, header, leaf_hash, event_leaves, first_event, earliest, latest, accepted_at)
  select $1::bigint + b, ${SOURCE}, 'stream-' || b / ${SOURCES} % ${STREAMS}, b / ${SOURCES * STREAMS} * ${BATCH}, ${BATCH}, repeat('h', 600),
         sha256(b::text::bytea), decode(repeat('00', ${32 * BATCH}), 'hex'), $2::bigint + b * ${BATCH},
         ${TIME(`b * ${BATCH}`)}, ${TIME(`b * ${BATCH} + ${BATCH - 1}`)}, ${TIME(`b * ${BATCH} + ${BATCH}`)}
  from generate_series($3::bigint, $4::bigint) b`
// One actor in 100,000 is rare, the others come again every 997 events; every event has a target of its own and a shared one.
const EVENTS_SQL = `
  insert into events (number, log_index, pos, id, leaf_hash, source, recorded_at, action, actor, targets, jws, disclosures)
  select $2::bigint + i, $1::bigint + b, i % ${BATCH}, gen_random_uuid(), sha256(i::text::bytea), ${SOURCE}, ${TIME('i')},
         (array['${ACTIONS.join("','")}'])[1 + i % 5], case when i % 100000 = 0 then 'rare' else 'u-' || i % 997 end,
         array['inv-' || i, 'shared-' || i % 50], jws, disclosures
  from generate_series($3::bigint, $4::bigint) b cross join generate_series(b * ${BATCH}, b * ${BATCH} + ${BATCH - 1}) i
  join tokens on k = i % 1000`
