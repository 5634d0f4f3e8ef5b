/** `@killick/sdk/nest`: the audit context, and events of requests, in a NestJS application, on Express or on Fastify. */
import { auditRequests as onExpress } from '../express/index.ts'
import { auditRequests as onFastify } from '../fastify/index.ts'
import { auditedRequestOf } from '../web/node-request.ts'
import { checkRouteAudit, type NodeRequestAudit, type RequestSink, type RouteAudit } from '../web/options.ts'

export { requestEvent } from '../web/audited-request.ts'
export type * from '../web/options.ts'

/** What is needed of a Nest application. */
export type NestAuditApp = {
  getHttpAdapter(): { getType(): string; getInstance(): unknown }
  use(middleware: never): unknown
  useGlobalGuards(...guards: never[]): unknown
  useGlobalInterceptors(...interceptors: never[]): unknown
}

/** What a request has on Express and on Fastify; name a type of your own for more. */
export type NestAuditRequest = {
  readonly params: { readonly [name: string]: string }
  readonly headers: { readonly [name: string]: string | string[] | undefined }
  readonly body?: unknown
}

type ExecutionContext = {
  getType(): string
  getHandler(): object
  switchToHttp(): { getRequest(): object & { raw?: object } }
}
type Answers = {
  constructor: unknown
  subscribe(observer: { next(value: unknown): void; error(error: unknown): void; complete(): void }): unknown
}
type Observer = Parameters<Answers['subscribe']>[0]

const MARK = Symbol.for('killick.audited')

/**
 * Begins the audit context of each request, and records those of handlers that are marked with `@Audited`, or picked by
 * `options.record`. Call it right after `NestFactory.create`, before `listen`, so that what guards refuse is seen too.
 * @throws KitError `option_invalid`
 * @example
 * const app = await NestFactory.create(AppModule)
 * auditRequests(app, audit, { actor: (request) => request.user, responseWaits: true })
 */
export function auditRequests<Request extends object = never>(
  app: NestAuditApp,
  audit: RequestSink,
  options: NodeRequestAudit<Request> = {},
): void {
  const http = app.getHttpAdapter()
  if (http.getType() === 'fastify') {
    const instance = http.getInstance() as { register(plugin: unknown): void }
    instance.register(onFastify(audit, options as never))
  } else app.use(onExpress(audit, options as never) as never)
  const marks = new Marks()
  // Guards of modules come before those of the application, and may refuse a request whose handler is marked.
  const guards = (app as { config?: { getGlobalGuards?(): unknown[] } }).config?.getGlobalGuards?.()
  if (guards) guards.unshift(marks)
  else app.useGlobalGuards(marks as never)
  app.useGlobalInterceptors(marks as never)
}

/**
 * Marks a handler whose requests are recorded. `target` is asked before its guards. Put it below decorators that replace the method.
 * @throws KitError `option_invalid`
 * @example
 * @Post(':id/approve')
 * @Audited({ action: 'invoice.approve', target: ({ params }) => ({ type: 'invoice', id: params.id }) })
 * approve(@Param('id') id: string) { … }
 */
export function Audited<Request = NestAuditRequest>(route: RouteAudit<Request> = {}) {
  checkRouteAudit(route)
  return (_class: object, _name: string | symbol, method: PropertyDescriptor): void => {
    Object.defineProperty(method.value, MARK, { value: route })
  }
}

/** Is told by Nest which handler a request has, before the first guard and after the last. */
class Marks {
  canActivate(context: ExecutionContext): boolean {
    const route = (context.getHandler() as { [MARK]?: RouteAudit<never> })[MARK]
    if (route) requestOf(context)?.recordNow(route)
    return true
  }

  intercept(context: ExecutionContext, next: { handle(): Answers }): Answers {
    const request = requestOf(context)
    const answers = next.handle()
    if (!request) return answers
    request.identify()
    // As a class of rxjs, of which the application has its own copy.
    const Observable = answers.constructor as new (subscribe: (observer: Observer) => unknown) => Answers
    return new Observable((observer) =>
      answers.subscribe({
        next: (value) => observer.next(value),
        error: (error) => {
          request.error = error
          observer.error(error)
        },
        complete: () => observer.complete(),
      }),
    )
  }
}

function requestOf(context: ExecutionContext) {
  if (context.getType() !== 'http') return undefined
  const request = context.switchToHttp().getRequest()
  return auditedRequestOf<never>(request.raw ?? request)
}
