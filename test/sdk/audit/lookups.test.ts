// An auditor from outside looks events up; whoever owns the database cannot keep one from readers unseen.
import { readFile } from 'node:fs/promises'
import { auditLedger, lookUp, openApi } from '@killick/sdk/audit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { recordSome, tamper } from '../../anchor-service/audit/support/audits.ts'
import { READER, type TestService, testService } from '../../anchor-service/support/service.ts'

let service: TestService
let stream: string

beforeAll(async () => {
  service = await testService()
  stream = (await recordSome(service, 2, 4)).stream
})
afterAll(() => service.stop())

async function audit(sample: number) {
  const api = openApi(service.url, READER)
  const pins = { logKeys: [], sourceKeys: [], logs: [], urls: [] }
  const { checks, first } = await auditLedger(api, pins, { own: lookUp(api, sample) })
  const failed = checks.filter(({ status }) => status === 'failed').map(({ id }) => id)
  return { ...checks.find(({ id }) => id === 'lookups')!, failed, first }
}

test('each of an honest ledger is found; of a small sample, the first', async () => {
  expect(await audit(1)).toMatchObject({ status: 'passed', detail: '10 looked up, each' })
  expect(await audit(1e9)).toMatchObject({ status: 'passed', detail: '1 looked up, 1 in 1000000000' })
})

test.each([
  ['id', `id = gen_random_uuid()`],
  ['leaf hash', `leaf_hash = sha256(leaf_hash)`],
  ['time', `recorded_at = recorded_at - interval '1 day'`],
  ['source', `source = 'payroll'`],
  ['action', `action = null`],
  ['actor', `actor = 'u-9'`],
  ['targets', `targets = '{}'`],
])('one that is no longer found by its %s is named', async (by, change) => {
  const event = `log_index = (select log_index from batches where source = 'billing' and seq = 4) and pos = 2`
  await tamper(service, `create table kept as select * from events; update events set ${change} where ${event}`)
  const found = await audit(1)
  await tamper(service, 'delete from events; insert into events select * from kept; drop table kept')
  expect(found).toMatchObject({ failed: ['lookups'], first: { source: 'billing', stream, seq: 6 } })
  expect(found.detail).toMatch(new RegExp(`is not found by its ${by}$`))
})

test('nor one that another has taken the id of', async () => {
  const [mine, other] = [6, 5].map((number) => `(select id from events where number = ${number})`)
  await tamper(
    service,
    `create table kept as select * from events;
     update events set id = case number when 6 then ${other} else ${mine} end where number in (5, 6)`,
  )
  expect(await audit(1)).toMatchObject({ failed: ['lookups'], first: { seq: 3 } })
  await tamper(service, 'delete from events; insert into events select * from kept; drop table kept')
})

test('docs/ERRORS.md names the checks, as the audit does', async () => {
  const page = await readFile(new URL('../../../docs/ERRORS.md', import.meta.url), 'utf8')
  const named = [...page.matchAll(/^\| `([a-z.]+)` \| [^|\d][^|]* \|$/gm)].map(([, id]) => id)
  const pins = { logKeys: [], sourceKeys: [], logs: [], urls: [] }
  const api = openApi(service.url, READER)
  const { checks } = await auditLedger(api, pins, { own: lookUp(api, 1e9) })
  // The two others are the service's.
  expect(named.filter((id) => id !== 'columns' && id !== 'audit').sort()).toEqual(checks.map(({ id }) => id).sort())
})
