import { expect, onTestFinished, test } from 'vitest'
import { type AuditLogOptions, openAuditLog } from '../../../sdk/src/index.ts'
import { key, startLog, tempDir } from './support.ts'

const event = { action: 'invoice.approve', actor: { type: 'user', id: 'ada' } }

async function open<const Fields extends string = never>(more: Partial<AuditLogOptions<Fields>> = {}) {
  const { url } = await startLog()
  const audit = await openAuditLog({ url, source: 'test', key, spool: tempDir(), onError: () => {}, ...more })
  onTestFinished(async () => {
    await audit.close({ timeoutMs: 0 })
  })
  return audit
}

test('a name that is no field is refused with the one that was meant, and nothing is recorded', async () => {
  const audit = await open()
  const slips: [string, string][] = [
    ['outcom', 'outcome'],
    ['contxt', 'context'],
    ['meta_data', 'metadata'],
    ['metaData', 'metadata'],
    ['tragets', 'targets'],
    ['occured_at', 'occurredAt'],
    ['change', 'changes'],
  ]
  for (const [name, meant] of slips)
    await expect(audit.record({ ...event, [name]: 1 }), name).rejects.toMatchObject({
      code: 'field_invalid',
      message: `/${name} is not a field of an event. Did you mean ${meant}?`,
      details: { field: `/${name}`, meant },
    })
  await expect(audit.record({ action: 'a', actr: { type: 'user', id: 'ada' } } as never)).rejects.toMatchObject({
    details: { meant: 'actor' },
  })
  for (const name of ['tenant', 'toString', 'x'])
    await expect(audit.record({ ...event, [name]: 1 })).rejects.toMatchObject({
      message: `/${name} is not a field of an event. What has no field of its own belongs in metadata`,
      details: { field: `/${name}` },
    })
  expect(audit.status).toMatchObject({ recorded: 0, rejected: slips.length + 4 })
})

test('a field that was declared is recorded, and a slip of it is told too', async () => {
  const audit = await open({ fields: ['tenant', 'costCentre'] })
  await audit.record({ ...event, tenant: 't-1', costCentre: { id: 7, since: new Date(0) } })
  await expect(audit.record({ ...event, ...{ costCenter: 7 } })).rejects.toMatchObject({
    details: { meant: 'costCentre' },
  })
  expect(audit.status.recorded).toBe(1)
})

test('only what events do not have anyway can be declared', async () => {
  for (const name of ['action', 'metadata', 'iss', '_sd', 'a-b', '', 'x'.repeat(65), 7 as never])
    await expect(open({ fields: ['tenant', name] }), name).rejects.toMatchObject({
      code: 'option_invalid',
      details: { option: 'fields' },
    })
})

const shown = (answer: object, data: () => unknown) =>
  Object.defineProperty(answer, 'toJSON', { value: data, configurable: true })
const changing = (...answers: unknown[]) => ({
  type: 'user',
  get id() {
    return answers.length > 1 ? answers.shift() : answers[0]
  },
})

test('what was checked is what is recorded, whatever getters, proxies and toJSON answer the second time', async () => {
  const log = await startLog()
  const audit = await openAuditLog({ url: log.url, source: 'test', key, spool: tempDir(), onError: () => {} })
  onTestFinished(async () => {
    await audit.close({ timeoutMs: 0 })
  })
  const OddDate = class extends Date {
    override toJSON = () => 'half \ud800'
  }
  // What a class answers for is not among the members that are copied: the denial would be recorded without its outcome.
  const Denial = class {
    action = event.action
    actor = event.actor
    get outcome() {
      return 'denied'
    }
  }
  const refused: [string, unknown][] = [
    ['/action', Object.create(event)],
    ['/actor/id', { ...event, actor: changing(7, 'ada') }],
    ['/metadata/at', { ...event, metadata: { at: new OddDate() } }],
    ['/outcome', new Denial()],
    ['/metadata', Object.defineProperty({ ...event }, 'metadata', { value: { n: 1 } })],
  ]
  for (const [field, input] of refused)
    await expect(audit.record(input as never), field).rejects.toMatchObject({
      ...{ code: 'field_invalid', details: { field } },
    })
  for (const { prototype } of [Array, Object]) {
    shown(prototype, () => 'something else')
    const answer = audit.record(event)
    delete (prototype as { toJSON?: unknown }).toJSON
    await expect(answer).rejects.toMatchObject({ code: 'field_invalid', details: { field: '' } })
  }
  const taken: object[] = [
    { targets: [changing('42', undefined)] },
    { targets: shown([{ type: 'user', id: '42' }], () => 'none') },
    { metadata: shown({ n: 1 }, () => 5) },
    { metadata: { n: shown({ n: 1 }, () => 2 ** 60) } },
    { metadata: { l: Object.assign([1, 2], { entries: () => [] }) } },
  ]
  for (const more of taken) await audit.record({ ...event, ...more } as never)
  // A log that refused one of them would take nothing of this stream any more.
  expect(await audit.close({ strict: true })).toEqual({ pending: 0, lastError: null })
})

test('what cannot be read, or is longer than a text may be, is refused with a code', async () => {
  const audit = await open()
  const throwing = (thrown: unknown) => ({
    get a() {
      throw thrown
    },
  })
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  const unreadable: [string, unknown, string][] = [
    ['/metadata', { ...event, metadata: throwing(new Error('lazy')) }, '/metadata cannot be read: lazy'],
    ['/metadata', { ...event, metadata: throwing(null) }, '/metadata cannot be read: null was thrown'],
    ['/actor', { ...event, actor: proxy }, '/actor cannot be read: '],
    ['', proxy, 'The event cannot be read: '],
    ['', null, 'The event must be an object'],
  ]
  for (const [field, input, message] of unreadable)
    await expect(audit.record(input as never), message).rejects.toMatchObject({
      ...{ code: 'field_invalid', message: expect.stringContaining(message), details: { field } },
    })
  const long = Buffer.alloc(2 ** 20, 'x').toString()
  await expect(audit.record({ ...event, metadata: { l: Array(600).fill(long) } })).rejects.toMatchObject({
    code: 'event_too_large',
  })
  expect(audit.status).toMatchObject({ recorded: 0, rejected: unreadable.length + 1 })
})

test('a signer that rejects with what is no error ends no process', async () => {
  const { url } = await startLog()
  const told: unknown[] = []
  const { d: _, ...jwk } = key
  const signer = { jwk, sign: () => Promise.reject(null) }
  const audit = await openAuditLog({ url, source: 'test', key: signer, spool: tempDir(), onError: (e) => told.push(e) })
  onTestFinished(async () => {
    await audit.close({ timeoutMs: 0 })
  })
  await expect(audit.record(event)).rejects.toBeNull()
  expect(told).toEqual([new Error('rejected with null')])
})
