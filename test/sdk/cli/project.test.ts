// A project from nothing: init, register, and the commands that read killick.json, against one service with a chain.
import { once } from 'node:events'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deflateRawSync } from 'node:zlib'
import { openAuditLog } from '@killick/sdk'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nameOf } from '../../../sdk/src/cli/init-files.ts'
import { replaceFile } from '../../../sdk/src/cli/init-state.ts'
import { isSourceName } from '../../../sdk/src/core/event.ts'
import { parseProof } from '../../../sdk/src/core/proof.ts'
import { ADMIN, READER, type TestService, testService } from '../../anchor-service/support/service.ts'
import { type LocalChain, startChain } from '../../support/local-chain.ts'
import { CTRL_C, CTRL_D, ENTER, killick, killickAsked, killickProcess, type Run, type RunOptions } from './support.ts'

let chain: LocalChain
let service: TestService
let root: string
let token: string
let readerToken: string

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'killick-project-'))
  chain = await startChain()
  service = await testService({
    KILLICK_RPC_URL: chain.url,
    KILLICK_CONTRACT: await chain.deployAnchorLog(),
    KILLICK_CHAIN_KEY: chain.key(1),
    KILLICK_ANCHOR_INTERVAL_MS: '100',
    KILLICK_CONFIRMATIONS: '1',
  })
  for (const [name, value] of Object.entries({ admin: ADMIN, reader: READER }))
    writeFileSync(join(root, name), `${value}\n`)
  token = join(root, 'admin')
  readerToken = join(root, 'reader')
}, 60_000)

afterAll(async () => {
  await service?.stop()
  await chain?.stop()
  rmSync(root, { recursive: true, force: true })
})

let count = 0
/** A new project: an empty folder with a name of its own, which becomes the source's. */
function project(): { cwd: string; source: string; file: (name: string) => string } {
  count += 1
  const source = `app-${count}`
  const cwd = join(root, source)
  mkdirSync(cwd)
  return { cwd, source, file: (name) => join(cwd, name) }
}

const json = (file: string) => JSON.parse(readFileSync(file, 'utf8'))

describe('killick init', () => {
  test('from an empty folder to a verified proof, without a question', { timeout: 60_000 }, async () => {
    const { cwd, source, file } = project()
    const args = ['init', '--url', service.url, '--token-file', token, '--yes']
    const { code, out, err } = await killick(args, { cwd })
    expect(err).toContain('✓ Key made: ')
    expect(out).toMatch(/^VERIFIED, as far as \w+: by the pins in killick\.json, taken on first use$/m)
    expect(out).toMatch(/the log’s key +pinned in killick\.json on first use, as http\S+ had it at 20/)
    expect(code).toBe(0)
    const link = /The link +(http\S+)/.exec(out)![1]!
    expect((await fetch(link)).status).toBe(200)

    expect(statSync(file(`${source}.key.json`)).mode & 0o777).toBe(0o600)
    const config = json(file('killick.json'))
    expect(config).toMatchObject({
      ...{ url: service.url, source, key: `${source}.key.json`, spool: 'killick-spool', logKey: service.vkey },
      pins: {
        firstUse: { from: service.url },
        sourceKeys: [{ source, jwk: json(file(`${source}.pub.json`)) }],
        logs: [{ chainId: 31337, contract: expect.stringMatching(/^0x/), logId: expect.stringMatching(/^0x/) }],
        rpcs: [chain.url],
      },
    })
    expect(readFileSync(file('.gitignore'), 'utf8').split('\n')).toEqual(
      expect.arrayContaining([`/${source}.key.json`, '/killick-spool']),
    )
    // No token is anywhere, and nothing is left of the steps.
    const written = readdirSync(cwd).filter((name) => statSync(file(name)).isFile())
    for (const name of written) expect(readFileSync(file(name), 'utf8'), name).not.toContain(ADMIN)
    expect(written.filter((name) => name.includes('init') || name.endsWith('.part'))).toEqual([])

    // What it wrote is enough to check the proof, and to record.
    expect(await killick(['verify', file('killick-proof.json')], { cwd })).toMatchObject({ code: 0 })
    const input = '{"action":"user.login","actor":{"type":"user","id":"ada"},"targets":[]}'
    expect(await killick(['record'], { cwd, input })).toMatchObject({ code: 0 })
  })

  test('a folder that has a killick.json is left alone, unless told otherwise', { timeout: 60_000 }, async () => {
    const { cwd, source, file } = project()
    const args = ['init', '--url', service.url, '--token-file', token, '--yes']
    expect((await killick(args, { cwd })).code).toBe(0)
    const before = readdirSync(cwd).map((name) => [name, statSync(file(name)).mtimeMs])
    const again = await killick(args, { cwd })
    expect(again).toMatchObject({ code: 2, out: '' })
    expect(again.err).toMatch(
      new RegExp(`killick.json is here already and names the service ${service.url}.*${source}`),
    )
    expect(again.err).toMatch(/Nothing was changed.*killick init --again/)
    expect(readdirSync(cwd).map((name) => [name, statSync(file(name)).mtimeMs])).toEqual(before)

    // Told so, it goes through the steps, and changes nothing that is there.
    const kept = [file('killick.json'), file(`${source}.key.json`), file('audit-example.mjs')].map((name) =>
      readFileSync(name, 'utf8'),
    )
    // What is to be done next is told as Yarn's Plug'n'Play needs it, which says so in this way: without, npx fetches a stranger's killick.
    process.versions.pnp = '3'
    const told = await killick(['init', '--again', '--token-file', token, '--yes'], { cwd })
    delete process.versions.pnp
    expect(told).toMatchObject({ code: 0, err: expect.stringContaining(`The key is registered for ${source}`) })
    expect(told.err).toMatch(/ yarn node audit-example.mjs,.* yarn killick verify .* yarn killick search /s)
    expect(
      [file('killick.json'), file(`${source}.key.json`), file('audit-example.mjs')].map((name) =>
        readFileSync(name, 'utf8'),
      ),
    ).toEqual(kept)
    const other = await killick(['init', '--again', '--source', 'other', '--token-file', token, '--yes'], { cwd })
    expect(other).toMatchObject({ code: 2, err: expect.stringContaining(`is not what killick.json says (${source})`) })
    // Another key would be registered, and another spool be left aside, without killick.json naming them.
    for (const [name, path, is] of [
      ['key', 'other.key.json', `${source}.key.json`],
      ['spool', 'elsewhere', 'killick-spool'],
      ['spool', 'memory', 'killick-spool'],
    ] as const)
      expect(
        await killick(['init', '--again', `--${name}`, path, '--token-file', token, '--yes'], { cwd }),
      ).toMatchObject({
        code: 2,
        err: expect.stringContaining(`--${name} ${path} is not what killick.json says (${file(is)})`),
      })
    expect(existsSync(file('other.key.json'))).toBe(false)
    const same = ['--key', `${source}.key.json`, '--spool', './killick-spool/']
    expect(await killick(['init', '--again', ...same, '--token-file', token, '--yes'], { cwd })).toMatchObject({
      code: 0,
    })
  })

  test('with questions, and interrupted at each of them: it goes on where it was', { timeout: 60_000 }, async () => {
    const { cwd, source, file } = project()
    const url = [/Service.*: $/, `${service.url}${ENTER}`] as const
    const name = [/Name of this source.*: $/, ENTER] as const
    const secret = [/Admin token of .*: $/, `${ADMIN}${ENTER}`] as const
    const pin = [/Pin this.*: $/, `y${ENTER}`] as const
    const stop = (shown: RegExp, keys = CTRL_C) => [shown, keys] as const

    const first = await killickAsked(['init'], [stop(url[0])], { cwd })
    expect(first).toMatchObject({ code: 130, err: expect.stringContaining('killick init goes on where it was') })
    expect(existsSync(file('killick.json'))).toBe(false)
    expect((await killickAsked(['init'], [url, stop(name[0], CTRL_D)], { cwd })).code).toBe(130)
    // The service is not asked for again; a wrong token is, and no token shows on the screen.
    const third = await killickAsked(
      ['init', '--spool', 'events'],
      [name, [secret[0], `wrong${ENTER}`], stop(secret[0])],
      { cwd },
    )
    expect(third).toMatchObject({ code: 130, err: expect.stringMatching(/401 \(unauthorized\)/) })
    expect(third.err).not.toMatch(/Service.*: |wrong/)
    const key = readFileSync(file(`${source}.key.json`), 'utf8')
    const fourth = await killickAsked(['init'], [secret, stop(pin[0])], { cwd })
    expect(fourth).toMatchObject({ code: 130, err: expect.stringContaining(service.vkey) })
    expect(fourth.err).not.toContain(ADMIN)
    expect(existsSync(file('killick.json'))).toBe(false)
    const last = await killickAsked(['init'], [secret, pin], { cwd })
    expect(last).toMatchObject({ code: 0, out: expect.stringContaining('VERIFIED') })
    expect(readFileSync(file(`${source}.key.json`), 'utf8')).toBe(key)
    expect(existsSync(file('.killick-init.json'))).toBe(false)
    expect(json(file('killick.json')).spool).toBe('events')
  })

  test('ended while it waited for the anchor: the event is not recorded twice', { timeout: 60_000 }, async () => {
    const { cwd, source, file } = project()
    const args = ['init', '--url', service.url, '--token-file', token, '--yes', '--json']
    const first = JSON.parse((await killick(args, { cwd })).out)
    // What a run has left that was ended after it had recorded.
    const { url, key, spool } = json(file('killick.json'))
    const left = () =>
      writeFileSync(file('.killick-init.json'), JSON.stringify({ url, source, key, spool, event: first.event }))
    left()
    const again = await killick(args, { cwd })
    expect(again).toMatchObject({ code: 0, err: expect.stringContaining('Going on where an earlier run ended') })
    expect(JSON.parse(again.out)).toMatchObject({ outcome: 'verified', event: first.event })
    const found = await killick(['search', '--source', source, '--token-file', readerToken], { cwd })
    expect(
      found.out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).id),
    ).toEqual([first.event])

    // Begun anew as another source: what the earlier one recorded is not its event, nor is the key its own.
    left()
    rmSync(file('killick.json'))
    const other = `${source}-b`
    const stuck = await killick([...args, '--source', other], { cwd })
    expect(stuck).toMatchObject({ code: 2, out: expect.stringContaining(`spool belongs to the source ${source}`) })
    expect([existsSync(file('killick.json')), stuck.err]).toEqual([false, expect.not.stringContaining('Registered')])
    const anew = await killick([...args, '--source', other, '--spool', 'memory'], { cwd })
    expect(anew.code, anew.err).toBe(0)
    const { outcome, event } = JSON.parse(anew.out)
    expect([outcome, event === first.event, json(file('killick.json')).key]).toEqual([
      'verified',
      false,
      `${other}.key.json`,
    ])
  })

  test('folders get names of their own, whatever they are written in', () => {
    const names = ['日本', '中国', 'café', 'cafè', 'app-日本', 'app-中国', 'é'.repeat(80)].map((name) =>
      nameOf(join(root, name)),
    )
    expect(new Set(names).size).toBe(names.length)
    expect(names.filter((name) => !isSourceName(name))).toEqual([])
    // One system writes an accent as a letter of its own, another does not.
    expect(nameOf(join(root, 'cafe\u0301'))).toBe(names[2])
    expect(['My App', 'killick', '---'].map((name) => nameOf(join(root, name)))).toEqual(['my-app', 'my-app', 'my-app'])
  })

  test('what cannot be written is named as the person knows it', () => {
    const file = join(root, 'nowhere', '.killick-init.json')
    expect(() => replaceFile(file, '{}')).toThrow(`${file}: there is no such file or folder`)
  })

  test.each([
    ['no terminal', [], /no terminal to ask at; give --url and --source and --yes/, 2],
    [
      'no token',
      ['--url', 'SERVICE', '--yes'],
      /token is missing.*killick register --source app-\d+ --key app-\d+\.pub\.json/,
      2,
    ],
    ['a wrong token', ['--url', 'SERVICE', '--yes', '--token', 'wrong'], /401 \(unauthorized\).*killick register/, 2],
    ['a reader’s token', ['--url', 'SERVICE', '--yes', '--token', READER], /403 \(forbidden\).*admin token/, 2],
    ['no network', ['--url', 'http://127.0.0.1:1', '--yes', '--token', 'x'], /127\.0\.0\.1:1.* cannot be reached/, 3],
    [
      'a password in the URL',
      ['--url', 'http://ada:geheim@127.0.0.1:1', '--yes', '--token', 'x'],
      /^(?!.*geheim).*127\.0\.0\.1:1 holds a user name or password/,
      2,
    ],
    ['no URL', ['--url', 'audit', '--yes', '--token', 'x'], /audit is not an http or https URL/, 2],
    [
      'a log that is not the pinned one',
      ['--url', 'SERVICE', '--yes', '--log-key', 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW'],
      /keeps the log .*, not the pinned one, PeterNeumann/,
      2,
    ],
    ['a name that no source has', ['--url', 'SERVICE', '--yes', '--source', 'My App'], /My App: a source has/, 2],
  ] as [string, string[], RegExp, number][])('%s: one sentence, and no killick.json', async (_, args, words, code) => {
    const { cwd, source, file } = project()
    writeFileSync(file('.npmignore'), 'test')
    const run = await killick(['init', ...args.map((arg) => (arg === 'SERVICE' ? service.url : arg))], { cwd })
    expect(run.err).toMatch(words)
    expect([run.code, run.out]).toEqual([code, ''])
    expect(run.err).not.toMatch(/ at .*\.ts:\d+/)
    expect(existsSync(file('killick.json'))).toBe(false)
    // A key that is left here, until somebody has a token, is one that git and npm leave out.
    if (existsSync(file(`${source}.key.json`)))
      for (const name of ['.gitignore', '.npmignore'])
        expect(readFileSync(file(name), 'utf8')).toMatch(new RegExp(`^/${source}\\.key\\.json$`, 'm'))
  })

  test('a key that others can read, and a spool of another source, are refused', async () => {
    const [mine, theirs] = [project(), project()]
    const keyFile = mine.file(`${mine.source}.key.json`)
    await killick(['keygen', '--out', keyFile])
    chmodSync(keyFile, 0o644)
    const args = ['init', '--url', service.url, '--token-file', token, '--yes']
    expect(await killick(args, mine)).toMatchObject({ code: 2, err: expect.stringContaining(`chmod 600 ${keyFile}`) })
    chmodSync(keyFile, 0o600)
    await openAuditLog({ url: 'http://127.0.0.1:1', source: 'other', key: keyFile, spool: theirs.file('spool') }).then(
      (log) => log.close({ timeoutMs: 0 }),
    )
    const spool = ['--spool', theirs.file('spool')]
    const run = await killick([...args, ...spool], mine)
    expect(run).toMatchObject({ code: 2, err: expect.stringMatching(/spool.*other/) })
  })

  test('where the service has no chain, no anchor is waited for', { timeout: 60_000 }, async () => {
    const own = await testService()
    try {
      const { cwd, file } = project()
      const args = ['init', '--url', own.url, '--token-file', token, '--yes']
      const { code, out, err } = await killick(args, { cwd })
      expect(err).toMatch(/\nNot anchored: the service has no chain\. Everything else is set up; once it has one, /)
      expect(err).not.toContain('Waiting')
      expect([code, existsSync(file('killick.json'))]).toEqual([3, true])
      expect(out).toMatch(/The link +http/)
    } finally {
      await own.stop()
    }
  })

  test('a spool that another process has open is refused', async () => {
    const { cwd, source, file } = project()
    await killick(['keygen', '--out', file(`${source}.key.json`)])
    const log = await openAuditLog({
      url: 'http://127.0.0.1:1',
      source,
      key: file(`${source}.key.json`),
      spool: file('killick-spool'),
    })
    try {
      const run = await killickProcess(['init', '--url', service.url, '--token-file', token, '--yes'], { cwd })
      expect(run).toMatchObject({ code: 2, err: expect.stringMatching(/Another recorder .*is using the spool/) })
      expect(existsSync(file('killick.json'))).toBe(false)
      const config = { url: service.url, source, key: `${source}.key.json`, spool: 'killick-spool' }
      writeFileSync(file('killick.json'), JSON.stringify(config))
      expect(await killick(['record', '--json'], { cwd, input: '' })).toMatchObject({
        code: 2,
        out: expect.stringContaining('"spool_locked"'),
      })
    } finally {
      await log.close({ timeoutMs: 0 })
    }
  })
})

describe('killick.json', () => {
  const run = (args: string[], text: string, options: RunOptions = {}) => {
    const { cwd, file } = project()
    writeFileSync(file('killick.json'), text)
    return killick(args, { ...options, cwd })
  }

  test.each([
    ['{"ulr":"http://127.0.0.1:1"}', /there is no member ulr: did you mean url\?/],
    ['{"pins":{"logkeys":[]}}', /there is no member pins\.logkeys: did you mean pins\.logKeys\?/],
    ['{"token":"secret"}', /a token must not be kept here/],
    ['{', /cannot be read as JSON/],
  ])('%s stops every command that reads it, with what was meant', async (text, words) => {
    for (const command of ['init', 'search', 'verify'])
      expect(await run([command, ...(command === 'verify' ? ['x', '--json'] : [])], text)).toMatchObject({
        code: 2,
        ...(command === 'verify'
          ? { out: expect.stringContaining('"config_invalid"') }
          : { err: expect.stringMatching(words) }),
      })
    expect(await killick(['search', '--config', join(root, 'none.json')])).toMatchObject({
      code: 2,
      err: expect.stringContaining('none.json does not exist'),
    })
  })

  test('options go before the environment, and that before the file', async () => {
    const asked = async (args: string[], env: Record<string, string>) =>
      /127\.0\.0\.1:\d+/.exec((await run(['search', ...args], '{"url":"http://127.0.0.1:1"}', { env })).err)![0]
    expect(await asked([], {})).toBe('127.0.0.1:1')
    expect(await asked([], { KILLICK_URL: 'http://127.0.0.1:2' })).toBe('127.0.0.1:2')
    expect(await asked(['--url', 'http://127.0.0.1:3'], { KILLICK_URL: 'http://127.0.0.1:2' })).toBe('127.0.0.1:3')
  })

  test('a killick.json gets no token of the environment: somebody may have sent it', async () => {
    const config = JSON.stringify({ url: service.url })
    const refused = await run(['search'], config, { env: { KILLICK_TOKEN: READER } })
    expect(refused).toMatchObject({
      code: 2,
      err: expect.stringMatching(/KILLICK_TOKEN was not sent.*set KILLICK_URL=/),
    })
    const env = { KILLICK_TOKEN: READER, KILLICK_URL: service.url }
    expect(await run(['search'], config, { env })).toMatchObject({ code: 0 })
  })
})

describe('in a project', () => {
  let cwd: string
  let source: string
  let file: (name: string) => string
  let ids: string[]
  const run = (...args: string[]) => killick([...args, '--token-file', readerToken], { cwd })

  beforeAll(async () => {
    ;({ cwd, source, file } = project())
    const made = await killick(['init', '--url', service.url, '--token-file', token, '--yes'], { cwd })
    expect(made.code, made.err).toBe(0)
    const event = (i: number) => ({
      ...{ action: i === 2 ? 'invoice.reject' : 'invoice.approve', actor: { type: 'user', id: `u-${i}`, name: 'Zoë' } },
      ...{ targets: [{ type: 'invoice', id: `i-${i}` }], outcome: i === 1 ? 'denied' : 'success' },
    })
    const recorded = await killick(['record', '--ids'], {
      cwd,
      input: [0, 1, 2].map((i) => JSON.stringify(event(i))).join('\n'),
    })
    ids = recorded.out.trim().split('\n')
    expect((await run('proof', ids.at(-1)!, '--wait', '60', '--out', file('proof.json'))).code).toBe(0)
  }, 60_000)

  test('search finds by each condition, and says if there is more', async () => {
    const found = async (...args: string[]) =>
      (await run('search', '--source', source, ...args)).out
        .trim()
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line).id)
    expect(await found('--action', 'invoice.*')).toEqual(ids.toReversed())
    expect(await found('--outcome', 'denied')).toEqual([ids[1]])
    expect(await found('--actor', ' u-2 ')).toEqual([ids[2]])
    expect(await found('--target', 'i-0')).toEqual([ids[0]])
    // Recorded a while ago, which may be yesterday.
    const dayOf = (id: string) =>
      new Date(Number.parseInt(id.replace('-', '').slice(0, 12), 16)).toISOString().slice(0, 10)
    const days = ['--from', dayOf(ids[0]!), '--to', dayOf(ids[2]!)]
    expect(await found(...days, '--action', 'invoice.*')).toHaveLength(3)
    expect(await found('--to', '2020-01-01')).toEqual([])
    // As people write what has no end. The day behind it is of a year that no time can be printed in.
    expect(await found('--to', '9999-12-31', '--action', 'invoice.*')).toEqual(ids.toReversed())
    const part = await run('search', '--source', source, '--limit', '2')
    expect(part).toMatchObject({ code: 0, err: 'These are the newest 2; there are more: --limit lists them.\n' })
    expect(await run('search', '--from', 'yesterday')).toMatchObject({
      code: 2,
      err: expect.stringContaining('--from is not a time'),
    })
    expect(await run('search', '--outcome', 'maybe', '--json')).toMatchObject({
      code: 2,
      out: expect.stringContaining('request_invalid'),
    })
  })

  test('on a terminal search and keys print tables', async () => {
    const table = await killick(
      ['search', '--source', source, '--action', 'invoice.reject', '--token-file', readerToken],
      { cwd, isTerminal: true },
    )
    expect(table.out).toMatch(
      new RegExp(
        `recorded \\(UTC\\) +action +outcome[^\\n]*\\n[^\\n]*invoice\\.reject .*success.* user u-2 \\(Zoë\\) +invoice i-2 +${source} +${ids[2]}`,
      ),
    )
    const keys = await killick(['keys', '--source', source, '--token-file', readerToken], { cwd, isTerminal: true })
    expect(keys.out).toMatch(new RegExp(`${source} +[\\w-]{43} +\\d+ +always +always .*yours`))
    const none = await killick(['search', '--action', 'nothing', '--token-file', readerToken], {
      cwd,
      isTerminal: true,
    })
    expect(none).toMatchObject({ code: 0, out: 'No event was found.\n' })
  })

  test('keys lists keys, marks the project’s own, and says if it is missing', async () => {
    const { out } = await run('keys', '--source', source)
    expect(JSON.parse(out)).toMatchObject({ source, yours: true, notBefore: null })
    await killick(['keygen', '--out', file('second.key.json')])
    const other = await run('keys', '--source', source, '--key', file('second.key.json'))
    expect(other.err).toMatch(/is not among them: killick register registers it/)
    expect(JSON.parse(other.out)).toMatchObject({ yours: false })
  })

  test('register adds a key once, and sends no private part', async () => {
    const args = ['register', '--key', file('second.key.json'), '--token-file', token]
    const added = await killick(args, { cwd })
    expect(added).toMatchObject({
      code: 0,
      err: expect.stringMatching(/is registered for app-\d+, by entry \d+ of the log/),
    })
    expect(await killick(args, { cwd })).toMatchObject({
      code: 0,
      out: added.out,
      err: expect.stringContaining('registered before'),
    })
    const ended = await killick([...args, '--not-after', '2030-01-01T00:00:00Z'], { cwd })
    expect(ended.err).toContain('by entry')
    const promised = await killick([...args, '--heartbeat', '300'], { cwd })
    expect(promised.err).toMatch(/by entry \d+ of the log\. It promises an event every 300 s/)
    expect((await killick([...args, '--heartbeat', '300'], { cwd })).err).toContain('registered before')
    expect((await killick([...args, '--heartbeat', 'none'], { cwd })).err).toContain('by entry')
    expect(await killick([...args, '--heartbeat', '0'], { cwd })).toMatchObject({ code: 2 })
    const listed = (await run('keys', '--source', source)).out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(listed.find(({ kid }) => kid === added.out.trim())).toMatchObject({ notAfter: '2030-01-01T00:00:00.000Z' })
    expect(await killick(['register', '--token', 'wrong', '--json'], { cwd })).toMatchObject({ code: 2 })
  })

  test.each([
    ['a wrong token', ['--token', 'wrong'], {}, 'token_refused', /401/],
    ['a reader’s token', ['--token', READER], {}, 'token_refused', /takes an admin token/],
    ['no token', [], {}, 'usage', /token is missing: --token-file, --token or KILLICK_ADMIN_TOKEN$/m],
    [
      'another log',
      ['--token', ADMIN],
      { KILLICK_LOG_KEY: 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW' },
      'log_unexpected',
      /not the pinned one/,
    ],
    ['no network', ['--token', ADMIN, '--url', 'http://127.0.0.1:1'], {}, 'unreachable', /cannot be reached/],
  ] as [string, string[], Record<string, string>, string, RegExp][])(
    'register with %s',
    async (_, args, env, code, words) => {
      await killick(['keygen', '--out', file('third.key.json')])
      const all = ['register', '--key', file('third.key.json'), ...args]
      expect((await killick(all, { cwd, env })).err).toMatch(words)
      expect(JSON.parse((await killick([...all, '--json'], { cwd, env })).out).error.code).toBe(code)
    },
  )

  describe('verify takes', () => {
    test('a proof link, and one that holds the proof itself', async () => {
      const link = (await run('share', ids[1]!)).out.trim()
      for (const place of [link, `${link}/`, `${link}/proof`, `${link}.`, `${link}>,`])
        expect(await killick(['verify', place], { cwd }), place).toMatchObject({
          code: 0,
          out: expect.stringContaining('outcome     denied'),
        })
      // Anybody else's address is asked for as it is.
      const asked: unknown[] = []
      const server = createServer(({ url }, response) => {
        asked.push(url)
        response.writeHead(404).end()
      }).listen(0, '127.0.0.1')
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo
      expect((await killick(['verify', `http://127.0.0.1:${port}/P/proof`], { cwd })).code).toBe(2)
      server.close()
      expect(asked).toEqual(['/P/proof'])
      const fragment = `#${deflateRawSync(readFileSync(file('proof.json'))).toString('base64url')}`
      for (const place of [fragment, `https://nobody.test/verify/${fragment}`])
        expect((await killick(['verify', place], { cwd })).code).toBe(0)
      expect(await killick(['verify', fragment.slice(0, -40)], { cwd })).toMatchObject({
        code: 2,
        err: expect.stringContaining('What follows # in the link'),
      })
      // Behind what is packed there is nothing: a browser refuses such a link too.
      const twice = Buffer.concat([deflateRawSync(readFileSync(file('proof.json'))), Buffer.from('more')])
      expect(await killick(['verify', `#${twice.toString('base64url')}`], { cwd })).toMatchObject({
        code: 2,
        err: expect.stringContaining('somebody changed or cut it'),
      })
      const bomb = deflateRawSync(Buffer.alloc(2 << 20)).toString('base64url')
      expect(await killick(['verify', `#${bomb}`, '--json'], { cwd })).toMatchObject({
        code: 2,
        out: expect.stringContaining('proof_too_large'),
      })
      expect(await killick(['verify', `${service.url}/p/unknown`, '--json'], { cwd })).toMatchObject({
        code: 2,
        out: expect.stringContaining('share_not_found'),
      })
    })

    test('--trust: the pins of a file, and no other', async () => {
      const { pins, logKey } = json(file('killick.json'))
      const { firstUse: _, ...trust } = pins
      const verify = async (value: unknown, ...args: string[]) => {
        writeFileSync(file('trust.json'), JSON.stringify(value))
        return killick(['verify', file('proof.json'), '--trust', file('trust.json'), ...args], { cwd })
      }
      expect(await verify({ publisher: 'us', ...trust, logKeys: [logKey] })).toMatchObject({
        code: 0,
        out: expect.stringMatching(/^VERIFIED, as far as \w+: pinned by you$/m),
      })
      // Nothing is taken from killick.json beside it.
      expect(await verify({ ...trust })).toMatchObject({
        code: 3,
        out: expect.stringMatching(/the log’s key +on localhost/),
      })
      expect(await verify({ ...trust, logkeys: [logKey] })).toMatchObject({
        code: 2,
        err: expect.stringContaining('did you mean logKeys?'),
      })
      expect(await verify({ ...trust, logkeys: [] }, '--json')).toMatchObject({
        out: expect.stringContaining('"trust_invalid"'),
      })
      // As the operator publishes it.
      const published = await (await fetch(`${service.url}/verify/trust.json`)).json()
      expect(await verify(published)).toMatchObject({
        code: 3,
        out: expect.stringMatching(/the log’s key +pinned by you/),
      })
    })

    test('--wait, until a link is anchored; what cannot change is not waited for', async () => {
      const input = '{"action":"late","actor":{"type":"user","id":"ada"},"targets":[]}'
      const id = (await killick(['record', '--ids'], { cwd, input })).out.trim()
      const link = (await run('share', id)).out.trim()
      expect((await killick(['verify', link, '--wait', '60'], { cwd })).code).toBe(0)
      const bare = { ...json(file('proof.json')), anchors: [] }
      const before = performance.now()
      expect((await killick(['verify', '-', '--wait', '60'], { cwd, input: JSON.stringify(bare) })).code).toBe(3)
      expect(performance.now() - before).toBeLessThan(20_000)
    })
  })

  describe('an export', () => {
    beforeAll(async () => {
      expect(
        await run('export', '--source', source, '--action', 'invoice.*', '--out', file('events.ndjson')),
      ).toMatchObject({ code: 0, err: expect.stringContaining('3 events exported to') })
    })
    const verify = (text: string, ...args: string[]) => {
      writeFileSync(file('changed.ndjson'), text)
      return killick(['verify', file('changed.ndjson'), '--json', ...args], { cwd })
    }
    const told = (run: Run) =>
      run.out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))

    test('is verified line by line, from a file and from stdin', async () => {
      const text = readFileSync(file('events.ndjson'), 'utf8')
      const people = await killick(['verify', file('events.ndjson')], { cwd })
      expect(people).toMatchObject({ code: 0, err: '', out: expect.stringMatching(/^3 events: 3 verified$/m) })
      expect(people.out).toContain('Whose word it rests on:')
      const lines = told(await killick(['verify', '-', '--json'], { cwd, input: text }))
      expect(lines.slice(0, 3).map(({ outcome, id }) => [outcome, id])).toEqual(
        ids.toReversed().map((id) => ['verified', id]),
      )
      const none = { undecided: 0, failed: 0, unreadable: 0, repeated: 0, uncheckedMembers: [] }
      expect(lines[3]).toEqual({ events: 3, verified: 3, ...none })
      // Proofs alone, one a line, are taken too.
      const proofs = text
        .trim()
        .split('\n')
        .map((line) => JSON.stringify(JSON.parse(line).proof))
        .join('\n')
      expect(told(await verify(proofs)).at(-1)).toMatchObject({ events: 3, verified: 3 })
    })

    test('that says something else than its proofs fails, whatever else is in it', async () => {
      const rows = readFileSync(file('events.ndjson'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
      const print = (changed: unknown[]) => changed.map((row) => JSON.stringify(row)).join('\n')
      const changes: [(row: { fields: object; logIndex: number }) => unknown, RegExp, string][] = [
        [
          (row) => ({ ...row, fields: { ...row.fields, outcome: 'success', action: 'nothing' } }),
          /another fields than its proof/,
          'failed',
        ],
        [(row) => ({ ...row, recordedAt: '2020-01-01T00:00:00.000Z' }), /another recordedAt/, 'failed'],
        [(row) => ({ ...row, logIndex: row.logIndex + 1 }), /another logIndex than/, 'failed'],
        [(row) => ({ ...row, proof: rows[0].proof }), /another id than/, 'failed'],
        [
          (row) => ({ ...row, proof: null, error: { code: 'event_unreadable', detail: 'x' } }),
          /no proof: event_unreadable/,
          'undecided',
        ],
        [(row) => ({ ...row, proof: { format: 'killick-proof/1' } }), /killick-proof\/1/, 'unreadable'],
        [() => 'text', /no JSON object/, 'unreadable'],
      ]
      for (const [change, words, outcome] of changes) {
        const run = await verify(print([rows[0], change(rows[1]), rows[2]]))
        const [first, second, third, sum] = told(run)
        expect([first.outcome, third.outcome]).toEqual(['verified', 'verified'])
        expect(second).toMatchObject({ outcome, why: expect.arrayContaining([expect.stringMatching(words)]) })
        expect(sum).toMatchObject({ events: 3, verified: 2, [outcome]: 1 })
        expect(run.code).toBe({ failed: 1, unreadable: 2, undecided: 3 }[outcome])
      }
      const more = await verify(print(rows.map((row) => ({ ...row, outcome: 'denied' }))))
      expect(more).toMatchObject({ code: 0, err: 'No proof covers what the lines say in: outcome\n' })
    })

    test('whose first line is damaged is judged from the second on', async () => {
      const [first, ...others] = readFileSync(file('events.ndjson'), 'utf8').trim().split('\n')
      const proofs = others.map((line) => JSON.stringify(JSON.parse(line).proof))
      for (const text of [
        [`\ufeff${first}`, ...others],
        ['', ...others],
        [first!.slice(9), ...proofs],
      ]) {
        const run = await verify(text.join('\n'))
        const sum = { events: text[0] ? 3 : 2, verified: 2, unreadable: text[0] ? 1 : 0 }
        expect(told(run).at(-1)).toMatchObject(sum)
        expect(run.code).toBe(text[0] ? 2 : 0)
      }
    })

    test('with a line twice says that it is one event', async () => {
      const text = readFileSync(file('events.ndjson'), 'utf8')
      const [line] = text.split('\n')
      const run = await verify(`${text}${line}\n`)
      expect(told(run).slice(-2)).toMatchObject([
        { outcome: 'verified', id: ids.at(-1), why: ['a line before has this event too'] },
        { events: 4, verified: 4, repeated: 1 },
      ])
      const people = await killick(['verify', file('changed.ndjson')], { cwd })
      expect(people.out).toMatch(/^4 events: 4 verified\n1 line of these repeats the event of a line before$/m)
    })

    test('is not overwritten, and a CSV has the same events', async () => {
      expect(await run('export', '--out', file('events.ndjson'))).toMatchObject({
        code: 2,
        err: expect.stringContaining('not overwritten'),
      })
      const csv = await run('export', '--source', source, '--action', 'invoice.*', '--format', 'csv')
      expect(csv).toMatchObject({ code: 0, err: '3 events exported\n' })
      expect(csv.out.trim().split('\r\n')).toHaveLength(4)
      expect(await run('export', '--format', 'xml')).toMatchObject({ code: 2 })
      expect(await killick(['export', '--token', 'wrong', '--out', file('none')], { cwd })).toMatchObject({
        code: 2,
        err: expect.stringContaining('401'),
      })
      expect(readdirSync(cwd).filter((name) => name.startsWith('none'))).toEqual([])
    })
  })

  test('a proof with --wait is written once it is anchored', async () => {
    expect(parseProof(readFileSync(file('proof.json'), 'utf8')).anchors.length).toBeGreaterThan(0)
    appendFileSync(file('proof.json'), ' ')
    expect((await killick(['verify', file('proof.json')], { cwd })).code).toBe(0)
  })

  test('a service that restarts is waited for with --wait, once it has answered', async () => {
    const proof = json(file('proof.json'))
    let looks = 0
    const server = createServer((_request, response) => {
      looks += 1
      if (looks % 3 === 2) response.writeHead(503).end()
      else response.end(JSON.stringify(looks % 3 === 0 ? proof : { ...proof, anchors: [] }))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const fetched = await killick(['proof', ids[0]!, '--url', url, '--token', 'x', '--wait', '60'], { cwd })
    const verified = await killick(['verify', `${url}/p/x`, '--wait', '60'], { cwd })
    server.close()
    expect([fetched.code, verified.code, looks]).toEqual([0, 0, 6])
    expect((await killick(['verify', `${url}/p/x`, '--wait', '60'], { cwd })).code).toBe(3)
  })

  test('of a service that stays away to the end of --wait nobody says that it has no anchor', async () => {
    const proof = { ...json(file('proof.json')), anchors: [] }
    const asked = new Set<string | undefined>()
    const server = createServer(({ url }, response) => {
      if (asked.has(url)) response.writeHead(503).end()
      else response.end(JSON.stringify(proof))
      asked.add(url)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const runs = await Promise.all([
      killick(['proof', ids[0]!, '--url', url, '--token', 'x', '--wait', '1'], { cwd }),
      killick(['verify', `${url}/p/x`, '--wait', '1'], { cwd }),
    ])
    server.close()
    for (const { code, out, err } of runs) expect([code, out, err]).toEqual([3, '', expect.stringContaining('503')])
  })
})
