// `killick run` with real commands, against one service. What belongs to a process (streams, signals, kill -9) is run in one; the
// rest in this one, with commands that write nothing.
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { generateKey, publicJwk, writeKeyFile } from '@killick/sdk'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { READER, register, type TestService, testService } from '../../anchor-service/support/service.ts'
import { withCompileCache } from '../../support/processes.ts'
import { killick } from './support.ts'

const program = fileURLToPath(new URL('../../../sdk/src/cli/main.ts', import.meta.url))
const EMPTY = { bytes: 0, sha256: createHash('sha256').digest('hex') }
const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data).digest('hex')

let service: TestService
let root: string
let settings: Record<string, string>

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'killick-run-test-'))
  service = await testService()
  const key = generateKey()
  await writeKeyFile(join(root, 'ops.key.json'), key)
  expect((await register(service.url, 'ops', [{ jwk: publicJwk(key) }])).status).toBe(201)
  settings = { KILLICK_URL: service.url, KILLICK_SOURCE: 'ops', KILLICK_KEY: join(root, 'ops.key.json') }
}, 60_000)

afterAll(async () => {
  await service?.stop()
  rmSync(root, { recursive: true, force: true })
})

let spools = 0
/** Settings with a spool of their own. */
function place(more: Record<string, string> = {}): { env: Record<string, string>; spool: string } {
  const spool = join(root, `spool-${++spools}`)
  return { env: { ...settings, KILLICK_SPOOL: spool, ...more }, spool }
}

// biome-ignore lint/suspicious/noExplicitAny: each test looks for what it expects
type Fields = Record<string, any>

/** The fields of events about a target, oldest first, as the ledger holds them. */
async function fieldsOf(target: string): Promise<Fields[]> {
  const env = { KILLICK_URL: service.url, KILLICK_TOKEN: READER }
  const { out, err, code } = await killick(['search', '--target', target], { env })
  expect({ code, err }).toEqual({ code: 0, err: '' })
  const rows = out.split('\n').filter(Boolean)
  return rows.map((row) => JSON.parse(row).fields).reverse()
}

/** `killick run …args` in a process of its own. */
function start(args: string[], env: Record<string, string>, stdin: 'pipe' | 'ignore' = 'ignore'): ChildProcess {
  return spawn(process.execPath, [program, 'run', ...args], {
    env: withCompileCache({ PATH: process.env.PATH!, ...env }),
    stdio: [stdin, 'pipe', 'pipe'],
  })
}
async function ended(child: ChildProcess) {
  const [out, err, [code, signal]] = await Promise.all([text(child.stdout!), text(child.stderr!), once(child, 'close')])
  return { code, signal, out, err }
}

test('a command: streams as they are, its exit code, and both events in the ledger', async () => {
  const { env, spool } = place({ DEPLOY_TOKEN: 'hunter2', RELEASE: '1.2' })
  const script = 'cat; echo one >/dev/stderr; echo two >/dev/stdout; exit 7'
  const args = ['--wait', '20', '--env', 'RELEASE', '--env', 'DEPLOY_TOKEN', '--env', 'NONE']
  const child = start([...args, '--', 'sh', '-c', script, '--help', '--token=hunter2'], env, 'pipe')
  const input = randomBytes(300_000)
  child.stdin!.end(input)
  const out: Buffer[] = []
  child.stdout!.on('data', (chunk) => out.push(chunk))
  const [err, [code]] = await Promise.all([text(child.stderr!), once(child, 'close')])
  const output = Buffer.concat([input, Buffer.from('two\n')])
  expect({ code, err }).toEqual({ code: 7, err: 'one\n' })
  expect(Buffer.concat(out).equals(output)).toBe(true)

  const [run, end, ...more] = await fieldsOf('sh')
  expect(more).toEqual([])
  const { username, uid, gid } = userInfo()
  const { session } = run!.context
  const identity = {
    actor: { type: 'user', id: username, uid, gid },
    targets: [
      { type: 'command', id: 'sh' },
      { type: 'execution', id: session },
      { type: 'session', id: session },
    ],
  }
  expect(run).toEqual({
    action: 'command.run',
    ...identity,
    context: expect.objectContaining({
      session: expect.stringMatching(/^[\da-f-]{36}$/),
      host: hostname(),
      cwd: process.cwd(),
      pid: child.pid,
      terminal: false,
    }),
    metadata: {
      command: ['sh', '-c', script, '--help', '--token=[redacted:secret]'],
      environment: { RELEASE: '1.2', DEPLOY_TOKEN: '[redacted:secret]', NONE: null },
      redactions: [
        { path: '/metadata/command/4', rule: 'secret' },
        { path: '/metadata/environment/DEPLOY_TOKEN', rule: 'secret' },
      ],
    },
  })
  expect(end).toEqual({
    action: 'command.end',
    ...identity,
    outcome: 'failure',
    context: { session },
    metadata: {
      ...{ result: 'exited', exitCode: 7, durationMs: expect.any(Number) },
      stdin: { bytes: input.length, sha256: sha256(input) },
      stdout: { bytes: output.length, sha256: sha256(output) },
      stderr: { bytes: 4, sha256: sha256('one\n') },
    },
  })
  for (const file of ['under-way.json', 'under-way.json.tmp'])
    expect(existsSync(join(spool, 'run/0', file))).toBe(false)
})

test('160 MB through stdin and stdout, in little memory', async () => {
  const { env } = place()
  const script = 'cat; grep VmHWM /proc/$PPID/status >&2'
  const child = start(['--wait', '20', '--', '/bin/sh', '-c', script, 'large'], env, 'pipe')
  const hash = createHash('sha256')
  child.stdout!.on('data', (chunk) => hash.update(chunk))
  const chunk = randomBytes(1 << 20)
  const sent = createHash('sha256')
  const send = async () => {
    for (let i = 0; i < 160; i++) {
      sent.update(chunk)
      if (!child.stdin!.write(chunk)) await once(child.stdin!, 'drain')
    }
    child.stdin!.end()
  }
  const [err, [code]] = await Promise.all([text(child.stderr!), once(child, 'close'), send()])
  expect(code).toBe(0)
  const passed = { bytes: 160 << 20, sha256: sent.digest('hex') }
  expect(hash.digest('hex')).toBe(passed.sha256)
  const end = (await fieldsOf('sh')).at(-1)!
  expect(end.metadata).toMatchObject({ exitCode: 0, stdin: passed, stdout: passed })
  // It has 107 MB without any stream, 177 MB after 200 MB, 176 MB after 1 GB: what Node has not yet collected.
  expect(Number(/VmHWM:\s+(\d+) kB/.exec(err)![1]) / 1024).toBeLessThan(230)
})

describe('how it ends', () => {
  test.each([
    ['true', ['true'], 0, { result: 'exited', exitCode: 0 }, ''],
    ['a signal', ['sh', '-c', 'kill -9 $$'], 137, { result: 'signalled', signal: 'SIGKILL' }, ''],
    ['no command', ['./no-such'], 127, { result: 'not_started', error: 'ENOENT' }, 'there is no such command'],
    [
      'no folder',
      ['/etc/passwd/x'],
      126,
      { result: 'not_started', error: 'ENOTDIR' },
      'a part of the path is not a folder',
    ],
    ['no permission', ['/etc/passwd'], 126, { result: 'not_started', error: 'EACCES' }, 'permission denied'],
  ])('%s', async (_, command, code, how, err) => {
    const { env, spool } = place()
    const run = await killick(['run', '--wait', '20', '--', ...command], { env })
    expect(run).toMatchObject({ code, out: '' })
    expect(run.err).toBe(err && `killick run: ${command[0]}: ${err}\n`)
    const end = (await fieldsOf(command[0]!.replace(/.*\//, ''))).at(-1)!
    expect(end).toMatchObject({ outcome: code === 0 ? 'success' : 'failure', metadata: how })
    if (how.result !== 'not_started') expect(end.metadata).toMatchObject({ stdin: EMPTY, stdout: EMPTY, stderr: EMPTY })
    expect(existsSync(join(spool, 'run/0/under-way.json'))).toBe(false)
  })

  test.skipIf(!existsSync('/dev/full'))(
    'output that finds no room, or input that cannot be read, is no success',
    async () => {
      const { env } = place()
      const shell = async (line: string) => {
        const child = spawn('sh', ['-c', `"$0" "$1" run --wait 20 -- ${line}`, process.execPath, program], {
          env: withCompileCache({ PATH: process.env.PATH!, ...env }),
          stdio: ['ignore', 'pipe', 'pipe'],
        })
        return ended(child)
      }
      expect(await shell('echo full >/dev/full')).toMatchObject({
        code: 1,
        err: 'killick run: stdout ended early: the disk is full\n',
      })
      expect((await fieldsOf('echo')).at(-1)).toMatchObject({ metadata: { exitCode: 0, stdout: { error: 'ENOSPC' } } })
      expect(await shell('cat </')).toMatchObject({ code: 1, err: expect.stringContaining('stdin ended early') })
      expect(await shell('sh -c "echo full; exit 4" >/dev/full 2>&1')).toMatchObject({ code: 4 })
    },
  )

  test('signals are the command’s', async () => {
    const child = start(['--', 'sh', '-c', "trap 'exit 3' TERM; echo up; while :; do sleep 0.02; done"], place().env)
    child.stdout!.once('data', () => child.kill('SIGTERM'))
    expect(await ended(child)).toMatchObject({ code: 3, signal: null, out: 'up\n', err: '' })
  })

  test.skipIf(!existsSync('/usr/bin/script'))('a terminal stays one, and its Ctrl-C arrives once', async () => {
    const { env } = place()
    const script = `n=0; trap 'n=$((n+1))' INT; test -t 0 && test -t 1 && echo up; read x; echo "n=$n"; exit $n`
    writeFileSync(join(root, 'terminal.sh'), script)
    const line = `exec '${process.execPath}' '${program}' run --wait 20 -- /bin/sh '${join(root, 'terminal.sh')}' terminal`
    const child = spawn('script', ['-qec', line, '/dev/null'], {
      env: withCompileCache({ PATH: process.env.PATH!, ...env }),
    })
    const shown: string[] = []
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      shown.push(chunk)
      if (/up/.test(chunk)) child.stdin.write('\u0003')
      if (/\^C/.test(chunk)) child.stdin.write('\n')
    })
    const [code] = await once(child, 'close')
    expect(shown.join('')).toContain('n=1')
    expect(code).toBe(1)
    const [run, end] = (await fieldsOf('sh')).slice(-2)
    expect(run).toMatchObject({ context: { terminal: true } })
    expect(end!.metadata).toMatchObject({ exitCode: 1, stdin: { terminal: true }, stdout: { terminal: true } })
  })
})

test('two at once; one is killed, and the next start records that its end is unknown', async () => {
  const { env, spool } = place()
  // They wait for their stdin, so that they end with this test, whatever comes of it.
  const pair = [0, 1].map((i) => start(['--', 'sh', '-c', 'echo $$; read x; exit 4', `pair-${i}`], env, 'pipe'))
  const pids = await Promise.all(pair.map(async ({ stdout }) => Number((await once(stdout!, 'data'))[0])))
  const notes = [0, 1].map((slot) => JSON.parse(readFileSync(join(spool, `run/${slot}/under-way.json`), 'utf8')))
  expect(notes[0].stream).not.toBe(notes[1].stream)
  const slotOf = (pid: number) =>
    [0, 1].find((slot) => readFileSync(join(spool, `run/${slot}/lock`), 'utf8').includes(`process ${pid}\n`))!
  const killed = notes[slotOf(pair[1]!.pid!)].identity.targets[1].id
  const lived = notes[slotOf(pair[0]!.pid!)].identity.targets[1].id
  pair[1]!.kill('SIGKILL')
  await once(pair[1]!, 'close')
  expect(await killick(['run', '--wait', '20', '--', 'true'], { env })).toMatchObject({ code: 0, err: '' })
  // Whoever comes first finds it: this start, or the other of the pair, when it looks for what is left behind.
  const actions = async () => (await fieldsOf(killed)).map(({ action }) => action)
  await expect.poll(actions, { timeout: 10_000 }).toEqual(['command.run', 'command.end'])
  const lost = await fieldsOf(killed)
  expect(lost[1]!.metadata).toEqual({ result: 'unknown' })
  expect(lost[1]).not.toHaveProperty('outcome')
  expect((await fieldsOf(lived)).length).toBeLessThan(2)

  // The other one goes on; its end is its own, and nothing is told twice.
  pair[0]!.stdin!.end('\n')
  const [code] = await once(pair[0]!, 'close')
  expect(code).toBe(4)
  expect(await killick(['run', '--wait', '20', '--', 'true'], { env })).toMatchObject({ code: 0 })
  expect((await fieldsOf(killed)).length).toBe(2)
  expect((await fieldsOf(lived)).map(({ metadata }) => metadata.result)).toEqual([undefined, 'exited'])
  expect(pids.every(Number.isInteger)).toBe(true)
})

describe('when it cannot be recorded', () => {
  test('ledger down: run, silent, and sent by the next start', async () => {
    const { env } = place()
    const down = { ...env, KILLICK_URL: 'http://127.0.0.1:9' }
    const five = () => killick(['run', '--wait', '0', '--', 'sh', '-c', 'exit 5', 'down'], { env: down })
    for (const each of await Promise.all([five(), five()])) expect(each).toEqual({ code: 5, out: '', err: '' })
    const verbose = await killick(['run', '--wait', '0', '--verbose', '--', 'true'], { env: down })
    expect(verbose.err).toMatch(/4 events wait in the spool/)
    expect((await fieldsOf('sh')).filter(({ metadata }) => metadata.exitCode === 5)).toEqual([])
    expect((await killick(['run', '--wait', '20', '--verbose', '--', 'true'], { env })).err).toMatch(/everything/)
    expect((await fieldsOf('sh')).filter(({ metadata }) => metadata.exitCode === 5)).toHaveLength(2)
  })

  test('strict: not run, 125; observe: run, told and counted', async () => {
    const { env, spool } = place()
    const made = join(root, 'made')
    const touch = ['--', 'touch', made]
    const broken = { ...env, KILLICK_KEY: join(root, 'none.json') }
    const strict = await killick(['run', ...touch], { env: broken })
    expect(strict).toMatchObject({ code: 125, err: expect.stringMatching(/Nothing was run: .*none\.json/) })
    expect(existsSync(made)).toBe(false)

    const observed = await killick(['run', '--observe', ...touch], { env: broken })
    expect(observed).toMatchObject({ code: 0, err: expect.stringMatching(/NOT recorded: .*none\.json/) })
    expect(existsSync(made)).toBe(true)
    expect(readFileSync(join(spool, 'run/unrecorded'), 'utf8')).toMatch(/^20\S+Z key_invalid\n$/)
    await killick(['run', '--wait', '20', '--', 'env', 'true'], { env })
    expect((await fieldsOf('env'))[0]).toMatchObject({ metadata: { unrecordedCommands: 1 } })

    // A spool that cannot be: neither can the counter.
    const file = { ...env, KILLICK_SPOOL: join(root, 'ops.key.json') }
    rmSync(made)
    expect(await killick(['run', ...touch], { env: file })).toMatchObject({ code: 125 })
    expect(existsSync(made)).toBe(false)
    const both = await killick(['run', '--observe', ...touch], { env: file })
    expect(both).toMatchObject({ code: 0, err: expect.stringMatching(/NOT recorded.*\n.*could not be counted/) })
    expect(existsSync(made)).toBe(true)
  })

  test.each([
    [['ls'], 'Unexpected argument ls'],
    [['--'], 'There is no command'],
    [['--', ''], 'The name of the command is empty'],
    [['--strict', '--observe', '--', 'true'], 'exclude each other'],
    [['--pass', 'all', '--', 'true'], '--pass is one of stdin, stdout, stderr'],
    [['--ssh', '--', 'true'], 'leave out the command'],
    [['--spool', 'memory', '--', 'true'], 'needs a spool on disk'],
    [['--jso', '--', 'true'], 'There is no option --jso'],
  ])('%j is 125', async (args, err) => {
    const run = await killick(['run', ...args], { env: place().env })
    expect(run).toMatchObject({ code: 125, out: '', err: expect.stringContaining(err) })
  })
})

test('--ssh runs what the client asked for, and says from where', async () => {
  const { env } = place({
    SSH_CONNECTION: '192.0.2.7 50000 192.0.2.1 22',
    SSH_ORIGINAL_COMMAND: 'TOKEN=hunter2; exit 6',
  })
  expect(await killick(['run', '--ssh', '--wait', '20'], { env })).toMatchObject({ code: 6, err: '' })
  const [run] = await fieldsOf(userInfo().shell!.replace(/.*\//, '')).then((all) => all.slice(-2))
  expect(run!.context).toMatchObject({
    ip: '192.0.2.7',
    ssh: { connection: env.SSH_CONNECTION, command: 'TOKEN=[redacted:secret]; exit 6' },
  })
  expect(run!.metadata.command).toEqual([userInfo().shell, '-c', 'TOKEN=[redacted:secret]; exit 6'])
})

test('the commands of the guide', async () => {
  const guide = readFileSync(new URL('../../../docs/guides/run.md', import.meta.url), 'utf8')
  const pieces = [...guide.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, piece]) => piece!)
  expect(pieces).toHaveLength(4)
  const { env } = place(withCompileCache({ PATH: process.env.PATH! }) as Record<string, string>)
  // The first one where somebody has removed the folder, of which shells complain.
  const gone = `(mkdir gone; cd gone; rmdir ../gone; ${pieces.shift()})\n`
  const shell = `killick() { '${process.execPath}' '${program}' "$@"; }\n${gone}${pieces.join('')}`
  const child = spawn('sh', ['-ec', shell], { env, cwd: root })
  child.stdin.end()
  expect(await ended(child)).toEqual({
    code: 0,
    signal: null,
    out: 'backup of billing\ndeployed 1.4.2\nmaintenance\n',
    err: expect.stringMatching(/^(?:.*getcwd.*\n)?$/),
  })
  const events = (await fieldsOf('sh')).slice(-8)
  expect(events.map(({ action }) => action)).toEqual(Array(4).fill(['command.run', 'command.end']).flat())
  expect(events[0]!.context.cwd).toBe('(removed)')
  const [, , deploy, , , end] = events
  expect(deploy!.metadata).toMatchObject({ environment: { RELEASE: '1.4.2' } })
  expect(JSON.stringify(events)).not.toContain('hunter2')
  expect(end!.metadata.stdout.sha256).toBe(sha256(readFileSync(join(root, 'deploy.log'))))
})
