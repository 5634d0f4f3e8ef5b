import { closeSync, existsSync, openSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseCheckpoint } from '@killick/sdk/core'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { readHeadFiles } from '../../anchor-service/src/ledger/head-file.ts'
import { freePort } from '../../scripts/lib/free-port.ts'
import { createDatabase, queryAsOwner } from '../support/postgres.ts'
import { type ChildHandle, startChild } from '../support/processes.ts'
import { newSigner, Producer, post, sampleEvent } from './support/producer.ts'
import { ADMIN, call, READER, register } from './support/service.ts'

const MAIN = fileURLToPath(new URL('../../anchor-service/src/main.ts', import.meta.url))
const signer = newSigner()
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'killick-process-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function start(env: Record<string, string>): Promise<{ child: ChildHandle; url: string }> {
  const { PATH = '' } = process.env
  const tokens = { KILLICK_ADMIN_TOKEN: ADMIN, KILLICK_READER_TOKEN: READER }
  const child = await startChild(process.execPath, [MAIN], { env: { PATH, PORT: '0', ...tokens, ...env } })
  const [, url] = await child.printed(/listens on (\S+)/)
  return { child, url: url! }
}

/** Size of the newest head that a data folder knows. */
async function keptSize(data: string): Promise<number> {
  const [name] = await readdir(join(data, 'heads'))
  const { kept } = await readHeadFiles(join(data, 'heads', name!))
  return Math.max(...kept.map(({ note }) => Number(parseCheckpoint(note).size)))
}

/** A service whose configuration is at fault ends with a sentence. */
async function refusesToStart(env: Record<string, string>, args: string[] = []): Promise<string> {
  const child = await startChild(process.execPath, [MAIN, ...args], { env: { PATH: process.env.PATH ?? '', ...env } })
  expect(await child.exited).toEqual({ code: 1, signal: null })
  return child.output()
}

test('kill -9 in the middle of commits loses nothing and doubles nothing', { timeout: 60_000 }, async () => {
  const env = {
    DATABASE_URL: await createDatabase(),
    KILLICK_DATA: join(folder, 'killed'),
    KILLICK_LOG_LEVEL: 'silent',
  }
  const sent: string[][] = Array.from({ length: 6 }, () => [])
  const receipts = new Map<string, unknown>()
  let { child, url } = await start(env)
  await register(url, 'billing', [{ jwk: signer.jwk }])
  const producers = sent.map((_, i) => new Producer('billing', signer, `s-${i}`))

  for (let round = 0; round < 3; round++) {
    const enough = receipts.size + 20
    const { promise: isUnderWay, resolve: tellUnderWay } = Promise.withResolvers<void>()
    const sending = producers.map(async (producer, i) => {
      for (;;) {
        const batch = await producer.batch([sampleEvent(), sampleEvent()])
        sent[i]!.push(batch.body)
        // The producer takes its batch for sent before it knows, and repeats it after the crash.
        batch.advance()
        const { json } = await post(url, batch.body)
        receipts.set(batch.body, json)
        if (receipts.size === enough) tellUnderWay()
      }
    })
    const settled = Promise.allSettled(sending)
    // Not by the clock: a busy machine would get through no commit, or through so many that sending them again takes long.
    await isUnderWay
    // A receipt comes at one moment of a commit, which lasts milliseconds; the kill may come at any.
    await sleep(20 * Math.random())
    await child.kill9()
    expect((await settled).every((result) => result.status === 'rejected')).toBe(true)
    // No receipt was given before its head was known outside the database.
    const given = [...receipts.values()].map((receipt) => (receipt as { size: number }).size)
    expect(await keptSize(env.KILLICK_DATA)).toBeGreaterThanOrEqual(Math.max(...given))
    ;({ child, url } = await start(env))
    const sendAgain = async (bodies: readonly string[]) => {
      for (const body of bodies) {
        const { status, json } = await post(url, body)
        expect([200, 201]).toContain(status)
        if (receipts.has(body)) expect(json).toEqual(receipts.get(body))
        receipts.set(body, json)
      }
    }
    await Promise.all(sent.map(sendAgain))
  }
  const rows = await queryAsOwner<{ log_index: string; header: string }>(
    env.DATABASE_URL,
    "select log_index, header from killick.batches where source = 'billing' order by log_index",
  )
  expect(rows.map((row) => row.header).sort()).toEqual(
    sent
      .flat()
      .map((body) => body.split('\n')[0])
      .sort(),
  )
  expect(rows.map((row) => Number(row.log_index))).toEqual(rows.map((_, i) => i + 2))
  await child.stop()
})

describe('with the PostgreSQL that comes along', () => {
  test('the ledger is there again after a stop, after kill -9 of the service, and of the server too', {
    timeout: 60_000,
  }, async () => {
    const data = join(folder, 'embedded')
    const env = { KILLICK_DATA: data, KILLICK_LOG_LEVEL: 'silent' }
    const producer = new Producer('billing', signer)
    const bodies: string[] = []
    const endings: ((child: ChildHandle) => Promise<unknown>)[] = [
      async (child) => {
        child.process.kill('SIGINT')
        expect(await child.exited).toEqual({ code: 0, signal: null })
        expect(existsSync(join(data, 'postgres', 'postmaster.pid'))).toBe(false)
      },
      (child) => child.kill9(),
      async (child) => {
        const [pid] = (await readFile(join(data, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')
        process.kill(Number(pid), 'SIGKILL')
        await child.kill9()
      },
      async (child) => {
        await child.stop()
        expect((await child.exited).code).toBe(0)
      },
    ]
    for (const end of endings) {
      const { child, url } = await start(env)
      if (bodies.length === 0) await register(url, 'billing', [{ jwk: signer.jwk }])
      for (const body of bodies) expect((await post(url, body)).status).toBe(200)
      const batch = await producer.batch([sampleEvent()])
      expect((await post(url, batch.body)).status).toBe(201)
      batch.advance()
      bodies.push(batch.body)
      await end(child)
    }
    for (const file of ['postgres.json', 'keys/log.json', 'keys/system.json']) {
      expect((await stat(join(data, file))).mode & 0o777).toBe(0o600)
    }
  })

  test('processes of the database that outlive it and hang do not keep it from coming back', async () => {
    const data = join(folder, 'embedded')
    const { child, url } = await start({ KILLICK_DATA: data, KILLICK_LOG_LEVEL: 'error' })
    const [postmaster] = (await readFile(join(data, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')
    const children = (await readFile(`/proc/${postmaster}/task/${postmaster}/children`, 'utf8')).trim().split(' ')
    const titles = await Promise.all(children.map((pid) => readFile(`/proc/${pid}/cmdline`, 'latin1')))
    // As they do that wait for a lock whose holder was killed with the server.
    const hanging = children.filter((_, i) => titles[i]!.startsWith('postgres: killick killick '))
    expect(hanging).not.toEqual([])
    for (const pid of hanging) process.kill(Number(pid), 'SIGSTOP')
    process.kill(Number(postmaster), 'SIGKILL')
    await child.printed(new RegExp(`${hanging.length} of its processes outlived it and were ended`))
    await expect.poll(async () => (await call(url, '/readyz')).status).toBe(200)
    await child.stop()
    expect(existsSync(join(data, 'postgres', 'postmaster.pid'))).toBe(false)
  })

  test('two services on one data folder share the server, and the last one stops it', async () => {
    // A cluster takes seconds to make, and that of the test before this one is whole.
    const data = join(folder, 'embedded')
    // What is said of other servers, by whoever works with them here too, does not hold for this one.
    const env = { KILLICK_DATA: data, KILLICK_LOG_LEVEL: 'silent', PGSSLMODE: 'require' }
    const first = await start(env)
    const second = await start(env)
    await register(first.url, 'billing', [{ jwk: signer.jwk }])
    await first.child.stop()
    expect((await call(second.url, '/v1/sources')).json.sources).toHaveLength(2)
    expect(existsSync(join(data, 'postgres', 'postmaster.pid'))).toBe(true)
    await second.child.stop()
    expect(existsSync(join(data, 'postgres', 'postmaster.pid'))).toBe(false)
  })

  test.each([['accept-head'], ['serve']])(
    'a signal that cuts %s off while it starts leaves no server behind',
    async (command) => {
      const data = join(folder, 'embedded')
      const env = { PATH: process.env.PATH ?? '', PORT: '0', KILLICK_DATA: data }
      const child = await startChild(process.execPath, [MAIN, command], { env })
      const pid = join(data, 'postgres', 'postmaster.pid')
      await expect.poll(() => existsSync(pid), { interval: 5 }).toBe(true)
      child.process.kill('SIGINT')
      expect(await child.exited).toEqual({ code: 1, signal: null })
      expect(child.output()).toBe('')
      expect(existsSync(pid)).toBe(false)
    },
  )
})

describe('a sentence says what to do', () => {
  test('about a half-made data folder', async () => {
    const data = await mkdtemp(join(folder, 'half-'))
    await mkdir(join(data, 'postgres'))
    await writeFile(join(data, 'postgres', 'base'), '')
    expect(await refusesToStart({ KILLICK_DATA: data })).toMatch(/is not a finished PostgreSQL cluster\. Move it away/)
  })

  test('about all faults of the configuration at once, and never the secrets', async () => {
    const output = await refusesToStart({
      PORT: '99999',
      KILLICK_TILES: 'maybe',
      KILLICK_TRUST_PROXY: '10.0.0.0/33',
      KILLICK_ORIGIN: 'https://x',
      KILLICK_ADMIN_TOKEN: 'hunter2',
      KILLICK_RPC_URL: 'ftp://x',
      DATABASE_URL: 'mysql://root:hunter2@x/y',
    })
    for (const name of [
      'PORT',
      'KILLICK_TILES',
      'KILLICK_TRUST_PROXY',
      'KILLICK_ORIGIN',
      'KILLICK_ADMIN_TOKEN',
      'KILLICK_RPC_URL',
      'DATABASE_URL',
    ]) {
      expect(output).toContain(`- ${name}`)
    }
    expect(output).not.toContain('hunter2')
  })

  test('about a key that is missing, and makes none for a log that has one', async () => {
    const DATABASE_URL = await createDatabase()
    const { child } = await start({ DATABASE_URL, KILLICK_DATA: join(folder, 'known') })
    await child.stop()
    const data = join(folder, 'unknown')
    const output = await refusesToStart({ DATABASE_URL, KILLICK_DATA: data, PORT: '0' })
    expect(output).toMatch(
      /^The key file \S+log\.json is missing: this database holds the log "localhost\/killick" with/,
    )
    expect(existsSync(join(data, 'keys'))).toBe(false)
  })

  test('about a database that does not answer, a busy port, and an unknown command', async () => {
    const unreachable = { DATABASE_URL: 'postgres://a:hunter2@127.0.0.1:9/x' }
    const output = await refusesToStart(unreachable)
    expect(output).toMatch(/no PostgreSQL answers there/)
    expect(output).not.toContain('hunter2')
    const { child, url } = await start({ DATABASE_URL: await createDatabase(), KILLICK_DATA: join(folder, 'busy') })
    const taken = { PORT: new URL(url).port, DATABASE_URL: await createDatabase(), KILLICK_DATA: join(folder, 'busy') }
    expect(await refusesToStart(taken)).toMatch(/Cannot listen on 127\.0\.0\.1:\d+ \(EADDRINUSE\)/)
    const target = { KILLICK_CONTRACT: `0x${'1'.repeat(40)}`, KILLICK_CHAIN_KEY: `0x${'1'.repeat(64)}` }
    const worker = { ...taken, ...target, KILLICK_RPC_URL: 'http://127.0.0.1:9', KILLICK_WORKER_PORT: taken.PORT }
    expect(await refusesToStart(worker, ['worker'])).toMatch(/EADDRINUSE.*KILLICK_WORKER_PORT/)
    await child.stop()
    expect(await refusesToStart({}, ['dance'])).toMatch(/Unknown command "dance"/)
    expect(await refusesToStart({}, ['erase'])).toMatch(/"erase" is not how erase is called/)
    expect(await refusesToStart({}, ['worker'])).toMatch(/A worker needs KILLICK_RPC_URL.*or KILLICK_TARGETS/)
  })
})

test('no token opens what another is for', async () => {
  const DATABASE_URL = await createDatabase()
  const KILLICK_DATA = join(folder, 'tokens')
  const same = { KILLICK_ADMIN_TOKEN: ADMIN, KILLICK_READER_TOKEN: ADMIN }
  expect(await refusesToStart({ DATABASE_URL, KILLICK_DATA, ...same })).toMatch(
    /KILLICK_ADMIN_TOKEN and KILLICK_READER_TOKEN are the same/,
  )
  const { child } = await start({ DATABASE_URL, KILLICK_DATA })
  await child.stop()
  // One that the service has made counts as one that was given.
  const kept = await readFile(join(KILLICK_DATA, 'keys/eraser.token'), 'utf8')
  const output = await refusesToStart({ DATABASE_URL, KILLICK_DATA, KILLICK_READER_TOKEN: kept })
  expect(output).toMatch(/KILLICK_READER_TOKEN and KILLICK_ERASER_TOKEN are the same/)
  expect(output).not.toContain(kept.trim())
})

test('help and version are told beside any command, and nothing else is done', async () => {
  const data = join(folder, 'asked')
  const answers = async (...args: string[]) => {
    const child = await startChild(process.execPath, [MAIN, ...args], {
      env: { PATH: process.env.PATH!, KILLICK_DATA: data },
    })
    expect(await child.exited).toEqual({ code: 0, signal: null })
    return child.output()
  }
  const help = await answers('--help')
  for (const args of [['help'], ['serve', '--help'], ['erase', '--after-restore', '-h']])
    expect(await answers(...args)).toBe(help)
  const manifest = JSON.parse(await readFile(new URL('../../anchor-service/package.json', import.meta.url), 'utf8'))
  expect((await answers('--version')).trim()).toBe(manifest.version)
  expect(existsSync(data)).toBe(false)
})

test.each(['a full disk', 'a pipe that nobody reads'])(
  'a log that goes to %s ends nothing, and its lines are counted',
  { timeout: 60_000 },
  async (where) => {
    const port = await freePort()
    const env = {
      ...{ PATH: process.env.PATH ?? '', PORT: `${port}`, KILLICK_ADMIN_TOKEN: ADMIN, KILLICK_READER_TOKEN: READER },
      ...{ DATABASE_URL: await createDatabase(), KILLICK_DATA: join(folder, where) },
    }
    const full = openSync('/dev/full', 'w')
    const child = await startChild(process.execPath, [MAIN], {
      env,
      stdio: ['ignore', where === 'a full disk' ? full : 'pipe', 'pipe'],
    })
    onTestFinished(() => child.kill9())
    closeSync(full)
    child.process.stdout?.destroy()
    const url = `http://127.0.0.1:${port}`
    const isReady = () =>
      fetch(`${url}/readyz`).then(
        ({ ok }) => ok,
        () => false,
      )
    await vi.waitUntil(isReady, 20_000)
    const lost = async () =>
      Number(/^killick_lost_log_lines_total (\d+)$/m.exec((await call(url, '/metrics', ADMIN)).text)![1])
    expect(await lost()).toBeGreaterThan(0)
    expect(await isReady()).toBe(true)
    child.process.kill('SIGTERM')
    expect(await child.exited).toEqual({ code: 0, signal: null })
    expect(child.output()).toMatch(/^killick-anchor-service: stdout: [^\n]+\n$/)
  },
)
