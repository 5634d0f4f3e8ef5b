// The audit in the background, of a service that anchors.
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type LocalChain, startChain } from '../../support/local-chain.ts'
import { alterToken, numberOf, partsOf, swapAt } from '../support/packs.ts'
import type { Producer } from '../support/producer.ts'
import { type TestService, testService } from '../support/service.ts'
import {
  metric,
  moreAudits,
  recordBatch,
  recordSome,
  startReceiver,
  systemEvents,
  tamper,
  untilAudit,
} from './support/audits.ts'

let chain: LocalChain
let receiver: Awaited<ReturnType<typeof startReceiver>>
let service: TestService
let producer: Producer
let env: Record<string, string>

beforeAll(async () => {
  chain = await startChain()
  receiver = await startReceiver(1)
  env = {
    KILLICK_RPC_URL: chain.url,
    KILLICK_CONTRACT: await chain.deployAnchorLog(),
    KILLICK_CHAIN_KEY: await chain.newKey(),
    KILLICK_ANCHOR_INTERVAL_MS: '200',
    KILLICK_CONFIRMATIONS: '1',
    KILLICK_AUDIT_INTERVAL_MS: '1000',
    KILLICK_AUDIT_WEBHOOK: receiver.url,
  }
})
afterAll(async () => {
  await receiver.close()
  await chain.stop()
})

// Its audits follow each other without a pause, so this service ends before others begin.
describe('a service that audits', () => {
  beforeAll(async () => {
    service = await testService(env)
    producer = await recordSome(service, 3, 5)
  })
  afterAll(() => service.stop())

  test('an honest, anchored ledger passes, which is reported and recorded', async () => {
    const { failed, last } = await untilAudit(
      service,
      ({ last }) => last?.outcome === 'pass' && (last.events ?? 0) > 15,
    )
    expect(failed).toBe(false)
    expect(last).toMatchObject({ first: null, findings: [] })
    expect(await metric(service, 'killick_audit_failed')).toBe(0)
    expect(await metric(service, 'killick_audit_events')).toBeGreaterThan(15)
    const since = Date.now() / 1000 - (await metric(service, 'killick_audit_last_success_timestamp_seconds'))
    expect(since).toBeLessThan(60)
    await vi.waitFor(async () => {
      const [event] = await systemEvents(service, 'audit.pass')
      expect(event).toMatchObject({
        fields: { outcome: 'success', metadata: { root: expect.stringMatching(/^.{43}$/) } },
      })
      expect(event?.fields.metadata.size).toBeGreaterThan(4)
    }, 20_000)
  })

  test('audits of a ledger at rest do not make it grow', async () => {
    await moreAudits(service, 2)
    const before = (await systemEvents(service, 'audit.pass')).length
    await moreAudits(service, 3)
    expect(await systemEvents(service, 'audit.pass')).toHaveLength(before)
    expect(await recordBatch(service.url, producer, 1)).toBe(201)
    await vi.waitFor(async () => expect(await systemEvents(service, 'audit.pass')).toHaveLength(before + 1), 10_000)
  })

  describe.each<[string, Parameters<typeof alterToken>[2]]>([
    ['the signed part of an event', (token) => swapAt(token, 200)],
    ['what an event says', (token, tokens, i) => `${partsOf(token).jws}~${partsOf(tokens[i + 1]!).disclosures}`],
  ])('%s, changed by whoever owns the database', (_, alter) => {
    const place = { source: 'billing', seq: 7 }
    let logIndex: number

    test('is found, named and reported everywhere', async () => {
      receiver.notices.length = 0
      const known = (await systemEvents(service, 'audit.fail')).length
      await tamper(service, 'create table public.kept as select * from packs')
      await alterToken(service.databaseUrl, await numberOf(service.databaseUrl, 'billing', place.seq), alter)
      const { last } = await untilAudit(service, ({ failed }) => failed)
      expect(last).toMatchObject({ outcome: 'fail', first: { ...place, stream: producer.stream } })
      const detail = expect.stringContaining(last!.first!.message)
      expect(last!.findings).toContainEqual({ check: 'events', reason: 'unreadable', detail })
      logIndex = last!.first!.logIndex
      expect(await metric(service, 'killick_audit_failed')).toBe(1)

      await vi.waitFor(() => expect(receiver.notices).toHaveLength(1), 10_000)
      expect(receiver.notices[0]).toMatchObject({
        type: 'audit.fail',
        origin: service.origin,
        first: { ...place, logIndex },
      })
      await vi.waitFor(async () => {
        const events = await systemEvents(service, 'audit.fail')
        expect(events).toHaveLength(known + 1)
        expect(events[0]).toMatchObject({ fields: { outcome: 'failure', metadata: { first: { ...place, logIndex } } } })
      }, 20_000)
    })

    test('stops nothing from being recorded, and is reported once', async () => {
      expect(await recordBatch(service.url, producer, 1)).toBe(201)
      await moreAudits(service, 2)
      expect(receiver.notices).toHaveLength(1)
    })

    test('lets the next audit pass once it is put back, and that is reported', async () => {
      await tamper(
        service,
        'delete from packs p using public.kept k where k.first_event = p.first_event; insert into packs select * from public.kept; drop table public.kept',
      )
      const { last } = await untilAudit(service, ({ failed }) => !failed)
      expect(last).toMatchObject({ outcome: 'pass', first: null })
      await vi.waitFor(
        () => expect(receiver.notices.map(({ type }) => type)).toEqual(['audit.fail', 'audit.recover']),
        10_000,
      )
      expect(await metric(service, 'killick_audit_failed')).toBe(0)
    })
  })

  test('a schema altered so that no audit can be carried through is named all the same', async () => {
    receiver.notices.length = 0
    await tamper(service, 'alter table proposals rename column expires_at to expired_at')
    const { last } = await untilAudit(service, ({ failed }) => failed)
    expect(last).toMatchObject({ outcome: 'fail', size: null, first: null })
    const detail = expect.stringContaining('proposals.')
    expect(last!.findings).toEqual([
      { check: 'schema', reason: 'untold', detail },
      { check: 'audit', reason: 'stopped', detail: expect.stringContaining('expires_at') },
    ])
    await vi.waitFor(() => expect(receiver.notices).toMatchObject([{ type: 'audit.fail' }]), 10_000)
    await tamper(service, 'alter table proposals rename column expired_at to expires_at')
    await untilAudit(service, ({ failed }) => !failed)
  })

  test('a notice that the receiver refused is sent again, and the failure is counted', async () => {
    expect(await metric(service, 'killick_audit_webhook_failures_total')).toBe(1)
  })
})

test('the contract knows that a log was cut back, even if every trace of its anchors was deleted', async () => {
  const mine = { ...env, KILLICK_CHAIN_KEY: await chain.newKey() }
  const whole = await testService({ ...mine, KILLICK_AUDIT_INTERVAL_MS: '0' })
  await recordSome(whole, 2, 1)
  await vi.waitFor(async () => expect(await metric(whole, 'killick_anchored_size')).toBeGreaterThan(3), 10_000)
  await whole.close()
  const from = 'where log_index > 0'
  await tamper(
    whole,
    `delete from pack_keys where first_event >= (select first_event from batches where log_index = 1);
     delete from batches ${from}; delete from packs ${from};
     delete from tiles where start > 0; delete from checkpoints where size > 1; delete from anchor_states; delete from anchors`,
  )
  const rest = await testService({ ...mine, KILLICK_WORKER: 'off' }, whole)
  const { last } = await untilAudit(rest, ({ last }) => last !== null)
  expect(last).toMatchObject({ outcome: 'fail', size: 1, first: { logIndex: 1 } })
  // The process remembers the head, the sources lost their registrations, and nobody can edit the contract.
  expect(last!.findings.map(({ check, reason }) => [check, reason])).toEqual([
    ['head.memory', 'removed'],
    ['registry', 'untold'],
    ['anchors.chain', 'removed'],
    ['told', 'untold'],
  ])
  expect(last!.findings[2]!.detail).toContain('were removed')
  await rest.stop()
})

test('while no node answers, faults are found; if there are none, the audit is undecided and an alarm stays', async () => {
  const rpc = { KILLICK_RPC_URL: 'http://127.0.0.1:1', KILLICK_WORKER: 'off' }
  const alone = await testService({ ...env, ...rpc, KILLICK_AUDIT_WEBHOOK: '' })
  await recordSome(alone, 1, 3)
  const { last } = await untilAudit(alone, ({ last }) => last?.outcome === 'undecided')
  const detail = expect.stringContaining('127.0.0.1:1')
  expect(last!.findings).toContainEqual({ check: 'anchors.chain', reason: 'node_unreadable', detail })
  await vi.waitFor(async () => expect(await systemEvents(alone, 'audit.undecided')).not.toHaveLength(0), 10_000)

  const number = await numberOf(alone.databaseUrl, 'billing', 1)
  await alterToken(alone.databaseUrl, number, (token) => token.replaceAll('~', 'A~'))
  await untilAudit(alone, ({ failed }) => failed)
  await alterToken(alone.databaseUrl, number, (token) => token.replaceAll('A~', '~'))
  await untilAudit(alone, ({ last, failed }) => failed && last?.outcome === 'undecided')
  await alone.stop()
})
