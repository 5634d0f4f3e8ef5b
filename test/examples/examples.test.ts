// The applications in examples/, run as their guides say, against one service that anchors on a real chain. Those on web frameworks
// have a file of their own.
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { loadConfig, startAnchoring, startService } from '@killick/anchor-service'
import { openAuditLog } from '@killick/sdk'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { generateKey, publicJwk, writeKeyFile } from '../../sdk/src/client/key.ts'
import { call, register, type TestService, testService } from '../anchor-service/support/service.ts'
import { type LocalChain, startChain } from '../support/local-chain.ts'
import { createDatabase, queryAsOwner } from '../support/postgres.ts'
import { startChild } from '../support/processes.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const examples = join(root, 'examples')

let folder: string
let chain: LocalChain
let contract: string
let service: TestService

beforeAll(async () => {
  // Where npx finds the commands of the workspaces, as it would in a project that has installed them.
  const cache = join(root, 'node_modules/.cache')
  await mkdir(cache, { recursive: true })
  folder = await mkdtemp(join(cache, 'examples-'))
  chain = await startChain()
  contract = await chain.deployAnchorLog()
  service = await testService({
    KILLICK_RPC_URL: chain.url,
    KILLICK_CONTRACT: contract,
    KILLICK_CHAIN_KEY: chain.key(0),
    KILLICK_CONFIRMATIONS: '1',
    KILLICK_ANCHOR_INTERVAL_MS: '100',
    KILLICK_ANCHOR_POLL_MS: '50',
  })
}, 120_000)

afterAll(async () => {
  await service?.stop()
  await chain?.stop()
  await rm(folder, { recursive: true, force: true })
})

/** Makes a key for a source and registers it. @returns the environment of an application that records as that source */
async function newSource(source: string, at = service): Promise<{ env: Record<string, string>; jwk: object }> {
  const key = generateKey()
  const file = join(folder, `${source}.key.json`)
  await writeKeyFile(file, key)
  const jwk = publicJwk(key)
  expect((await register(at.url, source, [{ jwk }])).status).toBe(201)
  const { PATH = '' } = process.env
  const spool = join(folder, `${source}.spool`)
  return { env: { PATH, KILLICK_URL: at.url, KILLICK_KEY: file, KILLICK_LOG_KEY: at.vkey, KILLICK_SPOOL: spool }, jwk }
}

const eventsOf = async (source: string) => (await call(service.url, `/v1/events?source=${source}`)).json.events

/** The proof of an event, once it is anchored. */
async function anchored(id: string): Promise<string> {
  return vi.waitFor(
    async () => {
      const { text, json } = await call(service.url, `/v1/proofs/${id}`)
      expect(json.anchors?.length).toBeGreaterThan(0)
      return text
    },
    { timeout: 20_000 },
  )
}

test('cluster: a worker that is killed loses nothing, and its place goes on with the same stream', async () => {
  const { env } = await newSource('tickets')
  const app = await startChild(process.execPath, [join(examples, 'cluster/app.js')], { env: { ...env, PORT: '0' } })
  const [, firstPid, url] = await app.printed(/worker 0 \((\d+)\) at (\S+)/)
  await app.printed(/worker 1 \(\d+\) at/)
  const open = async () => (await fetch(url!, { headers: { 'x-user': 'zoe', connection: 'close' } })).text()
  const answers = [await open(), await open(), await open(), await open()]
  expect(new Set(answers)).toEqual(new Set(['worker 0\n', 'worker 1\n']))
  process.kill(Number(firstPid), 'SIGKILL')
  await app.printed(new RegExp(`worker 0 \\((?!${firstPid}\\))\\d+\\) at`))
  answers.push(await open(), await open())
  await expect.poll(async () => (await eventsOf('tickets')).length).toBe(answers.length)
  const streams = new Set((await eventsOf('tickets')).map(({ stream }: { stream: string }) => stream))
  expect(streams.size).toBe(2)
  app.process.kill('SIGTERM')
  expect((await app.exited).code).toBe(0)
}, 60_000)

test('cluster: workers that cannot begin are not started without a pause', async () => {
  const { env } = await newSource('no-tickets')
  const says = `process.on('exit', () => console.log('ended', Date.now())); console.log('begun', performance.timeOrigin)`
  const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(says)}`
  const lost = { ...env, NODE_OPTIONS, KILLICK_KEY: `${env.KILLICK_KEY}.lost`, PORT: '0' }
  const app = await startChild(process.execPath, [join(examples, 'cluster/app.js')], { env: lost })
  try {
    const [, ended] = await app.printed(/ended (\d+)/)
    // After the primary and two workers.
    const [, begun] = await app.printed(/(?:begun ([\d.]+)[\s\S]*){4}/)
    expect(Number(begun) - Number(ended)).toBeGreaterThan(900)
  } finally {
    await app.stop()
  }
})

test('serverless: what was answered is in the ledger, frozen, cut off or killed', async () => {
  const { env } = await newSource('downloads')
  const cables = new Set<Socket>()
  const between = createServer((socket) => {
    const onward = connect(Number(new URL(service.url).port), '127.0.0.1')
    for (const [from, to] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      cables.add(from)
      from.on('error', () => {}).pipe(to)
    }
  }).listen(0, '127.0.0.1')
  await once(between, 'listening')
  env.KILLICK_URL = `http://127.0.0.1:${(between.address() as AddressInfo).port}`
  // A platform in short: a call for each line, an answer for each call.
  const platform = `
    const { handler } = await import(${JSON.stringify(join(examples, 'serverless/handler.js'))})
    for await (const line of (await import('node:readline')).createInterface({ input: process.stdin }))
      console.log(JSON.stringify(await handler(JSON.parse(line))))`
  const args = ['--input-type=module', '--eval', platform]
  const app = await startChild(process.execPath, args, { env, cwd: folder, stdio: 'pipe' })
  let answered = 0
  const download = async (file: string) => {
    app.process.stdin!.write(`${JSON.stringify({ user: 'zoe', file })}\n`)
    const lines = () =>
      app
        .output()
        .trim()
        .split('\n')
        .filter((line) => line.startsWith('{'))
    await expect.poll(() => lines().length).toBe(++answered)
    return JSON.parse(lines().at(-1)!)
  }
  const ids = async () => (await eventsOf('downloads')).map(({ id }: { id: string }) => id)

  const first = await download('a.pdf')
  expect(first.statusCode).toBe(200)
  expect(await ids()).toEqual([first.body])
  app.process.kill('SIGSTOP')
  for (const cable of cables) cable.destroy()
  app.process.kill('SIGCONT')
  const second = await download('b.pdf')
  expect(second.statusCode).toBe(200)
  await app.kill9()
  between.close()
  expect(await ids()).toEqual([second.body, first.body])
}, 60_000)

describe('auditor', () => {
  let trust: { logKeys: string[] }
  let proof: string

  beforeAll(async () => {
    const { env, jwk } = await newSource('payroll')
    const audit = await openAuditLog({
      ...{
        url: service.url,
        source: 'payroll',
        key: env.KILLICK_KEY!,
        logKey: service.vkey,
        spool: env.KILLICK_SPOOL!,
      },
    })
    const { id } = await audit.record({ action: 'salary.change', actor: { type: 'user', id: 'u-1' }, targets: [] })
    await audit.close({ strict: true })
    proof = await anchored(id)
    const [{ logId }] = JSON.parse(proof).anchors
    trust = {
      ...{ logKeys: [service.vkey], sourceKeys: [{ source: 'payroll', jwk }] },
      ...{ logs: [{ chainId: chain.chainId, contract, logId }], rpcs: [chain.url] },
    }
  })

  async function check(pins: object, ...proofs: string[]) {
    const files = await Promise.all(
      proofs.map(async (text) => {
        const file = join(folder, `${randomBytes(4).toString('hex')}.json`)
        await writeFile(file, text)
        return file
      }),
    )
    await writeFile(join(folder, 'trust.json'), JSON.stringify(pins))
    const args = [join(examples, 'auditor/check.mjs'), join(folder, 'trust.json'), ...files]
    return run(process.execPath, args).then(
      ({ stdout }) => ({ code: 0, stdout }),
      ({ code, stdout }) => ({ code, stdout }),
    )
  }

  test('with everything pinned the proof is verified', async () => {
    expect(await check(trust, proof)).toMatchObject({ code: 0, stdout: expect.stringContaining(': verified') })
  })

  test('without a pin or a node it is undecided, and one altered proof among good ones is failed', async () => {
    expect(await check({ ...trust, logKeys: [] }, proof)).toMatchObject({ code: 3 })
    expect(await check({ ...trust, rpcs: undefined }, proof)).toMatchObject({ code: 3 })
    const altered = JSON.parse(proof)
    altered.event = altered.event
      .replace(/~$/, '')
      .replace(/.$/, (last: string) => (last === 'A' ? 'B' : 'A'))
      .concat('~')
    expect(await check(trust, proof, JSON.stringify(altered))).toMatchObject({ code: 1 })
  })
})

test('restore: a whole backup passes the drill, and one that is too old fails it', async () => {
  const databaseUrl = await createDatabase(true)
  const data = join(folder, 'data')
  const origin = { KILLICK_ORIGIN: 'audit.example.com/log' }
  const env = { DATABASE_URL: databaseUrl, KILLICK_DATA: data, KILLICK_LOG_LEVEL: 'silent', PORT: '0', ...origin }
  const guide = await readFile(join(root, 'docs/guides/backup.md'), 'utf8')
  const [command] = /^DATABASE_URL=[\s\S]*?```/m.exec(guide)!
  const spool = join(folder, 'orders.spool')
  const key = generateKey()

  /** Records one event with a service that runs for just as long. A copy of its database is the backup. */
  async function recordAndBackUp(name: string): Promise<{ backup: string; vkey: string }> {
    const running = await startService(loadConfig({ ...env, KILLICK_AUDIT_INTERVAL_MS: '0' }), startAnchoring)
    const { url, vkey, tokens } = running
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${tokens.admin}` }
    const body = JSON.stringify({ source: 'orders', keys: [{ jwk: publicJwk(key) }] })
    await fetch(`${url}/v1/sources`, { method: 'POST', headers, body })
    const audit = await openAuditLog({ url, source: 'orders', key, logKey: vkey, spool })
    await audit.record({ action: 'order.place', actor: { type: 'user', id: name }, targets: [] })
    await audit.close({ strict: true })
    await running.close()
    const backup = new URL(databaseUrl)
    backup.pathname = `${backup.pathname}_${name}`
    await queryAsOwner(
      Object.assign(new URL(databaseUrl), { pathname: '/postgres' }).href,
      `create database ${backup.pathname.slice(1)} template ${new URL(databaseUrl).pathname.slice(1)}`,
    )
    return { backup: backup.href, vkey }
  }

  const old = await recordAndBackUp('monday')
  const { backup, vkey } = await recordAndBackUp('tuesday')

  /** The drill on a backup, with the keys and nothing else of the data folder. */
  async function drill(name: string, url: string) {
    const restored = join(folder, `restored-${name}`)
    await cp(join(data, 'keys'), join(restored, 'keys'), { recursive: true })
    const args = ['--receipts', spool, '--log-key', vkey, '--registered-keys', '--no-chain']
    const { PATH = '' } = process.env
    // What the guide's command sets, and nothing else.
    const named = Object.entries({ DATABASE_URL: url, KILLICK_DATA: restored, ...origin })
    const set = Object.fromEntries(named.filter(([name]) => command.includes(`${name}=`)))
    return run(process.execPath, [join(examples, 'restore/drill.mjs'), ...args], {
      cwd: folder,
      env: { PATH, HOME: process.env.HOME ?? '', ...set },
    }).then(
      ({ stdout }) => ({ code: 0, stdout }),
      ({ code, stdout, stderr }) => ({ code, stdout: stdout + stderr }),
    )
  }
  expect(await drill('whole', backup)).toMatchObject({ code: 0 })
  // It is the audit that fails, by what the recorder holds.
  const says = expect.stringMatching(/failed +The log is what receipts and older notes say/)
  expect(await drill('old', old.backup)).toMatchObject({ code: 1, stdout: says })
}, 240_000)

test('what a guide has node run starts in a project that npm init has made, which is CommonJS', async () => {
  const project = join(folder, 'commonjs')
  await mkdir(project)
  await writeFile(join(project, 'package.json'), '{ "type": "commonjs" }')
  for (const program of ['restore/drill.mjs', 'auditor/check.mjs']) {
    const copy = join(project, basename(program))
    await cp(join(examples, program), copy)
    await run(process.execPath, ['--check', copy])
  }
})

describe('the guides', async () => {
  const blocks = (page: string) => [...page.matchAll(/^```\w+ (examples\/\S+)\n([\s\S]*?)```/gm)]
  const guides = await Promise.all(
    (await readdir(join(root, 'docs/guides'))).map(
      async (name) => [name, blocks(await readFile(join(root, 'docs/guides', name), 'utf8'))] as const,
    ),
  )

  test.each(guides.filter(([, shown]) => shown.length > 0))(
    '%s: what it shows of an example is in that example',
    async (_name, shown) => {
      for (const [, file, code] of shown) expect(await readFile(join(root, file!), 'utf8')).toContain(code!)
    },
  )
})
