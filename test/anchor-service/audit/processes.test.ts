// Several processes, restarts and ends, without a chain. What only the chain could tell is reported as open.
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { auditLedger, openApi } from '@killick/sdk/audit'
import { afterEach, describe, expect, test } from 'vitest'
import { loadConfig } from '../../../anchor-service/src/config.ts'
import { loadSigner } from '../../../anchor-service/src/ledger/signing-keys.ts'
import { alterToken, numberOf } from '../support/packs.ts'
import { call, READER, register, type TestService, testService } from '../support/service.ts'
import { auditStatus, metric, moreAudits, recordSome, systemEvents, untilAudit } from './support/audits.ts'

const running: TestService[] = []
const start = async (...args: Parameters<typeof testService>) => {
  const service = await testService(...args)
  running.push(service)
  return service
}
const isOver = (service: TestService) => running.splice(running.indexOf(service), 1)
afterEach(async () => {
  for (const service of running.splice(0).reverse()) await service.stop()
})

const OFTEN = { KILLICK_AUDIT_INTERVAL_MS: '500' }

test('without a chain the audit is undecided and says why', async () => {
  const service = await start(OFTEN)
  const { last, failed } = await untilAudit(service, ({ last }) => last !== null)
  expect(failed).toBe(false)
  expect(last).toMatchObject({ outcome: 'undecided', findings: [{ check: 'anchors.log' }, { check: 'anchors.chain' }] })
  expect(await metric(service, 'killick_audit_last_success_timestamp_seconds')).toBe(0)
})

test('nothing is audited if the audit is switched off', async () => {
  const service = await start()
  expect(await auditStatus(service)).toBeNull()
})

test('one of two processes on a database audits; when it ends, the other takes over', async () => {
  const first = await start(OFTEN)
  await untilAudit(first, ({ last }) => last !== null)
  const second = await start(OFTEN, first)
  await untilAudit(second, ({ state, last }) => state === 'elsewhere' && last !== null)
  await moreAudits(first, 2)
  expect((await auditStatus(second)).state).toBe('elsewhere')
  const reads = /route="\/checkpoint"/
  expect((await call(first.url, '/metrics')).text).toMatch(reads)
  expect((await call(second.url, '/metrics')).text).not.toMatch(reads)
  isOver(first)
  await first.close()
  await untilAudit(second, ({ state }) => state !== 'elsewhere')
  await moreAudits(second, 1)
})

test('a service that closes does not wait for its audit, and the next service takes over', async () => {
  const quiet = await start()
  await recordSome(quiet, 30, 1)
  const service = await start({ ...OFTEN, KILLICK_AUDIT_PACE: '1' }, quiet)
  const { progress } = await untilAudit(service, ({ progress }) => (progress?.batches ?? 0) > 0)
  expect(progress!.batches).toBeLessThan(progress!.size)
  const before = Date.now()
  isOver(service)
  await service.close()
  expect(Date.now() - before).toBeLessThan(3_000)
  const next = await start(OFTEN, service)
  await untilAudit(next, ({ last }) => (last?.size ?? 0) > 30)
})

test('an alarm outlives a restart', async () => {
  const service = await start(OFTEN)
  await recordSome(service, 1, 3)
  await alterToken(service.databaseUrl, await numberOf(service.databaseUrl, 'billing', 1), () => '')
  await untilAudit(service, ({ failed }) => failed)
  await expect.poll(async () => (await systemEvents(service, 'audit.fail')).length).toBe(1)
  isOver(service)
  await service.close()
  const next = await start({ KILLICK_AUDIT_INTERVAL_MS: '600000' }, service)
  const { last } = await untilAudit(next, ({ failed }) => failed)
  expect(last).toMatchObject({ outcome: 'fail', first: { source: 'billing' } })
  expect(await metric(next, 'killick_audit_failed')).toBe(1)
})

describe('the key of the source killick is pinned', () => {
  test('and an earlier key must be named', async () => {
    const service = await start()
    const elsewhere = await mkdtemp(join(tmpdir(), 'killick-keys-'))
    const [newKey, oldKey] = [join(elsewhere, 'new.json'), join(elsewhere, 'old.json')]
    await copyFile(join(service.folder, 'keys/system.json'), oldKey)
    const { jwk } = await loadSigner(newKey)
    await expect(start({ ...OFTEN, KILLICK_SYSTEM_KEY: newKey }, service)).rejects.toThrow('is not registered')
    expect((await register(service.url, 'killick', [{ jwk }])).status).toBe(201)
    const changed = await start({ ...OFTEN, KILLICK_SYSTEM_KEY: newKey }, service)
    const { last } = await untilAudit(changed, ({ last }) => last !== null)
    expect(last).toMatchObject({ outcome: 'fail', first: { source: 'killick', seq: 0 } })
    isOver(changed)
    await changed.close()
    const named = await start({ ...OFTEN, KILLICK_SYSTEM_KEY: newKey, KILLICK_AUDIT_SYSTEM_KEYS: oldKey }, service)
    await untilAudit(named, ({ last }) => last?.outcome === 'undecided')
    await rm(elsewhere, { recursive: true })
  })

  test('wrong settings are named', () => {
    const env = {
      ...{ KILLICK_AUDIT_INTERVAL_MS: '-1', KILLICK_AUDIT_PACE: 'fast' },
      ...{ KILLICK_AUDIT_WEBHOOK: 'ftp://receiver', KILLICK_AUDIT_SYSTEM_KEYS: '/nowhere/key.json' },
    }
    for (const name of Object.keys(env)) expect(() => loadConfig(env)).toThrow(name)
  })
})

describe('auditLedger', () => {
  const nothing = { logKeys: [], sourceKeys: [], logs: [], urls: [] }

  test('checks at most one page of events more than the pace allows', async () => {
    const service = await start()
    await recordSome(service, 20, 2)
    const api = openApi(service.url, READER)
    const pace = 10
    const started = performance.now()
    const excess: number[] = []
    const result = await auditLedger(api, nothing, {
      pace,
      onProgress: ({ events }) => excess.push(events - ((performance.now() - started) / 1000) * pace),
    })
    expect(result.events).toBeGreaterThan(40)
    expect(excess).toHaveLength(result.size)
    // A page holds as many batches as may be checked in a second; these have two events each.
    expect(Math.max(...excess)).toBeLessThanOrEqual(2 * pace)
  })

  test('ends when its signal aborts, even while it waits', async () => {
    const service = await start()
    await recordSome(service, 5, 2)
    const stop = new AbortController()
    const audit = auditLedger(openApi(service.url, READER), nothing, {
      ...{ pace: 0.01, signal: stop.signal },
      onProgress: () => setTimeout(() => stop.abort(new Error('enough')), 50),
    })
    await expect(audit).rejects.toThrow('enough')
  })

  test('asks again after the service refused it for its rate', async () => {
    let requests = 0
    const server = createServer((_, response) => {
      requests += 1
      if (requests === 1) response.writeHead(429, { 'retry-after': '1' }).end()
      else response.end('later')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const api = openApi(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, READER)
    const before = performance.now()
    expect(await api.text('/checkpoint')).toBe('later')
    expect(performance.now() - before).toBeGreaterThan(900)
    server.close()
  })
})
