// A connection before it has said what it wants: few bytes, little time, and not too many of them.
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type SecureContext, TLSSocket } from 'node:tls'
import { MessageFault } from './messages.ts'
import { LINGER_MS } from './session.ts'
import { type FirstPacket, readFirstPacket } from './startup.ts'

/** What a connection wants. `socket`: inside of TLS, where there is TLS. */
export type Visitor = {
  readonly socket: Duplex
  readonly isSecure: boolean
  readonly packet: Extract<FirstPacket, { kind: 'startup' | 'cancel' | 'tls' | 'tls_direct' }>
}

/** How the door treats TLS: it ends here, it goes through, or there is none. */
export type DoorTls = { readonly context: SecureContext } | 'passthrough' | null

/** A client may ask for GSS encryption, then for TLS, and then begins. */
const MAX_PACKETS = 3
const YES = Buffer.from('S')
/** The answer to a question for encryption that there is not. */
export const NO = Buffer.from('N')

/**
 * Resolves when the connection has said what it wants; with TLS that goes through, at the question for it, or its first byte.
 * @throws MessageFault, or the error of the connection
 */
export async function meet(socket: Socket, tls: DoorTls, ms: number): Promise<Visitor> {
  const timer = setTimeout(() => socket.destroy(new MessageFault('It did not say in time what it wants.')), ms)
  try {
    return await converse(socket, tls)
  } finally {
    clearTimeout(timer)
  }
}

async function converse(socket: Socket, tls: DoorTls): Promise<Visitor> {
  let inner: Duplex = socket
  let isSecure = false
  let left: Buffer = Buffer.alloc(0)
  for (let i = 0; i < MAX_PACKETS; i++) {
    const packet = await firstPacket(inner, left)
    left = packet.rest
    if (packet.kind === 'startup' || packet.kind === 'cancel') {
      if (left.length > 0) inner.unshift(left)
      return { socket: inner, isSecure, packet }
    }
    if (packet.kind === 'tls_direct') {
      if (tls === null || isSecure) throw new MessageFault('TLS is not spoken here.')
      socket.unshift(left)
      if (tls === 'passthrough') return { socket, isSecure, packet }
      left = Buffer.alloc(0)
      inner = secured(socket, tls.context)
      isSecure = true
      continue
    }
    // What came behind the question came without TLS, and could be from anybody.
    if (left.length > 0) throw new MessageFault('Something came behind the question for TLS, before it was answered.')
    if (packet.kind === 'gss' || tls === null || isSecure) {
      inner.write(NO)
      continue
    }
    if (tls === 'passthrough') return { socket, isSecure, packet }
    socket.write(YES)
    inner = secured(socket, tls.context)
    isSecure = true
  }
  throw new MessageFault('It asked too often how it could connect.')
}

function secured(socket: Socket, secureContext: SecureContext): TLSSocket {
  const secure = new TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols: ['postgresql'] })
  secure.on('error', () => {})
  return secure
}

function firstPacket(socket: Duplex, begun: Buffer): Promise<FirstPacket> {
  return new Promise((resolve, reject) => {
    let bytes = begun
    const settle = (action: () => void) => {
      socket.off('data', more).off('error', failed).off('close', closed).off('end', closed)
      socket.pause()
      action()
    }
    const look = () => {
      try {
        const packet = readFirstPacket(bytes)
        if (packet !== null) settle(() => resolve(packet))
      } catch (error) {
        settle(() => reject(error))
      }
    }
    const more = (chunk: Buffer) => {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
      look()
    }
    const failed = (error: Error) => settle(() => reject(error))
    const closed = () => settle(() => reject(new MessageFault('It closed before it said what it wants.')))
    socket.on('data', more).on('error', failed).on('close', closed).on('end', closed)
    socket.resume()
    if (bytes.length > 0) look()
  })
}

/** Ends a connection as TLS wants it: libpq takes an end without a word for an error, of a cancel request too. */
export function farewell(socket: Visitor['socket'], lastWords: Buffer = Buffer.alloc(0)): void {
  socket.end(lastWords)
  socket.resume()
  setTimeout(() => socket.destroy(), LINGER_MS).unref()
}
