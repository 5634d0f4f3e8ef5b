// What a hold covers.
import { isHeld, isHoldScope } from '@killick/sdk/core'
import { expect, test } from 'vitest'

const time = Date.parse('2026-06-01T00:00:00Z')
const fields = {
  ...{ action: 'invoice.approve', actor: { type: 'user', id: 'u-1' }, outcome: 'success' },
  targets: [
    { type: 'invoice', id: 'i-1' },
    { type: 'account', id: 'a-1' },
  ],
}
const event = { source: 'billing', stream: 's-1', time, fields }

test.each([
  [{}, true],
  [{ source: 'billing', stream: 's-1' }, true],
  [{ source: 'billing', stream: 's-2' }, false],
  [{ source: 'shop' }, false],
  [{ action: 'invoice.approve' }, true],
  [{ action: 'invoice.*' }, true],
  [{ action: 'invoice' }, false],
  [{ action: 'inv.*' }, false],
  [{ actor: 'u-1' }, true],
  [{ actor: 'u-2' }, false],
  [{ target: 'a-1' }, true],
  [{ target: 'a-2' }, false],
  [{ outcome: 'denied' }, false],
  [{ from: '2026-06-01T00:00:00Z' }, true],
  [{ from: '2026-06-01T00:00:00.001Z' }, false],
  [{ to: '2026-06-01T00:00:00Z' }, false],
  [{ to: '2026-06-01T02:00:00.001+02:00' }, true],
  [{ actor: 'u-1', target: 'a-2' }, false],
])('%j covers it: %s', (covers, is) => {
  expect(isHeld(covers, event)).toBe(is)
})

test.each(['action', 'actor', 'target', 'outcome'] as const)(
  'an event that has lost what tells its %s is covered',
  (name) => {
    const { [name === 'target' ? 'targets' : name]: _, ...rest } = fields
    expect(isHeld({ [name]: 'other' }, { ...event, fields: rest })).toBe(true)
    expect(isHeld({ [name]: 'other', source: 'shop' }, { ...event, fields: rest })).toBe(false)
  },
)

test('a scope has nothing but what a search can ask for', () => {
  expect([{}, { actor: 'u-1', to: '2026-06-01T00:00:00Z' }].every(isHoldScope)).toBe(true)
  expect([null, [], { tenant: 'x' }, { actor: 1 }, { toString: 'x' }].some(isHoldScope)).toBe(false)
})
