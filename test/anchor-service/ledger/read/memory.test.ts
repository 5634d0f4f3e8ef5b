// What the service remembers for proofs never changes what it answers: whoever commits, however much is kept, and whatever
// becomes of the rows.

import { parseProof, verifyProof } from '@killick/sdk'
import { parseBatchHeader, parseEvent, printHash, TILE_WIDTH, verifyInclusion } from '@killick/sdk/core'
import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { planAnchor, readOpenAnchors, recordState } from '../../../../anchor-service/src/anchor/state.ts'
import type { Db } from '../../../../anchor-service/src/database/pool.ts'
import { RUN_EVENTS } from '../../../../anchor-service/src/ledger/index/runs.ts'
import { makeRun } from '../../../../anchor-service/src/ledger/index/write-run.ts'
import { memoryOf } from '../../../../anchor-service/src/ledger/read/proof-memory.ts'
import { readProof } from '../../../../anchor-service/src/ledger/read/proofs.ts'
import { readCheckpoint } from '../../../../anchor-service/src/ledger/tree/checkpoints.ts'
import { Tile } from '../../../../anchor-service/src/ledger/tree/tile.ts'
import { queryAsOwner } from '../../../support/postgres.ts'
import { nextBatch, registerSource, type TestLedger, testLedger } from '../../support/ledger.ts'
import { newSigner, Producer } from '../../support/producer.ts'

type Named = { id: string; leafHash: string }

const producer = new Producer('billing', newSigner())
let one: TestLedger
let other: TestLedger
const events: Named[] = []

/** Hands in the producer's next batch, and tells the names of its events. */
async function submit(to: TestLedger, n: number): Promise<Named[]> {
  const batch = await nextBatch(producer, n)
  const { receipt } = await to.ledger.submit(batch)
  const { rows } = await to.pool.query(
    `select p.ids, substr(b.event_leaves, 32 * p.pos + 1, 32 * p.n) as leaves from packs p join batches b using (log_index)
     where log_index = $1 order by p.first_event`,
    [receipt.logIndex],
  )
  const named = rows.flatMap(({ ids, leaves }: { ids: Buffer; leaves: Buffer }) =>
    Array.from({ length: ids.length / 16 }, (_, i) => ({
      id: ids.toString('hex', 16 * i, 16 * i + 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'),
      leafHash: printHash(leaves.subarray(32 * i, 32 * i + 32)),
    })),
  )
  expect(named).toHaveLength(n)
  events.push(...named)
  return named
}

/** Proofs that hold, by their text, and of which event each is: the same text gets the same verdict. */
const proven = new Map<string, Named>()

/** Both names of the event lead to it, and to a proof that holds. */
async function expectProven(by: TestLedger, { id, leafHash }: Named): Promise<void> {
  for (const name of [id, leafHash]) {
    const text = await readProof(by.ledger, name)
    if (!proven.has(text)) {
      const proof = parseProof(text)
      expect(verifyProof(proof, { logKeys: [by.ledger.log.vkey] }).outcome).not.toBe('failed')
      const event = parseEvent(proof.event)
      proven.set(text, { id: event.id, leafHash: printHash(event.leafHash) })
    }
    expect(proven.get(text)).toEqual({ id, leafHash })
  }
}

const refused = (by: TestLedger, name: string) =>
  expect(readProof(by.ledger, name)).rejects.toMatchObject({ code: 'event_not_found' })

/** As the owner, whom nothing refuses. */
const alter = (sql: string) =>
  queryAsOwner(one.databaseUrl, `set search_path = killick; set session_replication_role = replica; ${sql}`)

beforeAll(async () => {
  one = await testLedger()
  other = await testLedger(one.databaseUrl)
  await registerSource(one, producer)
})
afterAll(() => Promise.all([one.close(), other.close()]))

test('an event is found right after its receipt, by the service that did not take it too', async () => {
  for (let i = 0; i < 6; i++) {
    const [taking, asked] = i % 2 === 0 ? [one, other] : [other, one]
    const named = await submit(taking, 3)
    await Promise.all(named.flatMap((event) => [expectProven(asked, event), expectProven(taking, event)]))
  }
})

test('a name of no event is not found, by id or leaf hash, however often it is asked for', async () => {
  for (let i = 0; i < 2; i++) {
    await refused(one, '01890000-0000-7000-8000-000000000000')
    await refused(one, 'A'.repeat(43))
  }
})

test('a proof costs one statement; the first one of a new event costs four', async () => {
  let asked = 0
  const query = (...args: Parameters<pg.Pool['query']>) => {
    asked++
    return one.pool.query(...args)
  }
  const source = { ...one.ledger, db: { query } as unknown as Db as pg.Pool }
  const cost = async (name: string) => {
    asked = 0
    await readProof(source, name)
    return asked
  }
  await cost(events[0]!.id)
  expect(await cost(events[0]!.id)).toBe(1)
  expect(await cost(events[1]!.leafHash)).toBe(1)
  const [event] = await submit(other, 1)
  expect(await cost(event!.id)).toBeLessThanOrEqual(4)
  expect(await cost(event!.id)).toBe(1)
})

test('a full memory changes no answer', async () => {
  const before = await Promise.all(events.map(({ id }) => readProof(one.ledger, id)))
  const { kept } = memoryOf(one.pool)
  expect(kept.counts.bytes).toBeGreaterThan(0)
  for (const [i, { id }] of events.entries()) {
    kept.set('all the room', new Tile([]), kept.maxBytes)
    expect(kept.counts).toMatchObject({ size: 1, bytes: kept.maxBytes })
    expect(await readProof(one.ledger, id)).toBe(before[i])
  }
  kept.clear()
})

test('an id that somebody takes out of a pack is not found, and is found when it is put back', async () => {
  const { id } = events[4]!
  const hex = id.replaceAll('-', '')
  const swap = (from: string, to: string) =>
    alter(`update packs set ids = decode(replace(encode(ids, 'hex'), '${from}', '${to}'), 'hex')
           where position(decode('${from}', 'hex') in ids) > 0`)
  const nobody = '0189ffffffff7fff8fffffffffffffff'
  // A service that reads the names only while this one is missing, beside those that have read it.
  const third = await testLedger(one.databaseUrl)
  await swap(hex, nobody)
  for (const ledger of [one, other, third]) await refused(ledger, id)
  await swap(nobody, hex)
  for (const ledger of [one, other, third]) await expectProven(ledger, events[4]!)
  await third.close()
})

test('tiles that were altered when they were read leave no trace once they are put back', async () => {
  const third = await testLedger(one.databaseUrl)
  const flip = 'update tiles set hashes = set_byte(hashes, 3, 255 - get_byte(hashes, 3)) where level = 0'
  await alter(flip)
  const bad = parseProof(await readProof(third.ledger, events[1]!.id))
  expect(verifyProof(bad, { logKeys: [third.ledger.log.vkey] }).outcome).toBe('failed')
  await alter(flip)
  for (const event of events.slice(0, 4)) await expectProven(third, event)
  await third.close()
})

test('nor does a tile that only the path to another anchor needs', async () => {
  const alone = await testLedger()
  const { signer } = producer
  await registerSource(alone, { source: 'billing', signer })
  const first = new Producer('billing', signer)
  const { receipt } = await alone.ledger.submit(await nextBatch(first))
  // Until the path to the newest size goes through the second tile.
  const batches = await Promise.all(
    Array.from({ length: TILE_WIDTH + 3 }, () => nextBatch(new Producer('billing', signer))),
  )
  const sizes = await Promise.all(batches.map(async (batch) => (await alone.ledger.submit(batch)).receipt.size))
  for (const [n, size] of [receipt.size, Math.max(...sizes)].entries()) {
    const hex = (digits: number) => `0x${'0'.repeat(digits - 1)}${n + 1}`
    const place = { target: `t-${n}`, chainId: n + 1, genesis: hex(64), contract: hex(40), logId: hex(64) }
    await planAnchor(alone.pool, place, size, (await readCheckpoint(alone.pool, size))!.root)
    const facts = { transaction: hex(64), block: 1, time: 1_700_000_000 }
    await recordState(alone.pool, (await readOpenAnchors(alone.pool, place, -1))[0]!, 'confirmed', facts)
  }
  /** Which of the two anchors the proof leads to, as another service makes it. */
  const leads = async (by: TestLedger) => {
    const { batch, log, anchors } = parseProof(await readProof(by.ledger, printHash(first.eventPrev!)))
    const { leafHash } = parseBatchHeader(batch.header)
    return anchors.map(({ size, root, path = log.path }) =>
      verifyInclusion({ leafHash, index: log.index, size, path, root }),
    )
  }
  const flip = `set search_path = killick; set session_replication_role = replica;
    update tiles set hashes = set_byte(hashes, 3, 255 - get_byte(hashes, 3)) where level = 0 and tile = 1`
  const third = await testLedger(alone.databaseUrl)
  await queryAsOwner(alone.databaseUrl, flip)
  expect(await leads(third)).toEqual([true, false])
  await queryAsOwner(alone.databaseUrl, flip)
  expect(await leads(third)).toEqual([true, true])
  await third.close()
  await alone.close()
})

test('an event is found in runs, behind them, in runs of which its service does not know yet, and when all runs are gone', async () => {
  // As if the log had all but a few of the events of the first two runs.
  const at = 2 * RUN_EVENTS[0] - 20
  const { rows } = await one.pool.query('select log_index from batches order by log_index desc limit 1')
  const last = rows[0].log_index
  await alter(`update packs p set first_event = ${at} where log_index = ${last};
               update batches set first_event = ${at} where log_index = ${last}`)
  const before = [...events]
  await submit(one, 30)
  const sample = [before[0]!, before.at(-1)!, ...events.slice(-30).filter((_, i) => i % 7 === 0)]
  const all = () => Promise.all([one, other].flatMap((by) => sample.map((event) => expectProven(by, event))))
  await all()
  while (await makeRun(other.pool));
  await all()
  await submit(one, 30)
  sample.push(events.at(-1)!)
  await all()
  for (let i = 0; i < 3; i++) {
    await submit(other, 5)
    sample.push(events.at(-1)!)
    await all()
  }
  await alter('delete from key_blocks')
  await all()
  while (await makeRun(other.pool));
  await all()
  await refused(one, '01890000-0000-7000-8000-000000000000')
})

test('a proof of an event that a run holds costs one statement, and is right whatever becomes of the run', async () => {
  let asked = 0
  const query = (...args: Parameters<pg.Pool['query']>) => {
    asked++
    return one.pool.query(...args)
  }
  const source = { ...one.ledger, db: { query } as unknown as Db as pg.Pool }
  const { runs } = memoryOf(source.db)
  const [old] = events
  await readProof(source, old!.id)
  await runs.whole()
  expect(runs.end).toBeGreaterThanOrEqual(RUN_EVENTS[0])
  for (const name of [old!.id, old!.leafHash]) {
    asked = 0
    await readProof(source, name)
    expect(asked).toBe(1)
  }
  await alter('create table kept_blocks as select * from key_blocks; delete from key_blocks where start = 0')
  await expectProven({ ...one, ledger: source as never }, old!)
  await alter('delete from key_blocks; insert into key_blocks select * from kept_blocks; drop table kept_blocks')
  await expectProven({ ...one, ledger: source as never }, old!)
  await runs.whole()
})

test('an event that the log has lost is not found, and what took its place is', async () => {
  const lost = events.at(-1)!
  await expectProven(one, lost)
  const [[newest]] = [(await one.pool.query('select max(log_index)::int as at from batches')).rows]
  await alter(`create table lost_packs as select * from packs where log_index = ${newest.at};
               delete from packs where log_index = ${newest.at}`)
  await refused(one, lost.id)
  await expectProven(one, events.at(-40)!)
  await alter('insert into packs select * from lost_packs; drop table lost_packs')
  await expectProven(one, lost)
})
