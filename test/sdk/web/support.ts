// The same application on each framework, driven over real HTTP, recording into a log without a disk.
import { once } from 'node:events'
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from 'node:http'
import { createRequire } from 'node:module'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import * as onExpress from '@killick/sdk/express'
import * as onFastify from '@killick/sdk/fastify'
import * as onHono from '@killick/sdk/hono'
import { type Audit, createAudit, DeniedError, diff } from '@killick/sdk/kit'
import * as onNode from '@killick/sdk/node-http'
import fastify from 'fastify'
import { expect } from 'vitest'
import { installBeside } from '../../../scripts/lib/install-beside.ts'
import { openTestLog, type TestLog } from '../../../sdk/src/testing/index.ts'

export const EXAMPLES = join(import.meta.dirname, '../../../examples')

/** A module that is installed for the examples only; typed here as far as it is used. */
async function installed<T>(name: string): Promise<T> {
  installBeside(EXAMPLES)
  const path = createRequire(join(EXAMPLES, 'package.json')).resolve(name)
  return import(pathToFileURL(path).href)
}

/** What handlers wait for, and who is told that they were reached. */
export class Gate {
  readonly reached: Promise<void>
  readonly opened: Promise<void>
  reach!: () => void
  open!: () => void
  constructor() {
    this.reached = new Promise((resolve) => (this.reach = resolve))
    this.opened = new Promise((resolve) => (this.open = resolve))
  }
}

export type App = {
  url: string
  log: TestLog
  audit: Audit
  gate: Gate
  connections(): Promise<number>
  close(): Promise<void>
}
export type Options = { responseWaits?: boolean; record?: boolean | ((it: never) => boolean); hangUpMs?: number }

/** Who is asking, as a session would tell. */
const userOf = (header: string | undefined) => {
  const [id, role = 'clerk'] = (header ?? '').split(':')
  return id ? { type: 'user', id, role } : undefined
}

function TARGET(id: string | undefined): { type: string; id: string } {
  if (id === 'untold') throw new Error('the invoice cannot be told')
  return { type: 'invoice', id: id ?? '' }
}

/** What approving comes to, by the invoice's id. */
function approve(id: string | undefined, role: unknown): { id: string | undefined; state: string } {
  if (id === 'broken') throw Object.assign(new Error('the invoice is broken'), { code: 'EBROKEN' })
  if (id === 'quoted') throw new DeniedError(`no access to ${JSON.parse('"\\ud800"')}`)
  if (role !== 'manager') throw new DeniedError('only managers approve')
  onNode.requestEvent().set({ changes: diff({ state: 'open' }, { state: 'approved' }), metadata: { more: true } })
  return { id, state: 'approved' }
}

const chunks = () => Readable.from(['one,', 'two,', 'three'])

type Build = (audit: Audit, options: Options, gate: Gate) => Promise<RequestListener | { listen(): Promise<Server> }>

export const FRAMEWORKS: Record<string, Build> = {
  async 'node:http'(audit, options, gate) {
    const actor = (request: IncomingMessage) => userOf(request.headers['x-user'] as string)
    const quiet = { onError: () => {} }
    return onNode.auditRequests(audit, { ...options, ...quiet, actor } as never, async (request, response) => {
      const [, kind, id] = new URL(request.url!, 'http://x').pathname.split('/')
      const user = actor(request)
      if (!user) throw new DeniedError('sign in', 401)
      if (kind === 'invoices') {
        onNode.audited({ action: 'invoice.approve', target: () => TARGET(id), route: '/invoices/:id' })
        response.setHeader('content-type', 'application/json')
        response.end(JSON.stringify(approve(id, user.role)))
      } else if (kind === 'stream') {
        onNode.audited({ route: '/stream' })
        chunks().pipe(response)
      } else if (kind === 'cached') {
        onNode.audited({ route: '/cached' })
        response.writeHead(304, { etag: '"1"' }).end()
      } else if (kind === 'slow') {
        onNode.audited({ route: '/slow' })
        gate.reach()
        await gate.opened
        response.end('done')
      } else response.writeHead(404).end()
    })
  },

  async express(audit, options, gate) {
    const { default: express } = await installed<{ default: ExpressModule }>('express')
    type Request = onExpress.ExpressRequest & { user?: ReturnType<typeof userOf>; params: { id: string } }
    const app = express()
    const invoices = express.Router()
    app.use(onExpress.auditRequests<Request>(audit, { ...options, actor: ({ user }: Request) => user } as never))
    app.use(((request: Request, _response, next) => {
      request.user = userOf(request.headers['x-user'] as string)
      if (!request.user) throw new DeniedError('sign in', 401)
      next()
    }) satisfies onExpress.ExpressMiddleware<Request>)
    app.use('/invoices/:id', invoices)
    app.use('/of/:tenant', invoices)
    app.use('/by/:tenant/key/:key', invoices)
    app.use('/from/:first-:last', invoices)
    const mark = {
      action: 'invoice.approve',
      target: ({ baseUrl }: onExpress.ExpressRequest) => TARGET(baseUrl.split('/')[2]),
    }
    invoices.post('/', onExpress.audited(mark as never), (request: Request, response: Json) =>
      response.json(approve(`${request.baseUrl.split('/')[2]}`, request.user!.role)),
    )
    invoices.post('/lines/:line', (_request: Request, response: Json) => response.json({}))
    app.get('/stream', onExpress.audited(), (_request: Request, response: Json) => chunks().pipe(response as never))
    app.get('/cached', onExpress.audited(), (_request: Request, response: Json) => response.status(304).end())
    app.get('/slow', onExpress.audited(), async (_request: Request, response: Json) => {
      gate.reach()
      await gate.opened
      response.end('done')
    })
    app.use(onExpress.auditErrors())
    app.use((error: { status?: number }, _request: Request, response: Json, _next: unknown) => {
      response.status(error.status ?? 500).json({ error: 'no' })
    })
    return app as never
  },

  async fastify(audit, options, gate) {
    const app = fastify()
    type Request = onFastify.FastifyAuditRequest & { headers: { 'x-user'?: string }; params: { id: string } }
    const actor = ({ headers }: Request) => userOf(headers['x-user'])
    app.register(onFastify.auditRequests(audit, { ...options, actor } as never))
    app.addHook('onRequest', async (request) => {
      if (!userOf(request.headers['x-user'] as string)) throw new DeniedError('sign in', 401)
    })
    app.register(async (inner) => {
      const target = ({ params }: Request) => TARGET(params.id)
      inner.post(
        '/invoices/:id',
        { config: onFastify.audited({ action: 'invoice.approve', target }) },
        async (request) =>
          approve((request.params as { id: string }).id, userOf(request.headers['x-user'] as string)?.role),
      )
      inner.get('/stream', { config: onFastify.audited() }, async () => chunks())
      inner.get('/cached', { config: onFastify.audited() }, async (_request, reply) => reply.code(304).send())
      inner.get('/slow', { config: onFastify.audited() }, async () => {
        gate.reach()
        await gate.opened
        return 'done'
      })
    })
    return {
      listen: async () => {
        await app.listen({ port: 0, host: '127.0.0.1' })
        return app.server
      },
    }
  },

  async hono(audit, options, gate) {
    const { Hono } = await installed<{ Hono: new () => HonoApp }>('hono')
    const { serve } = await installed<HonoServer>('@hono/node-server')
    const app = new Hono()
    const { hangUpMs: _, ...more } = options
    app.use(
      onHono.auditRequests(audit, { ...more, actor: (c: HonoTestContext) => userOf(c.req.header('x-user')) } as never),
    )
    app.use(async (c, next) => {
      if (!userOf(c.req.header('x-user'))) throw new DeniedError('sign in', 401)
      await next()
    })
    const target = (c: HonoTestContext) => TARGET(c.req.param('id'))
    app.post('/invoices/:id', onHono.audited({ action: 'invoice.approve', target } as never), (c) =>
      c.json(approve(c.req.param('id'), userOf(c.req.header('x-user'))?.role)),
    )
    app.get('/stream', onHono.audited(), () => new Response(Readable.toWeb(chunks()) as ReadableStream))
    app.get('/cached', onHono.audited(), (c) => c.body(null, 304))
    app.get('/slow', onHono.audited(), async (c) => {
      gate.reach()
      await gate.opened
      return c.body('done')
    })
    app.onError((error, c) => c.json({ error: 'no' }, (error as { status?: number }).status ?? 500))
    return {
      listen: () =>
        new Promise((resolve) => {
          const server: Server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, () => resolve(server))
        }),
    }
  },
}

/** Starts the application; `close()` waits for what is under way. */
export async function startApp(framework: string, options: Options): Promise<App> {
  const log = await openTestLog()
  const audit = createAudit(log, { onUnrecorded: () => {} })
  const gate = new Gate()
  const built = await FRAMEWORKS[framework]!(audit, options, gate)
  const server = typeof built === 'function' ? createServer(built).listen(0, '127.0.0.1') : await built.listen()
  if (!server.listening) await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ...{ log, audit, gate },
    connections: () => promisify(server.getConnections.bind(server))(),
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await log.close()
    },
  }
}

export type Answer = { status: number; headers: IncomingMessage['headers']; body: string }

/** A request without the niceties of fetch: HEAD with its headers, one connection each. */
export async function ask(
  app: App,
  method: string,
  path: string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const sent = httpRequest(`${app.url}${path}`, { method, headers, agent: false }).end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  let body = ''
  for await (const chunk of response.setEncoding('utf8')) body += chunk
  return { status: response.statusCode!, headers: response.headers, body }
}

/** Sends a request, and hangs up once its handler was reached. */
export async function hangUp(app: App, path: string): Promise<void> {
  const socket = connect(Number(new URL(app.url).port), '127.0.0.1')
  await once(socket, 'connect')
  socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\nx-user: ada\r\n\r\n`)
  await app.gate.reached
  socket.destroy()
  // Once the server knows.
  await expect.poll(() => app.connections()).toBe(0)
}

type Json = { json(body: unknown): unknown; status(code: number): Json; end(body?: string): void }
type Use = (...handlers: unknown[]) => void
type ExpressApp = { use: Use; get: Use; post: Use }
type ExpressModule = (() => ExpressApp) & { Router: () => ExpressApp }
type HonoTestContext = onHono.HonoContext & {
  req: { header(name: string): string | undefined; param(name: string): string }
  json(body: unknown, status?: number): Response
  body(body: string | null, status?: number): Response
}
type HonoHandler = (c: HonoTestContext, next: () => Promise<void>) => unknown
type HonoUse = (...handlers: (string | HonoHandler)[]) => void
type HonoApp = {
  use: HonoUse
  get: HonoUse
  post: HonoUse
  onError(handler: (error: Error, c: HonoTestContext) => Response): void
  fetch: unknown
}
type HonoServer = { serve(options: object, listening: () => void): Server }
