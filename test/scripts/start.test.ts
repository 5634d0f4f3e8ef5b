import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseProof, readAnchors } from '../../sdk/src/index.ts'
import { type ChildHandle, startNode } from '../support/processes.ts'

const script = join(import.meta.dirname, '../../scripts/start.ts')

/** All of `npm start`, as a person runs it: a real chain, a real database, this checkout's own history. */
describe('npm start', () => {
  let data: string
  /** The proof that the first run left. */
  let first = ''
  beforeAll(async () => {
    data = await mkdtemp(join(tmpdir(), 'killick-start-'))
  })
  afterAll(() => rm(data, { recursive: true, force: true }))

  const start = (args: string[] = [], env: NodeJS.ProcessEnv = {}): Promise<ChildHandle> =>
    startNode([script, ...args], { env: { ...process.env, PORT: '0', KILLICK_DATA: data, ...env } })

  test('--once: from nothing to a verified proof', { timeout: 180_000 }, async () => {
    const run = await start(['--once'])
    expect((await run.exited).code, run.output()).toBe(0)
    expect(run.output()).toMatch(/(commits?|events) recorded from/)
    // The words of its tools are not for whoever sees it for the first time.
    expect(run.output()).not.toContain('[plugin')
    expect(run.output()).toContain('VERIFIED, as far as')
    const [name, ...others] = await readdir(join(data, 'proofs'))
    expect(others).toEqual([])
    first = await readFile(join(data, 'proofs', name!), 'utf8')
    // Everything is stopped: what would lead there is not printed.
    const [, told] = run.output().split('VERIFIED, as far as')
    expect(told).not.toMatch(/curl|http|Check it again/)
    expect(told).toContain('both have stopped now')
  })

  /** The second run, on what the first has left. */
  describe('again', () => {
    let run: ChildHandle
    beforeAll(async () => {
      run = await start()
      await run.printed(/Everything is running/, 45_000)
    })

    test('the ledger is intact, nothing is recorded twice, and its chain is back', () => {
      // Somebody may commit between the two runs.
      expect(run.output()).toMatch(/were recorded before; nothing new|[1-9] commits? recorded from .*, \d+ in all/)
      expect(run.output()).toContain('VERIFIED, as far as')
      expect(run.output()).toMatch(/contract 0x[0-9a-f]{40}, with \d+ blocks of earlier starts/)
    })

    test('the addresses it prints work', async () => {
      const [, token, address] = run.output().match(/Authorization: Bearer ([^']+)' '([^']+)'/)!
      const found = await fetch(address!, { headers: { authorization: `Bearer ${token}` } })
      expect(((await found.json()) as { events: unknown[] }).events).toHaveLength(5)
      const [, proof, signIn, door] = run
        .output()
        .match(/A proof +(\S+)[\s\S]*The console +(\S+)[\s\S]*The front door +(\S+)/)!
      expect((await fetch(`${proof}/proof`)).status).toBe(200)
      const body = JSON.stringify({ link: signIn!.split('#/sign-in/')[1] })
      const signedIn = await fetch(new URL('/console/session', door), {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body },
      })
      expect(await signedIn.json()).toEqual({ role: 'reader' })
      const page = await fetch(door!, { headers: { accept: 'text/html' } })
      expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])

      const [, node] = run.output().match(/Ethereum chain \d+ at (\S+),/)!
      const [fact] = await readAnchors(parseProof(first), [node!])
      expect(fact).toMatchObject({ anchored: true, genuineCode: true, located: true })
      const latest = { jsonrpc: '2.0', id: 1, method: 'eth_getBlockByNumber', params: ['latest', false] }
      const asked = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(latest) }
      const { result } = (await (await fetch(node!, asked)).json()) as { result: { timestamp: string } }
      const behind = Date.now() / 1000 - Number(result.timestamp)
      expect(behind).toBeGreaterThanOrEqual(0)
      expect(behind).toBeLessThan(10)
    })

    test('it stays up until Ctrl-C, which arrives twice under npm', async () => {
      const address = run.output().match(/service at (\S+)/)![1]!
      expect((await fetch(`${address}/healthz`)).status).toBe(200)
      run.process.kill('SIGINT')
      await sleep(50)
      run.process.kill('SIGINT')
      expect(await run.exited).toEqual({ code: 0, signal: null })
      await expect(fetch(address)).rejects.toThrow()
    })
  })

  test('Ctrl-C during the start stops what has been started', { timeout: 60_000 }, async () => {
    const run = await start()
    await run.printed(/Ethereum chain \d+ at/)
    run.process.kill('SIGINT')
    expect((await run.exited).code, run.output()).toBe(130)
    expect(run.output()).not.toContain('fault in Killick')
  })

  test('a port that is taken is reported in one sentence', { timeout: 60_000 }, async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as { port: number }
    const run = await start(['--once'], { PORT: `${port}` })
    expect((await run.exited).code).toBe(1)
    expect(run.output()).toMatch(new RegExp(`${port}.*PORT`))
    expect(run.output()).not.toContain('    at ')
    server.close()
  })

  test('a half-made data folder is reported in one sentence', { timeout: 60_000 }, async () => {
    const broken = join(data, 'broken')
    await mkdir(join(broken, 'postgres'), { recursive: true })
    await writeFile(join(broken, 'postgres', 'base'), '')
    const run = await start(['--once'], { KILLICK_DATA: broken })
    expect((await run.exited).code).toBe(1)
    expect(run.output()).toContain('is not a finished PostgreSQL cluster. Move it away')
    expect(run.output()).not.toContain('    at ')
  })

  test('an unknown option shows the usage', async () => {
    const run = await start(['--ones'])
    expect((await run.exited).code).toBe(2)
    expect(run.output()).toContain('Usage: npm start [-- --once]')
  })
})
