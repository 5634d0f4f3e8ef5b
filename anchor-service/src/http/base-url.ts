import { isIPv6 } from 'node:net'
import type { FastifyRequest } from 'fastify'
import type { Published } from './page-settings.ts'

const literal = (address: string) => (isIPv6(address) ? `[${address}]` : address)

/**
 * The beginning of this service's links. The client chooses the Host header, so without KILLICK_PUBLIC_URL the header counts only
 * if it names this machine; otherwise the address on which the request arrived counts.
 */
export function baseUrl(request: FastifyRequest, published: Published): string {
  if (published.url !== null) return published.url
  const { localAddress = '127.0.0.1', localPort } = request.raw.socket
  const own = literal(localAddress)
  const isOwn = ['localhost', '127.0.0.1', '[::1]', own].includes(request.hostname)
  return `${request.protocol}://${isOwn ? request.host : `${own}:${localPort}`}`
}
