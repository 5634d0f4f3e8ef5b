// Whose word counts: the addresses of proxies that are trusted, and the client's address as they tell it.
import { BlockList, isIP } from 'node:net'

/** Says whether an address is on a list. */
export type Addresses = (address: string) => boolean

/** What stands for whoever connects to the unix socket. */
export const UNIX = 'unix'

/** @param list addresses, ranges such as `10.0.0.0/8`, and `unix` @param fault told of an entry that is none of these */
export function addressesOf(list: readonly string[], fault: (entry: string) => void): Addresses {
  const ranges = new BlockList()
  for (const entry of list) {
    if (entry === UNIX) continue
    const [address, prefix, more] = entry.split('/') as [string, string?, string?]
    const version = isIP(address)
    const bits = prefix === undefined ? (version === 6 ? 128 : 32) : Number(prefix)
    const isRange =
      version !== 0 && more === undefined && /^\d{1,3}$/.test(prefix ?? '0') && bits <= (version === 6 ? 128 : 32)
    if (isRange) ranges.addSubnet(address, bits, version === 6 ? 'ipv6' : 'ipv4')
    else fault(entry)
  }
  return (address) => {
    if (address === UNIX) return list.includes(UNIX)
    const version = isIP(address)
    return version !== 0 && ranges.check(address, version === 6 ? 'ipv6' : 'ipv4')
  }
}

/** The peer's address, IPv4 in its own form; `unix` without one. */
export function peerOf(socket: { remoteAddress?: string | undefined }): string {
  const address = socket.remoteAddress
  return address === undefined ? UNIX : address.replace(/^::ffff:(?=\d+\.)/i, '')
}

/**
 * The client's address: the last one in X-Forwarded-For that no trusted proxy has, if the peer is one.
 * @returns `by`: `connection`, or `header` where proxies say it
 */
export function clientOf(
  peer: string,
  forwardedFor: string | undefined,
  isTrusted: Addresses,
): { address: string; by: 'connection' | 'header' } {
  if (forwardedFor === undefined || !isTrusted(peer)) return { address: peer, by: 'connection' }
  const chain = forwardedFor.split(',').map((each) => each.trim())
  for (let i = chain.length - 1; i >= 0; i--) {
    const address = chain[i]!.replace(/^\[(.*)\](?::\d+)?$/, '$1').replace(/^([\d.]+):\d+$/, '$1')
    // What is no address was made by nobody who can be trusted.
    if (isIP(address) === 0) break
    if (i === 0 || !isTrusted(address)) return { address, by: 'header' }
  }
  return { address: peer, by: 'connection' }
}
