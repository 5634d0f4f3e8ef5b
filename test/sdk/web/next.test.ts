// The adapter on Next, held against Next's own requests, responses, and what it throws for redirects and refusals.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createAudit, DeniedError, type KitError } from '@killick/sdk/kit'
import { auditRequests, requestEvent } from '@killick/sdk/next'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { installBeside } from '../../../scripts/lib/install-beside.ts'
import { openTestLog, type TestLog } from '../../../sdk/src/testing/index.ts'

type Next = {
  NextRequest: new (url: string, init?: object) => Request & { nextUrl: URL }
  NextResponse: { next(): Response; json(body: unknown, init?: object): Response }
}
type Navigation = { redirect(to: string): never; forbidden(): never; unauthorized(): never; notFound(): never }

let log: TestLog
let next: Next
let navigation: Navigation
const ada = { type: 'user', id: 'ada' }

beforeAll(async () => {
  // The example's, which is large.
  const folder = join(import.meta.dirname, '../../../examples/next')
  installBeside(folder)
  const from = createRequire(join(folder, 'package.json'))
  // As next.config has it; `forbidden()` and `unauthorized()` refuse to work without.
  process.env.__NEXT_EXPERIMENTAL_AUTH_INTERRUPTS = 'true'
  next = from('next/server')
  navigation = from('next/navigation')
  log = await openTestLog()
}, 240_000)
afterAll(async () => {
  delete process.env.__NEXT_EXPERIMENTAL_AUTH_INTERRUPTS
  await log?.close()
})
beforeEach(() => {
  log.fault({})
  log.clear()
})

const adapter = () =>
  auditRequests(() => createAudit(log, { onUnrecorded: () => {} }), {
    actor: async ({ headers }) => (headers.get('x-user') ? ada : undefined),
    headers: async () => new Headers({ 'x-user': 'ada', 'user-agent': 'test/1' }),
    record: ({ outcome }) => outcome === 'denied',
    responseWaits: true,
  })
const ask = () =>
  new next.NextRequest('http://x/invoices/42?token=secret', { method: 'POST', headers: { 'x-user': 'ada' } })
const route = { action: 'invoice.approve', route: '/invoices/[id]', target: { type: 'invoice', id: '42' } }

test('a route handler: what it returns and what it throws, before it is answered', async () => {
  const of = (handle: () => Response) => adapter().route(route, handle)(ask(), {})
  const answer = await of(() => {
    requestEvent().set({ metadata: { more: true } })
    return next.NextResponse.json({}, { status: 201 })
  })
  expect(answer.status).toBe(201)
  expect(
    (
      await of(() => {
        throw new DeniedError('only managers')
      })
    ).status,
  ).toBe(403)
  await expect(
    of(() => {
      throw new Error('broken')
    }),
  ).rejects.toThrow('broken')
  for (const fn of ['forbidden', 'unauthorized', 'notFound'] as const)
    await expect(of(() => navigation[fn]())).rejects.toThrow(
      expect.objectContaining({ digest: expect.stringContaining('NEXT_') }),
    )
  await expect(of(() => navigation.redirect('/'))).rejects.toThrow(/NEXT_REDIRECT/)
  const dynamic = Object.assign(new Error('dynamic'), { digest: 'DYNAMIC_SERVER_USAGE' })
  await expect(
    of(() => {
      throw dynamic
    }),
  ).rejects.toBe(dynamic)
  expect(log.events()).toMatchObject([
    {
      action: 'invoice.approve',
      actor: ada,
      outcome: 'success',
      metadata: { more: true },
      targets: [{ id: '42' }],
      context: { http: { method: 'POST', route: '/invoices/[id]', status: 201 } },
    },
    { outcome: 'denied', metadata: { reason: 'only managers' } },
    { outcome: 'failure', metadata: { error: { name: 'Error' } }, context: { http: { status: 500 } } },
    { outcome: 'denied', context: { http: { status: 403 } } },
    { outcome: 'denied', context: { http: { status: 401 } } },
    { outcome: 'failure', context: { http: { status: 404 } } },
    { outcome: 'success', context: { http: { status: 307 } } },
  ])
  expect(log.events()).toHaveLength(7)
  log.fault({ disk: 'full' })
  const withheld = await of(() => next.NextResponse.json({}))
  expect([withheld.status, await withheld.json()]).toMatchObject([503, { code: 'unrecorded' }])
})

test('a server action is recorded before it resolves; unrecorded it rejects', async () => {
  const act = (fn: (id: string) => unknown) =>
    adapter().action({ action: 'invoice.approve' }, async (id: string) => fn(id))
  expect(await act((id) => id)('42')).toBe('42')
  await expect(act(() => navigation.redirect('/'))('42')).rejects.toThrow(/NEXT_REDIRECT/)
  await expect(
    act(() => {
      throw new DeniedError('no')
    })('42'),
  ).rejects.toThrow('no')
  await expect(
    act(() => {
      throw new Error('broken')
    })('42'),
  ).rejects.toThrow('broken')
  expect(log.events()).toMatchObject([
    { actor: ada, outcome: 'success', context: { userAgent: 'test/1' } },
    { outcome: 'success' },
    { outcome: 'denied', metadata: { reason: 'no' } },
    { outcome: 'failure' },
  ])
  log.fault({ disk: 'full' })
  await expect(act(() => 1)('42')).rejects.toThrow(expect.objectContaining({ code: 'unrecorded' } as Partial<KitError>))
})

test('a proxy: what it refuses is recorded, what it lets pass is not', async () => {
  const through = adapter().proxy(() => next.NextResponse.next())
  const refused = adapter().proxy(() => next.NextResponse.json({}, { status: 401 }))
  expect((await through(ask()))?.headers.get('x-middleware-next')).toBe('1')
  expect(log.events()).toEqual([])
  expect((await refused(ask()))?.status).toBe(401)
  expect(log.events()).toMatchObject([{ action: 'POST', outcome: 'denied' }])
})
