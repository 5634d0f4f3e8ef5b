import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkHttpConfig, type HttpProxy, startHttpProxy } from '@killick/gateway'
import { generateKey, openAuditLog, writeKeyFile } from '@killick/sdk'
import { type JsonObject, type ParsedEvent, parseEvent } from '@killick/sdk/core'
import { onTestFinished } from 'vitest'
import { NOWHERE } from '../support.ts'

// biome-ignore lint/suspicious/noExplicitAny: tests look into it
export type Told = any

export type World = {
  folder: string
  settings: JsonObject
  proxy: HttpProxy
  /** Where the proxy is. */
  url: string
  said: string[]
  /** Stops the proxy. */
  close(): Promise<void>
  /** Everything recorded, in order; the proxy is stopped for it. */
  events(): Promise<Told[]>
}

/** What the tests look at in an event. */
const told = ({ id, fields }: ParsedEvent): Told => {
  const { metadata } = fields as Told
  return { id, ...fields, http: metadata.http }
}

export const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex')

/** A folder with a key, and the configuration of a proxy for a server. Nothing leaves the spool, so all of it can be read there. */
export async function configure(upstream: string | JsonObject, settings: JsonObject = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'killick-http-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  await writeKeyFile(join(folder, 'key.json'), generateKey())
  const config: JsonObject = {
    ...{ url: NOWHERE, source: 'edge', key: 'key.json', spool: 'spool', unmatched: 'record', upstream },
    listen: { port: 0 },
    ...settings,
    limits: { drainMs: 0, graceMs: 5_000, ...(settings.limits as JsonObject) },
  }
  return { folder, config }
}

/** A proxy in this process. */
export async function begin(upstream: string | JsonObject, settings: JsonObject = {}): Promise<World> {
  const { folder, config } = await configure(upstream, settings)
  const said: string[] = []
  const proxy = await startHttpProxy(checkHttpConfig(config, folder), (text) => said.push(text))
  onTestFinished(() => proxy.close())
  return {
    ...{ folder, settings: config, proxy, said, url: proxy.url! },
    close: () => proxy.close(),
    async events() {
      await proxy.close()
      return eventsIn(folder)
    },
  }
}

/** What is in the spool of a folder; nothing may run there. */
export async function eventsIn(folder: string): Promise<Told[]> {
  const found: Told[] = []
  const spool = await openAuditLog({
    ...{ url: NOWHERE, source: 'edge', key: join(folder, 'key.json'), spool: join(folder, 'spool') },
    onError: () => {},
    onFound: (event) => void found.push(told(parseEvent(event))),
  })
  await spool.close({ timeoutMs: 0 })
  return found
}

/** A real server. Without a handler it answers with what it was sent. @returns its origin, and the heads of what it has seen */
export async function serve(
  handler?: (req: IncomingMessage, res: ServerResponse) => void,
): Promise<{ url: string; seen: string[]; server: Server; close(): void }> {
  const seen: string[] = []
  const server = createServer((req, res) => {
    seen.push(`${req.method} ${req.url}`)
    if (handler === undefined) echo(req, res).catch(() => res.destroy())
    else handler(req, res)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = () => {
    server.close()
    server.closeAllConnections()
  }
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen, server, close }
}

/** Answers with the head, the hash of the body and the trailers that came. */
export async function echo(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of req) {
    hash.update(chunk)
    bytes += chunk.length
  }
  const { method, url, headers, rawHeaders, trailers } = req
  const text = JSON.stringify({ method, url, headers, rawHeaders, trailers, bytes, sha256: hash.digest('hex') })
  res.setHeader('content-type', 'application/json')
  res.end(text)
}

/** Sends bytes as they are, and reads until the other side ends. */
export async function raw(url: string, text: string): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  let answer = ''
  socket.on('data', (chunk) => {
    answer += chunk
  })
  socket.on('error', () => {})
  socket.write(text, 'latin1')
  await once(socket, 'close')
  return answer
}

export const find = (events: readonly Told[], action: string): Told[] => events.filter((each) => each.action === action)
