// Nobody signs the columns by which events are found: the audit tells when one of them is not what the event says.
import { auditLedger, openApi } from '@killick/sdk/audit'
import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkColumns } from '../../../anchor-service/src/audit/columns.ts'
import { finished } from '../../../anchor-service/src/audit/outcome.ts'
import { openPool } from '../../../anchor-service/src/ledger/pool.ts'
import { READER, type TestService, testService } from '../support/service.ts'
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

/** As the service audits, but for its thread, its pins and its chain. */
async function audit() {
  const pins = { logKeys: [], sourceKeys: [], logs: [], urls: [] }
  const result = await auditLedger(openApi(service.url, READER), pins, { own: checkColumns(pool) })
  return finished(result, { at: '', seconds: 0 })
}

/** Alters the database, audits, and puts it back. @returns what the audit found */
async function findingsOf(table: 'events' | 'batches', change: string) {
  await tamper(service, `create table kept as select * from ${table}; ${change}`)
  const found = await audit()
  await tamper(service, `delete from ${table}; insert into ${table} select * from kept; drop table kept`)
  expect(found.outcome).toBe('fail')
  return found
}

test('a ledger that nobody altered passes', async () => {
  expect(await audit()).toMatchObject({
    outcome: 'undecided',
    findings: [{ check: 'anchors.log' }, { check: 'anchors.chain' }],
  })
})

// The third event of the second batch, seq 7.
const batch = `(select log_index from batches where source = 'billing' and seq = 5)`
const event = `log_index = ${batch} and pos = 2`

test.each([
  ['id', `id = gen_random_uuid()`],
  ['leaf_hash', `leaf_hash = sha256(leaf_hash)`],
  ['source', `source = 'payroll'`],
  ['recorded_at', `recorded_at = recorded_at + interval '1 microsecond'`],
  ['recorded_at', `recorded_at = 'infinity'`],
  ['action', `action = 'invoice.view'`],
  ['action', `action = null`],
  ['actor', `actor = 'u-9'`],
  ['actor', `actor = null`],
  ['targets', `targets = '{}'`],
  ['targets', `targets = targets || targets`],
  ['log_index', `log_index = log_index - 1`],
  ['log_index', `log_index = 9223372036854775807`],
  ['pos', `pos = pos + 1`],
  ['number', `number = 1000000`],
])('events.%s: %s', async (column, change) => {
  const { first, findings } = await findingsOf('events', `update events set ${change} where ${event}`)
  expect(first).toMatchObject({ source: 'billing', stream, seq: 7 })
  const { detail } = findings.find(({ check }) => check === 'columns')!
  expect(detail).toMatch(new RegExp(`^events\\.${column}: `))
  // Nothing else is wrong, but where an event has left its place.
  if (column !== 'number') expect(findings).toHaveLength(1)
})

test('events.number: two events change places, in order as in all else', async () => {
  const { first, findings } = await findingsOf(
    'events',
    `update events set number = number + 1000000 where ${event};
     update events set number = number - 1 where log_index = ${batch} and pos = 3;
     update events set number = number - 999999 where ${event}`,
  )
  expect(first).toMatchObject({ source: 'billing', stream, seq: 7 })
  expect(findings).toContainEqual({ check: 'columns', detail: expect.stringMatching(/^events\.number: /) })
})

test('events.number: one more, that no batch has', async () => {
  const { first, findings } = await findingsOf(
    'events',
    `insert into events select 1000000, log_index, pos, id, leaf_hash, source, recorded_at, 'invoice.forged', actor, targets, jws,
       disclosures from events where ${event}`,
  )
  expect(first).toBeNull()
  expect(findings).toEqual([{ check: 'columns', detail: 'events.number: the event 1000000 belongs to no batch' }])
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

test('the service audits so in the background, and tells where, but not what events say', async () => {
  await tamper(service, `update events set actor = 'u-9' where ${event}`)
  const auditing = await testService({ KILLICK_AUDIT_INTERVAL_MS: '100' }, service)
  const { last } = await untilAudit(auditing, ({ last }) => last !== null)
  expect(last).toMatchObject({ outcome: 'fail', first: { source: 'billing', stream, seq: 7 } })
  expect(last!.findings).toEqual([{ check: 'columns', detail: expect.stringMatching(/^events\.actor: /) }])
  expect(JSON.stringify(last)).not.toMatch(/u-\d/)
  await auditing.close()
})
