// The tables of sources are a cache of signed events. They can be made again from these events, and from nothing else.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { checkSchema } from '../../../anchor-service/src/audit/schema.ts'
import { rebuildFromLog } from '../../../anchor-service/src/commands/rebuild-registry.ts'
import { loadConfig } from '../../../anchor-service/src/config.ts'
import { openPool } from '../../../anchor-service/src/database/pool.ts'
import { queryAsOwner } from '../../support/postgres.ts'
import { tamper } from '../audit/support/audits.ts'
import { Producer, post, sampleEvent } from '../support/producer.ts'
import { foreign, keepTables, putBack, registeredService, revoked, signer } from '../support/registered.ts'
import { call, type TestService, testService } from '../support/service.ts'
import { cutTail } from '../support/superuser.ts'

const TABLES = ['sources', 'source_keys', 'batches', 'packs', 'checkpoints', 'tiles'] as const

let service: TestService
beforeAll(async () => {
  service = await registeredService()
  await keepTables(service, TABLES)
})
afterAll(() => service.stop())

const config = () => loadConfig({ DATABASE_URL: service.databaseUrl, KILLICK_DATA: service.folder })
const rebuild = (isSure = true) => rebuildFromLog(config(), isSure)
const rows = () =>
  queryAsOwner(
    service.databaseUrl,
    `select (select json_agg(s order by log_index) from killick.sources s) as sources,
       (select json_agg(k order by log_index, kid) from killick.source_keys k) as keys`,
  )

const addKey = `insert into source_keys (log_index, source, kid, jwk)
  values ((select max(log_index) from sources where source = 'billing'), 'billing', '${foreign.kid}', '${JSON.stringify(foreign.jwk)}')`
const newest = `(select max(log_index) from kept_sources where source = 'billing')`

describe('tables that somebody has altered', () => {
  let whole: unknown
  beforeAll(async () => {
    whole = await rows()
  })
  beforeEach(() => putBack(service, TABLES))

  test.each([
    ['a key added', addKey],
    ['a key exchanged', `update source_keys set jwk = '${JSON.stringify(foreign.jwk)}' where kid = '${signer.kid}'`],
    [
      'the end of a key taken away',
      `delete from source_keys where log_index = ${newest}; delete from sources where log_index = ${newest}`,
    ],
    ['a source added', `insert into sources values (1000000, 'nobody', 'optional', true, null, null)`],
    ['settings changed', `update sources set decoys = not decoys, max_age = 5`],
    ['all rows gone', `delete from source_keys; delete from sources`],
    ['the ledger’s own rows for another key', `update source_keys set kid = '${foreign.kid}' where source = 'killick'`],
  ])('%s: they are made again from the log', async (_, sql) => {
    await tamper(service, sql)
    await expect(rebuild(false)).rejects.toThrow(/do not say what the log says[\s\S]*Nothing was changed/)
    expect(await rows()).not.toEqual(whole)
    expect(await rebuild()).toMatch(/made again from the log: 4 registrations of 3 sources\.\n$/)
    expect(await rows()).toEqual(whole)
    expect(await rebuild(false)).toMatch(/There is nothing to rebuild/)
  })

  test('a service refuses batches by them, reports them, and takes batches again once they are rebuilt', async () => {
    await tamper(service, addKey)
    const fresh = await testService({}, service)
    const send = async (by = signer) => post(fresh.url, (await new Producer('billing', by).batch([sampleEvent()])).body)
    const registry = async () => (await call(fresh.url, '/readyz')).json.registry
    expect(await send(foreign)).toMatchObject({ status: 503, json: { code: 'registry_altered' } })
    expect(await registry()).toMatchObject({ altered: [{ source: 'billing' }] })
    await rebuild()
    expect((await send()).status).toBe(201)
    expect(await registry()).toEqual({ checked: true, altered: [] })
    expect((await send(foreign)).json).toMatchObject({ code: 'key_unknown' })
    expect((await send(revoked)).json).toMatchObject({ code: 'key_expired' })
    await fresh.close()
    // The log has grown, and the data folder remembers that.
    await keepTables(service, TABLES)
  })

  test('after a rebuild the tables refuse changes as before, and the schema is unchanged', async () => {
    await tamper(service, addKey)
    await rebuild()
    await expect(queryAsOwner(service.databaseUrl, 'delete from killick.source_keys')).rejects.toThrow('append-only')
    await expect(queryAsOwner(service.databaseUrl, 'truncate killick.source_keys')).rejects.toThrow('append-only')
    const pool = openPool(service.databaseUrl, true, 1)
    const kept = TABLES.map((table) => `kept_${table}`)
    const { faults } = await checkSchema(pool, true).finish()
    expect(faults.filter(({ message }) => !kept.some((name) => message.includes(name)))).toEqual([])
    await pool.end()
  })
})

describe('nothing is rebuilt from a log that is not the signed one:', () => {
  beforeEach(() => putBack(service, TABLES))

  const hidden = `update batches set source = 'other', stream = 'elsewhere', seq = 99 where log_index = ${newest}`
  test.each([
    ['its newest registration is hidden as another stream’s', hidden, /of which \d+ are found/],
    ['a registration has no event any more', `update packs set body = '' where log_index = ${newest}`, /system stream/],
    ['a header is gone', `delete from batches where log_index = 3`, /are not those of its signed checkpoint/],
    [
      'headers were exchanged',
      `update batches set header = (select header from kept_batches where log_index = 1) where log_index = 3`,
      /are not those of its signed checkpoint/,
    ],
    [
      'its checkpoint is of another key',
      `update checkpoints set note = replace(note, 'killick', 'killocks')`,
      /log_went_back|not one that this log’s key has signed/,
    ],
  ])('%s', async (_, sql, why) => {
    await tamper(service, `${sql}; ${addKey}`)
    const before = await rows()
    await expect(rebuild()).rejects.toThrow(why)
    expect(await rows()).toEqual(before)
  })

  test('its end was cut off, with the registration that ended a key', async () => {
    await tamper(
      service,
      `delete from source_keys where log_index = ${newest}; delete from sources where log_index = ${newest}`,
    )
    const [row] = await queryAsOwner<{ at: string }>(
      service.databaseUrl,
      `select max(log_index) as at from killick.kept_sources where source = 'billing'`,
    )
    await cutTail(service.databaseUrl, Number(row!.at))
    const before = await rows()
    await expect(rebuild()).rejects.toThrow('log_went_back')
    expect(await rows()).toEqual(before)
  })
})

test('a database that does not keep the rows as written is reported, and left as it was', async () => {
  await putBack(service, TABLES)
  await tamper(
    service,
    `create function twist() returns trigger language plpgsql as $$ begin new.decoys := true; return new; end $$;
     create trigger twist before insert on sources for each row execute function twist(); ${addKey}`,
  )
  const before = await rows()
  await expect(rebuild()).rejects.toThrow('The database does not keep what is written to it')
  expect(await rows()).toEqual(before)
  await tamper(service, 'drop trigger twist on sources; drop function twist()')
})
