/** A ledger whose chain's time is moved, so that what it holds grows old: services over one database, and who asks them. */
import { loadConfig } from '@killick/anchor-service'
import { auditLedger, openApi } from '@killick/sdk/audit'
import type { EventInput } from '@killick/sdk/core'
import { expect, vi } from 'vitest'
import { ownChecks } from '../../../anchor-service/src/audit/checks.ts'
import { NOTING_READERS } from '../../../anchor-service/src/audit/noted.ts'
import { openStore } from '../../../anchor-service/src/open-store.ts'
import { startChain } from '../../support/local-chain.ts'
import { newSigner, Producer, post } from './producer.ts'
import { call, ERASER, READER, register, type TestService, testService } from './service.ts'

const DAY = 86_400

// biome-ignore lint/suspicious/noExplicitAny: rows as a service lists them
type Told = any

export type AgingLedger = Awaited<ReturnType<typeof startAging>>

/** @param sources registered at the start @param settings of its services */
export async function startAging(sources: readonly string[], settings: Record<string, string> = {}) {
  const chain = await startChain()
  const env = {
    ...{ KILLICK_RPC_URL: chain.url, KILLICK_CONTRACT: await chain.deployAnchorLog() },
    ...{ KILLICK_CHAIN_KEY: await chain.newKey(), KILLICK_ANCHOR_INTERVAL_MS: '100', KILLICK_CONFIRMATIONS: '1' },
    ...{ KILLICK_RETENTION_INTERVAL_MS: '50', ...settings },
  }
  let service: TestService = await testService(env)
  const producers = new Map(sources.map((name) => [name, new Producer(name, newSigner())]))
  for (const { source, signer } of producers.values()) await register(service.url, source, [{ jwk: signer.jwk }])

  const producer = (source: string) => producers.get(source)!
  const send = (method: string, path: string, token: string, body?: object) =>
    call(service.url, path, token, {
      method,
      ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    })
  const retention = async (): Promise<Told> => (await call(service.url, '/v1/retention')).json

  async function record(by: Producer, inputs: EventInput[]): Promise<void> {
    const batch = await by.batch(inputs)
    const reply = await post(service.url, batch.body)
    expect(reply.status, JSON.stringify(reply)).toBeLessThan(300)
    batch.advance()
  }

  const until = (what: () => Promise<void>) => vi.waitFor(what, { timeout: 20_000, interval: 50 })

  /** Until a final anchor covers the log as it is now, or a size. */
  const anchored = (size?: number) =>
    until(async () => {
      const { logSize } = (await call(service.url, '/readyz')).json
      expect((await retention()).clock?.size ?? 0).toBeGreaterThanOrEqual(size ?? logSize - 2)
    })

  return {
    ...{ chain, env, producer, send, retention, record, until, anchored },
    get service() {
      return service
    },
    put: (id: string, body: object, token = ERASER) => send('PUT', `/v1/retention/policies/${id}`, token, body),
    policy: async (id: string): Promise<Told> =>
      (await retention()).policies.find((one: { id: string }) => one.id === id),
    search: async (query: string): Promise<Told[]> =>
      (await call(service.url, `/v1/events?limit=500&${query}`)).json.events,

    /** Ends the service and starts it again, with other settings besides. */
    async restart(more: Record<string, string> = {}): Promise<void> {
      await service.close()
      service = await testService({ ...env, ...more }, service)
    },

    /** Moves the chain's clock, and waits for an anchor of that time. @param by who records what is anchored then */
    async pass(days: number, by: Producer, event: EventInput): Promise<void> {
      await anchored()
      await chain.rpc('evm_increaseTime', [days * DAY])
      await chain.rpc('evm_mine')
      const { clock } = await retention()
      await record(by, [event])
      await until(async () => {
        const moved = Date.parse((await retention()).clock.time) - Date.parse(clock.time)
        expect(moved).toBeGreaterThanOrEqual(days * DAY * 1000)
      })
    },

    /** What an auditor who has the database too finds. */
    async audit() {
      const store = await openStore(
        loadConfig({ ...env, DATABASE_URL: service.databaseUrl, KILLICK_DATA: service.folder }),
      )
      try {
        const { targets } = (await call(service.url, '/v1/log')).json
        const pins = { logKeys: [service.vkey], sourceKeys: [], logs: targets, urls: [chain.url] }
        // Whoever compares the service's clock with the chain's finds that the latter was moved.
        const own = ownChecks(store.pool, service.vkey, true).filter(({ id }) => id !== 'anchors.rows')
        const { checks, events } = await auditLedger(openApi(service.url, READER), pins, {
          own,
          readers: NOTING_READERS,
        })
        const failed = checks.filter(({ status }) => status === 'failed')
        return {
          failed: failed.map(({ id, reason, detail }) => ({ id, reason, detail })),
          events,
          check: (id: string) => checks.find((check) => check.id === id),
        }
      } finally {
        await store.close()
      }
    },

    async stop(): Promise<void> {
      await service.stop()
      await chain.stop()
    },
  }
}
