/**
 * Drops that somebody has put into the log although they may not be, by whoever holds the ledger's own key and its database. Each is at fault for
 * what it is, beside one that may be.
 */
import { loadConfig } from '@killick/anchor-service'
import { auditLedger, openApi, type WalkedEntry } from '@killick/sdk/audit'
import { type Anchor, dropFields, type RetentionDrop } from '@killick/sdk/core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { emptyPacks } from '../../../anchor-service/src/erasure/dropping.ts'
import { insertDrop } from '../../../anchor-service/src/ledger/registry/drops.ts'
import { openStore, type Store } from '../../../anchor-service/src/open-store.ts'
import { listAnchors } from '../../../sdk/src/audit/chain.ts'
import { DroppedLeaves } from '../../../sdk/src/audit/dropped.ts'
import { Findings } from '../../../sdk/src/audit/findings.ts'
import { checkHolds } from '../../../sdk/src/audit/holds.ts'
import { checkRetention } from '../../../sdk/src/audit/retention.ts'
import { Producer, sampleEvent } from '../support/producer.ts'
import { type AgingLedger, startAging } from '../support/retention.ts'
import { ADMIN, call, ERASER, READER } from '../support/service.ts'

let aging: AgingLedger
let store: Store
/** Log entries of batches of one event each, most of them of the shop's first stream. */
const old: number[] = []
let [slowAt, heldAt, hrAt, freshAt, policyAt, ownAt] = [0, 0, 0, 0, 0, 0]
/** By what a drop may go. */
let base: Pick<RetentionDrop, 'id' | 'version' | 'size' | 'time'>
let earliest: Pick<RetentionDrop, 'size' | 'time'>

const one = (at: number): [number, number] => [at, at]
const sizeNow = async () => (await call(aging.service.url, '/readyz')).json.logSize as number

/** Records one event of a stream. @returns the entry */
async function record(source: string, stream?: string): Promise<number> {
  const producer = aging.producer(source)
  await aging.record(stream === undefined ? producer : new Producer(source, producer.signer, stream), [sampleEvent(1)])
  const rows = (await call(aging.service.url, `/v1/events?source=${source}&limit=1`)).json.events
  return rows[0].logIndex
}

/** Puts a drop into the log, and carries it out. @returns the entry of its event */
async function drop(twist: Partial<RetentionDrop>, carriesOut = true): Promise<number> {
  const said: RetentionDrop = { ...base, entries: [], events: 1, ...twist }
  let at = 0
  await store.ledger.record({ actor: { type: 'ledger', id: 'test' }, ...dropFields(said) }, async (db, logIndex) => {
    at = logIndex
    await insertDrop(db, logIndex, said, policyAt)
    if (carriesOut)
      await emptyPacks(
        db,
        old
          .concat(slowAt, heldAt, hrAt, freshAt, ownAt)
          .filter((entry) => said.entries.some(([first, last]) => first <= entry && entry <= last)),
      )
  })
  return at
}

beforeAll(async () => {
  aging = await startAging(['shop', 'hr'], { KILLICK_RETENTION_INTERVAL_MS: '0' })
  for (let i = 0; i < 16; i++) old.push(await record('shop'))
  slowAt = await record('shop', 'slow')
  heldAt = await record('shop', 'held')
  hrAt = await record('hr')
  const covers = { source: 'shop' }
  await aging.put('ended', { covers, contentsDays: 30, eventsDays: 100 })
  await aging.send('DELETE', '/v1/retention/policies/ended', ERASER)
  await aging.put('orders', { covers, contentsDays: 30 })
  await aging.put('orders', { covers, contentsDays: 30, eventsDays: 100 })
  await aging.put('slow', { covers: { stream: 'slow' }, contentsDays: 30, eventsDays: 300 })
  const hold = { case: 'C-1', reason: 'suit', covers: { stream: 'held', actor: 'nobody-knows' } }
  await aging.send('POST', '/v1/holds', ADMIN, hold)
  policyAt = (await aging.policy('orders')).logIndex
  await aging.anchored((await sizeNow()) - 1)
  await aging.pass(110, aging.producer('hr'), sampleEvent(1))
  const { anchors: settled } = await listAnchors(openApi(aging.service.url, READER), new Findings())
  const nameOf = ({ size, time }: Anchor) => ({ size, time })
  base = { id: 'orders', version: 2, ...nameOf(settled.at(-1)!) }
  earliest = nameOf(settled[0]!)
  freshAt = await record('shop')
  ownAt = (await aging.search('source=killick&action=anchor.commit')).at(-1).logIndex
  const database = { DATABASE_URL: aging.service.databaseUrl, KILLICK_DATA: aging.service.folder }
  store = await openStore(loadConfig({ ...aging.env, ...database }))
}, 120_000)
afterAll(async () => {
  await store?.close()
  await aging?.stop()
})

test('each drop is at fault for what it is, and only that', async () => {
  const [a, b, c, d, e, f, g, h, i, j, k] = old as number[]
  // The ledger may have recorded an anchor of its own between the two.
  const both: [number, number][] = b === a! + 1 ? [[a!, b]] : [one(a!), one(b!)]
  const fine = await drop({ entries: both, events: 2 })
  const bad: [twist: Partial<RetentionDrop>, why: RegExp, carriesOut?: boolean][] = [
    [{ entries: [one(c!)], version: 1 }, /no such policy stood/],
    [{ entries: [one(d!)], id: 'ended', version: 1 }, /no such policy stood/],
    [{ entries: [one(e!)], time: base.time + 1 }, /nothing is anchored with \d+ entries at that time/],
    [{ entries: [one(f!)], ...earliest }, /does not cover the policy/],
    [{ entries: [one(b!)] }, new RegExp(`batch ${b}: another drop before it has named this one`)],
    [{ entries: [one(freshAt)] }, new RegExp(`batch ${freshAt}: by the anchors this one was not due`)],
    [{ entries: [one(hrAt)] }, new RegExp(`batch ${hrAt}: the policy drops no event of this one`)],
    [{ entries: [one(ownAt)] }, new RegExp(`batch ${ownAt}: the policy drops no event of this one`)],
    [{ entries: [one(slowAt)] }, new RegExp(`batch ${slowAt}: a policy that stood then keeps`)],
    [{ entries: [one(heldAt)] }, new RegExp(`batch ${heldAt}: a hold that stood then keeps`)],
    [{ entries: [one(g!)], events: 2 }, /its batches have 1 events, and it says 2/],
    [{ entries: [[100_000, 9_007_199_254_740_990]] }, /entries that are not before it in the log/, false],
    [{ entries: [one(i!)] }, new RegExp(`batch ${i}: the events of this one are shown all the same`), false],
    [{ entries: [one(0)] }, /batch 0: the events of this one are shown all the same/, false],
  ]
  const found: [number, RegExp][] = []
  for (const [twist, why, carriesOut = true] of bad) found.push([await drop(twist, carriesOut), why])
  const walked: WalkedEntry[] = []
  const pins = { logKeys: [aging.service.vkey], sourceKeys: [], logs: [], urls: [] }
  const api = openApi(aging.service.url, READER)
  const result = await auditLedger(api, pins, {
    own: [
      {
        ...{ id: 'kept', title: 'Entries are kept' },
        entry: async (entry) => {
          walked.push({ ...entry })
          return []
        },
        finish: async () => ({ faults: [], detail: '' }),
      },
    ],
  })
  const failed = result.checks.filter(({ status }) => status === 'failed')
  expect(failed.map(({ id }) => id)).toEqual(['retention'])
  expect(failed[0]!.reason).toBe('erasure_undone')

  const { anchors: all } = await listAnchors(api, new Findings())
  const holds = checkHolds(api, walked.length)
  const check = checkRetention(api, { all, asked: all, heads: [], listedAt: walked.length }, holds, new DroppedLeaves())
  for (const entry of walked) for (const each of [holds, check]) await each.entry!(entry)
  const { faults, detail } = await check.finish()
  const messages = faults.map(({ message }) => message)
  const of = (at: number) => messages.filter((message) => message.startsWith(`The drop at log entry ${at}, `))
  for (const [at, why] of found) expect(of(at), String(why)).toEqual([expect.stringMatching(why)])
  expect(of(fine)).toEqual([])
  expect(detail).toMatch(/; 2 were dropped$/)
  // What is due for long, and was neither dropped nor held.
  const left = [h!, i!, j!, k!, ...old.slice(11)].length
  expect(messages).toContainEqual(
    expect.stringMatching(new RegExp(`^${left} events were due to be dropped more than 7 days before`)),
  )
})
