// Nobody signs the columns by which events are found. The audit reports when one of them is not what the event says.
import { auditLedger, openApi } from '@killick/sdk/audit'
import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkColumns } from '../../../anchor-service/src/audit/columns.ts'
import { finished } from '../../../anchor-service/src/audit/outcome.ts'
import { openPool } from '../../../anchor-service/src/database/pool.ts'
import { alterToken, numberOf } from '../support/packs.ts'
import { call, READER, type TestService, testService } from '../support/service.ts'
import { recordSome, tamper, untilAudit } from './support/audits.ts'

let service: TestService
let pool: pg.Pool
let stream: string

beforeAll(async () => {
  service = await testService()
  pool = openPool(service.databaseUrl, true, 2)
  stream = (await recordSome(service, 3, 5)).stream
})
afterAll(async () => {
  await pool.end()
  await service.stop()
})

/** Audits as the service does, but without its thread, its pins and its chain. */
async function audit() {
  const pins = { logKeys: [], sourceKeys: [], logs: [], urls: [] }
  const result = await auditLedger(openApi(service.url, READER), pins, { own: [checkColumns(pool)] })
  return finished(result, { at: '', seconds: 0 })
}

/** Alters the database, audits it, and puts it back. @returns what the audit found */
async function findingsOf(table: 'packs' | 'pack_keys' | 'batches', change: string) {
  await tamper(service, `create table kept as select * from ${table}; ${change}`)
  const found = await audit()
  await tamper(service, `delete from ${table}; insert into ${table} select * from kept; drop table kept`)
  expect(found.outcome).toBe('fail')
  return found
}

test('a ledger that nobody altered passes', async () => {
  expect(await audit()).toMatchObject({
    outcome: 'undecided',
    findings: [
      { check: 'anchors.log', reason: 'not_anchored' },
      { check: 'anchors.chain', reason: 'not_asked' },
    ],
  })
})

// The second batch, seq 5 to 9.
const batch = `(select log_index from batches where source = 'billing' and seq = 5)`
const pack = `log_index = ${batch}`

const keyRow = `first_event = (select first_event from batches where log_index = ${batch})`

/** SQL that changes the k-th key of a pack; those of the source and the stream come first, then KEYS for each event. */
const key = (k: number, value: string) => `keys = overlay(keys placing '\\x${value}' from ${8 * k - 7})`
async function keptKeys() {
  await tamper(service, 'create table kept_keys as select * from pack_keys')
  const restore = () =>
    tamper(service, 'delete from pack_keys; insert into pack_keys select * from kept_keys; drop table kept_keys')
  return { restore }
}

const NOTHING = '0'.repeat(16)
const KEYS = 6
/** The first key of its third event. */
const THIRD = 3 + 2 * KEYS

test.each([
  ['ids', 7, `ids = overlay(ids placing sha256('') from 33 for 16)`],
  ['ids', 9, `ids = substr(ids, 1, 79)`],
  ['times', 7, `times = set_byte(times, 17, get_byte(times, 17) # 1)`],
  ['times', 9, `times = substr(times, 1, 29)`],
  ['times', 9, `times = times || times`],
  ['ids', 9, `ids = ids || ids`],
  ['log_index', 5, `log_index = log_index - 1`],
  ['log_index', 5, `log_index = 9223372036854775807`],
  ['pos', 5, `pos = pos + 1`],
  ['n', 5, `n = n - 1`],
  ['n', 5, `n = n + 1`],
  ['first_event', 5, `first_event = 1000000`],
  ['first_event', 5, `first_event = first_event + 1`],
])('packs.%s, at %i: %s', async (column, seq, change) => {
  const { first, findings } = await findingsOf('packs', `update packs set ${change} where ${pack}`)
  expect(first).toMatchObject({ source: 'billing', stream, seq })
  const { detail } = findings.find(({ check }) => check === 'columns')!
  expect(detail).toMatch(new RegExp(`^packs\\.${column}: `))
  // Nothing else is wrong, unless events have left their places.
  if (column !== 'first_event') expect(findings).toHaveLength(1)
})

test.each([
  ['keys', 7, key(THIRD, NOTHING)],
  ['keys', 7, key(THIRD + 1, NOTHING)],
  ['keys', 7, key(THIRD + KEYS - 1, '7fffffffffffffff')],
  ['keys', 5, key(1, NOTHING)],
  ['keys', 5, key(2, NOTHING)],
  ['keys', 9, `keys = substr(keys, 1, length(keys) - 8)`],
  ['keys', 9, `keys = keys || keys`],
  ['key_counts', 7, `key_counts = set_byte(key_counts, 5, 4)`],
  ['key_counts', 9, `key_counts = substr(key_counts, 1, 9)`],
  ['key_counts', 9, `key_counts = key_counts || key_counts`],
  ['scheme', 5, 'scheme = 99'],
  ['first_event', 5, `first_event = 1000000`],
])('pack_keys.%s, at %i: %s', async (column, seq, change) => {
  const { first, findings } = await findingsOf('pack_keys', `update pack_keys set ${change} where ${keyRow}`)
  expect(first).toMatchObject({ source: 'billing', stream, seq })
  expect(findings).toHaveLength(1)
  expect(findings[0]).toMatchObject({
    check: 'columns',
    detail: expect.stringMatching(new RegExp(`^pack_keys\\.${column}: `)),
  })
})

test('pack_keys: a deleted row and an added row are named', async () => {
  const gone = await findingsOf('pack_keys', `delete from pack_keys where ${keyRow}`)
  expect(gone.first).toMatchObject({ source: 'billing', stream, seq: 5 })
  expect(gone.findings[0]).toMatchObject({
    ...{ check: 'columns', reason: 'absent' },
    detail: expect.stringMatching(/^pack_keys\.first_event: no row has/),
  })
  const more = await findingsOf(
    'pack_keys',
    `insert into pack_keys select first_event + 1, scheme, keys, key_counts from pack_keys where ${keyRow}`,
  )
  expect(more.first).toMatchObject({ source: 'billing', stream, seq: 6 })
  expect(more.findings[0]).toMatchObject({
    ...{ check: 'columns', reason: 'untold' },
    detail: expect.stringMatching(/^pack_keys\.first_event: no pack begins at/),
  })
})

test('packs.frame_ends: anything but where frames end is found, and hides no event', async () => {
  const { stream } = await recordSome(service, 1, 70)
  const { rows } = await pool.query<{ id: string }>(
    `select encode(substr(ids, 16 * i + 1, 16), 'hex')::uuid as id
     from packs join batches using (log_index), unnest(array[0, 31, 32, 69]) i where stream = $1`,
    [stream],
  )
  const proofs = () => Promise.all(rows.map(async ({ id }) => (await call(service.url, `/v1/proofs/${id}`)).text))
  const before = await proofs()
  for (const [i, text] of before.entries()) expect(text, rows[i]!.id).toMatch(/"killick-proof\/1"/)
  await tamper(service, 'create table kept as select * from packs')
  for (const ends of [
    'array[frame_ends[1], frame_ends[1], frame_ends[3]]',
    'array[frame_ends[1] + 1, frame_ends[2], frame_ends[3]]',
    'array[frame_ends[1], frame_ends[2], frame_ends[3] - 1]',
    'array[frame_ends[1], frame_ends[2], frame_ends[3], frame_ends[3]]',
    'array[frame_ends[1], frame_ends[3]]',
    'array[frame_ends[3]]',
    'array[frame_ends[1], null, frame_ends[3]]',
    'array[frame_ends]',
    `('[0:2]=' || frame_ends::text)::int[]`,
    'array[-2147483648, 2147483647, frame_ends[3]]',
  ]) {
    await tamper(service, `update packs set frame_ends = ${ends} where cardinality(frame_ends) > 0`)
    const { findings } = await audit()
    expect(findings, ends).toEqual([
      { check: 'columns', reason: 'different', detail: expect.stringMatching(/^packs\.frame_ends: /) },
    ])
    expect(await proofs(), ends).toEqual(before)
    await tamper(service, 'delete from packs; insert into packs select * from kept')
  }
  await tamper(service, `update packs set frame_ends = '{}'`)
  expect((await audit()).findings.map(({ check }) => check)).toEqual(['anchors.log', 'anchors.chain'])
  expect(await proofs()).toEqual(before)
  await tamper(service, 'delete from packs; insert into packs select * from kept; drop table kept')
})

test('packs.first_event: a pack that belongs to no batch is named', async () => {
  const { first, findings } = await findingsOf(
    'packs',
    `insert into packs select 1000000, log_index, pos, n, ids, times, body from packs where ${pack}`,
  )
  expect(first).toBeNull()
  expect(findings).toEqual([
    {
      ...{ check: 'columns', reason: 'untold' },
      detail: 'packs.first_event: the events from 1000000 on belong to no batch',
    },
  ])
})

test('in a batch with an unreadable event, the other events are still compared with their columns', async () => {
  await tamper(service, 'create table kept as select * from packs')
  const third = await numberOf(service.databaseUrl, 'billing', 7)
  await alterToken(service.databaseUrl, third, () => '')
  const keys = await keptKeys()
  await tamper(service, `update pack_keys set ${key(THIRD + KEYS + 2, NOTHING)} where ${keyRow}`)
  const { findings } = await audit()
  await tamper(service, 'delete from packs; insert into packs select * from kept; drop table kept')
  await keys.restore()
  const { detail } = findings.find(({ check }) => check === 'columns')!
  expect(detail).toMatch(/^pack_keys\.keys: .* 8\)/)
})

test.each([
  ['first_event', `first_event = first_event + 1`],
  ['first_event', `first_event = 1000000`],
  ['first_event', `first_event = 9223372036854775807`],
  ['earliest', `earliest = latest + interval '1 second', latest = latest + interval '1 second'`],
  ['latest', `latest = earliest - interval '1 second', earliest = earliest - interval '1 second'`],
  ['source', `source = 'payroll'`],
  ['stream', `stream = 'other'`],
  ['seq', `seq = seq + 1000`],
  ['leaf_hash', `leaf_hash = sha256(leaf_hash)`],
  ['event_leaves', `event_leaves = set_byte(event_leaves, 0, get_byte(event_leaves, 0) # 1)`],
])('batches.%s: %s', async (column, change) => {
  const { first, findings } = await findingsOf('batches', `update batches set ${change} where log_index = ${batch}`)
  expect(first).toMatchObject({ source: 'billing', stream, seq: 5 })
  const { detail } = findings.find(({ check }) => check === 'columns')!
  if (column === 'latest') expect(detail).toMatch(/^batches\.(earliest|latest): /)
  else expect(detail).toMatch(new RegExp(`^batches\\.${column}: `))
})

test('the service audits the columns in the background, and reports places but no contents of events', async () => {
  await tamper(service, `update pack_keys set ${key(THIRD + 3, NOTHING)} where ${keyRow}`)
  const auditing = await testService({ KILLICK_AUDIT_INTERVAL_MS: '100' }, service)
  const { last } = await untilAudit(auditing, ({ last }) => last !== null)
  expect(last).toMatchObject({ outcome: 'fail', first: { source: 'billing', stream, seq: 7 } })
  const detail = expect.stringMatching(/^pack_keys\.keys: /)
  expect(last!.findings).toEqual([{ check: 'columns', reason: 'different', detail }])
  // The root is any 43 characters, of which three may read like an actor.
  expect(JSON.stringify({ ...last, root: '' })).not.toMatch(/u-\d/)
  await auditing.close()
})
