// The server behind the proxy, and the connections to it.
import { readFileSync } from 'node:fs'
import { Agent, type ClientRequest, request } from 'node:http'
import { Agent as TlsAgent, request as tlsRequest } from 'node:https'
import { isIP } from 'node:net'
import { GatewayStartError } from '../errors.ts'
import type { HeaderMap } from './headers.ts'

/** The server behind the proxy. */
export type HttpUpstream = {
  /**
   * Its origin, `http://` or `https://` with host and port and no path; or `unix:` and the path of a socket. It is spoken to in HTTP/1.1. Its
   * certificate must be for this host, whatever `host` is, or for `serverName`.
   */
  url: string
  /** Name that its certificate must be for where that is another one, as where `url` has an address. Default: the host in `url`. */
  serverName: string | null
  /** File with the certificates of those who may have signed its certificate, PEM. Default: those that Node trusts. */
  ca: string | null
  /** Files with the proxy's own certificate and key for it, PEM. Default: none. */
  cert: string | null
  key: string | null
  /** Which host it is asked for: the one that the client asks for (`client`, the default), or its own (`upstream`). */
  host: 'client' | 'upstream'
}

/** Asks the upstream. */
export type Upstream = {
  readonly isTls: boolean
  /** Host to ask for in place of the client's; null: that one. */
  readonly host: string | null
  request(method: string, path: string, headers: HeaderMap, isUpgrade?: boolean): ClientRequest
  close(): void
}

/** @param connections at most, to one upstream @throws GatewayStartError if a file cannot be read */
export function openUpstream({ url, serverName, ca, cert, key, host }: HttpUpstream, connections: number): Upstream {
  const socketPath = url.startsWith('unix:') ? url.slice(5) : null
  const target = socketPath === null ? new URL(url) : null
  const isTls = target?.protocol === 'https:'
  const pool = { keepAlive: true, maxSockets: connections, maxFreeSockets: connections, scheduling: 'lifo' as const }
  const files = { ca: read(ca, 'ca'), cert: read(cert, 'cert'), key: read(key, 'key') }
  const agent = isTls ? new TlsAgent({ ...pool, ...files }) : new Agent(pool)
  const name = target?.hostname.replace(/^\[(.*)\]$/, '$1') ?? ''
  // Of the client's Host Node would make the name that is asked for, and that the certificate must have: whoever asks would choose it.
  const servername = serverName ?? (isIP(name) === 0 ? name : '')
  const where =
    socketPath === null ? { host: name, port: target!.port || (isTls ? 443 : 80), servername } : { socketPath }
  return {
    isTls,
    host: host === 'client' ? null : (target?.host ?? 'localhost'),
    request(method, path, headers, isUpgrade = false) {
      const options = { ...where, method, path, headers, agent: isUpgrade ? false : agent, insecureHTTPParser: false }
      const asked = isTls ? tlsRequest({ ...options, ...(isUpgrade && files) }) : request(options)
      // Of more than a thousand headers Node leaves out the rest without a word; their size has a bound.
      asked.maxHeadersCount = 0
      return asked
    },
    close: () => agent.destroy(),
  }
}

function read(file: string | null, setting: string): Buffer | undefined {
  if (file === null) return undefined
  try {
    return readFileSync(file)
  } catch (error) {
    throw new GatewayStartError('gateway_start_failed', `upstream.${setting}: ${file}: ${(error as Error).message}`)
  }
}
