import { expect, test } from 'vitest'
import { nearest } from '../../../sdk/src/core/nearest.ts'

const COMMANDS = ['init', 'record', 'verify', 'keys', 'keygen', 'share', 'search']

test.each([
  ['verfy', 'verify'],
  ['evrify', 'verify'],
  ['VERIFY', 'verify'],
  ['recrod', 'record'],
  ['key-gen', 'keygen'],
  ['serch', 'search'],
  ['intit', 'init'],
  ['prove', null],
  ['toString', null],
  ['x', null],
  ['', null],
  ['s'.repeat(100_000), null],
])('%s', (given, meant) => {
  expect(nearest(given, COMMANDS)).toBe(meant)
})
