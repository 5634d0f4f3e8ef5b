// The log grows from one partition of its events into the next.
import { parseProof, verifyProof } from '@killick/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { FoundEvent } from '../../../../anchor-service/src/ledger/read/events.ts'
import { readProof } from '../../../../anchor-service/src/ledger/read/proofs.ts'
import { searchEvents } from '../../../../anchor-service/src/ledger/read/search.ts'
import { eventsAfter } from '../../../../anchor-service/src/ledger/read/tail.ts'
import { queryAsOwner } from '../../../support/postgres.ts'
import { nextBatch, registerSource, type TestLedger, testLedger } from '../../support/ledger.ts'
import { newSigner, Producer } from '../../support/producer.ts'

/** Events in a partition, as in the migration. */
const WIDTH = 4_194_304

const signer = newSigner()
const producer = new Producer('billing', signer)
let opened: TestLedger
beforeAll(async () => {
  const before = await testLedger()
  await registerSource(before, producer)
  await before.ledger.submit(await nextBatch(producer))
  await before.close()
  // As if the log had all but a few of them already; its first event remains where it was, far from the others.
  await queryAsOwner(
    before.databaseUrl,
    `set search_path = killick; set session_replication_role = replica;
     update batches set first_event = ${WIDTH - 5} where log_index = 2;
     update packs set first_event = ${WIDTH - 5} where log_index = 2`,
  )
  opened = await testLedger(before.databaseUrl)
})
afterAll(() => opened.close())

test('a batch may lie in both; its events are found, listed and proven, and no partition can be changed', async () => {
  const batches = [await nextBatch(producer, 3), await nextBatch(producer, 3), await nextBatch(producer, 3)]
  for (const batch of batches) await opened.ledger.submit(batch)

  const { rows } = await opened.pool.query(
    `select tableoid::regclass::text as partition, first_event, n from packs where log_index > 2 order by first_event`,
  )
  expect(rows).toEqual([
    { partition: 'packs_0', first_event: WIDTH - 4, n: 3 },
    { partition: 'packs_0', first_event: WIDTH - 1, n: 3 },
    { partition: 'packs_1', first_event: WIDTH + 2, n: 3 },
  ])

  const pages = [await searchEvents(opened.pool, { limit: 5 })]
  pages.push(await searchEvents(opened.pool, { limit: 5, before: pages[0]!.next! }))
  const found = pages.flatMap(({ events }) => events)
  expect(found.map(({ seq }) => seq)).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
  const listed = await eventsAfter(opened.pool, [2, 0], 20)
  expect(listed.map(({ event }) => event.id)).toEqual(
    found
      .slice(0, 9)
      .map(({ id }) => id)
      .reverse(),
  )

  for (const { id, leafHash } of found)
    for (const name of [id!, leafHash!]) {
      const proof = await readProof(opened.ledger, name)
      expect(verifyProof(parseProof(proof), {}).outcome).not.toBe('failed')
    }
  await expect(opened.pool.query('delete from packs_1')).rejects.toThrow()
  await expect(queryAsOwner(opened.databaseUrl, `delete from killick.packs_1`)).rejects.toThrow('append-only')
})

test('events far from the newest packs are found', async () => {
  for (let i = 0; i < 5; i++) await opened.ledger.submit(await nextBatch(producer, 100))
  const { events } = await searchEvents(opened.pool, { source: 'killick', limit: 5 })
  expect(events).toHaveLength(2)
  const { action } = (events[0] as FoundEvent).fields as { action: string }
  expect((await searchEvents(opened.pool, { action, limit: 5 })).events).toEqual(events)
  expect((await searchEvents(opened.pool, { action: 'invoice.refuse', limit: 5 })).events).toEqual([])
})
