import { createServer } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import { openLogLines } from '@killick/sdk/core'
import Fastify, { type FastifyInstance, LogController } from 'fastify'
import { LISTENER_TLS, type ListenerPem } from '../certificates.ts'
import { GatewayRefusal } from '../errors.ts'
import { eventRoutes } from './event-routes.ts'
import { kubernetesRoute } from './kubernetes-route.ts'
import { mappingRoutes } from './mapping-routes.ts'
import { otlpRoutes } from './otlp-routes.ts'
import { refusePeer, sendGatewayProblem } from './problems.ts'
import type { CollectorDeps } from './recording-route.ts'

/** One listener: a unix socket, or a port with or without TLS. */
export type ListenerOptions = {
  readonly isSocket: boolean
  readonly tls: (ListenerPem & { rejectUnauthorized?: boolean }) | null
}

/** How long a connection may stay open between requests. Proxies keep theirs for less, so they close first. */
const KEEP_ALIVE_MS = 72_000
/** Node's default is 30 s, which is longer than most limits. */
const CHECK_MS = 1_000

/** Has a listener with TLS show another certificate, from the next connection on. */
export function showCertificate(app: FastifyInstance, pem: ListenerPem): void {
  ;(app.server as unknown as TlsServer).setSecureContext({ ...pem, ...LISTENER_TLS })
}

/** The HTTP interface of one listener, apart from listening. Every refusal is a problem document with a code of docs/ERRORS.md. */
export function buildCollectorApp(deps: CollectorDeps, { isSocket, tls }: ListenerOptions): FastifyInstance {
  const { limits, metrics } = deps
  const times = {
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout: limits.requestMs,
    headersTimeout: Math.min(limits.requestMs, 30_000),
    connectionsCheckingInterval: Math.min(limits.requestMs, CHECK_MS),
  }
  const app = Fastify({
    logger:
      deps.logLevel === 'silent'
        ? false
        : { level: deps.logLevel, serializers: { err: printError }, stream: openLogLines() },
    logController: new LogController({ disableRequestLogging: true }),
    serverFactory: (handle) =>
      tls === null
        ? createServer(times, handle)
        : createTlsServer({ ...times, ...tls, ...LISTENER_TLS, requestCert: tls.ca !== undefined }, handle),
    clientErrorHandler(error, socket) {
      const code = refusePeer(error, socket)
      if (code !== null) metrics.refusals.inc({ code, emitter: '', via: '' })
    },
    frameworkErrors: (error, request, reply) => sendGatewayProblem(error, request as never, reply as never),
  }) as unknown as FastifyInstance
  app.server.maxConnections = limits.connections
  app.server.on('drop', () => metrics.dropped.inc())
  app.decorateReply('gatewayCode', '')
  app.setErrorHandler(sendGatewayProblem)
  app.setNotFoundHandler((request, reply) =>
    sendGatewayProblem(new GatewayRefusal('collect_not_found'), request, reply),
  )
  // Receivers read bodies themselves, within their bounds.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))
  operationRoutes(app, deps)
  eventRoutes(app, deps, isSocket)
  otlpRoutes(app, deps, isSocket)
  kubernetesRoute(app, deps, isSocket)
  mappingRoutes(app, deps, isSocket)
  return app
}

/** Of an error, only what cannot hold an event's content. */
function printError({ name, message, stack, code }: Error & { code?: unknown }) {
  return { type: name, message: code === undefined ? message : String(code), stack: stack ?? '', code }
}

function operationRoutes(app: FastifyInstance, { log, isDraining, metrics }: CollectorDeps): void {
  app.get('/healthz', () => ({ status: 'ok' }))
  app.get('/readyz', (_request, reply) => {
    const { state, pending } = log.status
    // A ledger that is away is no reason to send requests elsewhere: the spool takes them.
    const isReady = !isDraining() && state !== 'halted' && state !== 'closed'
    const status = isReady ? 'ready' : isDraining() ? 'draining' : state
    return reply.code(isReady ? 200 : 503).send({ status, ledger: state, pending })
  })
  app.get('/metrics', async (_request, reply) => {
    const text = await metrics.registry.metrics()
    return reply.type(metrics.registry.contentType).send(text)
  })
}
