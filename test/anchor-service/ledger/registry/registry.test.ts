// Only what the log says about sources counts. If the database's owner alters the tables that are read for it, no batch is
// accepted because of them, and the source is named.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KillickError, type Signer } from '@killick/sdk'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { openPool } from '../../../../anchor-service/src/database/pool.ts'
import { Refusal } from '../../../../anchor-service/src/errors.ts'
import { holdToCatalogues } from '../../../../anchor-service/src/intake/catalogue-check.ts'
import { checkBatch } from '../../../../anchor-service/src/intake/check.ts'
import { knowSources } from '../../../../anchor-service/src/intake/known-sources.ts'
import { openLedger } from '../../../../anchor-service/src/ledger/ledger.ts'
import { loadSigner } from '../../../../anchor-service/src/ledger/signing-keys.ts'
import { metric, tamper } from '../../audit/support/audits.ts'
import { Producer, post, sampleEvent } from '../../support/producer.ts'
import { foreign, keepTables, PAST, putBack, registeredService, revoked, signer } from '../../support/registered.ts'
import { call, register, type TestService, testService } from '../../support/service.ts'

const TABLES = ['sources', 'source_keys', 'batches', 'packs']

let service: TestService
beforeAll(async () => {
  service = await registeredService()
  await register(service.url, 'billing', [{ jwk: revoked.jwk, notAfter: PAST }])
  await keepTables(service, TABLES)
})

/** All rows but those of batches that were accepted since. */
const altered = (table: string) =>
  table === 'batches' || table === 'packs' ? `where log_index in (select log_index from kept_${table})` : ''

afterEach(() => putBack(service, TABLES, altered))
afterAll(() => service.stop())

const bodyOf = async (by: Signer, source: string) => (await new Producer(source, by).batch([sampleEvent()])).body
const send = async (to: TestService, by = signer, source = 'billing') => post(to.url, await bodyOf(by, source))
const readiness = async (to: TestService) => (await call(to.url, '/readyz')).json

/** What a process that knows nothing from before makes of a batch: all of the service but its threads and its HTTP. */
async function sendToNew(by: Signer, source = 'billing') {
  const pool = openPool(service.databaseUrl, true, 3)
  const key = (name: string) => loadSigner(join(service.folder, 'keys', name))
  const [logSigner, systemSigner] = [await key('log.json'), await key('system.json')]
  const ledger = await openLedger({ pool, origin: service.origin, logSigner, systemSigner })
  try {
    const text = Buffer.from(await bodyOf(by, source))
    const share = { index: 0, of: 1 }
    const known = { sources: knowSources(pool), catalogues: holdToCatalogues(pool) }
    const batch = await checkBatch({ text, frames: null }, known, pool, 0, Date.now(), share)
    const { receipt } = await ledger.submit(batch!)
    return { logIndex: receipt.logIndex }
  } catch (error) {
    if (!(error instanceof Refusal || error instanceof KillickError)) throw error
    const { code, message, details } = error
    return { code, message, source: details.source }
  } finally {
    await ledger.close()
    await pool.end()
  }
}

const jwk = JSON.stringify(foreign.jwk)
const at = (n: number) =>
  `(select log_index from sources where source = 'billing' order by log_index limit 1 offset ${n})`
const addKey = (logIndex: string) =>
  `insert into source_keys (log_index, source, kid, jwk) values (${logIndex}, 'billing', '${foreign.kid}', '${jwk}')`

/** What is done to the tables, and who sends a batch then. */
const attacks: [what: string, sql: string, by?: Signer][] = [
  ['a key beside the newest registration', addKey(at(2)), foreign],
  ['a key that no registration stands for', addKey('1000000'), foreign],
  [
    'a registration of its own with a key',
    `insert into sources values (1000000, 'billing', 'required', false, null, null); ${addKey('1000000')}`,
    foreign,
  ],
  [
    'a key put in place of another',
    `update source_keys set jwk = '${jwk}', kid = '${foreign.kid}' where log_index = ${at(0)} and kid = '${signer.kid}'`,
    foreign,
  ],
  [
    'the key behind a kid exchanged',
    `update source_keys set jwk = '${jwk}' where kid = '${signer.kid}' and source = 'billing'`,
  ],
  [
    'notAfter lifted',
    `update source_keys set not_after = null where source = 'billing' and kid = '${revoked.kid}'`,
    revoked,
  ],
  [
    'notAfter moved',
    `update source_keys set not_after = '2990-01-01' where source = 'billing' and kid = '${revoked.kid}'`,
    revoked,
  ],
  [
    'notAfter moved beyond all time',
    `update source_keys set not_after = 'infinity' where source = 'billing' and kid = '${revoked.kid}'`,
    revoked,
  ],
  [
    'the newest rows deleted',
    `delete from source_keys where log_index in (${at(1)}, ${at(2)}); delete from sources where log_index in (${at(1)}, ${at(2)})`,
    revoked,
  ],
  ['the newest row of the source deleted', `delete from sources where log_index = ${at(2)}`, revoked],
  ['the newest row of a key deleted', `delete from source_keys where log_index = ${at(2)}`, revoked],
  [
    'rows between deleted',
    `delete from source_keys where log_index = ${at(1)}; delete from sources where log_index = ${at(1)}`,
  ],
  ['a row that points elsewhere', `update sources set log_index = 1000000 where log_index = ${at(2)}`],
  ['a row that points at another event', `update sources set log_index = 9 where log_index = ${at(2)}`],
  [
    'a row that points beyond all logs',
    `update sources set log_index = 9223372036854775807 where log_index = ${at(2)}`,
  ],
  ['a key that points elsewhere', `update source_keys set log_index = 1000000 where log_index = ${at(2)}`],
  ['another signature rule', `update sources set event_signatures = 'optional' where source = 'billing'`],
  ['decoys allowed', `update sources set decoys = true where source = 'billing'`],
  ['a bound on age', `update sources set max_age = 1 where source = 'billing'`],
  ['a promise', `update sources set heartbeat = 1 where source = 'billing'`],
  ['a bound on clocks that are ahead', `update sources set max_ahead = 1 where source = 'billing'`],
  ['the registration itself emptied', `update packs set body = '' where log_index = ${at(1)}`],
  [
    'the registration exchanged for another',
    `update packs p set body = o.body from packs o where p.log_index = ${at(2)} and o.log_index = ${at(1)}`,
  ],
  ['the header of the registration gone', `delete from batches where log_index = ${at(1)}`],
]

test.each(attacks)(
  '%s: a process that starts accepts no batch of the source, and names it',
  async (_, sql, by = signer) => {
    expect(await sendToNew(signer)).toEqual({ logIndex: expect.any(Number) })
    await tamper(service, sql)
    expect(await sendToNew(by)).toEqual({
      code: 'registry_altered',
      message: expect.stringMatching(/^(sources|source_keys|log entry|a registration|event|the system stream)/),
      source: expect.toBeOneOf(['billing', undefined]),
    })
  },
)

test.each(attacks.filter(([, , by]) => by !== undefined))(
  '%s: a running service accepts nothing because of it',
  async (_, sql, by) => {
    await tamper(service, sql)
    // More often than there are threads, each of which reads for itself.
    for (let i = 0; i < 4; i++) expect((await send(service, by)).status).not.toBe(201)
  },
)

test('a service that starts reports altered tables, serves other sources, and recovers when they are put back', async () => {
  await tamper(service, addKey(at(2)))
  const fresh = await testService({}, service)
  expect(await send(fresh)).toMatchObject({ status: 503, json: { code: 'registry_altered', source: 'billing' } })
  expect((await send(fresh, signer, 'other')).status).toBe(201)
  expect(await metric(fresh, 'killick_registry_altered_total')).toBeGreaterThan(0)
  const detail = 'source_keys: a row that no registration stands for'
  expect(await readiness(fresh)).toMatchObject({
    status: 'ready',
    registry: { altered: [{ source: 'billing', detail }] },
  })
  await tamper(service, `delete from source_keys where kid = '${foreign.kid}'`)
  expect((await send(fresh)).status).toBe(201)
  expect((await readiness(fresh)).registry).toEqual({ checked: true, altered: [] })
  await fresh.close()
})

test('if the system stream itself was altered, no source is served, and the service is not ready', async () => {
  await tamper(service, `update packs set body = '' where log_index = 0`)
  const fresh = await testService({}, service)
  expect(await send(fresh, signer, 'other')).toMatchObject({ status: 503, json: { code: 'registry_altered' } })
  expect(await readiness(fresh)).toMatchObject({
    status: 'not ready',
    registry: { altered: [{ source: null, detail: 'event 0 of the system stream, log entry 0: it is not there' }] },
  })
  await fresh.close()
})

test('an entry of the ledger that names its key, and that another has signed, is believed by no service', async () => {
  const own = await testService()
  const pool = openPool(own.databaseUrl, true, 3)
  const key = (name: string) => loadSigner(join(own.folder, 'keys', name))
  const [logSigner, systemSigner] = [await key('log.json'), await key('system.json')]
  const { sign } = logSigner
  const ledger = await openLedger({ pool, origin: own.origin, logSigner, systemSigner: { ...systemSigner, sign } })
  await ledger.record({ action: 'any.thing', actor: { type: 'service', id: 'any' }, targets: [], metadata: {} })
  await ledger.close()
  await pool.end()
  const fresh = await testService({}, own)
  expect(await readiness(fresh)).toMatchObject({
    status: 'not ready',
    registry: { altered: [{ source: null, detail: expect.stringContaining('is signed by no key of killick') }] },
  })
  await fresh.close()
  await own.stop()
})

test('altered rows that nobody has asked for are found as soon as a service starts', async () => {
  await tamper(
    service,
    `insert into source_keys (log_index, source, kid, jwk) values (1, 'nobody', '${foreign.kid}', '${jwk}');
    update source_keys set not_after = '2990-01-01' where source = 'other'`,
  )
  const fresh = await testService({}, service)
  await expect
    .poll(async () => (await readiness(fresh)).registry)
    .toEqual({
      checked: true,
      altered: [
        {
          source: 'other',
          detail: expect.stringMatching(/^source_keys.not_after: it is not what log entry \d+ says$/),
        },
        { source: 'nobody', detail: 'sources: a row that no registration stands for' },
      ],
    })
  await fresh.close()
})

test('what is registered while a service that starts compares is no fault', async () => {
  const pool = openPool(service.databaseUrl, true, 3)
  const key = (name: string) => loadSigner(join(service.folder, 'keys', name))
  const [logSigner, systemSigner] = [await key('log.json'), await key('system.json')]
  const ledger = await openLedger({ pool, origin: service.origin, logSigner, systemSigner })
  const compareDuring = async (...happens: (() => Promise<unknown>)[]) => {
    let next = 0
    const query = async (...asked: [text: string, values?: unknown[]]) => {
      // Behind each walk, and before the rows are read.
      if (asked[0].includes('json_agg')) await happens[next++]?.()
      return pool.query(...asked)
    }
    await ledger.registry.compareAll({ query } as Pick<typeof pool, 'query'>)
    const { checked, altered } = ledger.registry.status()
    return [next >= happens.length && checked, altered.map(({ source }) => source)]
  }
  const registered = await compareDuring(async () => {
    expect((await register(service.url, 'late', [{ jwk: signer.jwk }])).status).toBe(201)
    expect((await register(service.url, 'other', [], { heartbeat: 60 })).status).toBe(201)
  })
  expect(registered).toEqual([true, []])
  const beat = (heartbeat: number) => () => register(service.url, 'other', [], { heartbeat })
  expect(await compareDuring(beat(120), beat(240), beat(360))).toEqual([true, []])
  const altered = await compareDuring(async () => {
    await register(service.url, 'later', [{ jwk: signer.jwk }])
    await tamper(service, `update source_keys set not_after = '${PAST}' where source in ('late', 'later')`)
  })
  expect(altered).toEqual([true, ['late', 'later']])
  await ledger.close()
  await pool.end()
  await keepTables(service, TABLES)
})

test('a row that ends the time of the ledger’s own key, which the log does not, ends nothing', async () => {
  await tamper(service, `update source_keys set not_after = '${PAST}' where source = 'killick'`)
  expect((await register(service.url, 'written', [{ jwk: signer.jwk }])).status).toBe(201)
})

test('the ledger’s own key changes only by a registration that the old key signs', async () => {
  const own = await testService()
  const keys = await mkdtemp(join(tmpdir(), 'killick-keys-'))
  const path = join(keys, 'new.json')
  const { jwk: newKey, kid } = await loadSigner(path)
  const { jwk: inUse, kid: before } = await loadSigner(join(own.folder, 'keys/system.json'))
  const changed = () => testService({ KILLICK_SYSTEM_KEY: path }, own)

  await expect(changed()).rejects.toThrow(`${kid}, which is not registered`)
  expect((await register(own.url, 'killick', [{ jwk: inUse, notAfter: PAST }])).json.code).toBe('request_invalid')
  const { json } = await register(own.url, 'killick', [{ jwk: newKey }])
  expect(json).toMatchObject({ source: 'killick', logIndex: 1, keys: [{ kid }] })

  const next = await changed()
  expect((await register(next.url, 'billing', [{ jwk: signer.jwk }])).status).toBe(201)
  expect((await send(next)).status).toBe(201)
  // Each ends the other's, at last: then no key could ever sign for another one.
  expect((await register(own.url, 'killick', [{ jwk: newKey, notAfter: '2999-01-01T00:00:00Z' }])).status).toBe(201)
  const last = await register(next.url, 'killick', [{ jwk: inUse, notAfter: PAST }])
  expect(last.json).toMatchObject({ code: 'request_invalid', detail: expect.stringContaining('must have no end') })
  expect((await register(own.url, 'killick', [{ jwk: newKey }])).status).toBe(201)
  expect((await register(next.url, 'killick', [{ jwk: inUse, notAfter: PAST }])).status).toBe(201)
  const [killick] = (await call(next.url, '/v1/sources?source=killick')).json.sources
  expect(killick).toMatchObject({
    logIndex: 6,
    keys: [
      { logIndex: 0, notAfter: PAST },
      { kid, logIndex: 1 },
    ],
  })
  await next.close()

  // What it signed now every audit would report for good. It still runs, and must neither record nor start again.
  const late = await register(own.url, 'late', [{ jwk: signer.jwk }])
  expect(late).toMatchObject({ status: 503, json: { code: 'unavailable', kid: before } })
  // That is nothing the database did, and batches are taken.
  expect(await readiness(own)).toMatchObject({ status: 'ready', writable: true })
  expect(await metric(own, 'killick_commit_failures_total')).toBe(0)
  await expect(testService({}, own)).rejects.toThrow(`registered for the source "killick" until ${PAST} only`)

  // The database's owner can add the key to the table, but no signature to the log.
  const other = join(keys, 'other.json')
  const stranger = await loadSigner(other)
  await tamper(
    own,
    `insert into source_keys (log_index, source, kid, jwk) values (4, 'killick', '${stranger.kid}', '${JSON.stringify(stranger.jwk)}')`,
  )
  const strange = await testService({ KILLICK_SYSTEM_KEY: other }, own)
  await expect
    .poll(async () => (await readiness(strange)).registry.altered)
    .toEqual([{ source: 'killick', detail: 'source_keys: a row that no registration stands for' }])
  await strange.close()
  await own.stop()
  await rm(keys, { recursive: true })
})
