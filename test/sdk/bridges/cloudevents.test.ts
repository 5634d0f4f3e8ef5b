// CloudEvents both ways, read and printed by the CloudEvents project's own library.
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { eventOfCloudEvent, fromCloudEvent, toCloudEvent } from '../../../sdk/src/bridges/cloudevents.ts'
import { hideFields, parseEvent } from '../../../sdk/src/core/event.ts'
import { openTestLog } from '../../../sdk/src/testing/index.ts'
import { library } from './libraries.ts'

type Message = { headers: Record<string, string>; body: string }
type Library = {
  CloudEvent: new (
    event: object,
    strict?: boolean,
  ) => Record<string, unknown> & { toJSON(): object; validate(): boolean }
  HTTP: Record<'structured' | 'binary', (event: object) => Message> & {
    toEvent(message: Message): Record<string, unknown>
  }
}
let ce: Library
beforeAll(() => {
  ce = library<Library>('cloudevents')
}, 120_000)

async function recorded(event: object) {
  const log = await openTestLog({ source: 'billing-api', stream: 'one', now: '2026-03-01T12:00:00Z' })
  onTestFinished(() => log[Symbol.asyncDispose]())
  await log.record({ action: 'session.start', actor: { type: 'user', id: 'ada' } })
  await log.record({ action: 'invoice.approve', actor: { type: 'user', id: 'ada' }, ...event })
  return log.events()[1]!
}
const invoice = { type: 'invoice', id: '2026/42' }

test('an event is a CloudEvent that the library takes, in both modes, and comes back as it was', async () => {
  const event = await recorded({
    targets: [invoice, { type: 'user', id: 'bo' }],
    metadata: { b: [1, { c: null }], a: 'Zoë' },
  })
  const cloudEvent = toCloudEvent(event.token)
  expect(cloudEvent).toMatchObject({
    ...{ specversion: '1.0', id: event.id, source: 'billing-api', type: 'invoice.approve', subject: 'invoice/2026/42' },
    ...{ time: '2026-03-01T12:00:00.000Z', stream: 'one', seq: '1', leafhash: event.leafHash },
  })
  expect(new ce.CloudEvent(cloudEvent).validate()).toBe(true)
  for (const mode of ['structured', 'binary'] as const) {
    const { headers, body } = ce.HTTP[mode](new ce.CloudEvent(cloudEvent))
    const arrived = JSON.parse(JSON.stringify(ce.HTTP.toEvent({ headers, body })))
    const { token, fields, ...carried } = fromCloudEvent(arrived)
    expect(token).toBe(event.token)
    expect(fields).toEqual(parseEvent(event.token).fields)
    expect(carried).toEqual({
      ...{ id: event.id, source: 'billing-api', stream: 'one', seq: 1, leafHash: event.leafHash, time: event.time },
      prev: cloudEvent.prev,
    })
  }
})

test('what an attribute must not hold is escaped, and a field that is hidden stays hidden', async () => {
  const event = await recorded({
    targets: [{ type: 'file', id: 'a\u0007b\u0085c\ufffe' }],
    occurredAt: '2026-02-28T23:00:00+01:00',
  })
  const parsed = parseEvent(event.token)
  const cloudEvent = toCloudEvent(event.token)
  expect(cloudEvent).toMatchObject({ subject: 'file/a%07b%C2%85c%EF%BF%BE', time: '2026-02-28T23:00:00+01:00' })
  expect(new ce.CloudEvent(cloudEvent).validate()).toBe(true)
  const part = toCloudEvent(hideFields(parsed, ['action']))
  expect(part).not.toHaveProperty('subject')
  expect(part.data.fields).toEqual({ action: 'invoice.approve' })
  expect(fromCloudEvent(part).leafHash).toBe(event.leafHash)
  expect(() => toCloudEvent(hideFields(parsed, ['actor']))).toThrow(
    expect.objectContaining({ code: 'event_incomplete' }),
  )
})

test('a CloudEvent that says anything else than its token is refused, by the name of the member', async () => {
  const cloudEvent = toCloudEvent((await recorded({ targets: [invoice] })).token)
  const refused = (change: object) => {
    try {
      fromCloudEvent({ ...cloudEvent, ...change })
    } catch (error) {
      return (error as { code: string; details: { field: string } }).details.field
    }
  }
  expect(refused({})).toBeUndefined()
  for (const name of ['id', 'source', 'type', 'subject', 'time', 'stream', 'seq', 'leafhash', 'prev', 'specversion'])
    expect(refused({ [name]: 'other' })).toBe(`/${name}`)
  expect(refused({ data: { ...cloudEvent.data, fields: { ...cloudEvent.data.fields, outcome: 'denied' } } })).toBe(
    '/data/fields',
  )
  expect(refused({ data: { fields: cloudEvent.data.fields } })).toBe('/data/token')
  const hidden = toCloudEvent(hideFields(parseEvent(cloudEvent.data.token), ['action']))
  expect(() => fromCloudEvent({ ...hidden, subject: 'invoice/1' })).toThrow(
    expect.objectContaining({ details: { field: '/subject' } }),
  )
})

test("somebody else's CloudEvent is recorded whole, with the actor that it names", async () => {
  const log = await openTestLog()
  onTestFinished(() => log[Symbol.asyncDispose]())
  const theirs = new ce.CloudEvent({
    ...{ id: 'A-1', source: '/shop', type: 'order.placed', subject: '42', time: '2026-03-01T12:00:00Z' },
    ...{ authtype: 'app_user', authid: 'ada', traceparent: '00-x', data: { total: 12 } },
  })
  await log.record(eventOfCloudEvent(theirs, { targetType: 'order' }))
  expect(log.events()[0]).toMatchObject({
    ...{ action: 'order.placed', actor: { type: 'app_user', id: 'ada' }, targets: [{ type: 'order', id: '42' }] },
    occurredAt: '2026-03-01T12:00:00.000Z',
    metadata: { cloudevent: { id: 'A-1', source: '/shop', traceparent: '00-x' }, data: { total: 12 } },
  })
  const binary = { specversion: '1.0', id: '1', source: 's', type: 't', data_base64: 'AAE=' }
  expect(eventOfCloudEvent(binary, { actor: () => ({ type: 'system', id: 's' }), outcome: 'success' })).toEqual({
    ...{ action: 't', actor: { type: 'system', id: 's' }, targets: [], outcome: 'success' },
    metadata: { cloudevent: { id: '1', source: 's' }, data_base64: 'AAE=' },
  })
})

test.each([
  ['nothing', undefined, ''],
  ['text', 'x', ''],
  ['a BigInt', { id: 1n }, ''],
  ['no id', { specversion: '1.0', source: 's', type: 't' }, '/id'],
  ['another version', { specversion: '0.3', id: '1', source: 's', type: 't' }, '/specversion'],
  ['a time that is none', { specversion: '1.0', id: '1', source: 's', type: 't', time: 'now' }, '/time'],
  [
    'two kinds of data',
    { specversion: '1.0', id: '1', source: 's', type: 't', data: 1, data_base64: 'AA==' },
    '/data_base64',
  ],
  ['nobody who did it', { specversion: '1.0', id: '1', source: 's', type: 't' }, '/actor'],
])('refused: %s', (_, cloudEvent, field) => {
  expect(() => eventOfCloudEvent(cloudEvent)).toThrow(
    expect.objectContaining({ code: 'field_invalid', details: { field } }),
  )
})
