// The servers that clients connect to: HTTP/1.1 in the clear and on a unix socket, HTTP/2 and HTTP/1.1 over TLS.
import { chmodSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type RequestListener, type Server, ServerResponse } from 'node:http'
import { createSecureServer, Http2ServerResponse, type ServerHttp2Session } from 'node:http2'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import {
  checkAuthorities,
  LISTENER_TLS,
  type ListenerPem,
  type RenewedCertificate,
  renewCertificate,
} from '../certificates.ts'
import { GatewayStartError } from '../errors.ts'
import { MAX_AT_A_TIME } from '../turns.ts'
import type { HttpConfig, HttpLimits, HttpTls } from './config.ts'
import { refusePeer } from './problems.ts'
import { isWebsocket } from './upgrade.ts'

/** What servers do with what they take. */
export type Handlers = {
  exchange(req: IncomingMessage, res: ServerResponse): void
  upgrade(req: IncomingMessage, socket: Socket, head: Buffer): void
  refused(code: string): void
  dropped(): void
}

/** A server that listens. */
export type Listener = {
  readonly server: Server
  /** The address with the port that was taken; null on a socket. */
  readonly url: string | null
  /** Its certificate; null where it has none. */
  readonly renewed: RenewedCertificate | null
  /** Takes no more; connections without a request are closed. Resolves when all are. */
  close(): Promise<void>
  /** Closes those that are left. */
  cut(): void
}

/** Node's default is 30 s, which is longer than most limits. */
const CHECK_MS = 1_000
/** How long a connection may stay open between requests. Proxies keep theirs for less, so they close first. */
const KEEP_ALIVE_MS = 72_000

/** Starts all listeners. @throws GatewayStartError if one cannot; those that run are closed then */
export async function listenAll(
  { listen, limits }: HttpConfig,
  handlers: Handlers,
  say: (text: string) => void,
): Promise<Listener[]> {
  const { host, port, tls, socket, socketMode } = listen
  const listeners: Listener[] = []
  try {
    if (port !== null) {
      const { server, renew } =
        tls === null ? { server: plainServer(limits), renew: () => null } : tlsServer(tls, limits, say)
      const made = await startOn(server, handlers, limits, { host, port })
      const renewed = renew()
      const { port: taken } = made.server.address() as AddressInfo
      const name = host.includes(':') ? `[${host}]` : host
      const close = () => {
        renewed?.stop()
        return made.close()
      }
      listeners.push({ ...made, renewed, close, url: `${tls === null ? 'http' : 'https'}://${name}:${taken}` })
    }
    if (socket !== null) {
      if (await answers(socket))
        throw new GatewayStartError('gateway_start_failed', `Somebody listens on ${socket}. Set another listen.socket.`)
      // What a killed proxy leaves behind.
      rmSync(socket, { force: true })
      listeners.push(await startOn(plainServer(limits), handlers, limits, { path: socket }))
      chmodSync(socket, socketMode)
    }
    return listeners
  } catch (error) {
    await Promise.all(listeners.map((each) => each.close()))
    throw error
  }
}

function plainServer(limits: HttpLimits): Server {
  return createServer(firstOptions(limits))
}

/** HTTP/1.1 of a server. The number of headers is checked apart: Node would leave out what is too much without a word. */
function firstOptions({ headerBytes, headersMs }: HttpLimits) {
  return {
    maxHeaderSize: headerBytes,
    headersTimeout: headersMs,
    // An upload may take as long as it moves; that has a bound of its own.
    requestTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: Math.min(headersMs, CHECK_MS),
    insecureHTTPParser: false,
    requireHostHeader: true,
    shouldUpgradeCallback: isWebsocket,
    noDelay: true,
  }
}

function tlsServer(
  tls: HttpTls,
  limits: HttpLimits,
  say: (text: string) => void,
): { server: Server; renew(): RenewedCertificate } {
  const pem = readPem(tls)
  const server = createSecureServer({
    ...(firstOptions(limits) as object),
    ...{ ...pem, ...LISTENER_TLS },
    ...(pem.ca !== undefined && { requestCert: true, rejectUnauthorized: tls.clientRequired }),
    allowHTTP1: true,
    maxHeaderListPairs: limits.headers + 4,
    settings: {
      maxHeaderListSize: limits.headerBytes,
      maxConcurrentStreams: MAX_AT_A_TIME,
      enableConnectProtocol: false,
    },
    unknownProtocolTimeout: limits.headersMs,
  })
  server.on('sessionError', () => {})
  const use = (renewed: ListenerPem) => server.setSecureContext({ ...renewed, ...LISTENER_TLS })
  const renew = () => renewCertificate(pem, { read: () => readPem(tls), use, say })
  return { server: server as unknown as Server, renew }
}

async function startOn(
  server: Server,
  handlers: Handlers,
  limits: HttpLimits,
  where: { host: string; port: number } | { path: string },
): Promise<Listener> {
  const take: RequestListener = (req, res) => handlers.exchange(req, res)
  server.maxHeadersCount = 0
  server.headersTimeout = limits.headersMs
  server.requestTimeout = 0
  server.maxConnections = limits.connections
  server.on('request', take)
  // The upstream says whether it wants to see the body.
  server.on('checkContinue', take)
  server.on('connect', (req, connection: Duplex | Http2ServerResponse) => {
    // Of HTTP/2 what comes is an answer already, of HTTP/1.1 the bare socket.
    if (connection instanceof Http2ServerResponse) {
      connection.writeHead(405)
      connection.end()
      return
    }
    const res = new ServerResponse(req)
    connection.on('error', () => {})
    res.shouldKeepAlive = false
    try {
      res.assignSocket(connection as Socket)
    } catch {
      // It belongs to the answer of a request before, which is not out. A tunnel is refused in any case, so nobody waits for it so.
      connection.destroy()
      handlers.refused('http_method_unsupported')
      return
    }
    res.once('finish', () => connection.end())
    take(req, res)
  })
  server.on('upgrade', (req, socket, head) => {
    // Node listens no more, and it may fail before its turn has come, or while its beginning is recorded.
    socket.on('error', () => {})
    handlers.upgrade(req, socket as Socket, head)
  })
  server.on('clientError', (error, socket) => {
    const code = refusePeer(error, socket as Socket)
    if (code !== null) handlers.refused(code)
  })
  server.on('drop', () => handlers.dropped())
  const sessions = new Set<ServerHttp2Session>()
  server.on('session', (session: ServerHttp2Session) => {
    sessions.add(session)
    session.once('close', () => sessions.delete(session))
    endIdle(session, limits.headersMs)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const place = 'path' in where ? where.path : `${where.host}:${where.port}`
      reject(new GatewayStartError('gateway_start_failed', `Cannot listen on ${place} (${error.code}).`))
    })
    server.listen(where, resolve)
  })
  return {
    ...{ server, url: null, renewed: null },
    close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeIdleConnections?.()
      for (const session of sessions) session.close()
      return closed
    },
    cut() {
      server.closeAllConnections?.()
      for (const session of sessions) session.destroy()
    },
  }
}

/** Node lets connections of HTTP/2 be open for ever: without a request, and with headers of one that do not end. */
function endIdle(session: ServerHttp2Session, headersMs: number): void {
  let requests = 0
  session.on('stream', (stream) => {
    requests += 1
    session.setTimeout(KEEP_ALIVE_MS)
    stream.once('close', () => {
      requests -= 1
    })
  })
  session.setTimeout(headersMs)
  session.on('timeout', () => {
    if (requests === 0) session.destroy()
  })
}

function readPem({ cert, key, clientCa }: HttpTls): ListenerPem {
  return {
    ...{ cert: read(cert, 'cert'), key: read(key, 'key') },
    ...(clientCa !== null && { ca: read(clientCa, 'clientCa', checkAuthorities) }),
  }
}

function read(file: string, setting: string, check?: (text: string) => void): string {
  try {
    const text = readFileSync(file, 'utf8')
    check?.(text)
    return text
  } catch (error) {
    throw new GatewayStartError('gateway_start_failed', `listen.tls.${setting}: ${(error as Error).message}`)
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
