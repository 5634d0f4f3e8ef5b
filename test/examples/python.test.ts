// The recorder in Python against a service: what it hands in, what it survives, and what it refuses. Its proofs are checked by the SDK.
import { execFile, execFileSync } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { generateKey, parseProof, publicJwk, verifyProof, writeKeyFile } from '@killick/sdk'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool, TOOLS } from '../../scripts/lib/tools.ts'
import { judgeFork, parseFork } from '../../sdk/src/core/fork.ts'
import { call, register, type TestService, testService } from '../anchor-service/support/service.ts'
import { type ChildHandle, startChild } from '../support/processes.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const example = join(root, 'examples/python')
const python = pythonWithCryptography()

/** Python alone is not enough: the package signs. */
function pythonWithCryptography(): string | null {
  const program = findTool('python3-cryptography')
  try {
    if (program) execFileSync(program, ['-c', 'import cryptography'], { stdio: 'ignore' })
    return program
  } catch {
    console.warn(`${program} lacks cryptography, so its tests are skipped: ${TOOLS['python3-cryptography'].install}`)
    return null
  }
}

describe.skipIf(python === null)('the recorder in Python', () => {
  let folder: string
  let service: TestService
  let between: Server
  let url: string
  /** What becomes of the next answers to batches on their way back. */
  let tamper: ((status: number, text: string, response: ServerResponse) => void) | null = null
  const passed: Buffer[] = []

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'killick-python-'))
    service = await testService()
    between = createServer(async (request, response) => {
      const pieces: Buffer[] = []
      for await (const piece of request) pieces.push(piece as Buffer)
      const body = Buffer.concat(pieces)
      const isBatch = request.url === '/v1/batches'
      if (isBatch) passed.push(body)
      const answer = await fetch(service.url + request.url, {
        method: request.method!,
        headers: Object.fromEntries(
          Object.entries(request.headers).filter(([name]) => name.startsWith('content-')),
        ) as Record<string, string>,
        ...(isBatch && { body }),
      })
      const text = await answer.text()
      if (isBatch && tamper) return tamper(answer.status, text, response)
      response.writeHead(answer.status).end(text)
    }).listen(0, '127.0.0.1')
    await new Promise((resolve) => between.once('listening', resolve))
    url = `http://127.0.0.1:${(between.address() as AddressInfo).port}`
  })
  afterAll(async () => {
    between?.closeAllConnections()
    between?.close()
    await service?.stop()
    await rm(folder, { recursive: true, force: true })
  })

  async function newSource(source: string) {
    const key = generateKey()
    const file = join(folder, `${source}.json`)
    await writeKeyFile(file, key)
    const jwk = publicJwk(key)
    expect((await register(service.url, source, [{ jwk }])).status).toBe(201)
    const spool = join(folder, `${source}.spool`)
    const args = (...more: string[]) => [
      join(example, 'recorder.py'),
      ...['--url', url, '--source', source, '--key', file, '--spool', spool, ...more],
    ]
    const start = () => startChild(python!, args('--log-key', service.vkey), { stdio: 'pipe' })
    return { source, jwk, spool, args, start, events: () => eventsOf(source) }
  }
  const eventsOf = async (source: string) =>
    (await call(service.url, `/v1/events?source=${source}&limit=500`)).json.events as {
      id: string
      seq: number
      stream: string
      fields: { action: string; metadata?: { i: number } }
    }[]
  const event = (i: number) => ({ action: 'payslip.open', actor: { type: 'user', id: 'zoë' }, metadata: { i } })
  const feed = (child: ChildHandle, from: number, to: number) => {
    for (let i = from; i < to; i++) child.process.stdin!.write(`${JSON.stringify(event(i))}\n`)
  }
  /** The answers so far: whole lines that are JSON. */
  const answers = (child: ChildHandle) =>
    child
      .output()
      .split('\n')
      .filter((line) => /^\{.*\}$/.test(line))
      .map((line) => JSON.parse(line) as { id?: string; seq?: number; error?: string; field?: string })

  test('hashes, trees, JSON, events, batches, notes: it agrees with the vectors, and a wrong one would not', async () => {
    const vectors = join(root, 'test/vectors')
    const { stdout } = await run(python!, [join(example, 'check_vectors.py'), vectors])
    const counts = JSON.parse(stdout) as Record<string, number>
    expect(counts).toMatchObject({ hashing: 11, batches: 3 })
    expect(counts.consistency).toBeGreaterThan(40)
    expect(counts.notes).toBeGreaterThan(60)
    // The same with a node hashed as a leaf.
    const wrong = join(folder, 'wrong')
    await cp(example, wrong, { recursive: true, filter: (path) => !path.includes('__pycache__') })
    const text = await readFile(join(wrong, 'recorder.py'), 'utf8')
    await writeFile(join(wrong, 'recorder.py'), text.replace('b"\\x01" + left', 'b"\\x00" + left'))
    const failed = await run(python!, [join(wrong, 'check_vectors.py'), vectors]).catch((error) => error)
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining('hashing: node') })
  })

  test('killed while an answer is on its way, it hands in the same batch, and nothing twice', async () => {
    const { start, spool, events, jwk, source } = await newSource('payroll')
    const begun = passed.length
    let taken = 0
    tamper = () => void taken++ // The service has the batch; its receipt is never heard of.
    const first = await start()
    feed(first, 0, 60)
    await expect.poll(() => taken).toBe(1)
    feed(first, 60, 100)
    await expect.poll(() => answers(first).length).toBeGreaterThanOrEqual(80)
    await first.kill9()
    const durable = answers(first)
    tamper = null

    const second = await start()
    feed(second, 100, 150)
    second.process.stdin!.end()
    expect(await second.exited).toEqual({ code: 0, signal: null })
    expect(second.output()).toContain('0 events left in the spool')
    durable.push(...answers(second))

    expect(passed[begun + 1]).toEqual(passed[begun])
    const found = (await events()).toSorted((a, b) => a.seq - b.seq)
    expect(found.map(({ seq }) => seq)).toEqual(found.map((_, i) => i))
    expect(new Set(found.map(({ stream }) => stream)).size).toBe(1)
    // What was answered is there once and in its place; of what was not, the kill decided.
    const ids = new Map(found.map(({ id, seq }) => [id, seq]))
    expect(ids.size).toBe(found.length)
    for (const { id, seq } of durable) expect(ids.get(id!)).toBe(seq)
    const state = JSON.parse(await readFile(join(spool, 'state.json'), 'utf8'))
    expect(state).toMatchObject({ accepted: found.length, sending: null, pinned: 'user', logKey: service.vkey })

    for (const { id } of [found[0]!, found[59]!, found.at(-1)!]) {
      const proof = parseProof((await call(service.url, `/v1/proofs/${id}`)).text)
      const verdict = verifyProof(proof, { sourceKeys: [{ source, jwk }], logKeys: [service.vkey] })
      expect(verdict).toMatchObject({ outcome: 'undecided', level: 'logged' })
      expect(verdict.checks.filter(({ status }) => status === 'failed')).toEqual([])
      expect(verdict.checks.find(({ id }) => id === 'source.key')).toMatchObject({ status: 'passed' })
    }
  })

  test('bad input is refused by its place, an answer that proves nothing is asked for again, and a key is pinned', async () => {
    const { args, spool, events } = await newSource('desk')
    let answered = 0
    tamper = (status, text, response) => {
      answered++
      if (answered === 1) response.writeHead(503, { 'retry-after': '0' }).end()
      else if (answered === 2) response.writeHead(302, { location: '/elsewhere' }).end()
      else response.writeHead(status).end(text)
    }
    const lines = [
      ...[JSON.stringify(event(0)), '{"action":"a","action":"b"}', '{"actor":{"type":"user","id":"ada"}}'],
      JSON.stringify({ ...event(1), acter: {} }),
      JSON.stringify({ ...event(1), changes: [{ path: '/a', old: 1 }] }),
      '{"action":"a","actor":{"type":"user","id":"ada"},"metadata":{"n":9007199254740993}}',
    ]
    const child = await startChild(python!, args('--end-stream'), { stdio: 'pipe' })
    child.process.stdin!.end(`${lines.join('\n')}\n`)
    expect(await child.exited).toEqual({ code: 1, signal: null })
    tamper = null
    expect(answers(child).map(({ seq, error, field }) => seq ?? [error, field])).toEqual([
      0,
      ['json_duplicate_member', null],
      ['field_invalid', '/action'],
      ['field_invalid', '/acter'],
      ['field_invalid', '/changes/0'],
      ['json_number_inexact', null],
    ])
    expect(answered).toBeGreaterThanOrEqual(3)
    expect(child.output()).toContain(`no log key was given: from now on it is ${service.vkey}`)
    expect((await events()).map(({ fields }) => fields.action).toSorted()).toEqual(['payslip.open', 'stream.close'])
    expect(JSON.parse(await readFile(join(spool, 'state.json'), 'utf8'))).toMatchObject({ pinned: 'first_use' })
  })

  test('a key itself where the path of its file belongs is not repeated', async () => {
    const { args } = await newSource('till')
    const child = await startChild(python!, args('--key', JSON.stringify(generateKey())), { stdio: 'pipe' })
    expect(await child.exited).toEqual({ code: 1, signal: null })
    expect(child.output()).toMatch(/^recorder: key_invalid: the key file cannot be read: .*\n$/)
    expect(child.output()).not.toContain('"d"')
  })

  test('a receipt that proves nothing leaves the batch in the spool', async () => {
    const { start, events } = await newSource('gate')
    tamper = (status, text, response) => {
      const receipt = JSON.parse(text)
      response.writeHead(status).end(JSON.stringify({ ...receipt, path: [...receipt.path, 'A'.repeat(43)] }))
    }
    const child = await start()
    feed(child, 0, 3)
    child.process.stdin!.end()
    expect((await child.exited).code).toBe(3)
    expect(child.output()).toContain('receipt_invalid: its path does not lead to the root in its note')
    expect(child.output()).toContain('3 events left in the spool')
    tamper = null
    const again = await start()
    again.process.stdin!.end()
    expect((await again.exited).code).toBe(0)
    expect((await events()).length).toBe(3)
  })

  test('a log that has lost what it gave a receipt for: sending ends, and the evidence is what the SDK reads', async () => {
    const { start, spool } = await newSource('vault')
    const child = await start()
    feed(child, 0, 2)
    await expect.poll(async () => JSON.parse(await readFile(join(spool, 'state.json'), 'utf8')).accepted).toBe(2)
    tamper = (_, __, response) =>
      response
        .writeHead(409)
        .end(JSON.stringify({ code: 'stream_gap', expected: { seq: 0, prev: null, eventPrev: null } }))
    feed(child, 2, 3)
    child.process.stdin!.end()
    expect((await child.exited).code).toBe(3)
    tamper = null
    const fork = parseFork(await readFile(join(spool, 'fork.json'), 'utf8'))
    expect(fork).toMatchObject({
      reason: 'lost',
      url,
      logKey: service.vkey,
      known: { receipt: { source: 'vault', n: 2 } },
    })
    // The service was slandered: it shows a larger tree, and two sizes alone contradict nothing.
    expect(judgeFork(fork, service.vkey).outcome).toBe('undecided')
    const sent = passed.length
    const again = await start()
    again.process.stdin!.end()
    expect((await again.exited).code).toBe(3)
    expect(again.output()).toContain('log_forked')
    expect(passed.length).toBe(sent)
  })

  test('two processes cannot share a spool', async () => {
    const { start } = await newSource('twin')
    const first = await start()
    feed(first, 0, 1)
    await first.printed(/"seq":0/)
    const second = await start()
    expect((await second.exited).code).toBe(1)
    expect(second.output()).toContain('recorder: spool_locked')
    first.process.stdin!.end()
    expect((await first.exited).code).toBe(0)
  })
})
