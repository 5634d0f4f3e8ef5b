import { parseTime, printTime } from '@killick/sdk/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'

const numRuns = process.env.CI ? 2500 : 200
const FIRST = Date.parse('0000-01-01T00:00:00Z')
const LAST = Date.parse('9999-12-31T23:59:59.999Z')
const two = (n: number) => String(n).padStart(2, '0')

test('printed times read back, from the year 0 to 9999', () => {
  const times = fc.integer({ min: FIRST, max: LAST })
  fc.assert(
    fc.property(times, (time) => {
      expect(parseTime(printTime(time))).toBe(time)
    }),
    { numRuns },
  )
  for (const time of [FIRST, LAST, 0, -1, Date.UTC(2000, 1, 29)]) expect(parseTime(printTime(time))).toBe(time)
  expect(printTime(null)).toBeNull()
})

test('zones, fractions and small letters mean what they mean to Date', () => {
  const parts = fc.record({
    time: fc.integer({ min: Date.UTC(1, 0), max: Date.UTC(9998, 0) }),
    fraction: fc.constantFrom('', '.5', '.05', '.123', '.123456789'),
    zone: fc.tuple(fc.constantFrom('+', '-'), fc.nat(23), fc.nat(59)),
    hasZone: fc.boolean(),
    isSmall: fc.boolean(),
  })
  fc.assert(
    fc.property(parts, ({ time, fraction, zone: [sign, hours, minutes], hasZone, isSmall }) => {
      const zone = hasZone ? `${sign}${two(hours)}:${two(minutes)}` : 'Z'
      const text = `${printTime(time).slice(0, 19)}${fraction}${zone}`
      expect(parseTime(isSmall ? text.toLowerCase() : text)).toBe(Date.parse(text))
    }),
    { numRuns },
  )
})

test.each([
  ...['', 'soon', '2026', '2026-11-27', '2026-11-27T09:30Z', '2026-11-27T09:30:00', '2026-11-27 09:30:00Z'],
  ...['2026-02-29T00:00:00Z', '2026-04-31T00:00:00Z', '1900-02-29T00:00:00Z', '2026-00-01T00:00:00Z'],
  ...['2026-11-00T00:00:00Z', '2026-13-01T00:00:00Z', '2026-11-27T24:00:00Z', '2026-11-27T09:60:00Z'],
  ...['2026-12-31T23:59:60Z', '2026-11-27T09:30:00.Z', '2026-11-27T09:30:00,5Z', '2026-11-27T09:30:00+1:00'],
  ...['2026-11-27T09:30:00+0100', '2026-11-27T09:30:00+24:00', '2026-11-27T09:30:00 01:00', '2026-11-27T09:30:00Z\n'],
  ...[
    ' 2026-11-27T09:30:00Z',
    '2026-11-27T09:30:00Z[Europe/Berlin]',
    '+012026-11-27T09:30:00Z',
    '12026-11-27T09:30:00Z',
  ],
  ...['٢٠٢٦-11-27T09:30:00Z', 'Fri, 27 Nov 2026 09:30:00 GMT', 1_764_000_000_000, new Date(0), null, undefined, {}],
])('%j is not a time', (text) => {
  expect(parseTime(text)).toBeNull()
})
