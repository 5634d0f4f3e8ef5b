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
  context: { tenant: 't-1' },
}
const disclosures = Object.entries(fields).map(([name, value]) => ({ name, value, text: name }))
const event = { source: 'billing', stream: 's-1', time, fields, disclosures, fieldCount: disclosures.length }

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
  [{ tenant: 't-1' }, true],
  [{ tenant: 't-2' }, false],
  [{ from: '2026-06-01T00:00:00Z' }, true],
  [{ from: '2026-06-01T00:00:00.001Z' }, false],
  [{ to: '2026-06-01T00:00:00Z' }, false],
  [{ to: '2026-06-01T02:00:00.001+02:00' }, true],
  [{ actor: 'u-1', target: 'a-2' }, false],
])('%j covers it: %s', (covers, is) => {
  expect(isHeld(covers, event)).toBe(is)
})

test.each([
  ['action', 'action'],
  ['actor', 'actor'],
  ['target', 'targets'],
  ['outcome', 'outcome'],
  ['tenant', 'context'],
])('an event that has lost what tells its %s is covered', (name, field) => {
  const rest = Object.fromEntries(Object.entries(fields).filter(([other]) => other !== field))
  const lacking = { ...event, fields: rest, disclosures: disclosures.filter((other) => other.name !== field) }
  expect(isHeld({ [name]: 'other' }, lacking)).toBe(true)
  expect(isHeld({ [name]: 'other', source: 'shop' }, lacking)).toBe(false)
})

test('an event that shows every field and never had an outcome or a tenant is not covered', () => {
  const { outcome: _, context: __, ...rest } = fields
  const whole = { ...event, fields: rest, fieldCount: 3, disclosures: disclosures.filter(({ name }) => name in rest) }
  expect([isHeld({ outcome: 'denied' }, whole), isHeld({ tenant: 't-1' }, whole)]).toEqual([false, false])
  expect(isHeld({ tenant: 't-1' }, { ...event, fields: { ...fields, context: { ip: '192.0.2.1' } } })).toBe(false)
})

test('a scope has nothing but what a search can ask for', () => {
  expect([{}, { actor: 'u-1', to: '2026-06-01T00:00:00Z' }].every(isHoldScope)).toBe(true)
  expect([null, [], { colour: 'x' }, { actor: 1 }, { toString: 'x' }].some(isHoldScope)).toBe(false)
})
