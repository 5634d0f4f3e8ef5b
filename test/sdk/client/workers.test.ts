// Many processes that share a folder of spools.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test, vi } from 'vitest'
import { type AuditLogOptions, openAuditLog } from '../../../sdk/src/client/index.ts'
import { endsStream } from '../../../sdk/src/core/event.ts'
import { event, idsIn, key, problem, startLog, type TestLog, tempDir } from './support.ts'

async function open(log: TestLog, spool: string, more: Partial<AuditLogOptions> = {}) {
  const options = { url: log.url, source: 'test', key, logKey: log.vkey, onError: () => {} }
  const audit = await openAuditLog({ ...options, spool, ...more })
  onTestFinished(async () => {
    await audit.close({ timeoutMs: 0 })
  })
  return audit
}

const streamsIn = (log: TestLog) => {
  const streams = new Map<string, boolean[]>()
  for (const each of log.batches.flatMap(({ events }) => events))
    streams.set(each.stream, [...(streams.get(each.stream) ?? []), endsStream(each)])
  return streams
}

test('each takes the lowest number that nobody holds, whenever it comes', async () => {
  const log = await startLog()
  const folder = tempDir()
  const spool = join(folder, 'w-{worker}.spool')
  const [a, b, c] = await Promise.all([open(log, spool), open(log, spool), open(log, spool)])
  const numbers = [a, b, c].map((audit) => audit.status.worker)
  expect(numbers.toSorted()).toEqual([0, 1, 2])
  expect(readdirSync(folder).sort()).toEqual(['w-0.spool', 'w-1.spool', 'w-2.spool'])
  await b.close()
  expect((await open(log, spool)).status.worker).toBe(numbers[1])
})

test('a relative path stays where it was, wherever the process goes meanwhile', async () => {
  const log = await startLog()
  const [folder, elsewhere, home] = [tempDir(), tempDir(), process.cwd()]
  try {
    process.chdir(folder)
    const audit = await open(log, './{worker}')
    process.chdir(elsewhere)
    await audit.record(event(0))
    expect(await audit.close()).toEqual({ pending: 0, lastError: null })
  } finally {
    process.chdir(home)
  }
  expect([readdirSync(folder), readdirSync(elsewhere)]).toEqual([['0'], []])
})

test('the stream of a number goes on, and is ended for as long as nobody does', async () => {
  const log = await startLog()
  const spool = join(tempDir(), '{worker}')
  for (let run = 0; run < 2; run++) {
    const audit = await open(log, spool)
    await audit.record(event(run))
    await audit.close()
  }
  expect([...streamsIn(log).values()]).toEqual([[false, true, false, true]])
})

test('what killed workers left is sent by the next one, each stream once and ended', async () => {
  const log = await startLog()
  const folder = tempDir()
  const spool = join(folder, '{worker}')
  const script = fileURLToPath(new URL('./recording-child.ts', import.meta.url))
  // Nothing reaches the log while they live.
  log.faults.push(...Array(10_000).fill(problem(503, 'busy')))
  const recordedBy: string[][] = [[], [], []]
  const children = Array.from({ length: 3 }, () =>
    spawn(process.execPath, [script, log.url, spool, JSON.stringify(key)], { stdio: ['ignore', 'pipe', 'inherit'] }),
  )
  const ends = children.map((child) => once(child, 'close'))
  for (const [i, child] of children.entries())
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      for (const line of text.split('\n').slice(0, -1)) recordedBy[i]!.push(line.split(' ')[1]!)
    })
  await expect.poll(() => Math.min(...recordedBy.map(({ length }) => length))).toBeGreaterThan(20)
  for (const child of children) child.kill('SIGKILL')
  await Promise.all(ends)
  log.faults.length = 0

  const next = await open(log, spool)
  expect(next.status.worker).toBe(0)
  await next.flush()
  await expect.poll(() => [...streamsIn(log).values()].filter((ended) => ended.at(-1)).length).toBe(2)
  await next.close()
  const ids = idsIn(log)
  expect(new Set(ids).size).toBe(ids.length)
  for (const id of recordedBy.flat()) expect(ids).toContain(id)
  // Number 0 went on in this process, which recorded nothing itself: that the one before it was killed is no reason to fall silent.
  expect([...streamsIn(log).values()].map((ended) => [ended.at(-1), ended.filter(Boolean).length])).toEqual(
    Array(3).fill([true, 1]),
  )
  // Nobody holds what was adopted.
  for (const dir of ['1', '2']) await (await open(log, join(folder, dir))).close()
})

test('what a killed worker left is sent by one that lived then, though none is started in its place', async () => {
  const log = await startLog()
  const spool = join(tempDir(), '{worker}')
  vi.useFakeTimers({ toFake: ['setInterval'] })
  onTestFinished(() => void vi.useRealTimers())
  const living = await open(log, spool)
  expect(living.status.worker).toBe(0)
  const script = fileURLToPath(new URL('./recording-child.ts', import.meta.url))
  log.faults.push(...Array(10_000).fill(problem(503, 'busy')))
  const recorded: string[] = []
  const child = spawn(process.execPath, [script, log.url, spool, JSON.stringify(key)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const end = once(child, 'close')
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    for (const line of text.split('\n').slice(0, -1)) recorded.push(line.split(' ')[1]!)
  })
  await vi.waitUntil(() => recorded.length > 5, 10_000)
  child.kill('SIGKILL')
  await end
  log.faults.length = 0
  vi.advanceTimersByTime(60_000)
  await vi.waitUntil(() => [...streamsIn(log).values()].some((ended) => ended.at(-1)), 10_000)
  for (const id of recorded) expect(idsIn(log)).toContain(id)
})

test('but for programs that are told what is found in a spool it stays for who opens that', async () => {
  const log = await startLog()
  const spool = join(tempDir(), '{worker}')
  vi.useFakeTimers({ toFake: ['setInterval'] })
  onTestFinished(() => void vi.useRealTimers())
  const found: string[] = []
  const onFound = (event: string) => void found.push(event)
  const living = await open(log, spool, { onFound })
  log.faults.push(problem(503, 'busy'))
  const other = await open(log, spool, { onFound })
  await other.record(event(1))
  expect(await other.close({ timeoutMs: 0 })).toMatchObject({ pending: 2 })
  vi.advanceTimersByTime(60_000)
  for (let i = 0; i < 3; i++) await living.record(event(i)).then(() => living.flush())
  expect(streamsIn(log).size).toBe(1)
  expect(found).toEqual([])
  await open(log, spool, { onFound })
  expect(found).toHaveLength(2)
})

test('streams of workers that were killed when all was accepted end too, and once', async () => {
  const log = await startLog()
  const spool = join(tempDir(), '{worker}')
  const script = fileURLToPath(new URL('./recording-child.ts', import.meta.url))
  const record = [log.url, spool, JSON.stringify(key), '1']
  const children = Array.from({ length: 2 }, () =>
    spawn(process.execPath, [script, ...record], { stdio: ['pipe', 'ignore', 'inherit'] }),
  )
  const ends = children.map((child) => once(child, 'close'))
  await expect.poll(() => [...streamsIn(log).values()].flat().length).toBe(2)
  await expect
    .poll(() => ['0', '1'].map((dir) => existsSync(join(spool.replace('{worker}', dir), 'receipts.ndjson'))))
    .toEqual([true, true])
  for (const child of children) child.kill('SIGKILL')
  await Promise.all(ends)

  const next = await open(log, spool)
  await expect.poll(() => [...streamsIn(log).values()].filter((ended) => ended.at(-1)).length).toBe(1)
  await next.close()
  await (await open(log, spool)).close()
  expect([...streamsIn(log).values()]).toEqual(Array(2).fill([false, true]))
})

test('a process that closes leaves what it could not send of others, and one spool that is damaged stops nothing', async () => {
  const log = await startLog()
  const folder = tempDir()
  const left = await open(log, join(folder, '1'), { batch: { maxAgeMs: 60_000 } })
  await left.record(event(1))
  await left.close({ timeoutMs: 0 })
  const foreign = await open(log, join(folder, '2'), { source: 'other', batch: { maxAgeMs: 60_000 } })
  await foreign.record(event(2))
  await foreign.close({ timeoutMs: 0 })
  const before = log.batches.length
  log.faults.push(...Array(10_000).fill(problem(503, 'busy')))
  const told: string[] = []
  const onError = (error: Error) => told.push((error as { code?: string }).code ?? error.message)
  const first = await open(log, join(folder, '{worker}'), { onError })
  await expect.poll(() => told).toContain('refused')
  await first.close()
  expect(log.batches).toHaveLength(before)
  log.faults.length = 0
  const second = await open(log, join(folder, '{worker}'), { onError })
  await expect.poll(() => log.batches.length).toBeGreaterThan(before)
  await expect.poll(() => told).toContain('option_invalid')
  await second.close()
})

test('{worker} stands once, in the last name', async () => {
  const log = await startLog()
  for (const spool of ['{worker}/spool', '{worker}-{worker}', 'a/{worker}/{worker}'])
    await expect(open(log, join(tempDir(), spool))).rejects.toMatchObject({
      code: 'option_invalid',
      details: { option: 'spool' },
    })
})
