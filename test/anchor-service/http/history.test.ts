// The history of a thing, over two sources and a database that somebody has altered, held against what the command tells.
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { openPool } from '../../../anchor-service/src/database/pool.ts'
import { readTargetEvents } from '../../../anchor-service/src/ledger/read/history.ts'
import { killick } from '../../sdk/cli/support.ts'
import { alterToken, numberOf, partsOf } from '../support/packs.ts'
import { newSigner, Producer, post } from '../support/producer.ts'
import { call, ERASER, READER, register, type TestService, testService } from '../support/service.ts'

const ID = '2026/0042 "ü" \u0000?#'
const T0 = Date.UTC(2026, 3, 2)

let service: TestService
const signer = newSigner()
const producers = { billing: new Producer('billing', signer, 'b'), crm: new Producer('crm', signer, 'c') }

/** Records one event, so many minutes after the first. */
async function record(source: keyof typeof producers, minutes: number, fields: object, type = 'invoice') {
  const input = {
    action: 'invoice.change',
    actor: { type: 'user', id: source === 'crm' ? 'ben' : 'ada' },
    targets: [{ type, id: ID }],
    ...fields,
  }
  const batch = await producers[source].batch([input], { times: [T0 + 60_000 * minutes] })
  const { status, json } = await post(service.url, batch.body)
  expect(status, JSON.stringify(json)).toBe(201)
  batch.advance()
}
const changed = (...changes: [path: string, before: unknown, after: unknown][]) => ({
  changes: changes.map(([path, before, after]) => ({ path, before, after })),
})

const pathOf = (id = ID, query: Record<string, string> = {}) =>
  `/v1/history/invoice/${encodeURIComponent(id)}?${new URLSearchParams(query)}`
const read = async (query: Record<string, string> = {}) => {
  const answer = await call(service.url, pathOf(ID, query))
  expect(answer.status, answer.text).toBe(200)
  return answer.json
}
const at = (minutes: number) => new Date(T0 + 60_000 * minutes).toISOString()

beforeAll(async () => {
  service = await testService()
  for (const source of Object.keys(producers)) await register(service.url, source, [{ jwk: signer.jwk }])
  // Accepted in another order than recorded.
  await record('crm', 10, changed(['/total', 4200, 4900]))
  await record('billing', 0, changed(['', undefined, { status: 'new', total: 4200 }]))
  await record('billing', 20, changed(['/status', 'open', 'approved']))
  await record('billing', 30, { ...changed(['/status', 'approved', 'void']), outcome: 'denied' })
  await record('billing', 40, changed(['', undefined, { other: true }]), 'customer')
})
afterAll(() => service.stop())

describe('GET /v1/history', () => {
  test('tells the life of a target over all sources: steps, state, blame, contradictions, hash', async () => {
    const answer = await call(service.url, pathOf())
    expect(answer.headers.get('cache-control')).toBe('no-store')
    const { steps, state, blame, doubt, sha256, difference, altered } = answer.json
    expect(steps.map(({ source, effect }: { source: string; effect: string }) => [source, effect])).toEqual([
      ['billing', 'changed'],
      ['crm', 'changed'],
      ['billing', 'changed'],
      ['billing', 'not_done'],
    ])
    expect(steps[2].contradictions).toEqual([{ path: '/status', known: 'new', before: 'open', since: steps[0].id }])
    expect(state).toEqual({ status: 'approved', total: 4900 })
    expect(blame).toEqual([
      { path: '', event: steps[0].id, actor: 'ada', recordedAt: at(0), doubt: null },
      { path: '/total', event: steps[1].id, actor: 'ben', recordedAt: at(10), doubt: null },
      { path: '/status', event: steps[2].id, actor: 'ada', recordedAt: at(20), doubt: null },
    ])
    expect([doubt, difference, altered]).toEqual([null, null, []])
    const { events } = (await call(service.url, `/v1/events?${new URLSearchParams({ target: ID })}`)).json
    const tokens = new Map(events.map(({ id, token }: { id: string; token: string }) => [id, token]))
    const bytes = steps.map(({ id }: { id: string }) => `${tokens.get(id)}\n`).join('')
    expect(sha256).toBe(createHash('sha256').update(bytes).digest('hex'))
  })

  test('its state at a time and at an event, and what is different between two', async () => {
    const all = (await read()).steps
    const early = await read({ at: at(10), from: at(0), to: all[2].id })
    expect([early.steps.length, early.state]).toEqual([1, { status: 'new', total: 4200 }])
    expect(early.difference).toEqual({
      from: { state: null, events: 0, doubt: null },
      to: { state: { status: 'approved', total: 4900 }, events: 3, doubt: null },
      changes: [{ path: '', before: null, after: { status: 'approved', total: 4900 } }],
    })
    const { difference, state } = await read({ at: all[1].id, from: all[0].id })
    expect(difference.changes).toEqual([{ path: '/total', before: 4200, after: 4900 }])
    expect(state).toEqual({ status: 'new', total: 4900 })
  })

  test('says what the command says', async () => {
    const env = { KILLICK_URL: service.url, KILLICK_TOKEN: READER }
    const { code, out, err } = await killick(['history', 'invoice', ID, '--json', '--at', at(30), '--since', at(10)], {
      env,
    })
    expect(code, err).toBe(1)
    const { altered, completeness, outcome, missing, ...told } = JSON.parse(out)
    // These are a bundle's.
    expect([completeness, outcome, missing]).toEqual([null, null, null])
    const { steps, ...answer } = await read({ at: at(30), from: at(10) })
    const leafless = steps.map(({ leafHash: _, ...step }: { leafHash: string }) => step)
    expect({ ...told, altered }).toEqual({ ...answer, steps: leafless, altered: answer.altered.length })
  })

  test('the command says that there was nothing before the first event', async () => {
    const env = { KILLICK_URL: service.url, KILLICK_TOKEN: READER }
    const { out } = await killick(['history', 'invoice', ID, '--since', at(0)], { env })
    expect(out).toContain('What is different from then:\n  (all of it)  nothing → {')
  })

  test.each([
    [pathOf(), null, 401, 'unauthorized'],
    [pathOf(ID, { at: 'yesterday' }), READER, 400, 'request_invalid'],
    [pathOf(ID, { at: '0999-01-01T00:00:00Z' }), READER, 400, 'request_invalid'],
    [pathOf(ID, { from: '01963c2f-0000-7000-8000-000000000000' }), READER, 400, 'request_invalid'],
    [pathOf(ID, { to: at(1) }), READER, 400, 'request_invalid'],
    [pathOf(ID, { until: at(1) }), READER, 400, 'request_invalid'],
    [pathOf('x'.repeat(513)), READER, 400, 'request_invalid'],
    ['/v1/history/invoice/', READER, 400, 'request_invalid'],
    ['/v1/history/invoice/%', READER, 400, 'request_invalid'],
    ['/v1/history/invoice', READER, 404, 'not_found'],
  ])('%.60s with %s: %i %s', async (path, token, status, code) => {
    expect((await call(service.url, path, token)).json).toMatchObject({ status, code })
  })

  test('of what nobody names, nothing', async () => {
    expect((await call(service.url, pathOf('x'.repeat(512)))).json).toMatchObject({ steps: [], state: null, blame: [] })
  })

  test('reads so many events and bytes, and no more', async () => {
    const pool = openPool(service.databaseUrl, true, 1)
    try {
      const target = { type: 'invoice', id: ID }
      const registry = { explainMissing: async () => {} }
      const within = (limits: { events: number; bytes: number }) =>
        readTargetEvents(pool, registry, target, limits).then(({ events, isWhole }) => [events.length, isWhole])
      expect(await within({ events: 5, bytes: 1 << 20 })).toEqual([4, true])
      // The newest is of a customer of the same name.
      expect(await within({ events: 3, bytes: 1 << 20 })).toEqual([3, false])
      expect(await within({ events: 5, bytes: 100 })).toEqual([0, false])
    } finally {
      await pool.end()
    }
  })

  test('what was erased by order is not known either, and told apart', async () => {
    const body = JSON.stringify({ source: 'crm', fields: ['changes'], reason: 'a test' })
    const headers = { 'content-type': 'application/json' }
    const { json } = await call(service.url, '/v1/erasures', ERASER, { method: 'POST', headers, body })
    await vi.waitUntil(async () => (await call(service.url, `/v1/erasures/${json.id}`)).json.state === 'done', {
      timeout: 20_000,
    })
    const { steps, state, blame, doubt } = await read()
    const erased = steps[1]
    expect(erased).toMatchObject({ source: 'crm', effect: 'unreadable', hidden: 1, erased: 1 })
    expect([steps[0].erased, doubt, state]).toEqual([undefined, erased.id, { status: 'approved', total: 4200 }])
    expect(blame.map(({ path, doubt }: { path: string; doubt: string }) => [path, doubt])).toEqual([
      ['', erased.id],
      ['/status', null],
    ])
    // Something that is not shown may have made it so.
    expect(steps[2].contradictions).toEqual([])
  })

  test('of a source with decoys nobody knows what it hides, and the command says the same', async () => {
    const producer = new Producer('vague', signer, 'v')
    await register(service.url, 'vague', [{ jwk: signer.jwk }], { decoys: true })
    const input = { action: 'door.open', actor: { type: 'user', id: 'ada' }, targets: [{ type: 'door', id: 'd-1' }] }
    const changes = [{ path: '/open', before: false, after: true }]
    await post(service.url, (await producer.batch([{ ...input, changes, outcome: 'denied' }])).body)
    // As if its recorder had never shown it.
    await alterToken(service.databaseUrl, await numberOf(service.databaseUrl, 'vague', 0), (token) => {
      const [jws, ...rest] = token.split('~')
      return [jws, ...rest.filter((text) => !Buffer.from(text, 'base64url').includes('"outcome"'))].join('~')
    })
    const { steps, state, doubt } = (await call(service.url, '/v1/history/door/d-1')).json
    expect(steps).toMatchObject([{ effect: 'unreadable', hidden: 1, undecided: 1 }])
    expect([state, doubt]).toEqual([null, steps[0].id])
    const env = { KILLICK_URL: service.url, KILLICK_TOKEN: READER }
    const told = JSON.parse((await killick(['history', 'door', 'd-1', '--json'], { env })).out)
    const { leafHash: _, undecided: __, ...step } = steps[0]
    expect([told.steps, told.state, told.doubt]).toEqual([[step], state, doubt])
  })

  test('what was taken out of the database is not known; what was altered is named', async () => {
    const hide = async (seq: number, name: string) =>
      alterToken(service.databaseUrl, await numberOf(service.databaseUrl, 'billing', seq), (token) => {
        const { jws, disclosures } = partsOf(token)
        const kept = disclosures.split('~').filter((each) => !Buffer.from(each, 'base64url').includes(`"${name}"`))
        return `${jws}~${kept.join('~')}`
      })
    await hide(1, 'changes')
    const before = await read()
    const hiding = before.steps[2]
    expect([hiding.effect, hiding.hidden, before.doubt]).toEqual(['unreadable', 1, hiding.id])
    expect(before.state).toEqual({ status: 'new', total: 4200 })
    expect(before.blame.map(({ doubt }: { doubt: string }) => doubt)).toEqual([hiding.id])
    expect(before.difference).toBeNull()
    await hide(2, 'targets')
    expect((await read()).steps[3]).toMatchObject({ effect: 'not_done', hidden: 1 })
    await alterToken(service.databaseUrl, await numberOf(service.databaseUrl, 'billing', 0), () => 'nothing~')
    const after = await read()
    expect(after.altered).toEqual([
      expect.objectContaining({
        id: before.steps[0].id,
        seq: 0,
        error: expect.objectContaining({ code: 'event_unreadable' }),
      }),
    ])
    expect([after.state, after.blame]).toEqual([null, []])
  })
})
