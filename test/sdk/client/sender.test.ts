import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { type AuditLogOptions, openAuditLog } from '../../../sdk/src/client/index.ts'
import { signerOf } from '../../../sdk/src/client/key.ts'
import { retryAfter } from '../../../sdk/src/client/transport.ts'
import { event, type Fault, idsIn, key, problem, startLog, type TestLog, tempDir } from './support.ts'

async function open(log: Pick<TestLog, 'url'>, options: Partial<AuditLogOptions> = {}) {
  const audit = await openAuditLog({
    url: log.url,
    source: 'test',
    key,
    spool: tempDir(),
    onError: () => {},
    onPin: () => {},
    ...options,
  })
  onTestFinished(async () => {
    await audit.close({ timeoutMs: 0 })
  })
  return audit
}

const record = (audit: { record: (input: ReturnType<typeof event>) => Promise<{ id: string }> }, count: number) =>
  Promise.all(Array.from({ length: count }, (_, i) => audit.record(event(i)).then(({ id }) => id)))

test.each(['zstd', 'gzip', 'none'] as const)(
  'events arrive once and in order, with receipts that were checked (%s)',
  async (compression) => {
    const log = await startLog()
    const audit = await open(log, { compression, logKey: log.vkey, batch: { maxEvents: 30 } })
    const ids = await record(audit, 100)
    const receipts = await audit.flush()
    expect(idsIn(log)).toEqual(ids)
    expect(receipts.reduce((sum, { n }) => sum + n, 0)).toBe(100)
    expect(receipts.map(({ logIndex }) => logIndex)).toEqual(receipts.map((_, i) => i))
    expect(audit.status).toMatchObject({
      recorded: 100,
      accepted: 100,
      pending: 0,
      batches: log.batches.length,
      lastError: null,
    })
    expect(await audit.flush()).toEqual([])
  },
)

test('a batch is sent at its count, its bytes or its age, without flush()', async () => {
  for (const batch of [{ maxEvents: 5 }, { maxBytes: 4000 }, { maxAgeMs: 20 }]) {
    const log = await startLog()
    const audit = await open(log, { batch: { maxEvents: 10_000, maxBytes: 15 << 20, maxAgeMs: 1e9, ...batch } })
    await record(audit, 10)
    await expect.poll(() => log.batches.length).toBeGreaterThan(0)
    if (batch.maxEvents) expect(log.batches.every(({ header }) => header.n <= 5)).toBe(true)
    if (batch.maxBytes) expect(log.batches[0]!.header.n).toBeLessThan(10)
  }
})

test('what waits in the spool is sent when it is opened again, also with a header signed before', async () => {
  const log = await startLog()
  const spool = tempDir()
  log.faults.push(problem(503, 'overloaded', { 'retry-after': '600' }))
  const first = await open(log, { spool, batch: { maxEvents: 3 } })
  const ids = await record(first, 10)
  await expect.poll(() => first.status.state).toBe('waiting')
  await first.close({ timeoutMs: 0 })
  expect(log.batches.length).toBe(0)

  const second = await open(log, { spool, batch: { maxEvents: 100 } })
  const receipts = await second.flush()
  expect(idsIn(log)).toEqual(ids)
  expect(receipts[0]!.n).toBe(3)
})

describe('a service that misbehaves', () => {
  const hangUp: Fault = (request) => {
    request.socket.destroy()
    return true
  }
  const acceptAndHangUp: Fault = (request, _, accept) => {
    accept()
    request.socket.destroy()
    return true
  }
  const half: Fault = (_, response, accept) => {
    accept()
    response.writeHead(201, { 'content-length': '5000' }).write('{"source":')
    setTimeout(() => response.destroy(), 20)
    return true
  }
  const silent: Fault = (_request, _response, accept) => {
    accept()
    return true
  }
  const endless: Fault = (_, response) => {
    response.writeHead(201)
    const timer = setInterval(() => response.write('x'.repeat(65_536)), 1)
    response.on('close', () => clearInterval(timer))
    return true
  }
  const faults: [string, Fault][] = [
    ['hangs up', hangUp],
    ['accepts and hangs up', acceptAndHangUp],
    ['breaks off its answer', half],
    ['accepts and never answers', silent],
    ['answers without end', endless],
    ['is overloaded', problem(503, 'overloaded')],
    ['has a proxy that says 502 in HTML', (_, response) => Boolean(response.writeHead(502).end('<html>'))],
    ['limits the rate', problem(429, 'rate_limited', { 'retry-after': '0' })],
  ]
  test.each(faults)('%s: everything arrives once', async (_, fault) => {
    const log = await startLog()
    log.faults.push(fault, fault)
    const audit = await open(log, { timeoutMs: 200, logKey: log.vkey })
    const ids = await record(audit, 10)
    await audit.flush()
    expect(idsIn(log)).toEqual(ids)
    expect(audit.status.retries).toBeGreaterThanOrEqual(2)
  })

  test('is not there at all: record() goes on, and the status says why', async () => {
    const audit = await open({ url: 'http://127.0.0.1:1' })
    await record(audit, 10)
    await expect.poll(() => audit.status.lastError).toMatchObject({ code: 'unreachable' })
    expect(audit.status).toMatchObject({ state: 'waiting', pending: 10, accepted: 0 })
  })

  test('asks to wait, and is not asked before that', async () => {
    const log = await startLog()
    log.faults.push(problem(503, 'overloaded', { 'retry-after': '1' }))
    const audit = await open(log)
    await record(audit, 1)
    const start = performance.now()
    await audit.flush()
    expect(performance.now() - start).toBeGreaterThan(990)
  })
})

describe('a receipt that proves nothing keeps the events in the spool', () => {
  const lie =
    (change: (receipt: Record<string, unknown>) => unknown): Fault =>
    (_, response, accept) => {
      const receipt = change(JSON.parse(JSON.stringify(accept())))
      response.writeHead(201).end(typeof receipt === 'string' ? receipt : JSON.stringify(receipt))
      return true
    }
  const other = 'A'.repeat(43)
  const alteredBefore = (note: string, at: number) =>
    `${note.slice(0, -at)}${note.at(-at) === 'A' ? 'B' : 'A'}${note.slice(1 - at)}`
  const lies: [string, Fault][] = [
    ['no JSON', lie(() => 'ok')],
    ['null', lie(() => 'null')],
    ['another stream', lie((it) => ({ ...it, stream: 'other' }))],
    ['another position', lie((it) => ({ ...it, seq: 1 }))],
    ['another count', lie((it) => ({ ...it, n: 1 }))],
    ['another index', lie((it) => ({ ...it, logIndex: 1, size: 2 }))],
    ['another size', lie((it) => ({ ...it, size: 7 }))],
    ['a path that leads elsewhere', lie((it) => ({ ...it, path: [other] }))],
    ['a path of no hashes', lie((it) => ({ ...it, path: [1] }))],
    [
      'another root',
      lie((it) => ({ ...it, checkpoint: String(it.checkpoint).replace(/\n1\n.*\n/, `\n1\n${other}=\n`) })),
    ],
    ['a checkpoint that is none', lie((it) => ({ ...it, checkpoint: 'log.test\n' }))],
    [
      'another origin',
      lie((it) => ({ ...it, checkpoint: String(it.checkpoint).replace('log.test\n1', 'log.tes2\n1') })),
    ],
    // All else is right: name and id of the key, size, root and path.
    ...[20, 70].map((at): [string, Fault] => [
      `a signature that is another, ${at} characters before its end`,
      lie((it) => ({ ...it, checkpoint: alteredBefore(String(it.checkpoint), at) })),
    ]),
  ]
  test.each(lies)('%s', async (_, fault) => {
    const log = await startLog()
    log.faults.push(fault)
    const audit = await open(log, { logKey: log.vkey })
    const ids = await record(audit, 3)
    await expect(audit.flush()).rejects.toMatchObject({ code: 'receipt_invalid' })
    expect(audit.status).toMatchObject({
      state: 'refused',
      pending: 3,
      accepted: 0,
      lastError: { code: 'receipt_invalid' },
    })
    await audit.flush()
    expect(idsIn(log)).toEqual(ids)
  })

  test('because another key signed its checkpoint', async () => {
    const log = await startLog()
    const audit = await open(log, { logKey: (await startLog()).vkey })
    await record(audit, 1)
    await expect(audit.flush()).rejects.toMatchObject({ code: 'receipt_invalid' })
  })

  test('because it is of a second log, or of a place before the last one', async () => {
    const log = await startLog()
    const audit = await open(log)
    await record(audit, 1)
    await audit.flush()
    log.faults.push(lie((it) => ({ ...it, checkpoint: String(it.checkpoint).replace('log.test', 'log.evil') })))
    await record(audit, 1)
    await expect(audit.flush()).rejects.toMatchObject({
      code: 'receipt_invalid',
      message: expect.stringContaining('log.evil'),
    })
    log.faults.push(lie((it) => ({ ...it, logIndex: 0 })))
    await expect(audit.flush()).rejects.toMatchObject({ code: 'receipt_invalid' })
  })
})

describe('a refusal', () => {
  test('reaches flush() with the service’s code and words; recording goes on; it is tried again', async () => {
    const log = await startLog()
    log.faults.push(problem(403, 'key_unknown'))
    const audit = await open(log)
    const ids = await record(audit, 2)
    await expect(audit.flush()).rejects.toMatchObject({
      code: 'key_unknown',
      details: { status: 403, code: 'key_unknown' },
    })
    expect(audit.status.state).toBe('refused')
    ids.push(...(await record(audit, 2)))
    await audit.flush()
    expect(idsIn(log)).toEqual(ids)
  })

  test('with a code this sdk does not know is `refused`, with the code in the details', async () => {
    const log = await startLog()
    log.faults.push(problem(422, 'moon_phase_wrong'))
    const audit = await open(log)
    await record(audit, 1)
    await expect(audit.flush()).rejects.toMatchObject({ code: 'refused', details: { code: 'moon_phase_wrong' } })
  })

  test.each(['equivocation', 'stream_fork'])(
    '%s halts sending for good, loudly, and recording goes on',
    async (code) => {
      const log = await startLog()
      log.faults.push(problem(409, code))
      const errors: Error[] = []
      const audit = await open(log, { onError: (error) => errors.push(error) })
      await record(audit, 1)
      await expect(audit.flush()).rejects.toMatchObject({ details: { code } })
      expect(audit.status.state).toBe('halted')
      await record(audit, 1)
      await expect(audit.flush()).rejects.toMatchObject({ details: { code } })
      expect(log.requests).toBe(1)
      expect(errors).toHaveLength(1)
      expect(audit.status.pending).toBe(2)
    },
  )
})

describe('record()', () => {
  test.each([
    ['/action', { ...event(1), action: '' }],
    ['/actor', { ...event(1), actor: undefined }],
    ['/targets/1/id', { ...event(1), targets: [event(1).targets[0], { type: 'x' }] }],
    ['/metadata/deep/0', { ...event(1), metadata: { deep: [Number.NaN] } }],
    ['/occurredAt', { ...event(1), occurredAt: 'yesterday' }],
  ])('rejects a wrong %s, names it, and records nothing', async (field, input) => {
    const audit = await open({ url: 'http://127.0.0.1:1' })
    await expect(audit.record(input as never)).rejects.toMatchObject({ code: 'field_invalid', details: { field } })
    expect(audit.status).toMatchObject({ recorded: 0, pending: 0 })
  })

  test('is not disturbed by a clock that jumps', async () => {
    const log = await startLog()
    const audit = await open(log)
    const now = Date.now()
    vi.useFakeTimers({ toFake: ['Date'] })
    onTestFinished(() => void vi.useRealTimers())
    for (const time of [now, now - 86_400_000, now + 86_400_000, 1, now]) {
      vi.setSystemTime(time)
      await audit.record(event(time))
    }
    await audit.flush()
    const events = log.batches.flatMap((batch) => batch.events)
    expect(events.map(({ seq }) => seq)).toEqual([0, 1, 2, 3, 4])
    expect(events.map(({ time }) => time)).toEqual([now, now - 86_400_000, now + 86_400_000, 1, now])
  })

  test('waits for a slow signer, in order, and outlives one that fails', async () => {
    const log = await startLog()
    const local = signerOf(key)
    let calls = 0
    const sign = async (message: Uint8Array) => {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 5))
      if (++calls === 5) throw new Error('HSM is away')
      return local.sign(message)
    }
    const audit = await open(log, { key: { jwk: local.jwk, sign } })
    const results = await Promise.allSettled(Array.from({ length: 12 }, (_, i) => audit.record(event(i))))
    expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(1)
    await audit.flush()
    const kept = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    expect(kept.map(({ seq }) => seq)).toEqual(Array.from({ length: 11 }, (_, i) => i))
    expect(idsIn(log)).toEqual(kept.map(({ id }) => id))
  })

  test('leaves events unsigned when told to: the batch signature speaks for them', async () => {
    const log = await startLog()
    const audit = await open(log, { signEvents: false })
    await record(audit, 3)
    await audit.flush()
    expect(log.batches[0]!.events.every(({ signature }) => signature === undefined)).toBe(true)
  })

  test('is refused after close(), and a second close() does nothing more', async () => {
    const log = await startLog()
    const audit = await open(log)
    const ids = await record(audit, 5)
    await Promise.all([audit.close(), audit.close()])
    expect(idsIn(log)).toEqual(ids)
    expect(audit.status.state).toBe('closed')
    await expect(audit.record(event(0))).rejects.toMatchObject({ code: 'log_closed' })
  })
})

describe('close()', () => {
  test('says that nothing is left', async () => {
    const log = await startLog()
    const audit = await open(log)
    await record(audit, 3)
    expect(await audit.close({ strict: true })).toEqual({ pending: 0, lastError: null })
  })

  test.each([2 ** 31, Number.POSITIVE_INFINITY])(
    'waits for longer than a timer can be set for, %d ms',
    async (timeoutMs) => {
      const log = await startLog()
      log.faults.push(problem(503, 'internal'))
      const audit = await open(log)
      await record(audit, 2)
      expect(await audit.close({ timeoutMs })).toEqual({ pending: 0, lastError: null })
    },
  )

  test('says what it left behind and why; strictly, it rejects with that, and has closed the spool all the same', async () => {
    const log = await startLog()
    log.faults.push(problem(403, 'key_unknown'), problem(403, 'key_unknown'))
    const spool = tempDir()
    const audit = await open(log, { spool })
    await record(audit, 2)
    const left = {
      pending: 2,
      lastError: { code: 'key_unknown', message: expect.stringContaining('about key_unknown') },
    }
    expect(await audit.close()).toEqual(left)
    await expect(audit.close({ strict: true })).rejects.toMatchObject({
      code: 'not_accepted',
      message: expect.stringMatching(/^2 events wait .*about key_unknown/),
      details: left,
    })
    await expect(open(log, { spool }).then((again) => again.close({ strict: true }))).rejects.toMatchObject({
      code: 'not_accepted',
    })
    const last = await open(log, { spool })
    await last.flush()
    expect(await last.close({ strict: true })).toEqual({ pending: 0, lastError: null })
  })
})

test('a rejected record() that nobody waits for is counted, told once to stderr, and ends no process; one under way at the end is told too', async () => {
  const program = `
    import { openAuditLog } from ${JSON.stringify(new URL('../../../sdk/src/client/index.ts', import.meta.url).href)}
    const [spool, key] = process.argv.slice(1)
    const audit = await openAuditLog({ url: 'http://127.0.0.1:1', source: 'test', key: JSON.parse(key), spool })
    for (let i = 0; i < 3; i++) audit.record({ action: '', actor: { type: 'user', id: 'ada' }, targets: [] })
    await new Promise((resolve) => setTimeout(resolve, 20))
    const awaited = await audit.record({ action: '' }).catch(({ code }) => code)
    const { rejected, recorded } = audit.status
    await audit.close({ timeoutMs: 0 })
    const closed = await audit.record({}).catch(({ code }) => code)
    console.log(JSON.stringify({ rejected, recorded, awaited, closed }))
    const another = await openAuditLog({ url: 'http://127.0.0.1:1', source: 'test', key: JSON.parse(key), spool: 'memory' })
    for (let i = 0; i < 2; i++) another.record({ action: 'a.b', actor: { type: 'user', id: 'ada' } })
    await another.flush(AbortSignal.timeout(500)).catch(() => {})
    process.on('exit', () => another.record({ action: 'a.b', actor: { type: 'user', id: 'ada' } }))
    process.exit()`
  const args = ['--input-type=module', '-e', program, tempDir(), JSON.stringify(key)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const exit = once(child, 'close')
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), exit])
  expect([code, JSON.parse(out)]).toEqual([
    0,
    { rejected: 4, recorded: 0, awaited: 'field_invalid', closed: 'log_closed' },
  ])
  expect(err.match(/an event was not recorded: .*action/g)).toHaveLength(1)
  expect(err).toContain('events wait in memory for http://127.0.0.1:1')
  expect(err).toContain('the process ended before 2 events were recorded')
  expect(err).toContain('the process ended before 1 event was recorded')
})

test('nothing stays of those who gave up waiting: a process that has nothing else to do ends', async () => {
  const at = (path: string) => JSON.stringify(new URL(`../../../${path}`, import.meta.url).href)
  const program = `
    import { openAuditLog } from ${at('sdk/src/client/index.ts')}
    import { reach } from ${at('gateway/src/standing.ts')}
    const [spool, key] = process.argv.slice(1)
    const options = { url: 'http://127.0.0.1:1', source: 'test', key: JSON.parse(key), onError() {} }
    const event = { action: 'a.b', actor: { type: 'user', id: 'ada' }, targets: [] }
    const audit = await openAuditLog({ ...options, spool })
    const recorded = await audit.record(event)
    const limit = new AbortController()
    const flushed = audit.flush(limit.signal).catch((reason) => reason)
    limit.abort('enough')
    const answers = [await flushed, await audit.flush(limit.signal).catch((reason) => reason)]
    answers.push((await reach('accepted', [recorded], audit, null, 20)).state)
    const inMemory = await openAuditLog({ ...options, spool: 'memory', acceptWaitMs: 20 })
    answers.push(await inMemory.record(event).catch(({ code }) => code))
    console.log(JSON.stringify(answers))`
  const args = ['--input-type=module', '-e', program, tempDir(), JSON.stringify(key)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], timeout: 30_000 })
  const [out, [code]] = await Promise.all([text(child.stdout), once(child, 'close')])
  expect([code, JSON.parse(out)]).toEqual([0, ['enough', 'enough', 'durable', 'not_accepted']])
})

test.each([
  ['url', { url: 'ftp://x' }],
  ['url', { url: 'https://ada:geheim@audit.example.com' }],
  ['source', { source: 'Billing API' }],
  ['spool', { spool: '' }],
  ['key', { key: undefined }],
  ['compression', { compression: 'br' }],
  ['maxSpoolBytes', { maxSpoolBytes: 10 }],
  ['batch.maxEvents', { batch: { maxEvents: 0 } }],
  ['batch', { batch: null }],
  ['fields', { fields: 'tenant' }],
])('a wrong option %s is refused by name', async (option, wrong) => {
  const options = {
    url: 'http://127.0.0.1:1',
    source: 'test',
    key,
    spool: tempDir(),
    ...wrong,
  } as never as AuditLogOptions
  await expect(openAuditLog(options)).rejects.toMatchObject({ code: 'option_invalid', details: { option } })
})

test('a log key that is none is told as the option that it is', async () => {
  const options = { url: 'http://127.0.0.1:1', source: 'test', key, spool: tempDir(), logKey: 'audit.example.com/log+' }
  await expect(openAuditLog(options)).rejects.toMatchObject({
    ...{ code: 'vkey_invalid', details: { option: 'logKey' } },
    message: expect.stringContaining('logKey'),
  })
})

test('no options at all are told as such', async () => {
  for (const none of [undefined, null, 'https://audit.example.com'])
    await expect(openAuditLog(none as never)).rejects.toMatchObject({ code: 'option_invalid' })
})

test('Retry-After is seconds or a date, within reason', () => {
  expect(retryAfter('2')).toBe(2000)
  expect(retryAfter(null)).toBe(0)
  expect(retryAfter('soon')).toBe(0)
  expect(retryAfter('999999999')).toBe(600_000)
  expect(retryAfter(new Date(Date.now() - 5000).toUTCString())).toBe(0)
  expect(retryAfter(new Date(Date.now() + 5000).toUTCString())).toBeGreaterThan(3000)
})
