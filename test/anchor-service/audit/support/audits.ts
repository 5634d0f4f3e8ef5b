// What the tests of the background audit share: a view from outside, a webhook's receiver, and somebody who owns the database.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AuditStatus } from '../../../../anchor-service/src/audit/index.ts'
import type { Notice } from '../../../../anchor-service/src/audit/webhook.ts'
import { queryAsOwner } from '../../../support/postgres.ts'
import { newSigner, Producer, post, sampleEvent } from '../../support/producer.ts'
import { call, register, type TestService } from '../../support/service.ts'

export const auditStatus = async ({ url }: TestService): Promise<AuditStatus> => (await call(url, '/readyz')).json.audit

/** Waits for a status that is as wanted, and returns it. It stays so for an audit at least, and each look costs 5 ms of CPU. */
export async function untilAudit(
  service: TestService,
  isWanted: (status: AuditStatus) => boolean,
  ms = 20_000,
): Promise<AuditStatus> {
  for (const end = Date.now() + ms; ; await sleep(100)) {
    const status = await auditStatus(service)
    if (isWanted(status)) return status
    if (Date.now() > end) throw new Error(`the audit stays ${JSON.stringify(status)}`)
  }
}

/** Waits until `count` further audits have ended. */
export async function moreAudits(service: TestService, count: number): Promise<void> {
  let { last } = await auditStatus(service)
  for (let i = 0; i < count; i++) ({ last } = await untilAudit(service, (now) => now.last?.at !== last?.at))
}

export async function metric({ url }: TestService, name: string): Promise<number> {
  const { text } = await call(url, '/metrics')
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1])
}

export type SystemEvent = { action: string; fields: { outcome?: string; metadata: Record<string, unknown> } }

/** Events of the system stream with this action, newest first. */
export async function systemEvents({ url }: TestService, action: string): Promise<SystemEvent[]> {
  return (await call(url, `/v1/events?source=killick&action=${action}&limit=100`)).json.events
}

/** Records `batches` batches of `events` events each. */
export async function recordSome({ url }: TestService, batches: number, events: number): Promise<Producer> {
  const signer = newSigner()
  await register(url, 'billing', [{ jwk: signer.jwk }])
  const producer = new Producer('billing', signer)
  for (let i = 0; i < batches; i++) await recordBatch(url, producer, events)
  return producer
}

export async function recordBatch(url: string, producer: Producer, events: number): Promise<number> {
  const batch = await producer.batch(Array.from({ length: events }, (_, i) => sampleEvent(i)))
  batch.advance()
  return (await post(url, batch.body)).status
}

/** Receives notices; refuses the first `refusals` of them. */
export async function startReceiver(refusals = 0) {
  const notices: Notice[] = []
  let requests = 0
  const server = createServer(async (request, response) => {
    const notice = JSON.parse(await text(request)) as Notice
    requests += 1
    if (requests <= refusals) return void response.writeHead(500).end()
    notices.push(notice)
    response.writeHead(204).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    notices,
    close: () => new Promise((resolve) => server.close(resolve)),
  }
}

/** Runs SQL as the database's owner, with triggers disabled. */
export function tamper({ databaseUrl }: TestService, sql: string): Promise<unknown> {
  return queryAsOwner(
    databaseUrl,
    `set search_path = killick; set session_replication_role = replica; ${sql}; set session_replication_role = default`,
  )
}
