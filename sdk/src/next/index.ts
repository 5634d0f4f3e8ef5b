/** `@killick/sdk/next`: the audit context, and events of requests, in a Next.js application: route handlers, server actions, proxy. */
import { STATUS_CODES } from 'node:http'
import type { Party } from '../core/fields.ts'
import { isDenial, statusOf } from '../kit/denial.ts'
import { type EventOutcome, KitError, outcomeOfStatus } from '../kit/index.ts'
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

/** What is known of a request in all three places; a route handler's and a proxy's is the whole `NextRequest`. */
export type NextAuditRequest = { readonly headers: Headers }

/** Options of the adapter on Next. Next has no rule on proxies and tells no address. */
export type NextAudit = Omit<RequestAudit<NextAuditRequest>, 'actor' | 'tenant'> & {
  /** Who asks; asked once, before the handler. */
  readonly actor?: ((request: NextAuditRequest) => Party | undefined | Promise<Party | undefined>) | undefined
  /** Id of the tenant; asked once, before the handler. */
  readonly tenant?: ((request: NextAuditRequest) => string | undefined | Promise<string | undefined>) | undefined
  /** Address of the client; default: none. */
  readonly ip?: ((request: NextAuditRequest) => string | undefined) | undefined
  /** `headers` of `next/headers`; server actions need it. */
  readonly headers?: (() => Promise<Headers>) | undefined
  /** `after` of `next/server`, for platforms that freeze what has answered. */
  readonly after?: ((promise: Promise<unknown>) => void) | undefined
}

/** Wraps what Next calls. */
export type NextAdapter = {
  /**
   * A route handler whose requests are recorded. Next does not tell the pattern: name it as `route`. A denial that is thrown is answered with
   * its status, 401 or 403.
   */
  route<Request extends globalThis.Request, Context>(
    event: RouteAudit<Request>,
    handle: (request: Request, context: Context) => Response | Promise<Response>,
  ): (request: Request, context: Context) => Promise<Response>
  /**
   * A server action that is recorded, always before it is answered. If that fails it rejects with KitError `unrecorded`, which Next answers
   * with 500.
   */
  action<Args extends unknown[], Result>(
    event: RouteAudit<NextAuditRequest>,
    act: (...args: Args) => Promise<Result>,
  ): (...args: Args) => Promise<Result>
  /** `proxy.ts` (before Next 16 `middleware.ts`): what it answers itself is recorded if `options.record` picks it. */
  proxy<Request extends globalThis.Request>(
    handle: (request: Request) => Response | undefined | Promise<Response | undefined>,
  ): (request: Request) => Promise<Response | undefined>
}

/**
 * Makes the wrappers of an application.
 * @param audit an audit object, or a function that returns one, asked at each request: Next loads modules when it builds, and a log must not
 * be opened then. Open it in `register()` of `instrumentation.ts`, by an import for the Node runtime alone, and keep the audit object on
 * `globalThis`: Next gives each entry a copy of your module.
 * @throws KitError `option_invalid`
 * @example
 * export const POST = auditRequests(audit, { actor, responseWaits: true }).route({ action: 'invoice.approve', route: '/invoices/[id]' }, approve)
 */
export function auditRequests(
  audit: RequestSink | (() => RequestSink | Promise<RequestSink>),
  options: NextAudit = {},
): NextAdapter {
  checkRequestAudit(options, ['ip', 'headers', 'after'])
  const { actor: askActor, tenant: askTenant, ip, headers, after, ...rest } = options
  const waits = options.responseWaits === true

  async function begin<Request extends NextAuditRequest>(request: Request, method: string) {
    const [sink, actor, tenant] = await Promise.all([
      typeof audit === 'function' ? audit() : audit,
      askActor?.(request),
      askTenant?.(request),
    ])
    const told = { ...rest, actor: () => actor, tenant: () => tenant } as RequestAudit<Request>
    const header = (name: string) => request.headers.get(name)
    return new AuditedRequest<Request>(sink, told, {
      ...{ request, method, route: () => null, ip: ip?.(request), header, waitUntil: after },
    })
  }

  async function answer<Request extends globalThis.Request, Answer extends Response | undefined>(
    request: Request,
    event: RouteAudit<Request> | null,
    handle: () => Answer | Promise<Answer>,
  ): Promise<Answer | Response> {
    const begun = await begin(request, request.method)
    if (event) begun.recordNow(event)
    const handled = await settled(() => begun.run(handle))
    const { response, error } = handled as { response?: Answer; error?: unknown }
    const isThrown = 'error' in handled
    // What Next throws for itself, to render in another way.
    if (isThrown && isInternal(error)) throw error
    // A proxy that lets the request pass has not answered it.
    if (!isThrown && (response === undefined || response.headers.has('x-middleware-next'))) return response as Answer
    begun.error = error
    const status = isThrown ? statusOfThrown(error) : response!.status
    const end = { status, aborted: request.signal.aborted }
    if (!(await endFetchRequest(begun, end, waits))) {
      // Next would have written it.
      if (isThrown && status === 500) console.error(error)
      return unrecordedResponse(response?.headers)
    }
    if (isThrown && isDenial(error)) return new Response(`${STATUS_CODES[status]}\n`, { status })
    if (isThrown) throw error
    return response as Answer
  }

  return {
    route(event, handle) {
      checkRouteAudit(event)
      return (request, context) =>
        // Next calls handlers of GET when it builds, if nothing in them depends on a request.
        process.env.NEXT_PHASE === 'phase-production-build'
          ? Promise.resolve(handle(request, context))
          : answer(request, event, () => handle(request, context))
    },
    action(event, act) {
      checkRouteAudit(event)
      if (!headers)
        throw new KitError('option_invalid', 'Option headers is missing: server actions need it', { option: 'headers' })
      return async (...args) => {
        const begun = await begin({ headers: await headers() }, 'POST')
        begun.recordNow(event)
        const handled = await settled(() => begun.run(() => act(...args)))
        const { response, error } = handled as { response?: Awaited<ReturnType<typeof act>>; error?: unknown }
        const isThrown = 'error' in handled
        if (isThrown && isInternal(error)) throw error
        begun.error = error
        const outcome: EventOutcome = isThrown ? outcomeOfStatus(statusOfThrown(error)) : 'success'
        if (!(await endFetchRequest(begun, { status: null, aborted: false, outcome }, true)))
          throw new KitError('unrecorded', undefined, {}, isThrown ? { cause: error } : undefined)
        if (isThrown) throw error
        return response as never
      }
    },
    proxy: (handle) => (request) => answer(request, null, () => handle(request)),
  }
}

const settled = async <T>(fn: () => T | Promise<T>): Promise<{ response: T } | { error: unknown }> => {
  try {
    return { response: await fn() }
  } catch (error) {
    return { error }
  }
}

/** Next answers by throwing, and says in the digest what. */
const digestOf = (error: unknown): string => {
  const digest = (error as { digest?: unknown } | null)?.digest
  return typeof digest === 'string' ? digest : ''
}
const ANSWERS = /^NEXT_(?:REDIRECT;.*;(\d{3});?|HTTP_ERROR_FALLBACK;(\d{3}))$/
const isInternal = (error: unknown): boolean =>
  /^(?:NEXT_|DYNAMIC_SERVER_USAGE|HANGING_PROMISE|BAILOUT_)/.test(digestOf(error)) && !ANSWERS.test(digestOf(error))

function statusOfThrown(error: unknown): number {
  const [, redirected, refused] = ANSWERS.exec(digestOf(error)) ?? []
  if (redirected ?? refused) return Number(redirected ?? refused)
  return isDenial(error) ? statusOf(error)! : 500
}
