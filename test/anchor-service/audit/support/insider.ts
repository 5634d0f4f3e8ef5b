// A small ledger with everything in it that a ledger can hold, and somebody who owns its database.
import { type PublicJwk, parseProof } from '@killick/sdk'
import {
  type AuditPins,
  auditLedger,
  type Fault,
  lookUp,
  type OwnCheck,
  openApi,
  type WalkedEntry,
} from '@killick/sdk/audit'
import pg from 'pg'
import { ownChecks } from '../../../../anchor-service/src/audit/checks.ts'
import { NOTING_READERS } from '../../../../anchor-service/src/audit/noted.ts'
import { openPool } from '../../../../anchor-service/src/database/pool.ts'
import { ERASING_LOCK } from '../../../../anchor-service/src/erasure/erasing.ts'
import { checkRecords } from '../../../../sdk/src/audit/records.ts'
import { startChain } from '../../../support/local-chain.ts'
import { newSigner, Producer, post, sampleEvent } from '../../support/producer.ts'
import {
  ADMIN,
  ANNA,
  BEN,
  call,
  READER,
  register,
  type TestService,
  testService,
  twoPeople,
} from '../../support/service.ts'
import { metric } from './audits.ts'

/** For each finding, its check and its first words; and each fault that the service's own checks name, with its batch. */
export type Found = {
  internal: Map<string, string>
  external: Map<string, string>
  faults: { check: string; message: string; logIndex: number | null }[]
}

export type Insider = {
  service: TestService
  /** A connection of a superuser, past the triggers, in schema killick. */
  client: pg.Client
  /**
   * A pass of both audits over the log.
   * @param isOfEvents with what holds each pack against its events, which takes longest
   * @param isLookedUp with what searches for the first event and verifies its proof: a dozen queries of the service
   */
  audit(isOfEvents: boolean, isLookedUp: boolean): Promise<Found>
  /**
   * What the service's own checks, and an auditor's of records, find of tables beside the log, which was walked once, when
   * nothing was altered. For attacks that leave it as it was: far cheaper than a whole pass.
   */
  auditBeside(): Promise<Found>
  pool: pg.Pool
  /** Names of a table's columns, as SQL, but for generated ones. */
  columnsOf(table: string): string
  /** The table, and all that a `truncate … cascade` of it empties. */
  emptiedWith(table: string): Promise<string[]>
  /** Puts every row back. */
  restore(tables: readonly string[]): Promise<void>
  tables: readonly string[]
  stop(): Promise<void>
}

/** @param entries of streams that record, about; what the ledger records of itself comes on top */
export async function openInsider(entries: number): Promise<Insider> {
  const chain = await startChain()
  const contract = await chain.deployAnchorLog()
  const env = {
    ...{ KILLICK_RPC_URL: chain.url, KILLICK_CONTRACT: contract, KILLICK_CHAIN_KEY: await chain.newKey() },
    ...{ KILLICK_ANCHOR_INTERVAL_MS: '200', KILLICK_CONFIRMATIONS: '1' },
    ...(await twoPeople()),
  }
  const live = await testService(env)
  const sourceKeys = await fill(live, entries)
  await live.close()
  const service = await testService({ ...env, KILLICK_WORKER: 'off' }, live)
  const client = new pg.Client({ connectionString: service.databaseUrl })
  await client.connect()
  await client.query('set search_path = killick; set session_replication_role = replica')
  // An order whose end was taken away would be carried out once more, which is an entry that the kept tables lack.
  await client.query('select pg_advisory_lock($1)', [ERASING_LOCK])
  const { rows } = await client.query<{ name: string }>(
    `select relname as name from pg_class where relnamespace = 'killick'::regnamespace and relkind in ('r', 'p') and not relispartition order by 1`,
  )
  const tables = rows.map(({ name }) => name)
  // All as of one moment, whoever may still write.
  await client.query(
    `begin isolation level repeatable read; create schema kept;
     ${tables.map((name) => `create table kept.${name} as table ${name}`).join('; ')}; commit`,
  )
  const columns = await client.query<{ table: string; columns: string }>(
    `select relname as table, string_agg(quote_ident(attname), ', ') as columns from pg_class c join pg_attribute a on attrelid = c.oid
     where relnamespace = 'killick'::regnamespace and relkind in ('r', 'p') and attnum > 0 and attgenerated = '' and not attisdropped group by 1`,
  )
  const columnsOf = new Map(columns.rows.map((row) => [row.table, row.columns]))
  const pool = openPool(service.databaseUrl, true, 2)
  const log = (await call(service.url, '/v1/log')).json
  const pins: AuditPins = { logKeys: [service.vkey], sourceKeys, logs: log.targets, urls: [chain.url] }
  const walked: WalkedEntry[] = []
  const keep: OwnCheck = {
    ...{ id: 'kept', title: 'Entries are kept' },
    async entry(entry) {
      const root = entry.root()
      walked.push({ ...entry, root: () => root })
      return []
    },
    finish: async () => ({ faults: [], detail: '' }),
  }
  await auditLedger(openApi(service.url, READER), { ...pins, urls: [] }, { own: [keep] })
  // The schema, whose check takes 45 ms, is altered by tests of its own alone.
  const checksOfRows = () => ownChecks(pool, service.vkey, true).filter(({ id }) => id !== 'schema')
  return {
    ...{ service, client, pool, tables },
    columnsOf: (table) => columnsOf.get(table)!,
    async audit(isOfEvents, isLookedUp) {
      const faults: Found['faults'] = []
      const own = checksOfRows()
        .filter(({ id }) => isOfEvents || id !== 'columns')
        .map((check) => overheard(check, faults))
      const api = openApi(service.url, READER)
      if (isLookedUp) own.push(lookUp(api, 1e9, pins))
      const { checks } = await auditLedger(api, pins, { own, readers: NOTING_READERS })
      const failed = checks.filter(({ status }) => status === 'failed').map(({ id, detail }) => [id, detail] as const)
      const ids = new Set(own.map(({ id }) => id))
      return { internal: new Map(failed), external: new Map(failed.filter(([id]) => !ids.has(id))), faults }
    },
    async auditBeside() {
      const faults: Found['faults'] = []
      const outside = checkRecords(openApi(service.url, READER))
      const own = checksOfRows().filter(({ id }) => id !== 'columns')
      const checks = [...own, outside].map((check) => overheard(check, faults))
      for (const entry of walked) for (const check of checks) await check.entry?.(entry)
      for (const check of checks) await check.finish()
      const internal = new Map(faults.toReversed().map(({ check, message }) => [check, message]))
      return { internal, external: new Map([...internal].filter(([id]) => id === outside.id)), faults }
    },
    async emptiedWith(table) {
      const { rows } = await client.query<{ name: string }>(
        `with recursive emptied (id) as (
           select $1::regclass::oid union select conrelid from pg_constraint join emptied on confrelid = id where conparentid = 0)
         select relname as name from emptied join pg_class on oid = id where not relispartition`,
        [table],
      )
      return rows.map(({ name }) => name)
    },
    async restore(names) {
      const sql = names.flatMap((name) => [
        `delete from ${name}`,
        `insert into ${name} (${columnsOf.get(name)}) overriding system value select ${columnsOf.get(name)} from kept.${name}`,
      ])
      await client.query(sql.join('; '))
    },
    async stop() {
      await client.end()
      await pool.end()
      await service.stop()
      await chain.stop()
    },
  }
}

/** The check, which tells `faults` too what it finds. */
function overheard(check: OwnCheck, faults: Found['faults']): OwnCheck {
  const tell = (found: readonly Fault[]) => {
    for (const { message, place } of found) faults.push({ check: check.id, message, logIndex: place?.logIndex ?? null })
    return found
  }
  return {
    ...check,
    ...(check.batch && { batch: async (batch) => tell(await check.batch!(batch)) }),
    ...(check.entry && { entry: async (entry) => tell(await check.entry!(entry)) }),
    async finish() {
      const finished = await check.finish()
      tell(finished.faults)
      return finished
    },
  }
}

async function fill(service: TestService, entries: number): Promise<{ source: string; jwk: PublicJwk }[]> {
  const { url } = service
  const billing = newSigner()
  const payroll = newSigner('P-256')
  await register(url, 'billing', [{ jwk: billing.jwk }])
  await register(url, 'payroll', [{ jwk: payroll.jwk, notAfter: '2099-01-01T00:00:00.000Z' }], {
    eventSignatures: 'optional',
  })
  const event = (i: number) => ({ ...sampleEvent(i), outcome: 'success' as const, metadata: { i } })
  const record = async (producer: Producer, n: number) => {
    const batch = await producer.batch([...Array(n).keys()].map(event), n > 1 ? { eventSigner: null } : {})
    const { status, json } = await post(url, batch.body)
    if (status !== 201) throw new Error(JSON.stringify(json))
    batch.advance()
  }
  const streams = [...Array(20).keys()].map((i) => new Producer('billing', billing, `s-${i}`))
  await Promise.all(
    streams.map(async (stream) => {
      for (let i = 0; i < entries / streams.length; i++) await record(stream, 1)
    }),
  )
  const bulk = new Producer('payroll', payroll, 'main')
  for (const n of [3, 4, 5]) await record(bulk, n)

  const liar = new Producer('billing', billing, 'liar')
  const honest = await liar.batch([event(0)])
  await post(url, honest.body)
  for (let i = 1; i < 3; i++) await post(url, (await liar.batch([event(i)])).body)

  const [first, second] = (await call(url, '/v1/events?source=billing&limit=2')).json.events
  const init = (body: object) => ({
    ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
    body: JSON.stringify(body),
  })
  const links = []
  for (const { id } of [first, second, first])
    links.push(
      (
        await call(
          url,
          '/v1/shares',
          READER,
          init({ eventId: id, fields: ['action', 'actor'], expires: '2099-01-01T00:00:00Z' }),
        )
      ).json,
    )
  for (const { id } of links.slice(0, 2)) await call(url, `/v1/shares/${id}`, READER, { method: 'DELETE' })
  /** What one proposes and the other confirms. */
  const together = async (path: string, request: RequestInit) => {
    const { json } = await call(url, path, ANNA, request)
    await call(url, `/v1/proposals/${json.id}/confirm`, BEN, init({}))
    return json
  }
  // Two erasures that were carried out, of events that no other attack is on; and three holds, two of which were lifted.
  for (const fields of [['metadata'], ['outcome']]) {
    const { id } = await together('/v1/erasures', init({ source: 'payroll', fields, reason: 'a test' }))
    for (const end = Date.now() + 20_000; (await call(url, `/v1/erasures/${id}`)).json.state !== 'done'; )
      if (Date.now() > end) throw new Error('nothing is erased')
      else await new Promise((resolve) => setTimeout(resolve, 20))
  }
  for (const i of [0, 1, 2]) {
    const hold = { case: `C-${i}`, reason: 'a test', covers: { actor: `u-${i}`, from: '2020-01-01T00:00:00Z' } }
    const { json } = await call(url, '/v1/holds', ADMIN, init(hold))
    if (i < 2) await call(url, `/v1/holds/${json.id}?reason=over`, ADMIN, { method: 'DELETE' })
  }
  // Four policies that let nothing expire yet, two of which were ended.
  const days = { contentsDays: 30, covers: { source: 'payroll' } }
  for (const [i, id] of ['a', 'b', 'c', 'd'].entries()) {
    await together(`/v1/retention/policies/${id}`, { ...init(days), method: 'PUT' })
    if (i < 2) await together(`/v1/retention/policies/${id}`, { method: 'DELETE' })
  }
  // Twice after how many days the log's front is not published.
  for (const afterDays of [30, 40]) await call(url, '/v1/log/pruning', ADMIN, { ...init({ afterDays }), method: 'PUT' })
  // A change of what was registered.
  await register(url, 'payroll', [{ jwk: newSigner().jwk }], { eventSignatures: 'optional' })

  const anchored = () => metric(service, 'killick_anchored_size')
  const size = async () => (await call(url, '/readyz', null)).json.logSize as number
  const settle = async () => {
    for (const end = Date.now() + 20_000; (await anchored()) < (await size()) - 3; )
      if (Date.now() > end) throw new Error('the log is not anchored')
      else await new Promise((resolve) => setTimeout(resolve, 50))
  }
  await settle()
  await record(streams[0]!, 1)
  await settle()
  // The newest policy of the log's front counts once a final anchor covers it; until then nobody outside is told of it.
  const pruned = async () => (await call(url, '/v1/log')).json.pruning?.afterDays
  for (const end = Date.now() + 20_000; (await pruned()) !== 40; )
    if (Date.now() > end) throw new Error('no final anchor covers the newest policy')
    else await new Promise((resolve) => setTimeout(resolve, 50))
  parseProof((await call(url, `/v1/proofs/${first.id}`)).text)
  return [
    { source: 'billing', jwk: billing.jwk },
    { source: 'payroll', jwk: payroll.jwk },
  ]
}
