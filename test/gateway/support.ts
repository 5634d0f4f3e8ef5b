import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ConnectionOptions, connect as tlsConnect } from 'node:tls'
import { type Collector, checkCollectorConfig, makeEmitterKey, startCollector } from '@killick/gateway'
import { generateKey, type PublicJwk, publicJwk, writeKeyFile } from '@killick/sdk'
import type { JsonObject } from '@killick/sdk/core'
import { vi } from 'vitest'

/** Nobody listens there. */
export const NOWHERE = 'http://127.0.0.1:9'

export type TestCollector = {
  url: string
  folder: string
  jwk: PublicJwk
  collector: Collector
  /** A key of the emitter `payroll`, and one of `billing`. */
  keys: { payroll: string; billing: string }
  /** Sends to /v1/events as `payroll`. */
  send(
    body: unknown,
    init?: { path?: string; key?: string | null; type?: string; headers?: Record<string, string> },
  ): Promise<Answer>
  /** Stops it and starts another one on its folder. */
  restart(): Promise<void>
  stop(): Promise<void>
}

export type Answer = {
  status: number
  headers: Headers
  text: string
  json: Record<string, unknown> & { code?: string }
}

export const sample = (n: number, more: object = {}) => ({
  action: 'salary.pay',
  actor: { type: 'user', id: 'ada' },
  targets: [{ type: 'employee', id: String(n) }],
  ...more,
})

/** The configuration of a test: `settings` take the place of members, and `emitters` too. */
export async function prepare(
  url: string,
  settings: JsonObject = {},
): Promise<{ folder: string; jwk: PublicJwk; keys: TestCollector['keys']; config: JsonObject }> {
  const folder = mkdtempSync(join(tmpdir(), 'killick-gateway-'))
  const key = generateKey()
  await writeKeyFile(join(folder, 'key.json'), key)
  const [payroll, billing] = [makeEmitterKey(), makeEmitterKey()]
  const config: JsonObject = {
    ...{ url, source: 'edge-1', key: 'key.json', spool: 'spool', logLevel: 'silent', listen: { port: 0 } },
    emitters: [
      { name: 'payroll', keys: [payroll.entry], sources: ['payroll', 'hr-*'] },
      { name: 'billing', keys: [billing.entry], actions: ['invoice.*'], tenants: ['acme'] },
    ],
    ...settings,
  }
  return { folder, jwk: publicJwk(key), keys: { payroll: payroll.key, billing: billing.key }, config }
}

export async function testCollector(url: string = NOWHERE, settings: JsonObject = {}): Promise<TestCollector> {
  const { folder, jwk, keys, config } = await prepare(url, {
    ...settings,
    limits: { drainMs: 0, ...(settings.limits as JsonObject) },
  })
  const start = () => startCollector(checkCollectorConfig(config, folder))
  const made: TestCollector = {
    ...{ url: '', folder, jwk, keys, collector: await start() },
    async send(body, { path = '/v1/events', key = keys.payroll, type = 'application/json', headers = {} } = {}) {
      const isRaw = typeof body === 'string' || body instanceof Uint8Array
      return post(`${made.url}${path}`, isRaw ? body : JSON.stringify(body), {
        'content-type': type,
        ...(key !== null && { authorization: `Bearer ${key}` }),
        ...headers,
      })
    },
    async restart() {
      await made.collector.close()
      made.collector = await start()
      made.url = made.collector.url ?? ''
    },
    async stop() {
      await made.collector.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
  made.url = made.collector.url ?? ''
  return made
}

export async function post(url: string, body: string | Uint8Array, headers: Record<string, string>): Promise<Answer> {
  const response = await fetch(url, { method: 'POST', headers, body: body as string })
  const text = await response.text()
  const isJson = /json/.test(response.headers.get('content-type') ?? '')
  return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : {} }
}

/** The serial number of the certificate that a listener with TLS shows; `socket`: a connection that has begun otherwise. */
export async function shownSerial(port: number, options: ConnectionOptions = {}): Promise<string> {
  const socket = tlsConnect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  const { serialNumber } = socket.getPeerCertificate()
  socket.destroy()
  return serialNumber
}

export const serialIn = (file: string): string => new X509Certificate(readFileSync(file)).serialNumber

/** Has timers of listeners started while `work` runs, and lets so much time pass for them as they take to look for other certificates. */
export async function withLooks<T>(work: (look: () => void) => Promise<T>): Promise<T> {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  try {
    return await work(() => void vi.advanceTimersByTime(30_000))
  } finally {
    vi.useRealTimers()
  }
}

/** Makes certificates in a folder, as `<name>.crt` and `<name>.key`. Node makes none. */
export function certifier(folder: string) {
  const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  const issue = (name: string, more: readonly string[]) => {
    const files = ['-keyout', `${name}.key`, '-out', `${name}.crt`, '-subj', `/CN=${name}`]
    execFileSync('openssl', [...made, ...files, ...more], { cwd: folder, stdio: 'pipe' })
  }
  issue('ca', [])
  return {
    /** @param alternative such as `DNS:localhost` @param isByCa false: signed by itself */
    issue(name: string, alternative: string, isByCa = true): void {
      const signer = isByCa ? ['-CA', 'ca.crt', '-CAkey', 'ca.key'] : []
      issue(name, ['-addext', `subjectAltName=${alternative}`, ...signer])
    },
    file: (name: string): string => join(folder, name),
  }
}
