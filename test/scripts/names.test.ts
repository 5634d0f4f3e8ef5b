import { expect, test } from 'vitest'
import { findStrayNouns, findTwins } from '../../scripts/names.ts'

test('a type that two files export is named, with both', () => {
  const modules = [
    { path: 'a.ts', text: 'export type Place = 1\nexport interface Own { a: 1 }' },
    { path: 'b.ts', text: "export class Place {}\nexport { type Own } from './a.ts'" },
    { path: 'c.ts', text: 'type Place = 2\nexport const Own = 3' },
  ]
  expect(findTwins(modules)).toEqual(['the type Place is exported by a.ts and b.ts'])
})

test('a noun of the glossary names a file only where it means what the glossary says', () => {
  const good = [
    'anchor-service/src/ledger/packs/read-pack.ts',
    'anchor-service/src/audit/runs.ts',
    'scripts/packing.ts',
  ]
  expect(findStrayNouns(good)).toEqual([])
  const stray = ['scripts/pack.ts', 'anchor-service/web/page/sources.ts', 'sdk/src/client/place.ts']
  expect(findStrayNouns(stray)).toEqual([
    expect.stringContaining('“pack”'),
    expect.stringContaining('“source”'),
    expect.stringContaining('“place”'),
  ])
})
