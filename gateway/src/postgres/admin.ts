// Metrics and health of the relay, on an address of their own.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Registry } from 'prom-client'
import { GatewayStartError } from '../errors.ts'

/** @param notReady why the relay is not ready; null if it is @throws GatewayStartError `gateway_start_failed` */
export async function startAdmin(
  address: { host: string; port: number } | null,
  registry: Registry,
  notReady: () => Promise<string | null>,
): Promise<{ url: string; close(): Promise<void> } | null> {
  if (address === null) return null
  const server = createServer(async ({ url, method }, response) => {
    const say = (status: number, text: string, type = 'text/plain; charset=utf-8') =>
      response.writeHead(status, { 'content-type': type }).end(text)
    if (method !== 'GET' && method !== 'HEAD') say(405, 'Only GET.\n')
    else if (url === '/healthz') say(200, 'ok\n')
    else if (url === '/readyz') {
      const why = await notReady()
      say(why === null ? 200 : 503, `${why ?? 'ok'}\n`)
    } else if (url === '/metrics') say(200, await registry.metrics(), registry.contentType)
    else say(404, 'There is nothing at this address.\n')
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', ({ message }) =>
      reject(
        new GatewayStartError('gateway_start_failed', `Cannot listen on ${address.host}:${address.port}: ${message}`),
      ),
    )
    server.listen(address.port, address.host, () => resolve())
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://${address.host.includes(':') ? `[${address.host}]` : address.host}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
