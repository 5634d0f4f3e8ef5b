// What holds on every framework. The log's disk can be broken, so that recording fails as it does on a full disk.
import { auditRequests } from '@killick/sdk/fastify'
import { createAudit, DeniedError } from '@killick/sdk/kit'
import fastify from 'fastify'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { openTestLog } from '../../../sdk/src/testing/index.ts'
import { type App, ask, FRAMEWORKS, hangUp, startApp } from './support.ts'

const MANAGER = { 'x-user': 'ada:manager' }
const CLERK = { 'x-user': 'zoe' }
/** Frameworks whose router knows the route before any middleware runs. */
const KNOWS_ROUTE_FIRST = ['fastify', 'hono']

describe.each(Object.keys(FRAMEWORKS))('%s, the answer waits', (framework) => {
  let app: App
  beforeAll(async () => {
    app = await startApp(framework, {
      responseWaits: true,
      record: (it: { outcome: string }) => it.outcome === 'denied',
    })
  })
  afterEach(() => {
    app.log.fault({})
    app.log.clear()
  })
  afterAll(() => app.close())

  test('success: recorded before its answer, with the context of the request', async () => {
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
    const headers = { ...MANAGER, 'user-agent': 'test/1', traceparent, 'x-request-id': 'forged' }
    const { status, body } = await ask(app, 'POST', '/invoices/42', headers)
    expect([status, JSON.parse(body)]).toEqual([200, { id: '42', state: 'approved' }])
    expect(app.log.events()).toMatchObject([
      {
        action: 'invoice.approve',
        actor: { type: 'user', id: 'ada' },
        targets: [{ type: 'invoice', id: '42' }],
        outcome: 'success',
        changes: [{ path: '/state', before: 'open', after: 'approved' }],
        metadata: { more: true },
        context: {
          ...{ ip: '127.0.0.1', userAgent: 'test/1', traceparent, requestId: expect.stringMatching(/^[0-9a-f-]{36}$/) },
          http: { method: 'POST', status: 200, route: expect.stringMatching(/^\/invoices\/:id\/?$/) },
        },
      },
    ])
  })

  test('nothing of the answer leaves before the event is durable', async () => {
    app.log.fault({ disk: 150 })
    const began = performance.now()
    for (const path of ['/stream', '/cached']) await ask(app, 'GET', path, CLERK)
    expect(performance.now() - began).toBeGreaterThan(290)
    expect(app.log.events().map(({ action }) => action)).toEqual(['GET /stream', 'GET /cached'])
  })

  test('streams, HEAD and 304 are answered as they would be', async () => {
    expect(await ask(app, 'GET', '/stream', CLERK)).toMatchObject({ status: 200, body: 'one,two,three' })
    expect(await ask(app, 'GET', '/cached', CLERK)).toMatchObject({ status: 304, body: '' })
    expect(await ask(app, 'HEAD', '/stream', CLERK)).toMatchObject({ status: 200, body: '' })
    expect(app.log.events().map(({ action }) => action)).toEqual([...['GET /stream', 'GET /cached', 'HEAD /stream']])
  })

  test('a denial is recorded with its reason, a throw as failure, neither with its message or the address', async () => {
    expect((await ask(app, 'POST', '/invoices/42?token=secret', CLERK)).status).toBe(403)
    expect((await ask(app, 'POST', '/invoices/broken?token=secret', MANAGER)).status).toBe(500)
    expect(app.log.events()).toMatchObject([
      {
        action: 'invoice.approve',
        outcome: 'denied',
        actor: { id: 'zoe' },
        metadata: { reason: 'only managers approve' },
      },
      {
        ...{ action: 'invoice.approve', outcome: 'failure', targets: [{ id: 'broken' }] },
        metadata: { error: { name: 'Error', code: 'EBROKEN' } },
      },
    ])
    expect(JSON.stringify(app.log.events())).not.toMatch(/secret|is broken/)
  })

  test('a target that cannot be told keeps no request from being handled and recorded', async () => {
    expect((await ask(app, 'POST', '/invoices/untold', MANAGER)).status).toBe(200)
    expect(app.log.events()).toMatchObject([
      {
        ...{ action: 'invoice.approve', outcome: 'success', actor: { id: 'ada' } },
        targets: [{ type: 'route' }],
        context: { http: { status: 200, unknown: ['target'] } },
      },
    ])
  })

  test('a denial is recorded, whatever its reason quotes of what was sent', async () => {
    expect((await ask(app, 'POST', '/invoices/quoted', CLERK)).status).toBe(403)
    expect(app.log.events()).toMatchObject([{ outcome: 'denied', metadata: { reason: 'no access to \ufffd' } }])
  })

  test('who has not signed in is recorded too, by the option that picks denials', async () => {
    expect((await ask(app, 'POST', '/invoices/42')).status).toBe(401)
    const [event, ...others] = app.log.events()
    expect(others).toEqual([])
    const isKnown = KNOWS_ROUTE_FIRST.includes(framework)
    expect(event).toMatchObject({
      ...{ outcome: 'denied', actor: { type: 'anonymous' } },
      context: { http: { status: 401, method: 'POST', ...(isKnown && { route: '/invoices/:id' }) } },
    })
    expect((await ask(app, 'GET', '/nowhere', CLERK)).status).toBe(404)
    expect(app.log.events()).toHaveLength(1)
  })

  test('if recording fails, the client gets 503 with a code, and nothing of the answer', async () => {
    app.log.fault({ disk: 'full' })
    for (const [method, path] of [
      ['POST', '/invoices/42'],
      ['POST', '/invoices/broken'],
      ['GET', '/stream'],
      ['GET', '/cached'],
    ] as const) {
      const { status, headers, body } = await ask(app, method, path, MANAGER)
      expect([path, status, headers['content-type']]).toEqual([path, 503, 'application/problem+json'])
      expect(JSON.parse(body)).toMatchObject({ code: 'unrecorded', status: 503 })
      expect(headers.etag).toBeUndefined()
    }
    expect(await ask(app, 'HEAD', '/stream', MANAGER)).toMatchObject({ status: 503, body: '' })
    expect(app.log.events()).toEqual([])
    app.log.fault({})
    expect((await ask(app, 'POST', '/invoices/42', MANAGER)).status).toBe(200)
  })
})

describe.each(Object.keys(FRAMEWORKS))('%s', (framework) => {
  test.each([true, false])(
    'a client that hangs up: the outcome is what the handler came to (waits: %s)',
    async (responseWaits) => {
      const app = await startApp(framework, { responseWaits })
      await hangUp(app, '/slow')
      app.gate.open()
      await expect.poll(() => app.log.events().length).toBe(1)
      expect(app.log.events()).toMatchObject([
        {
          action: 'GET /slow',
          actor: { id: 'ada' },
          outcome: 'success',
          context: { http: { status: 200, aborted: true } },
        },
      ])
      await app.close()
    },
  )

  test('without waiting, each request is recorded once its answer is sent', async () => {
    const app = await startApp(framework, { record: true })
    await ask(app, 'GET', '/nowhere', CLERK)
    await ask(app, 'GET', '/stream', CLERK)
    await expect.poll(() => app.log.events().length).toBe(2)
    expect(app.log.events()).toMatchObject([
      { outcome: 'failure', context: { http: { status: 404 } } },
      { action: 'GET /stream', outcome: 'success', targets: [{ type: 'route', id: '/stream' }] },
    ])
    await app.close()
  })
})

test.each(['node:http', 'express', 'fastify'])(
  '%s: a handler that never answers is recorded without outcome',
  async (framework) => {
    for (const responseWaits of [true, false]) {
      const app = await startApp(framework, { responseWaits, hangUpMs: 20 })
      await hangUp(app, '/slow')
      await expect.poll(() => app.log.events().length).toBe(1)
      const [event] = app.log.events()
      expect(event).toMatchObject({ action: 'GET /slow', context: { http: { aborted: true } } })
      expect(event).not.toHaveProperty('outcome')
      // What is answered later makes no second event.
      app.gate.open()
      await app.close()
      expect(app.log.events()).toHaveLength(1)
    }
  },
)

test('express: the pattern of a route under routers holds nothing of the address', async () => {
  const app = await startApp('express', { record: true })
  await ask(app, 'POST', '/of/acme%20inc/lines/7', CLERK)
  await ask(app, 'POST', '/invoices/42/lines/7', CLERK)
  // The value of one parameter is a part of another's, and of the route itself.
  await ask(app, 'POST', '/by/e/key/se7ret/lines/7', CLERK)
  await ask(app, 'POST', '/from/ada-lovelace/lines/7', CLERK)
  await expect.poll(() => app.log.events().length).toBe(4)
  expect(app.log.events().map(({ action }) => action)).toEqual([
    'POST /of/:tenant/lines/:line',
    'POST /invoices/:id/lines/:line',
    'POST /by/:tenant/key/:key/lines/:line',
    'POST /from/:first-:last/lines/:line',
  ])
  await app.close()
})

test('whose function fails, or says null, until somebody has signed in, is not recorded as unknown then', async () => {
  const log = await openTestLog()
  const app = fastify()
  const actor = ({ user }: { user: { id: string } | null }) => user && { type: 'user', id: user.id }
  const tenant = ({ user }: { user: { id: string } | null }) => `of-${user!.id}`
  await app.register(
    auditRequests(createAudit(log), { record: true, responseWaits: true, actor, tenant } as never) as never,
  )
  app.decorateRequest('user', null)
  app.addHook('onRequest', async (request) => {
    if (request.headers['x-user']) Object.assign(request, { user: { id: request.headers['x-user'] } })
    else throw new DeniedError('sign in', 401)
  })
  app.get('/', async () => 'ok')
  await app.inject({ url: '/', headers: { 'x-user': 'ada' } })
  await app.inject('/')
  const http = { method: 'GET', route: '/' }
  const told = log.events().map(({ actor, context }) => [actor.id, context?.tenant, context?.http])
  expect(told).toEqual([
    ['ada', 'of-ada', { ...http, status: 200 }],
    ['anonymous', undefined, { ...http, status: 401, unknown: ['tenant'] }],
  ])
  await app.close()
  await log.close()
})
