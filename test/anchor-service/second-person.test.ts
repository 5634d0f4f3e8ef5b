/** Erasures that take two people, on a real service: what one orders goes once another has confirmed it, in time, and never before. */
import { randomUUID } from 'node:crypto'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '@killick/anchor-service'
import { parseProof, verifyProof } from '@killick/sdk'
import { auditLedger, openApi } from '@killick/sdk/audit'
import type { EventInput } from '@killick/sdk/core'
import { inWords } from '@killick/sdk/words'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { ownChecks } from '../../anchor-service/src/audit/checks.ts'
import { NOTING_READERS } from '../../anchor-service/src/audit/noted.ts'
import { keepErasing } from '../../anchor-service/src/erasure/erasing.ts'
import { openStore } from '../../anchor-service/src/open-store.ts'
import { checkProposals } from '../../sdk/src/audit/proposals.ts'
import { tamper } from './audit/support/audits.ts'
import { newSigner, Producer, post } from './support/producer.ts'
import { ADMIN, call, ERASER, READER, register, type TestService, testService } from './support/service.ts'

const [ANNA, BEN, CARL] = ['token-of-anna-for-tests', 'token-of-ben-for-tests', 'token-of-carl-for-tests'] as const
const DAY = 86_400_000

let service: TestService
let env: Record<string, string>

const event = (i: number): EventInput => ({
  ...{ action: 'order.place', actor: { type: 'user', id: `u-${i}` }, targets: [{ type: 'order', id: `o-${i}` }] },
  ...{ context: { ip: '203.0.113.7' }, outcome: 'success' },
})

const peopleFile = async (people: unknown): Promise<string> => {
  const file = join(await mkdtemp(join(tmpdir(), 'killick-people-')), 'erasers.json')
  await writeFile(file, typeof people === 'string' ? people : JSON.stringify(people))
  return file
}

beforeAll(async () => {
  env = { KILLICK_ERASERS: await peopleFile({ anna: ANNA, ben: BEN, carl: CARL }), KILLICK_ERASER_TOKEN: '' }
  service = await testService(env)
  const producer = new Producer('shop', newSigner())
  await register(service.url, 'shop', [{ jwk: producer.signer.jwk }])
  const batch = await producer.batch(Array.from({ length: 60 }, (_, i) => event(i)))
  expect((await post(service.url, batch.body)).status).toBeLessThan(300)
})
afterAll(() => service?.stop())

const send = (method: string, path: string, token: string, body?: object) =>
  call(service.url, path, token, {
    method,
    ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
const propose = (body: object, token = ANNA) =>
  send('POST', '/v1/erasures', token, { reason: 'request of the person', order: 'E-7', fields: ['context'], ...body })
const decide = (id: string, what: 'confirm' | 'refuse', token: string, body: object = {}) =>
  send('POST', `/v1/proposals/${id}/${what}`, token, { ...(what === 'refuse' && { reason: 'no' }), ...body })
const isWhole = async (i: number) =>
  (await call(service.url, `/v1/events?target=o-${i}`)).json.events[0].fields.context !== undefined
/** Ids of the proposals of a state, which are those that say so of themselves. */
async function listedBy(state: string): Promise<string[]> {
  const listed = (await call(service.url, `/v1/proposals?state=${state}&limit=1000`)).json.proposals
  const all: { id: string; state: string }[] = (await call(service.url, '/v1/proposals?limit=1000')).json.proposals
  expect(listed).toEqual(all.filter((one) => one.state === state))
  return listed.map(({ id }: { id: string }) => id)
}
const done = (id: string) =>
  vi.waitFor(async () => expect((await call(service.url, `/v1/erasures/${id}`)).json.state).toBe('done'), {
    ...{ timeout: 20_000, interval: 50 },
  })

/** An audit from outside with the service's own checks: which fail, and all that the check of proposals says. */
async function audit() {
  const store = await openStore(loadConfig({ ...env, DATABASE_URL: service.databaseUrl, KILLICK_DATA: service.folder }))
  try {
    const said: string[] = []
    const { entry, ...check } = checkProposals()
    const heard = {
      ...{ ...check, id: 'heard' },
      entry: async (walked: Parameters<NonNullable<typeof entry>>[0]) => {
        said.push(...(await entry!(walked)).map(({ message }) => message.replace(/^.*: /, '')))
        return []
      },
    }
    const pins = { logKeys: [service.vkey], sourceKeys: [], logs: [], urls: [] }
    const own = [...ownChecks(store.pool, service.vkey, true), heard]
    const { checks } = await auditLedger(openApi(service.url, READER), pins, { own, readers: NOTING_READERS })
    const failed = checks.filter(({ status }) => status === 'failed').map(({ id, reason }) => `${id} ${reason}`)
    return { failed, said, detail: checks.find(({ id }) => id === 'proposals')?.detail }
  } finally {
    await store.close()
  }
}

test('people are named in a file, each with a token of their own', async () => {
  const fault = async (people: unknown, more: Record<string, string> = {}) => {
    const path = await peopleFile(people)
    return () => loadConfig({ KILLICK_ERASERS: path, ...more })
  }
  const good = { anna: ANNA, ben: BEN }
  expect((await fault(good))().erasers.map(({ name }) => name)).toEqual(['anna', 'ben'])
  for (const people of ['nonsense', [ANNA, BEN], { anna: ANNA }, { ...good, Carl: CARL }, { ...good, carl: 'short' }])
    expect(await fault(people)).toThrow(/KILLICK_ERASERS must (be a file|name two people)/)
  expect(await fault({ ...good, carl: BEN })).toThrow(/a token twice/)
  expect(await fault(good, { KILLICK_ADMIN_TOKEN: BEN })).toThrow(/or one that opens something else/)
  expect(await fault(good, { KILLICK_ERASER_TOKEN: ERASER })).toThrow(/KILLICK_ERASER_TOKEN cannot be set/)
  expect(() => loadConfig({ KILLICK_ERASERS: '/nowhere' })).toThrow(/ENOENT/)
})

test('nothing goes before another person confirms; then both are named for good', async () => {
  const dry = await propose({ target: 'o-1', dryRun: true })
  expect(dry.json).toMatchObject({ events: 1, fields: 1 })
  const id = randomUUID()
  const made = await propose({ id, target: 'o-1' })
  expect(made.status, made.text).toBe(202)
  expect(made.json).toMatchObject({ id, state: 'waiting', by: 'anna', action: 'erasure.order', target: id, end: null })
  expect(made.json.proposes).toMatchObject({ reason: 'request of the person', order: 'E-7', count: 1 })
  expect(await propose({ id, target: 'o-1' })).toMatchObject({ status: 200, json: { logIndex: made.json.logIndex } })
  for (const other of [{ target: 'o-2' }, { target: 'o-1', reason: 'another' }, { action: 'order.place' }])
    expect((await propose({ id, ...other })).json.code).toBe('erasure_id_taken')
  for (const token of [READER, ADMIN, ERASER])
    expect((await decide(id, 'confirm', token)).status).toBe(token === ERASER ? 401 : 403)
  expect((await decide(id, 'confirm', ANNA)).json.code).toBe('second_person_required')
  expect((await decide(randomUUID(), 'confirm', BEN)).json.code).toBe('proposal_not_found')
  // It waits through a restart, and what the second person sees is what the first one saw.
  await service.close()
  service = await testService(env, service)
  expect((await decide(id, 'confirm', BEN, { dryRun: true })).json).toEqual(dry.json)
  expect(await isWhole(1)).toBe(true)
  expect((await call(service.url, '/v1/erasures')).json.erasures).toEqual([])
  expect((await call(service.url, '/metrics')).text).toContain('killick_proposals{state="waiting"} 1')
  const [{ leafHash }] = (await call(service.url, '/v1/events?target=o-1')).json.events

  const confirmed = await decide(id, 'confirm', BEN)
  expect(confirmed.json).toMatchObject({ id, state: 'confirmed', by: 'anna', endedBy: 'ben' })
  await done(id)
  expect(await isWhole(1)).toBe(false)
  expect((await decide(id, 'confirm', BEN)).json.end).toBe(confirmed.json.end)
  expect((await decide(id, 'confirm', CARL)).json).toMatchObject({ code: 'proposal_ended', state: 'confirmed' })
  expect((await decide(id, 'refuse', CARL)).json.code).toBe('proposal_ended')
  expect((await call(service.url, `/v1/erasures/${id}`)).json).toMatchObject({ orderedBy: 'anna', confirmedBy: 'ben' })
  const proof = parseProof((await call(service.url, `/v1/proofs/${leafHash}`)).text)
  const { checks } = inWords(verifyProof(proof, { logKeys: [service.vkey] }))
  expect(checks.find((check) => check.id === 'event.erasure')).toMatchObject({
    ...{ status: 'passed', detail: expect.stringMatching(/by order E-7, ordered by anna and confirmed by ben: /) },
  })
  expect(await audit()).toEqual({ failed: [], said: [], detail: '1 confirmed, of 1 proposed; 0 ordered by one person' })
})

test('who confirms twice at once is told the same twice', async () => {
  const { json: made } = await propose({ target: 'o-59' })
  const both = await Promise.all([decide(made.id, 'confirm', BEN), decide(made.id, 'confirm', BEN)])
  expect(both.map(({ status, json }) => [status, json.state, json.endedBy])).toEqual(
    Array(2).fill([200, 'confirmed', 'ben']),
  )
  expect(both[0]!.json.end).toBe(both[1]!.json.end)
  await done(made.id)
})

test('what is refused, or lapses, or is held, erases nothing', async () => {
  const [refused, own, lapsed, held] = await Promise.all(
    [2, 3, 4, 5].map(async (i) => (await propose({ target: `o-${i}` })).json.id as string),
  )
  expect((await decide(refused!, 'refuse', BEN)).json).toMatchObject({ state: 'refused', endedBy: 'ben' })
  expect((await decide(own!, 'refuse', ANNA)).json).toMatchObject({ state: 'refused', endedBy: 'anna' })
  for (const id of [refused!, own!])
    expect((await decide(id, 'confirm', CARL)).json).toMatchObject({ code: 'proposal_ended', state: 'refused' })
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3 * DAY + 60_000 })
  try {
    expect((await call(service.url, `/v1/proposals/${lapsed}`)).json.state).toBe('lapsed')
    for (const what of ['confirm', 'refuse'] as const)
      expect((await decide(lapsed!, what, BEN)).json).toMatchObject({ code: 'proposal_ended', state: 'lapsed' })
    // Nor does looking first say that it would go.
    expect((await decide(lapsed!, 'confirm', BEN, { dryRun: true })).json).toMatchObject({ code: 'proposal_ended' })
    expect(await listedBy('lapsed')).toContain(lapsed)
    expect(await listedBy('waiting')).toEqual([])
  } finally {
    vi.useRealTimers()
  }
  expect(await listedBy('refused')).toEqual(expect.arrayContaining([refused, own]))
  expect(await listedBy('waiting')).toEqual(expect.arrayContaining([lapsed, held]))
  expect((await call(service.url, '/v1/proposals?state=gone')).status).toBe(400)
  const hold = (await send('POST', '/v1/holds', ADMIN, { case: 'C-1', reason: 'suit', covers: { target: 'o-5' } })).json
  expect((await decide(held!, 'confirm', BEN, { dryRun: true })).json).toMatchObject({ events: 1, held: 1 })
  expect((await decide(held!, 'confirm', BEN)).json).toMatchObject({ code: 'erasure_held', holds: [hold.id] })
  for (const i of [2, 3, 4, 5]) expect(await isWhole(i)).toBe(true)
  await send('DELETE', `/v1/holds/${hold.id}?reason=over`, ADMIN)
  expect((await decide(held!, 'confirm', BEN)).json.state).toBe('confirmed')
  await done(held!)
})

test('of those who decide at once, one decides', async () => {
  const { id } = (await propose({ target: 'o-6' })).json
  const answers = await Promise.all([
    ...[decide(id, 'confirm', BEN), decide(id, 'confirm', CARL), decide(id, 'refuse', BEN), decide(id, 'refuse', CARL)],
  ])
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
  const { state } = (await call(service.url, `/v1/proposals/${id}`)).json
  if (state === 'confirmed') await done(id)
  expect(await isWhole(6)).toBe(state === 'refused')
})

test('policies take two people too, and so do their ends', async () => {
  const policy = { covers: { source: 'shop' }, contentsDays: 30 }
  const put = (days: number) =>
    send('PUT', '/v1/retention/policies/orders', ANNA, { ...policy, contentsDays: days, eventsDays: 365 })
  const policies = async () => (await call(service.url, '/v1/retention')).json.policies
  const [one, two] = [(await put(30)).json, (await put(40)).json]
  expect([one.state, two.action, await policies()]).toEqual(['waiting', 'retention.set', []])
  expect((await decide(one.id, 'confirm', ANNA)).json.code).toBe('second_person_required')
  await decide(one.id, 'confirm', BEN)
  expect(await policies()).toMatchObject([
    { id: 'orders', version: 1, contentsDays: 30, eventsDays: 365, state: 'standing' },
  ])
  // It was proposed as the first version.
  expect((await decide(two.id, 'confirm', BEN)).json).toMatchObject({
    code: 'retention_changed',
    detail: expect.stringContaining('propose anew'),
  })
  expect((await put(30)).json).toMatchObject({ version: 1, state: 'standing' })
  const end = (await send('DELETE', '/v1/retention/policies/orders', BEN)).json
  expect((await policies())[0].state).toBe('standing')
  await decide(end.id, 'confirm', CARL)
  expect((await policies())[0].state).toBe('ended')
  expect((await audit()).failed).toEqual([])
})

test('whoever owns the database cannot have another list confirmed', async () => {
  const { id, logIndex } = (await propose({ target: 'o-8' })).json
  const other = (await propose({ target: 'o-58' })).json
  const swap = (from: number, to: number) =>
    tamper(
      service,
      `update proposed d set (number, leaf_hash, digests) = (select number, leaf_hash, digests from proposed where proposal = ${from})
       where proposal = ${to}`,
    )
  await tamper(service, `create schema kept; create table kept.proposed as table proposed`)
  await swap(other.logIndex, logIndex)
  expect((await decide(id, 'confirm', BEN)).json.code).toBe('proposal_altered')
  expect((await audit()).failed).toEqual(['told different'])
  await tamper(
    service,
    `delete from proposed where proposal = ${logIndex}; insert into proposed select * from kept.proposed where proposal = ${logIndex}`,
  )
  // Nor does a later end help, nor another name.
  await tamper(
    service,
    `update proposals set proposed_by = 'carl', expires_at = expires_at + interval '1 year' where id = '${id}'`,
  )
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 4 * DAY })
  try {
    expect((await decide(id, 'confirm', ANNA)).json.code).toBe('second_person_required')
    expect((await decide(id, 'confirm', BEN)).json).toMatchObject({ code: 'proposal_ended', state: 'lapsed' })
  } finally {
    vi.useRealTimers()
  }
  await tamper(
    service,
    `update proposals set proposed_by = 'anna', expires_at = expires_at - interval '1 year' where id = '${id}'`,
  )
  expect((await audit()).failed).toEqual([])
  expect(await isWhole(8)).toBe(true)
})

describe('whoever holds the keys', () => {
  test('cannot make an order look as if two people had decided it', async () => {
    const store = await openStore(
      loadConfig({ ...env, DATABASE_URL: service.databaseUrl, KILLICK_DATA: service.folder }),
    )
    const erasing = keepErasing(store)
    const order = (i: number) => ({
      ...{ reason: 'request of the person', legalBasis: null, order: 'E-7' },
      selection: { conditions: { target: `o-${i}` }, ids: null, fields: ['context'] },
    })
    /** Past the service's rules, by what it erases with. */
    const forge = async (i: number, proposal: string, twist: { by?: [string, string]; reason?: string } = {}) => {
      const { erasure, list } = await erasing.prepare({ ...order(i), id: proposal })
      const [orderedBy, confirmedBy] = twist.by ?? ['anna', 'ben']
      const { id, reason, legalBasis, order: number, fields } = erasure
      await erasing.confirm(
        {
          id,
          reason: twist.reason ?? reason,
          legalBasis,
          order: number,
          fields,
          confirmed: { proposal, orderedBy, confirmedBy },
        },
        ...([list, { type: 'eraser', id: confirmedBy }, async () => {}] as const),
      )
      await done(id)
    }
    const made = async (i: number) => (await propose({ target: `o-${i}` })).json.id as string
    try {
      await forge(20, randomUUID())
      const refused = await made(21)
      await decide(refused, 'refuse', BEN)
      await forge(21, refused)
      await forge(22, await made(22), { by: ['anna', 'anna'] })
      await forge(23, await made(23), { by: ['carl', 'ben'] })
      await forge(24, await made(24), { reason: 'another' })
      await forge(25, await made(26))
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - 4 * DAY })
      const late = await made(27).finally(() => vi.useRealTimers())
      await forge(27, late)
      await erasing.order({ ...order(28), id: await made(28) }, { type: 'eraser', id: 'anna' })
      const { failed, said } = await audit()
      expect(failed).toContain('proposals confirmation_invalid')
      expect(said).toEqual([
        'the log proposes no such thing before it',
        'the proposal was refused before',
        'the two are one person',
        'somebody else had proposed it',
        'it is not what was proposed',
        'it is not what was proposed',
        'it was confirmed too late',
        'it was proposed, and nobody confirmed it',
      ])
    } finally {
      await erasing.close()
      await store.close()
    }
  })
})
