/** Erasures and holds, on a real service: what goes, what stays, and what everybody then says of it. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseProof, verifyProof } from '@killick/sdk'
import { type Api, auditLedger, lookUp, openApi, type WalkedBatch } from '@killick/sdk/audit'
import {
  type EventInput,
  erasedLeaf,
  erasureFields,
  hideFields,
  nodePrimitives,
  parseBatchHeader,
  parseEvent,
  printCheckpoint,
  printProof,
  rootFromInclusion,
  signNote,
} from '@killick/sdk/core'
import { checkInWords, inWords } from '@killick/sdk/words'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ownChecks } from '../../anchor-service/src/audit/checks.ts'
import { NOTING_READERS } from '../../anchor-service/src/audit/noted.ts'
import { openPool } from '../../anchor-service/src/database/pool.ts'
import { makeRun } from '../../anchor-service/src/ledger/index/write-run.ts'
import { termKey } from '../../anchor-service/src/ledger/packs/event-keys.ts'
import { packFrame } from '../../anchor-service/src/ledger/packs/packer.ts'
import { readBody } from '../../anchor-service/src/ledger/packs/read-pack.ts'
import { GERMAN } from '../../anchor-service/web/page/german.ts'
import { ENGLISH } from '../../anchor-service/web/shared/english.ts'
import { queryAsOwner } from '../support/postgres.ts'
import { newSigner, Producer, post, type Twist } from './support/producer.ts'
import { ADMIN, call, ERASER, READER, register, type TestService, testService } from './support/service.ts'

const SUBJECT = 'zoe-4711'
const LARGE = 17_000

/** The ledger that is asked: a large one with runs of the index first, then a small one. */
let service: TestService
let small: TestService
let large: TestService
let producer: Producer

async function open(): Promise<TestService> {
  service = await testService()
  producer = new Producer('shop', newSigner())
  await register(service.url, 'shop', [{ jwk: producer.signer.jwk }], { eventSignatures: 'optional' })
  return service
}

beforeAll(async () => {
  large = await open()
  // More than a run of the index holds, so that keys must go from runs too. All that is looked at by itself is signed by itself.
  for (let sent = 0; sent < LARGE; sent += 1000)
    await record(
      Array.from({ length: 1000 }, (_, i) => purchase(sent + i)),
      sent === 0 || sent === LARGE - 1000 ? {} : { eventSigner: null },
    )
  const pool = openPool(service.databaseUrl, true, 1)
  while (await makeRun(pool)) {}
  await pool.end()
})
afterAll(async () => {
  await large?.stop()
  await small?.stop()
})

const purchase = (i: number): EventInput => ({
  action: 'order.place',
  actor: i % 100 === 7 ? { type: 'user', id: SUBJECT, name: 'Zoë Example' } : { type: 'user', id: `u-${i % 50}` },
  targets: [{ type: 'order', id: `o-${i}` }],
  context: { ip: `203.0.113.${i % 250}` },
  outcome: 'success',
})

async function record(inputs: EventInput[], twist: Twist = {}): Promise<void> {
  const batch = await producer.batch(inputs, twist)
  const reply = await post(service.url, batch.body)
  expect(reply.status, JSON.stringify(reply)).toBeLessThan(300)
  batch.advance()
}

const order = (body: object, token = ERASER) =>
  call(service.url, '/v1/erasures', token, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ reason: 'request of the person', legalBasis: 'GDPR Art. 17(1)', order: 'E-12', ...body }),
  })

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 50_000; !(await holds()); ) {
    if (Date.now() > end) throw new Error('it never came')
    await sleep(50)
  }
}

async function done(id: string): Promise<void> {
  await until(async () => (await call(service.url, `/v1/erasures/${id}`)).json.state === 'done')
}

async function audit() {
  const pool = openPool(service.databaseUrl, true, 2)
  try {
    const pins = { logKeys: [service.vkey], sourceKeys: [], logs: [], urls: [] }
    const result = await auditLedger(openApi(service.url, READER), pins, {
      own: ownChecks(pool, service.vkey, true),
      readers: NOTING_READERS,
    })
    const failed = result.checks.filter(({ status }) => status === 'failed')
    return { ...result, failed: failed.map(({ id, reason, detail }) => ({ id, reason, detail })) }
  } finally {
    await pool.end()
  }
}

const search = async (query: string) => (await call(service.url, `/v1/events?limit=500&${query}`)).json.events

test('a dry run counts and shows samples, and changes nothing', async () => {
  const { status, json } = await order({ actor: SUBJECT, fields: ['actor', 'context'], dryRun: true })
  expect(status).toBe(200)
  expect(json).toMatchObject({ events: 170, fields: 340, held: 0, holds: [], unreadable: 0 })
  expect(json.samples).toHaveLength(10)
  expect(json.samples[0].fields).toEqual(['actor', 'context'])
  expect(await search(`actor=${SUBJECT}`)).toHaveLength(170)
})

test('only the token for erasures orders them', async () => {
  for (const token of [ADMIN, READER]) expect((await order({ actor: SUBJECT, fields: 'all' }, token)).status).toBe(403)
  expect((await call(service.url, '/v1/events', ERASER)).status).toBe(403)
})

describe('a subject is erased', () => {
  let before: { leafHash: string; token: string }[]
  const id = randomUUID()

  beforeAll(async () => {
    before = await search(`actor=${SUBJECT}`)
    const { status, json } = await order({ id, actor: SUBJECT, fields: ['actor', 'context'] })
    expect(status, JSON.stringify(json)).toBe(202)
    expect(json).toMatchObject({ id, events: 170 })
    // It goes on where it was.
    await large.close()
    large = await testService({}, large)
    service = large
    await done(id)
  })

  test('leaves stay, disclosures and salts are gone, and nothing finds the subject', async () => {
    expect(await search(`actor=${SUBJECT}`)).toEqual([])
    const rows = await queryAsOwner(
      service.databaseUrl,
      `select count(*)::int as n from killick.pack_keys where position($1::bytea in keys) > 0`,
      [termKey('actor', SUBJECT)],
    )
    expect(rows).toEqual([{ n: 0 }])
    for (const { leafHash, token } of before.slice(0, 5)) {
      const proof = parseProof((await call(service.url, `/v1/proofs/${leafHash}`)).text)
      const [leaf, ...texts] = token.split('~')
      const event = parseEvent(proof.event, nodePrimitives)
      expect(event.leaf).toBe(leaf)
      expect(Object.keys(event.fields).sort()).toEqual(['action', 'outcome', 'targets'])
      expect(proof.missing).toBeUndefined()
      const gone = texts
        .filter((text) => text && !proof.event.includes(text))
        .map((text) => nodePrimitives.digest(text))
      expect(proof.erasures?.[0]?.entry.digests).toEqual(gone.sort())
    }
  })

  test('a proof says who ordered it, and never looks altered', async () => {
    const proof = parseProof((await call(service.url, `/v1/proofs/${before[0]!.leafHash}`)).text)
    const verdict = verifyProof(proof, { logKeys: [service.vkey] })
    expect(verdict.checks.filter(({ status }) => status === 'failed')).toEqual([])
    expect(verdict.event).toMatchObject({ hiddenFields: 2, missingFields: 0, erasedFields: 2 })
    expect(verdict.event!.erasures).toMatchObject([{ id, count: 2, order: 'E-12', legalBasis: 'GDPR Art. 17(1)' }])
    const { checks } = inWords(verdict)
    expect(checks.find((check) => check.id === 'event.fields')).toMatchObject({
      status: 'skipped',
      reason: 'fields_erased',
    })
    expect(checks.find((check) => check.id === 'event.erasure')).toMatchObject({ status: 'passed' })
    const twice = { ...proof, erasures: [...proof.erasures!, ...proof.erasures!] }
    expect(verifyProof(twice, { logKeys: [service.vkey] }).event!.erasures).toHaveLength(1)
    const unpinned = verifyProof(proof, {})
    expect(unpinned.checks.find((check) => check.id === 'event.erasure')).toMatchObject({ reason: 'not_pinned' })
  })

  test('an order that somebody has made up erases nothing where no key of the log is pinned', async () => {
    const [{ leafHash, token }] = (await search('target=o-8')) as [{ leafHash: string; token: string }]
    const proof = parseProof((await call(service.url, `/v1/proofs/${leafHash}`)).text)
    const event = parseEvent(token)
    const digests = event.disclosures
      .filter(({ name }) => name === 'context')
      .map(({ text }) => nodePrimitives.digest(text))
    const stranger = new Producer('killick', newSigner(), 'system')
    const root = erasedLeaf({ leafHash: event.leafHash, digests })
    const order = {
      legalBasis: 'GDPR Art. 17(1)',
      order: 'E-13',
      fields: null,
      count: 1,
      policy: null,
      confirmed: null,
    }
    const said = erasureFields({ id: randomUUID(), reason: 'asked for', root, ...order })
    const { header, tokens } = await stranger.batch([{ actor: { type: 'user', id: 'x' }, ...said }])
    const { index, origin } = proof.log
    const size = index + 2
    // Any tree in which that entry comes behind the event.
    const log = { index: index + 1, path: [] as (typeof root)[] }
    while (rootFromInclusion(parseBatchHeader(header).leafHash, log.index, size, log.path) === null) log.path.push(root)
    const made = rootFromInclusion(parseBatchHeader(header).leafHash, log.index, size, log.path)!
    const text = printCheckpoint({ origin, size, root: made })
    const checkpoint = signNote(text, 'anybody', new Uint8Array(32), () => new Uint8Array(64))
    const forged = {
      ...proof,
      event: hideFields(event, ['action', 'actor', 'targets', 'outcome']),
      erasures: [
        {
          event: tokens[0]!,
          header,
          index: log.index,
          path: log.path,
          checkpoint,
          entry: { index: 0, digests, path: [] },
        },
      ],
    }
    const sourceKeys = [{ source: 'shop', jwk: producer.signer.jwk }]
    const verdict = verifyProof(parseProof(printProof(forged)), { sourceKeys })
    expect(verdict).toMatchObject({ outcome: 'undecided', event: { hiddenFields: 1, erasedFields: 0, erasures: [] } })
    const { checks } = inWords(verdict)
    expect(checks.find(({ id }) => id === 'event.fields')).toMatchObject({ reason: 'fields_hidden' })
    expect(checks.find(({ id }) => id === 'event.erasure')).toMatchObject({
      reason: 'not_pinned',
      detail: expect.stringContaining('By the word of this proof alone'),
    })
    // Nobody who reads it, in whichever language, is told that something was erased.
    for (const language of [ENGLISH, GERMAN]) {
      const told = verdict.checks.find(({ id }) => id === 'event.erasure')!
      expect(checkInWords(told, language.verdict).detail).not.toMatch(/erased|expired|gelöscht|abgelaufen/)
    }
    expect(verifyProof(forged, { sourceKeys, logKeys: [service.vkey] }).outcome).toBe('failed')
  })

  test('an erasure that does not hold fails the proof', async () => {
    const text = (await call(service.url, `/v1/proofs/${before[0]!.leafHash}`)).text
    const other = (await call(service.url, `/v1/proofs/${before[1]!.leafHash}`)).text
    const forge = (
      change: (
        erasure: { index: number; checkpoint: string; event: string; header: string; entry: { digests: string[] } },
        proof: { event: string; batch: { header: string } },
      ) => unknown,
    ) => {
      const proof = JSON.parse(text)
      change(proof.erasures[0], proof)
      return verifyProof(parseProof(JSON.stringify(proof)), { logKeys: [service.vkey] })
    }
    const whats = [
      forge((one) => Object.assign(one.entry, JSON.parse(other).erasures[0].entry)),
      forge((one) => one.entry.digests.pop()),
      forge((one) => (one.index += 1)),
      forge((one) => (one.checkpoint = one.checkpoint.replace(/\n.*\n/, '\n1\n'))),
      forge((one) => (one.event = JSON.parse(text).registrations[0].event)),
      forge((one, { batch }) => (one.header = batch.header)),
      // The fields are back: somebody has kept them.
      forge((_, proof) => (proof.event = before[0]!.token)),
    ].map(({ outcome, checks }) => {
      expect(outcome).toBe('failed')
      const found = checks.find((check) => check.id === 'event.erasure')!
      expect(found).toMatchObject({ status: 'failed', reason: 'erasure_invalid' })
      return (found.values as { what: string }).what
    })
    const expected = ['not_listed', 'not_listed', 'not_in_log', 'other_log', 'no_order', 'not_alone', 'not_hidden']
    expect(whats).toEqual(expected)
  })

  test('readers are told what was erased, apart from what is missing', async () => {
    const [event] = (await search('target=o-7')) as { missing?: number; erased?: number }[]
    expect(event).toMatchObject({ erased: 2 })
    expect(event).not.toHaveProperty('missing')
    expect((await call(service.url, '/v1/events/export?format=csv&target=o-7')).text).toMatch(/,"","2","",""\r\n$/)
  })

  test('the audit expects exactly these holes', async () => {
    const { failed, checks } = await audit()
    expect(failed).toEqual([])
    expect(checks.find((check) => check.id === 'fields')?.detail).toBe(
      'each but 340 fields of 170 events, erased by orders in the log',
    )
  })

  test('the same order twice is made once', async () => {
    const again = await order({ id, actor: SUBJECT, fields: ['actor', 'context'] })
    expect(again).toMatchObject({ status: 200, json: { id, events: 170, state: 'done' } })
    expect((await order({ actor: SUBJECT, fields: 'all' })).json.code).toBe('erasure_empty')
  })

  test('another order under its id is refused, and nothing of it is done', async () => {
    const same = { id, actor: SUBJECT, fields: ['actor', 'context'] }
    const others = [
      { id, actor: 'u-9', fields: ['actor', 'context'] },
      { ...same, target: 'o-7' },
      { ...same, fields: ['actor'] },
      { ...same, fields: 'all' },
      { ...same, reason: 'another' },
      { ...same, order: 'E-13' },
      { id, ids: before.map(({ leafHash }) => leafHash).slice(1), fields: same.fields },
      { id, ids: [...before, (await search('actor=u-9'))[0]].map(({ leafHash }) => leafHash), fields: same.fields },
    ]
    for (const other of others)
      expect(await order(other), JSON.stringify(other)).toMatchObject({
        ...{ status: 409, json: { code: 'erasure_id_taken' } },
      })
    expect((await search('actor=u-9')).length).toBeGreaterThan(0)
  })

  test('events that come later are not touched', async () => {
    await record([{ ...purchase(7), targets: [{ type: 'order', id: 'later' }] }])
    expect(await search(`actor=${SUBJECT}`)).toHaveLength(1)
    // Nor does the order become another by them.
    expect((await order({ id, actor: SUBJECT, fields: ['actor', 'context'] })).status).toBe(200)
    expect(await search(`actor=${SUBJECT}`)).toHaveLength(1)
  })
})

describe('a small ledger', () => {
  beforeAll(async () => {
    small = await open()
    await record(Array.from({ length: 100 }, (_, i) => purchase(i)))
  })

  test('what an order cannot be about is refused', async () => {
    const refusals = [
      [{ fields: 'all' }, 400],
      [{ actor: 'u-1', ids: [randomUUID()], fields: 'all' }, 400],
      [{ ids: ['nonsense'], fields: 'all' }, 400],
      [{ source: 'killick', ids: undefined, fields: 'all' }, 409],
      [{ actor: 'nobody', fields: 'all' }, 409],
      [{ actor: 'u-1', fields: [] }, 400],
      [{ actor: 'u-1', fields: 'all', reason: '' }, 400],
    ] as const
    for (const [body, status] of refusals) expect((await order(body)).status, JSON.stringify(body)).toBe(status)
    const [own] = await search('source=killick')
    expect((await order({ ids: [own.id], fields: 'all' })).json.code).toBe('request_invalid')
  })

  const hold = async (covers: object) =>
    (
      await call(service.url, '/v1/holds', ADMIN, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ case: 'C-1', reason: 'suit', covers }),
      })
    ).json

  test('a hold that can cover nothing is none', async () => {
    for (const covers of [
      { from: '2026-02-01T00:00:00Z', to: '2026-01-01T00:00:00Z' },
      { from: '2026-01-01T01:00:00+01:00', to: '2026-01-01T00:00:00Z' },
      { source: 'shop', target: '' },
    ])
      expect(await hold(covers), JSON.stringify(covers)).toMatchObject({ code: 'request_invalid' })
    expect((await call(service.url, '/v1/holds')).json.holds).toEqual([])
  })

  test('a hold vetoes, for events to come too, until it is lifted', async () => {
    const one = await hold({ target: 'o-31' })
    const two = await hold({ actor: 'u-31' })
    await record([{ ...purchase(31), targets: [{ type: 'order', id: 'held-later' }] }])
    const dry = (await order({ actor: 'u-31', fields: ['context'], dryRun: true })).json
    expect(dry.held).toBe(dry.events)
    const refused = await order({ target: 'o-31', fields: ['context'] })
    expect(refused.json).toMatchObject({ code: 'erasure_held', holds: [one.id, two.id] })
    const lift = (id: string) => call(service.url, `/v1/holds/${id}?reason=over`, ADMIN, { method: 'DELETE' })
    expect((await lift(one.id)).json.state).toBe('lifted')
    expect((await lift(one.id)).json.code).toBe('hold_not_found')
    expect((await order({ target: 'o-31', fields: ['context'] })).json).toMatchObject({
      code: 'erasure_held',
      holds: [two.id],
    })
    await lift(two.id)
    const { json: made } = await order({ target: 'o-31', fields: ['context'] })
    await done(made.id)
    expect((await audit()).failed).toEqual([])
  })

  test('what may be erased is not among the samples that PostgreSQL keeps', async () => {
    await queryAsOwner(service.databaseUrl, 'analyze')
    const sampled = await queryAsOwner(
      service.databaseUrl,
      `select distinct attname as column from pg_stats where schemaname = 'killick' and tablename ~ '^(packs|pack_keys|key_blocks)'`,
    )
    const columns = sampled.map(({ column }) => column)
    expect(columns).toContain('first_event')
    for (const content of ['ids', 'times', 'body', 'keys', 'key_counts', 'entries'])
      expect(columns).not.toContain(content)
  })

  test('an audit that is under way meanwhile finds no fault', async () => {
    for (const target of ['o-60', 'o-61', 'o-62']) {
      const [result] = await Promise.all([
        audit(),
        order({ target, fields: ['actor', 'context'] }).then(({ json }) => done(json.id)),
      ])
      expect(result.failed).toEqual([])
    }
  })

  test('what was read before an erasure, and is looked up after it, is not missed; what nobody ordered to go is', async () => {
    const api = openApi(service.url, READER)
    const pins = { logKeys: [service.vkey], sourceKeys: [], urls: [] }
    let read: WalkedBatch | undefined
    const keeping = {
      ...{ id: 'keeping', title: 'keeping', finish: async () => ({ faults: [], detail: '' }) },
      async batch(batch: WalkedBatch) {
        if (batch.header.n === 100) read = batch
        return []
      },
    }
    await auditLedger(api, { ...pins, logs: [] }, { own: [keeping] })
    const one = { ...read!, event: () => read!.event(63), header: { ...read!.header, n: 1 } }
    const { json } = await order({ target: 'o-63', fields: ['actor'] })
    await done(json.id)
    expect(await lookUp(api, 1, pins).batch!(one)).toEqual([])
    expect(await lookUp(api, 1).batch!(one)).toEqual([])
    // The order names the actor alone, and another log's key has not signed it.
    const blind = (isHidden: (path: string) => boolean): Api => ({
      ...api,
      json: async (path, most) => (isHidden(path) ? { events: [], next: null } : api.json(path, most)),
    })
    const why = async (asked: Api, trusted = pins) =>
      (await lookUp(asked, 1, trusted).batch!(one)).map(({ message }) => /its (.*)$/.exec(message)?.[1])
    expect(await why(blind((path) => path.includes('target=')))).toEqual(['targets'])
    expect(await why(api, { ...pins, logKeys: [large.vkey] })).toEqual(['actor'])
  })

  describe('whoever owns the database', () => {
    /** As a superuser, past the triggers. */
    const asSuperuser = (sql: string, values: unknown[] = []) => queryAsOwner(service.databaseUrl, sql, values)

    test('cannot make one hole more, nor undo an erasure, unseen', async () => {
      const kept = await asSuperuser(`select first_event, body, frame_ends from killick.packs`)
      const { json } = await order({ target: 'o-55', fields: ['context'] })
      await done(json.id)
      expect((await audit()).failed).toEqual([])
      const after = await asSuperuser(`select first_event, body, frame_ends from killick.packs`)
      // The pack as it was before: the field is back.
      const replaced = kept.filter(({ first_event, body }) =>
        after.some((row) => row.first_event === first_event && !(row.body as Buffer).equals(body as Buffer)),
      )
      expect(replaced).toHaveLength(1)
      const put = async (row: (typeof kept)[number]) => {
        await asSuperuser(
          `set session_replication_role = replica; update killick.packs set body = '\\x${(row.body as Buffer).toString('hex')}', frame_ends = '{${row.frame_ends}}' where first_event = ${row.first_event}`,
        )
      }
      await put(replaced[0]!)
      expect((await audit()).failed.map(({ id, reason }) => [id, reason])).toContainEqual([
        'erasures',
        'erasure_undone',
      ])
      const right = after.find((row) => row.first_event === replaced[0]!.first_event)!
      const text = (await readBody(right.body as Buffer))!.toString('latin1')
      const [header, ...lines] = text.split('\n').slice(0, -1)
      const one = lines.findIndex((line) => line.split('~').length > 3)
      lines[one] = lines[one]!.replace(/~[^~]+~$/, '~')
      await put({ ...right, body: packFrame(header!, lines), frame_ends: [] })
      const { failed } = await audit()
      expect(failed.find(({ id }) => id === 'fields')).toMatchObject({
        reason: 'fields_missing',
        detail: expect.stringMatching(/1 of its \d fields is gone, and no erasure names it$/),
      })
      await put(right)
    })
  })
})
