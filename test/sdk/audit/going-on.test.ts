// Audits that keep how far they have come: what was interrupted goes on and finds the same, and the next reads only what is new, and
// says so.
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Api,
  type AuditOptions,
  type AuditPins,
  type AuditResult,
  auditLedger,
  auditOutcome,
  holdReceipts,
  lookUp,
  openApi,
} from '@killick/sdk/audit'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { loadSigner } from '../../../anchor-service/src/ledger/signing-keys.ts'
import { utf8 } from '../../../sdk/src/core/bytes.ts'
import { printCheckpoint } from '../../../sdk/src/core/checkpoint.ts'
import { KillickError } from '../../../sdk/src/core/errors.ts'
import { sha256 } from '../../../sdk/src/core/hash.ts'
import { parseVkey, signNote } from '../../../sdk/src/core/note.ts'
import { alterToken, numberOf, partsOf, swapAt } from '../../anchor-service/support/packs.ts'
import { newSigner, Producer, post, sampleEvent } from '../../anchor-service/support/producer.ts'
import {
  ADMIN,
  call,
  ERASER,
  READER,
  register,
  type TestService,
  testService,
} from '../../anchor-service/support/service.ts'
import { startFaultyRpc } from '../../support/faulty-rpc.ts'
import { type LocalChain, startChain } from '../../support/local-chain.ts'
import { queryAsOwner } from '../../support/postgres.ts'

let chain: LocalChain
let env: Record<string, string>
let service: TestService
let pins: AuditPins
const streams: Producer[] = []
/** How many entries had been anchored at each of three moments; the log goes on behind the last. */
const anchored: number[] = []
/** The log’s checkpoint before each of them. */
const notes: string[] = []
let folder: string

const init = (body: object, method = 'POST') => ({
  ...{ method, headers: { 'content-type': 'application/json' } },
  body: JSON.stringify(body),
})
const sizeOf = async ({ url }: TestService) => Number((await call(url, '/checkpoint')).text.split('\n')[1])

async function record(it: TestService, batches: number): Promise<void> {
  for (let i = 0; i < batches; i++) {
    const stream = streams[i % streams.length]!
    const batch = await stream.batch([...Array(1 + (i % 3)).keys()].map((n) => sampleEvent(i + n)))
    expect((await post(it.url, batch.body)).status).toBe(201)
    batch.advance()
  }
}

async function erase(it: TestService, target: string, fields: string[]): Promise<void> {
  const { json } = await call(it.url, '/v1/erasures', ERASER, init({ target, fields, reason: 'asked for' }))
  await vi.waitUntil(async () => (await call(it.url, `/v1/erasures/${json.id}`)).json.state === 'done', 20_000)
}

/** Waits until so much is anchored: by default, what the log has now. @returns size of the newest anchor */
async function untilAnchored(it: TestService, least?: number): Promise<number> {
  const size = least ?? (await sizeOf(it))
  // An anchor makes one entry more, which need not be anchored.
  return vi.waitUntil(async () => {
    const { anchors } = (await call(it.url, '/v1/anchors?limit=500')).json
    const settled = anchors.filter(({ state }: { state: string }) => /confirmed|final/.test(state))
    const newest = Math.max(0, ...settled.map((anchor: { size: number }) => anchor.size))
    return newest >= size && newest
  }, 60_000)
}

/** Lets the log be anchored with all its entries, and goes on without anchoring. */
async function anchorAll(): Promise<number> {
  notes.push((await call(service.url, '/checkpoint')).text)
  await service.close()
  const anchoring = await testService(env, service)
  await untilAnchored(anchoring)
  await anchoring.close()
  service = await testService({ ...env, KILLICK_WORKER: 'off' }, service)
  // It may have been anchored once more meanwhile.
  return untilAnchored(service, 0)
}

beforeAll(async () => {
  chain = await startChain()
  const contract = await chain.deployAnchorLog()
  env = {
    ...{ KILLICK_RPC_URL: chain.url, KILLICK_CONTRACT: contract, KILLICK_CHAIN_KEY: await chain.newKey() },
    ...{ KILLICK_ANCHOR_INTERVAL_MS: '100', KILLICK_CONFIRMATIONS: '1' },
  }
  service = await testService({ ...env, KILLICK_WORKER: 'off' })
  const billing = newSigner()
  const payroll = newSigner('P-256')
  await register(service.url, 'billing', [{ jwk: billing.jwk, notAfter: '2099-01-01T00:00:00.000Z' }])
  await register(service.url, 'payroll', [{ jwk: payroll.jwk }])
  for (const i of [0, 1, 2]) streams.push(new Producer('billing', billing, `b-${i}`))
  streams.push(new Producer('payroll', payroll, 'p'))
  await record(service, 60)
  await erase(service, 'inv-5', ['actor'])
  const { json: event } = await call(service.url, '/v1/events?source=billing&limit=1')
  const link = { eventId: event.events[0].id, fields: ['action'], expires: '2099-01-01T00:00:00Z' }
  const { json: share } = await call(service.url, '/v1/shares', READER, init(link))
  const hold = { case: 'C-1', reason: 'a test', covers: { actor: 'u-1', from: '2020-01-01T00:00:00Z' } }
  const { json: held } = await call(service.url, '/v1/holds', ADMIN, init(hold))
  anchored.push(await anchorAll())
  await record(service, 50)
  await call(service.url, `/v1/shares/${share.id}`, READER, { method: 'DELETE' })
  await call(service.url, `/v1/holds/${held.id}?reason=over`, ADMIN, { method: 'DELETE' })
  await register(service.url, 'payroll', [{ jwk: payroll.jwk }, { jwk: newSigner().jwk }])
  anchored.push(await anchorAll())
  await record(service, 24)
  await erase(service, 'inv-7', ['targets'])
  anchored.push(await anchorAll())
  await record(service, 20)
  const { targets } = (await call(service.url, '/v1/log')).json
  pins = { logKeys: [service.vkey], sourceKeys: [], logs: targets, urls: [chain.url] }
}, 240_000)

afterAll(async () => {
  await service?.stop()
  await chain?.stop()
})

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'killick-going-on-'))
  return () => rmSync(folder, { recursive: true, force: true })
})

/**
 * A service that has anchored more than that and grown since the audit began: as it is asked first, it is what it was then. `read` are
 * the first entries of the pages that are asked for.
 */
function asOf(most = Number.POSITIVE_INFINITY, it = service): Api & { read: number[] } {
  const api = openApi(it.url, READER)
  const read: number[] = []
  let then: string | undefined = notes[anchored.indexOf(most) + 1]
  let hasListed = false
  return {
    ...api,
    read,
    async text(path, maxBytes) {
      const text = path === '/checkpoint' && most < Number.POSITIVE_INFINITY ? then : undefined
      then = undefined
      return text ?? api.text(path, maxBytes)
    },
    async json(path, maxBytes) {
      const json = (await api.json(path, maxBytes)) as { anchors: { size: number }[] }
      if (!path.startsWith('/v1/anchors') || hasListed) return json as never
      hasListed = true
      return { ...json, anchors: json.anchors.filter(({ size }) => size <= most) }
    },
    chunks(path) {
      read.push(Number(new URL(path, 'http://localhost').searchParams.get('from')))
      return api.chunks(path)
    },
  }
}

const audit = (api: Api, options: AuditOptions = {}, held: Partial<AuditPins> = {}) =>
  auditLedger(api, { ...pins, ...held }, { own: [lookUp(api, 1e9)], ...options })

/** Audits as if nothing newer were anchored, and stops at the entry. */
async function interrupted(at: number, most: number, held?: Partial<AuditPins>): Promise<void> {
  const stop = new AbortController()
  const why = new Error('enough')
  const onProgress = ({ batches }: { batches: number }) => void (batches >= at && stop.abort(why))
  await expect(audit(asOf(most), { folder, onProgress, signal: stop.signal }, held)).rejects.toBe(why)
}

const failedIn = ({ checks }: AuditResult) => checks.filter(({ status }) => status === 'failed').map(({ id }) => id)
/** All that a result says but for when, and in which words of the kept entries. */
const saidBy = ({ begun: _, checks, ...rest }: AuditResult) => ({
  ...rest,
  checks: checks.map((check) => (check.id === 'lookups' ? { ...check, detail: '' } : check)),
})

/** The first batch of that many entries on that recorders made. */
async function recordedFrom(at: number): Promise<{ source: string; seq: number }> {
  const [row] = await queryAsOwner<{ source: string; seq: string }>(
    service.databaseUrl,
    `select source, seq from killick.batches where log_index >= $1 and source = 'payroll' order by log_index limit 1`,
    [at],
  )
  return { source: row!.source, seq: Number(row!.seq) }
}

const withoutLast = (token: string): string => {
  const { jws, disclosures } = partsOf(token)
  return `${jws}~${disclosures.split('~').slice(0, -2).join('~')}~`
}

/** While an event from that entry on is another: default, has lost its last disclosure. */
async function whileAltered(at: number, act: () => Promise<void>, alter = withoutLast): Promise<void> {
  const { source, seq } = await recordedFrom(at)
  const number = await numberOf(service.databaseUrl, source, seq)
  let before = ''
  await alterToken(service.databaseUrl, number, (token) => {
    before = token
    return alter(token)
  })
  try {
    await act()
  } finally {
    await alterToken(service.databaseUrl, number, () => before)
  }
}

test('an audit that was interrupted goes on at the last entry that it kept, and says what a whole one says', {
  timeout: 180_000,
}, async () => {
  const whole = await audit(asOf())
  expect(auditOutcome(whole)).toBe('passed')
  expect(whole).toMatchObject({ earlier: null, restarted: null })
  for (const at of anchored) {
    rmSync(folder, { recursive: true })
    await interrupted(at + 5, at)
    const api = asOf()
    const result = await audit(api, { folder })
    expect(api.read[0]).toBe(at)
    expect(saidBy(result)).toEqual(saidBy(whole))
    expect(result.restarted).toBeNull()
    expect(Date.parse(result.begun)).toBeGreaterThan(Date.parse(whole.begun))
  }
  // Several times.
  const [first, second] = anchored as [number, number, number]
  rmSync(folder, { recursive: true })
  await interrupted(first + 1, first)
  const { begun } = JSON.parse(readFileSync(join(folder, 'under-way'), 'utf8').split('\n')[0]!)
  await interrupted(second + 1, second)
  const api = asOf()
  const result = await audit(api, { folder })
  expect([api.read[0], result.begun]).toEqual([second, begun])
  expect(saidBy(result)).toEqual(saidBy(whole))
})

test('what it found before it was interrupted, it still says', async () => {
  const [first] = anchored as [number, number, number]
  const forge = (token: string) => swapAt(token, token.indexOf('~') - 10)
  const isStillSaid = async (check: string) => {
    const whole = await audit(asOf())
    expect(failedIn(whole)).toContain(check)
    await interrupted(first + 1, first)
    const result = await audit(asOf(), { folder })
    expect(saidBy(result)).toEqual(saidBy(whole))
    // What has a fault is nothing to begin from.
    expect(readdirSync(folder)).toEqual(['lock'])
  }
  await whileAltered(first - 20, () => isStillSaid('fields'))
  await whileAltered(first - 20, () => isStillSaid('events'), forge)
})

test('two audits at a time do not have one folder', async () => {
  const outcomes = await Promise.allSettled([audit(asOf(), { folder }), audit(asOf(), { folder })])
  const [refused, ...more] = outcomes.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[]
  expect(more).toEqual([])
  expect(refused!.reason).toMatchObject({
    ...{ code: 'audit_folder_failed', message: expect.stringContaining('in use by another audit') },
  })
  // Neither an audit that ended nor one that failed keeps it.
  await expect(audit({ ...asOf(), bytes: () => Promise.reject(new Error('away')) }, { folder })).rejects.toThrow('away')
  expect(auditOutcome(await audit(asOf(), { folder, onlyNew: true }))).toBe('passed')
})

test('the next audit reads what is new, and says what it left out', async () => {
  const [, second, third] = anchored as [number, number, number]
  const first = await audit(asOf(second), { folder, onlyNew: true })
  expect(first).toMatchObject({ earlier: null, restarted: null })
  expect(auditOutcome(first)).toBe('passed')
  expect(statSync(join(folder, 'last')).mode & 0o777).toBe(0o600)

  const api = asOf(third)
  const next = await audit(api, { folder, onlyNew: true })
  expect(api.read[0]).toBe(second)
  expect([auditOutcome(next), failedIn(next)]).toEqual(['passed', []])
  expect(next.earlier).toMatchObject({ size: second, begun: first.begun })
  expect(next.events + next.earlier!.events).toBe(first.events)
  const said = Object.fromEntries(next.checks.map(({ id, detail }) => [id, detail]))
  expect(said.batches).toContain(`from entry ${second} on`)
  expect(said.earlier).toContain(first.begun)
  // The ledger's own entries count as ever: what they register, order, place and withdraw.
  const kept = (id: string, { checks }: AuditResult) => checks.find((check) => check.id === id)
  for (const id of ['records', 'holds', 'erasures', 'retention', 'proposals', 'streams'])
    expect(kept(id, next), id).toEqual(kept(id, first))

  // Nothing is new but the tail that no anchor covers; and then not even that.
  const last = asOf()
  const tail = await audit(last, { folder, onlyNew: true })
  expect([last.read[0], auditOutcome(tail)]).toEqual([third, 'passed'])
  expect(tail.earlier).toMatchObject({ size: third, begun: first.begun })
  // A whole audit is one, whatever is kept.
  const whole = asOf()
  const all = await audit(whole, { folder })
  expect([whole.read[0], all.earlier, all.events]).toEqual([0, null, first.events])
})

test('it finds what is wrong in the new part, and a whole one what was done to the old', async () => {
  const [, second] = anchored as [number, number, number]
  await audit(asOf(second), { folder })
  await whileAltered(second + 1, async () => {
    for (const _ of [1, 2]) {
      const next = await audit(asOf(), { folder, onlyNew: true })
      expect(failedIn(next)).toEqual(['fields'])
      expect(next.first!.logIndex).toBeGreaterThanOrEqual(second)
    }
  })
  await whileAltered(second - 30, async () => {
    const next = await audit(asOf(second), { folder, onlyNew: true })
    expect(failedIn(next)).toEqual([])
    expect(next.earlier).toMatchObject({ size: second })
    expect(failedIn(await audit(asOf(), { folder }))).toEqual(['fields'])
  })
  // The ledger's own lists are held against all that its entries say.
  const alter = (sql: string) => queryAsOwner(service.databaseUrl, `set session_replication_role = replica; ${sql}`)
  await alter(`create table public.kept as table killick.shares; delete from killick.shares`)
  try {
    expect(failedIn(await audit(asOf(), { folder, onlyNew: true }))).toEqual(['records'])
  } finally {
    await alter(`insert into killick.shares select * from public.kept; drop table public.kept`)
  }
})

test('a log that does not go on from what was read is found, whatever it shows now', { timeout: 180_000 }, async () => {
  // Two histories of one log, by its own key.
  const quiet = await testService()
  const signer = newSigner()
  await register(quiet.url, 'billing', [{ jwk: signer.jwk }])
  const before = new Producer('billing', signer, 'one')
  const send = async (it: TestService, stream: Producer, count: number) => {
    for (let i = 0; i < count; i++) {
      const batch = await stream.batch([sampleEvent(i)])
      expect((await post(it.url, batch.body)).status).toBe(201)
      batch.advance()
    }
  }
  await send(quiet, before, 5)
  await quiet.close()
  const copy = `${quiet.databaseUrl}_copy`
  const nameOf = (url: string) => new URL(url).pathname.slice(1)
  const postgres = copy.replace(/[^/]+$/, 'postgres')
  await queryAsOwner(postgres, `create database ${nameOf(copy)} template ${nameOf(quiet.databaseUrl)}`)
  const target = { ...env, KILLICK_CHAIN_KEY: await chain.newKey() }
  const shown = await testService(target, quiet)
  await send(shown, new Producer('billing', signer, 'shown'), 8)
  const anchors = async () => (await call(shown.url, '/v1/anchors?limit=500')).json.anchors
  await untilAnchored(shown)
  const { targets } = (await call(shown.url, '/v1/log')).json
  const held = { logKeys: [shown.vkey], logs: targets }
  expect(auditOutcome(await audit(asOf(undefined, shown), { folder }, held))).toBe('passed')
  const listed = await anchors()
  await shown.close()

  // It does not remember what it has signed on the other disk.
  const elsewhere = mkdtempSync(join(tmpdir(), 'killick-going-on-'))
  cpSync(join(quiet.folder, 'keys'), join(elsewhere, 'keys'), { recursive: true })
  const rewritten = await testService({}, { ...quiet, folder: elsewhere, databaseUrl: copy })
  const lying = (): Api => {
    const api = openApi(rewritten.url, READER)
    return {
      ...api,
      json: async (path, max) =>
        path.startsWith('/v1/anchors') ? { anchors: listed, next: null } : api.json(path, max),
    }
  }
  const firstNote = (await call(rewritten.url, '/checkpoint')).text
  const removed = await audit(lying(), { folder, onlyNew: true }, held)
  expect(removed.checks.find(({ id }) => id === 'earlier')).toMatchObject({ status: 'failed', reason: 'removed' })
  await send(rewritten, new Producer('billing', signer, 'other'), 12)
  const found = await audit(lying(), { folder, onlyNew: true }, held)
  expect(found.checks.find(({ id }) => id === 'earlier')).toMatchObject({ status: 'failed', reason: 'rewritten' })
  expect(failedIn(found)).toContain('root')
  // Who hides the anchors too makes the audit begin anew; and the contract knows.
  const hiding = openApi(rewritten.url, READER)
  const anew = await audit(hiding, { folder, onlyNew: true }, held)
  expect(anew).toMatchObject({ restarted: 'anchors', earlier: null })
  expect(failedIn(anew)).toContain('anchors.chain')
  // Where nobody asks the contract, the folder knows: also against other pins and checks, and in a whole audit.
  const alone = { ...held, logs: [], urls: [] }
  const ways: [AuditOptions, Partial<AuditPins>][] = [
    [{ onlyNew: true }, alone],
    [{ onlyNew: true, own: [] }, alone],
    [{ onlyNew: true }, { ...alone, sourceKeys: [{ source: 'billing', jwk: signer.jwk }] }],
    [{}, alone],
  ]
  const byNote = mkdtempSync(join(tmpdir(), 'killick-going-on-'))
  onTestFinished(() => rmSync(byNote, { recursive: true, force: true }))
  cpSync(join(folder, 'checkpoint'), join(byNote, 'checkpoint'))
  const finds = async (folder: string, how: AuditOptions, pinned: Partial<AuditPins>) => {
    const result = await audit(hiding, { folder, ...how }, pinned)
    expect(failedIn(result)).toEqual(['earlier'])
    expect(result.checks.find(({ id }) => id === 'earlier')).toMatchObject({ reason: 'rewritten' })
  }
  // By the checkpoint alone, as after an audit of a log that nothing anchors; and by what was read alone.
  await finds(byNote, {}, alone)
  rmSync(join(folder, 'checkpoint'))
  for (const [how, pinned] of ways) await finds(folder, how, pinned)
  const short: Api = { ...hiding, text: async () => firstNote }
  for (const each of [folder, byNote]) {
    const { checks } = await audit(short, { folder: each }, alone)
    expect(checks.find(({ id }) => id === 'earlier')).toMatchObject({ status: 'failed', reason: 'removed' })
  }
  // What did not pass is not what the next one goes by.
  expect(readdirSync(byNote).sort()).toEqual(['checkpoint', 'lock'])
  await finds(byNote, {}, alone)
  await rewritten.stop()
  rmSync(quiet.folder, { recursive: true })
})

test('what tiles do not show of entries that were left out is open, and not said to be what is anchored', async () => {
  const [first] = anchored as [number, number, number]
  await audit(asOf(), { folder })
  /** The service shows no tile of them, as one may whose log was anchored otherwise in another contract. */
  const hiding = (): Api => {
    const api = asOf()
    let hasBegun = false
    return {
      ...api,
      chunks(path) {
        hasBegun = true
        return api.chunks(path)
      },
      async bytes(path, max) {
        if (!hasBegun && path.startsWith('/tile/'))
          throw new KillickError('refused', 'There is nothing at this address.', { status: 404 })
        return api.bytes(path, max)
      },
    }
  }
  const result = await audit(hiding(), { folder, onlyNew: true })
  expect(result.checks.find(({ id }) => id === 'anchors.log')).toMatchObject({ reason: 'unreadable' })
  expect([auditOutcome(result), failedIn(result)]).toEqual(['undecided', []])
  const node = await startFaultyRpc(chain.url)
  onTestFinished(node.stop)
  const word = first.toString(16).padStart(64, '0')
  // The contract's newest anchor is an earlier one.
  node.rule = ({ method, params: [asked] }) =>
    method === 'eth_call' && (asked as { data: string }).data.length === 74
      ? { fault: 'alter', change: (head: string) => head.slice(0, 66) + word + head.slice(130) }
      : null
  const open = await audit(hiding(), { folder, onlyNew: true }, { urls: [node.url] })
  expect(open.checks.find(({ id }) => id === 'anchors.chain')).toMatchObject({
    status: 'skipped',
    reason: 'unreadable',
  })
})

test('receipts and notes from before are held against what was read', async () => {
  const [first, second] = anchored as [number, number, number]
  await audit(asOf(second), { folder })
  const notes = await call(service.url, `/v1/checkpoints?from=1&limit=1000`)
  const note = notes.json.checkpoints.find(({ size }: { size: number }) => size <= first)
  const own = (...shown: string[]) => ({
    own: [
      lookUp(asOf(), 1e9),
      holdReceipts(
        shown.map((text) => ({ note: text, receipt: null })),
        pins.logKeys,
      ),
    ],
  })
  const next = await audit(asOf(), { folder, onlyNew: true, ...own(note.note) })
  expect([next.restarted, failedIn(next)]).toEqual([null, []])
  expect(next.checks.find(({ id }) => id === 'receipts')?.detail).toContain(`of ${note.size} to ${note.size}`)
  const { name, publicKey } = parseVkey(service.vkey)
  const signer = await loadSigner(join(service.folder, 'keys', 'log.json'))
  const forged = (size: number) => {
    const text = printCheckpoint({ origin: service.origin, size, root: sha256(utf8('other')) })
    return signNote(text, name, publicKey, (message) => signer.sign(message) as Uint8Array)
  }
  for (const size of [first - 7, second, second + 5]) {
    const result = await audit(asOf(), { folder, onlyNew: true, ...own(forged(size)) })
    expect(failedIn(result), String(size)).toEqual(['receipts'])
    await audit(asOf(second), { folder })
  }
})

test('what was held against something else is not gone on with', async () => {
  const [, second] = anchored as [number, number, number]
  await audit(asOf(second), { folder })
  const listed = (await call(service.url, '/v1/sources')).json.sources
  const { jwk } = listed.find(({ source }: { source: string }) => source === 'payroll').keys[0]
  const pinned = await audit(asOf(), { folder, onlyNew: true }, { sourceKeys: [{ source: 'payroll', jwk }] })
  expect(pinned).toMatchObject({ restarted: 'pins', earlier: null })
  await audit(asOf(second), { folder })
  expect(await audit(asOf(), { folder, onlyNew: true, own: [] })).toMatchObject({ restarted: 'checks' })
  const other = await testService({ KILLICK_ORIGIN: 'other.example.com' })
  const elsewhere = audit(openApi(other.url, READER), { folder }, { logKeys: [other.vkey], logs: [], urls: [] })
  await expect(elsewhere).rejects.toMatchObject({ code: 'audit_folder_failed' })
  await other.stop()
  const stuck = { id: 'mine', title: 'mine', finish: async () => ({ faults: [], detail: '' }) }
  await expect(audit(asOf(), { folder, own: [stuck] })).rejects.toMatchObject({ code: 'option_invalid' })
})

test('a file that was changed or cut is refused, wherever', async () => {
  await audit(asOf(), { folder })
  // It is refused before anything is held against the chain, which need not be asked a hundred times.
  const next = () => audit(asOf(), { folder, onlyNew: true }, { urls: [] })
  const file = join(folder, 'last')
  const bytes = readFileSync(file)
  const steps = Math.ceil(bytes.length / 60)
  for (let at = 0; at < bytes.length; at += steps) {
    for (const damaged of [
      bytes.subarray(0, at),
      Buffer.concat([bytes.subarray(0, at), Buffer.from('~'), bytes.subarray(at + 1)]),
    ]) {
      if (damaged.equals(bytes)) continue
      writeFileSync(file, damaged)
      await expect(next(), `byte ${at}`).rejects.toMatchObject({
        code: 'audit_folder_failed',
      })
    }
  }
  writeFileSync(file, Buffer.concat([bytes, bytes]))
  await expect(next()).rejects.toMatchObject({ code: 'audit_folder_failed' })
  writeFileSync(file, bytes)
  const noted = join(folder, 'checkpoint')
  for (const wrong of [
    '',
    readFileSync(noted, 'utf8').slice(0, 30),
    'other.example.com\n1\nAA==\n',
    'x'.repeat(2 << 20),
  ]) {
    writeFileSync(noted, wrong)
    await expect(next()).rejects.toMatchObject({ code: 'audit_folder_failed' })
  }
  rmSync(folder, { recursive: true })
  writeFileSync(folder, 'a file in the place of the folder')
  await expect(audit(asOf(), { folder })).rejects.toMatchObject({ code: 'audit_folder_failed' })
  rmSync(folder)
  expect(existsSync(folder)).toBe(false)
})
