// Whatever recorders' clocks did, a time window shows exactly the events that say they were recorded in it.
import { parseBatch, utf8 } from '@killick/sdk/core'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readCoverage } from '../../../../anchor-service/src/ledger/index/runs.ts'
import { makeRun } from '../../../../anchor-service/src/ledger/index/write-run.ts'
import { packBatch } from '../../../../anchor-service/src/ledger/packs/packer.ts'
import type { FoundEvent } from '../../../../anchor-service/src/ledger/read/events.ts'
import { type EventQuery, searchEvents } from '../../../../anchor-service/src/ledger/read/search.ts'
import { queryAsOwner } from '../../../support/postgres.ts'
import { type TestLedger, testLedger } from '../../support/ledger.ts'
import { newSigner, Producer, sampleEvent } from '../../support/producer.ts'

const NOON = Date.UTC(2026, 5, 1, 12)
const HOUR = 3_600_000
/** Hours since noon at which each batch's events were recorded: late ones, clocks that run ahead, fall back, and both in one batch. */
const HOURS = [[0, 1, 2], [3, 4], [-8_000, 5], [6, 400_000], [7], [2, 1, 0], [-8_000, 400_000], [8, 9]]

let opened: TestLedger
/** Newest first, as search lists them. */
let recorded: { source: string; action: string; target: string; time: number }[]

beforeAll(async () => {
  opened = await testLedger()
  const signer = newSigner()
  const producers = ['billing', 'crm'].map((source) => new Producer(source, signer))
  recorded = []
  for (const [b, hours] of HOURS.entries()) {
    const producer = producers[b % 2]!
    const times = hours.map((hour) => NOON + hour * HOUR)
    const inputs = times.map((_, i) => ({ ...sampleEvent(i), action: i % 2 === 0 ? 'open' : 'close' }))
    const { body, advance } = await producer.batch(inputs, { times })
    advance()
    await opened.ledger.submit(packBatch(parseBatch(utf8(body))))
    recorded.unshift(
      ...times
        .map((time, i) => ({ source: producer.source, action: inputs[i]!.action, target: `inv-${i}`, time }))
        .reverse(),
    )
  }
})
afterAll(() => opened.close())

async function findAll(query: Omit<EventQuery, 'limit'>) {
  const found: unknown[] = []
  let before: EventQuery['before']
  do {
    const { events, next } = await searchEvents(opened.pool, { ...query, limit: 2, before })
    found.push(
      ...(events as FoundEvent[]).map(({ source, fields, recordedAt }) => ({
        source,
        action: fields.action,
        target: (fields.targets as { id: string }[])[0]!.id,
        time: Date.parse(recordedAt),
      })),
    )
    before = next ?? undefined
  } while (before)
  return found
}

async function checkWindows(): Promise<void> {
  const times = [...new Set(HOURS.flat())].map((hour) => NOON + hour * HOUR)
  const time = fc.option(fc.constantFrom(...times.flatMap((time) => [time, time + 1])), { nil: undefined })
  const named = (...names: string[]) => fc.option(fc.constantFrom(...names), { nil: undefined })
  const queries = fc.record({
    from: time,
    to: time,
    source: named('billing', 'crm', 'none'),
    action: named('open', 'close'),
    target: named('inv-0', 'inv-1', 'inv-9'),
  })
  await fc.assert(
    fc.asyncProperty(queries, async ({ from, to, source, action, target }) => {
      const expected = recorded.filter(
        (event) =>
          (from === undefined || event.time >= from) &&
          (to === undefined || event.time < to) &&
          (source === undefined || event.source === source) &&
          (action === undefined || event.action === action) &&
          (target === undefined || event.target === target),
      )
      const dates = { from: from === undefined ? from : new Date(from), to: to === undefined ? to : new Date(to) }
      const found = await findAll({ ...dates, source, action, target })
      // The ledger's own events were recorded today.
      expect(found.filter((event) => (event as { source: string }).source !== 'killick')).toEqual(expected)
    }),
    { numRuns: 200 },
  )
}

test('any window shows its events, alone and with other conditions, page after page', checkWindows)

test('it does so too if the index holds all but the newest events', async () => {
  // As if the log had 30,000 events between one and the next.
  await queryAsOwner(
    opened.databaseUrl,
    `set search_path = killick; set session_replication_role = replica;
     update batches set first_event = 30000 * first_event; update packs set first_event = 30000 * first_event;
     update pack_keys set first_event = 30000 * first_event`,
  )
  while (await makeRun(opened.pool));
  const coverage = await readCoverage(opened.pool)
  expect(coverage.ends[1]).toBeGreaterThan(0)
  expect(coverage.ends[0]).toBeGreaterThan(coverage.ends[1]!)
  await checkWindows()
})
