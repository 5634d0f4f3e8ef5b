import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { makeWorld, SOURCE } from '../../../scripts/lib/vectors/world.ts'
import { tarHeader, tarPadding } from '../../../sdk/src/bundle/tar.ts'
import { generateKey, signerOf } from '../../../sdk/src/client/key.ts'
import { parseEvent } from '../../../sdk/src/core/event.ts'
import { parsePublicJwk } from '../../../sdk/src/core/jwk.ts'
import { printProof } from '../../../sdk/src/core/proof.ts'
import { smallDisk } from '../../support/small-disk.ts'
import { killickProcess as killick, killick as killickHere, killickUnread } from './support.ts'

const MAIN = join(import.meta.dirname, '../../../sdk/src/cli/main.ts')

const KEY = JSON.stringify(signerOf(generateKey()).jwk)

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'killick-cli-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

// The other tests of commands run them in this process; those here are about the program, how it starts and how it ends.
test('a command does the same in a process of its own', async () => {
  const { proof, trust } = await makeWorld()
  const [dir, input] = [folder(), printProof(proof)]
  const file = join(dir, 'proof.json')
  writeFileSync(file, input)
  writeFileSync(join(dir, 'note'), proof.checkpoint)
  const url = 'http://127.0.0.1:1'
  const runs: [number, string[], { input?: string; env?: Record<string, string> }?][] = [
    [0, ['compare', join(dir, 'note'), join(dir, 'note'), '--log-key', trust.logKeys[0]!]],
    [0, ['share', '--help'], { env: { FORCE_COLOR: '1' } }],
    [1, ['verify', file, '--source-key', `${SOURCE}=${JSON.stringify(signerOf(generateKey()).jwk)}`]],
    [2, ['verify', '-'], { input: `${input}x` }],
    [2, ['audit']],
    [3, ['verify', '-', '--json'], { input }],
    [3, ['verify', file], { env: { FORCE_COLOR: '1' } }],
    [3, ['anchors'], { env: { KILLICK_URL: url, KILLICK_TOKEN: 'secret' } }],
  ]
  for (const [code, args, options] of runs) {
    const apart = await killick(args, options)
    expect(apart.code, args.join(' ')).toBe(code)
    expect(apart.out + apart.err).not.toBe('')
    expect(await killickHere(args, options)).toEqual(apart)
  }
})

test('of a bundle that cannot be read, the reason is told, and not only its code', async () => {
  const file = join(folder(), 'later.bundle')
  const manifest = Buffer.from('{"format":"killick-bundle/2"}')
  const bytes = Buffer.concat([tarHeader('manifest.json', manifest.length), manifest, tarPadding(manifest.length)])
  writeFileSync(file, bytes)
  const why = `${file}: The bundle is a killick-bundle/2; this program reads killick-bundle/1`
  expect(await killickHere(['verify', file])).toMatchObject({ code: 2, out: '', err: expect.stringContaining(why) })
  const history = await killickHere(['history', 'user', 'u', '--bundle', file])
  expect(history).toMatchObject({ code: 2, err: expect.stringContaining(why) })
  const { out } = await killickHere(['verify', file, '--json'])
  expect(JSON.parse(out)).toMatchObject({ error: { code: 'bundle_version', message: why } })
  const piped = await killick(['verify', '-'], { input: bytes.toString('latin1') })
  expect(piped).toMatchObject({ code: 2, err: expect.stringContaining('stdin is a bundle, which has to be a file') })
})

test('a line of an export may write zero in either way', async () => {
  const event = { action: 'a', actor: { type: 'user', id: 'u' }, targets: [], metadata: { n: 0 } }
  const { proof } = await makeWorld({ inputs: [event] })
  const line = { id: parseEvent(proof.event).id, fields: event, proof: JSON.parse(printProof(proof)) }
  const input = `${JSON.stringify(line).replace('"n":0', '"n":-0')}\n`
  expect(await killickHere(['verify', '-'], { input })).toMatchObject({
    code: 3,
    out: expect.not.stringContaining('says'),
  })
})

test('a long value is cut between characters', async () => {
  const actor = { type: 'user', id: 'u', name: `${'x'.repeat(591)}😀 and more` }
  const { proof } = await makeWorld({ inputs: [{ action: 'a', actor, targets: [] }] })
  const { out } = await killickHere(['verify', '-'], { input: printProof(proof) })
  expect(out).toContain('xx … (12 more characters; --json shows them)')
  expect(out).not.toContain('\\ud83d')
})

test('help names every command, and every command explains itself with an example', async () => {
  const { code, out, err } = await killick(['--help'])
  expect([code, err]).toEqual([0, ''])
  const commands = ['keygen', 'record', 'proof', 'verify', 'audit', 'compare', 'anchors', 'deploy', 'handover']
  const helps = await Promise.all(commands.map((command) => killick([command, '--help'])))
  for (const [i, command] of commands.entries()) {
    expect(out).toContain(`  ${command}`)
    expect(helps[i]).toMatchObject({
      code: 0,
      err: '',
      out: expect.stringMatching(/Usage: killick \w+\b[\s\S]*Examples?:\n {2}/),
    })
    expect(helps[i]!.out.split('\n').filter((line) => line.length > 130)).toEqual([])
  }
  expect((await killick(['--version'])).out).toMatch(/^\d+\.\d+\.\d+\n$/)
})

test.each([
  [[], /Usage/],
  [['prove'], /no command prove/],
  [['toString'], /no command toString/],
  [['verify'], /<file> is missing/],
  [['verify', 'a', 'b'], /Unexpected argument b/],
  [['verify', 'a', '--rcp', 'x'], /--rcp/],
  [['verify', '/does/not/exist'], /\/does\/not\/exist: there is no such file/],
  [['verify', '/tmp'], /\/tmp: it is a folder/],
  [['verify', '-', '--log-key', 'nonsense'], /--log-key/],
  [['verify', '-', '--log-key', '{"kty":"OKP","d":"secret"}'], /^(?!.*secret).*--log-key .*JSON, which is not shown/],
  [
    ['search', '--url', 'http://127.0.0.1:1', '--token-file', 'yNWABPn4fCK0TDhhJdWvoND2TmS0zSUC'],
    /^(?!.*yNWABP).*--token-file .* not shown here/,
  ],
  [['verify', '-', '--source-key', '{"kty":"OKP"}'], /--source-key needs the name of the source/],
  [['verify', '-', '--source-key', 'a={"kty":"OKP"}'], /--source-key/],
  [['verify', '-', '--source-key', `a={"source":"b","jwk":${KEY}}`], /--source-key it is pinned for b, and not for a/],
  [
    ['verify', '-', '--source-key', `a={"jwk":${KEY},"notafter":""}`],
    /no member it\.notafter: did you mean it\.notAfter/,
  ],
  [['verify', '-', '--source-key', `a={"jwk":${KEY},"notAfter":"2020"}`], /it\.notAfter: .* RFC 3339/],
  [['verify', '-', '--confirmations', '-1'], /confirmations/],
  [['keygen'], /--out is missing/],
  [['keygen', '--out', 'x', '--alg', 'RS256'], /Ed25519, ES256, ES256K/],
  [['record', '--url', 'http://127.0.0.1:1', '--source', 'x'], /--key is missing/],
  [['proof', 'x'], /--url is missing \(or set KILLICK_URL\)/],
  [['audit'], /--url is missing/],
  [['anchors'], /--url is missing/],
  [['compare', 'x'], /<b> is missing/],
  [['handover'], /<address> is missing/],
] as [string[], RegExp][])('wrong usage %j exits with 2 and says what is wrong', async (args, message) => {
  const { code, out, err } = await killick(args)
  expect([code, out]).toEqual([2, ''])
  expect(err).toMatch(message)
  expect(err).not.toMatch(/ at .*\.ts:\d+/)
})

test('a private key in the place of the log’s key is told as such, and not shown', async () => {
  const file = join(folder(), 'log.json')
  writeFileSync(file, '{"kty":"OKP","crv":"Ed25519","x":"x","d":"secret"}')
  const { code, err } = await killick(['verify', '-', '--log-key', file])
  expect(code).toBe(2)
  expect(err).toMatch(/holds JSON, perhaps the log’s private key/)
  expect(err).not.toContain('secret')
})

test.each(['', '{}', 'null', '[1', '{"format":"killick-proof/1"}', '\u0000'])(
  'what is no proof (%j) exits with 2',
  async (input) => {
    expect(await killick(['verify', '-'], { input })).toMatchObject({ code: 2, out: '' })
  },
)

test('a service or URL that cannot be reached exits with 3', async () => {
  for (const args of [
    ['verify', 'http://127.0.0.1:1/proof.json'],
    ['proof', 'x', '--url', 'http://127.0.0.1:1'],
    ['audit', '--url', 'http://127.0.0.1:1'],
  ])
    expect(await killick(args)).toMatchObject({ code: 3, err: expect.stringContaining('cannot be reached') })
})

test('keygen writes a private key that only its owner reads, a public one beside it, and overwrites neither', async () => {
  const dir = folder()
  const file = join(dir, 'billing-api.key.json')
  for (const alg of ['Ed25519', 'ES256', 'ES256K']) {
    const { code, out, err } = await killick(['keygen', '--out', file, '--alg', alg])
    expect(code).toBe(0)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const published = JSON.parse(readFileSync(join(dir, 'billing-api.pub.json'), 'utf8'))
    expect(parsePublicJwk(published)).toEqual(JSON.parse(out))
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ ...published, d: expect.any(String) })
    expect(err).not.toContain(JSON.parse(readFileSync(file, 'utf8')).d)
    const before = readFileSync(file, 'utf8')
    expect(await killick(['keygen', '--out', file])).toMatchObject({
      code: 2,
      err: expect.stringContaining('not overwritten'),
    })
    expect(readFileSync(file, 'utf8')).toBe(before)
    // Nor is a private key left behind that has no public one.
    rmSync(file)
    expect(await killick(['keygen', '--out', file])).toMatchObject({
      code: 2,
      err: expect.stringContaining('billing-api.pub.json exists'),
    })
    expect(readdirSync(dir)).toEqual(['billing-api.pub.json'])
    rmSync(join(dir, 'billing-api.pub.json'))
  }
})

test('record refuses a key that others can read', async () => {
  const dir = folder()
  const file = join(dir, 'k.json')
  await killick(['keygen', '--out', file])
  chmodSync(file, 0o644)
  const args = ['record', '--url', 'http://127.0.0.1:1', '--source', 'x', '--key', file, '--spool', join(dir, 'spool')]
  expect(await killick(args)).toMatchObject({ code: 2, err: expect.stringContaining('chmod 600') })
  expect(existsSync(join(dir, 'spool'))).toBe(false)
})

test('record keeps events in the spool while the service is away, and names the first faulty line', async () => {
  const dir = folder()
  const file = join(dir, 'k.json')
  await killick(['keygen', '--out', file])
  const args = [
    'record',
    '--url',
    'http://127.0.0.1:1',
    '--source',
    'x',
    '--key',
    file,
    '--spool',
    join(dir, 'spool'),
    '--wait',
    '0',
  ]
  const line = JSON.stringify({ action: 'a', actor: { type: 'user', id: 'ada' }, targets: [] })
  const away = await killick(args, { input: `\n\n${line}\n` })
  expect(away).toMatchObject({
    code: 3,
    out: '',
    err: expect.stringMatching(/1 event recorded .* accepted 0 of them; 1 event waits in the spool\n/),
  })

  for (const [bad, message] of [
    ['{"action":', /Line 3: /],
    ['{"action":"a","action":"b"}', /Line 3: .*again/],
    [JSON.stringify({ action: 'a', actor: { type: 'user' }, targets: [] }), /Line 3: \/actor\/id/],
    ['{"action":"a","actor":{"type":"user","id":"x"},"targets":[],"n":9007199254740993}', /Line 3: .*2\^53/],
  ] as [string, RegExp][]) {
    writeFileSync(join(dir, 'in'), `${line}\n${line}\n${bad}\n${line}\n`)
    const { code, err } = await killick(args, { input: readFileSync(join(dir, 'in'), 'utf8') })
    expect(code).toBe(2)
    expect(err).toMatch(message)
  }
  // Two lines before each fault, none after it.
  expect((await killick(args)).err).toMatch(/0 events recorded .*; 9 events wait in the spool\n/)
})

test('verify reads a pipe once: given by its name, or as stdin while it waits for a node', async () => {
  const dir = folder()
  const { proof } = await makeWorld()
  const [pipe, input] = [join(dir, 'pipe'), printProof(proof)]
  execFileSync('mkfifo', [pipe])
  const run = killick(['verify', pipe, '--json'])
  await writeFile(pipe, input)
  expect(await run).toMatchObject({ code: 3, out: expect.stringContaining('"undecided"') })
  const away = ['--rpc', 'http://127.0.0.1:1', '--wait', '1']
  expect(await killick(['verify', '-', '--json', ...away], { input })).toMatchObject({
    code: 3,
    out: expect.stringContaining('"undecided"'),
  })
})

test('--wait is refused where it is longer than a timer can be set for', async () => {
  const dir = folder()
  const key = join(dir, 'k.json')
  await killickHere(['keygen', '--out', key])
  const to = ['--url', 'http://127.0.0.1:1', '--source', 'x', '--key', key, '--spool', join(dir, 'spool')]
  const [wait, told] = ['2147484', expect.stringContaining('--wait must be a whole number from 0 to 2147483')]
  expect(await killickHere(['record', ...to, '--wait', wait])).toMatchObject({ code: 2, err: told })
  expect(await killickHere(['run', ...to, '--wait', wait, '--', 'true'])).toMatchObject({ code: 125, err: told })
  expect(existsSync(join(dir, 'spool'))).toBe(false)
})

test('record tells how far it came on a disk that becomes full', async () => {
  const dir = folder()
  const key = join(dir, 'k.json')
  await killickHere(['keygen', '--out', key])
  const disk = smallDisk(1)
  try {
    const to = ['--url', 'http://127.0.0.1:1', '--source', 'x', '--key', key, '--spool', join(disk.folder, 'spool')]
    const line = JSON.stringify({
      action: 'a',
      actor: { type: 'user', id: 'ada' },
      metadata: { x: 'y'.repeat(20_000) },
    })
    const full = await killick(['record', ...to, '--wait', '0'], { input: `${line}\n`.repeat(40) })
    expect(full).toMatchObject({ code: 2, err: expect.stringContaining('is full; the event was not recorded') })
    const [, recorded, waiting] = /(\d+) events recorded in .* accepted 0 of them; (\d+) events wait/.exec(full.err)!
    expect(Number(recorded)).toBeGreaterThan(5)
    expect(waiting).toBe(recorded)
  } finally {
    disk.remove()
  }
})

test.skipIf(!existsSync('/dev/full'))('output that finds no room is told, and makes no proof a false one', async () => {
  const { proof, trust } = await makeWorld()
  const [file, note] = ['proof.json', 'note'].map((name) => join(folder(), name)) as [string, string]
  writeFileSync(file, printProof(proof))
  writeFileSync(note, proof.checkpoint)
  const other = ['--source-key', `${SOURCE}=${JSON.stringify(signerOf(generateKey()).jwk)}`]
  const filled = (...args: string[]) => {
    const full = openSync('/dev/full', 'w')
    const { status, stderr } = spawnSync(process.execPath, [MAIN, ...args], { stdio: ['ignore', full, 'pipe'] })
    closeSync(full)
    return { code: status, err: `${stderr}` }
  }
  const told = expect.stringMatching(/^killick \S+: stdout: .*(space|full).*\n$/)
  expect(filled('verify', file)).toEqual({ code: 3, err: told })
  // It would be 0 with room, and what says so is lost.
  expect(filled('compare', note, note, '--log-key', trust.logKeys[0]!)).toEqual({ code: 3, err: told })
  expect(filled('verify', file, ...other)).toEqual({ code: 1, err: told })
  expect(filled('man')).toEqual({ code: 3, err: told })
})

test('a reader that goes away early changes no verdict, and loses no event', async () => {
  const dir = folder()
  const { proof } = await makeWorld()
  const file = join(dir, 'proof.json')
  writeFileSync(file, printProof(proof))
  const other = `${SOURCE}=${JSON.stringify(signerOf(generateKey()).jwk)}`
  expect(await killickUnread(['verify', file, '--source-key', other])).toMatchObject({ code: 1 })
  expect(await killickUnread(['verify', file])).toMatchObject({ code: 3 })
  expect(await killickUnread(['man'])).toMatchObject({ code: 0 })
  expect(await killickUnread(['verify', '-'], 'x', true)).toMatchObject({ code: 2 })

  await killick(['keygen', '--out', join(dir, 'k.json')])
  const to = ['--url', 'http://127.0.0.1:1', '--source', 'x', '--spool', join(dir, 'spool'), '--wait', '0']
  const line = JSON.stringify({ action: 'a', actor: { type: 'user', id: 'ada' }, targets: [] })
  const recorded = await killickUnread(
    ['record', ...to, '--key', join(dir, 'k.json'), '--ids'],
    `${line}\n`.repeat(1500),
  )
  expect(recorded).toMatchObject({ code: 3, err: expect.stringContaining('1,500 events recorded') })
})
