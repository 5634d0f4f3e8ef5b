// `killick replay` of sessions that real recorders recorded, against service, PostgreSQL and chain.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import {
  type AuditLog,
  generateKey,
  openAuditLog,
  type PrivateJwk,
  publicJwk,
  type Recorded,
  writeKeyFile,
} from '@killick/sdk'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { alterToken, numberOf, partsOf, swapAt } from '../../anchor-service/support/packs.ts'
import { call, ERASER, READER, register, type TestService, testService } from '../../anchor-service/support/service.ts'
import { begin, world } from '../../gateway/mcp/support.ts'
import { type LocalChain, startChain } from '../../support/local-chain.ts'
import { killick } from './support.ts'

const PROGRAM = fileURLToPath(new URL('../../../sdk/src/cli/main.ts', import.meta.url))
const EVIL = 'a\u001b[2J\u202eb'
/** Sessions of one recorder whose events lie between each other's in its stream. */
const [MANY, FEW, CUT] = ['10000000-0000-4000-8000-000000000001', '10000000-0000-4000-8000-000000000002', 'cut']
const ERASED = 'erased'
const SEALED = 'sealed'
const STEPS = 230

let folder: string
let chain: LocalChain
let service: TestService
let env: Record<string, string>
let pins: string[]
let mixed: AuditLog

/** Events of a recorder of databases, as `killick-gateway postgres` forms them. */
const statement = (session: string, known: object, more: object = {}) => ({
  action: 'postgres.statement',
  actor: { type: 'database-user', id: 'app' },
  targets: [
    { type: 'database', id: 'billing' },
    { type: 'session', id: session },
  ],
  context: { session },
  metadata: { postgres: { mode: 'strict', ...known } },
  ...more,
})

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'killick-replay-'))
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
  const keys = { db: generateKey(), ops: generateKey() }
  for (const [name, key] of Object.entries(keys)) {
    await register(service.url, name, [{ jwk: publicJwk(key) }])
    await writeKeyFile(join(folder, `${name}.json`), key)
  }
  const sending = { url: service.url, logKey: service.vkey }
  mixed = await openAuditLog({
    ...sending,
    source: 'db',
    key: keys.db,
    spool: join(folder, 'db'),
    fields: ['statement'],
  })
  const few: Promise<Recorded>[] = []
  const recorded = Array.from({ length: STEPS }, (_, n) => {
    if (n % 50 === 0 && n < 200)
      few.push(mixed.record(statement(FEW, { kind: 'intent', isOpen: true }, { statement: `select ${n}` })))
    return mixed.record(statement(MANY, { kind: 'intent', n, ...(n === 0 && { isOpen: true }) }))
  })
  await Promise.all(recorded)
  // One for two: answers of a session that came close together.
  const outcomes = (await Promise.all(few)).slice(0, 2).map(({ id }) => ({ intent: id, tag: 'SELECT 1', rows: 1 }))
  const known = { kind: 'outcome', state: 'answered', outcomes }
  await mixed.record({ ...statement(FEW, known), action: 'postgres.statement.result', outcome: 'success' })
  await mixed.flush()
  // The service lists its log in the contract once it has spoken to the chain.
  const listed = async () => (await call(service.url, '/v1/log')).json.targets[0]
  const { logId } = await vi.waitUntil(listed, { timeout: 20_000, interval: 50 })
  pins = ['--rpc', chain.url, '--contract', contract, '--log-id', logId, '--log-key', service.vkey]
  pins.push('--source-key', `db=${JSON.stringify(publicJwk(keys.db))}`)
}, 60_000)

afterAll(async () => {
  await mixed?.close({ timeoutMs: 0 })
  await service?.stop()
  await chain?.stop()
  rmSync(folder, { recursive: true, force: true })
})

const replay = (args: string[]) => killick(['replay', ...args], { env })
// biome-ignore lint/suspicious/noExplicitAny: each test looks for what it expects
type Line = any
const parsed = (out: string): Line[] =>
  out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
const hashOf = (tokens: readonly string[]) =>
  createHash('sha256')
    .update(tokens.map((token) => `${token}\n`).join(''))
    .digest('hex')
/** What follows the state of each step. */
const told = (out: string) => [...out.matchAll(/^ *\d+ {2}[+-]\S+ {2}(?:[✓✗–] )?\w+ +(.*)$/gm)].map(([, line]) => line!)

test('an agent’s session: each call with what came of it, and its hash from other sources too', async () => {
  const it = await world({ url: service.url, limits: { drainMs: 20_000 }, policy: { deny: ['big'] } })
  const key = JSON.parse(readFileSync(join(it.folder, 'key.json'), 'utf8')) as PrivateJwk
  await register(service.url, 'agents', [{ jwk: publicJwk(key) }])
  const session = begin(it)
  await session.initialize()
  await session.call('echo', { text: EVIL })
  await session.call('fail')
  await session.call('error')
  await session.call('big')
  session.call('die').catch(() => {})
  await session.ended
  const { json } = await call(service.url, '/v1/events?source=agents&limit=1')
  const id: string = json.events[0].fields.context.session
  const { code, out, err } = await replay([id])
  expect({ code, err }).toEqual({ code: 0, err: '' })
  expect(told(out)).toEqual([
    expect.stringMatching(/^the session begins: .*node .*scripted-server/),
    'client tester 2.1, server scripted 1.0.0',
    `calls the tool echo with {"text":"a\\u001b[2J\\u202eb"}`,
    expect.stringMatching(/^↳ 3 tool echo: \{"content":.* success, [\d.]+ ms$/),
    'calls the tool fail',
    expect.stringMatching(/^↳ 5 tool fail: .*no such file.* failure, [\d.]+ ms$/),
    'calls the tool error',
    expect.stringMatching(/^↳ 7 tool error, error bad arguments {2}failure, [\d.]+ ms$/),
    'asked, and was not let: calls the tool big: The tool big may not be called.  denied',
    'calls the tool die',
    expect.stringMatching(/^↳ 10 tool die {2}unknown, [\d.]+ ms$/),
    expect.stringMatching(/^↳ 1 the session ends, by server, SIGKILL$/),
  ])
  // biome-ignore lint/suspicious/noControlCharactersInRegex: none may be there
  expect(out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/)
  expect(out).toContain('12 steps played.\n')
  expect(out).toContain('Between them no place of the stream is missing, and each names the hash of the one before it.')
  expect(out).not.toMatch(/Nothing of it says|No outcome/)

  const lines = parsed((await replay([id, '--json'])).out)
  const sha256 = hashOf(lines.slice(0, -1).map(({ event }) => event))
  expect(out.trimEnd().split('\n').at(-1)).toBe(`SHA-256 of what was played: ${sha256}`)
  expect(lines.at(-1)).toMatchObject({ session: id, played: 12, isWhole: true, hasBegun: true, hasEnded: true, sha256 })
  expect(lines[10]).toMatchObject({ step: 11, of: [10], role: 'outcome', ending: 'unknown', noOutcome: false })
  // The same from an export, without this program.
  const exported = await killick(['export', '--target', id], { env })
  expect(
    hashOf(
      parsed(exported.out)
        .map(({ proof }) => proof.event)
        .toReversed(),
    ),
  ).toBe(sha256)
})

test('a command: both its events are its session', async () => {
  const ops = { KILLICK_SOURCE: 'ops', KILLICK_KEY: join(folder, 'ops.json'), KILLICK_SPOOL: join(folder, 'ops') }
  const ran = await killick(['run', '--wait', '20', '--', 'sh', '-c', 'exit 3'], { env: { ...env, ...ops } })
  expect(ran.code).toBe(3)
  const { json } = await call(service.url, '/v1/events?source=ops&limit=1')
  const { out } = await replay([json.events[0].fields.context.session])
  expect(told(out)).toEqual([
    expect.stringMatching(/^runs sh -c exit 3 on \S+ in \//),
    expect.stringMatching(/^↳ 1 sh ended with exit code 3; stdin 0 bytes; .* failure, [\d.]+ ms$/),
  ])
})

describe.skipIf(!existsSync('/usr/bin/script'))('what a terminal showed', () => {
  /** Runs a command in a terminal that is recorded. @returns its session, and the file of what was shown */
  async function recordTerminal(spool: string, ...options: string[]): Promise<{ session: string; cast: string }> {
    const own = { KILLICK_SOURCE: 'ops', KILLICK_KEY: join(folder, 'ops.json'), KILLICK_SPOOL: join(folder, spool) }
    const line = `printf '\\033[31mred\\033[0m one\\n'; sleep 1.2; echo two`
    writeFileSync(join(folder, 'shown.sh'), line)
    const command = `'${process.execPath}' '${PROGRAM}' run --wait 20 --session ${options.join(' ')} -- sh shown.sh`
    const child = spawn('script', ['-qec', command, '/dev/null'], {
      cwd: folder,
      env: { PATH: process.env.PATH!, TERM: 'xterm', SHELL: '/bin/sh', ...env, ...own },
    })
    child.stdout.resume()
    expect(await once(child, 'close')).toEqual([0, null])
    const { json } = await call(service.url, '/v1/events?source=ops&action=command.end&limit=1')
    const casts = join(folder, spool, 'run', 'casts')
    return { session: json.events[0].fields.context.session, cast: join(casts, readdirSync(casts)[0]!) }
  }
  /** Second, kind and text of each, behind the header of an asciicast v2. */
  const chunksOf = (cast: string): [number, string, string][] => parsed(readFileSync(cast, 'utf8')).slice(1)
  const SHOWN = '\u001b[31mred\u001b[0m one\r\ntwo\r\n'

  test('is played from the events that show it, byte for byte, in its own time if asked', async () => {
    const { session, cast } = await recordTerminal('shown', '--show-output')
    const played = await replay([session, '--terminal'])
    expect(played).toMatchObject({ code: 0, out: SHOWN })
    expect(played.err).toMatch(/^\d chunks of what the terminal showed played, each as its hash says\.$/m)
    const { sha256 } = parsed((await replay([session, '--json'])).out).at(-1)
    expect(played.err).toContain(sha256)
    const start = performance.now()
    expect(await replay([session, '--terminal', '--cast', cast, '--speed', '2'])).toMatchObject({ code: 0, out: SHOWN })
    const took = performance.now() - start
    // As far apart as they were seen, at double speed. A timer may be early by a millisecond.
    const [first, last] = chunksOf(cast).map(([time]) => time) as [number, number]
    expect(last - first).toBeGreaterThan(0.5)
    expect(took).toBeGreaterThan((last - first) * 500 - 2)
    // Without being asked to, nothing of it reaches a terminal raw.
    expect((await replay([session])).out).not.toContain('\u001b[31m')
  })

  test('is played from the file where the events hold hashes alone, and only as it was recorded', async () => {
    const { session, cast } = await recordTerminal('hashed')
    expect(await replay([session, '--terminal'])).toMatchObject({ code: 2, err: expect.stringContaining('--cast') })
    expect(await replay([session, '--terminal', '--cast', cast])).toMatchObject({ code: 0, out: SHOWN })
    const forged = join(folder, 'forged.cast')
    writeFileSync(forged, readFileSync(cast, 'utf8').replace('two', 'TWO'))
    const played = await replay([session, '--terminal', '--cast', forged])
    expect(played).toMatchObject({ code: 1, out: SHOWN.replace('two\r\n', '') })
    expect(played.err).toMatch(/chunk 1: the file is not what was recorded/)
    expect(await replay([session, '--terminal', '--cast', join(folder, 'none')])).toMatchObject({ code: 2 })
    expect(await replay([session, '--cast', cast])).toMatchObject({ code: 2 })
    expect(await replay([session, '--terminal', '--json'])).toMatchObject({ code: 2 })
  })

  test('what is missing at its end is told, and a terminal is left as it was where it cannot go on', async () => {
    const { session } = await recordTerminal('kept', '--show-output')
    let isKept = (_: { fields: { action: string; metadata?: { chunk?: number } } }) => true
    let fails = (_: string) => false
    const between = createServer(async (req, res) => {
      const { status, json, text: body } = await call(service.url, req.url!)
      if (fails(req.url!)) return void res.writeHead(500).end()
      res.writeHead(status).end(json?.events ? JSON.stringify({ ...json, events: json.events.filter(isKept) }) : body)
    })
    await once(between.listen(0, '127.0.0.1'), 'listening')
    const url = `http://127.0.0.1:${(between.address() as AddressInfo).port}`
    const play = (...more: string[]) =>
      killick(['replay', session, '--terminal', '--url', url, '--token', READER, ...more], { isTerminal: true })
    try {
      const { events } = (await call(service.url, `/v1/events?target=${session}`)).json
      const [end, last] = events
      isKept = ({ fields }) => fields.metadata?.chunk !== last.fields.metadata.chunk
      const cut = await play('--speed', 'max')
      expect(cut).toMatchObject({ code: 1, err: expect.stringMatching(/at the end of the session, 1 of \d chunks/) })
      isKept = () => true
      fails = (path) => path.includes(`/v1/proofs/${end.leafHash}`)
      const broken = await play('--speed', 'max', '--verify', ...pins)
      expect(broken.code).toBe(3)
      expect(broken.out).toMatch(/red.*one\r\ntwo\r\n.*\[\?1049l.*\[\?25h.*\[0m.*\[\?1003l.*\n$/s)
    } finally {
      between.close()
      between.closeAllConnections()
    }
  })

  test('a session without any says so', async () => {
    expect(await replay([FEW, '--terminal'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('killick run --session'),
    })
  })
})

describe('sessions that share a stream', () => {
  test('more than a page: in order, each once, the same bytes each time', async () => {
    const [first, again] = [await replay([MANY, '--json']), await replay([MANY, '--json'])]
    expect(first.code).toBe(0)
    const lines = parsed(first.out)
    expect(lines).toHaveLength(STEPS + 1)
    expect(lines.slice(0, -1).map(({ fields }) => fields.metadata.postgres.n)).toEqual(
      Array.from({ length: STEPS }, (_, i) => i),
    )
    const bytes = ({ out }: { out: string }) =>
      parsed(out)
        .slice(0, -1)
        .map(({ event }) => event)
    expect(bytes(again)).toEqual(bytes(first))
    expect(lines.at(-1)).toMatchObject({
      places: { unseen: 3, gaps: 0 },
      hasBegun: false,
      hasEnded: false,
      sha256: hashOf(bytes(first)),
    })
    // Nobody has recorded an outcome of the first fifty.
    expect(lines.at(-1).withoutOutcome).toEqual({ count: 1, steps: [1] })
    expect(lines[0]).toMatchObject({ role: 'intent', noOutcome: true })
    expect((await replay([MANY])).out).toMatch(/ 1 {2}.* {2}no outcome found\n/)
  })

  test('verified: each proof by what is pinned, and every place between', async () => {
    await vi.waitUntil(async () => (await replay([FEW])).out.includes('Proofs: 5 anchored,'), {
      timeout: 20_000,
      interval: 100,
    })
    const { code, out } = await replay([FEW, '--verify', ...pins])
    expect(code).toBe(0)
    expect(out.match(/ {2}✓ (anchored|final) /g)).toHaveLength(5)
    expect(told(out)).toEqual([
      'select 0',
      'select 50',
      'select 100  no outcome found',
      'select 150  no outcome found',
      '↳ 1, 2 SELECT 1, 1 row; SELECT 1, 1 row  success',
    ])
    expect(out).toContain('No outcome is found of steps 3, 4.')
    expect(out).toContain('Proofs: 5 verified.')
    expect(out).toContain(
      'no place of the stream is missing, 230 places of them with events of others, and each names the hash',
    )
    // Without pins that is nobody's word but the operator's.
    const open = await replay([FEW, '--verify'])
    expect(open.code).toBe(3)
    expect(open.out).toMatch(/Proofs: 5 undecided\.\nMissing for "verified":\n {2}· /)
    expect(
      (await replay([FEW, '--verify', ...pins.slice(0, -1), `db=${JSON.stringify(publicJwk(generateKey()))}`])).code,
    ).toBe(1)
  })

  test('what a service leaves out or puts elsewhere is told', async () => {
    const { json } = await call(service.url, `/v1/events?target=${FEW}`)
    const lie = async (change: (path: string, answer: Line) => Line, ...own: string[]) => {
      const liar = await between(change)
      const args = ['replay', FEW, '--verify', ...own, '--url', liar.url, '--token', READER]
      const { code, out } = await killick(args, { env })
      await liar.close()
      return { code, gaps: [...out.matchAll(/gap: (.*)$/gm)].map(([, gap]) => gap) }
    }
    const search = /^\/v1\/events\?/
    const dropped = json.events[2].id
    expect(
      await lie((path, answer) =>
        search.test(path) ? { ...answer, events: answer.events.filter(({ id }: Line) => id !== dropped) } : answer,
      ),
    ).toEqual({
      code: 1,
      gaps: ['place 102 of the stream: what stands there belongs to this session, and the search left it out'],
    })
    const streams = /^\/v1\/streams\//
    const without = (seqs: readonly number[]) => (path: string, answer: Line) =>
      streams.test(path) ? { ...answer, events: answer.events.filter(({ seq }: Line) => !seqs.includes(seq)) } : answer
    expect(await lie(without([60, 61, 152]))).toEqual({
      code: 1,
      gaps: [
        'places 60 to 61 of the stream: the service does not show what stands there',
        'place 152 of the stream: the service does not show what stands there',
      ],
    })
    // That is lawful, and its word alone.
    const error = { code: 'event_dropped', detail: 'Dropped on 2026-11-30' }
    const drop = ({ fields, token, ...row }: Line) =>
      row.seq === 60 || row.seq === 61 ? { ...row, error } : { ...row, fields, token }
    const dropping = (path: string, answer: Line) =>
      streams.test(path) ? { ...answer, events: answer.events.map(drop) } : answer
    expect(await lie(dropping, ...pins)).toEqual({
      code: 3,
      gaps: ['places 60 to 61 of the stream: by the service’s word a retention policy has dropped what stood there'],
    })
  })

  /** A service between this one and whoever asks it, which changes its answers. */
  async function between(
    change: (path: string, answer: Line) => Line,
  ): Promise<{ url: string; close(): Promise<unknown> }> {
    const server: Server = createServer(async ({ url = '' }, response) => {
      const { status, text: body, json } = await call(service.url, url)
      response
        .writeHead(status, { 'content-type': 'application/json' })
        .end(json ? JSON.stringify(change(url, json)) : body)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    return { url: `http://127.0.0.1:${port}`, close: () => new Promise((resolve) => server.close(resolve)) }
  }

  test('an outcome whose targets were erased is not found, and is not told as an event of others', async () => {
    const { id } = await mixed.record(statement(ERASED, { kind: 'intent', isOpen: true }))
    const known = { kind: 'outcome', state: 'answered', intent: id }
    const outcome = await mixed.record({ ...statement(ERASED, known), outcome: 'success' })
    await mixed.record(statement(ERASED, { kind: 'other' }))
    await mixed.flush()
    const order = { ids: [outcome.id], fields: ['targets'], reason: 'a test' }
    const headers = { 'content-type': 'application/json' }
    const body = JSON.stringify(order)
    expect((await call(service.url, '/v1/erasures', ERASER, { method: 'POST', headers, body })).status).toBe(202)
    await vi.waitUntil(async () => (await replay([ERASED])).out.includes('Proofs: 2 anchored,'), 20_000)
    const { code, out } = await replay([ERASED, '--verify', ...pins])
    expect(code).toBe(3)
    expect(out).toContain(
      'No outcome is found of step 1. What was dropped, or no longer shows what it belongs to, never is.',
    )
    expect(out).toContain('Proofs: 2 verified.')
    expect(out).toContain('Between them 1 event of the stream does not show whose it is.')
    expect(out).not.toContain('events of others')
  })

  test('of what is sealed nothing is told, and that is said', async () => {
    const sealed = { type: 'sealed', id: 'AAAAAAAAAAAAAAAAAAAAAA', jwe: 'e30..AAAA.AAAA.AAAA' }
    await mixed.record(statement(SEALED, { kind: 'intent' }, { statement: sealed, metadata: sealed }))
    await mixed.flush()
    const { out } = await replay([SEALED])
    expect(out).toMatch(/ a statement that is not shown {2}outcome not shown \(2 fields sealed\)$/m)
    expect(out).toContain('Of 1 step not every field is shown.')
    expect(parsed((await replay([SEALED, '--json'])).out)[0]).toMatchObject({ hidden: 0, sealed: 2, role: 'other' })
  })

  test('an event that was altered, and one that lost a field', async () => {
    const seqs: number[] = []
    for (let i = 0; i < 3; i++) {
      await mixed.record(statement(CUT, { kind: 'other' }))
      seqs.push(mixed.status.recorded - 1)
    }
    await mixed.flush()
    const alter = async (at: number, change: (token: string) => string) =>
      alterToken(service.databaseUrl, await numberOf(service.databaseUrl, 'db', seqs[at]!), change)
    await alter(1, (token) => swapAt(token, 200))
    await alter(2, (token) => `${partsOf(token).jws}~${partsOf(token).disclosures.split('~').slice(0, 3).join('~')}~`)
    const { code, out } = await replay([CUT])
    expect(code).toBe(1)
    expect(out).toMatch(/^2 {2} +altered +it was altered and cannot be read: /m)
    expect(out).toMatch(/^3 {2}.* \(\d fields not shown\)$/m)
    expect(out).toContain('1 event of the ledger cannot be read any more.')
    expect(out).toContain('Of 1 step not every field is shown.')
    expect(parsed((await replay([CUT, '--json'])).out)[1]).toMatchObject({ step: 2, seq: seqs[1], event: null })
  })
})

describe('which session', () => {
  test('one that nobody names, and what is no option', async () => {
    expect(await replay(['nope'])).toMatchObject({
      code: 2,
      err: expect.stringMatching(/No event is found that names a session nope/),
    })
    expect(parsed((await replay(['nope', '--json'])).out.replaceAll('\n', ''))[0].error.code).toBe('session_unknown')
    // An id that is that of something else.
    expect((await replay(['billing'])).code).toBe(2)
    for (const speed of ['0', '-1', 'fast', '1e9', ''])
      expect(await replay([MANY, `--speed=${speed}`])).toMatchObject({
        code: 2,
        err: expect.stringMatching(/--speed must be/),
      })
  })

  test('several sources: one must be chosen; several streams of one: one after the other', async () => {
    const source = { url: service.url, logKey: service.vkey, source: 'ops', key: join(folder, 'ops.json') }
    const names: string[] = []
    let known: object = { kind: 'intent', isOpen: true }
    for (const spool of ['other-1', 'other-2']) {
      const other = await openAuditLog({ ...source, spool: join(folder, spool) })
      const { id } = await other.record(statement(FEW, known))
      known = { kind: 'outcome', state: 'answered', intent: id }
      await other.close()
      names.push(other.status.stream)
    }
    const refused = await replay([FEW])
    expect(refused).toMatchObject({ code: 2, err: expect.stringMatching(/choose one with --source, of db, ops/) })
    const chosen = await replay([FEW, '--source', 'ops'])
    expect([...chosen.out.matchAll(/recorded by ops in stream (\S+),/g)].map(([, stream]) => stream)).toEqual(
      names.sort(),
    )
    expect(told(chosen.out)).toHaveLength(2)
    for (const stream of names) {
      const one = await replay([FEW, '--stream', stream])
      expect(one.out).toContain('1 step played.')
      // What came of it stands in the other one.
      expect(one.out).not.toMatch(/no outcome/i)
    }
    expect((await replay([FEW, '--source', 'db'])).out).toContain('5 steps played.')
  })
})

const isUnderWay = (out: string) => /^ *2 {2}/m.test(out)

test('in its own time, until Ctrl-C: what was played so far has its hash', async () => {
  const whole = parsed((await replay([MANY, '--json'])).out).slice(0, -1)
  const [from, to] = [whole[0], whole.at(-1)].map(({ recordedAt }) => Date.parse(recordedAt))
  // So that it would take a minute.
  const speed = Math.max(0.001, (to! - from!) / 60_000).toFixed(3)
  const child = spawn(process.execPath, [PROGRAM, 'replay', MANY, '--speed', speed], {
    env: { PATH: process.env.PATH!, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const closed = once(child, 'close')
  const err = text(child.stderr!)
  let out = ''
  for await (const chunk of child.stdout!) {
    const before = out
    out += chunk
    if (isUnderWay(out) && !isUnderWay(before)) child.kill('SIGINT')
  }
  await closed
  expect({ code: child.exitCode, err: await err }).toEqual({ code: 130, err: '' })
  const [, steps] = /^Stopped after (\d+) steps of 230\.$/m.exec(out)!
  const played = whole.slice(0, Number(steps)).map(({ event }) => event)
  expect(out.trimEnd().split('\n').at(-1)).toBe(`SHA-256 of what was played: ${hashOf(played)}`)
})
