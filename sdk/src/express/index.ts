/** `@killick/sdk/express`: the audit context, and events of requests, in an Express 5 application. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { KitError } from '../kit/errors.ts'
import { auditedRequestOf, beginNodeRequest } from '../web/node-request.ts'
import {
  checkRequestAudit,
  checkRouteAudit,
  type NodeRequestAudit,
  type RequestSink,
  type RouteAudit,
} from '../web/options.ts'
import { type RoutedRequest, watchRoute } from './route-pattern.ts'

export { requestEvent } from '../web/audited-request.ts'
export type * from '../web/options.ts'

/** What is needed of an Express request. `ip` is by the application's own setting `trust proxy`. */
export type ExpressRequest = IncomingMessage & RoutedRequest & { readonly ip?: string | undefined }

/** Middleware as Express takes it. */
export type ExpressMiddleware<Request> = (
  request: Request,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => void

/**
 * Middleware that begins the audit context of each request, and records those of routes that are marked with `audited`, or picked by
 * `options.record`. Mount it first, so that what other middleware refuses is seen too.
 * @throws KitError `option_invalid`
 * @example
 * app.use(auditRequests(audit, { actor: (request) => request.user, responseWaits: true }))
 */
export function auditRequests<Request extends ExpressRequest = ExpressRequest>(
  audit: RequestSink,
  options: NodeRequestAudit<Request> = {},
): ExpressMiddleware<Request> {
  checkRequestAudit(options, ['hangUpMs'])
  return (request, response, next) => {
    const route = watchRoute(request)
    beginNodeRequest(audit, options, request, response, { request, route, ip: request.ip }).run(() => next())
  }
}

/**
 * Middleware of a route that has its requests recorded. `target` is asked here, where the route's parameters are known.
 * @throws KitError `option_invalid`; at a request `context_missing`, if `auditRequests` is not mounted before
 * @example
 * app.post('/invoices/:id/approve', audited({ action: 'invoice.approve' }), approve)
 */
export function audited<Request extends ExpressRequest = ExpressRequest>(
  route: RouteAudit<Request> = {},
): ExpressMiddleware<Request> {
  checkRouteAudit(route)
  return (request, _response, next) => {
    const begun = auditedRequestOf<Request>(request)
    if (!begun)
      throw new KitError('context_missing', 'auditRequests() must be mounted before a route that is audited()')
    begun.recordNow(route)
    begun.run(() => next())
  }
}

/**
 * Error middleware that tells the event which error it was, and hands it on: for `metadata.error`, and for the reason of a
 * `DeniedError`. Mount it before your own. Outcomes do not need it: they are by the status that is answered.
 */
export function auditErrors() {
  return (
    error: unknown,
    request: ExpressRequest,
    _response: ServerResponse,
    next: (error?: unknown) => void,
  ): void => {
    const begun = auditedRequestOf(request)
    if (begun) begun.error = error
    next(error)
  }
}
