import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newSigner, Producer, post, sampleEvent } from '../support/producer.ts'
import { call, READER, register, type TestService, testService } from '../support/service.ts'

let service: TestService
let db: pg.Client
let producer: Producer
const signer = newSigner()
const SEEN = `0x${'ab'.repeat(32)}`

beforeAll(async () => {
  service = await testService({ KILLICK_RATE_LIMIT: '0' })
  db = new pg.Client({ connectionString: service.databaseUrl, options: '-c search_path=killick' })
  await db.connect()
  await register(service.url, 'billing', [{ jwk: signer.jwk }])
  producer = new Producer('billing', signer, 'main')
})
afterAll(async () => {
  await db.end()
  await service.stop()
})

const front = async (token: string | null = null, url = service.url) => (await call(url, '/', token)).json
const size = async (): Promise<number> => (await call(service.url, '/readyz')).json.logSize

async function record(): Promise<{ acceptedAt: number }> {
  const batch = await producer.batch([sampleEvent(), sampleEvent()])
  expect((await post(service.url, batch.body)).status).toBe(201)
  batch.advance()
  const { rows } = await db.query('select accepted_at from batches order by log_index desc limit 1')
  return { acceptedAt: (rows[0].accepted_at as Date).getTime() }
}

/** An anchor of a size as the worker leaves it, in the state that it has come to. */
async function anchor(target: string, chainId: number, of: number, state = 'confirmed'): Promise<void> {
  const { rows } = await db.query(
    `insert into anchors (target, chain_id, genesis, contract, log_id, size, events, root)
     select $1, $2, '', '0x01', '0x02', size, 0, root from checkpoints where size = $3 returning id`,
    [target, chainId, of],
  )
  await db.query(
    `insert into anchor_states (anchor, seq, state, transaction, block, time, gas_used, gas_price)
     values ($1, 0, $2, $3, 7, 1700000000, 1, 1)`,
    [rows[0].id, state, SEEN],
  )
}

/** How the log stands, once the door says so; it reads once a second. */
const stands = (log: object) => expect.poll(async () => (await front()).log).toMatchObject(log)

describe('the front door', () => {
  test('/verify leads to the page', async () => {
    const { status, headers } = await call(service.url, '/verify', null, { redirect: 'manual' })
    expect([status, headers.get('location')]).toEqual([302, '/verify/'])
  })

  test('says how far all that was accepted is anchored, and no more', async () => {
    const first = await record()
    await stands({ anchors: [], upTo: null, rest: 'entries', open: await size() })

    // Of what is on its way, and of what went back, nothing is said.
    const covered = await size()
    await anchor('slow', 5, covered, 'mined')
    await anchor('lost', 6, covered, 'reorganised')
    const second = await record()
    await anchor('main', 1, covered)
    const seen = { chainId: 1, contract: '0x01', logId: '0x02', size: covered, block: 7, transaction: SEEN }
    await stands({ entries: await size(), events: 6, rest: 'entries', open: 1, anchors: [seen] })
    const { upTo } = (await front()).log
    expect(Date.parse(upTo)).toBeGreaterThanOrEqual(first.acceptedAt)
    expect(Date.parse(upTo)).toBeLessThan(second.acceptedAt)

    await anchor('main', 1, await size())
    await stands({ rest: 'nothing', open: 0 })
    expect(Date.parse((await front()).log.upTo)).toBeGreaterThan(second.acceptedAt)

    // The ledger's own entries are told apart from what sources record.
    await register(service.url, 'crm', [{ jwk: signer.jwk }])
    await stands({ rest: 'own', open: 1 })

    // A target that moved is where it anchors now.
    await anchor('main', 2, covered)
    await stands({ anchors: [{ ...seen, chainId: 2 }], rest: 'entries', open: 2 })
  })

  test('tells only readers, where tiles are private', async () => {
    const hidden = await testService({ KILLICK_TILES: 'private' }, service)
    expect(await front(null, hidden.url)).toMatchObject({ isPrivate: true, log: null, status: 'ready' })
    expect(await front(READER, hidden.url)).toMatchObject({ isPrivate: false, log: { entries: await size() } })
    expect(await front('wrong', hidden.url)).toMatchObject({ isPrivate: true, log: null })
    await hidden.close()
  })
})
