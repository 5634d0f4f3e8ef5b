// The log for tests of applications: what it records is real, what fails in it fails as in production, and what the matchers say
// is what somebody needs who looks for a missing event.
import { expect, onTestFinished, test } from 'vitest'
import '../../../sdk/src/testing/vitest.ts'
import { openAuditLog } from '../../../sdk/src/client/index.ts'
import { generateKey, publicJwk } from '../../../sdk/src/client/key.ts'
import { parseEvent } from '../../../sdk/src/core/event.ts'
import { printHash } from '../../../sdk/src/core/hash.ts'
import { verifySignature } from '../../../sdk/src/core/signature.ts'
import { assertNothingElse, assertRecorded, openTestLog, type TestLogOptions } from '../../../sdk/src/testing/index.ts'

const ada = { type: 'user', id: 'ada' }
const invoice = { type: 'invoice', id: '42' }

async function open<const Fields extends string = never>(options: TestLogOptions<Fields> = {}) {
  const log = await openTestLog(options)
  onTestFinished(() => log[Symbol.asyncDispose]())
  return log
}

const recordTwo = async (log: Awaited<ReturnType<typeof open>>) => {
  await log.record({
    action: 'invoice.refund',
    actor: ada,
    targets: [invoice],
    metadata: { amount: 12, by: { card: 1 } },
  })
  await log.record({ action: 'session.start', actor: ada, outcome: 'denied' })
}

test('events are signed and chained, and the log accepts them with receipts that hold', async () => {
  const key = generateKey('ES256')
  const log = await open({ key, source: 'billing', stream: 'one', fields: ['region'] })
  const recorded = await log.record({ action: 'a', actor: ada, region: 'eu' })
  await log.record({ action: 'b', actor: ada })
  const [a, b] = log.events().map(({ token }) => parseEvent(token))
  expect(printHash(a!.leafHash)).toBe(recorded.leafHash)
  expect(b).toMatchObject({ source: 'billing', stream: 'one', seq: 1, prev: a!.leafHash })
  for (const { signature } of [a!, b!])
    expect(verifySignature(publicJwk(key), signature!.input, signature!.bytes)).toBe(true)
  expect(log.events()[0]).toMatchObject({ action: 'a', actor: ada, targets: [], region: 'eu', ...recorded })
  for (const rounds of [1, 2, 3]) {
    const [receipt] = await log.flush()
    expect(receipt).toMatchObject({ logIndex: rounds - 1, size: rounds })
    await log.record({ action: 'c', actor: ada })
  }
  expect(log.status).toMatchObject({ recorded: 5, accepted: 4, pinned: 'option', lastError: null })
  expect(log.batches).toBe(3)
  expect(await log.close()).toEqual({ pending: 0, lastError: null })
  await expect(log.record({ action: 'd', actor: ada })).rejects.toMatchObject({ code: 'log_closed' })
})

test('time and ids are under control', async () => {
  const log = await open({ now: '2026-01-31T12:00:00.250Z' })
  const { id } = await log.record({ action: 'a', actor: ada })
  log.clock.advance(90_000)
  await log.record({ action: 'b', actor: ada })
  log.clock.set(new Date(Date.UTC(2027, 0)))
  await log.record({ action: 'c', actor: ada })
  expect(id).toBe('019c13ec-9efa-7000-8000-000000000000')
  expect(log.events().map((event) => [event.id.slice(-3), event.time.toISOString()])).toEqual([
    ['000', '2026-01-31T12:00:00.250Z'],
    ['001', '2026-01-31T12:01:30.250Z'],
    ['002', '2027-01-01T00:00:00.000Z'],
  ])
  const before = Date.now()
  const free = await open()
  await free.record({ action: 'a', actor: ada })
  expect(free.events()[0]!.time.getTime()).toBeGreaterThanOrEqual(before)
  for (const now of ['yesterday', -1, Number.NaN])
    await expect(openTestLog({ now })).rejects.toMatchObject({ code: 'option_invalid', details: { option: 'now' } })
})

test('what the recorder refuses, it refuses here', async () => {
  const log = await open()
  // @ts-expect-error: a misspelt field does not compile either
  await expect(log.record({ action: 'a', actor: ada, metadat: {} })).rejects.toMatchObject({
    code: 'field_invalid',
    details: { field: '/metadat', meant: 'metadata' },
  })
  expect(log.events()).toEqual([])
  expect(log.status.rejected).toBe(1)
})

test('a full disk, a slow one, and one that has space again', async () => {
  const log = await open()
  await log.record({ action: 'a', actor: ada })
  log.fault({ disk: 'full' })
  await expect(log.record({ action: 'b', actor: ada })).rejects.toMatchObject({ code: 'spool_disk_full' })
  log.fault({ disk: 20 })
  const before = performance.now()
  const slow = log.record({ action: 'c', actor: ada })
  expect(log.events()).toHaveLength(1)
  await slow
  expect(performance.now() - before).toBeGreaterThan(15)
  log.fault({})
  await log.record({ action: 'd', actor: ada })
  expect(log.events().map(({ action, seq }) => [action, seq])).toEqual([
    ['a', 0],
    ['c', 1],
    ['d', 2],
  ])
  // @ts-expect-error
  expect(() => log.fault({ disk: 'slow' })).toThrow(expect.objectContaining({ code: 'option_invalid' }))
})

test('a service that is away: the error is the one of a recorder whose service is away', async () => {
  const errors: string[] = []
  const log = await open({ onError: ({ message }) => errors.push(message) })
  log.fault({ service: 'down' })
  await log.record({ action: 'a', actor: ada })
  const flushed = log.flush()
  await expect.poll(() => log.status.state).toBe('waiting')
  expect(log.status.lastError).toMatchObject({ code: 'unreachable' })
  expect(log.status).toMatchObject({ pending: 1, accepted: 0 })
  // Nothing listens on port 1 either.
  const real = await openAuditLog({
    ...{ url: 'http://127.0.0.1:1', source: 'test', key: generateKey(), spool: 'memory', onError: () => {} },
  })
  real.record({ action: 'a', actor: ada })
  await expect.poll(() => real.status.lastError).toMatchObject({ code: 'unreachable' })
  await real.close({ timeoutMs: 0 })
  expect(errors[0]).toMatch(/cannot be reached: connect ECONNREFUSED/)
  log.fault({})
  expect(await flushed).toHaveLength(1)

  const memory = await open({ spool: 'memory', acceptWaitMs: 30 })
  expect(await memory.record({ action: 'a', actor: ada })).toMatchObject({ receipt: { logIndex: 0 } })
  memory.fault({ service: 'down' })
  await expect(memory.record({ action: 'b', actor: ada })).rejects.toMatchObject({ code: 'not_accepted' })
})

test('the matchers find events by some of their members, and know what nobody asked for', async () => {
  const log = await open()
  await recordTwo(log)
  expect(log).toHaveRecorded({ action: 'invoice.refund', target: 'invoice/42' })
  expect(log).not.toHaveRecordedNothingElse()
  for (const expected of [
    { target: 'invoice', metadata: { by: { card: 1 } } },
    { target: { type: 'invoice' }, actor: 'user/ada', outcome: undefined },
    { action: /refund$/, metadata: { amount: expect.any(Number) } },
    { targets: ['invoice/42'], metadata: { amount: 12 } },
    { actor: ada, seq: 0 },
  ])
    expect(log).toHaveRecorded(expected, { times: 1 })
  for (const expected of [
    { target: 'invoice/43' },
    { action: 'invoice' },
    { action: 'invoice.refund', outcome: 'success' },
    { metadata: { amount: 13 } },
    { metadata: { amount: '12' } },
    { targets: ['invoice/42', 'invoice/43'] },
    { targets: [] as string[], action: 'invoice.refund' },
  ])
    expect(log).not.toHaveRecorded(expected)
  expect(log).toHaveRecorded({ actor: ada }, { times: 2 })
  expect(log).toHaveRecordedNothingElse()
  log.clear()
  expect(log).not.toHaveRecorded({ actor: ada })
  expect(log).toHaveRecordedNothingElse()
  await recordTwo(log)
  expect(log).not.toHaveRecordedNothingElse()
})

test('what a matcher says: what was expected, what is nearest, and what there is', async () => {
  const log = await open()
  await recordTwo(log)
  const said = (ask: () => unknown) => {
    try {
      ask()
    } catch (error) {
      return (error as Error).message
    }
    throw new Error('it passed')
  }
  expect(said(() => expect(log).toHaveRecorded({ action: 'invoice.refund', metadata: { amount: 13 } }))).toBe(
    `No event like this was recorded:
  { action: 'invoice.refund', metadata: { amount: 13 } }
Nearest is event 0, which differs in:
  metadata: { amount: 12, by: { card: 1 } }
Recorded, 2:
  0: invoice.refund by user/ada on invoice/42
  1: session.start by user/ada (denied)`,
  )
  expect(said(() => expect(log).toHaveRecorded({ actor: ada }, { times: 1 }))).toMatch(
    /^2 such events .* not 1:\n {2}0: /,
  )
  expect(said(() => expect(log).not.toHaveRecorded({ actor: ada }))).toMatch(/^Such an event was recorded:\n {2}0: /)
  expect(said(() => expect(log).toHaveRecordedNothingElse())).toMatch(/^More was recorded:\n {2}0: .*\n {2}1: /)
  expect(said(() => expect({}).toHaveRecorded({ action: 'a' }))).toMatch(/not a log that openTestLog/)
})

test('a misspelt name is refused: not having recorded it would be true of every log', async () => {
  const log = await open({ fields: ['region'] })
  await recordTwo(log)
  expect(() => expect(log).not.toHaveRecorded({ outcom: 'denied' })).toThrow(/can have outcom: it is no field/)
  expect(() => assertRecorded(log, { acton: 'c' })).toThrow(/can have acton/)
  expect(log).not.toHaveRecorded({ region: 'eu' })
  expect(() => log.fault({ dsk: 'full' } as never)).toThrow(/dsk is not known/)
})

test('plain asserts say the same', async () => {
  const log = await open()
  await recordTwo(log)
  expect(() => assertNothingElse(log)).toThrow(expect.objectContaining({ code: 'ERR_ASSERTION' }))
  expect(assertRecorded(log, { outcome: 'denied' })).toMatchObject({ action: 'session.start', seq: 1 })
  expect(assertRecorded(log, { action: 'invoice.refund' }, { times: 1 }).metadata).toEqual({
    amount: 12,
    by: { card: 1 },
  })
  assertNothingElse(log)
  expect(() => assertRecorded(log, { action: 'c' })).toThrow(/No event like this/)
  expect(() => assertRecorded(log, { action: 'c' }, { times: -1 })).toThrow(/times/)
})
