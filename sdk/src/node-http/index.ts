/** `@killick/sdk/node-http`: the audit context, and events of requests, in a server of plain `node:http`. */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import { isDenial, statusOf } from '../kit/denial.ts'
import { requestEvent } from '../web/audited-request.ts'
import { beginNodeRequest } from '../web/node-request.ts'
import {
  checkRequestAudit,
  checkRouteAudit,
  type NodeRequestAudit,
  type RequestSink,
  type RouteAudit,
} from '../web/options.ts'

export { requestEvent } from '../web/audited-request.ts'
export type * from '../web/options.ts'

/** Options of the adapter on plain `node:http`. */
export type NodeHttpAudit = NodeRequestAudit<IncomingMessage> & {
  /** Address of the client; default: that of the connection, which behind a proxy is the proxy's. */
  readonly ip?: ((request: IncomingMessage) => string | undefined) | undefined
  /** Called with what the handler throws, which the client never sees; default: `console.error`. */
  readonly onError?: ((error: unknown, request: IncomingMessage) => void) | undefined
}

/**
 * Makes a listener for `http.createServer` of a handler, which may be async. What it throws is answered with 401 or 403 if it is a
 * denial, else with 500; if the answer has begun already, the connection is cut.
 * @throws KitError `option_invalid`
 * @example
 * http.createServer(auditRequests(audit, { actor, responseWaits: true }, async (request, response) => {
 *   audited({ action: 'invoice.approve', target: { type: 'invoice', id } })
 *   response.end(await approve(id))
 * }))
 */
export function auditRequests(
  audit: RequestSink,
  options: NodeHttpAudit,
  handle: (request: IncomingMessage, response: ServerResponse) => unknown,
): (request: IncomingMessage, response: ServerResponse) => void {
  checkRequestAudit(options, ['hangUpMs', 'ip', 'onError'])
  const { ip = (request) => request.socket.remoteAddress, onError = (error) => console.error(error) } = options
  return (request, response) => {
    const begun = beginNodeRequest(audit, options, request, response, { request, route: () => null, ip: ip(request) })
    const fail = (error: unknown) => {
      begun.error = error
      answerError(error, response)
      onError(error, request)
    }
    try {
      Promise.resolve(begun.run(() => handle(request, response))).catch(fail)
    } catch (error) {
      fail(error)
    }
  }
}

/**
 * Has the request that is being handled recorded.
 * @throws KitError `option_invalid`, `context_missing`
 */
export function audited(route: RouteAudit<never>): void {
  checkRouteAudit(route)
  requestEvent().record(route)
}

function answerError(error: unknown, response: ServerResponse): void {
  if (response.headersSent) {
    // Half an answer must not look whole.
    if (!response.writableEnded) response.destroy()
    return
  }
  for (const name of response.getHeaderNames()) response.removeHeader(name)
  response.statusCode = isDenial(error) ? statusOf(error)! : 500
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.end(`${STATUS_CODES[response.statusCode]}\n`)
}
