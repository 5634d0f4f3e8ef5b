// An auditor judges keys by the log itself, whatever the operator's tables say about them.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { auditLedger, auditOutcome, openApi } from '@killick/sdk/audit'
import { type Hash, parseCheckpoint, printHash, registrationFields } from '@killick/sdk/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openPool } from '../../../anchor-service/src/database/pool.ts'
import { openLedger } from '../../../anchor-service/src/ledger/ledger.ts'
import { loadSigner } from '../../../anchor-service/src/ledger/signing-keys.ts'
import { tamper } from '../../anchor-service/audit/support/audits.ts'
import { nextBatch } from '../../anchor-service/support/ledger.ts'
import { alterToken, numberOf, partsOf } from '../../anchor-service/support/packs.ts'
import { newSigner, Producer, post, sampleEvent } from '../../anchor-service/support/producer.ts'
import { call, READER, register, type TestService, testService } from '../../anchor-service/support/service.ts'
import { tellAnchors } from '../../anchor-service/support/tell-anchors.ts'

const NO_PINS = { logKeys: [], sourceKeys: [], logs: [], urls: [] }
const billing = newSigner()
const hiding = newSigner()

async function audit(url: string, pins: Parameters<typeof auditLedger>[1] = NO_PINS) {
  const result = await auditLedger(openApi(url, READER), pins)
  const failed = new Map(
    result.checks.filter(({ status }) => status === 'failed').map(({ id, detail }) => [id, detail]),
  )
  return { ...result, failed, outcome: auditOutcome(result, ['anchors.chain']) }
}

describe('a real service', () => {
  let service: TestService
  const producer = new Producer('billing', billing, 'main')
  const NOT_AFTER = '2099-01-01T00:00:00.000Z'

  beforeAll(async () => {
    service = await testService()
    await register(service.url, 'billing', [{ jwk: billing.jwk }])
    await register(service.url, 'hiding', [{ jwk: hiding.jwk }], { decoys: true })
    for (const source of [producer, new Producer('hiding', hiding, 'main')]) {
      const batch = await source.batch([0, 1, 2].map((i) => ({ ...sampleEvent(i), metadata: { i } })))
      expect((await post(service.url, batch.body)).status).toBe(201)
      batch.advance()
    }
    await register(service.url, 'billing', [{ jwk: billing.jwk, notAfter: NOT_AFTER }])
  })
  afterAll(() => service.stop())

  /** Alters tables, audits, and puts the tables back. */
  async function altered(sql: string | (() => Promise<void>), tables: readonly string[]) {
    await tamper(service, tables.map((name) => `create table kept_${name} as table ${name}`).join('; '))
    try {
      await (typeof sql === 'string' ? tamper(service, sql) : sql())
      return await audit(service.url)
    } finally {
      const back = tables.map(
        (name) => `delete from ${name}; insert into ${name} select * from kept_${name}; drop table kept_${name}`,
      )
      await tamper(service, back.join('; '))
    }
  }

  /** Takes the last field out of a source's second event. */
  const takeField = async (source: string) =>
    alterToken(service.databaseUrl, await numberOf(service.databaseUrl, source, 1), (token) => {
      const { jws, disclosures } = partsOf(token)
      return `${jws}~${disclosures.split('~').slice(0, -2).join('~')}~`
    })

  test('an unaltered log passes, and rests on the operator’s word for keys that are not pinned', async () => {
    const { failed, outcome, restsOn, checks } = await audit(service.url)
    expect([...failed]).toEqual([])
    expect(outcome).toBe('passed')
    expect(restsOn).toEqual([{ what: 'log_key' }, { what: 'source_keys', sources: ['billing', 'hiding', 'killick'] }])
    expect(checks.find(({ id }) => id === 'registry')!.detail).toMatch(/^3 registered/)
  })

  test('fields missing from an event are found, and its place is named', async () => {
    const take = async () => takeField('billing')
    const { failed, first } = await altered(take, ['packs'])
    expect([...failed.keys()]).toEqual(['fields'])
    expect(first).toMatchObject({ source: 'billing', stream: 'main', seq: 1 })
    expect(failed.get('fields')).toMatch(/1 of its 4 fields is gone/)
  })

  test('missing fields of a source with decoys cannot be told, and the result says for how many events', async () => {
    const take = async () => takeField('hiding')
    const { failed, checks } = await altered(take, ['packs'])
    expect([...failed]).toEqual([])
    expect(checks.find(({ id }) => id === 'fields')!.detail).toMatch(/^each but 1 of sources that may hide fields/)
  })

  const NEWEST = `(select max(log_index) from source_keys where source = 'billing')`
  const thief = newSigner()
  const slip = `insert into source_keys select log_index, source, '${thief.kid}', '${JSON.stringify(thief.jwk)}', null, null from source_keys where log_index = ${NEWEST}`
  test.each([
    ['an end of a key that is gone', `delete from source_keys where log_index = ${NEWEST}`, /another validity/],
    [
      'a registration that is gone',
      `delete from source_keys where log_index = ${NEWEST}; delete from sources where log_index = (select max(log_index) from sources where source = 'billing')`,
      /logIndex is/,
    ],
    [
      'an end that was moved',
      `update source_keys set not_after = '2100-01-01' where log_index = ${NEWEST}`,
      /another validity/,
    ],
    ['a setting', `update sources set decoys = true where source = 'billing'`, /decoys is true, the log says false/],
    ['a key slipped in', slip, new RegExp(`key ${thief.kid} is listed`)],
    [
      'a source that nobody registered',
      `update sources set source = 'other' where source = 'hiding'; update source_keys set source = 'other' where source = 'hiding'`,
      /hiding: it is not listed/,
    ],
    [
      'a key that cannot be read',
      `update source_keys set jwk = '{"kty":"OKP"}' where source = 'billing'`,
      /cannot be read/,
    ],
    ['a key that is none', `update source_keys set jwk = '5' where source = 'billing'`, /v1\/sources/],
  ])('%s is found in what the service lists', async (_, sql, message) => {
    const { failed } = await altered(sql, ['sources', 'source_keys'])
    expect([...failed.keys()]).toEqual(['registry'])
    expect(failed.get('registry')).toMatch(message)
  })

  test('a key used outside its time, as anchors show, is found', async () => {
    const { text } = await call(service.url, '/checkpoint')
    const covered = parseCheckpoint(text)
    const fresh = await producer.batch([sampleEvent()])
    expect((await post(service.url, fresh.body)).status).toBe(201)
    fresh.advance()
    const log = { chainId: 1, contract: `0x${'1'.repeat(40)}`, logId: `0x${'2'.repeat(64)}` }
    const placeOf = (place: typeof log, { size, root }: typeof covered) => ({
      ...{ ...place, size: Number(size), root: printHash(root) },
    })
    await tellAnchors(service, 'anchor.commit', [placeOf(log, covered)])
    let time = 0
    const rowOf = (place: typeof log, at: typeof covered, seconds: number) => ({
      ...{ ...placeOf(place, at), target: 'main', state: 'final', time: seconds },
      ...{ transaction: `0x${'3'.repeat(64)}`, block: 1, confirmations: 9, gasUsed: null, fee: null, events: 1 },
    })
    /** Of another chain. */
    let others: object[] = []
    const anchors = () => [rowOf(log, covered, time), ...others]
    const proxy = await listen(async (request, response) => {
      if (request.url!.startsWith('/v1/anchors'))
        return response.end(JSON.stringify({ anchors: anchors(), next: null }))
      const { authorization } = request.headers
      const upstream = await fetch(`${service.url}${request.url}`, { headers: { authorization: authorization! } })
      response.writeHead(upstream.status).end(Buffer.from(await upstream.arrayBuffer()))
    })
    try {
      time = Date.parse(NOT_AFTER) / 1000 + 3_600
      expect([...(await audit(proxy.url)).failed]).toEqual([])
      time += 1
      const { failed, first } = await audit(proxy.url)
      expect([...failed.keys()]).toEqual(['registry'])
      expect(failed.get('registry')).toMatch(
        /valid until 2099-01-01T00:00:00.000Z, and the entry was not yet in the log/,
      )
      expect(first).toMatchObject({ source: 'billing', seq: 3, logIndex: Number(covered.size) })
      // Another chain had the entry in time; this one was late.
      const newest = parseCheckpoint((await call(service.url, '/checkpoint')).text)
      const elsewhere = { ...log, chainId: 2 }
      others = [rowOf(elsewhere, newest, Date.parse(NOT_AFTER) / 1000)]
      await tellAnchors(service, 'anchor.commit', [placeOf(elsewhere, newest)])
      expect([...(await audit(proxy.url)).failed]).toEqual([])
      others = []
      await tellAnchors(service, 'anchor.withdraw', [placeOf(elsewhere, newest)])

      // The last batch came after the anchor, and the others before it.
      const at = (hours: number) => new Date((time + 3_600 * hours) * 1000).toISOString()
      const pinned = async (period: { notBefore?: string; notAfter?: string }) => {
        const sourceKeys = [{ source: 'billing', jwk: billing.jwk, ...period }]
        const { failed, first, unpinned } = await audit(proxy.url, { ...NO_PINS, sourceKeys })
        return { failed: failed.get('batches'), at: first?.logIndex, isPinned: !unpinned.includes('billing') }
      }
      time = Date.parse(NOT_AFTER) / 1000 - 3_600
      // After the registrations of the ledger and of the two sources.
      const earlier = 3
      expect(await pinned({})).toEqual({ failed: undefined, at: undefined, isPinned: true })
      expect(await pinned({ notAfter: at(-1) })).toMatchObject({
        failed: expect.stringMatching(/pinned for another time/),
        at: Number(covered.size),
      })
      expect(await pinned({ notBefore: at(1) })).toMatchObject({
        failed: expect.stringMatching(/pinned for another time/),
        at: earlier,
      })
      // No anchor says when the last one came.
      expect(await pinned({ notAfter: at(1) })).toEqual({ failed: undefined, at: undefined, isPinned: false })
    } finally {
      await proxy.close()
      await tellAnchors(service, 'anchor.withdraw', [placeOf(log, covered)])
    }
  })

  // The last: what stands in the log stays in it.
  test('a key used before its registration, or a missing registration, is found even if the ledger’s own keys signed', async () => {
    const [logSigner, systemSigner] = await Promise.all(
      ['log', 'system'].map((name) => loadSigner(join(service.folder, 'keys', `${name}.json`))),
    )
    const pool = openPool(service.databaseUrl, true, 2)
    const ledger = await openLedger({
      ...{ pool, origin: 'localhost/killick' },
      ...{ logSigner: logSigner!, systemSigner: systemSigner! },
    })
    try {
      await ledger.registry.catchUp(pool)
      const { newest: _, logIndex: __, keys: ___, ...settings } = ledger.registry.source('billing')!
      const previous = new Uint8Array(32) as Hash
      const actor = { type: 'test', id: 'test' }
      await ledger.record({ actor, ...registrationFields({ ...settings, previous, keys: [] }) })
      const { failed, first } = await audit(service.url)
      expect([...failed.keys()]).toEqual(['registry'])
      expect(failed.get('registry')).toMatch(/registration of billing .* does not follow the registration .* before it/)
      expect(first).toMatchObject({ source: 'killick', stream: 'system' })

      // The service refuses what is signed by the thief, although the tables list the key.
      const theft = new Producer('hiding', thief, 'theft')
      await tamper(service, slip.replaceAll('billing', 'hiding'))
      expect((await post(service.url, (await theft.batch([sampleEvent()])).body)).status).not.toBe(201)
      await ledger.submit(await nextBatch(theft))
      const { json } = await call(service.url, '/v1/streams/hiding/theft/events?seq=0&span=0')
      const pins = {
        ...NO_PINS,
        sourceKeys: [
          { source: 'hiding', jwk: thief.jwk },
          { source: 'hiding', jwk: hiding.jwk },
        ],
      }
      for (const result of [await audit(service.url), await audit(service.url, pins)]) {
        expect(result.failed.has('registry')).toBe(true)
        expect(result.failed.has('batches')).toBe(result.unpinned.includes('hiding'))
      }
      const used = await audit(service.url, pins)
      expect(used.failed.get('registry')).toMatch(/\(and \d more\)/)
      expect(json.events).toHaveLength(1)
    } finally {
      await ledger.close()
      await pool.end()
    }
  })
})

async function listen(reply: (request: IncomingMessage, response: ServerResponse) => unknown) {
  const server = createServer(reply)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => new Promise((resolve) => server.close(resolve)),
  }
}
