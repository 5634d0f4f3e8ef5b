// A connection to the server, with TLS where the configuration asks for it.
import { connect as connectTcp, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import type { PostgresConfig } from './config.ts'
import { TLS_QUESTION } from './startup.ts'

/** A connection that the server has not been told anything over. */
export type ServerConnection = {
  readonly socket: Duplex
  /** The certificate that the server has shown, DER; null without TLS. */
  readonly certificate: Buffer | null
}

/** Why there is no connection. */
export class ServerUnreachable extends Error {}

/** @throws ServerUnreachable */
export async function connectServer({
  server,
  limits,
}: Pick<PostgresConfig, 'server' | 'limits'>): Promise<ServerConnection> {
  const signal = AbortSignal.timeout(limits.startupMs)
  const socket = connectTcp({
    host: server.host,
    port: server.port,
    noDelay: true,
    keepAlive: true,
    allowHalfOpen: true,
  })
  try {
    await happens(socket, 'connect', signal)
    const connection = server.tls === null ? { socket, certificate: null } : await secured(socket, server.tls, signal)
    // It may break before anybody uses it: while the beginning of a session is recorded.
    connection.socket.on('error', () => {})
    readsToTheEnd(connection.socket)
    return connection
  } catch (error) {
    socket.destroy()
    throw new ServerUnreachable(signal.aborted ? 'It did not answer in time.' : (error as Error).message)
  }
}

/**
 * A server that has ended the connection takes nothing more, while what it said before may still wait here for a client that reads
 * slowly. A write that fails would destroy the socket, and that with it; so it is left to reading to come to the end.
 */
function readsToTheEnd(socket: Duplex): void {
  const [write, writev] = [socket._write, socket._writev]
  socket._write = function (chunk, encoding, done) {
    write.call(this, chunk, encoding, () => done())
  }
  socket._writev = function (chunks, done) {
    writev!.call(this, chunks, () => done())
  }
}

/** Passes a client's question for TLS on. @returns whether the server says yes; then its answer can be read once more @throws ServerUnreachable */
export async function offersTls(socket: Duplex, question: Buffer, ms: number): Promise<boolean> {
  const signal = AbortSignal.timeout(ms)
  try {
    socket.write(question)
    const answer = await happens<Buffer>(socket, 'data', signal)
    socket.pause()
    if (answer[0] !== YES) return false
    socket.unshift(answer)
    return true
  } catch (error) {
    throw new ServerUnreachable(signal.aborted ? 'It did not answer in time.' : (error as Error).message)
  }
}

const YES = 'S'.charCodeAt(0)

async function secured(
  socket: Socket,
  { ca, name, verify }: NonNullable<PostgresConfig['server']['tls']>,
  signal: AbortSignal,
): Promise<ServerConnection> {
  socket.write(TLS_QUESTION)
  const answer = await happens<Buffer>(socket, 'data', signal)
  socket.pause()
  // More than the one byte would be bytes that nobody has protected.
  if (answer.length !== 1 || answer[0] !== YES) throw new Error('It does not offer TLS.')
  const secure = connectTls({
    ...{ socket, rejectUnauthorized: verify, ALPNProtocols: ['postgresql'] },
    // An address is no name of TLS.
    ...(/^[\d.]+$|:/.test(name) ? { host: name } : { servername: name }),
    ...(ca !== null && { ca }),
  })
  await happens(secure, 'secureConnect', signal)
  return { socket: secure, certificate: secure.getPeerCertificate().raw ?? null }
}

/** Resolves with what the first event of this name brings. */
function happens<T>(socket: Duplex, event: string, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = (action: () => void) => {
      socket.off(event, happened).off('error', failed).off('close', closed)
      signal.removeEventListener('abort', late)
      action()
    }
    const happened = (value: T) => settle(() => resolve(value))
    const failed = (error: Error) => settle(() => reject(error))
    const closed = () => settle(() => reject(new Error('It closed the connection.')))
    const late = () => settle(() => reject(new Error('late')))
    socket.once(event, happened).once('error', failed).once('close', closed)
    signal.addEventListener('abort', late)
  })
}
