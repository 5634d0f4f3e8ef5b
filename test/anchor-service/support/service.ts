import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig, type Service, startAnchoring, startService } from '@killick/anchor-service'
import type { PublicJwk } from '@killick/sdk'
import { createDatabase } from '../../support/postgres.ts'

export const ADMIN = 'admin-token-for-tests'
export const READER = 'reader-token-for-tests'
export const ERASER = 'eraser-token-for-tests'

/** Two people whose tokens take the place of the one for erasures. */
export const ANNA = 'token-of-anna-for-tests'
export const BEN = 'token-of-ben-for-tests'

/** The settings of a service whose erasures take both. */
export async function twoPeople(): Promise<Record<string, string>> {
  const file = join(await mkdtemp(join(tmpdir(), 'killick-people-')), 'erasers.json')
  await writeFile(file, JSON.stringify({ anna: ANNA, ben: BEN }))
  return { KILLICK_ERASERS: file, KILLICK_ERASER_TOKEN: '' }
}

export type TestService = Service & { folder: string; stop(): Promise<void> }

/** Starts a service on a fresh database, or on that of `like`. */
export async function testService(env: Record<string, string> = {}, like?: TestService): Promise<TestService> {
  const folder = like?.folder ?? (await mkdtemp(join(tmpdir(), 'killick-service-')))
  const service = await startService(
    loadConfig({
      DATABASE_URL: like?.databaseUrl ?? (await createDatabase(true)),
      KILLICK_DATA: folder,
      KILLICK_ADMIN_TOKEN: ADMIN,
      KILLICK_READER_TOKEN: READER,
      KILLICK_ERASER_TOKEN: ERASER,
      KILLICK_LOG_LEVEL: 'silent',
      PORT: '0',
      KILLICK_AUDIT_INTERVAL_MS: '0',
      // What is waited for is seen soon; for a service that anchors, a look costs little.
      KILLICK_ANCHOR_POLL_MS: '100',
      ...env,
    }),
    startAnchoring,
  )
  return {
    ...service,
    folder,
    async stop() {
      await service.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Sends a request with a token. @returns the reply as text and, if it is JSON, parsed */
export async function call(url: string, path: string, token: string | null = READER, init: RequestInit = {}) {
  const headers = { ...(token && { authorization: `Bearer ${token}` }), ...(init.headers as Record<string, string>) }
  const response = await fetch(`${url}${path}`, { ...init, headers })
  const text = await response.text()
  const isJson = /[/+]json/.test(response.headers.get('content-type') ?? '')
  return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : null }
}

export type KeyEntry = { jwk: PublicJwk; notBefore?: string | null; notAfter?: string | null }

export async function register(url: string, source: string, keys: KeyEntry[], more: object = {}) {
  return call(url, '/v1/sources', ADMIN, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ source, keys, ...more }),
  })
}
