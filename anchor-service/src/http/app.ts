import { createServer } from 'node:http'
import { Readable } from 'node:stream'
import cookie from '@fastify/cookie'
import rateLimit from '@fastify/rate-limit'
import swagger from '@fastify/swagger'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { type FastifyInstance, LogController } from 'fastify'
import { Refusal } from '../errors.ts'
import type { App, AppDeps } from './deps.ts'
import { type KeptBody, keepBody, keepForGood, sendKept } from './kept-body.ts'
import { loggerOptions } from './logger.ts'
import type { Metrics } from './metrics.ts'
import { describe, nameProblems, nameWildcard } from './openapi.ts'
import { installProblems, refuseConnection, sendProblem } from './problems.ts'
import { RateStore } from './rate-store.ts'
import { activityRoutes } from './routes/activity.ts'
import { anchorRoutes } from './routes/anchors.ts'
import { apiReferenceRoutes } from './routes/api-reference.ts'
import { batchRoutes } from './routes/batches.ts'
import { bundleRoutes } from './routes/bundles.ts'
import { catalogueRoutes } from './routes/catalogues.ts'
import { checkpointRoutes } from './routes/checkpoints.ts'
import { erasureRoutes } from './routes/erasures.ts'
import { eventFileRoutes } from './routes/event-files.ts'
import { eventRoutes } from './routes/events.ts'
import { frontRoutes } from './routes/front.ts'
import { healthRoutes } from './routes/health.ts'
import { historyRoutes } from './routes/history.ts'
import { incidentRoutes } from './routes/incidents.ts'
import { liveEventRoutes } from './routes/live-events.ts'
import { pageRoutes } from './routes/page.ts'
import { proofRoutes } from './routes/proofs.ts'
import { proposalRoutes } from './routes/proposals.ts'
import { retentionRoutes } from './routes/retention.ts'
import { sessionRoutes } from './routes/sessions.ts'
import { shareRoutes } from './routes/shares.ts'
import { sourceRoutes } from './routes/sources.ts'
import { streamRoutes } from './routes/streams.ts'
import { tileRoutes } from './routes/tiles.ts'
import { compileWhenUsed } from './schema-compilers.ts'
import { boundUnread } from './unread.ts'

const JSON_LIMIT = 256 * 1024
/** How long a connection may stay open between requests. Proxies keep theirs for less, so they close first. */
const KEEP_ALIVE_MS = 72_000

/** The HTTP interface, apart from listening. Every refusal it gives is a problem document with a code of docs/ERRORS.md. */
export async function buildApp(deps: AppDeps): Promise<App> {
  const checkMs = Math.min(deps.requestTimeout, 5_000)
  // Later than the request timeout, which sends an answer before it cuts a peer off.
  const unread = boundUnread(deps.requestTimeout + 2 * checkMs, (reason) => deps.metrics.cut.inc({ reason }))
  const app: App = Fastify({
    logger: loggerOptions(deps.logLevel),
    // The line that fastify would log shows query strings, and with them what people search for.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: JSON_LIMIT,
    trustProxy: deps.trustProxy.length > 0 ? deps.trustProxy : false,
    serverFactory: (handle) =>
      createServer(
        {
          keepAliveTimeout: KEEP_ALIVE_MS,
          requestTimeout: deps.requestTimeout,
          // Node uses the smaller of the two for the headers, so neither may keep its default.
          headersTimeout: Math.min(deps.requestTimeout, 60_000),
          connectionsCheckingInterval: checkMs,
        },
        unread.guard(handle),
      ),
    // The largest: type and id of a target.
    routerOptions: { maxParamLength: 512 },
    clientErrorHandler(error, socket) {
      const code = refuseConnection(error, socket)
      if (code !== null) deps.metrics.refusals.inc({ code })
    },
    frameworkErrors: (error, request, reply) => sendProblem(error, request as never, reply as never),
  }).withTypeProvider<TypeBoxTypeProvider>()
  app.server.maxConnections = deps.maxConnections
  app.server.on('drop', () => deps.metrics.dropped.inc())
  compileWhenUsed(app)
  app.decorateRequest('role', null)
  app.decorateRequest('person', null)
  installProblems(app)
  guardAnswers(app)
  refuseNul(app)
  observe(app, deps.metrics)
  unread.watch(app)

  await app.register(cookie)
  await app.register(swagger, { openapi: describe(deps.published.url), transform: nameWildcard })
  if (deps.rateLimit > 0) {
    await app.register(rateLimit, {
      max: deps.rateLimit,
      timeWindow: '1 minute',
      store: RateStore,
      errorResponseBuilder: () => new Refusal('rate_limited'),
    })
  }
  // In a plugin of their own, so that swagger and the rate limit see them being added.
  await app.register(async (routes) => {
    for (const add of [
      batchRoutes,
      catalogueRoutes,
      proofRoutes,
      eventRoutes,
      liveEventRoutes,
      eventFileRoutes,
      bundleRoutes,
      historyRoutes,
      activityRoutes,
      checkpointRoutes,
      anchorRoutes,
      streamRoutes,
      incidentRoutes,
      sourceRoutes,
      erasureRoutes,
      retentionRoutes,
      proposalRoutes,
      tileRoutes,
      shareRoutes,
      frontRoutes,
      pageRoutes,
      apiReferenceRoutes,
      sessionRoutes,
      healthRoutes,
    ])
      add(routes as App, deps)
    let openapi: Promise<KeptBody> | undefined
    routes.get('/openapi.json', { schema: { hide: true } }, async (request, reply) => {
      if (openapi === undefined) {
        const document = routes.swagger()
        nameProblems(document)
        openapi = keepBody(Buffer.from(JSON.stringify(document)), ['br', 'gzip']).then(keepForGood)
      }
      reply.type('application/json; charset=utf-8').header('cache-control', 'public, max-age=300')
      return sendKept(request, reply, await openapi)
    })
  })
  return app
}

/**
 * An answer that does not say how long caches may keep it is `no-store`, so that no private answer is cached by oversight. Of an answer
 * without a body none is made.
 */
function guardAnswers(app: FastifyInstance): void {
  app.addHook('onSend', (request, reply, payload, done) => {
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
    reply.header('x-content-type-options', 'nosniff')
    if (request.method !== 'HEAD' || !(payload instanceof Readable)) return done()
    // Fastify would read it to its end, however long that is, and the answer would be over meanwhile.
    payload.destroy()
    done(null, Readable.from([]))
  })
}

/** Parameters that are compared with recorded text, which may hold any character. */
const FREE_TEXT = ['action', 'actor', 'target', 'targetType', 'targetId']

/** The database takes no U+0000 in a text, and no name, id or cursor has one. */
function refuseNul(app: FastifyInstance): void {
  app.addHook('preHandler', ({ query, params }, _reply, done) => {
    const given = Object.entries({ ...(query as object), ...(params as object) })
    const bad = given.find(([name, value]) => !FREE_TEXT.includes(name) && String(value).includes('\0'))
    done(bad && new Refusal('request_invalid', `${bad[0]} holds the character U+0000.`))
  })
}

/** One log line and one measurement per request: the route, never the address, the body or the token. */
function observe(app: FastifyInstance, metrics: Metrics): void {
  app.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'none'
    const { method } = request
    metrics.requests.observe({ method, route, status: reply.statusCode }, reply.elapsedTime / 1000)
    const code = reply.problemCode
    if (code !== '') metrics.refusals.inc({ code })
    const line = { method, route, status: reply.statusCode, ms: Math.round(reply.elapsedTime), ...(code && { code }) }
    request.log.info(line, 'request')
    done()
  })
}
