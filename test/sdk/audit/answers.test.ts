// An auditor trusts the shape of no answer. Whatever the service under audit or a node answers, there is a result and no crash.
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { type AuditPins, type AuditResult, auditLedger, auditOutcome, lookUp, openApi } from '@killick/sdk/audit'
import { EMPTY_ROOT, nodePrimitives, parseCheckpoint, printHash } from '@killick/sdk/core'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { recordSome } from '../../anchor-service/audit/support/audits.ts'
import { call, READER, type TestService, testService } from '../../anchor-service/support/service.ts'
import { tellAnchors } from '../../anchor-service/support/tell-anchors.ts'

type Answer = { status: number; body: Buffer }
type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

const LOG = { chainId: 31337, contract: `0x${'ab'.repeat(20)}`, logId: `0x${'cd'.repeat(32)}` }
const TRANSACTION = `0x${'ef'.repeat(32)}`
const NONE: AuditPins = { logKeys: [], sourceKeys: [], logs: [], urls: [] }

async function listen(
  answer: (request: IncomingMessage, response: ServerResponse) => unknown,
): Promise<[Server, string]> {
  const server = createServer((request, response) => void answer(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return [server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`]
}

/** What is sent in place of an answer; null: the honest answer. */
type Twist = (path: string, honest: Answer) => Answer | null

let service: TestService
let liar: Server
let url: string
let twist: Twist = () => null
type Place = { size: number; root: string }
/** What the log says is anchored, and what it has withdrawn. */
let anchored: Place
let withdrawn: Place
/** What the honest service answered, by path with query. */
const honest = new Map<string, Promise<Answer>>()

/** The honest answers, with anchors as an anchored service lists them. */
async function askHonest(path: string): Promise<Answer> {
  const response = await fetch(service.url + path, { headers: { authorization: `Bearer ${READER}` } })
  const answer = { status: response.status, body: Buffer.from(await response.arrayBuffer()) }
  if (!path.startsWith('/v1/anchors')) return answer
  return listing(anchorRow(anchored))
}

function anchorRow(place: Place, state = 'final'): { [name: string]: Json } {
  const settled = { state, transaction: TRANSACTION, block: 7, time: 1_800_000_000, confirmations: 12 }
  return { ...LOG, ...place, ...settled, target: 'test', gasUsed: 21_000, fee: '1', events: 6 }
}

const listing = (...anchors: Json[]): Answer => ({
  ...{ status: 200, body: Buffer.from(JSON.stringify({ anchors, next: null })) },
})

/** Where the log ends. */
async function end(): Promise<Place> {
  const { size, root } = parseCheckpoint(await (await fetch(`${service.url}/checkpoint`)).text())
  return { size: Number(size), root: printHash(root) }
}

/** Has the log tell of an anchor that it withdraws, and of one that counts. */
async function tellOfAnchors(): Promise<void> {
  withdrawn = await end()
  await tellAnchors(service, 'anchor.commit', [{ ...LOG, ...withdrawn }])
  await tellAnchors(service, 'anchor.withdraw', [{ ...LOG, ...withdrawn }])
  anchored = await end()
  await tellAnchors(service, 'anchor.commit', [{ ...LOG, ...anchored }])
}

beforeAll(async () => {
  service = await testService()
  await recordSome(service, 1, 2)
  const id = (await call(service.url, '/v1/events?source=billing&limit=1')).json.events[0].id
  const share = { method: 'POST', headers: { 'content-type': 'application/json' } }
  for (let i = 0; i < 2; i++)
    await call(service.url, '/v1/shares', READER, {
      ...share,
      body: JSON.stringify({ eventId: id, fields: ['action'] }),
    })
  await tellOfAnchors()
  ;[liar, url] = await listen(async ({ url: path }, response) => {
    if (!honest.has(path!)) honest.set(path!, askHonest(path!))
    const answer = await honest.get(path!)!
    const { status, body } = twist(path!, answer) ?? answer
    response.writeHead(status, { 'content-type': 'application/json' }).end(body)
  })
})
afterAll(async () => {
  liar.close()
  await service.stop()
})

const LOOKED_UP = ['/v1/proofs', '/v1/events', '/v1/streams']

/** @param path of the answers that are twisted: what is looked up is looked up only where it may show */
async function audit(path = '', by: Twist = () => null, pins = NONE): Promise<AuditResult & { failed: string[] }> {
  twist = (asked, answer) => (asked.startsWith(path) ? by(asked, answer) : null)
  const api = openApi(url, READER, { patience: 0 })
  const own = LOOKED_UP.includes(path) ? [lookUp(api, 1, path === '/v1/proofs' ? NONE : null)] : []
  const result = await auditLedger(api, pins, { own })
  const failed = result.checks.filter(({ status }) => status === 'failed').map(({ id }) => id)
  expect(result.checks.every(({ detail }) => typeof detail === 'string')).toBe(true)
  return { ...result, failed }
}

test('honest answers pass', async () => {
  for (const path of ['', ...LOOKED_UP]) expect((await audit(path)).failed).toEqual([])
})

test('a list that leaves out an anchor, makes one up or brings one back is a finding, without a node too', async () => {
  const told = async (...answers: Answer[]) => {
    let asked = 0
    const { checks, failed } = await audit('/v1/anchors', () => answers[Math.min(asked++, answers.length - 1)]!)
    const { reason, detail } = checks.find(({ id }) => id === 'anchors.told')!
    return { failed, reason, detail }
  }
  const fine = anchorRow(anchored)
  const none = { failed: ['anchors.told'], reason: 'absent', detail: expect.stringContaining('is not listed as one') }
  expect(await told(listing())).toEqual(none)
  expect(await told(listing(anchorRow(anchored, 'abandoned')))).toEqual(none)
  const { size, root } = parseCheckpoint(
    (await call(service.url, '/v1/checkpoints?from=1&limit=1')).json.checkpoints[0].note,
  )
  const invented = anchorRow({ size: Number(size), root: printHash(root) })
  expect(await told(listing(fine, invented))).toMatchObject({ failed: ['anchors.told'], reason: 'untold' })
  expect(await told(listing(fine, anchorRow(withdrawn)))).toEqual({
    ...{ failed: ['anchors.told'], reason: 'different', detail: expect.stringContaining('withdrawn by the log') },
  })
  expect(await told(listing(fine, anchorRow(withdrawn, 'reorganised')))).toMatchObject({ failed: [], reason: 'ok' })
  const other = anchorRow({ ...anchored, root: printHash(EMPTY_ROOT) })
  expect((await told(listing(other))).failed).toEqual(['anchors.log', 'anchors.told'])
})

test('of an anchor that came to count since the list was read, a second list tells', async () => {
  const before = (await call(service.url, '/v1/checkpoints?from=1&limit=1')).json.checkpoints[0].note
  /** The log is small as the audit begins. @param second what is listed once it has been read */
  const since = async (second: Answer) => {
    let [sizes, lists] = [0, 0]
    const result = await audit('', (path) => {
      if (path === '/checkpoint') return sizes++ === 0 ? { status: 200, body: Buffer.from(before) } : null
      if (!path.startsWith('/v1/anchors')) return null
      return lists++ === 0 ? listing() : second
    })
    return { failed: result.failed, reason: result.checks.find(({ id }) => id === 'anchors.told')!.reason }
  }
  expect(await since(listing(anchorRow(anchored)))).toEqual({ failed: [], reason: 'ok' })
  expect(await since(listing(anchorRow(anchored, 'reorganised')))).toEqual({ failed: [], reason: 'changed_meanwhile' })
  expect(await since(listing())).toEqual({ failed: ['anchors.told'], reason: 'absent' })
})

/** Paths, and the checks that fail if the answer is nonsense. */
const ANSWERS: [path: string, failed: string[]][] = [
  ['/v1/log', ['checkpoint']],
  ['/checkpoint', ['checkpoint']],
  ['/v1/anchors', ['anchors.log']],
  ['/v1/sources', ['registry']],
  ['/v1/checkpoints', ['checkpoints']],
  ['/v1/shares', ['records']],
  ['/v1/equivocations', ['records']],
  ['/v1/batches', ['batches']],
  ['/v1/proofs', ['lookups']],
  ['/v1/events', ['lookups']],
  ['/v1/streams', ['lookups']],
]

const NONSENSE: [what: string, body: string | Buffer][] = [
  ['no JSON', 'pardon?'],
  ['nothing', ''],
  ['null', 'null'],
  ['a number', '7'],
  ['a text', '"log"'],
  ['a list', '[]'],
  ['an empty object', '{}'],
  [
    'lists that are none',
    `{"${['vkey', 'targets', 'anchors', 'sources', 'checkpoints', 'shares', 'events'].join('":{},"')}":{}}`,
  ],
  [
    'lists of nothing',
    `{"${['anchors', 'sources', 'checkpoints', 'shares', 'equivocations', 'events', 'targets'].join('":[null,7,"x",[]],"')}":[null]}`,
  ],
  ['a member twice', '{"a":1,"a":2}'],
  ['what nests too deep', '['.repeat(50_000)],
  ['bytes that are no UTF-8', Buffer.from([0x22, 0xff, 0xfe, 0x22])],
]

describe.each(ANSWERS)('where %s is answered with', (path, failed) => {
  test.each(NONSENSE)('%s is a finding', async (_, body) => {
    const found = await audit(path, (_, { status }) => ({ status, body: Buffer.from(body) }))
    expect(found.failed).toEqual(expect.arrayContaining(failed))
    expect(auditOutcome(found)).toBe('failed')
  })
})

test('without a checkpoint that can be read, no check passes that would have looked at the log, and none accuses', async () => {
  const { checks, size } = await audit('/checkpoint', () => ({ status: 200, body: Buffer.from('pardon?') }))
  expect(size).toBe(0)
  const told = new Map(checks.map(({ id, status, reason }) => [id, `${status}: ${reason}`]))
  expect(told.get('checkpoint')).toBe('failed: unreadable')
  expect(told.get('anchors.chain')).toBe('skipped: not_asked')
  for (const [id, result] of told)
    if (id !== 'checkpoint' && id !== 'anchors.chain') expect(`${id} ${result}`).toBe(`${id} skipped: stopped`)
  const finish = async () => ({
    faults: [{ place: null, reason: 'different' as const, message: 'altered' }],
    detail: '',
  })
  const own = [
    { id: 'apart', title: 'Looks elsewhere', isApart: true, finish },
    { id: 'of the log', title: 'Looks at the log', finish },
  ]
  const { checks: more } = await auditLedger(openApi(url, READER, { patience: 0 }), NONE, { own })
  expect(more.filter(({ status }) => status === 'failed').map(({ id }) => id)).toEqual(['checkpoint', 'apart'])
})

test('a log without entries is none, and of events that cannot be read nobody says that they hold every field', async () => {
  const empty = await audit('/checkpoint', (_, { status, body }) => {
    const [origin, , , ...rest] = body.toString().split('\n')
    return { status, body: Buffer.from([origin, '0', Buffer.from(EMPTY_ROOT).toString('base64'), ...rest].join('\n')) }
  })
  expect(empty.failed).toEqual(['checkpoint'])
  const shown = ({ checks }: AuditResult) => checks.filter(({ status }) => status === 'passed').map(({ id }) => id)
  expect(shown(empty)).toEqual([])
  const broken = await audit('/v1/batches', (_, { status, body }) => ({
    status,
    body: Buffer.from(body.toString().replaceAll(/^.*~.*$/gm, 'pardon?')),
  }))
  expect(broken.failed).toContain('events')
  expect(broken.checks.find(({ id }) => id === 'fields')).toMatchObject({ status: 'skipped', reason: 'unreadable' })
})

test('an endless answer is read up to a limit', async () => {
  const body = Buffer.alloc(33 << 20, ' ')
  for (const [path, failed] of ANSWERS.slice(2, 6)) {
    const found = await audit(path, () => ({ status: 200, body }))
    expect(found.failed).toEqual(expect.arrayContaining(failed))
  }
})

test('tiles of a wrong length, and batches that were not asked for, are findings', async () => {
  const tile = await audit('/tile/', () => ({ status: 200, body: Buffer.alloc(33 << 20) }))
  expect(tile.failed).toContain('tiles')
  for (const path of ['/tile/0/', '/tile/entries/']) {
    const longer = await audit(path, (_, { status, body }) => ({ status, body: Buffer.concat([body, body]) }))
    expect(longer.failed).toEqual(['tiles'])
  }
  const more = await audit('/v1/batches', (_, { status, body }) => ({ status, body: Buffer.concat([body, body]) }))
  expect(more.failed).toContain('batches')
})

test('lists that are not in the order of the log, and pages without end, are findings', async () => {
  const twice = await audit('/v1/checkpoints', (_, { status, body }) => {
    const { checkpoints } = JSON.parse(body.toString())
    return { status, body: Buffer.from(JSON.stringify({ checkpoints: [...checkpoints, ...checkpoints] })) }
  })
  expect(twice.failed).toContain('checkpoints')
  const endless = await audit('/v1/events', (_, { status, body }) => {
    return { status, body: Buffer.from(JSON.stringify({ ...JSON.parse(body.toString()), events: [{}], next: 'more' })) }
  })
  expect(endless.failed).toContain('lookups')
})

test('lists of erasures and of drops without end are findings', async () => {
  const row = { root: 'A'.repeat(43), events: 1 }
  const named = (i: number) => `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`
  const pageAfter = (path: string, name: string, make: (at: number) => object) => {
    const from = Number(new URL(path, 'http://localhost').searchParams.get(name)) + (name === 'after' ? 1 : 0)
    return Array.from({ length: 1000 }, (_, i) => make(from + i))
  }
  let asked = 0
  const erasures = await audit('/v1/erasures?', (path) => {
    // Far more than it may read.
    const page = ++asked > 30 ? [] : pageAfter(path, 'after', (at) => ({ ...row, id: named(at), logIndex: 1_000 + at }))
    return { status: 200, body: Buffer.from(JSON.stringify({ erasures: page })) }
  })
  expect(erasures.checks.find(({ id }) => id === 'erasures')).toMatchObject({
    ...{ status: 'failed', detail: expect.stringContaining('do not come to an end') },
  })
  expect(asked).toBeLessThan(30)
  let pages = 0
  const drops = await audit('/v1/', (path, { status, body }) => {
    if (path.startsWith('/v1/retention/drops')) {
      const rows = pageAfter(path, 'from', (logIndex) => ({ logIndex, entries: `${logIndex - 1}` }))
      const next = ++pages > 30 ? null : (rows.at(-1) as { logIndex: number }).logIndex + 1
      return { status: 200, body: Buffer.from(JSON.stringify({ drops: rows, next })) }
    }
    // A batch shows nothing but its leaf hashes, and no drop says so.
    if (!path.startsWith('/v1/batches')) return { status, body }
    const text = body.toString().replaceAll(/^([^~\n]+)~.*$/gm, (_, jws) => leafOf(jws))
    return { status, body: Buffer.from(text) }
  })
  expect(drops.checks.find(({ id }) => id === 'retention')).toMatchObject({
    ...{ status: 'failed', detail: expect.stringMatching(/cannot be read|no drop in the log/) },
  })
  expect(pages).toBeLessThan(30)
})

const leafOf = (jws: string) => printHash(nodePrimitives.leafHash(jws))

// Members that a careless reader would call.
const VALUES: Json[] = [
  ...[null, true, 0, -1, 1.5, 2 ** 53 - 1, 1e300, '', 'x', '\u202e', '9'.repeat(400), `0x${'0'.repeat(64)}`, [], {}],
  ...[[null], [[]], [{}], { toString: 1, valueOf: 1 }, { length: 1e9 }, 'A'.repeat(100_000)],
  JSON.parse('{"__proto__":{"a":1},"constructor":7}') as Json,
  JSON.parse(`${'[{"a":'.repeat(14)}1${'}]'.repeat(14)}`) as Json,
]

/** Changes the k-th value inside a value, counted over all its members. */
function mutate(value: Json, k: number, how: 'replace' | 'remove' | 'add' | 'double', by: Json): Json {
  let count = 0
  const walk = (value: Json): Json => {
    if (count++ === k) {
      if (how === 'replace') return by
      if (how === 'add' && typeof value === 'object' && value !== null)
        return Array.isArray(value) ? [...value, by] : { ...value, extra: by }
      return how === 'double' ? [value, value] : by
    }
    if (Array.isArray(value)) return value.map(walk)
    if (typeof value !== 'object' || value === null) return value
    const members = Object.entries(value).map(([name, member]): [string, Json] | null => {
      const isIt = how === 'remove' && count === k
      const walked = walk(member)
      return isIt ? null : [name, walked]
    })
    return Object.fromEntries(members.filter((member) => member !== null))
  }
  return walk(value)
}

const mutation = fc.record({
  k: fc.nat(60),
  how: fc.constantFrom('replace' as const, 'remove' as const, 'add' as const, 'double' as const),
  by: fc.constantFrom(...VALUES),
})

test.each(['/v1/anchors', '/v1/sources'])(
  '%s: a cursor too long for a request is nonsense of the service',
  async (path) => {
    const { failed, checks } = await audit(path, (_, { status, body }) => {
      const page = { ...(JSON.parse(body.toString()) as object), next: 'A'.repeat(20_000) }
      return { status, body: Buffer.from(JSON.stringify(page)) }
    })
    expect(failed).not.toEqual([])
    expect(checks.map(({ detail }) => detail).join()).toContain('refuses the cursor that it gave')
  },
)

// Each run is a whole audit over HTTP.
test('any value in any place of an answer leads to a result', { timeout: 60_000 }, async () => {
  const paths = ANSWERS.map(([path]) => path).filter((path) => path !== '/checkpoint' && path !== '/v1/batches')
  const outcomes = new Set<string>()
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...paths), mutation, async (path, { k, how, by }) => {
      const found = await audit(path, (_, { status, body }) => {
        const changed = mutate(JSON.parse(body.toString()), k, how, by)
        return { status, body: Buffer.from(JSON.stringify(changed)) }
      })
      outcomes.add(auditOutcome(found))
    }),
    { numRuns: process.env.CI ? 150 : 60 },
  )
  expect(outcomes).toContain('failed')
})

describe('a node', () => {
  const { deployedBytecode } = JSON.parse(
    readFileSync(new URL('../../../anchor-service/src/anchor/chain/AnchorLog.json', import.meta.url), 'utf8'),
  ) as { deployedBytecode: string }
  let node: Server
  let rpc: string
  let lie: { method: string; body: string } | null = null
  const word = (value: number) => value.toString(16).padStart(64, '0')
  const results: Record<string, (params: [{ data?: string }]) => Json> = {
    eth_chainId: () => '0x7a69',
    eth_blockNumber: () => '0x20',
    eth_getCode: () => deployedBytecode,
    // isAnchored has four arguments, head one.
    eth_call: ([{ data }]) => (data!.length > 100 ? `0x${word(1)}` : `0x${word(1)}${word(1)}${word(1_800_000_000)}`),
    eth_getBlockByNumber: () => ({ timestamp: '0x6b49d200', transactions: [TRANSACTION] }),
  }
  beforeAll(async () => {
    ;[node, rpc] = await listen(async (request, response) => {
      const { id, method, params } = JSON.parse(await text(request))
      const isLie = lie?.method === method
      response.end(isLie ? lie!.body : JSON.stringify({ jsonrpc: '2.0', id, result: results[method]!(params) }))
    })
  })
  afterAll(() => void node.close())

  test('that is honest confirms the anchor', async () => {
    lie = null
    const { checks } = await audit('', () => null, { ...NONE, logs: [LOG], urls: [rpc] })
    expect(checks.find(({ id }) => id === 'anchors.chain')).toMatchObject({ status: 'passed' })
  })

  test.each(Object.keys(results))(
    'that answers %s with nonsense leaves it open, or fails it, and nothing breaks',
    async (method) => {
      const deep = '['.repeat(20_000) + ']'.repeat(20_000)
      const bodies = [
        ...['', 'null', '7', '[]', '{}', '"x"', 'pardon?', deep, `{"result":${deep}}`, `{"error":{"message":${deep}}}`],
        ...['{"error":7}', '{"error":{}}', '{"error":{"message":{"toString":1}}}', ' '.repeat(17 << 20)],
        ...VALUES.map((result) => JSON.stringify({ jsonrpc: '2.0', id: 1, result })),
      ]
      for (const body of bodies) {
        lie = { method, body }
        const { checks } = await audit('', () => null, { ...NONE, logs: [LOG], urls: [rpc] })
        const { status } = checks.find(({ id }) => id === 'anchors.chain')!
        // A node that prunes its history need not know the block, and 0x00… is a height: the contract has confirmed the anchor.
        const isHarmless = method === 'eth_getBlockByNumber' || (method === 'eth_blockNumber' && body.includes('0x000'))
        if (!isHarmless) expect(status, body.slice(0, 60)).not.toBe('passed')
      }
    },
  )
})
