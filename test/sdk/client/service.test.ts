// Recorders and the real service: what they ask of each other while all is well, and when the operator goes back in time.
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { openAuditLog } from '../../../sdk/src/client/index.ts'
import { generateKey, publicJwk } from '../../../sdk/src/client/key.ts'
import { judgeFork, parseFork } from '../../../sdk/src/core/fork.ts'
import { parseKeptReceipt } from '../../../sdk/src/core/receipt.ts'
import { call, register, type TestService, testService } from '../../anchor-service/support/service.ts'
import { cutTail } from '../../anchor-service/support/superuser.ts'
import { event, tempDir } from './support.ts'

const SOURCES = ['one', 'two', 'functions'] as const
const keys = { one: generateKey(), two: generateKey(), functions: generateKey() }
const spools: Record<string, string> = {}
let service: TestService

beforeAll(async () => {
  // Private tiles: recorders have no token, and must get their proofs all the same.
  service = await testService({ KILLICK_TILES: 'private' })
  for (const source of SOURCES)
    expect((await register(service.url, source, [{ jwk: publicJwk(keys[source]) }])).status).toBe(201)
})
afterAll(() => rmSync(service.folder, { recursive: true, force: true }))

async function recorder(source: (typeof SOURCES)[number], url: string, asked: string[] = []) {
  const ask: typeof fetch = (input, init) => {
    if (init?.method === 'GET') asked.push(new URL(String(input)).pathname)
    return fetch(input, init)
  }
  const audit = await openAuditLog({
    ...{ url, source, key: keys[source], spool: spools[source]!, fetch: ask },
    ...{ onError: () => {}, onPin: () => {} },
  })
  onTestFinished(async () => {
    await audit.close({ timeoutMs: 0 })
  })
  const send = async () => {
    await audit.record(event(1))
    return audit.flush()
  }
  return { audit, send }
}

test('a stream without a disk is accepted event by event, and its end is told from silence', async () => {
  const options = { url: service.url, source: 'functions', key: keys.functions, logKey: service.vkey }
  const [ended, silent] = await Promise.all([0, 1].map(() => openAuditLog({ ...options, spool: 'memory' })))
  for (const audit of [ended!, silent!])
    expect((await audit.record(event(1))).receipt).toMatchObject({ source: 'functions', seq: 0, n: 1 })
  await ended!.close({ strict: true })
  const streams = async () => {
    const { streams } = (await call(service.url, '/v1/streams?source=functions')).json
    return new Map(streams.map((it: { stream: string; events: number; ended: boolean }) => [it.stream, it]))
  }
  expect(await streams()).toEqual(
    new Map([
      [ended!.status.stream, expect.objectContaining({ events: 2, ended: true })],
      [silent!.status.stream, expect.objectContaining({ events: 1, ended: false })],
    ]),
  )
  // A disk's stream may go on behind its end.
  const spool = tempDir()
  for (const endStream of [true, false]) {
    const audit = await openAuditLog({ ...options, spool, endStream })
    await audit.record(event(2))
    await audit.close({ strict: true })
    expect((await streams()).get(audit.status.stream)).toMatchObject({ ended: endStream })
  }
  await silent!.close()
})

test('a log that two recorders fill proves to each that it only grew; one that its operator cut back is caught', async () => {
  for (const source of ['one', 'two']) spools[source] = tempDir()
  const asked: string[] = []
  const [one, two] = [await recorder('one', service.url, asked), await recorder('two', service.url, asked)]
  for (let round = 0; round < 3; round++) for (const { send } of [one, two]) await send()
  expect(asked.filter((path) => path === '/v1/log')).toHaveLength(2)
  expect(asked.filter((path) => path === '/v1/consistency').length).toBeGreaterThanOrEqual(3)
  expect(one.audit.status).toMatchObject({ accepted: 3, logKey: service.vkey, pinned: 'first_use' })
  const [receipt] = await one.send()
  for (const { audit } of [one, two]) await audit.close()

  // With all keys, and a data folder that remembers nothing.
  await service.close()
  await cutTail(service.databaseUrl, receipt!.size - 1)
  const keyFile = (name: string) => join(service.folder, 'keys', name)
  const again = await testService({
    ...{ DATABASE_URL: service.databaseUrl, KILLICK_LOG_KEY: keyFile('log.json') },
    ...{ KILLICK_SYSTEM_KEY: keyFile('system.json') },
  })
  onTestFinished(() => again.stop())
  const [other] = await (await recorder('two', again.url)).send()
  const cheated = await recorder('one', again.url)
  await expect(cheated.send()).rejects.toMatchObject({ code: 'log_forked', details: { reason: 'lost' } })
  expect(cheated.audit.status).toMatchObject({ state: 'halted', accepted: 4, pending: 1 })
  const fork = parseFork(readFileSync(join(spools.one!, 'log-forked.json'), 'utf8'))
  // What the other recorder was given since then completes the evidence: the same place, another batch.
  const kept = readFileSync(join(spools.two!, 'receipts.ndjson'), 'utf8').trimEnd().split('\n')
  const newest = parseKeptReceipt(kept.at(-1)!)
  expect([newest.logIndex, receipt!.size - 1]).toEqual([other!.logIndex, receipt!.logIndex])
  const both = { ...fork, other: { note: newest.checkpoint, receipt: newest } }
  expect(judgeFork(both, service.vkey).outcome).toBe('forked')
})
