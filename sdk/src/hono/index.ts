/** `@killick/sdk/hono`: the audit context, and events of requests, in a Hono 4 application. */
import { KitError } from '../kit/errors.ts'
import { AuditedRequest } from '../web/audited-request.ts'
import { endFetchRequest, unrecordedResponse } from '../web/fetch-request.ts'
import {
  checkRequestAudit,
  checkRouteAudit,
  type RequestAudit,
  type RequestSink,
  type RouteAudit,
} from '../web/options.ts'

export { requestEvent } from '../web/audited-request.ts'
export type * from '../web/options.ts'

/** What is needed of a Hono context. */
export type HonoContext = {
  readonly req: {
    readonly method: string
    readonly raw: Request
    readonly matchedRoutes: readonly { readonly method: string; readonly path: string }[]
    header(name: string): string | undefined
  }
  readonly env: unknown
  readonly error: Error | undefined
  readonly executionCtx: unknown
  get res(): Response
  set res(response: Response | undefined)
}

/** Middleware as Hono takes it. */
export type HonoMiddleware<Context> = (context: Context, next: () => Promise<void>) => Promise<void>

/** Options of the adapter on Hono, which has no rule of its own on proxies. */
export type HonoAudit<Context = HonoContext> = RequestAudit<Context> & {
  /** Address of the client. Default on Node: that of the connection, which behind a proxy is the proxy's; elsewhere none. */
  readonly ip?: ((context: Context) => string | undefined) | undefined
}

type NodeEnv =
  | {
      incoming?: { socket?: { remoteAddress?: string } }
      outgoing?: { destroyed?: boolean }
    }
  | null
  | undefined

const known = new WeakMap<object, AuditedRequest>()

/**
 * Middleware that begins the audit context of each request, and records those of routes that are marked with `audited`, or picked by
 * `options.record`. Use it first, so that what other middleware refuses is seen too.
 * @throws KitError `option_invalid`
 * @example
 * app.use(auditRequests(audit, { actor: (c) => c.get('user'), responseWaits: true }))
 */
export function auditRequests<Context extends HonoContext = HonoContext>(
  audit: RequestSink,
  options: HonoAudit<Context> = {},
): HonoMiddleware<Context> {
  checkRequestAudit(options, ['ip'])
  const { responseWaits = false, ip = (c) => (c.env as NodeEnv)?.incoming?.socket?.remoteAddress } = options
  return async (c, next) => {
    if (known.has(c)) return next()
    const { method } = c.req
    const facts = { request: c, method, route: () => patternOf(c), ip: ip(c), waitUntil: waitUntilOf(c) }
    const request = new AuditedRequest(audit, options, { ...facts, header: (name: string) => c.req.header(name) })
    known.set(c, request as AuditedRequest)
    // Hono makes an answer of errors; what is thrown and is none, it leaves to the server.
    const thrown = await request.run(next).then(
      () => null,
      (error: unknown) => ({ error }),
    )
    request.error = thrown ? thrown.error : c.error
    const mayLeave = await endFetchRequest(
      request,
      { status: thrown ? 500 : c.res.status, aborted: hasHungUp(c) },
      responseWaits,
    )
    if (mayLeave && thrown) throw thrown.error
    if (mayLeave) return
    const answer = unrecordedResponse(thrown ? undefined : c.res.headers)
    // Else Hono would take over the headers of the answer that is withheld.
    c.res = undefined
    c.res = answer
  }
}

/**
 * Middleware of a route that has its requests recorded. `target` is asked here, where the route's parameters are known.
 * @throws KitError `option_invalid`; at a request `context_missing`, if `auditRequests` is not used before
 * @example
 * app.post('/invoices/:id/approve', audited({ action: 'invoice.approve' }), approve)
 */
export function audited<Context extends HonoContext = HonoContext>(
  route: RouteAudit<Context> = {},
): HonoMiddleware<Context> {
  checkRouteAudit(route)
  return async (c, next) => {
    const request = known.get(c) as AuditedRequest<Context> | undefined
    if (!request) throw new KitError('context_missing', 'auditRequests() must be used before a route that is audited()')
    request.recordNow(route)
    await next()
  }
}

/** The route's own pattern is the last; middleware before it is for any method. */
function patternOf({ req: { matchedRoutes } }: HonoContext): string | null {
  const route =
    matchedRoutes.findLast(({ method }) => method !== 'ALL') ??
    matchedRoutes.findLast(({ path }) => !path.endsWith('*'))
  return route?.path ?? null
}

function hasHungUp(c: HonoContext): boolean {
  const { outgoing } = (c.env as NodeEnv) ?? {}
  return outgoing ? outgoing.destroyed === true : c.req.raw.signal?.aborted === true
}

/** Of the platform; Hono throws where there is none. */
function waitUntilOf(c: HonoContext): ((promise: Promise<unknown>) => void) | undefined {
  try {
    const platform = c.executionCtx as { waitUntil(promise: Promise<unknown>): void }
    return (promise) => platform.waitUntil(promise)
  } catch {
    return undefined
  }
}
