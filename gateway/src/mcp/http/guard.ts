// Who may ask the recorder at all: a page of the web must not reach it by a name that it has made point here (DNS rebinding).
import type { IncomingMessage } from 'node:http'
import type { McpHttp } from '../config.ts'

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/i

/** Why a request is refused, whatever it holds; null: it is not. */
export function intruderOf({ headers }: IncomingMessage, { listen, hosts, origins }: McpHttp): string | null {
  const host = headers.host ?? ''
  const name = host.replace(/:\d+$/, '')
  // Whoever listens for others is called by names that only its configuration can know.
  const isKnown = hosts.length > 0 ? isListed(hosts, host, name) : !isLoopback(listen) || LOOPBACK.test(name)
  if (!isKnown && !LOOPBACK.test(name)) return 'The Host header names another host: see http.hosts.'
  const { origin } = headers
  if (origin === undefined || origins.includes(origin) || isLocalPage(origin)) return null
  return 'The Origin header names a site that is not listed in http.origins.'
}

const isListed = (hosts: readonly string[], host: string, name: string): boolean =>
  hosts.some((each) => each.toLowerCase() === host.toLowerCase() || each.toLowerCase() === name.toLowerCase())

/** Whether only programs of this machine can connect. */
const isLoopback = (listen: string): boolean => LOOPBACK.test(listen.replace(/:\d+$/, ''))

function isLocalPage(origin: string): boolean {
  return URL.canParse(origin) && LOOPBACK.test(new URL(origin).hostname)
}
