// Bundles of a real ledger with a real chain: made by the command, checked by command and library, and damaged in every way.
import { spawn } from 'node:child_process'
import { createHash, hash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { EventInput, PublicJwk } from '@killick/sdk'
import type { BundleTrust, BundleVerdict, CheckSignature } from '@killick/sdk/bundle'
import { toHex, verifySignature } from '@killick/sdk/core'
import { readAnchors } from '@killick/sdk/verify'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { ErasedLines } from '../../../sdk/src/bundle/erased-lines.ts'
import { parseManifest, printTrailer } from '../../../sdk/src/bundle/manifest.ts'
import { NamedKeys } from '../../../sdk/src/bundle/reading.ts'
import { TAR_END, tarHeader, tarPadding } from '../../../sdk/src/bundle/tar.ts'
import { type BundleEngine, PORTABLE_ENGINE, verifyBundleWith } from '../../../sdk/src/bundle/verify-bundle.ts'
import { printReport } from '../../../sdk/src/make-bundle/report.ts'
import { linesIn } from '../../../sdk/src/node/bundle/lines.ts'
import { readStretchNatively } from '../../../sdk/src/node/bundle/read-stretch.ts'
import { nodePrimitives } from '../../../sdk/src/node/primitives.ts'
import { verifyNatively } from '../../../sdk/src/node/signature.ts'
import { newSigner, Producer, post, sampleEvent } from '../../anchor-service/support/producer.ts'
import { call, ERASER, READER, register, type TestService, testService } from '../../anchor-service/support/service.ts'
import { startFaultyRpc } from '../../support/faulty-rpc.ts'
import { type LocalChain, startChain } from '../../support/local-chain.ts'
import { killick } from '../cli/support.ts'

const KILLICK = fileURLToPath(new URL('../../../sdk/src/cli/main.ts', import.meta.url))
const [ALPHA, BETA, GAMMA] = ['alpha', 'beta', 'gamma']
const signers = { [ALPHA]: newSigner(), [BETA]: newSigner(), [GAMMA]: newSigner() }
const producers: Producer[] = []

let folder: string
let chain: LocalChain
let service: TestService
let env: Record<string, string>
let pins: string[]
let trust: BundleTrust
/** Block times of the anchors between the three parts of the ledger, s. */
const times: number[] = []

const file = (name: string) => join(folder, name)
const bundle = (name: string, ...options: string[]) =>
  killick(['bundle', '--bare', '--out', file(name), '--json', ...options], { env })
/** Line by line, and in stretches as Node does, which must come to the same. */
const verified = async (bytes: Uint8Array, given: BundleTrust = trust): Promise<BundleVerdict> => {
  const own = { primitives: nodePrimitives, checkSignature }
  const verdict = await verifyBundleWith(LINE_BY_LINE, chunksOf(bytes), given, own)
  expect(await verifyBundleWith(IN_STRETCHES, chunksOf(bytes, bytes.length), given, own)).toEqual(verdict)
  return verdict
}
const LINE_BY_LINE: BundleEngine = { ...PORTABLE_ENGINE, verify: (...asked) => onceChecked(verifySignature, ...asked) }
const IN_STRETCHES: BundleEngine = {
  reader: {
    async read({ bytes, isOpen }, keys) {
      const known = new NamedKeys(checkSignature)
      known.add(keys)
      const lines = linesIn(bytes)
      return { lines: () => lines, reading: await readStretchNatively(bytes, lines, isOpen, known), bytes }
    },
    ahead: () => 0,
  },
  newSha256() {
    const hash = createHash('sha256')
    return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest('hex') }
  },
  verify: (...asked) => onceChecked(verifyNatively, ...asked),
}

/** A signature that was checked is not checked again: bundles are damaged in a thousand ways, and most of them stays. */
const checked = new Map<string, boolean>()
const checkSignature: CheckSignature = (jwk, { input, bytes }) => onceChecked(verifySignature, jwk, input, bytes)
function onceChecked(by: typeof verifySignature, jwk: PublicJwk, input: Uint8Array, bytes: Uint8Array): boolean {
  const key = [by.name, JSON.stringify(jwk), hash('sha256', input), hash('sha256', bytes)].join(' ')
  const known = checked.get(key)
  if (known !== undefined) return known
  const answer = by(jwk, input, bytes)
  checked.set(key, answer)
  return answer
}

async function* chunksOf(bytes: Uint8Array, length = 10_007): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length)
}

/** Batches of both sources by turns, some with events that are ours to hide in a smaller bundle. */
async function handIn(sizes: readonly number[]): Promise<void> {
  for (const [i, n] of sizes.entries()) {
    const producer = producers[i % producers.length]!
    const batch = await producer.batch(Array.from({ length: n }, (_, k) => sampleEvent(producer.seq + k)))
    expect((await post(service.url, batch.body)).status).toBe(201)
    batch.advance()
  }
}

/** What both sources say of one thing, the second of them something that does not fit. */
async function tellOfOrder(): Promise<void> {
  const told: [number, string, object[]][] = [
    [0, 'order.create', [{ path: '', after: { status: 'new', lines: { 'A-1': { n: 1 } } } }]],
    [1, 'order.update', [{ path: '/lines/A-1/n', before: 1, after: 4 }]],
    [0, 'order.approve', [{ path: '/status', before: 'open', after: 'approved' }]],
  ]
  for (const [i, [which, action, changes]] of told.entries()) {
    const producer = producers[which]!
    const actor = { type: 'user', id: `\u001b[31m${i}` }
    const event = { action, actor, targets: [{ type: 'order', id: 'o-1' }], changes } as EventInput
    const batch = await producer.batch([event], { times: [Date.UTC(2026, 0, 1) + 1000 * i] })
    expect((await post(service.url, batch.body)).status).toBe(201)
    batch.advance()
  }
}

/** A source that promises an event every minute, and once says nothing for longer. */
async function keepSilent(): Promise<void> {
  const start = Date.now() - 1_500_000
  const promise = (heartbeat: number) => register(service.url, GAMMA, [], { heartbeat, maxAhead: 60 })
  const streams = {
    'g-1': new Producer(GAMMA, signers[GAMMA]!, 'g-1'),
    'g-2': new Producer(GAMMA, signers[GAMMA]!, 'g-2'),
  }
  const say = async (stream: keyof typeof streams, seconds: number[], action = 'tick') => {
    const targets = [{ type: 'stream', id: stream }]
    const inputs = seconds.map(() => ({ action, actor: { type: 'source', id: GAMMA }, targets }))
    const batch = await streams[stream].batch(inputs, { times: seconds.map((each) => start + 1000 * each) })
    expect((await post(service.url, batch.body)).status).toBe(201)
    batch.advance()
  }
  // What was recorded before there was a promise is not held against it.
  await say('g-1', [-900])
  await promise(60)
  await say('g-1', [0, 30, 90, 200], 'stream.heartbeat')
  await say('g-2', [0])
  await say('g-2', [10], 'stream.close')
  await promise(600)
  // Of a promise that changed meanwhile, the longer one counts; behind an end there is no silence.
  await say('g-1', [500])
  await say('g-2', [1_400])
}

/** @returns the order, as it was accepted, once it was carried out */
async function erase(order: object) {
  const { status, json } = await call(service.url, '/v1/erasures', ERASER, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(order),
  })
  expect(status).toBe(202)
  await vi.waitUntil(async () => (await call(service.url, `/v1/erasures/${json.id}`)).json.state === 'done', {
    timeout: 30_000,
  })
  return json
}

async function anchored(): Promise<number> {
  const size = Number((await call(service.url, '/checkpoint')).text.split('\n')[1])
  return vi.waitUntil(
    async () => {
      const { json } = await call(service.url, '/v1/anchors?limit=500')
      const own = json.anchors.find(
        (each: { size: number; state: string }) => each.size >= size && each.state !== 'sent',
      )
      return own?.time ?? null
    },
    { timeout: 60_000, interval: 50 },
  )
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'killick-bundle-'))
  chain = await startChain()
  const contract = await chain.deployAnchorLog()
  service = await testService({
    KILLICK_RPC_URL: chain.url,
    KILLICK_CONTRACT: contract,
    KILLICK_CHAIN_KEY: await chain.newKey(),
    KILLICK_ANCHOR_INTERVAL_MS: '200',
    KILLICK_CONFIRMATIONS: '1',
  })
  env = { KILLICK_URL: service.url, KILLICK_TOKEN: READER }
  for (const [name, { jwk }] of Object.entries(signers)) {
    await register(service.url, name, [{ jwk }])
    writeFileSync(file(`${name}.json`), JSON.stringify(jwk))
  }
  producers.push(
    new Producer(ALPHA, signers[ALPHA]!, 'a-1'),
    new Producer(BETA, signers[BETA]!, 'b-1'),
    new Producer(ALPHA, signers[ALPHA]!, 'a-2'),
  )
  for (const sizes of [
    [3, 2, 1, 5],
    [1, 4, 8, 2, 1, 3],
    [2, 2, 9, 1],
  ]) {
    await handIn(sizes)
    if (times.length === 1) {
      await tellOfOrder()
      await keepSilent()
    }
    times.push(await anchored())
  }
  const { json } = await call(service.url, '/v1/anchors?limit=1')
  const { chainId, logId } = json.anchors[0]
  const logs = [{ chainId, contract: contract.toLowerCase(), logId }]
  trust = {
    ...{ logKeys: [service.vkey], logs },
    sourceKeys: Object.entries(signers).map(([source, { jwk }]) => ({ source, jwk })),
    facts: (anchors) => readAnchors({ anchors }, [chain.url]),
  }
  const keys = Object.keys(signers).flatMap((name) => ['--source-key', `${name}=${file(`${name}.json`)}`])
  pins = ['--rpc', chain.url, '--contract', contract, '--log-id', logId, '--log-key', service.vkey, ...keys]
}, 120_000)

afterAll(async () => {
  await service?.stop()
  await chain?.stop()
  rmSync(folder, { recursive: true, force: true })
})

describe('killick bundle', () => {
  test('all of a source: genuine and complete, and says so with the times', async () => {
    const { code, out, err } = await bundle('all.bundle', '--source', ALPHA)
    expect([code, err]).toEqual([0, ''])
    expect(JSON.parse(out)).toMatchObject({ scope: { kind: 'source', source: ALPHA, from: 0 } })
    const told = await killick(['verify', file('all.bundle'), ...pins])
    expect([told.code, told.err]).toEqual([0, ''])
    expect(told.out).toMatch(/^GENUINE: pinned by you$/m)
    expect(told.out).toMatch(/^COMPLETE: All entries of the log in this range are there/m)
    expect(told.out).toContain('2 of 2 streams have not ended')
    const verdict = await verified(readFileSync(file('all.bundle')))
    expect(verdict).toMatchObject({ outcome: 'verified', faultCount: 0, missing: [] })
    const { count } = (await call(service.url, `/v1/events?source=${ALPHA}&limit=500`)).json.events.reduce(
      (sum: { count: number }) => ({ count: sum.count + 1 }),
      { count: 0 },
    )
    expect(verdict.events).toBe(count)
  })

  test('anchors that are not final yet are told to be so, by as many confirmations as were asked for', async () => {
    const node = await startFaultyRpc(chain.url)
    // A chain without finality, whose newest block holds the newest anchor.
    const block = parseManifest(unpack('all.bundle').manifest).anchors.at(-1)!.block
    node.rule = ({ method, params }) => {
      if (method === 'eth_blockNumber') return { fault: 'lie', result: `0x${block.toString(16)}` }
      return params[1] === 'finalized' ? { fault: 'error', message: 'unknown block' } : null
    }
    const facts: BundleTrust['facts'] = (anchors) => readAnchors({ anchors }, [node.url])
    const finals = async (confirmations: number) =>
      (await verified(readFileSync(file('all.bundle')), { ...trust, facts, confirmations })).anchors.map(
        (each) => each.final,
      )
    expect((await finals(1)).every((each) => each === true)).toBe(true)
    expect((await finals(2)).at(-1)).toBe(false)
    const told = async (confirmations: string) => {
      const given = pins.map((each) => (each === chain.url ? node.url : each))
      const { code, out } = await killick(['verify', file('all.bundle'), ...given, '--confirmations', confirmations])
      expect(code).toBe(0)
      return out
    }
    expect(await told('1')).toMatch(/anchors confirmed by the chain$/m)
    expect(await told('2')).toMatch(/anchors confirmed by the chain, \d of them not final yet$/m)
    expect((await verified(readFileSync(file('all.bundle')))).anchors.map((each) => each.final)).not.toContain(false)
    await node.stop()
  })

  test('of what no confirmed anchor covers it is said that it is the word of the log', async () => {
    const bytes = readFileSync(file('all.bundle'))
    const { anchors } = parseManifest(unpack('all.bundle').manifest)
    const places: number[] = []
    const onEvent = (_: unknown, logIndex: number) => void places.push(logIndex)
    await verifyBundleWith(LINE_BY_LINE, chunksOf(bytes), trust, {
      primitives: nodePrimitives,
      checkSignature,
      onEvent,
    })
    const behind = (size: number) => places.filter((logIndex) => logIndex >= size).length
    expect((await verified(bytes)).unanchored).toBe(behind(anchors.at(-1)!.size))

    const node = await startFaultyRpc(chain.url)
    // It knows the first anchor, and gives no answer about any other.
    const [{ size }, ...others] = anchors as [(typeof anchors)[0], ...typeof anchors]
    const roots = others.map(({ root }) => toHex(root))
    node.rule = ({ params }) =>
      roots.some((root) => JSON.stringify(params).includes(root)) ? { fault: 'error', message: 'no' } : null
    const facts: BundleTrust['facts'] = (asked) => readAnchors({ anchors: asked }, [node.url])
    expect(behind(size)).toBeGreaterThan(1)
    const verdict = await verified(bytes, { ...trust, facts })
    expect([verdict.outcome, verdict.unanchored]).toEqual(['verified', behind(size)])
    const given = pins.map((each) => (each === chain.url ? node.url : each))
    const { out } = await killick(['verify', file('all.bundle'), ...given])
    expect(out).toContain(`! ${behind(size)} events are in no confirmed anchor that counts here`)
    // Where no anchor counts at all, that says more.
    expect((await verified(bytes, { ...trust, facts: async () => [] })).unanchored).toBe(null)
    await node.stop()
  })

  test('of a period: from the last anchor before it to the first one after it', async () => {
    const iso = (seconds: number) => new Date(1000 * seconds).toISOString()
    const period = ['--source', ALPHA, '--from', iso(times[0]!), '--to', iso(times[1]!)]
    expect(JSON.parse((await bundle('middle.bundle', ...period)).out)).toMatchObject({ isReached: true })
    const verdict = await verified(readFileSync(file('middle.bundle')))
    expect(verdict.outcome).toBe('verified')
    const { from, to } = verdict.scope as { from: number; to: number }
    expect(from).toBeGreaterThan(0)
    expect(to).toBeLessThan(verdict.size!)
    expect(verdict.completeness).toMatchObject({ verdict: 'complete', after: iso(times[0]!), by: iso(times[1]!) })
    // A block is later than the log that it anchors: what lies behind an anchor need not have come after its time.
    const told = await killick(['verify', file('middle.bundle'), ...pins])
    expect(told.out).toContain(`None of it was in the log yet as anchored at ${iso(times[0]!)}, by the last anchor`)
    // Nobody has asked the chain: the range is whole, and how far it reaches is open.
    const unasked = await verified(readFileSync(file('middle.bundle')), { ...trust, facts: undefined })
    expect(unasked).toMatchObject({ outcome: 'undecided', missing: ['chain', 'contract'] })
    expect(unasked.completeness).toMatchObject({ verdict: 'open', after: null, by: null })
    // A period that reaches beyond the last anchor.
    const late = ['--source', ALPHA, '--from', iso(times[0]!), '--to', '2099-01-01']
    const made = await bundle('late.bundle', ...late)
    expect([made.code, JSON.parse(made.out).isReached]).toEqual([0, false])
    expect((await verified(readFileSync(file('late.bundle')))).completeness.verdict).toBe('open')
    const said = await killick(['bundle', '--bare', '--out', file('later.bundle'), ...late], { env })
    expect(said.err).toContain('Nothing was anchored since 2099-01-02T00:00:00.000Z, so nobody can tell yet whether')
  })

  test('of a stream: places without a gap; of a search: as the index says', async () => {
    const stream = ['--source', ALPHA, '--stream', 'a-1']
    expect((await bundle('stream.bundle', ...stream)).code).toBe(0)
    expect((await verified(readFileSync(file('stream.bundle')))).completeness).toMatchObject({
      verdict: 'complete',
      streams: 1,
    })
    // That of the ledger itself, whose registrations are events of it.
    expect((await bundle('own.bundle', '--source', 'killick', '--stream', 'system')).code).toBe(0)
    const own = await verified(readFileSync(file('own.bundle')))
    expect([own.outcome, own.completeness.verdict, own.completeness.gaps]).toEqual(['verified', 'complete', []])
    // A part of it, with changes of a source whose registration lies before: it comes along, and those of others do not.
    expect((await bundle('changes.bundle', '--source', 'killick', '--action', 'source.change')).code).toBe(0)
    const changes = await verified(readFileSync(file('changes.bundle')))
    expect([changes.outcome, changes.faults, changes.registrations]).toEqual(['verified', [], 4])
    // Its keys are the log's word, whoever else's are pinned.
    const told = await killick(['verify', file('own.bundle'), ...pins])
    expect(told.out).toMatch(/^ +the keys of the sources +on .+’s word$/m)
    expect([told.code, /^GENUINE.*$/m.exec(told.out)?.[0]]).toEqual([0, 'GENUINE'])
    // A part of it, whose batches are carried in part.
    expect((await bundle('part.bundle', ...stream, '--first', '2', '--last', '5')).code).toBe(0)
    const part = await verified(readFileSync(file('part.bundle')))
    expect(part).toMatchObject({ outcome: 'verified', events: 4, completeness: { verdict: 'complete' } })
    expect(readFileSync(file('part.bundle'), 'latin1')).toMatch(/^N \d+ /m)
    // More than there is.
    expect((await bundle('more.bundle', ...stream, '--last', '500')).code).toBe(0)
    const more = await killick(['verify', file('more.bundle'), ...pins])
    expect(more.code).toBe(1)
    expect(more.out).toMatch(
      /^NOT COMPLETE: 1 gap in what it says that it holds\.\n {2}· missing: events \d+ to 500 of stream a-1 of alpha$/m,
    )
    expect((await bundle('search.bundle', '--actor', 'u-1')).code).toBe(0)
    const search = await killick(['verify', file('search.bundle'), ...pins])
    expect(search.code).toBe(3)
    expect(search.out).toMatch(/^AS THE INDEX SAYS: /m)
  })

  test('a source that was silent for longer than it promised, between its events and at the end', async () => {
    const until = new Date(1000 * times[1]!).toISOString()
    expect((await bundle('silent.bundle', '--source', GAMMA, '--to', until)).code).toBe(0)
    const bytes = readFileSync(file('silent.bundle'))
    const { silences, outcome, completeness } = await verified(bytes)
    expect([outcome, completeness.verdict]).toEqual(['verified', 'complete'])
    const gap = { source: GAMMA, stream: 'g-1', maxAge: null, maxAhead: 60 }
    expect(silences).toEqual({
      ...{ pairs: 5, streams: 2, foundCount: 2 },
      found: [
        { ...gap, seq: 3, from: expect.any(String), to: expect.any(String), promised: 60 },
        { ...gap, seq: 5, from: expect.any(String), to: null, promised: 600 },
      ],
    })
    const { from, to } = silences!.found[0]!
    expect(Date.parse(to!) - Date.parse(from)).toBe(110_000)
    const told = await killick(['verify', file('silent.bundle'), ...pins])
    expect([told.code, told.err]).toEqual([1, ''])
    expect(told.out).toMatch(/^SILENCE: 2 times a stream said nothing for longer than its source promised/m)
    expect(told.out).toContain(`stream g-1 of gamma, behind event 3: from ${from} to ${to}; promised 60 s`)
    // Nobody has asked the chain, so nobody knows what had come by then.
    expect((await verified(bytes, { ...trust, facts: undefined })).silences).toMatchObject({ foundCount: 1 })
    bytes[bytes.length >> 1]! ^= 1
    expect((await verified(bytes)).silences).toBeNull()
    expect((await verified(readFileSync(file('all.bundle')))).silences).toMatchObject({ pairs: 0, foundCount: 0 })
  })

  test('an end of a stream that has lost its targets to an order is still one, and to nobody’s order it is none', async () => {
    const until = new Date(1000 * times[1]!).toISOString()
    const { silences } = await verified(readFileSync(file('silent.bundle')))
    await erase({ source: GAMMA, action: 'stream.close', fields: ['targets'], reason: 'as a policy would' })
    expect((await bundle('closed.bundle', '--source', GAMMA, '--to', until)).code).toBe(0)
    const verdict = await verified(readFileSync(file('closed.bundle')))
    expect(verdict).toMatchObject({ outcome: 'verified', fields: { erased: 1 }, silences })
    const { manifest, lines } = unpack('closed.bundle')
    const stripped = await verified(
      pack(
        manifest,
        lines.filter((line) => !/^[XL] /.test(line)),
      ),
    )
    const isTold = { fields: { hidden: 1 }, silences: { foundCount: silences!.foundCount + 1 } }
    expect(stripped).toMatchObject(isTold)
    // Nor does an order that took one field stand for another that the maker hides.
    const at = lines.findIndex((line) => line.startsWith('X ')) - 1
    const [jws, ...shown] = lines[at]!.split('~')
    const isAction = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString())[1] === 'action'
    const kept = shown.filter((part) => part === '' || !isAction(part))
    expect(kept).toHaveLength(shown.length - 1)
    expect(await verified(pack(manifest, lines.with(at, [jws, ...kept].join('~'))))).toMatchObject(isTold)
  })

  test('tells what was erased, by whose order, from what nobody explains', async () => {
    const order = {
      actor: 'u-2',
      source: BETA,
      fields: ['actor', 'context'],
      reason: 'request of the person',
      order: 'E-7',
    }
    const json = await erase(order)
    await anchored()
    expect((await bundle('erased.bundle', '--source', BETA)).code).toBe(0)
    const verdict = await verified(readFileSync(file('erased.bundle')))
    expect(verdict).toMatchObject({ outcome: 'verified', completeness: { verdict: 'complete' } })
    expect(verdict.fields).toMatchObject({ erased: json.events, expired: 0, hidden: 0, undecided: 0, erasureCount: 1 })
    expect(json.events).toBeGreaterThan(1)
    const told = await killick(['verify', file('erased.bundle'), ...pins])
    expect([told.code, told.err]).toEqual([0, ''])
    expect(told.out).toMatch(
      new RegExp(`^· ${json.events} events lost fields to erasures that the log orders\\.$`, 'm'),
    )
    expect(told.out).toMatch(/· erased of \d+ events by log entry \d+ at \S+, by order E-7: request of the person$/m)
    // The same without what explains it is complete as well, and somebody may have hidden it.
    const { manifest, lines } = unpack('erased.bundle')
    const stripped = lines.filter((line) => !/^[XL] /.test(line))
    writeFileSync(file('stripped.bundle'), pack(manifest, stripped))
    const unexplained = await killick(['verify', file('stripped.bundle'), ...pins])
    expect(unexplained.out).toMatch(/^! \d+ events do not show every field, and nothing here says why/m)
    // One of its events, and the order that stands far behind it.
    const { seq, stream } = (await call(service.url, `/v1/events?source=${BETA}&limit=500`)).json.events.find(
      (event: { erased?: number }) => event.erased !== undefined,
    )
    const place = ['--source', BETA, '--stream', stream, '--first', String(seq), '--last', String(seq)]
    expect((await bundle('one.bundle', ...place)).code).toBe(0)
    expect(await verified(readFileSync(file('one.bundle')))).toMatchObject({
      ...{ outcome: 'verified', events: 1, fields: { erased: 1, hidden: 0 } },
    })
  })

  test('an event that somebody has altered is carried as it is, where erasures come behind it', async () => {
    const reader = { erased: async () => [] } as never
    const lines = new ErasedLines(reader, [{ id: '0', logIndex: 9, events: 1 }], 10, nodePrimitives)
    expect(await lines.behind(3, ['no event', 'e30.e30.AA~'])).toEqual(new Map())
  })

  test('has a report for people, which the verifier names and does not rely on', async () => {
    const { code } = await killick(['bundle', '--out', file('people.bundle'), '--target', 'o-1'], { env })
    expect(code).toBe(0)
    const bytes = readFileSync(file('people.bundle'))
    const verdict = await verified(bytes)
    expect([verdict.faults, verdict.outcome]).toEqual([[], 'verified'])
    expect(verdict.forPeople[0]).toMatchObject({ name: 'report.html' })
    const at = bytes.indexOf('report.html\0')
    const text = bytes.subarray(at + 512, at + 512 + verdict.forPeople[0]!.bytes)
    expect(createHash('sha256').update(text).digest('hex')).toBe(verdict.forPeople[0]!.sha256)
    expect(text.toString()).toContain('index found for target o-1')
    // It goes to people who have nothing installed; whoever publishes a package `killick` is not us.
    expect(text.toString()).toContain('npx -p @killick/sdk killick verify')
    // What was asked for is somebody else's words, and may be made to look like other ones.
    const whole = parseManifest(unpack('people.bundle').manifest)
    const scope = { kind: 'search' as const, conditions: { target: '<b>o\u202e\ufe00-1' } }
    const sums = { entries: 1, events: 1, dropped: 0, files: {}, hasPage: false }
    expect(printReport({ ...whole, scope }, sums)).toContain('for target &lt;b&gt;o\\u202e\\ufe00-1')
    const told = await killick(['verify', file('people.bundle'), ...pins])
    expect(told.out).toMatch(/^For people, signed by nobody, and not relied on: report\.html/m)
    bytes[at + 512 + text.length - 3]! ^= 1
    expect((await verified(bytes)).faults).toEqual([{ reason: 'trailer_mismatch', file: 'trailer.json' }])
    // Twice, in another order, or by another name.
    const { manifest, lines } = unpack('people.bundle')
    for (const names of [['report.html', 'report.html'], ['readme.txt', 'verify.html'], ['evil.html']])
      expect((await verified(pack(manifest, lines, names))).faults.map(({ reason }) => reason)).toContain('malformed')
    expect(await verified(pack(manifest, lines, ['report.html', 'verify.html', 'readme.txt']))).toMatchObject({
      outcome: 'verified',
      forPeople: [{ name: 'report.html' }, { name: 'verify.html' }, { name: 'readme.txt' }],
    })
  })

  test('what cannot be made is said, and no file is left', async () => {
    expect((await bundle('none.bundle', '--actor', 'nobody')).out).toContain('bundle_empty')
    // A source that is misspelt has recorded nothing, and all of that would be complete.
    expect((await bundle('none.bundle', '--source', 'alhpa')).out).toContain('has registered no source alhpa')
    expect(readdirSync(folder).filter((name) => name.startsWith('none'))).toEqual([])
    // Of two that are given one name at once, the later one says so.
    const both = await Promise.all([ALPHA, BETA].map((source) => bundle('both.bundle', '--source', source)))
    expect(both.map(({ code }) => code).sort()).toEqual([0, 2])
    expect(both.find(({ code }) => code === 2)!.out).toContain('exists already and was not overwritten')
    expect(readdirSync(folder).filter((name) => name.startsWith('both'))).toEqual(['both.bundle'])
    const won = both.findIndex(({ code }) => code === 0)
    expect(parseManifest(unpack('both.bundle').manifest).scope).toMatchObject({ source: [ALPHA, BETA][won] })
    const { out, code } = await bundle('all.bundle', '--source', ALPHA)
    expect([code, out]).toEqual([2, expect.stringContaining('exists already and was not overwritten')])
    expect((await bundle('x.bundle')).out).toContain('at least a source')
    expect((await bundle('x.bundle', '--source', ALPHA, '--first', '3')).out).toContain(
      'source and stream go with them',
    )
    for (const from of ['2026-02-01T01:00:00+01:00', '2026-02-01T00:00:00Z'])
      expect(
        (await bundle('x.bundle', '--source', ALPHA, '--from', from, '--to', '2026-02-01T00:00:00.0009Z')).out,
      ).toContain('to is not behind from')
  })

  test('whoever ends it leaves no draft behind', async () => {
    // A service that says nothing more once the file is there.
    const stalls = createServer(async ({ url = '' }, answer) => {
      if (url.startsWith('/v1/batches')) return
      const told = await fetch(`${service.url}${url}`, { headers: { authorization: `Bearer ${READER}` } })
      answer.writeHead(told.status, { 'content-type': told.headers.get('content-type')! })
      answer.end(Buffer.from(await told.arrayBuffer()))
    }).listen(0, '127.0.0.1')
    await once(stalls, 'listening')
    const url = `http://127.0.0.1:${(stalls.address() as AddressInfo).port}`
    const child = (name: string, ...flags: string[]) =>
      spawn(process.execPath, [...flags, KILLICK, 'bundle', '--bare', '--source', ALPHA, '--out', file(name)], {
        env: { ...process.env, ...env, KILLICK_URL: url },
        stdio: 'ignore',
      })
    // The first process of a container is not ended by what it sends to itself.
    const first = 'data:text/javascript,process.kill=()=>true'
    const children = [child('ended.bundle'), child('ended-first.bundle', '--import', first)]
    const ended = Promise.all(children.map((each) => once(each, 'exit')))
    const left = () => readdirSync(folder).filter((name) => name.startsWith('ended'))
    await vi.waitUntil(() => left().length > 1, { timeout: 30_000, interval: 20 })
    for (const each of children) each.kill('SIGINT')
    expect(await ended).toEqual([
      [null, 'SIGINT'],
      [130, null],
    ])
    expect(left()).toEqual([])
    stalls.closeAllConnections()
    stalls.close()
  })

  test('takes less than a third of the bytes for each event that proofs take', async () => {
    const { events } = (await call(service.url, `/v1/events?source=${ALPHA}&limit=20`)).json
    let bytes = 0
    for (const { id } of events) bytes += (await call(service.url, `/v1/proofs/${id}`)).text.length
    const verdict = await verified(readFileSync(file('all.bundle')))
    expect(statSync(file('all.bundle')).size / verdict.events).toBeLessThan(bytes / events.length / 3)
  })
})

describe('killick history', () => {
  test('the life of a thing over all sources, with who set what, and what does not fit', async () => {
    const { code, out, err } = await killick(['history', 'order', 'o-1', '--since', '2026-01-01T00:00:01Z'], { env })
    expect([code, err]).toEqual([1, ''])
    expect(out).toContain('order o-1: 3 events of 2 sources')
    expect(out).toMatch(/^ {5}\/lines\/A-1\/n {2}1 → 4$/m)
    expect(out).toMatch(/^ {5}! \/status was "new" since event \S+; this one says that it was "open"$/m)
    expect(out).toMatch(/^ {2}\/status {2}"approved" {2}by \\u001b\[31m2 at 2026-01-01T00:00:02.000Z, event \S+$/m)
    expect(out).toMatch(
      /^What is different from then:\n {2}\/status {2}"new" → "approved"\n {2}\/lines\/A-1\/n {2}1 → 4$/m,
    )
    expect(out).not.toContain('\u001b')
    const then = await killick(['history', 'order', 'o-1', '--at', '2026-01-01T00:00:01Z', '--json'], { env })
    expect([then.code, JSON.parse(then.out).state]).toEqual([0, { status: 'new', lines: { 'A-1': { n: 1 } } }])
    expect((await killick(['history', 'order', 'o-2', '--json'], { env })).out).toContain('bundle_empty')
  })

  test('the same from a bundle, with the same hash; none from one that does not hold', async () => {
    expect((await bundle('order.bundle', '--target', 'o-1')).code).toBe(0)
    const hash = ({ out }: { out: string }) => /SHA-256 of its events: ([0-9a-f]{64})$/m.exec(out)![1]
    const own = await killick(['history', 'order', 'o-1', '--bundle', file('order.bundle'), ...pins])
    expect(own.out).toMatch(/^GENUINE\nAS THE INDEX SAYS/m)
    const unpinned = ['history', 'order', 'o-1', '--bundle', file('order.bundle')]
    expect((await killick(unpinned)).out).toMatch(/^UNDECIDED\nMissing for "genuine":\n {2}· /m)
    const json = JSON.parse((await killick([...unpinned, '--json'])).out)
    expect(json).toMatchObject({ outcome: 'undecided', missing: expect.arrayContaining(['log_key']) })
    expect(hash(own)).toBe(hash(await killick(['history', 'order', 'o-1'], { env })))
    const { manifest, lines } = unpack('order.bundle')
    const at = lines.findLastIndex((line) => line.startsWith('E '))
    writeFileSync(file('bad.bundle'), pack(manifest, lines.with(at, lines[at]!.replace('E ey', 'E ez'))))
    const bad = await killick(['history', 'order', 'o-1', '--bundle', file('bad.bundle'), ...pins])
    expect([bad.code, bad.out, bad.err]).toEqual([2, '', expect.stringContaining('nothing is told')])
  })
})

/** Whose batch header a line is. */
const sourceOf = (line: string): string | null =>
  line.startsWith('H ') ? JSON.parse(Buffer.from(line.split('.')[1]!, 'base64url').toString()).iss : null

/** The files of a bundle, as an attacker takes them apart and puts them together again, with a trailer that fits. */
function unpack(name: string): { manifest: string; lines: string[] } {
  const bytes = readFileSync(file(name))
  const at = (start: number) => Number.parseInt(bytes.toString('latin1', start + 124, start + 135), 8)
  const first = at(0)
  const second = 512 + first + tarPadding(first).length
  return {
    manifest: bytes.toString('utf8', 512, 512 + first),
    lines: bytes
      .toString('latin1', second + 512, second + 512 + at(second))
      .split('\n')
      .slice(0, -1),
  }
}

/** @param names of files for people, each of which holds its name */
function pack(manifest: string, lines: readonly string[], names: readonly string[] = []): Buffer {
  const log = lines.map((line) => `${line}\n`).join('')
  const of = (letter: string) => lines.filter((line) => line.startsWith(letter)).length
  const hash = (text: string) => createHash('sha256').update(text).digest('hex')
  const forPeople = Object.fromEntries(names.map((name) => [name, hash(name)]))
  const files = { 'manifest.json': hash(manifest), 'log.txt': hash(log), ...forPeople }
  const trailer = printTrailer({ entries: of('H'), events: of('E'), files })
  const part = (name: string, text: string) => {
    const bytes = Buffer.from(text)
    return [tarHeader(name, bytes.length), bytes, tarPadding(bytes.length)]
  }
  return Buffer.concat([
    ...part('manifest.json', manifest),
    ...part('log.txt', log),
    ...names.flatMap((name) => part(name, name)),
    ...part('trailer.json', trailer),
    TAR_END,
  ])
}

describe('a damaged bundle is never called complete', () => {
  /** Without the chain, which has nothing to do with it. */
  const judge = (bytes: Uint8Array) => verified(bytes, { ...trust, facts: undefined })
  const isTold = ({ outcome, completeness, faults }: BundleVerdict) =>
    (outcome === 'failed' && completeness.verdict === 'not_judged' && faults.length > 0) ||
    (completeness.verdict === 'incomplete' && completeness.gaps.length > 0)

  test('put together as it was, it is complete', async () => {
    const { manifest, lines } = unpack('all.bundle')
    expect(pack(manifest, lines).equals(readFileSync(file('all.bundle')))).toBe(true)
    expect((await judge(pack(manifest, lines))).completeness.verdict).toBe('complete')
  })

  test.each(['all.bundle', 'part.bundle', 'middle.bundle', 'erased.bundle'])(
    '%s: lines dropped, doubled, swapped or altered, with a trailer that fits',
    async (name) => {
      const { manifest, lines } = unpack(name)
      // Where keys are pinned, a registration is not needed: a bundle without one is another bundle, and complete as well.
      const isRegistration = (line: string, i: number) =>
        line.startsWith('E ') && sourceOf(lines[i - 1]!) === 'killick' && !lines[i + 1]?.startsWith('L ')
      const damages: [string, string[]][] = lines.flatMap((line, i) => {
        const other = lines[i + 1]
        const middle = 2 + ((line.length - 2) >> 1)
        const altered = `${line.slice(0, middle)}${line[middle] === 'A' ? 'B' : 'A'}${line.slice(middle + 1)}`
        const all: [string, string[]][] = [
          ...(isRegistration(line, i) ? [] : [[`without line ${i + 1}`, lines.toSpliced(i, 1)] as [string, string[]]]),
          [`line ${i + 1} twice`, lines.toSpliced(i, 0, line)],
          [`line ${i + 1} altered`, lines.with(i, altered)],
          [`line ${i + 1} cut`, lines.with(i, line.slice(0, -1))],
        ]
        if (other !== undefined)
          all.push([`lines ${i + 1} and ${i + 2} swapped`, lines.with(i, other).with(i + 1, line)])
        return all
      })
      const unseen: string[] = []
      for (const [what, damaged] of damages) if (!isTold(await judge(pack(manifest, damaged)))) unseen.push(what)
      expect(unseen).toEqual([])
      expect(damages.length).toBeGreaterThan(30)
    },
  )

  test('the events of a batch left out, with its signed root in their place', async () => {
    const { manifest, lines } = unpack('all.bundle')
    const unseen: number[] = []
    for (const [i, line] of lines.entries()) {
      if (!line.startsWith('H ')) continue
      let end = i + 1
      while (lines[end]?.startsWith('E ')) end += 1
      if (end === i + 1) continue
      const verdict = await judge(pack(manifest, lines.toSpliced(i + 1, end - i - 1)))
      if (sourceOf(line) === ALPHA && !isTold(verdict)) unseen.push(i)
    }
    expect(unseen).toEqual([])
  })

  test('a field taken out of an event is said, and the event stays', async () => {
    const { manifest, lines } = unpack('all.bundle')
    const at = lines.findLastIndex((line) => line.startsWith('E '))
    const parts = lines[at]!.split('~')
    const verdict = await judge(pack(manifest, lines.with(at, parts.toSpliced(1, 1).join('~'))))
    expect(verdict).toMatchObject({ completeness: { verdict: 'complete' }, fields: { hidden: 1, erased: 0 } })
  })

  test('so it is of what the ledger itself records', async () => {
    const { manifest, lines } = unpack('own.bundle')
    const at = lines.findLastIndex((line) => line.startsWith('E '))
    const parts = lines[at]!.split('~')
    const cut = parts.findIndex((text) => Buffer.from(text, 'base64url').includes('"metadata"'))
    const verdict = await judge(pack(manifest, lines.with(at, parts.toSpliced(cut, 1).join('~'))))
    expect(verdict).toMatchObject({ completeness: { verdict: 'complete' }, fields: { hidden: 1, erased: 0 } })
  })

  test('bytes cut off, turned over or put behind', async () => {
    const whole = readFileSync(file('all.bundle'))
    const unseen: string[] = []
    const look = async (what: string, bytes: Uint8Array) => {
      const verdict = await judge(bytes).catch((error) => error.code as string)
      if (typeof verdict === 'string' ? !/^(bundle|json)_/.test(verdict) : !isTold(verdict)) unseen.push(what)
    }
    for (let at = 0; at < whole.length; at += 997) await look(`cut at ${at}`, whole.subarray(0, at))
    for (let at = 5; at < whole.length; at += 1_511) {
      const turned = Buffer.from(whole)
      turned[at]! ^= 1
      await look(`bit at ${at}`, turned)
    }
    await look('a byte more', Buffer.concat([whole, Buffer.alloc(1)]))
    await look('twice', Buffer.concat([whole, whole]))
    expect(unseen).toEqual([])
  })

  test('other files, other names, another version', async () => {
    const { manifest, lines } = unpack('part.bundle')
    const good = pack(manifest, lines)
    const renamed = Buffer.from(good)
    const header = Buffer.from(tarHeader('manifest.json', Buffer.byteLength(manifest)))
    for (const name of ['/etc/passwd', '../x', 'Manifest.json', 'other.json']) {
      header.fill(0, 0, 100).write(name, 0)
      header.copy(renamed, 0)
      await expect(judge(renamed)).rejects.toMatchObject({ code: 'bundle_malformed' })
    }
    const later = manifest.replace('killick-bundle/1', 'killick-bundle/2')
    await expect(judge(pack(later, lines))).rejects.toMatchObject({ code: 'bundle_version' })
    await expect(judge(Buffer.alloc(0))).rejects.toMatchObject({ code: 'bundle_malformed' })
    await expect(judge(Buffer.alloc(1 << 20))).rejects.toMatchObject({ code: 'bundle_malformed' })
    const huge = Buffer.concat([tarHeader('manifest.json', 8 ** 11 - 1), Buffer.alloc(1 << 16)])
    await expect(judge(huge)).rejects.toMatchObject({ code: 'bundle_malformed' })
  })

  test('an anchor that the chain does not hold, a checkpoint and keys that are not the pinned ones', async () => {
    const { manifest, lines } = unpack('all.bundle')
    const told = JSON.parse(manifest)
    const last = told.anchors.length - 1
    const forged = {
      ...told,
      anchors: told.anchors.with(last, { ...told.anchors[last], time: told.anchors[last].time + 1 }),
    }
    const print = (value: object) => `${JSON.stringify(value, null, 1)}\n`
    expect(await verified(pack(print(forged), lines))).toMatchObject({
      outcome: 'failed',
      faults: [{ reason: 'anchor_denied' }],
    })
    const elsewhere = {
      ...told,
      anchors: told.anchors.with(last, { ...told.anchors[last], size: told.anchors[last].size - 1 }),
    }
    expect((await judge(pack(print(elsewhere), lines))).faults.map(({ reason }) => reason)).toContain('anchor_mismatch')
    const other = await judge(
      pack(print({ ...told, checkpoint: told.checkpoint.replace(/\n— (\S+) \S\S/, '\n— $1 AA') }), lines),
    )
    expect(other.faults.map(({ reason }) => reason)).toContain('note_invalid')
    const foreign = { ...trust, facts: undefined, sourceKeys: [{ source: ALPHA, jwk: newSigner().jwk }] }
    const keys = await verified(pack(manifest, lines), foreign)
    expect(new Set(keys.faults.map(({ reason }) => reason))).toEqual(new Set(['pin_mismatch']))
    const unpinned = await verified(pack(manifest, lines), { facts: trust.facts })
    expect(unpinned).toMatchObject({ outcome: 'undecided', missing: ['source_key', 'log_key', 'contract'] })
    expect(unpinned.completeness.verdict).toBe('complete')
  })
})
