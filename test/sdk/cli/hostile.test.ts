// Strangers: servers, nodes, files and links that mean harm to whoever runs a command.
import { once } from 'node:events'
import { createWriteStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { HARMS, type HostileServer, startHostileServer } from '../../../scripts/lib/hostile-server.ts'
import { makeWorld } from '../../../scripts/lib/vectors/world.ts'
import { openApi } from '../../../sdk/src/audit/api.ts'
import { auditLedger } from '../../../sdk/src/audit/audit.ts'
import { readLines } from '../../../sdk/src/cli/input.ts'
import { KillickError } from '../../../sdk/src/core/errors.ts'
import { printProof } from '../../../sdk/src/core/proof.ts'
import { killick, killickProcess, type Run } from './support.ts'

const ID = '0192f0c1-7b1a-7c3e-9f00-5b1f6a3c2d10'
/** Clears the screen, sets the title, draws in colour and backwards, begins lines of its own. */
const EVIL =
  '\u001b[2J\u001b]0;x\u0007\u0085\u009b31m\u202eflip\u2066\ufeff\u200b\u2028VERIFIED\u2029\u007f\nVERIFIED, as far as final: pinned by you'

let dir: string
let home: HostileServer
let stranger: HostileServer
const file = (name: string) => join(dir, name)

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'killick-hostile-'))
  ;[home, stranger] = await Promise.all([startHostileServer(), startHostileServer()])
  await killick(['keygen', '--out', file('k.json')])
}, 30_000)
afterAll(async () => {
  await Promise.all([home.close(), stranger.close()])
  rmSync(dir, { recursive: true, force: true })
})
beforeEach(() => {
  for (const server of [home, stranger]) Object.assign(server, { reply: null, sent: 0, requests: server.requests })
  home.requests.length = stranger.requests.length = 0
})

/** Every command that speaks to a service, each with its own way of naming one. */
const commands = (url: string): Record<string, string[]> => ({
  verify: ['verify', `${url}/proof`],
  proof: ['proof', ID, '--url', url],
  share: ['share', ID, '--fields', 'action', '--url', url],
  revoke: ['share', '--revoke', ID, '--url', url],
  audit: ['audit', '--url', url],
  anchors: ['anchors', '--url', url],
  search: ['search', '--url', url],
  export: ['export', '--url', url],
  keys: ['keys', '--url', url],
  replay: ['replay', ID, '--url', url],
})
const runAll = async (
  list: Record<string, string[]>,
  env: Record<string, string> = {},
  run: typeof killick = killick,
): Promise<[string, Run][]> =>
  Promise.all(
    Object.entries(list).map(async ([name, args]): Promise<[string, Run]> => [name, await run(args, { env })]),
  )
const withToken = (list: Record<string, string[]>) =>
  Object.fromEntries(Object.entries(list).map(([name, args]) => [name, [...args, '--token', 'given']]))

function expectHarmless(name: string, { out, err }: Run): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: none of them may be there
  const raw = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/
  expect(raw.exec(out + err), name).toBe(null)
  expect(out + err, name).not.toMatch(/^VERIFIED/m)
  expect(out + err, name).not.toMatch(/TypeError|fault in Killick|\.ts:\d+/)
}

describe('the words of a stranger are shown and not obeyed', () => {
  test('of a service that refuses, by every command', async () => {
    stranger.reply = (_, response) => {
      const problem = { code: EVIL, title: EVIL, detail: EVIL, [EVIL]: EVIL }
      response.writeHead(403, { 'content-type': 'application/problem+json' }).end(JSON.stringify(problem))
    }
    const record = ['record', '--source', 'x', '--key', file('k.json'), '--spool', file('spool'), '--url', stranger.url]
    const input = JSON.stringify({ action: 'a', actor: { type: 'user', id: 'ada' }, targets: [] })
    const recorded = killick([...record, '--wait', '5'], { input })
    for (const [name, run] of [
      ...(await runAll(withToken(commands(stranger.url)))),
      ['record', await recorded] as const,
    ]) {
      expectHarmless(name, run)
      expect(run.out + run.err, name).toContain(String.raw`\u001b[2J`)
      expect(run.code, name).toBe(name === 'record' ? 1 : 2)
    }
  }, 60_000)

  test('of a service that answers nonsense about erasures, holds and retention', async () => {
    const said = ['--fields', 'all', '--reason', 'r']
    const list = [
      ...[['holds'], ['holds', '--place', 'C', '--reason', 'r'], ['holds', '--lift', ID, '--reason', 'r'], ['prune']],
      ...[['retention'], ['retention', '--set', 'p', '--days', '1'], ['retention', '--end', 'p'], ['erasures', ID]],
      ...[
        ['erasures', '--proposals'],
        ['erase', '--actor', 'x', ...said],
        ['erase', '--actor', 'x', ...said, '--dry-run'],
      ],
      ...[
        ['erase', '--confirm', ID],
        ['erase', '--refuse', ID, '--reason', 'r'],
        ['erase', '--confirm', ID, '--dry-run'],
      ],
    ]
    const proposal = {
      id: EVIL,
      logIndex: 1,
      target: EVIL,
      expires: EVIL,
      createdAt: EVIL,
      by: EVIL,
      endedBy: {},
      state: EVIL,
    }
    const counts = { events: 1, fields: 1, held: 1, unreadable: 1, id: EVIL, logIndex: 1, version: 1 }
    const answers = [
      ...[
        {},
        { ...counts, samples: [] },
        { ...counts, samples: [{ recordedAt: EVIL, source: EVIL, id: EVIL, fields: [{}] }] },
      ],
      { ...proposal, proposes: {}, action: 'retention.set' },
      { ...proposal, proposes: { fields: [EVIL], count: 1, reason: EVIL }, action: 'erasure.order' },
      {
        proposals: [{ ...proposal, proposes: { covers: { source: {} } }, action: 'retention.set' }],
        holds: [{ id: EVIL, logIndex: 1, createdAt: EVIL, covers: { source: {} }, state: EVIL }],
        policies: [{ id: EVIL, version: 1, covers: {}, contentsDays: 3, state: EVIL, expired: 2, due: EVIL, held: [] }],
        clock: { size: EVIL, time: EVIL },
      },
    ]
    for (const answer of answers) {
      stranger.reply = (_, response) => void response.end(JSON.stringify(answer))
      for (const args of list) {
        const name = `${args.join(' ')} ${JSON.stringify(answer)}`
        const run = await killick([...args, '--url', stranger.url, '--token', 'given'], { isTerminal: true })
        expectHarmless(name, run)
        expect(run.out + run.err, name).not.toMatch(/undefined|\[object/)
      }
    }
  }, 60_000)

  test('of a service that answers, and of a redirect', async () => {
    const row = {
      ...{
        target: EVIL,
        chainId: 1,
        contract: `0x${'c'.repeat(40)}`,
        logId: `0x${'d'.repeat(64)}`,
        size: 1,
        events: 1,
      },
      ...{ root: 'A'.repeat(43), state: EVIL, block: null, time: null, confirmations: null, gasUsed: null, fee: null },
      transaction: null,
    }
    const party = { type: EVIL, id: EVIL, name: EVIL }
    const fields = { action: EVIL, outcome: EVIL, actor: party, targets: [party] }
    const event = { id: EVIL, source: EVIL, recordedAt: EVIL, fields }
    const made = { id: EVIL, url: 'https://x.example/p/\u202e', leafHash: EVIL, fields: [EVIL], expires: EVIL }
    stranger.reply = (request, response) => {
      if (request.url === '/away')
        return void response.writeHead(302, { location: 'https://x.example/\u009b31m' }).end()
      response.end(JSON.stringify(request.method === 'POST' ? made : { anchors: [row], events: [event], next: null }))
    }
    const { share, anchors, search } = withToken(commands(stranger.url)) as Record<string, string[]>
    const table = await killick(search!, { isTerminal: true })
    expectHarmless('search', table)
    expect(table.out).toMatch(/^.*recorded \(UTC\).*\n.*u001b\[2J.*\n$/)
    const list = {
      share: share!,
      anchors: anchors!,
      search: search!,
      json: [...anchors!, '--json'],
      away: ['verify', `${stranger.url}/away`],
    }
    for (const [name, run] of await runAll(list)) {
      expectHarmless(name, run)
      expect(run.code, name).toBe(name === 'away' ? 2 : 0)
      if (name === 'json') expect(JSON.parse(run.out).anchors[0].target).toBe(EVIL)
    }
  }, 60_000)

  test('of a proof, of a node, of an argument and of a file name', async () => {
    const { proof } = await makeWorld()
    writeFileSync(file('evil.json'), printProof({ ...proof, log: { ...proof.log, origin: EVIL } }))
    stranger.reply = (request, response) => {
      let body = ''
      request.on('data', (chunk) => {
        body += chunk
      })
      request.on('end', () => {
        const { method } = JSON.parse(body)
        const chainId = `0x${proof.anchors[0]!.chainId.toString(16)}`
        response.end(JSON.stringify(method === 'eth_chainId' ? { result: chainId } : { error: { message: EVIL } }))
      })
    }
    const list = {
      proof: ['verify', file('evil.json'), '--rpc', stranger.url],
      json: ['verify', file('evil.json'), '--rpc', stranger.url, '--json'],
      argument: ['verify', EVIL],
      option: [`--${EVIL}`],
    }
    const env = { KILLICK_RPC_URL: stranger.url, KILLICK_CHAIN_KEY: `0x${'1'.repeat(64)}`, KILLICK_ORIGIN: 'x' }
    const runs = [...(await runAll(list, env)), ...(await runAll({ deploy: ['deploy'] }, env, killickProcess))]
    for (const [name, run] of runs) {
      expectHarmless(name, run)
      expect(run.out + run.err, name).toContain('u001b[2J')
    }
  }, 60_000)
})

test('what is no answer, no proof or no TLS is told with where it came from', async () => {
  stranger.reply = (_, response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<html></html>')
  const { search, keys, verify, proof } = commands(stranger.url) as { [name: string]: string[] }
  expect((await killick(search!)).err).toContain(
    `${stranger.url}/v1/events?limit=50 does not answer in JSON: Unexpected`,
  )
  expect((await killick(keys!)).err).toContain(
    `${stranger.url}/v1/sources?limit=500 does not answer in JSON: Unexpected`,
  )
  expect((await killick(verify!)).err).toContain(`${stranger.url}/proof: Unexpected text`)
  expect((await killick(proof!)).err).toContain(`/v1/proofs/${ID}: Unexpected text`)
  writeFileSync(file('empty.json'), '')
  expect((await killick(['verify', file('empty.json')])).err).toContain('empty.json: Unexpected text')
  expect((await killick(['verify', '-'])).err).toContain('verify: stdin: Unexpected text')
  expect((await killick(['verify', '#AAAA'])).err).not.toContain('AAAA')
  const secure = await killick(['keys', '--url', stranger.url.replace('http:', 'https:')])
  expect(secure.err).toMatch(/cannot be reached: TLS: wrong version number$/m)
})

describe('a token', () => {
  const env = () => ({ KILLICK_URL: home.url, KILLICK_TOKEN: 'secret' })
  const given = (server: HostileServer) => server.requests.map(({ authorization }) => authorization)

  test('of the environment goes to the origin of KILLICK_URL, by every command, and to no other', async () => {
    for (const [name, run] of await runAll(commands(stranger.url), env())) {
      expect(run.code, name).toBe(2)
      // Without a token there is nothing to share, and nobody is asked.
      if (name === 'share' || name === 'revoke') expect(run.err).toContain('KILLICK_TOKEN was not sent')
    }
    expect(stranger.requests.length).toBe(8)
    expect(given(stranger).filter((each) => each !== undefined)).toEqual([])
    await runAll(commands(stranger.url), { KILLICK_TOKEN: 'secret' })
    expect(given(stranger).filter((each) => each !== undefined)).toEqual([])

    await runAll(commands(home.url), env())
    expect(home.requests.length).toBe(10)
    expect(new Set(given(home))).toEqual(new Set(['Bearer secret']))
  }, 60_000)

  test('that is given goes where it was given for; a redirect takes it nowhere', async () => {
    stranger.reply = (_, response) => void response.writeHead(307, { location: `${home.url}/elsewhere` }).end()
    for (const [name, run] of await runAll(withToken(commands(stranger.url)), env()))
      expect([run.code, run.err], name).toEqual([2, expect.stringContaining('not followed')])
    expect(new Set(given(stranger))).toEqual(new Set(['Bearer given']))
    expect(home.requests).toEqual([])
  }, 60_000)

  test('crosses no network in the clear unless that is asked for', async () => {
    // A name that leads nowhere: had it been asked, that would be told instead.
    const url = 'http://ledger.invalid'
    const environment = { KILLICK_URL: url, KILLICK_TOKEN: 'secret' }
    for (const [name, run] of await runAll(commands(url), environment)) {
      expect(run.code, name).toBe(2)
      expect(run.err, name).toContain('over http')
    }
    const asked = ['verify', `${url}/x`, '--plain-http']
    expect(await killick(asked, { env: environment })).toMatchObject({
      code: 3,
      err: expect.stringContaining('reached'),
    })
  }, 60_000)

  test('that was not sent is spoken of where one is asked for', async () => {
    stranger.reply = (_, response) => void response.writeHead(401).end('{"code":"unauthorized"}')
    const { err } = await killick(['anchors', '--url', stranger.url], { env: env() })
    expect(err).toMatch(/401.*KILLICK_TOKEN was not sent/)
  })
})

describe('input is read to its limit, and no further', () => {
  const env = { NODE_OPTIONS: '--max-old-space-size=64' }

  test.each([
    ['a device as a proof', ['verify', '/dev/zero'], {}],
    ['a device on stdin', ['verify', '-'], { stdin: '/dev/zero' }],
    ['a device as a log key', ['verify', '-', '--log-key', '/dev/zero'], {}],
    ['a device as a source key', ['verify', '-', '--source-key', 'x=/dev/zero'], {}],
  ])(
    '%s',
    async (_, args, options) => {
      const run = await killickProcess(args, { ...options, env })
      expect(run).toMatchObject({ code: 2, out: '', err: expect.stringMatching(/larger than/) })
    },
    30_000,
  )

  test('an export of any size is verified in little memory', async () => {
    const line = `{"id":"x","proof":null,"padding":"${'x'.repeat(3 << 20)}"}\n`
    const output = createWriteStream(file('export.ndjson'))
    for (let i = 0; i < 32; i++) if (!output.write(line)) await once(output, 'drain')
    await finished(output.end())
    const { code, out } = await killickProcess(['verify', file('export.ndjson'), '--json'], { env })
    expect(JSON.parse(out.trim().split('\n').at(-1)!)).toMatchObject({ events: 32, undecided: 32 })
    expect(code).toBe(3)
    // Behind a line without end nothing is found, which the counts alone would hide.
    const row = '{"id":"x","proof":null}\n'
    writeFileSync(file('cut.ndjson'), `${row}{"id":"y","proof":"${'x'.repeat(5 << 20)}"}\n${row}`)
    const cut = await killickProcess(['verify', file('cut.ndjson')], { env })
    expect(cut).toMatchObject({ code: 2, out: expect.stringContaining('lines behind it may not have been read') })
  }, 30_000)

  test('a line without end, to be recorded', async () => {
    const args = ['record', '--source', 'x', '--key', file('k.json'), '--spool', file('spool2'), '--url', stranger.url]
    const run = await killickProcess([...args, '--wait', '0'], { stdin: '/dev/zero', env })
    expect(run).toMatchObject({ code: 2, err: expect.stringContaining('Line 1: ') })
  }, 30_000)

  test('a line that is too long is not taken for one that ends where it is cut', async () => {
    const read = async (...chunks: string[]) => {
      const lines: string[] = []
      for await (const line of readLines(Readable.from(chunks.map((chunk) => Buffer.from(chunk))), 4))
        lines.push(`${line}`)
      return lines
    }
    for (const chunks of [['ab  \rx\ncd\n'], ['ab  \r', 'x\ncd\n']])
      expect(await read(...chunks)).toEqual(['ab  \r', 'cd'])
    for (const chunks of [
      ['ab  \rx', '\ncd\n'],
      ['ab  \r', 'xx', '\ncd\n'],
    ])
      expect(await read(...chunks)).toEqual(['ab  \r'])
    for (const chunks of [['abcd\r\nef'], ['abcd\r', '\nef']]) expect(await read(...chunks)).toEqual(['abcd', 'ef'])
  })

  test('a flood behind a link, and behind every command', async () => {
    // To an auditor a service that floods is at fault.
    const list = withToken(commands(`${stranger.url}/flood`))
    for (const [name, { code }] of await runAll(list, env, killickProcess))
      expect(name === 'audit' ? [1] : [2, 3], name).toContain(code)
    // An answer has 32 MiB at most; what stands in the buffers of the system on the way is sent too. An auditor asks several times.
    expect(stranger.sent / Object.keys(list).length).toBeLessThan(44e6)
  }, 60_000)

  test('bytes that are no text, and a byte order mark, wherever they come from', async () => {
    const { proof } = await makeWorld()
    const good = Buffer.from(printProof(proof))
    const at = good.indexOf('\\u2014')
    const foreign = Buffer.concat([good.subarray(0, at), Buffer.from([0xff]), good.subarray(at + 6)])
    for (const [i, bytes] of [foreign, Buffer.concat([Buffer.from('\ufeff'), good])].entries()) {
      writeFileSync(file(`${i}.json`), bytes)
      stranger.reply = (_, response) => void response.end(bytes)
      const runs = await runAll({ file: ['verify', file(`${i}.json`)], url: ['verify', stranger.url] })
      expect(runs.map(([, { code }]) => code)).toEqual([2, 2])
    }
  }, 30_000)
})

describe('--json', () => {
  test.each([
    [['verify', '--json'], 2, 'usage'],
    [['verify', '--json', '-', '--rcp', 'x'], 2, 'usage'],
    [['verify', '/does/not/exist', '--json'], 2, 'usage'],
    [['verify', '-', '--json'], 2, 'json_invalid'],
    [['verify', 'http://127.0.0.1:1/', '--json'], 3, 'unreachable'],
    [['audit', '--json'], 2, 'usage'],
    [['audit', '--json', '--url', 'http://127.0.0.1:1'], 3, 'unreachable'],
    [['anchors', '--json', '--url', 'http://127.0.0.1:1'], 3, 'unreachable'],
  ] as [string[], number, string][])('%j prints a document', async (args, exit, code) => {
    const run = await killick(args)
    expect(run).toMatchObject({ code: exit, err: '' })
    expect(JSON.parse(run.out)).toEqual({ outcome: null, error: { code, message: expect.any(String) } })
  })
})

describe('nonsense from the service under audit is a finding, and no accident', () => {
  const good = { '/v1/log': { vkey: '', targets: [], successions: [] } }
  const nonsense = [null, '', 5, true, [], 'hello', '0x', {}, { anchors: [null] }, { anchors: [{}], next: 5 }]
  const audit = () => auditLedger(openApi(stranger.url, undefined), { logKeys: [], sourceKeys: [], logs: [], urls: [] })

  test.each(['/v1/log', '/v1/anchors', '/checkpoint', '/v1/sources'])('%s', async (path) => {
    const { proof, trust } = await makeWorld()
    good['/v1/log'].vkey = trust.logKeys[0]!
    for (const answer of nonsense) {
      stranger.reply = (request, response) => {
        const asked = request.url!.split('?')[0]!
        if (asked === path) return void response.end(JSON.stringify(answer))
        if (asked === '/checkpoint') return void response.end(proof.checkpoint)
        if (asked === '/v1/batches') return void response.end()
        response.end(JSON.stringify(asked === '/v1/log' ? good[asked] : { anchors: [], sources: [], next: null }))
      }
      const { checks } = await audit()
      const check = {
        '/v1/log': 'checkpoint',
        '/checkpoint': 'checkpoint',
        '/v1/anchors': 'anchors.log',
        '/v1/sources': 'registry',
      }[path]
      expect(
        checks.find(({ id }) => id === check),
        JSON.stringify(answer),
      ).toMatchObject({ status: 'failed' })
    }
  })

  test('a list that never ends', async () => {
    let page = 0
    stranger.reply = (request, response) => {
      if (request.url!.startsWith('/v1/anchors')) page += 1
      response.end(JSON.stringify(request.url === '/v1/log' ? good['/v1/log'] : { anchors: [], next: `${page}` }))
    }
    const { checks } = await audit()
    expect(checks.find(({ id }) => id === 'anchors.log')).toMatchObject({
      status: 'failed',
      detail: expect.stringContaining('does not come to an end'),
    })
    expect(page).toBe(1)
  })

  test.each(HARMS)('%s', async (how) => {
    const api = openApi(`${stranger.url}/${how}`, 'token', { patience: 0, timeoutMs: 300 })
    for (const ask of [() => api.json('/v1/log'), async () => void (await api.lines('/v1/batches', 1000).next())]) {
      const before = performance.now()
      await expect(ask()).rejects.toBeInstanceOf(KillickError)
      expect(performance.now() - before).toBeLessThan(2_000)
    }
    expect(stranger.sent).toBeLessThan(160e6)
    expect(stranger.requests.filter(({ line }) => line.includes('elsewhere'))).toEqual([])
  })
})
