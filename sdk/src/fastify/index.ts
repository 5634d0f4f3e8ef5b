/** `@killick/sdk/fastify`: the audit context, and events of requests, in a Fastify 5 application. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { auditedRequestOf, beginNodeRequest } from '../web/node-request.ts'
import {
  checkRequestAudit,
  checkRouteAudit,
  type NodeRequestAudit,
  type RequestSink,
  type RouteAudit,
} from '../web/options.ts'

export { requestEvent } from '../web/audited-request.ts'
export type * from '../web/options.ts'

/** What is needed of a Fastify request. `ip` is by the application's own option `trustProxy`. */
export type FastifyAuditRequest = {
  readonly raw: IncomingMessage
  readonly ip: string
  readonly routeOptions: { readonly url?: string | undefined; readonly config: object }
}
type Reply = { readonly raw: ServerResponse }

/** What is needed of a Fastify instance. */
export type FastifyAuditInstance<Request> = {
  addHook(name: 'onRoute', hook: (route: { config?: object | undefined }) => void): unknown
  addHook(name: 'onRequest', hook: (request: Request, reply: Reply, done: () => void) => void): unknown
  addHook(name: 'preHandler', hook: (request: Request, reply: Reply, done: () => void) => void): unknown
  addHook(name: 'onError', hook: (request: Request, reply: Reply, error: Error, done: () => void) => void): unknown
}

/** The plugin; it reaches beyond its own encapsulation, as those made with fastify-plugin do. */
export type FastifyAuditPlugin<Request> = (
  fastify: FastifyAuditInstance<Request>,
  options: object,
  done: () => void,
) => void

/**
 * Plugin that begins the audit context of each request, and records those of routes with `config: audited(…)`, or picked by
 * `options.record`. Register it first, so that what the hooks of others refuse is seen too.
 * @throws KitError `option_invalid`; at a route too, if what it says is malformed
 * @example
 * await app.register(auditRequests(audit, { actor: (request) => request.user, responseWaits: true }))
 */
export function auditRequests<Request extends FastifyAuditRequest = FastifyAuditRequest>(
  audit: RequestSink,
  options: NodeRequestAudit<Request> = {},
): FastifyAuditPlugin<Request> {
  checkRequestAudit(options, ['hangUpMs'])
  const begun = (request: Request) => auditedRequestOf<Request>(request.raw)
  const plugin: FastifyAuditPlugin<Request> = (fastify, _options, ready) => {
    fastify.addHook('onRoute', ({ config }) => {
      const route = routeOf(config)
      if (route) checkRouteAudit(route)
    })
    fastify.addHook('onRequest', (request, reply, done) => {
      const route = () => request.routeOptions.url ?? null
      const { raw, ip } = request
      const it = beginNodeRequest(audit, options, raw, reply.raw, { request, route, ip })
      const mark = routeOf<Request>(request.routeOptions.config)
      if (mark) it.record(mark)
      it.run(done)
    })
    fastify.addHook('preHandler', (request, _reply, done) => {
      const it = begun(request)
      it?.identify()
      // Whoever read the body may have lost the context.
      if (it) it.run(done)
      else done()
    })
    fastify.addHook('onError', (request, _reply, error, done) => {
      const it = begun(request)
      if (it) it.error = error
      done()
    })
    ready()
  }
  return Object.assign(plugin, {
    [Symbol.for('skip-override')]: true,
    [Symbol.for('fastify.display-name')]: '@killick/sdk/fastify',
    [Symbol.for('plugin-meta')]: { name: '@killick/sdk/fastify', fastify: '5.x' },
  })
}

/**
 * The `config` of a route whose requests are recorded; `target` is asked when the request is answered.
 * @throws KitError `option_invalid`
 * @example
 * app.post('/invoices/:id/approve', { config: audited({ action: 'invoice.approve' }) }, approve)
 */
export function audited<Request extends FastifyAuditRequest = FastifyAuditRequest>(
  route: RouteAudit<Request> = {},
): { audit: RouteAudit<Request> } {
  checkRouteAudit(route)
  return { audit: route }
}

const routeOf = <Request>(config: object | undefined) => (config as { audit?: RouteAudit<Request> } | undefined)?.audit
