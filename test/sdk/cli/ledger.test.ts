// The commands against the whole system: service, PostgreSQL, chain.
import { randomUUID } from 'node:crypto'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig, type Service, startService } from '@killick/anchor-service'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { startAnchoring } from '../../../anchor-service/src/anchor/index.ts'
import { loadSigner } from '../../../sdk/src/client/key.ts'
import { utf8 } from '../../../sdk/src/core/bytes.ts'
import { printCheckpoint } from '../../../sdk/src/core/checkpoint.ts'
import { printFork } from '../../../sdk/src/core/fork.ts'
import { sha256 } from '../../../sdk/src/core/hash.ts'
import { parseVkey, signNote } from '../../../sdk/src/core/note.ts'
import { parseProof } from '../../../sdk/src/core/proof.ts'
import { alterToken, numberOf, partsOf, swapAt } from '../../anchor-service/support/packs.ts'
import { startFaultyRpc } from '../../support/faulty-rpc.ts'
import { type LocalChain, startChain } from '../../support/local-chain.ts'
import { createDatabase, queryAsOwner } from '../../support/postgres.ts'
import { killick, killickProcess } from './support.ts'

const READER = 'reader-token-for-tests'
const ADMIN = 'admin-token-for-tests'
const EVENTS = 700

let dir: string
let chain: LocalChain
let service: Service
let ids: string[]
let pins: string[]
let env: Record<string, string>
let proofFile: string

const file = (name: string) => join(dir, name)

const sample = (n: number) => ({
  action: 'invoice.approve',
  actor: { type: 'user', id: `u-${n % 7}`, name: 'Zoë \u001b[31mLindqvist' },
  targets: [{ type: 'invoice', id: `2026-${n}` }],
  changes: [{ path: '/status', before: 'draft', after: 'approved' }],
})

const record = (count: number, from = 0) =>
  killickProcess(
    [
      'record',
      '--source',
      'billing-api',
      '--key',
      file('k.key.json'),
      '--spool',
      file('spool'),
      '--log-key',
      service.vkey,
      '--ids',
    ],
    {
      env,
      input: Array.from({ length: count }, (_, i) => JSON.stringify(sample(from + i))).join('\n'),
    },
  )

const api = async (path: string) =>
  (await fetch(service.url + path, { headers: { authorization: `Bearer ${READER}` } })).json()

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'killick-ledger-'))
  chain = await startChain()
  const contract = await chain.deployAnchorLog()
  const config = loadConfig({
    DATABASE_URL: await createDatabase(),
    KILLICK_DATA: file('data'),
    KILLICK_ADMIN_TOKEN: ADMIN,
    KILLICK_READER_TOKEN: READER,
    KILLICK_LOG_LEVEL: 'silent',
    KILLICK_AUDIT_INTERVAL_MS: '0',
    KILLICK_RPC_URL: chain.url,
    KILLICK_CONTRACT: contract,
    KILLICK_CHAIN_KEY: chain.key(1),
    KILLICK_ANCHOR_INTERVAL_MS: '500',
    KILLICK_CONFIRMATIONS: '1',
    PORT: '0',
  })
  service = await startService(config, startAnchoring)
  env = { KILLICK_URL: service.url, KILLICK_TOKEN: READER }
  const { out } = await killick(['keygen', '--out', file('k.key.json')])
  await fetch(`${service.url}/v1/sources`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ADMIN}`, 'content-type': 'application/json' },
    body: JSON.stringify({ source: 'billing-api', keys: [{ jwk: JSON.parse(out) }] }),
  })
  const recorded = await record(EVENTS)
  expect(recorded.err).toContain(`${EVENTS} events recorded`)
  expect(recorded.err).toContain(`the log has accepted ${EVENTS} of them`)
  expect(recorded.code).toBe(0)
  ids = recorded.out.trim().split('\n')
  proofFile = file('proof.json')
  const isAnchored = async () =>
    (await killick(['proof', ids.at(-1)!, '--out', proofFile], { env })).err.includes('1 anchor')
  await vi.waitUntil(isAnchored, { timeout: 60_000, interval: 100 })
  const [anchor] = parseProof(readFileSync(proofFile, 'utf8')).anchors
  pins = ['--rpc', chain.url, '--contract', contract, '--log-id', anchor!.logId, '--log-key', service.vkey]
}, 90_000)

afterAll(async () => {
  await service?.close()
  await chain?.stop()
  rmSync(dir, { recursive: true, force: true })
})

test('record gives every event an id, in order; a second run goes on with the stream', async () => {
  expect(ids).toHaveLength(EVENTS)
  const { events } = (await api('/v1/events?source=billing-api&limit=2')) as {
    events: { id: string; seq: number; stream: string }[]
  }
  expect(events.map(({ id }) => id)).toEqual([ids.at(-1), ids.at(-2)])
  const again = await record(1, EVENTS)
  expect(again.code).toBe(0)
  expect(again.err).toMatch(/^1 event recorded in stream \S+; the log has accepted 1 of them\n/)
  const { events: newer } = (await api('/v1/events?source=billing-api&limit=1')) as {
    events: { id: string; seq: number; stream: string }[]
  }
  expect(newer[0]).toMatchObject({ id: again.out.trim(), seq: EVENTS, stream: events[0]!.stream })
})

test('anchors lists what was anchored, with its cost', async () => {
  const { code, out, err } = await killick(['anchors'], { env })
  expect([code, err]).toEqual([0, ''])
  expect(out).toMatch(
    /^default +\d+ +(confirmed|final) +\d+ +20\d\d-\S+ \S+ +[\d,]+ +[\d.,]+ +[\d.,]+ +0x[0-9a-f]{64}$/m,
  )
  expect(out).toMatch(/^default \(chain 31337\): [1-9]\d* anchored, .* gwei for [\d,]+ events: \S+ gwei each$/m)
})

describe('verify', () => {
  const sourceKey = () => ['--source-key', `billing-api=${file('k.pub.json')}`]

  test('with everything pinned: verified, every check shown, exit code 0', async () => {
    const { code, out, err } = await killickProcess(['verify', proofFile, ...pins, ...sourceKey()])
    expect([code, err]).toEqual([0, ''])
    expect(out).toMatch(/^VERIFIED, as far as \w+: pinned by you$/m)
    expect(out).toMatch(/✓ passed {3}The source signed the event {2,}\S/)
    expect(out.replace(/.*The log says whose key it is.*/, '')).not.toMatch(/failed|skipped/)
    expect(out).toContain('invoice 2026-699')
    // Nothing that was recorded reaches the terminal as a command, and a pipe gets no colours.
    expect(out).not.toContain('\u001b')
    expect(out).toContain(String.raw`Zoë \u001b[31mLindqvist`)
    expect(out).toMatch(/^outcome +not recorded$/m)
  })

  test('colours only where asked for, and NO_COLOR wins', async () => {
    const coloured = await killickProcess(['verify', proofFile], { env: { FORCE_COLOR: '1' } })
    expect(coloured.out).toContain('\u001b[32m')
    expect((await killickProcess(['verify', proofFile], { env: { NO_COLOR: '1' } })).out).not.toContain('\u001b')
  })

  test('from stdin, from a URL, as JSON', async () => {
    const input = readFileSync(proofFile, 'utf8')
    expect(await killickProcess(['verify', '-', ...pins, ...sourceKey()], { input })).toMatchObject({ code: 0 })
    const url = `${service.url}/v1/proofs/${ids[3]}`
    expect(await killick(['verify', url, ...pins, ...sourceKey()], { env })).toMatchObject({ code: 0 })
    expect(await killick(['verify', url, ...pins], {})).toMatchObject({ code: 2, err: expect.stringContaining('401') })
    const json = JSON.parse((await killick(['verify', proofFile, '--json'])).out)
    expect(json).toMatchObject({ outcome: 'undecided', event: { id: ids.at(-1) } })
  })

  test('what is left out is skipped and named, exit code 3', async () => {
    const cases: [string[], RegExp][] = [
      [[], /an answer from the chain/],
      [pins, /a pinned key of the source/],
      [[...pins.slice(0, -2), ...sourceKey()], /a pinned key of the log/],
      [['--rpc', chain.url, '--log-key', service.vkey, ...sourceKey()], /a pinned contract and log id/],
      [
        ['--rpc', 'http://127.0.0.1:1', ...pins.slice(2), '--chain-id', '31337', ...sourceKey()],
        /an answer from the chain/,
      ],
      [['--rpc', 'http://127.0.0.1:1', ...pins.slice(2), ...sourceKey()], /an answer from the chain/],
      [[...pins.slice(2), ...sourceKey()], /an answer from the chain/],
    ]
    for (const [args, missing] of cases) {
      const { code, out } = await killick(['verify', proofFile, ...args])
      expect(out).toMatch(missing)
      expect(out.includes('To ask a node of the chain: --rpc <url>')).toBe(!args.includes('--rpc'))
      expect(out).toMatch(/^UNDECIDED(?!.*pinned by you)/m)
      expect(out).toMatch(/’s word|not checked/)
      expect(out).toContain('– skipped')
      expect(code).toBe(3)
    }
  })

  test('of several nodes, the first that answers says which chain is meant', async () => {
    const args = ['--rpc', 'http://127.0.0.1:1', ...pins, ...sourceKey()]
    expect(await killick(['verify', proofFile, ...args])).toMatchObject({ code: 0 })
  })

  test('a node that lies about its chain, or is on another, is no word against the proof', async () => {
    const liar = await startFaultyRpc(chain.url)
    try {
      const others = [...pins.slice(2), ...sourceKey()]
      for (const result of ['hello', null]) {
        liar.rule = ({ method }) => (method === 'eth_chainId' ? { fault: 'lie', result } : null)
        const alone = await killick(['verify', proofFile, '--rpc', liar.url, ...others])
        expect(alone).toMatchObject({ code: 3, out: expect.stringContaining('gave no number for eth_chainId') })
      }
      expect(await killick(['verify', proofFile, '--rpc', liar.url, ...pins, ...sourceKey()])).toMatchObject({
        code: 0,
      })
      liar.rule = ({ method }) => (method === 'eth_chainId' ? { fault: 'lie', result: '0x1' } : null)
      for (const more of [[], ['--chain-id', '31337']]) {
        const { code, out } = await killick(['verify', proofFile, '--rpc', liar.url, ...others, ...more])
        expect(out).toContain('it is on chain 1, the anchor on 31337')
        expect([code, /✗/.test(out)]).toEqual([3, false])
      }
    } finally {
      await liar.stop()
    }
  })

  test('half a contract pin is a mistake, not a weaker check', async () => {
    const { code, err } = await killick(['verify', proofFile, ...pins.slice(0, 4)])
    expect([code, err]).toEqual([2, expect.stringContaining('--log-id is missing')])
  })

  test('a wrong pin or a changed proof fails, exit code 1, whatever else is skipped', async () => {
    const other = JSON.parse((await killick(['keygen', '--out', file('other.json')])).out)
    const proof = JSON.parse(readFileSync(proofFile, 'utf8'))
    const tampered = (change: (copy: typeof proof) => unknown) => {
      const copy = structuredClone(proof)
      change(copy)
      const name = file(`tampered-${randomUUID()}.json`)
      writeFileSync(name, JSON.stringify(copy))
      return name
    }
    const cases: string[][] = [
      [proofFile, '--source-key', `billing-api=${JSON.stringify(other)}`],
      [proofFile, ...pins.slice(0, 3), `0x${'1'.repeat(40)}`, ...pins.slice(4)],
      [proofFile, ...pins.slice(0, 5), `0x${'1'.repeat(64)}`, ...pins.slice(6)],
      [tampered((it) => Object.assign(it.batch, { index: it.batch.index + 1 }))],
      [tampered((it) => it.batch.path.pop()), ...pins],
      [tampered((it) => Object.assign(it.anchors[0], { time: it.anchors[0].time + 1 })), ...pins],
    ]
    for (const args of cases) {
      const { code, out } = await killick(['verify', ...args])
      expect(out).toContain('✗ failed')
      expect(out).toContain('FAILED')
      expect(code).toBe(1)
    }
  })
})

test('proof of what does not exist, and without a token', async () => {
  expect(await killick(['proof', '0192f0c1-7b1a-7c3e-9f00-5b1f6a3c2d10'], { env })).toMatchObject({
    code: 2,
    out: '',
    err: expect.stringContaining('404'),
  })
  expect(await killick(['proof', ids[0]!, '--url', service.url])).toMatchObject({
    code: 2,
    err: expect.stringMatching(/401.*A token is missing: --token-file, --token or KILLICK_TOKEN$/m),
  })
})

describe('audit', () => {
  const audit = (...more: string[]) => killick(['audit', ...more], { env })

  test('an honest ledger: everything holds', async () => {
    const keys = ['--source-key', `billing-api=${file('k.pub.json')}`]
    const { code, out, err } = await killickProcess(['audit', ...pins, ...keys, '--registered-keys'], { env })
    expect(out).not.toMatch(/failed|skipped/)
    expect(out).toContain('EVERYTHING HOLDS')
    expect(out).toMatch(
      /the log’s key +pinned by you\n +the contract +pinned by you\n +the keys of billing-api +pinned by you/,
    )
    expect(out).toMatch(/the keys of killick +on localhost\/killick’s word/)
    expect([code, err]).toEqual([0, ''])
    const { sources } = (await api('/v1/sources')) as { sources: { source: string; keys: { jwk: object }[] }[] }
    const own = sources.find(({ source }) => source === 'killick')!.keys[0]!.jwk
    const witness = 'witness.example+0a0b0c0d+BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g'
    const more = ['--source-key', `killick=${JSON.stringify(own)}`, '--log-key', witness]
    const all = await audit(...pins, ...keys, ...more)
    expect(all).toMatchObject({ code: 0, out: expect.not.stringContaining('’s word') })
    expect(all.out).toMatch(/the key of witness\.example \(type 0x04\) +not checked/)
  })

  test('what rests on the operator’s word is no pass', async () => {
    for (const args of [
      ['--rpc', chain.url],
      pins,
      [...pins.slice(0, 6), '--registered-keys'],
      ['--rpc', chain.url, ...pins.slice(6), '--registered-keys'],
    ]) {
      const { code, out } = await audit(...args)
      expect(out).not.toMatch(/failed|skipped|EVERYTHING HOLDS/)
      expect(out).toContain('NOTHING FAILED, BUT IT RESTS ON THE WORD OF localhost/killick')
      expect(code).toBe(3)
    }
    const json = JSON.parse((await audit(...pins, '--json')).out)
    expect(json.outcome).toBe('undecided')
    expect(json.events).toBeGreaterThan(EVENTS)
    expect(json.restsOn).toContainEqual(
      expect.stringMatching(/^the operator’s word, given in the log, on the keys of /),
    )
    expect(json.checks.every(({ status }: { status: string }) => status === 'passed')).toBe(true)
  })

  test('without a node the chain is skipped, and that is no success unless asked for', async () => {
    expect(await audit()).toMatchObject({ code: 3, out: expect.stringContaining('NOT EVERYTHING WAS CHECKED') })
    expect(await audit('--no-chain')).toMatchObject({ code: 3 })
    expect(await audit('--no-chain', '--log-key', service.vkey, '--registered-keys')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/the contract +not checked/),
    })
    for (const args of [[], pins.slice(2)])
      expect(await audit('--rpc', 'http://127.0.0.1:1', ...args)).toMatchObject({
        code: 3,
        out: expect.stringContaining('NOT EVERYTHING WAS CHECKED'),
      })
  })

  test('a node that is away hides no fault', async () => {
    const other = (await killick(['keygen', '--out', file('other3.json')])).out
    expect(await audit('--rpc', 'http://127.0.0.1:1', '--source-key', `billing-api=${other.trim()}`)).toMatchObject({
      code: 1,
      out: expect.stringContaining('First at fault'),
    })
  })

  test('a pinned log that the contract holds nothing of is no success', async () => {
    const unknown = [...pins.slice(0, 5), `0x${'1'.repeat(64)}`]
    expect(await audit(...unknown)).toMatchObject({
      code: 3,
      out: expect.stringContaining('holds no anchor of this log'),
    })
  })

  test('a pinned contract that says yes to everything is not AnchorLog, whatever the service lists', async () => {
    const yes = `0x${'7e5'.padEnd(40, '0')}`
    // Three words of 1, to any call.
    await chain.rpc('hardhat_setCode', [yes, '0x60016000526001602052600160405260606000f3'])
    const { code, out } = await audit(...pins.slice(0, 3), yes, ...pins.slice(4), '--registered-keys')
    expect(out).toMatch(/✗ failed +The contract on chain .*is not the published AnchorLog/)
    expect(code).toBe(1)
  })

  test('a key or log that is not the pinned one fails', async () => {
    const other = (await killick(['keygen', '--out', file('other2.json')])).out
    expect(await audit('--no-chain', '--source-key', `billing-api=${other.trim()}`)).toMatchObject({
      code: 1,
      out: expect.stringContaining('First at fault'),
    })
    expect(
      await audit('--no-chain', '--log-key', 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW'),
    ).toMatchObject({ code: 1 })
  })

  test('--keep and --new: the next audit reads what is new, and says so', async () => {
    const args = [...pins, '--registered-keys', '--keep', file('kept')]
    expect(await audit('--new')).toMatchObject({ code: 2, err: expect.stringContaining('--keep') })
    const all = await audit(...args)
    expect(all).toMatchObject({ code: 0, out: expect.stringContaining('EVERYTHING HOLDS') })
    const next = await audit(...args, '--new')
    expect(next).toMatchObject({ code: 0, out: expect.stringContaining('EVERYTHING NEW HOLDS') })
    expect(next.out).toMatch(/entries, the last \d+ with /)
    expect(next.out).toMatch(
      /✓ passed +The log goes on from what an earlier audit has read +[\d,]+ entries, read from /,
    )
    const { earlier, restarted } = JSON.parse((await audit(...args, '--new', '--json')).out)
    expect([earlier.size > 0, restarted]).toEqual([true, null])
    const other = await audit(
      '--no-chain',
      '--log-key',
      service.vkey,
      '--registered-keys',
      '--keep',
      file('kept'),
      '--new',
    )
    expect(other.out).toContain(
      'Begun at the first entry: what was kept of an earlier audit was held against other pins',
    )
    writeFileSync(file('kept/last'), 'x')
    expect(await audit(...args, '--new')).toMatchObject({
      code: 2,
      err: expect.stringContaining('it is not what an audit keeps'),
    })
  })

  /** Changes the database behind the service's back, audits, and puts everything back. */
  async function tamper(table: string, change: string | (() => Promise<void>), args = pins) {
    const run = (sql: string) =>
      queryAsOwner(
        service.databaseUrl,
        `set session_replication_role = replica; ${sql}; set session_replication_role = default`,
      )
    await run(`create table kept as select * from ${table}`)
    await (typeof change === 'string' ? run(change) : change())
    try {
      return await audit(...args)
    } finally {
      await run(`delete from ${table}; insert into ${table} select * from kept; drop table kept`)
    }
  }

  const at = `(select log_index from batches where source = 'billing-api' and seq = 0)`
  /** Alters the sixth event of the first batch. */
  const alter = (change: Parameters<typeof alterToken>[2]) => async () =>
    alterToken(service.databaseUrl, await numberOf(service.databaseUrl, 'billing-api', 5), change)
  const attacks: [string, string, string | (() => Promise<void>), RegExp, RegExp][] = [
    [
      'an event’s bytes',
      'packs',
      alter((token) => swapAt(token, 200)),
      /Every event is whole/,
      /event 5 of billing-api/,
    ],
    [
      'what an event says',
      'packs',
      alter((token, tokens, i) => `${partsOf(token).jws}~${partsOf(tokens[i + 1]!).disclosures}`),
      /Every event is whole/,
      /event 5 of billing-api/,
    ],
    [
      'an event for another true one',
      'packs',
      alter((_, tokens, i) => tokens[i + 1]!),
      /Every event is whole/,
      /event 5 of billing-api/,
    ],
    [
      'a batch header',
      'batches',
      `update batches set header = overlay(header placing case substr(header, 150, 1) when 'A' then 'B' else 'A' end from 150 for 1) where log_index = ${at}`,
      /Every batch is whole/,
      /log entry/,
    ],
    [
      'a tile',
      'tiles',
      `update tiles set hashes = set_byte(hashes, 0, get_byte(hashes, 0) # 1) where level = 0 and tile = 0 and start = 0`,
      /Every stored tile/,
      /log entry 0/,
    ],
  ]
  test.each(attacks)('%s changed in the database is found and named', async (_, table, change, check, place) => {
    const { code, out } = await tamper(table, change)
    expect(code).toBe(1)
    expect(
      out
        .split('\n')
        .filter((line) => line.includes('✗ failed'))
        .join('\n'),
    ).toMatch(check)
    expect(out).toMatch(/First at fault: /)
    expect(out.split('First at fault: ')[1]).toMatch(place)
  })

  test('a log cut back to an earlier, truly signed checkpoint: the contract knows of more', async () => {
    const { code, out } = await tamper('checkpoints', 'delete from checkpoints where size > 2')
    expect(code).toBe(1)
    expect(out).toMatch(/✗ failed +The contract on chain holds those roots .*entries were removed/)
  })

  describe('held against what recorders and older notes say', () => {
    const against = async (...args: string[]) => {
      const { code, out } = await audit('--no-chain', ...args, '--json')
      const { checks } = JSON.parse(out) as { checks: { id: string }[] }
      return { code, held: checks.find(({ id }) => id === 'receipts') }
    }

    test('the log is whole; the key in a spool is not one that the auditor pinned', async () => {
      const args = ['--registered-keys', '--receipts', file('spool'), '--since', join(file('spool'), 'checkpoint')]
      const { code, held } = await against(...args, '--log-key', service.vkey)
      expect(code).toBe(0)
      expect(held).toMatchObject({ status: 'passed', detail: expect.stringMatching(/^[1-9] receipts/) })
      expect(await against(...args)).toMatchObject({ code: 3, held })
    })

    test('it was cut back', async () => {
      const args = ['--no-chain', '--receipts', file('spool')]
      const { code, out } = await tamper('checkpoints', 'delete from checkpoints where size > 2', args)
      expect(code).toBe(1)
      expect(out).toMatch(/✗ failed +The log is what receipts and older notes say .*entries were removed/)
    })

    test('it has another history than somebody was shown, truly signed', async () => {
      const signer = await loadSigner(file('data/keys/log.json'))
      const { name, publicKey } = parseVkey(service.vkey)
      const body = printCheckpoint({ origin: name, size: 2, root: sha256(utf8('another history')) })
      const note = signNote(body, name, publicKey, (message) => signer.sign(message) as Uint8Array)
      writeFileSync(file('other.note'), note)
      // To a recorder that has found it out and kept what it was shown, too.
      const [known, url] = [readFileSync(join(file('spool'), 'checkpoint'), 'utf8'), service.url]
      const shown = { known: { note: known, receipt: null }, other: { note, receipt: null } }
      const found = { reason: 'consistency', found: '2026-01-01T00:00:00.000Z', asked: null, answer: null } as const
      cpSync(file('spool'), file('halted'), { recursive: true })
      writeFileSync(
        join(file('halted'), 'log-forked.json'),
        printFork({ ...found, url, logKey: service.vkey, ...shown }),
      )
      for (const args of [
        ['--since', file('other.note')],
        ['--receipts', file('halted')],
      ]) {
        const { code, held } = await against(...args)
        expect(code).toBe(1)
        expect(held).toMatchObject({ status: 'failed', detail: expect.stringContaining('was rewritten') })
      }
    })

    test.each(['"logIndex":0', 'hello'])(
      'what proves nothing (%s) is refused, not held against the log',
      async (text) => {
        const receipts = readFileSync(join(file('spool'), 'receipts.ndjson'), 'utf8')
        writeFileSync(file('wrong'), text === 'hello' ? text : receipts.replace(/"logIndex":\d+/, text))
        const both = ['--receipts', file('spool'), '--receipts', file('wrong')]
        const err = expect.stringContaining(`${file('wrong')}: `)
        expect(await audit('--no-chain', ...both)).toMatchObject({ code: 2, out: '', err })
      },
    )
  })

  test('an event that search no longer shows, of those looked up', async () => {
    const { code, out } = await tamper(
      'pack_keys',
      "update pack_keys set keys = overlay(keys placing '\\x0000000000000000' from 33) where first_event = 0",
    )
    expect(code).toBe(1)
    expect(out).toMatch(
      /✗ failed +Search, streams and proofs show the events .*is not found by its (action|actor|targets)/,
    )
    expect((await audit('--no-chain', '--sample', '0')).code).toBe(2)
    expect((await audit('--no-chain', '--sample', '100000')).out).toMatch(/ \d looked up, 1 in 100000/)
  })

  test('events that are gone', async () => {
    const { code, out } = await tamper('packs', `delete from packs where log_index = ${at}`)
    expect(code).toBe(1)
    expect(out).toContain('First at fault: log entry')
  })
})
