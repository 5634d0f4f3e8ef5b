// Recording without a disk: nothing is kept but in memory, so record() answers when the log has.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test, vi } from 'vitest'
import { type AuditLogOptions, openAuditLog } from '../../../sdk/src/client/index.ts'
import { endsStream, isHeartbeat } from '../../../sdk/src/core/event.ts'
import { event, idsIn, key, problem, startLog, type TestLog, tempDir } from './support.ts'

async function open(log: TestLog, more: Partial<AuditLogOptions> = {}) {
  const options = { url: log.url, source: 'test', key, logKey: log.vkey, onError: () => {}, ...more }
  const audit = await openAuditLog({ ...options, spool: 'memory' })
  onTestFinished(async () => {
    await audit.close({ timeoutMs: 0 })
  })
  return audit
}

test('record() resolves on a receipt that was checked; what is recorded together shares a batch', async () => {
  const log = await startLog()
  const audit = await open(log)
  const one = await audit.record(event(0))
  expect(one).toMatchObject({ seq: 0, receipt: { source: 'test', seq: 0, n: 1, logIndex: 0 } })
  expect(one.receipt).not.toHaveProperty('header')
  const more = await Promise.all([1, 2, 3].map((n) => audit.record(event(n))))
  expect(more.map(({ receipt: { seq, n } }) => [seq, n])).toEqual(Array(3).fill([1, 3]))
  // Those that nobody awaited are accepted when flush() resolves.
  for (const n of [4, 5]) audit.record(event(n))
  expect(await audit.flush()).toMatchObject([{ seq: 4, n: 2 }])
  expect(audit.status).toMatchObject({ recorded: 6, accepted: 6, pending: 0, spoolBytes: 0, worker: null })
  expect(idsIn(log)).toHaveLength(6)
})

test('where files go with the request, as on Cloudflare Workers, there is no spool on a disk', async () => {
  vi.stubGlobal('navigator', { userAgent: 'Cloudflare-Workers' })
  onTestFinished(() => void vi.unstubAllGlobals())
  const options = { url: 'http://127.0.0.1:1', source: 'test', key }
  for (const spool of [tempDir(), `${tempDir()}/{worker}`])
    await expect(openAuditLog({ ...options, spool })).rejects.toMatchObject({
      ...{ code: 'option_invalid', message: expect.stringContaining("'memory' on Cloudflare Workers") },
    })
  await (await openAuditLog({ ...options, spool: 'memory' })).close()
})

test('close() ends the stream, once, and only where something was recorded', async () => {
  const log = await startLog()
  await (await open(log)).close()
  expect(log.batches).toHaveLength(0)
  const audit = await open(log)
  audit.record(event(0))
  expect(await audit.close()).toEqual({ pending: 0, lastError: null })
  await audit.close()
  const events = log.batches.flatMap(({ events }) => events)
  expect(events.map(endsStream)).toEqual([false, true])
  expect(events[1]!.fields).toEqual({
    ...{ action: 'stream.close', actor: { type: 'source', id: 'test' } },
    targets: [{ type: 'stream', id: events[0]!.stream }],
  })
  const goesOn = await open(log, { endStream: false })
  await goesOn.record(event(1))
  await goesOn.close()
  expect(idsIn(log)).toHaveLength(3)
  // On a disk the next process goes on, unless it is told otherwise.
  for (const endStream of [undefined, true]) {
    const options = { url: log.url, source: 'test', key, logKey: log.vkey, spool: tempDir() }
    const onDisk = await openAuditLog(endStream === undefined ? options : { ...options, endStream })
    await onDisk.record(event(2))
    await onDisk.close()
  }
  const last = log.batches.flatMap(({ events }) => events).slice(3)
  expect(last.map(endsStream)).toEqual([false, false, true])
})

test('while nothing else is recorded, a heartbeat is, until close()', async () => {
  const log = await startLog()
  const audit = await open(log, { heartbeat: 1 })
  const events = () => log.batches.flatMap((batch) => batch.events)
  await audit.record(event(0))
  await vi.waitUntil(() => events().filter(isHeartbeat).length >= 3, { timeout: 10_000 })
  await audit.close()
  const beats = events().filter(isHeartbeat)
  expect(beats[0]!.fields).toEqual({
    ...{ action: 'stream.heartbeat', actor: { type: 'source', id: 'test' } },
    targets: [{ type: 'stream', id: beats[0]!.stream }],
  })
  // Never sooner than after three quarters of a second in which nothing was recorded, but for the one at the beginning.
  const times = events().map(({ time }) => time)
  expect(isHeartbeat(events()[0]!)).toBe(true)
  for (const [i, each] of events().entries())
    if (i > 0 && isHeartbeat(each)) expect(each.time - times[i - 1]!).toBeGreaterThanOrEqual(740)
  expect(endsStream(events().at(-1)!)).toBe(true)
  for (const heartbeat of [0, 1.5, -1, Number.NaN])
    await expect(open(log, { heartbeat })).rejects.toMatchObject({ code: 'option_invalid' })
})

test('a refusal rejects record(); the event waits in memory and is accepted once the log takes it', async () => {
  const log = await startLog()
  log.faults.push(problem(403, 'key_unknown'))
  const audit = await open(log)
  await expect(audit.record(event(0))).rejects.toMatchObject({ code: 'key_unknown' })
  expect(audit.status).toMatchObject({ recorded: 1, pending: 1, state: 'refused', rejected: 0 })
  expect((await audit.record(event(1))).receipt).toMatchObject({ seq: 1 })
  expect(log.batches.map(({ header }) => header.n)).toEqual([1, 1])
})

test('a service that does not answer: record() gives up waiting in time, unawaited too, and close() tells what is lost', async () => {
  const log = await startLog()
  log.faults.push(...Array(50).fill(problem(503, 'busy')))
  const audit = await open(log, { acceptWaitMs: 50 })
  const refused = { code: 'not_accepted', message: expect.stringContaining('in memory'), details: { pending: 1 } }
  await expect(audit.record(event(0))).rejects.toMatchObject(refused)
  audit.record(event(1))
  await expect(audit.close({ timeoutMs: 100, strict: true })).rejects.toMatchObject({
    code: 'not_accepted',
    message: expect.stringMatching(/^3 events are lost: they were in memory/),
  })
})

test('memory has a limit: record() waits for room there, and then refuses', async () => {
  const log = await startLog()
  log.faults.push(...Array(50).fill(problem(503, 'busy')))
  const audit = await open(log, { maxSpoolBytes: 1 << 20, spoolWaitMs: 50, acceptWaitMs: 10 })
  const big = { ...event(0), metadata: { text: 'x'.repeat(150_000) } }
  const results = await Promise.allSettled(Array.from({ length: 9 }, () => audit.record(big)))
  const codes = results.map((it) => it.status === 'rejected' && it.reason.code)
  expect(codes.filter((code) => code === 'spool_full').length).toBeGreaterThan(1)
  expect(audit.status.recorded).toBe(codes.filter((code) => code === 'not_accepted').length)
})

/** A function in a process of its own: for each line on its stdin it records one event and answers. */
async function invokable(log: TestLog): Promise<{ child: ChildProcess; invoke: () => Promise<string> }> {
  const script = fileURLToPath(new URL('./memory-child.ts', import.meta.url))
  const child = spawn(process.execPath, [script, log.url, log.vkey, JSON.stringify(key)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const ended = once(child, 'close')
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
  })
  child.stdout.setEncoding('utf8')
  const invoke = async () => {
    child.stdin.write('\n')
    return (await once(child.stdout, 'data'))[0] as string
  }
  return { child, invoke }
}

test('a function that is frozen after its response and thawed finds its connections dead, and goes on', async () => {
  const log = await startLog()
  const { child, invoke } = await invokable(log)
  for (let round = 0; round < 3; round++) {
    expect(await invoke()).toBe(`${round} accepted\n`)
    child.kill('SIGSTOP')
    // The service, or a load balancer before it, ends what is idle.
    log.dropConnections()
    child.kill('SIGCONT')
  }
  expect(log.batches.map(({ header }) => header.seq)).toEqual([0, 1, 2])
})

test('one that is frozen while a batch is on the way sends the same bytes again', async () => {
  const log = await startLog()
  const { child, invoke } = await invokable(log)
  await invoke()
  const bodies: string[] = []
  const frozen = new Promise<void>((resolve) => {
    log.faults.push((request, _, accept) => {
      // The log takes the batch, and nobody is there to hear it.
      bodies.push(JSON.stringify(accept()))
      child.kill('SIGSTOP')
      request.socket.destroy()
      resolve()
      return true
    })
  })
  log.faults.push((_request, response, accept) => {
    const body = JSON.stringify(accept())
    bodies.push(body)
    response.writeHead(200, { 'content-type': 'application/json' }).end(body)
    return true
  })
  const answer = invoke()
  await frozen
  child.kill('SIGCONT')
  expect(await answer).toBe('1 accepted\n')
  // An equal receipt: for other bytes the log would have called it equivocation.
  expect(bodies).toHaveLength(2)
  expect(bodies[1]).toBe(bodies[0])
  expect(log.batches).toHaveLength(2)
})
