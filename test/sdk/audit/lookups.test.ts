// An auditor looks events up from outside, so that the database's owner cannot hide one from readers unnoticed.
import { readFile } from 'node:fs/promises'
import { auditLedger, holdReceipts, lookUp, openApi } from '@killick/sdk/audit'
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
  const { checks, first } = await auditLedger(api, pins, { own: [lookUp(api, sample)] })
  const failed = checks.filter(({ status }) => status === 'failed').map(({ id }) => id)
  return { ...checks.find(({ id }) => id === 'lookups')!, failed, first }
}

test('every event of an honest ledger is found; a small sample has at least the first', async () => {
  expect(await audit(1)).toMatchObject({ status: 'passed', detail: '10 looked up, each' })
  expect(await audit(1e9)).toMatchObject({ status: 'passed', detail: '1 looked up, 1 in 1000000000' })
})

test('a list is opened where the event is, so that no other is read', async () => {
  const api = openApi(service.url, READER)
  const lists: string[] = []
  const told = {
    ...api,
    json(path: string, maxBytes?: number) {
      if (path.startsWith('/v1/events?')) lists.push(path)
      return api.json(path, maxBytes)
    },
  }
  const pins = { logKeys: [], sourceKeys: [], logs: [], urls: [] }
  await auditLedger(told, pins, { own: [lookUp(told, 1)] })
  expect(lists.length).toBeGreaterThan(50)
  expect(lists.filter((path) => !path.includes('&limit=1&cursor='))).toEqual([])
})

/** SQL that changes the k-th of the six keys of a pack's third event; those of its source and its stream come before all. */
const key = (k: number) => `keys = overlay(keys placing '\\x0000000000000000' from ${8 * (13 + k) + 1})`

test.each([
  ['action', 6, key(4)],
  ['id', 6, `ids = overlay(ids placing sha256('') from 33 for 16)`],
  ['action', 6, key(3)],
  ['actor', 6, key(5)],
  ['targets', 6, key(6)],
  ['source', 4, `keys = overlay(keys placing '\\x0000000000000000' from 1)`],
  ['stream', 4, `keys = overlay(keys placing '\\x0000000000000000' from 9)`],
])('an event that is no longer found by its %s is named', async (by, seq, change) => {
  const pack = `first_event = (select first_event from batches where source = 'billing' and seq = 4)`
  const table = change.startsWith('ids') ? 'packs' : 'pack_keys'
  await tamper(service, `create table kept as select * from ${table}; update ${table} set ${change} where ${pack}`)
  const found = await audit(1)
  await tamper(service, `delete from ${table}; insert into ${table} select * from kept; drop table kept`)
  expect(found).toMatchObject({ failed: ['lookups'], first: { source: 'billing', stream, seq } })
  expect(found.reason).toBe('not_found')
  expect(found.detail).toMatch(new RegExp(`is not found by its ${by}\\b`))
})

test.each([
  ['time', `earliest = earliest - interval '1 day', latest = latest - interval '1 day'`],
  ['source', `source = 'payroll'`],
])('an event that its batch hides by its %s is named', async (by, change) => {
  const batch = `source = 'billing' and seq = 4`
  await tamper(service, `create table kept as select * from batches; update batches set ${change} where ${batch}`)
  const found = await audit(1)
  await tamper(service, 'delete from batches; insert into batches select * from kept; drop table kept')
  expect(found).toMatchObject({ failed: ['lookups'], first: { source: 'billing', stream, seq: 4 } })
  expect(found.detail).toMatch(new RegExp(`is not found by its ${by === 'source' ? 'place' : by}\\b`))
})

test('an event whose id another event has taken is named', async () => {
  const swapped = `substr(ids, 1, 16) || substr(ids, 33, 16) || substr(ids, 17, 16) || substr(ids, 49)`
  const pack = `log_index = (select log_index from batches where source = 'billing' and seq = 4)`
  await tamper(service, `create table kept as select * from packs; update packs set ids = ${swapped} where ${pack}`)
  expect(await audit(1)).toMatchObject({ failed: ['lookups'], first: { seq: 5 } })
  await tamper(service, 'delete from packs; insert into packs select * from kept; drop table kept')
})

test('docs/ERRORS.md names the checks, as the audit does', async () => {
  const page = await readFile(new URL('../../../docs/ERRORS.md', import.meta.url), 'utf8')
  const section = /^## Checks of an audit\n(.*?)^## /ms.exec(page)![1]!
  const named = [...section.matchAll(/^\| `([a-z.]+)` \| [^|\d][^|]* \|$/gm)].map(([, id]) => id)
  const pins = { logKeys: [], sourceKeys: [], logs: [], urls: [] }
  const api = openApi(service.url, READER)
  const { checks } = await auditLedger(api, pins, { own: [lookUp(api, 1e9), holdReceipts([], [])] })
  // The others are the service's, of a log that succeeds another, or of an audit that left entries out.
  const own = [
    'earlier',
    'succession.left',
    'columns',
    'rows',
    'told',
    'anchors.rows',
    'identity',
    'schema',
    'audit',
    'head.memory',
  ]
  expect(named.filter((id) => !own.includes(id!)).sort()).toEqual(checks.map(({ id }) => id).sort())
})
