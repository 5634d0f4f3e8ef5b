// How far a bundle of a period reaches rests on anchors. Whoever makes a bundle chooses which it names, and anybody can anchor an old root of a
// log under a log id of their own, as late as they like.
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openApi } from '@killick/sdk/audit'
import { type BundleTrust, verifyBundle } from '@killick/sdk/bundle'
import { leafHash, parseEvent, parseHash, printCheckpoint, printHash, utf8 } from '@killick/sdk/core'
import {
  EMPTY_ROOT,
  type HeadFact,
  type PinnedLog,
  parseProof,
  readAnchors,
  readLogHeads,
  verifyProof,
} from '@killick/sdk/verify'
import { Contract, JsonRpcProvider, sha256, toUtf8Bytes, Wallet } from 'ethers'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { planBundle } from '../../../sdk/src/bundle/make-bundle.ts'
import { printManifest, printTrailer } from '../../../sdk/src/bundle/manifest.ts'
import { TAR_END, tarHeader, tarPadding } from '../../../sdk/src/bundle/tar.ts'
import { openLedger } from '../../../sdk/src/make-bundle/reader.ts'
import { newSigner, Producer, post, sampleEvent } from '../../anchor-service/support/producer.ts'
import { call, READER, register, type TestService, testService } from '../../anchor-service/support/service.ts'
import { anchorLog } from '../../support/chain.ts'
import { type LocalChain, startChain } from '../../support/local-chain.ts'
import { killick } from '../cli/support.ts'

const SOURCE = 'alpha'
type Told = { chainId: number; contract: string; logId: string } & {
  size: number
  root: string
  time: number
  transaction: string
  block: number
}

let folder: string
let chain: LocalChain
let service: TestService
let env: Record<string, string>
let trust: BundleTrust
/** All of the log, and its anchors before and behind the events that are to be hidden. */
let whole: { manifest: Record<string, unknown>; lines: string[] }
let [early, late]: Told[] = []
/** The roots of both, anchored behind `late` in another log of the same contract. */
let foreign: Told[]
/** The root of `early`, anchored in a third log, in which nothing else ever is. */
let quiet: Told
/** Id of the last event. */
let last: string

const all = async (): Promise<Told[]> => (await call(service.url, '/v1/anchors?limit=500')).json.anchors

/** The newest anchor, once it covers all that the log has. */
async function anchored(): Promise<Told> {
  const size = Number((await call(service.url, '/checkpoint')).text.split('\n')[1])
  const covers = (each: Told) => each.size >= size && each.time !== null
  return vi.waitUntil(async () => (await all()).find(covers), { timeout: 20_000, interval: 50 }) as Promise<Told>
}

/** @returns the id of the last event */
async function hand(producer: Producer, n: number): Promise<string> {
  const batch = await producer.batch(Array.from({ length: n }, (_, k) => sampleEvent(producer.seq + k)))
  expect((await post(service.url, batch.body)).status).toBe(201)
  batch.advance()
  return parseEvent(batch.tokens.at(-1)!).id
}

async function anchorElsewhere(contract: string, trees: readonly Told[]): Promise<Told[]> {
  const options = { staticNetwork: true, pollingInterval: 20, cacheTimeout: -1 }
  const provider = new JsonRpcProvider(chain.url, undefined, options)
  try {
    const wallet = new Wallet(await chain.newKey(), provider)
    const log = new Contract(contract, anchorLog.abi, wallet)
    const origin = sha256(toUtf8Bytes('anything'))
    await (await log.getFunction('open').send(origin)).wait()
    const logId = (await log.getFunction('logIdOf').staticCall(wallet.address, origin)) as string
    const made: Told[] = []
    for (const { size, root } of trees) {
      const last = made.at(-1)
      const { json } = last
        ? await call(service.url, `/v1/consistency?from=${last.size}&to=${size}`)
        : { json: { path: [] } }
      const [own, old, ...path] = [root, last?.root, ...json.path].map((text) => text && Buffer.from(text, 'base64url'))
      const sent = await log.getFunction('anchor').send(logId, size, own, old ?? EMPTY_ROOT, path)
      const { hash: transaction, blockNumber: block } = (await sent.wait())!
      const { timestamp: time } = (await provider.getBlock(block))!
      made.push({ chainId: chain.chainId, contract, logId, size, root, time, transaction, block })
    }
    return made
  } finally {
    provider.destroy()
  }
}

/** The files of a bundle of which only the manifest and the log matter. */
function unpack(bytes: Buffer) {
  const at = (start: number) => Number.parseInt(bytes.toString('latin1', start + 124, start + 135), 8)
  const second = 512 + at(0) + tarPadding(at(0)).length
  const log = bytes.toString('latin1', second + 512, second + 512 + at(second))
  return { manifest: JSON.parse(bytes.toString('utf8', 512, 512 + at(0))), lines: log.split('\n').slice(0, -1) }
}

function pack(manifest: object, lines: readonly string[]): Buffer {
  const texts = { 'manifest.json': JSON.stringify(manifest), 'log.txt': lines.map((line) => `${line}\n`).join('') }
  const count = (letter: string) => lines.filter((line) => line.startsWith(letter)).length
  const hash = (text: string) => createHash('sha256').update(text).digest('hex')
  const files = Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, hash(text)]))
  const trailer = printTrailer({ entries: count('H'), events: count('E'), files })
  const parts = Object.entries({ ...texts, 'trailer.json': trailer }).flatMap(([name, text]) => {
    const bytes = Buffer.from(text)
    return [tarHeader(name, bytes.length), bytes, tarPadding(bytes.length)]
  })
  return Buffer.concat([...parts, TAR_END])
}

/** Of some entries hashes alone. */
function hashed(lines: readonly string[], isGone: (logIndex: number, header: string) => boolean): string[] {
  let at = -1
  let isIn = false
  return lines.flatMap((line) => {
    if (!line.startsWith('H ')) return isIn ? [] : [line]
    at += 1
    isIn = isGone(at, Buffer.from(line.split('.')[1]!, 'base64url').toString())
    return isIn ? [`T 0 ${printHash(leafHash(utf8(line.slice(2))))}`] : [line]
  })
}

/** A bundle of the entries before `early`, of which its maker says that they are all until a time behind `late`. */
function short(anchors: readonly object[]): Buffer {
  const { manifest, lines } = whole
  const until = new Date(1000 * late!.time + 500).toISOString()
  const scope = { kind: 'source', source: SOURCE, from: 0, to: early!.size, since: null, until }
  return pack(
    { ...manifest, scope, anchors },
    hashed(lines, (at) => at >= early!.size),
  )
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'killick-reach-'))
  chain = await startChain()
  const contract = (await chain.deployAnchorLog()).toLowerCase()
  service = await testService({
    KILLICK_RPC_URL: chain.url,
    KILLICK_CONTRACT: contract,
    KILLICK_CHAIN_KEY: await chain.newKey(),
    KILLICK_ANCHOR_INTERVAL_MS: '200',
    KILLICK_CONFIRMATIONS: '1',
  })
  env = { KILLICK_URL: service.url, KILLICK_TOKEN: READER }
  const signer = newSigner()
  await register(service.url, SOURCE, [{ jwk: signer.jwk }])
  const producer = new Producer(SOURCE, signer, 'a-1')
  await hand(producer, 3)
  early = await anchored()
  last = await hand(producer, 2)
  late = await anchored()
  foreign = await anchorElsewhere(contract, [early, late])
  expect(foreign[0]!.time).toBeGreaterThan(late.time)
  quiet = (await anchorElsewhere(contract, [early]))[0]!
  const { logId } = (await call(service.url, '/v1/anchors?limit=1')).json.anchors[0]
  trust = {
    ...{ logKeys: [service.vkey], logs: [{ chainId: chain.chainId, contract, logId }] },
    sourceKeys: [{ source: SOURCE, jwk: signer.jwk }],
    facts: (anchors) => readAnchors({ anchors }, [chain.url]),
  }
  const out = join(folder, 'all.bundle')
  expect((await killick(['bundle', '--bare', '--out', out, '--source', SOURCE], { env })).code).toBe(0)
  whole = unpack(readFileSync(out))
}, 60_000)

afterAll(async () => {
  await service?.stop()
  await chain?.stop()
  rmSync(folder, { recursive: true, force: true })
})

const plain = ({ chainId, contract, logId, size, root, time, transaction, block }: Told) => ({
  ...{ chainId, contract, logId, size, root, time, transaction, block },
})
const parsed = (told: Told) => ({ ...plain(told), root: parseHash(told.root)! })
/** Both logs, as of a ledger that is anchored twice, once late. */
const both = () => ({ ...trust, logs: [...trust.logs!, foreign[0]!] })
const placeOf = ({ chainId, contract, logId }: PinnedLog) => ({ chainId, contract, logId })
const iso = (seconds: number) => new Date(1000 * seconds).toISOString()

describe('an old root that somebody has anchored late in a log of their own', () => {
  test.each([
    ['the log is pinned', () => trust],
    ['only the key of the log is pinned', () => ({ ...trust, logs: [] })],
  ])('shows nothing of how far a bundle reaches: %s', async (_, given) => {
    const verdict = await verifyBundle(once(short([plain(foreign[0]!)])), given())
    expect(verdict).toMatchObject({ outcome: 'undecided', missing: ['contract'], anchors: [{ held: true }] })
    expect(verdict.completeness).toMatchObject({ verdict: 'open', after: null, by: null })
  })

  test('nor of when a pinned key was used', async () => {
    const notBefore = iso(late!.time)
    const given = { ...trust, sourceKeys: trust.sourceKeys!.map((key) => ({ ...key, notBefore })) }
    const scope = { kind: 'source', source: SOURCE, from: early!.size, to: late!.size, since: null, until: null }
    const lines = hashed(whole.lines, (at, header) => at < early!.size && header.includes(SOURCE))
    const manifest = { ...whole.manifest, scope, anchors: [plain(foreign[0]!)] }
    const verdict = await verifyBundle(once(pack(manifest, lines)), given)
    expect(verdict).toMatchObject({ outcome: 'undecided', missing: ['key_time', 'contract'] })
  })
})

describe('a ledger that is anchored in two logs, in one of them late', () => {
  const anchors = () => [early!, foreign[0]!, late!, foreign[1]!].map(plain)

  test('what one had by a time is not left out because the other had not', async () => {
    const verdict = await verifyBundle(once(short([foreign[0]!, late!].map(plain))), both())
    expect(verdict).toMatchObject({ outcome: 'verified', completeness: { verdict: 'open' } })
  })

  test('nor because its maker names no anchor of the one that had', async () => {
    const verdict = await verifyBundle(once(short([plain(foreign[0]!)])), both())
    expect(verdict).toMatchObject({ outcome: 'verified', completeness: { verdict: 'open' } })
  })

  test('nothing was in one yet, when the other had it', async () => {
    const scope = { kind: 'source', source: SOURCE, from: early!.size, to: late!.size, since: null, until: null }
    const lines = hashed(whole.lines, (at, header) => at < early!.size && header.includes(SOURCE))
    const told = async (named: object[]) => {
      const bytes = pack({ ...whole.manifest, scope, anchors: named }, lines)
      return (await verifyBundle(once(bytes), both())).completeness
    }
    expect(await told(anchors())).toMatchObject({ after: iso(early!.time), by: iso(late!.time) })
    expect(await told([foreign[0]!, late!].map(plain))).toMatchObject({ after: null, by: iso(late!.time) })
  })

  test('a maker takes what either had by then', async () => {
    const api = openApi(service.url, READER)
    const reader = { ...openLedger(api, service.url), anchors: async () => anchors().map(parsed) }
    const until = 1000 * late!.time + 500
    const { manifest } = await planBundle(reader, { kind: 'source', source: SOURCE, until }, Date.now())
    expect(manifest.scope).toMatchObject({ to: late!.size })
  })

  test('a maker who takes some of many anchors takes the newest', async () => {
    const reader = {
      ...openLedger(openApi(service.url, READER), service.url),
      anchors: async () => [...Array.from({ length: 65 }, () => early!), late!].map((each) => parsed(plain(each))),
    }
    const { manifest } = await planBundle(reader, { kind: 'source', source: SOURCE }, Date.now())
    expect(manifest.anchors.at(-1)).toMatchObject({ size: late!.size })
    expect(manifest.anchors.length).toBeLessThan(40)
  })

  test('a maker takes of each what shows how far it reaches, and then it is complete', async () => {
    const api = openApi(service.url, READER)
    const open = openLedger(api, service.url)
    const maker = { ...open, anchors: async () => anchors().map(parsed) }
    const made = async (request: { since?: number; until?: number }) => {
      const plan = await planBundle(maker, { kind: 'source', source: SOURCE, ...request }, Date.now())
      let log = ''
      for await (const text of plan.lines()) log += text
      const lines = log.split('\n').slice(0, -1)
      return verifyBundle(once(pack(JSON.parse(printManifest(plan.manifest)), lines)), both())
    }
    const until = 1000 * early!.time - 500
    const whole = await made({ until })
    expect(whole).toMatchObject({ outcome: 'verified', completeness: { verdict: 'complete' } })
    expect(new Set(whole.anchors.map(({ logId }) => logId)).size).toBe(2)
    // A period in which nothing happened.
    const since = 1000 * foreign[1]!.time + 500
    const nothing = await planBundle(
      { ...maker, checkpoint: async () => printCheckpoint({ origin: 'any', ...parsed(late!) }) },
      { kind: 'source', source: SOURCE, since },
      Date.now(),
    )
    expect(nothing.manifest).toMatchObject({ scope: { from: late!.size, to: late!.size } })
    expect(nothing.manifest.anchors.map(({ size }) => size)).toContain(late!.size)
  })

  test('of a log without an anchor in the bundle the chain is asked, where one of the other shows how far it reaches', async () => {
    const asked: number[] = []
    const told = async (pinned: Told, named: object[], to: number, heads = readLogHeads) => {
      const until = new Date(1000 * (to === early!.size ? early : late)!.time - 500).toISOString()
      const scope = { kind: 'source', source: SOURCE, from: 0, to, since: null, until }
      const lines = hashed(whole.lines, (at) => at >= to)
      const bytes = pack({ ...whole.manifest, scope, anchors: named }, lines)
      const given = { ...trust, logs: [...trust.logs!, pinned] }
      const ask = (logs: readonly PinnedLog[]) => {
        asked.push(logs.length)
        return heads(logs, [chain.url])
      }
      return (await verifyBundle(once(bytes), { ...given, heads: ask })).completeness
    }
    const [own] = [plain(late!)]
    const { logId } = quiet
    const open = { verdict: 'open', isReached: false, heads: [] }
    expect(await told(quiet, [own], late!.size)).toMatchObject({
      ...{ verdict: 'complete', isReached: true, heads: [{ logId, size: early!.size, at: expect.any(String) }] },
    })
    // The chain says that this one had more, and nobody knows since when.
    expect(await told(foreign[0]!, [plain(early!)], early!.size)).toMatchObject(open)
    expect(asked).toEqual([1, 1])
    // Nodes that contradict each other, one that lags, none that answers.
    const [head] = await readLogHeads([quiet], [chain.url])
    const says = async (...facts: Partial<HeadFact>[]) =>
      told(quiet, [own], late!.size, async () => facts.map((each) => ({ ...head!, ...each })))
    for (const facts of [[{}, { size: late!.size + 1 }], [{ at: early!.time }], [], [{ logId: foreign[0]!.logId }]])
      expect(await says(...facts), JSON.stringify(facts)).toMatchObject(open)
    // What is anchored nowhere by that time, no head shows: so the chain is asked of a part of the logs alone.
    asked.length = 0
    expect(await told(quiet, [plain(early!)], late!.size)).toMatchObject(open)
    expect(asked).toEqual([])
  })

  test('and the command asks it too', async () => {
    const out = join(folder, 'quiet.bundle')
    const until = new Date(1000 * late!.time - 500).toISOString()
    const scope = { kind: 'source', source: SOURCE, from: 0, to: late!.size, since: null, until }
    writeFileSync(out, pack({ ...whole.manifest, scope, anchors: [plain(late!)] }, whole.lines))
    const pins = join(folder, 'pins.json')
    const { logKeys, sourceKeys, logs } = trust
    const judged = async (rpcs: string[]) => {
      writeFileSync(
        pins,
        JSON.stringify({ logKeys, sourceKeys, logs: [...logs!, quiet].map(placeOf), rpcs, confirmations: 1 }),
      )
      return killick(['verify', out, '--trust', pins])
    }
    const { out: said } = await judged([chain.url])
    expect(said).toMatch(/^COMPLETE: /m)
    expect(said).toContain(
      `No anchor in it shows how far the pinned log ${quiet.logId.slice(0, 10)}… had come; chain ${chain.chainId} itself says that no more than ${early!.size} entries`,
    )
  })

  test('a key was used in its time where one shows it', async () => {
    const notAfter = iso(late!.time)
    const given = { ...both(), sourceKeys: trust.sourceKeys!.map((key) => ({ ...key, notAfter })) }
    const verdict = await verifyBundle(once(pack({ ...whole.manifest, anchors: anchors() }, whole.lines)), given)
    expect(verdict).toMatchObject({ outcome: 'verified', keysOutside: { foundCount: 0 } })

    const proof = parseProof((await call(service.url, `/v1/proofs/${last}`)).text)
    const [own] = proof.anchors
    const other = { ...own!, ...parsed(foreign[1]!), before: parsed(foreign[0]!) }
    const twice = { ...proof, anchors: [own!, other] }
    const facts = await readAnchors(twice, [chain.url])
    const judged = verifyProof(twice, { ...given, facts })
    expect(judged).toMatchObject({ outcome: 'verified', times: { by: iso(late!.time) } })
    expect(judged.times!.after! <= judged.times!.by!).toBe(true)
  })
})

test('of silence no more is said than what registrations in the bundle promise', async () => {
  const signer = newSigner()
  const producer = new Producer('beta', signer)
  const start = Date.now() - 600_000
  const say = async (times: readonly number[]) => {
    const inputs = times.map((_, i) => sampleEvent(i))
    const batch = await producer.batch(inputs, { times: times.map((each) => start + 1000 * each) })
    expect((await post(service.url, batch.body)).status).toBe(201)
    batch.advance()
  }
  await register(service.url, 'beta', [{ jwk: signer.jwk }], { heartbeat: 300 })
  await say([0, 10])
  await register(service.url, 'beta', [], { heartbeat: 60 })
  await say([20, 220])
  const out = join(folder, 'beta.bundle')
  expect((await killick(['bundle', '--bare', '--out', out, '--source', 'beta'], { env })).code).toBe(0)
  expect((await killick(['verify', out])).out).toMatch(/^SILENCE: 1 time a stream said nothing/m)
  // Its maker leaves out what the registration that made the promise shorter says.
  const { manifest, lines } = unpack(readFileSync(out))
  const at = lines.findLastIndex((line, i) => line.startsWith('E ') && isOwn(lines[i - 1]!))
  writeFileSync(out, pack(manifest, lines.toSpliced(at, 1)))
  expect((await killick(['verify', out])).out).toMatch(
    /^NO SILENCE beyond what the registrations in it promise, by the recorders’ own clocks/m,
  )
})

const isOwn = (line: string) => Buffer.from(line.split('.')[1]!, 'base64url').includes('"iss":"killick"')
