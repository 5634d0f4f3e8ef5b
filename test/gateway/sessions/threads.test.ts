import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import { checkHttpConfig, checkPostgresConfig } from '@killick/gateway'
import { generateKey, openAuditLog, writeKeyFile } from '@killick/sdk'
import { type ParsedEvent, parseEvent } from '@killick/sdk/core'
import { compileRedaction } from '@killick/sdk/kit'
import { expect, onTestFinished, test, vi } from 'vitest'
import { openRecorderThreads } from '../../../gateway/src/sessions/threads.ts'
import { NOWHERE, spoolsIn } from '../support.ts'

type Parts = Parameters<typeof openRecorderThreads>[0]

async function parts(threads: number): Promise<Parts & { said: string[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'killick-threads-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const key = join(folder, 'key.json')
  await writeKeyFile(key, generateKey())
  const said: string[] = []
  return {
    ...{ kind: 'http', fields: [], said, say: (text) => void said.push(text) },
    settings: {
      ...{ url: NOWHERE, source: 'threads', key, spool: join(folder, 'spool'), state: join(folder, 'state'), threads },
      ...{ logKey: null, mode: 'strict', actor: null, sealed: null, context: {}, redaction: compileRedaction([]) },
      limits: { discloseBytes: 32_768, spoolBytes: 2 ** 28, spoolWaitMs: 0, drainMs: 0 },
    },
  }
}

const asked = (session: string, i: number, isOpen = false) => ({
  ...{ session, isOpen, ends: [] },
  facts: { action: 'ask', actor: { type: 'user', id: 'ada' }, targets: [], known: { i, ...(isOpen && { isOpen }) } },
})

/** What was recorded, a list for each spool. */
async function recordedBy({ settings: { key, spool } }: Parts): Promise<ParsedEvent[][]> {
  const streams: ParsedEvent[][] = []
  for (const dir of spoolsIn(spool)) {
    const found: ParsedEvent[] = []
    const log = await openAuditLog({
      ...{ url: NOWHERE, source: 'threads', key, spool: dir, onError: () => {} },
      onFound: (event) => void found.push(parseEvent(event)),
    })
    await log.close({ timeoutMs: 0 })
    streams.push(found)
  }
  return streams
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into it
type Told = any

const sessionOf = ({ fields }: ParsedEvent) => (fields as Told).context.session as string
const toldIn = ({ fields }: ParsedEvent): Told => (fields as Told).metadata.http

test('sessions take turns, each with one stream, in which its events stand in the order of the calls', async () => {
  const own = await parts(2)
  const recorder = await openRecorderThreads(own)
  const sessions = ['a', 'b', 'c', 'd'].map((session) => ({ session, sink: recorder.next() }))
  const asking = Array.from({ length: 25 }, (_, i) =>
    sessions.map(({ session, sink }) => sink.record(asked(session, i))),
  )
  await Promise.all(asking.flat())
  // Nobody is there who takes them, as both threads find out, and one says.
  await vi.waitUntil(async () => (await recorder.status()).retries >= 4, 20_000)
  expect(await recorder.status()).toMatchObject({
    pending: 100,
    lastError: expect.stringContaining('cannot be reached'),
  })
  await recorder.close()
  const streams = await recordedBy(own)
  expect(streams.map((events) => [...new Set(events.map(sessionOf))])).toEqual([
    ['a', 'c'],
    ['b', 'd'],
  ])
  expect(new Set(streams.flat().map(({ stream }) => stream)).size).toBe(2)
  for (const events of streams) {
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i))
    for (const session of new Set(events.map(sessionOf))) {
      const of = events.filter((event) => sessionOf(event) === session).map((event) => toldIn(event).i)
      expect(of).toEqual(of.map((_, i) => i))
    }
  }
  expect(own.said.filter((line) => line.startsWith('not sent'))).toHaveLength(1)
})

test('what each thread has left open is said to be unknown by the next start, also of threads that it would not have', async () => {
  const own = await parts(3)
  const first = await openRecorderThreads(own)
  const intents = await Promise.all(['a', 'b', 'c'].map((session) => first.next().record(asked(session, 0, true))))
  await first.close()
  const fewer = { ...own, settings: { ...own.settings, threads: 1 } }
  const second = await openRecorderThreads(fewer)
  expect(await second.status()).toMatchObject({ pending: 6 })
  await Promise.all(['d', 'e', 'f'].map((session) => second.next().record(asked(session, 0))))
  await second.close()
  const streams = await recordedBy(own)
  const told = streams.map((events) => events.map(toldIn))
  expect(told).toEqual(
    intents.map(({ id }) => [
      expect.objectContaining({ isOpen: true }),
      expect.objectContaining({ kind: 'outcome', state: 'unknown', intent: id }),
      expect.objectContaining({ i: 0 }),
    ]),
  )
})

test('one spool that is in use keeps all of them from being opened, and leaves nothing open', async () => {
  const own = await parts(2)
  await (await openRecorderThreads(own)).close()
  const { key, spool } = own.settings
  const open = (dir: string) => openAuditLog({ url: NOWHERE, source: 'threads', key, spool: dir, onError: () => {} })
  for (const [taken, free] of [
    [spool, join(spool, '2')],
    [join(spool, '2'), spool],
  ] as const) {
    const other = await open(taken)
    await expect(openRecorderThreads(own)).rejects.toMatchObject({ code: 'spool_locked' })
    await (await open(free)).close({ timeoutMs: 0 })
    await other.close({ timeoutMs: 0 })
  }
})

test('a thread that has ended shows in how they stand; sessions of the other go on', async () => {
  const workers: Worker[] = []
  const note = (worker: Worker) => void workers.push(worker)
  process.on('worker', note)
  const recorder = await openRecorderThreads(await parts(2))
  process.off('worker', note)
  const [one, other] = [recorder.next(), recorder.next()]
  await workers[0]!.terminate()
  await expect(one.record(asked('a', 0))).rejects.toMatchObject({ code: 'log_closed' })
  await other.record(asked('b', 0))
  expect(await recorder.status()).toMatchObject({
    ...{ state: 'closed', pending: 1 },
    lastError: expect.stringContaining('has ended'),
  })
  await expect(recorder.close()).rejects.toMatchObject({ code: 'log_closed' })
})

test('threads share the room of the spool', async () => {
  const own = await parts(2)
  const settings = { ...own.settings, limits: { ...own.settings.limits, spoolBytes: 3 << 20 } }
  const recorder = await openRecorderThreads({ ...own, settings })
  const sink = recorder.next()
  const large = { ...asked('a', 0), facts: { ...asked('a', 0).facts, told: { note: 'x'.repeat(60_000) } } }
  let passed = 0
  await expect(
    (async () => {
      for (;;) {
        await sink.record(large)
        passed += 1
      }
    })(),
  ).rejects.toMatchObject({ code: 'spool_full' })
  expect(passed).toBeGreaterThan(10)
  expect((await recorder.status()).spoolBytes).toBeLessThan(1.6 * 2 ** 20)
  await recorder.next().record(large)
  await recorder.close()
})

test('as many as two, unless set or where processes share the folder', () => {
  const base = { url: NOWHERE, source: 's', key: 'k' }
  const relay = (more: object) =>
    checkPostgresConfig({ ...base, spool: 'spool', server: { host: 'h' }, ...more }, '/nowhere').threads
  const proxy = (more: object) =>
    checkHttpConfig(
      ...([
        { ...base, spool: 'spool', upstream: 'http://h', unmatched: 'record', listen: { port: 0 }, ...more },
      ] as const),
      '/nowhere',
    ).threads
  for (const threads of [relay, proxy]) {
    expect(threads({})).toBe(Math.min(2, availableParallelism()))
    expect(threads({ threads: 19 })).toBe(19)
    expect(threads({ spool: 'spool-{worker}' })).toBe(1)
    for (const wrong of [0, 20, 1.5, '2'])
      expect(() => threads({ threads: wrong })).toThrow(/\/threads must be an integer from 1 to 19/)
    expect(() => threads({ spool: 'spool-{worker}', threads: 2 })).toThrow(
      /\/threads must be 1 where spool has \{worker\}/,
    )
  }
  expect(existsSync('/nowhere')).toBe(false)
})
