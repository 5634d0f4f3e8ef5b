/**
 * Audits of a ledger that has dropped batches. What a policy may drop passes; whatever else goes, stays, or is told of it is found. The insider
 * owns the database, and the liar answers in place of the service.
 */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '@killick/anchor-service'
import {
  type Api,
  type AuditOptions,
  auditLedger,
  auditOutcome,
  type Fault,
  lookUp,
  type OwnCheck,
  openApi,
  type WalkedEntry,
} from '@killick/sdk/audit'
import {
  dropFields,
  type EventInput,
  KillickError,
  nodePrimitives,
  parseBatchHeader,
  parseEvent,
  printHash,
  type RetentionDrop,
} from '@killick/sdk/core'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ownChecks } from '../../../anchor-service/src/audit/checks.ts'
import { checkColumns } from '../../../anchor-service/src/audit/columns.ts'
import { openPool } from '../../../anchor-service/src/database/pool.ts'
import { emptyPacks } from '../../../anchor-service/src/erasure/dropping.ts'
import { insertDrop } from '../../../anchor-service/src/ledger/registry/drops.ts'
import { openStore } from '../../../anchor-service/src/open-store.ts'
import { queryAsOwner } from '../../support/postgres.ts'
import { Producer } from '../support/producer.ts'
import { type AgingLedger, startAging } from '../support/retention.ts'
import { ADMIN, call, ERASER, READER } from '../support/service.ts'
import { type AnchorPlace, tellAnchors } from '../support/tell-anchors.ts'
import { DROPS, DROPS_FORGED } from './support/attacks.ts'
import { tamper } from './support/audits.ts'

/** A batch in wire form. */
type Wire = { at: number; header: string; lines: string[] }

const BIG = 300
/** What the shop records in batches that are dropped. */
const DROPPED = 3 * 5 + BIG

let aging: AgingLedger
let pool: pg.Pool
/** As they were before the drop, when all contents had expired. */
let shown: Map<number, Wire>
let walkedBefore: WalkedEntry[]
let folder: string
/** What audits found that ran while batches were dropped. */
const during: string[] = []

const event = (id: string): EventInput => ({
  ...{ action: 'order.place', actor: { type: 'user', id: 'u-1' }, targets: [{ type: 'thing', id }] },
  ...{ context: { ip: '203.0.113.7' }, outcome: 'success' },
})
const some = (n: number, name: string) => Array.from({ length: n }, (_, i) => event(`${name}-${i}`))

function batchesIn(text: string, from: number): Wire[] {
  const lines = text.split('\n').slice(0, -1)
  const found: Wire[] = []
  for (let at = from; lines.length > 0; at++) {
    const header = lines.shift()!
    found.push({ at, header, lines: lines.splice(0, parseBatchHeader(header).n) })
  }
  return found
}

const leavesOf = (tokens: readonly string[]) =>
  tokens.map((token) => printHash(parseEvent(token, nodePrimitives).leafHash))

/** Answers of the service, some of them others than it gives. */
function liar({
  batch = (wire) => wire,
  json = (_, answer) => answer,
}: {
  batch?: (wire: Wire) => Wire
  // biome-ignore lint/suspicious/noExplicitAny: answers of a service
  json?: (path: string, answer: any) => unknown
}): Api {
  const api = openApi(aging.service.url, READER)
  return {
    ...api,
    json: async (path, maxBytes) => json(path, await api.json(path, maxBytes)) as never,
    async *chunks(path) {
      const parts: Buffer[] = []
      for await (const chunk of api.chunks(path)) parts.push(Buffer.from(chunk))
      const from = Number(new URL(path, 'http://localhost').searchParams.get('from'))
      const told = batchesIn(Buffer.concat(parts).toString('latin1'), from).map(batch)
      yield Uint8Array.from(
        Buffer.from(
          told
            .flatMap(({ header, lines }) => [header, ...lines, ''])
            .join('\n')
            .replaceAll('\n\n', '\n'),
        ),
      )
    },
  }
}

async function audit(api: Api = openApi(aging.service.url, READER), options: AuditOptions = {}) {
  const { targets } = (await call(aging.service.url, '/v1/log')).json
  const pins = { logKeys: [aging.service.vkey], sourceKeys: [], logs: targets, urls: [aging.chain.url] }
  const result = await auditLedger(api, pins, options)
  const bad = result.checks.filter(({ status }) => status === 'failed')
  return {
    ...result,
    failed: bad.map(({ id, reason }) => `${id} ${reason}`),
    why: bad.map(({ detail }) => detail).join('\n'),
    detail: (id: string) => result.checks.find((check) => check.id === id)!.detail,
    reason: (id: string) => result.checks.find((check) => check.id === id)!.reason,
  }
}

/** The service's own checks, without that which finds that the chain's clock was moved; and all that they find. */
function overheard(): { own: OwnCheck[]; faults: Fault[] } {
  const faults: Fault[] = []
  const tell = (found: readonly Fault[]) => {
    faults.push(...found)
    return found
  }
  const own = ownChecks(pool, aging.service.vkey, true).filter(({ id }) => id !== 'anchors.rows')
  return {
    faults,
    own: own.map((check) => ({
      ...check,
      ...(check.batch && { batch: async (batch) => tell(await check.batch!(batch)) }),
      ...(check.entry && { entry: async (entry) => tell(await check.entry!(entry)) }),
      async finish() {
        const finished = await check.finish()
        tell(finished.faults)
        return finished
      },
    })),
  }
}

const keeping = (walked: WalkedEntry[]): OwnCheck => ({
  ...{ id: 'kept', title: 'Entries are kept', resumes: { again: false } },
  async entry(entry) {
    const root = entry.root()
    walked.push({ ...entry, root: () => root })
    return []
  },
  finish: async () => ({ faults: [], detail: '' }),
})

async function wireNow(): Promise<Map<number, Wire>> {
  const found = new Map<number, Wire>()
  for (let from = 0; ; from = found.size) {
    const page = batchesIn((await call(aging.service.url, `/v1/batches?from=${from}&limit=1000`)).text, from)
    for (const wire of page) found.set(wire.at, wire)
    if (page.length === 0) return found
  }
}

/** The log entry of the first batch of a stream. */
const entryOf = async (source: string, stream: string) =>
  [...(await wireNow()).values()].find(({ header }) => {
    const batch = parseBatchHeader(header)
    return batch.source === source && batch.stream === stream
  })!.at

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'killick-dropped-'))
  aging = await startAging(['shop', 'hr'])
  pool = openPool(aging.service.databaseUrl, true, 2)
  const shop = aging.producer('shop')
  const stream = (name: string) => new Producer('shop', shop.signer, name)
  for (let i = 0; i < 3; i++) await aging.record(shop, some(5, `o-${i}`))
  await aging.record(stream('big'), some(BIG, 'b'))
  await aging.record(stream('slow'), some(2, 's'))
  await aging.record(aging.producer('hr'), some(3, 'p'))
  // A link, and an order of somebody's, about events that are dropped later.
  const [{ id: eventId }] = await aging.search('target=o-0-1')
  const link = { eventId, fields: ['action'], expires: '2099-01-01T00:00:00Z' }
  expect((await aging.send('POST', '/v1/shares', READER, link)).status).toBe(201)
  const order = { target: 'o-1-2', fields: ['context'], reason: 'asked for' }
  expect((await aging.send('POST', '/v1/erasures', ERASER, order)).status).toBe(202)
  await aging.put('orders', { covers: { source: 'shop' }, contentsDays: 30, eventsDays: 100 })
  await aging.put('slow', { covers: { stream: 'slow' }, contentsDays: 30, eventsDays: 300 })
  await aging.anchored((await aging.policy('slow')).logIndex + 1)
  const hold = { case: 'C-1', reason: 'suit', covers: { source: 'shop', actor: 'nobody-knows' } }
  const { id: held } = (await aging.send('POST', '/v1/holds', ADMIN, hold)).json
  await aging.pass(110, aging.producer('hr'), event('later'))
  await aging.until(async () => {
    expect(await aging.policy('orders')).toMatchObject({ expired: DROPPED + 2, dropHeld: DROPPED })
    const { erasures } = (await call(aging.service.url, '/v1/erasures')).json
    expect(erasures.every(({ state }: { state: string }) => state === 'done')).toBe(true)
  })
  await aging.anchored()
  shown = await wireNow()
  walkedBefore = []
  const before = await audit(undefined, { folder, own: [keeping(walkedBefore), lookUp(liar({}), 1e9)] })
  expect(before.failed, before.why).toEqual([])
  let isOver = false
  const auditing = (async () => {
    while (!isOver) {
      const { own, faults } = overheard()
      const { failed, why } = await audit(undefined, { own: [...own, lookUp(liar({}), 1)] })
      during.push([...failed, ...faults.map(({ message }) => message), why].join('\n'))
    }
  })()
  await call(aging.service.url, `/v1/holds/${held}?reason=over`, ADMIN, { method: 'DELETE' })
  await aging.until(async () => expect((await aging.policy('orders')).dropped).toBe(DROPPED))
  isOver = true
  await auditing
  await aging.restart({ KILLICK_RETENTION_INTERVAL_MS: '0' })
}, 120_000)
afterAll(async () => {
  await pool?.end()
  await aging?.stop()
  rmSync(folder, { recursive: true, force: true })
})

test('what a policy may drop passes both audits, and is not counted as checked', async () => {
  const { own, faults } = overheard()
  const all = await audit(undefined, { own: [...own, lookUp(liar({}), 1)] })
  expect([all.failed, faults], all.why).toEqual([[], []])
  const wire = [...(await wireNow()).values()]
  const events = wire.reduce((sum, { lines }) => sum + lines.length, 0)
  expect([all.events, all.dropped]).toEqual([events - DROPPED, DROPPED])
  expect(all.detail('events')).toMatch(new RegExp(`; of ${DROPPED} more, which were dropped, only leaf hashes$`))
  expect(all.detail('fields')).toMatch(new RegExp(`; ${DROPPED} that were dropped, of which none is left$`))
  expect(all.detail('retention')).toBe(`2 policies; 2 events have expired; ${DROPPED} were dropped`)
  const inThreads = await audit(undefined, { threads: 2 })
  expect([inThreads.failed, inThreads.dropped]).toEqual([[], DROPPED])
})

test('audits that run while batches are dropped find no fault', () => {
  expect(during.length).toBeGreaterThan(0)
  expect(during.filter((found) => found !== '')).toEqual([])
})

describe('an audit that leaves out what it has read', () => {
  async function again(api?: Api) {
    const copy = mkdtempSync(join(tmpdir(), 'killick-dropped-new-'))
    cpSync(folder, copy, { recursive: true })
    try {
      return await audit(api, { own: [keeping([]), lookUp(liar({}), 1e9)], onlyNew: true, folder: copy })
    } finally {
      rmSync(copy, { recursive: true })
    }
  }

  test('judges drops of it all the same', async () => {
    const next = await again()
    expect(next.failed, next.why).toEqual([])
    expect(next.earlier!.size).toBeGreaterThan(4)
    expect(next.dropped).toBe(0)
    expect(next.detail('retention')).toContain(`; ${DROPPED} were dropped`)
  })

  test.each([
    ['is still shown', (wire: Wire) => shown.get(wire.at) ?? wire, 'retention erasure_undone'],
    [
      'is served under another header',
      (wire: Wire) => ({ ...wire, ...[...shown.values()][0] }),
      'retention unreadable',
    ],
    [
      'has other leaf hashes',
      ({ lines, ...wire }: Wire) => ({ ...wire, lines: lines.toReversed() }),
      'retention unreadable',
    ],
  ])('of which something %s', async (_, lie, found) => {
    const bigAt = await entryOf('shop', 'big')
    const next = await again(liar({ batch: (wire) => (wire.at === bigAt ? lie(wire) : wire) }))
    expect(next.failed).toEqual([found])
    expect(next.why).toMatch(new RegExp(`, batch ${bigAt}: `))
  })

  test('is no finding where the service is away', async () => {
    const api = liar({})
    const away: Api = {
      ...api,
      async *chunks(path) {
        if (Number(new URL(path, 'http://localhost').searchParams.get('from')) < shown.size - 5)
          throw new KillickError('unreachable', 'away')
        yield* api.chunks(path)
      },
    }
    await expect(again(away)).rejects.toThrow('away')
  })
})

test('what was read before the drop, and is looked up after it, is not missed', async () => {
  const big = walkedBefore.find(({ header }) => header.n === BIG)!
  expect(await lookUp(liar({}), 50).batch!(big)).toEqual([])
  // But what is still shown, and not found, is.
  const hr = walkedBefore.find(({ header }) => header.source === 'hr')!
  const hidden = liar({ json: (path, answer) => (path.startsWith('/v1/events') ? { events: [], next: null } : answer) })
  expect((await lookUp(hidden, 1).batch!(hr)).map(({ reason }) => reason)).toEqual(Array(3).fill('not_found'))
})

describe('an audit that was interrupted before the drop, after what it names', () => {
  let at: number
  let kept: string
  const options = () => ({ folder: kept, own: [keeping([]), lookUp(liar({}), 1e9)] })
  beforeAll(async () => {
    kept = mkdtempSync(join(tmpdir(), 'killick-dropped-kept-'))
    const { drops } = (await call(aging.service.url, '/v1/retention/drops')).json
    const { anchors } = (await call(aging.service.url, '/v1/anchors?limit=500')).json
    const sizes: number[] = anchors.map(({ size }: { size: number }) => size)
    at = Math.max(...sizes.filter((size) => size <= drops[0].logIndex))
    expect(at).toBeGreaterThan(await entryOf('shop', 'big'))
    const stop = new AbortController()
    const why = new Error('enough')
    const json = (path: string, answer: { anchors: { size: number }[] }) =>
      path.startsWith('/v1/anchors') ? { ...answer, anchors: answer.anchors.filter(({ size }) => size <= at) } : answer
    const onProgress = ({ batches }: { batches: number }) => void (batches > at && stop.abort(why))
    await expect(audit(liar({ json }), { ...options(), onProgress, signal: stop.signal })).rejects.toBe(why)
  })
  afterAll(() => rmSync(kept, { recursive: true, force: true }))

  test('goes on and finds the same', async () => {
    const copy = mkdtempSync(join(tmpdir(), 'killick-dropped-copy-'))
    cpSync(kept, copy, { recursive: true })
    const read: number[] = []
    const batch = (wire: Wire) => {
      read.push(wire.at)
      return wire
    }
    const [whole, resumed] = [await audit(), await audit(liar({ batch }), { ...options(), folder: copy })]
    expect([resumed.failed, resumed.events, resumed.dropped], resumed.why).toEqual([[], whole.events, whole.dropped])
    for (const id of ['retention', 'events', 'fields', 'erasures']) expect(resumed.detail(id)).toBe(whole.detail(id))
    // Of what came before only what the drop names was read, and what is close to it.
    expect(read).toContain(await entryOf('shop', 'big'))
    expect(read).not.toContain(0)
    // The next, which leaves out all of it, knows what is left of the events that orders name.
    const next = await audit(undefined, { ...options(), folder: copy, onlyNew: true })
    expect([next.failed, next.earlier!.size > at], next.why).toEqual([[], true])
    rmSync(copy, { recursive: true })
  })
})

describe('a service that', () => {
  let size: number
  let bigAt: number
  let hrAt: number
  beforeAll(async () => {
    bigAt = await entryOf('shop', 'big')
    hrAt = await entryOf('hr', aging.producer('hr').stream)
    size = (await wireNow()).size
  })
  /** Orders name its events, which are not found among those that were dropped. */
  const UNREADABLE = ['events unreadable', 'erasures different']
  const only = (at: number, lie: (wire: Wire) => Wire) => liar({ batch: (wire) => (wire.at === at ? lie(wire) : wire) })

  test.each([
    [
      'mixes events and leaf hashes',
      (wire: Wire) => [wire.lines[0]!, ...shown.get(wire.at)!.lines.slice(1)],
      UNREADABLE,
    ],
    [
      'mixes them the other way round',
      (wire: Wire) => [...shown.get(wire.at)!.lines.slice(0, -1), wire.lines.at(-1)!],
      UNREADABLE,
    ],
    ['has leaf hashes in another order', ({ lines }: Wire) => lines.toReversed(), UNREADABLE],
    ['has a leaf hash too few', ({ lines }: Wire) => [...lines.slice(1), lines[1]!], UNREADABLE],
    ['still shows what a drop names', (wire: Wire) => shown.get(wire.at)!.lines, ['retention erasure_undone']],
  ])('%s', async (_, lines, found) => {
    const { failed, first } = await audit(only(bigAt, (wire) => ({ ...wire, lines: lines(wire) })))
    expect(failed).toEqual(found)
    expect(first!.logIndex).toBe(bigAt)
  })

  const hides = (drops: object[] | null) =>
    liar({
      batch: (wire) => (wire.at === hrAt ? { ...wire, lines: leavesOf(wire.lines) } : wire),
      json: (path, answer) =>
        drops !== null && path.startsWith('/v1/retention/drops') ? { drops, next: null } : answer,
    })
  const claim = (logIndex: number) => ({
    ...{ logIndex, policy: 'orders', version: 1, events: 3, at: '' },
    entries: `${hrAt}`,
  })

  test('hides events that nothing drops', async () => {
    for (const drops of [null, [], [claim(size - 1)], [{ ...claim(size), entries: `${bigAt}` }]]) {
      const { failed, why, first } = await audit(hides(drops))
      expect(failed).toEqual(['retention absent'])
      expect(why).toMatch(new RegExp(`^Batch ${hrAt}: nothing but leaf hashes is shown`))
      expect(first).toMatchObject({ logIndex: hrAt, source: 'hr' })
    }
    expect((await audit(hides([{ ...claim(size), entries: '5,5' }]))).failed).toEqual(['retention absent'])
  })

  test('says that it has dropped them since, which leaves it open', async () => {
    const { failed, reason, detail } = await audit(hides([claim(size)]))
    expect([failed, reason('retention')]).toEqual([[], 'changed_meanwhile'])
    expect(detail('retention')).toMatch(/1 batches were dropped while the log was read/)
  })

  test('says so, and never records it', async () => {
    const kept = mkdtempSync(join(tmpdir(), 'killick-dropped-claim-'))
    const first = await audit(hides([claim(size)]), { folder: kept })
    expect(first.failed).toEqual([])
    const next = await audit(undefined, { folder: kept, onlyNew: true })
    expect([next.failed, next.earlier!.size > hrAt]).toEqual([['retention absent'], true])
    rmSync(kept, { recursive: true })
  })

  type Row = { id: string; eventsDays: number | null }

  test('lists a policy as the log does not have it', async () => {
    for (const eventsDays of [null, 99]) {
      const twist = (row: Row) => (row.id === 'orders' ? { ...row, eventsDays } : row)
      const api = liar({
        json: (path, answer) =>
          path === '/v1/retention' ? { ...answer, policies: answer.policies.map(twist) } : answer,
      })
      expect((await audit(api)).failed).toEqual(['retention different'])
    }
  })
})

describe('the service’s own audit', () => {
  const TABLES = ['packs', 'pack_keys', 'batches', 'drops', 'shares']
  const restore = TABLES.map((name) => `delete from ${name}; insert into ${name} select * from kept.${name}`).join(';')
  let big: string
  beforeAll(async () => {
    big = `log_index = ${await entryOf('shop', 'big')}`
    await tamper(
      aging.service,
      `create schema kept; ${TABLES.map((name) => `create table kept.${name} as table ${name}`).join(';')}`,
    )
  })

  async function faultsOf(sql: string): Promise<{ messages: string[]; external: string[] }> {
    await tamper(aging.service, sql)
    try {
      const { own, faults } = overheard()
      const ids = new Set(own.map(({ id }) => id))
      const { failed } = await audit(openApi(aging.service.url, READER), { own })
      return {
        messages: faults.map(({ message }) => message),
        external: failed.filter((line) => !ids.has(line.split(' ')[0]!)),
      }
    } finally {
      await tamper(aging.service, restore)
    }
  }

  /** The second of two packs. */
  const second = () => `first_event = (select max(first_event) from packs where ${big})`
  const inPacks = (set: string) => () => `update packs set ${set} where ${second()}`
  const inKeys = (set: string) => () => `update pack_keys set ${set} where ${second()}`

  test.each([
    ['packs.ids', inPacks(`ids = sha256('')`), /^packs\.ids: /],
    ['packs.times', inPacks(`times = '\\x000000000001'`), /^packs\.times: /],
    ['packs.frame_ends', inPacks(`frame_ends = '{0}'`), /^packs\.frame_ends: /],
    ['packs.log_index', inPacks('log_index = log_index + 1'), /^packs\.log_index: /],
    ['packs.first_event', inPacks('first_event = first_event - 1'), /^packs\.(n|pos|first_event): /],
    ['a pack deleted', () => `delete from packs where ${second()}`, /^packs\.n: /],
    ['all packs deleted', () => `delete from packs where ${big}`, /^packs\.first_event: no event has/],
    [
      'pack_keys.keys, of the stream',
      inKeys('keys = set_byte(keys, 9, get_byte(keys, 9) # 1)'),
      /^pack_keys\.keys: .* source and stream/,
    ],
    [
      'pack_keys.keys, of a leaf',
      inKeys('keys = set_byte(keys, 25, get_byte(keys, 25) # 1)'),
      /^pack_keys\.keys: .* leaf hashes/,
    ],
    ['pack_keys.keys, one more', inKeys(`keys = keys || '\\xc000000000000000'`), /^pack_keys\.keys: /],
    ['pack_keys.key_counts', inKeys('key_counts = set_byte(key_counts, 1, 2)'), /^pack_keys\.key_counts: /],
    ['pack_keys.scheme', inKeys('scheme = 99'), /^pack_keys\.scheme: /],
    ['pack_keys.first_event', inKeys('first_event = first_event + 1'), /^pack_keys\.first_event: /],
    ['keys deleted', () => `delete from pack_keys where ${second()}`, /^pack_keys\.first_event: no row has/],
    ['batches.earliest', () => `update batches set earliest = '-infinity' where ${big}`, /^batches\.earliest: /],
    ['batches.latest', () => `update batches set latest = 'infinity' where ${big}`, /^batches\.earliest: /],
    [
      'batches.event_nodes',
      () => `update batches set event_nodes = set_byte(event_nodes, 0, get_byte(event_nodes, 0) # 1) where ${big}`,
      /^batches\.event_nodes: /,
    ],
  ])('%s of a batch that was dropped', async (_, sql, begins) => {
    const { messages } = await faultsOf(sql())
    expect(messages).toContainEqual(expect.stringMatching(begins))
  })

  // What the service then shows of the batch is none that was dropped.
  test.each([
    ['packs.body', inPacks(`body = '\\x00'`)],
    ['packs.pos', inPacks('pos = pos - 1')],
    ['packs.n', inPacks('n = n - 1')],
    [
      'batches.event_leaves',
      () => `update batches set event_leaves = set_byte(event_leaves, 0, get_byte(event_leaves, 0) # 1) where ${big}`,
    ],
  ])('%s of a batch that was dropped, which everybody sees', async (_, sql) => {
    expect((await faultsOf(sql())).external).toContainEqual(expect.stringMatching(/^(events|batches) unreadable$/))
  })

  test.each(Object.entries(DROPS))('drops.%s', async (_, [value, begins]) => {
    const { messages } = await faultsOf(
      `update drops set ${_} = ${value} where log_index = (select min(log_index) from drops)`,
    )
    expect(messages).toContainEqual(expect.stringMatching(begins))
  })

  test('rows of drops deleted, and added', async () => {
    expect(
      (await faultsOf('delete from drops where log_index = (select min(log_index) from drops)')).messages,
    ).toContainEqual(expect.stringMatching(/^drops: there is no row/))
    for (const forged of DROPS_FORGED)
      expect(
        (await faultsOf(`insert into drops select ${forged} from drops order by log_index limit 1`)).messages,
      ).toContainEqual(expect.stringMatching(/^drops(\.log_index)?: a row/))
  })

  test('a body that came back once the batch was read', async () => {
    const walked: WalkedEntry[] = []
    await audit(undefined, { own: [keeping(walked)] })
    const entry = walked.find(({ header, dropped }) => dropped !== null && header.n === BIG)!
    expect(await checkColumns(pool).batch!(entry)).toEqual([])
    await tamper(aging.service, `update packs p set body = k.body from packs k where p.${second()} and k.log_index = 0`)
    const messages = (await checkColumns(pool).batch!(entry)).map(({ message }) => message)
    expect(messages).toEqual([expect.stringMatching(/^packs\.body: /)])
    await tamper(aging.service, restore)
  })

  test('rows that stand for a batch that was dropped, which tells of nothing', async () => {
    const at = big.split(' = ')[1]!
    const row = `jsonb_build_object('log_index', ${at}, 'id', gen_random_uuid(), 'token_hash', '\\x' || repeat('ab', 32))`
    const share = await faultsOf(`insert into shares select (jsonb_populate_record(s, ${row})).* from shares s limit 1`)
    expect(share.external).toEqual(['records untold'])
    expect(share.messages).toContainEqual('shares: a row of which the log does not tell')
    const forged = `insert into drops select ${at}, policy, '{[0,1)}', events, created_at from drops limit 1`
    expect((await faultsOf(forged)).messages).toContainEqual('drops: a row of which the log does not tell')
  })

  test('a batch emptied that no drop names, and one that came back', async () => {
    const hr = await entryOf('hr', aging.producer('hr').stream)
    const emptied = await faultsOf(
      `update packs set ids = '', times = '', body = '', frame_ends = '{}' where log_index = ${hr}`,
    )
    expect(emptied.external).toEqual(['retention absent'])
    expect(emptied.messages).toContainEqual(expect.stringMatching(/^pack_keys\.key/))
  })

  test('a batch that was read before its drop, and its rows after it', async () => {
    const columns = checkColumns(pool)
    const faults: Fault[] = []
    for (const entry of walkedBefore) faults.push(...(await columns.batch!(entry)))
    expect(faults).toEqual([])
    // Not so if nothing drops it.
    const hr = walkedBefore.find(({ header }) => header.source === 'hr')!
    await tamper(
      aging.service,
      `update packs set ids = '', times = '', body = '', frame_ends = '{}' where log_index = ${hr.logIndex}`,
    )
    expect((await checkColumns(pool).batch!(hr)).length).toBeGreaterThan(0)
    await tamper(aging.service, restore)
    expect(await queryAsOwner(aging.service.databaseUrl, 'select count(*)::float8 as n from killick.drops')).toEqual([
      { n: expect.any(Number) },
    ])
  })
})

describe('a drop by an anchor that there is not', () => {
  type Row = AnchorPlace
  let then: number
  let said: RetentionDrop
  beforeAll(async () => {
    await aging.record(new Producer('shop', aging.producer('shop').signer, 'fresh'), some(1, 'f'))
    const at = await entryOf('shop', 'fresh')
    const policy = await aging.policy('orders')
    const { id, version } = policy
    const { size } = (await aging.retention()).clock
    const store = await openStore(
      loadConfig({ ...aging.env, DATABASE_URL: aging.service.databaseUrl, KILLICK_DATA: aging.service.folder }),
    )
    said = { id, version, size, time: 4_000_000_000, entries: [[at, at]], events: 1 }
    then = at + 1
    await store.ledger.record({ actor: { type: 'ledger', id: 'test' }, ...dropFields(said) }, async (db, logIndex) => {
      await insertDrop(db, logIndex, said, policy.logIndex)
      await emptyPacks(db, [at])
    })
    await store.close()
    await aging.anchored((await wireNow()).size)
  })

  /** Answers of a service that names a size of before the first time it is asked. @param most size of the anchors that it lists first */
  async function forgetful(first: string, most: number): Promise<Api> {
    let [asked, listed] = [0, 0]
    const json = (path: string, answer: { anchors: { size: number }[] }) =>
      path.startsWith('/v1/anchors') && listed++ === 0
        ? { ...answer, anchors: answer.anchors.filter(({ size }) => size <= most) }
        : answer
    const api = liar({ json })
    return {
      ...api,
      text: async (path, maxBytes) => (path === '/checkpoint' && asked++ === 0 ? first : api.text(path, maxBytes)),
    }
  }
  const noteOf = async () => (await call(aging.service.url, '/v1/checkpoints?from=1&limit=1')).json.checkpoints[0].note

  test('is found whatever size the service names first', async () => {
    const { failed, why } = await audit(await forgetful(await noteOf(), Number.POSITIVE_INFINITY))
    expect(failed, why).toEqual(['retention retention_unfounded'])
    expect(why).toMatch(/nothing is anchored with \d+ entries at that time$/)
  })

  test('stays open, also for an audit that leaves it out, where the service lists it in a log about which nobody asks', async () => {
    const listed: Row[] = (await call(aging.service.url, '/v1/anchors?limit=500')).json.anchors
    const elsewhere = { chainId: 999, target: 'elsewhere' }
    const old = { ...listed.find(({ size }) => size > then)!, ...elsewhere }
    const named = { ...listed.find(({ size }) => size === said.size)!, ...elsewhere, time: said.time }
    const api = liar({
      json: (path, answer) =>
        path.startsWith('/v1/anchors') ? { ...answer, anchors: [...answer.anchors, old, named] } : answer,
    })
    // Of anchors that the log does not tell of, it is told.
    const untold = await audit(api)
    expect(untold.failed).toEqual(['anchors.told untold'])
    await tellAnchors(aging.service, 'anchor.commit', [old, named], aging.env)
    const kept = mkdtempSync(join(tmpdir(), 'killick-dropped-unasked-'))
    for (const onlyNew of [false, true]) {
      const found = await audit(api, { folder: kept, onlyNew })
      expect([found.failed, found.why, found.reason('retention')]).toEqual([[], '', 'not_asked'])
      expect(found.detail('retention')).toMatch(
        /; 1 orders and drops are judged by anchors about which no node was asked/,
      )
      expect([(found.earlier?.size ?? 0) > then, auditOutcome(found)]).toEqual([onlyNew, 'undecided'])
    }
    rmSync(kept, { recursive: true })
    await tellAnchors(aging.service, 'anchor.withdraw', [old, named], aging.env)
  })

  test('is left open where the service lists no anchor behind it either', async () => {
    const found = await audit(await forgetful(await noteOf(), then))
    expect([found.failed, found.reason('retention')]).toEqual([[], 'changed_meanwhile'])
    expect(found.detail('retention')).toMatch(/; 1 orders and drops go by anchors that were not listed yet/)
    expect(auditOutcome(found)).toBe('undecided')
    expect((await audit(await forgetful('pardon?', then))).failed).toEqual(['checkpoint unreadable'])
  })
})
