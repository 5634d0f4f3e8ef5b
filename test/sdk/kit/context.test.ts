import { EventEmitter, once as onceEmitted } from 'node:events'
import { PassThrough, Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { describe, expect, test } from 'vitest'
import { auditContext, contextOfHeaders, isTraceparent, KitError, parseContext } from '../../../sdk/src/kit/index.ts'
import { listenForWarnings, ticked } from './support.ts'

const ada = { type: 'user', id: 'ada' }
const bob = { type: 'user', id: 'bob' }
const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

/** Settles from outside. */
function deferred<T = void>() {
  return Promise.withResolvers<T>()
}

describe('a context', () => {
  test('is there inside and gone outside; the inner one wins, and undefined is no answer', async () => {
    expect(auditContext.get()).toBeUndefined()
    await auditContext.run({ actor: ada, tenant: 't-1', ip: '10.0.0.1', more: { region: 'eu', zone: 1 } }, async () => {
      await auditContext.run({ actor: bob, ip: undefined, more: { zone: 2 } }, async () => {
        await ticked()
        expect(auditContext.get()).toEqual({
          actor: bob,
          tenant: 't-1',
          ip: '10.0.0.1',
          more: { region: 'eu', zone: 2 },
        })
      })
      expect(auditContext.get()?.actor).toEqual(ada)
      auditContext.run({ actor: bob }, () => expect(auditContext.get()?.tenant).toBe('t-1'), { inherit: true })
      auditContext.run({ actor: bob }, () => expect(auditContext.get()).toEqual({ actor: bob }), { inherit: false })
    })
    expect(auditContext.get()).toBeUndefined()
  })

  test('travels with promises, timers, ticks, async iterators and pipelines', async () => {
    const seen = await auditContext.run({ requestId: 'r-1' }, async () => {
      const here = () => auditContext.get()?.requestId
      const seen: unknown[] = []
      await new Promise<void>((resolve) => setTimeout(() => resolve(void seen.push(here())), 1))
      await new Promise<void>((resolve) => setImmediate(() => resolve(void seen.push(here()))))
      await new Promise<void>((resolve) => process.nextTick(() => resolve(void seen.push(here()))))
      await new Promise<void>((resolve) => queueMicrotask(() => resolve(void seen.push(here()))))
      for await (const _ of Readable.from(['a'])) seen.push(here())
      const note = new Transform({
        transform(chunk, _, done) {
          seen.push(here())
          done(null, chunk)
        },
      })
      await pipeline(Readable.from(['a']), note, new PassThrough().resume())
      return seen
    })
    expect(seen).toEqual(Array(6).fill('r-1'))
  })

  test('is not mixed up between many that overlap', async () => {
    const ids = Array.from({ length: 200 }, (_, i) => `r-${i}`)
    const seen = await Promise.all(
      ids.map((requestId) =>
        auditContext.run({ requestId }, async () => {
          for (let i = 0; i < 3; i++) await ticked()
          return auditContext.get()?.requestId
        }),
      ),
    )
    expect(seen).toEqual(ids)
  })

  test('does not follow objects that the application uses again', async () => {
    const actor = { ...ada }
    const more = { shop: { id: 1 } }
    const late = auditContext.run({ actor, more }, async () => {
      await ticked()
      return auditContext.get()
    })
    Object.assign(actor, bob)
    more.shop.id = 2
    expect(await late).toEqual({ actor: ada, more: { shop: { id: 1 } } })
  })

  test('is kept by bound functions and emitters, which others call', async () => {
    const emitter = new EventEmitter()
    const seen: unknown[] = []
    const hear = () => seen.push(auditContext.get()?.requestId)
    const bound = auditContext.run({ requestId: 'r-1' }, () =>
      auditContext.bind(function (this: { name: string }, a: number, b: number) {
        return [this.name, a + b, auditContext.get()?.requestId]
      }),
    )
    expect(auditContext.run({ requestId: 'r-2' }, () => bound.call({ name: 'it' }, 1, 2))).toEqual(['it', 3, 'r-1'])
    emitter.on('x', hear)
    auditContext.run({ requestId: 'r-3' }, () => emitter.emit('x'))
    auditContext.run({ requestId: 'r-1' }, () => auditContext.bindEmitter(emitter))
    auditContext.run({ requestId: 'r-3' }, () => emitter.emit('x'))
    // Bound again, it is the newer context's.
    auditContext.run({ requestId: 'r-2' }, () => expect(auditContext.bindEmitter(emitter)).toBe(emitter))
    const heard = onceEmitted(emitter, 'y')
    emitter.emit('x')
    emitter.emit('y', 7)
    expect(await heard).toEqual([7])
    expect(seen).toEqual(['r-3', 'r-1', 'r-2'])
  })

  test('goes on in a copy of the module, as bundlers make them', async () => {
    // @ts-expect-error a query makes another module of the file
    const copy = (await import('../../../sdk/src/kit/audit-context.ts?copy')) as { auditContext: typeof auditContext }
    expect(copy.auditContext).not.toBe(auditContext)
    copy.auditContext.run({ actor: ada }, () => expect(auditContext.get()).toEqual({ actor: ada }))
  })

  test('goes through JSON as it is, with dates as their texts', () => {
    expect(auditContext.serialize()).toBeNull()
    const given = { actor: ada, tenant: 't', traceparent: TRACE, more: { at: new Date(0), list: [1, null] } }
    const text = auditContext.run(given, () => JSON.stringify(auditContext.serialize()))
    expect(JSON.parse(text).v).toBe(1)
    expect(parseContext(JSON.parse(text))).toEqual({
      ...given,
      more: { at: '1970-01-01T00:00:00.000Z', list: [1, null] },
    })
  })

  test('that is at fault is refused before anything runs, with the place', () => {
    const faults: [unknown, string][] = [
      ['x', ''],
      [null, ''],
      [[], ''],
      [{ user: ada }, '/user'],
      [{ actor: { id: 'ada' } }, '/actor/type'],
      [{ actor: { type: 'user', id: '' } }, '/actor/id'],
      [{ actor: { ...ada, f: () => 1 } }, '/actor/f'],
      [{ tenant: 7 }, '/tenant'],
      [{ ip: null }, '/ip'],
      [{ userAgent: '\ud800' }, '/userAgent'],
      [{ requestId: 'x'.repeat(16_385) }, '/requestId'],
      [{ traceparent: 'abc' }, '/traceparent'],
      [{ more: [] }, '/more'],
      [{ more: { ip: '::1' } }, '/more/ip'],
      [{ more: { a: { b: 1n } } }, '/more/a/b'],
      [{ v: 2 }, '/v'],
      [
        new (class {
          get actor() {
            return ada
          }
        })(),
        '/actor',
      ],
    ]
    for (const [context, field] of faults) {
      let ran = false
      const run = () => {
        ran = true
      }
      const refused = () => auditContext.run(context as never, run)
      expect(refused, JSON.stringify(field)).toThrow(
        expect.objectContaining({ code: 'context_invalid', details: { field } }),
      )
      expect(refused).toThrow(KitError)
      expect(ran).toBe(false)
    }
    expect(() => auditContext.set({ actor: ada })).toThrow(expect.objectContaining({ code: 'context_missing' }))
  })
})

describe('a scope', () => {
  test('ends with what its function returned, and gives that back', async () => {
    const { promise, resolve, reject } = deferred<number>()
    const failing = deferred()
    let scope: ReturnType<typeof auditContext.scope>
    const answer = auditContext.run({}, () => {
      scope = auditContext.scope()
      return promise
    })
    expect(scope!.hasEnded).toBe(false)
    resolve(7)
    expect(await answer).toBe(7)
    expect(scope!.hasEnded).toBe(true)
    void reject
    const failed = auditContext.run({}, () => failing.promise)
    failing.reject(new Error('no'))
    await expect(failed).rejects.toThrow('no')
    expect(() =>
      auditContext.run({}, () => {
        scope = auditContext.scope()
        throw new Error('at once')
      }),
    ).toThrow('at once')
    expect(scope!.hasEnded).toBe(true)
    expect(auditContext.run({}, () => 5)).toBe(5)
  })

  test('does not start what only begins when it is asked', () => {
    let asked = 0
    // biome-ignore lint/suspicious/noThenProperty: a query of an ORM is such a thing
    const query = { then: () => void asked++ }
    expect(auditContext.run({}, () => query)).toBe(query)
    expect(asked).toBe(0)
  })

  test('lives on for what it waits for, and tells the platform', async () => {
    const given: unknown[] = []
    const scope = auditContext.begin({ requestId: 'r-1' }, { waitUntil: (promise) => given.push(promise) })
    const { promise, resolve } = deferred<number>()
    scope.run(() => expect(auditContext.waitUntil(promise)).toBe(promise))
    scope.end()
    scope.end()
    expect([scope.hasEnded, given]).toEqual([false, [promise]])
    resolve(1)
    await ticked()
    expect(scope.hasEnded).toBe(true)
    expect(await auditContext.waitUntil(Promise.resolve(2))).toBe(2)
  })

  test('that waits for a promise which is rejected says so once', async () => {
    const heard = listenForWarnings()
    const scope = auditContext.begin({})
    for (let i = 0; i < 2; i++) scope.waitUntil(Promise.reject(new Error('lost')))
    scope.end()
    await ticked()
    await ticked()
    expect(scope.hasEnded).toBe(true)
    expect(heard).toEqual([{ code: 'wait_until_rejected', message: expect.stringContaining('lost') }])
  })

  test('can be added to, for what comes after; too late, it is counted and warned of once', async () => {
    const heard = listenForWarnings()
    const scope = auditContext.begin({ requestId: 'r-1' })
    scope.run(() => auditContext.set({ actor: ada }))
    expect(scope.context).toEqual({ requestId: 'r-1', actor: ada })
    scope.end()
    const { late } = auditContext.counts
    scope.set({ actor: bob })
    scope.run(() => auditContext.set({ tenant: 't' }))
    await ticked()
    expect(auditContext.counts.late).toBe(late + 2)
    expect(scope.context).toEqual({ requestId: 'r-1', actor: bob, tenant: 't' })
    expect(heard.map(({ code }) => code)).toEqual(['set_after_end'])
  })
})

test('traceparents are told from other texts', () => {
  expect(isTraceparent(TRACE)).toBe(true)
  expect(isTraceparent(TRACE.replace(/^00/, '01').concat('-more'))).toBe(true)
  const none = [
    ...[
      undefined,
      '',
      'x',
      `${TRACE}-more`,
      TRACE.toUpperCase(),
      TRACE.replace(/^00/, 'ff'),
      ` ${TRACE}`,
      `${TRACE}\n`,
    ],
    ...[`00-${'0'.repeat(32)}-b7ad6b7169203331-01`, `00-0af7651916cd43dd8448eb211c80319c-${'0'.repeat(16)}-01`],
  ]
  for (const text of none) expect(isTraceparent(text), String(text)).toBe(false)
})

test('headers give what they hold, and what is malformed is left out', () => {
  const of = (headers: Record<string, string | string[]>) => (name: string) => headers[name]
  const headers = { 'user-agent': 'curl/8', traceparent: TRACE, 'x-request-id': ['r-1', 'r-2'] }
  expect(contextOfHeaders(of(headers))).toEqual({ userAgent: 'curl/8', traceparent: TRACE })
  expect(contextOfHeaders(of(headers), { requestIdHeader: 'X-Request-Id' }).requestId).toBe('r-1')
  const odd = contextOfHeaders(of({ 'user-agent': 'a\ud800', traceparent: 'x', 'x-request-id': '' }), {
    requestIdHeader: 'x-request-id',
  })
  expect(odd).toEqual({ userAgent: 'a\ufffd' })
  expect(parseContext(odd)).toEqual(odd)
})
