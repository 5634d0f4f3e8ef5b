// After a restore, what was erased is erased again before the service starts.
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseProof, verifyProof } from '@killick/sdk'
import { auditLedger, openApi } from '@killick/sdk/audit'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { acceptHead } from '../../../anchor-service/src/commands/accept-head.ts'
import { eraseAfterRestore } from '../../../anchor-service/src/commands/erase.ts'
import { loadConfig } from '../../../anchor-service/src/config.ts'
import { keepErasing } from '../../../anchor-service/src/erasure/erasing.ts'
import { keepOrders, readOrder } from '../../../anchor-service/src/erasure/kept-orders.ts'
import { openStore } from '../../../anchor-service/src/open-store.ts'
import { queryAsOwner } from '../../support/postgres.ts'
import { tamper } from '../audit/support/audits.ts'
import { newSigner, Producer, post } from '../support/producer.ts'
import { keepTables } from '../support/registered.ts'
import { ADMIN, call, ERASER, READER, register, type TestService, testService } from '../support/service.ts'

const SUBJECT = 'zoe-4711'
/** Of 300 events, every third is hers. */
const EVENTS = 300
const HERS = EVENTS / 3
/** What is erased, and what readers and the index find it by. */
const TABLES = ['packs', 'pack_keys'] as const

let service: TestService
let leaf: string

const config = (databaseUrl = service.databaseUrl) =>
  loadConfig({ DATABASE_URL: databaseUrl, KILLICK_DATA: service.folder })
const erase = (databaseUrl?: string) => eraseAfterRestore(config(databaseUrl))
const found = async () => (await call(service.url, `/v1/events?actor=${SUBJECT}&limit=500`)).json.events.length
const send = (path: string, token: string, body: object, method = 'POST') =>
  call(service.url, path, token, {
    method,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

async function order(): Promise<string> {
  const said = { reason: 'she asked for it', legalBasis: 'GDPR 17', order: 'E-9', fields: ['actor'] }
  const { json } = await send('/v1/erasures', ERASER, { ...said, actor: SUBJECT })
  await vi.waitFor(
    async () =>
      expect((await call(service.url, `/v1/erasures/${json.id}`)).json.state, JSON.stringify(json)).toBe('done'),
    { timeout: 20_000, interval: 50 },
  )
  return json.id
}

const lift = (hold: string) => call(service.url, `/v1/holds/${hold}?reason=settled`, ADMIN, { method: 'DELETE' })

async function expectErased(): Promise<void> {
  expect(await found()).toBe(0)
  const proof = parseProof((await call(service.url, `/v1/proofs/${leaf}`)).text)
  expect(proof.event).not.toContain(Buffer.from(SUBJECT).toString('base64url').slice(0, 8))
  const { checks } = verifyProof(proof, { logKeys: [service.vkey] })
  expect(checks.find(({ id }) => id === 'event.erasure')?.status).toBe('passed')
  expect(await failed()).toEqual([])
}

/** The checks of an audit that failed, and why. */
async function failed(): Promise<string[]> {
  const pins = { logKeys: [service.vkey], sourceKeys: [], logs: [], urls: [] }
  const { checks } = await auditLedger(openApi(service.url, READER), pins)
  return checks.filter(({ status }) => status === 'failed').map(({ id, reason }) => `${id} ${reason}`)
}

async function copy(url: string): Promise<string> {
  const to = new URL(url)
  const name = `copy_${randomUUID().replaceAll('-', '')}`
  const from = to.pathname.slice(1)
  to.pathname = '/postgres'
  await queryAsOwner(to.href, `create database ${name} template ${from}`)
  to.pathname = `/${name}`
  return to.href
}

beforeAll(async () => {
  service = await testService()
  const producer = new Producer('shop', newSigner())
  await register(service.url, 'shop', [{ jwk: producer.signer.jwk }])
  const batch = await producer.batch(
    Array.from({ length: EVENTS }, (_, i) => ({
      ...{ action: 'order.place', outcome: 'success' as const, targets: [{ type: 'order', id: `o-${i}` }] },
      actor: { type: 'user', id: i % 3 === 0 ? SUBJECT : `u-${i}` },
    })),
  )
  expect((await post(service.url, batch.body)).status).toBe(201)
  const [{ leafHash }] = (await call(service.url, `/v1/events?actor=${SUBJECT}&limit=1`)).json.events
  leaf = leafHash
})
afterAll(() => service?.stop())

describe('a database of before an order', () => {
  let before: string
  let ordered: string
  let hold: string
  let bundle: string

  test('the order is kept in the data folder, and names nobody', async () => {
    // It is lifted before the order, and the copy has it again.
    const body = { case: 'C-0', reason: 'suit', covers: { target: 'o-0' } }
    hold = (await send('/v1/holds', ADMIN, body)).json.id
    await service.close()
    before = await copy(service.databaseUrl)
    service = await testService({}, service)
    await lift(hold)
    // So that what is erased again stands before the place that it had.
    for (const source of ['x', 'y', 'z']) await register(service.url, source, [{ jwk: newSigner().jwk }])
    ordered = await order()
    await expectErased()
    bundle = (await send('/v1/bundles', READER, { actor: 'u-1' })).json.id
    await vi.waitFor(async () => expect((await call(service.url, `/v1/bundles/${bundle}`)).json.state).toBe('done'), {
      timeout: 20_000,
      interval: 50,
    })
    const [file] = await readdir(join(service.folder, 'erasures'))
    expect(file).toBe(`${ordered}.json`)
    const text = await readFile(join(service.folder, 'erasures', file!), 'utf8')
    expect(JSON.parse(text)).toMatchObject({ id: ordered, reason: 'she asked for it', order: 'E-9', fields: ['actor'] })
    expect(JSON.parse(text).entries).toHaveLength(HERS)
    expect(text).not.toContain(SUBJECT)
    await service.close()
  })

  test('does not open', async () => {
    await expect(testService({}, { ...service, databaseUrl: before })).rejects.toThrow(
      /knows an order of erasure that the log in the database does not have[\s\S]*erase --after-restore/,
    )
    await expect(erase(before)).rejects.toThrow(/does not continue what was signed[\s\S]*accept-head/)
    expect(await acceptHead(config(before), true)).toMatch(/erase --after-restore/)
    // Whoever was interrupted there has not read it.
    expect(await acceptHead(config(before), true)).toMatch(/nothing to accept[\s\S]*erase --after-restore/)
    await expect(testService({}, { ...service, databaseUrl: before })).rejects.toThrow(/erase --after-restore/)
  })

  test('is erased again by new orders of the same words, once', async () => {
    const left = new RegExp(`at: 1\\.\n.* name: 1\\. Events .*: ${HERS - 1}\\.\n.*left, .*: 1\\. The holds: ${hold}\\.`)
    await expect(erase(before)).rejects.toThrow(left)
    await expect(erase(before)).rejects.toThrow(/Nothing of what they name is there[\s\S]*cover them: 1\./)
    // It starts, for otherwise nobody could lift the hold.
    service = await testService({}, { ...service, databaseUrl: before })
    expect(await found()).toBe(1)
    // It is of another end of the log: nothing would tell that something of it is erased from now on.
    await vi.waitFor(async () => expect((await call(service.url, `/v1/bundles/${bundle}`)).status).toBe(404), {
      timeout: 20_000,
      interval: 50,
    })
    await lift(hold)
    expect(await erase()).toMatch(/^Orders .* at: 2\.\nOrders .* name: 1\. Events .*: 1\.$/m)
    expect(await erase()).toMatch(/Nothing of what they name is there/)
    await expectErased()
    const { erasures } = (await call(service.url, '/v1/erasures')).json
    expect(erasures).toMatchObject([
      { events: HERS - 1, state: 'done' },
      { events: 1, state: 'done' },
    ])
    const [{ fields }] = (await call(service.url, '/v1/events?source=killick&action=erasure.order')).json.events
    expect(fields).toMatchObject({
      ...{ actor: { type: 'operator', id: 'erase-after-restore' } },
      metadata: { reason: 'she asked for it', legalBasis: 'GDPR 17', order: 'E-9', fields: ['actor'] },
    })
    // What was ordered again is known, however often the same copy is restored.
    expect((await readdir(join(service.folder, 'erasures'))).sort()).toEqual(
      [`${ordered}.settled.json`, ...erasures.map(({ id }: { id: string }) => `${id}.json`)].sort(),
    )
  })
})

describe('a pack of before an order', () => {
  let pack: number

  const putBack = () =>
    tamper(
      service,
      TABLES.map(
        (table) => `delete from ${table} where first_event = ${pack};
          insert into ${table} select * from kept_${table} where first_event = ${pack}`,
      ).join(';'),
    )

  test('is found by the audit, and erased again', async () => {
    const producer = new Producer('hr', newSigner())
    await register(service.url, 'hr', [{ jwk: producer.signer.jwk }])
    const actor = { type: 'user', id: SUBJECT }
    const targets = [{ type: 'desk', id: 'd-1' }]
    const batch = await producer.batch([{ action: 'person.hire', actor, targets, outcome: 'success' }])
    expect((await post(service.url, batch.body)).status).toBe(201)
    leaf = (await call(service.url, `/v1/events?actor=${SUBJECT}`)).json.events[0].leafHash
    const sql = 'select first_event::float8 as first from killick.batches where event_leaves = $1'
    const [row] = await queryAsOwner<{ first: number }>(service.databaseUrl, sql, [Buffer.from(leaf, 'base64url')])
    pack = row!.first
    await keepTables(service, TABLES)
    await order()
    await expectErased()
    await putBack()
    expect(await found()).toBe(1)
    expect(await failed()).toEqual(['erasures erasure_undone'])
    expect(await erase()).toMatch(/^Orders .* at: 3\.\nOrders .* name: 1\. Events .*: 1\.$/m)
    await expectErased()
  })

  test('whose order’s list somebody has altered is not said to be gone', async () => {
    await keepTables(service, ['erased'])
    await putBack()
    await tamper(service, `delete from erased where leaf_hash = '\\x${Buffer.from(leaf, 'base64url').toString('hex')}'`)
    const ids = (await call(service.url, '/v1/erasures')).json.erasures.slice(2).map(({ id }: { id: string }) => id)
    await expect(erase()).rejects.toThrow(`Orders whose lists are not what the orders commit to: ${ids.join(', ')}. `)
    expect(await found()).toBe(1)
    await tamper(service, 'delete from erased; insert into erased select * from kept_erased')
    expect(await erase()).toMatch(/Events .*: 1\.$/m)
    await expectErased()
  })

  test('what a hold covers is left, and said', async () => {
    const body = { case: 'C-1', reason: 'suit', covers: { source: 'hr' } }
    const hold = (await send('/v1/holds', ADMIN, body)).json.id
    await putBack()
    await expect(erase()).rejects.toThrow(new RegExp(`left, because holds cover them: 1\\. The holds: ${hold}\\.`))
    expect(await found()).toBe(1)
    await lift(hold)
  })

  test('what was ordered again and not carried out is kept already, and carried out', async () => {
    const store = await openStore(config())
    const erasing = keepErasing({ ...store, orders: keepOrders(store.pool, service.folder) })
    await erasing.close()
    const [, , id] = (await call(service.url, '/v1/erasures')).json.erasures.map((one: { id: string }) => one.id)
    expect(await erasing.repeat(await readOrder(store.pool, id), { type: 'operator', id: 'o-1' })).toMatchObject({
      ...{ erasure: { count: 1, end: null }, held: [], unreadable: [] },
    })
    const { json } = await call(service.url, '/v1/erasures')
    expect(await readdir(join(service.folder, 'erasures'))).toContain(`${json.erasures.at(-1).id}.json`)
    // Two processes that share a folder write the same at once.
    const shared = join(service.folder, 'shared')
    await Promise.all([1, 2, 3].map(() => keepOrders(store.pool, shared).keep()))
    expect((await readdir(join(shared, 'erasures'))).toSorted()).toEqual(
      json.erasures.map(({ id }: { id: string }) => `${id}.json`).toSorted(),
    )
    await store.close()
    expect(await erase()).toMatch(/Nothing of what they name is there/)
    await expectErased()
  })
})

test.each([
  ['other fields', "digests = decode(repeat('00', 32), 'hex')"],
  ['another place', 'number = number - 1'],
])('an order whose list somebody has altered to name %s is not carried out', async (_, alter) => {
  const producer = new Producer('lists', newSigner())
  await register(service.url, 'lists', [{ jwk: producer.signer.jwk }])
  const actor = { type: 'user', id: randomUUID() }
  const batch = await producer.batch([1, 2].map(() => ({ action: 'x', actor })))
  expect((await post(service.url, batch.body)).status).toBe(201)
  const { events } = (await call(service.url, `/v1/events?actor=${actor.id}`)).json
  // It is recorded, and not begun with.
  const store = await openStore(config())
  const erasing = keepErasing(store)
  await erasing.close()
  const selection = { conditions: {}, ids: [events[0].id], fields: ['actor'] }
  const said = { reason: 'r', legalBasis: null, order: null }
  const { id, logIndex } = await erasing.order({ selection, ...said }, { type: 'operator', id: 'o-1' })
  await store.close()
  await tamper(
    service,
    `create table kept_list as select * from erased where erasure = ${logIndex};
     update erased set ${alter} where erasure = ${logIndex}`,
  )
  await expect(erase()).rejects.toThrow(`Orders whose lists are not what the orders commit to: ${id}. `)
  expect((await call(service.url, `/v1/erasures/${id}`)).json.state).toBe('open')
  expect((await call(service.url, `/v1/events?actor=${actor.id}`)).json.events).toHaveLength(2)
  await tamper(
    service,
    `delete from erased where erasure = ${logIndex}; insert into erased select * from kept_list; drop table kept_list`,
  )
  expect(await erase()).toMatch(/Nothing of what they name is there/)
  expect((await call(service.url, `/v1/erasures/${id}`)).json.state).toBe('done')
  expect((await call(service.url, `/v1/events?actor=${actor.id}`)).json.events).toHaveLength(1)
  expect((await readdir(join(service.folder, 'erasures'))).includes(`${id}.json`)).toBe(true)
  expect(await failed()).toEqual([])
})

describe('two copies of before an order', () => {
  test('what was settled in one is not in the other, which has more', async () => {
    const [sharp, late] = [randomUUID(), new Producer('late', newSigner())]
    await register(service.url, 'late', [{ jwk: late.signer.jwk }])
    const fresh = async (from: string) => {
      await service.close()
      const made = await copy(from)
      service = await testService({}, { ...service, databaseUrl: from })
      return made
    }
    const live = service.databaseUrl
    const older = await fresh(live)
    const batch = await late.batch([{ action: 'x', actor: { type: 'user', id: sharp } }])
    expect((await post(service.url, batch.body)).status).toBe(201)
    const newer = await fresh(live)
    const { json } = await send('/v1/erasures', ERASER, { reason: 'r', actor: sharp, fields: 'all' })
    await vi.waitFor(async () => expect((await call(service.url, `/v1/erasures/${json.id}`)).json.state).toBe('done'), {
      timeout: 20_000,
      interval: 50,
    })
    await service.close()
    await acceptHead(config(older), true)
    expect(await erase(older)).toMatch(/Nothing of what they name is there/)
    await acceptHead(config(newer), true)
    await expect(testService({}, { ...service, databaseUrl: newer })).rejects.toThrow(/erase --after-restore/)
    expect(await erase(newer)).toMatch(/Events .*: 1\.$/m)
    service = await testService({}, { ...service, databaseUrl: newer })
    expect((await call(service.url, `/v1/events?actor=${sharp}`)).json.events).toEqual([])
    expect(await failed()).toEqual([])
  })
})

test('whoever orders does not wait until all that was settled is read', async () => {
  const [producer, actor] = [new Producer('slow', newSigner()), { type: 'user', id: randomUUID() }]
  await register(service.url, 'slow', [{ jwk: producer.signer.jwk }])
  expect((await post(service.url, (await producer.batch([{ action: 'x', actor }])).body)).status).toBe(201)
  // Who reads it waits until somebody writes into it.
  const slow = join(service.folder, 'erasures', `${randomUUID()}.settled.json`)
  await mkdir(join(slow, '..'), { recursive: true })
  execFileSync('mkfifo', [slow])
  const ordered = send('/v1/erasures', ERASER, { reason: 'r', actor: actor.id, fields: 'all' })
  const first = await Promise.race([ordered, sleep(20_000, null, { ref: false })])
  const end = await open(slow, 'w')
  await rm(slow)
  await end.close()
  expect(first).toMatchObject({ status: 202, json: { state: 'open' } })
})

test('a service whose database is restored while it runs says so, and carries out no order before', async () => {
  const metric = async () =>
    Number(/^killick_erasing_failures_total (\d+)$/m.exec((await call(service.url, '/metrics')).text)![1])
  const [old, now] = [randomUUID(), new Producer('swap', newSigner())]
  await register(service.url, 'swap', [{ jwk: now.signer.jwk }])
  const actors = [old, 'u-swap'].map((id) => ({ action: 'x', actor: { type: 'user', id } }))
  expect((await post(service.url, (await now.batch(actors)).body)).status).toBe(201)
  await service.close()
  const before = await copy(service.databaseUrl)
  service = await testService({}, service)
  const orderOf = (actor: string) => send('/v1/erasures', ERASER, { reason: 'r', actor, fields: 'all' })
  const done = (id: string) =>
    vi.waitFor(async () => expect((await call(service.url, `/v1/erasures/${id}`)).json.state).toBe('done'), {
      timeout: 20_000,
      interval: 50,
    })
  await done((await orderOf(old)).json.id)
  const [live, restored] = [service.databaseUrl, before].map((url) => new URL(url).pathname.slice(1))
  const admin = Object.assign(new URL(live!, before), { pathname: '/postgres' }).href
  await queryAsOwner(admin, `alter database ${live} allow_connections false`)
  await queryAsOwner(admin, `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${live}'`)
  await queryAsOwner(admin, `alter database ${live} rename to ${live}_lost`)
  await queryAsOwner(admin, `alter database ${restored} rename to ${live}`)
  await vi.waitFor(async () => expect(await acceptHead(config(), true)).toMatch(/Accepted/), { timeout: 20_000 })
  const failures = await metric()
  let id = ''
  await vi.waitFor(
    async () => {
      const { status, json } = await orderOf('u-swap')
      expect(status, JSON.stringify(json)).toBe(202)
      id = json.id
    },
    { timeout: 20_000, interval: 200 },
  )
  await vi.waitFor(async () => expect(await metric()).toBeGreaterThan(failures), { timeout: 20_000, interval: 100 })
  expect((await call(service.url, `/v1/erasures/${id}`)).json.state).toBe('open')
  expect(await erase()).toMatch(/name: 1\. Events .*: 1\.$/m)
  await done(id)
  expect((await call(service.url, `/v1/events?actor=${old}`)).json.events).toEqual([])
  expect(await failed()).toEqual([])
})
