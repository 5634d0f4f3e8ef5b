import { describe, expect, test } from 'vitest'
import { openAuditLog } from '../../../sdk/src/client/open.ts'
import {
  auditContext,
  compileRedaction,
  createAudit,
  DeniedError,
  diff,
  isDenial,
  KitError,
  outcomeOfStatus,
} from '../../../sdk/src/kit/index.ts'
import { key } from '../client/support.ts'
import { listenForWarnings, openLog, ticked } from './support.ts'

const ada = { type: 'user', id: 'ada' }
const invoice = { type: 'invoice', id: '42' }
const refund = { action: 'invoice.refund', target: invoice }
const inContext = <T>(fn: () => T) => auditContext.run({ actor: ada, requestId: 'r-1' }, fn)

describe('record()', () => {
  test('takes actor and circumstances from the context; what is nearer to the event wins', async () => {
    const { log, events } = await openLog()
    const audit = createAudit(log)
    const mine = audit.with({ tenant: 't-1', requestId: 'r-with', more: { region: 'eu' } })
    await inContext(async () => {
      await audit.record({ ...refund, reason: 'broken', targets: [{ type: 'order', id: '7' }] })
      await mine.record({ action: 'a', context: { region: 'us', ip: undefined }, metadata: { n: 1 } })
      await mine.with({ actor: { type: 'service', id: 'cron' } }).record({ action: 'b' })
      await mine.record({ action: 'c', actor: { type: 'user', id: 'eve' } })
    })
    expect(events()).toEqual([
      {
        ...{ action: 'invoice.refund', actor: ada, targets: [invoice, { type: 'order', id: '7' }] },
        ...{ context: { requestId: 'r-1' }, metadata: { reason: 'broken' } },
      },
      {
        ...{ action: 'a', actor: ada, targets: [], metadata: { n: 1 } },
        context: { tenant: 't-1', requestId: 'r-with', region: 'us' },
      },
      expect.objectContaining({ action: 'b', actor: { type: 'service', id: 'cron' } }),
      expect.objectContaining({ action: 'c', actor: { type: 'user', id: 'eve' } }),
    ])
    expect([audit.counts, mine.counts.recorded]).toEqual([
      { recorded: 4, unrecorded: 0, withoutActor: 0, redacted: 0 },
      4,
    ])
  })

  test('refuses an event without an actor, or records it as unknown, as is wished', async () => {
    const { log, events } = await openLog()
    const heard = listenForWarnings()
    const unrecorded: unknown[] = []
    const strict = createAudit(log, {
      onUnrecorded: (error, event) => unrecorded.push((error as KitError).code, event),
    })
    await expect(strict.record(refund)).rejects.toThrow(
      expect.objectContaining({ code: 'actor_missing', details: { field: '/actor' } }),
    )
    expect([unrecorded, strict.counts.unrecorded, events()]).toEqual([['actor_missing', null], 1, []])
    const warning = createAudit(log, { onMissingActor: 'warn' })
    await warning.record(refund)
    await warning.record(refund)
    await ticked()
    const missingActor = { type: 'system', id: 'batch' }
    await createAudit(log, { onMissingActor: 'allow', missingActor }).record(refund)
    const unknown = { type: 'unknown', id: 'unknown' }
    expect(events().map(({ actor }) => actor)).toEqual([unknown, unknown, missingActor])
    expect([warning.counts.withoutActor, heard.map(({ code }) => code)]).toEqual([2, ['actor_missing']])
  })

  test('after the end of its context records all the same, and says so once', async () => {
    const { log, events } = await openLog()
    const heard = listenForWarnings()
    const audit = createAudit(log)
    const { late } = auditContext.counts
    const scope = auditContext.begin({ actor: ada })
    await scope.run(() => audit.record({ action: 'in.time' }))
    scope.end()
    await scope.run(() => audit.record({ action: 'late' }))
    await scope.run(() => audit.record({ action: 'later' }))
    const ended = { contextEnded: true }
    expect(events().map(({ action, actor, context }) => [action, actor, context])).toEqual([
      ['in.time', ada, undefined],
      ['late', ada, ended],
      ['later', ada, ended],
    ])
    expect([auditContext.counts.late - late, heard.map(({ code }) => code)]).toEqual([2, ['record_after_end']])
  })

  test('that nobody awaits and that fails is counted and reported, and the process lives', async () => {
    const { log } = await openLog()
    const heard = listenForWarnings()
    const failures: unknown[] = []
    const onUnrecorded = ({ message }: Error) => {
      failures.push(message)
      throw new Error('a handler that is broken itself')
    }
    const audit = createAudit(log, { onUnrecorded })
    const unhandled: unknown[] = []
    const hear = (error: unknown) => unhandled.push(error)
    process.on('unhandledRejection', hear)
    void audit.record(refund)
    void audit.with({ actor: ada }).record({ action: '' })
    await ticked()
    await ticked()
    process.off('unhandledRejection', hear)
    expect(unhandled).toEqual([])
    expect(failures).toEqual([expect.stringContaining('has no actor'), '/action must be a non-empty string'])
    expect(audit.counts).toMatchObject({ recorded: 0, unrecorded: 2 })
    expect(heard.map(({ code }) => code)).toEqual(['on_unrecorded_threw'])
  })

  test('refuses what it cannot put together, with the place', async () => {
    const { log, events } = await openLog()
    const audit = createAudit(log, { onUnrecorded: () => {} }).with({ actor: ada })
    const faults: [unknown, string][] = [
      [{ ...refund, targets: 'x' }, '/targets'],
      [{ ...refund, reason: 7 }, '/reason'],
      [{ ...refund, reason: 'r', metadata: 'x' }, '/metadata'],
      [{ ...refund, metadata: { redactions: [] } }, '/metadata/redactions'],
    ]
    for (const [event, field] of faults)
      await expect(audit.record(event as never)).rejects.toThrow(
        expect.objectContaining({ code: 'event_invalid', details: { field } }),
      )
    await expect(audit.withAudit(null as never, () => 1)).rejects.toThrow(
      expect.objectContaining({ code: 'event_invalid' }),
    )
    const orphan = createAudit(log, { onUnrecorded: () => {} })
    await expect(orphan.record({ ...refund, actor: null as never })).rejects.toThrow(
      expect.objectContaining({ code: 'actor_missing' }),
    )
    for (const event of [null, 'x', []])
      await expect(audit.record(event as never)).rejects.toThrow(expect.objectContaining({ code: 'event_invalid' }))
    // What the log refuses, it refuses with its own code.
    await expect(audit.record({ ...refund, context: 'x' } as never)).rejects.toThrow(
      expect.objectContaining({ code: 'field_invalid' }),
    )
    expect(events()).toEqual([])
  })
})

describe('withAudit()', () => {
  test('records success with what the function has added, and gives back its result', async () => {
    const { log, events } = await openLog()
    const audit = createAudit(log)
    const result = await inContext(() =>
      audit.withAudit({ ...refund, metadata: { a: 1 } }, async (entry) => {
        entry.set({ changes: diff({ n: 1 }, { n: 2 }), metadata: { b: 2 } })
        expect(events()).toEqual([])
        return { paid: true }
      }),
    )
    expect(result).toEqual({ paid: true })
    expect(events()).toEqual([
      {
        ...{
          action: 'invoice.refund',
          actor: ada,
          targets: [invoice],
          outcome: 'success',
          context: { requestId: 'r-1' },
        },
        ...{ metadata: { a: 1, b: 2 }, changes: [{ path: '/n', before: 1, after: 2 }] },
      },
    ])
    expect(await audit.with({ actor: ada }).withAudit(refund, () => 7)).toBe(7)
  })

  test('records a throw as failure and a denial as denied, and throws it on as it is', async () => {
    const { log, events } = await openLog()
    const audit = createAudit(log).with({ actor: ada })
    const errors = [
      Object.assign(new TypeError('the password is hunter2'), { code: 'E_PAY' }),
      new DeniedError('over the limit'),
      Object.assign(new Error('Forbidden'), { statusCode: 403 }),
      'a text',
      undefined,
    ]
    for (const error of errors) {
      const thrown = audit.withAudit(refund, () => {
        throw error
      })
      expect(
        await thrown.then(
          () => 'nothing',
          (it) => it,
        ),
      ).toBe(error)
    }
    expect(events().map(({ outcome, metadata }) => [outcome, metadata])).toEqual([
      ['failure', { error: { name: 'TypeError', code: 'E_PAY' } }],
      ['denied', { reason: 'over the limit' }],
      ['denied', { error: { name: 'Error', status: 403 } }],
      ['failure', { error: { name: 'string' } }],
      ['failure', undefined],
    ])
  })

  test('a denial is recorded, whatever its reason quotes of what was sent', async () => {
    const { log, events } = await openLog()
    const unrecorded: unknown[] = []
    const audit = createAudit(log, { onUnrecorded: (error) => unrecorded.push(error) }).with({ actor: ada })
    for (const sent of ['\ud800', 'x'.repeat(300_000)]) {
      const denied = new DeniedError(`no access to ${sent}`)
      const thrown = audit.withAudit(refund, () => {
        throw denied
      })
      await expect(thrown).rejects.toBe(denied)
    }
    expect(unrecorded).toEqual([])
    const [half, long] = events().map(({ metadata }) => String((metadata as { reason?: string }).reason))
    expect(half).toBe('no access to \ufffd')
    expect(long).toMatch(/^no access to x{16370}…$/)
  })

  test('takes the outcome from a result that says it', async () => {
    const { log, events } = await openLog()
    const heard = listenForWarnings()
    const audit = createAudit(log).with({ actor: ada })
    const outcome = ({ status }: Response) => outcomeOfStatus(status)
    for (const status of [200, 401, 403, 404, 500])
      await audit.withAudit({ ...refund, outcome }, async () => new Response(null, { status }))
    const broken = () => {
      throw new Error('no')
    }
    await audit.withAudit({ ...refund, outcome: broken }, () => 1)
    await ticked()
    expect(events().map((event) => event.outcome)).toEqual([
      ...['success', 'denied', 'denied', 'failure', 'failure', undefined],
    ])
    expect(heard.map(({ code }) => code)).toEqual(['outcome_unknown'])
  })

  test('refuses what can never be recorded before the function runs', async () => {
    const { log, events } = await openLog()
    const codes: unknown[] = []
    const audit = createAudit(log, { onUnrecorded: (error) => codes.push((error as KitError).code) })
    let ran = 0
    const run = () => void ran++
    await expect(audit.withAudit(refund, run)).rejects.toThrow(expect.objectContaining({ code: 'actor_missing' }))
    const mine = audit.with({ actor: ada })
    await expect(mine.withAudit({ action: '' }, run)).rejects.toThrow(
      expect.objectContaining({ code: 'field_invalid' }),
    )
    await expect(mine.withAudit({ ...refund, metadata: { f: run } } as never, run)).rejects.toThrow(
      expect.objectContaining({ code: 'field_invalid' }),
    )
    expect([ran, events(), codes]).toEqual([0, [], ['actor_missing', 'field_invalid', 'field_invalid']])
    expect(audit.counts.unrecorded).toBe(3)
  })

  test('throws on even what cannot be looked at, and takes it for a failure', async () => {
    const { log, events } = await openLog()
    const broken = () => {
      throw new Error('not this one')
    }
    const audit = createAudit(log, { isDenial: broken }).with({ actor: ada })
    const hostile = Object.defineProperty(new Error('x'), 'status', { get: broken })
    for (const [mine, error] of [
      [audit, new Error('y')],
      [createAudit(log).with({ actor: ada }), hostile],
    ] as const)
      await expect(mine.withAudit(refund, () => Promise.reject(error))).rejects.toBe(error)
    expect(events().map(({ outcome, metadata }) => [outcome, metadata])).toEqual([
      ['failure', undefined],
      ['failure', undefined],
    ])
  })

  test('gives back the result, or the error, when the event cannot be kept; the failure is reported, or thrown by option', async () => {
    const closed = await openAuditLog({
      url: 'http://127.0.0.1:9',
      source: 'app',
      key,
      spool: 'memory',
      onError: () => {},
    })
    await closed.close({ timeoutMs: 0 })
    const lost: unknown[] = []
    const onUnrecorded = (error: Error, event: unknown) => lost.push([(error as KitError).code, event])
    const audit = createAudit(closed, { onUnrecorded }).with({ actor: ada })
    expect(await audit.withAudit(refund, () => 7)).toBe(7)
    const broken = new Error('broken')
    const failing = () => {
      throw broken
    }
    await expect(audit.withAudit(refund, failing)).rejects.toBe(broken)
    const whole = { action: 'invoice.refund', actor: ada, targets: [invoice] }
    expect(lost).toEqual([
      ['log_closed', { ...whole, outcome: 'success' }],
      ['log_closed', { ...whole, outcome: 'failure', metadata: { error: { name: 'Error' } } }],
    ])
    const strict = createAudit(closed, { onUnrecorded, onRecordFailure: 'throw' }).with({ actor: ada })
    const error = await strict.withAudit(refund, () => ({ secret: 1 })).catch((it) => it)
    expect(error).toBeInstanceOf(KitError)
    expect(error).toMatchObject({ code: 'unrecorded', cause: { code: 'log_closed' } })
    expect([error.result, Object.keys(error)]).toEqual([{ secret: 1 }, expect.not.arrayContaining(['result'])])
    await expect(strict.withAudit(refund, failing)).rejects.toBe(broken)
    expect(strict.counts.unrecorded).toBe(2)
  })

  test('warns of what is added when it is over', async () => {
    const { log, events } = await openLog()
    const heard = listenForWarnings()
    let later: (() => void) | undefined
    await createAudit(log)
      .with({ actor: ada })
      .withAudit(refund, ({ set }) => {
        later = () => set({ metadata: { late: true } })
      })
    later!()
    await ticked()
    expect([events()[0]!.metadata, heard.map(({ code }) => code)]).toEqual([undefined, ['entry_after_end']])
  })
})

test('denied() and failed() record what did not happen', async () => {
  const { log, events } = await openLog()
  const audit = createAudit(log, { errorMessages: true }).with({ actor: ada })
  await audit.denied({ ...refund, reason: 'over the limit' })
  await audit.failed(refund, Object.assign(new RangeError('x'.repeat(2_500)), { code: 7 }))
  await audit.failed(refund)
  expect(events().map(({ outcome, metadata }) => [outcome, metadata])).toEqual([
    ['denied', { reason: 'over the limit' }],
    ['failure', { error: { name: 'RangeError', code: 7, message: 'x'.repeat(2_000), messageLength: 2_500 } }],
    ['failure', undefined],
  ])
})

test('an event of a class is refused if a copy of it would lack what the class answers for', async () => {
  const { log, events } = await openLog()
  const audit = createAudit(log, { onUnrecorded: () => {} }).with({ actor: ada })
  class Refund {
    action = 'invoice.refund'
    get reason() {
      return 'over the limit'
    }
  }
  const refused = expect.objectContaining({ code: 'event_invalid', details: { field: '/reason' } })
  for (const record of [audit.record, audit.denied, audit.failed])
    await expect(record(new Refund())).rejects.toThrow(refused)
  await expect(audit.withAudit(new Refund(), () => expect.fail('it was called'))).rejects.toThrow(refused)
  expect(audit.counts).toMatchObject({ recorded: 0, unrecorded: 4 })
  await audit.record(
    new (class extends Refund {
      override get reason() {
        return undefined as never
      }
    })(),
  )
  expect(events().map(({ action }) => action)).toEqual(['invoice.refund'])

  // Of these nothing would be copied at all.
  for (const odd of [new Map([['a', 1]]), new Headers({ a: 'b' }), new Refund()]) {
    const [context, metadata] = [odd as never, odd as never]
    const answers = [
      audit.record({ action: 'x', context }),
      audit.record({ action: 'x', metadata, reason: 'why' }),
      audit.failed({ action: 'x', metadata }, new Error('no')),
      audit.withAudit({ action: 'x', context }, () => expect.fail('it was called')),
      audit.withAudit({ action: 'x', metadata: { b: 2 } }, ({ set }) => set({ metadata })),
    ]
    const refusals = await Promise.allSettled(answers)
    for (const refusal of refusals.slice(0, -1))
      expect(refusal).toMatchObject({ reason: { message: expect.stringMatching(/plain object/) } })
  }
  expect(events()).toHaveLength(1)
})

test('an event says which rule removed what, and where: rules of the object, of the action, and of a diff', async () => {
  const { log, events } = await openLog()
  const catalogue = {
    prepare: (event: object) =>
      ({ ...event, metadata: { ...(event as { metadata?: object }).metadata, catalogue: 3 } }) as never,
    redaction: (action: string) =>
      action === 'invoice.refund' ? compileRedaction([{ name: 'mail', paths: ['/actor/email'] }]) : undefined,
  }
  const audit = createAudit(log, { redact: [{ name: 'card', detect: ['card'] }], catalogue }).with({
    actor: { ...ada, email: 'ada@example.com' },
  })
  const changes = diff({ pin: 1, note: 'a' }, { pin: 2, note: 'b' }, { redact: [{ name: 'pin', keys: ['pin'] }] })
  await audit.record({ ...refund, reason: 'paid with 4111 1111 1111 1111', changes })
  await audit.record({ action: 'other' })
  expect(events()).toEqual([
    expect.objectContaining({
      actor: { ...ada, email: '[redacted:mail]' },
      changes: [
        { path: '/pin', before: '[redacted:pin]', after: '[redacted:pin]' },
        { path: '/note', before: 'a', after: 'b' },
      ],
      metadata: {
        reason: 'paid with [redacted:card]',
        catalogue: 3,
        redactions: [
          { path: '/changes/0/before', rule: 'pin' },
          { path: '/changes/0/after', rule: 'pin' },
          { path: '/metadata/reason', rule: 'card' },
          { path: '/actor/email', rule: 'mail' },
        ],
      },
    }),
    expect.objectContaining({ action: 'other', metadata: { catalogue: 3 } }),
  ])
  expect(audit.counts).toMatchObject({ recorded: 2, redacted: 4 })
})

test('an option that is malformed or unknown is refused', () => {
  const log = { record: () => Promise.reject(new Error('not asked')) }
  const faults: [object, string][] = [
    [{ onMissingActor: 'ignore' }, 'onMissingActor'],
    [{ onRecordFailure: 'x' }, 'onRecordFailure'],
    [{ missingActor: { type: 'x' } }, 'missingActor'],
    [{ catalogue: {} }, 'catalogue'],
    [{ onUnrecorded: 1 }, 'onUnrecorded'],
    [{ redactions: [] }, 'redactions'],
  ]
  for (const [options, option] of faults)
    expect(() => createAudit(log, options as never), option).toThrow(
      expect.objectContaining({ code: 'option_invalid', message: expect.stringContaining(option) }),
    )
  expect(() => createAudit(log, { redact: [{ name: 'x' }] as never })).toThrow(
    expect.objectContaining({ code: 'redaction_rule_invalid' }),
  )
})

test('denials are told from other errors by their status', () => {
  const denials = [
    new DeniedError(),
    new DeniedError('sign in', 401),
    { status: 401 },
    { statusCode: 403 },
    { getStatus: () => 403 },
    { output: { statusCode: 401 } },
  ]
  for (const error of denials) expect(isDenial(error)).toBe(true)
  const others = [
    null,
    undefined,
    'x',
    new Error('403'),
    { status: 404 },
    { status: '403' },
    { response: { status: 403 } },
  ]
  for (const error of others) expect(isDenial(error)).toBe(false)
  expect(new DeniedError('no')).toMatchObject({ status: 403, statusCode: 403, message: 'no', name: 'DeniedError' })
})
