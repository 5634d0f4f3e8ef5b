/** What a page goes by: the visitor's own pins before those of its publisher, kind by kind. */
import { expect, test } from 'vitest'
import { combine, NO_PINS, type Pins, parsePins } from '../../anchor-service/web/shared/trust.ts'
import { signerFor } from '../../scripts/lib/vectors/keys.ts'

const logs = (id: string) => [{ chainId: 1, contract: `0x${id.repeat(40)}`, logId: `0x${id.repeat(64)}` }]
const publisher: Pins = { ...NO_PINS, publisher: 'them', logs: logs('a'), confirmations: 1, timeTolerance: 1_000_000 }

test('how a publisher judges anchors counts for its own contracts only', () => {
  expect(combine(NO_PINS, publisher)).toMatchObject({
    ...{ by: { logs: 'publisher' }, trust: { confirmations: 1, timeTolerance: 1_000_000 } },
  })
  const own = combine({ ...NO_PINS, logs: logs('b') }, publisher)
  expect(own.by.logs).toBe('you')
  expect(own.trust).toEqual({ sourceKeys: [], logKeys: [], logs: logs('b') })
  expect(combine({ ...NO_PINS, logs: logs('b'), confirmations: 30 }, publisher).trust.confirmations).toBe(30)
  expect(combine({ ...NO_PINS, confirmations: 30 }, publisher).trust).toMatchObject({
    ...{ logs: logs('a'), confirmations: 30, timeTolerance: 1_000_000 },
  })
})

const { jwk } = signerFor('source Ed25519')

test.each<[string, object, RegExp]>([
  ['a key whose source is no name', { sourceKeys: [{ source: 5, jwk }] }, /a source is not a name/],
  ['a key with a member that is not known', { sourceKeys: { sourc: 'a', jwk } }, /no member sourc$/],
  ['a key with its source inside', { sourceKeys: [{ source: 'a', ...jwk }] }, /source stands in the key/],
  [
    'a key with its end inside',
    { sourceKeys: { notAfter: '2020-01-01T00:00:00Z', ...jwk } },
    /notAfter stands in the key/,
  ],
  ['a member that is not known', { confirmation: 64 }, /no member confirmation$/],
  // Taken, no verdict would come of them.
  ['no confirmations', { confirmations: 0 }, /confirmations is not a whole number from 1/],
  ['confirmations that are no number', { confirmations: '64' }, /confirmations is not a whole number from 1/],
  ['a tolerance below zero', { timeTolerance: -1 }, /timeTolerance is not a whole number from 0/],
  ['a publisher that is no name', { publisher: 5 }, /publisher is not a name/],
])('%s is refused', (_, pins, why) => {
  expect(() => parsePins(pins)).toThrow(why)
})

test('a key alone, or with its source and its time, is taken as it is', () => {
  const pin = { source: 'a', jwk, notBefore: '2020-01-01T00:00:00Z' }
  expect(parsePins({ sourceKeys: [jwk, pin] }).sourceKeys).toEqual([{ jwk }, pin])
})
