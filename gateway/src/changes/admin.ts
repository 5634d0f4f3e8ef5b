// What an operator's tools ask a running recorder: whether it is ready, and figures.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Gauge, Registry } from 'prom-client'
import type { ChangesConfig } from './config.ts'
import type { ChangesStatus } from './recorder.ts'

export type Admin = { readonly url: string; close(): void }

/** Serves `/readyz` and `/metrics`. @throws the error of the socket */
export async function serveAdmin(
  { host, port }: NonNullable<ChangesConfig['admin']>,
  status: () => ChangesStatus,
): Promise<Admin> {
  const registry = metricsOf(status)
  const server = createServer(async (request, response) => {
    if (request.method === 'GET' && request.url === '/readyz') {
      const { isReady, isConnected, lagBytes, committedMs, confirmed, log } = status()
      const answer = { status: isReady ? 'ready' : 'not_ready', isConnected, lagBytes, committedMs, confirmed }
      response.writeHead(isReady ? 200 : 503, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ ...answer, ledger: log.state, pending: log.pending }))
    } else if (request.method === 'GET' && request.url === '/metrics') {
      response.writeHead(200, { 'content-type': registry.contentType }).end(await registry.metrics())
    } else response.writeHead(404).end()
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve))
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${(server.address() as AddressInfo).port}`,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

function metricsOf(status: () => ChangesStatus): Registry {
  const registry = new Registry()
  const gauge = (name: string, help: string, read: (status: ChangesStatus) => number | null) =>
    new Gauge({
      ...{ name: `killick_changes_${name}`, help, registers: [registry] },
      collect() {
        const value = read(status())
        if (value !== null) this.set(value)
      },
    })
  gauge('connected', 'Whether the stream of the database is open', ({ isConnected }) => Number(isConnected))
  gauge('ready', 'What /readyz says', ({ isReady }) => Number(isReady))
  gauge('lag_bytes', 'Bytes of the log of the database that the slot holds back', ({ lagBytes }) => lagBytes)
  gauge(
    'committed_seconds',
    'When the newest transaction that was read was committed, by the clock of the database',
    ({ committedMs }) => committedMs && committedMs / 1000,
  )
  gauge('recorded_events', 'Events recorded since the start', ({ recorded }) => recorded)
  gauge('reconnects', 'Times that the connection was made anew since the start', ({ reconnects }) => reconnects)
  gauge('pending_events', 'Events in the spool that the ledger has not accepted', ({ log }) => log.pending)
  gauge('spool_bytes', 'Size of the spool', ({ log }) => log.spoolBytes)
  gauge('failed_sends', 'Attempts to send that failed since the start', ({ log }) => log.retries)
  return registry
}
