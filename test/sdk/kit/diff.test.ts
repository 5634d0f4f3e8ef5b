import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkEventInput } from '../../../sdk/src/core/fields.ts'
import { type DiffOptions, diff } from '../../../sdk/src/kit/index.ts'
import { below, namesOf } from '../../../sdk/src/kit/pointer.ts'

const numRuns = process.env.CI ? 5_000 : 300

type Change = ReturnType<typeof diff>[number]

describe('diff()', () => {
  const pairs: [string, unknown, unknown, Change[], DiffOptions?][] = [
    ['nothing', { a: [1, { b: null }] }, { a: [1, { b: null }] }, []],
    ['a value', { a: 1, b: 'x' }, { a: 2, b: 'x' }, [{ path: '/a', before: 1, after: 2 }]],
    [
      'added and removed',
      { a: 1 },
      { b: 2 },
      [
        { path: '/a', before: 1 },
        { path: '/b', after: 2 },
      ],
    ],
    ['undefined is absent', { a: undefined, b: 1 }, { b: 1 }, []],
    [
      'null is a value',
      { a: undefined, b: null },
      { a: null },
      [
        { path: '/b', before: null },
        { path: '/a', after: null },
      ],
    ],
    ['names that need escapes', { 'a/b~c': 1 }, { 'a/b~c': 2 }, [{ path: '/a~1b~0c', before: 1, after: 2 }]],
    ['an empty name', { '': 1 }, { '': 2 }, [{ path: '/', before: 1, after: 2 }]],
    [
      'dates',
      { at: new Date(0) },
      { at: new Date(1) },
      [{ path: '/at', before: '1970-01-01T00:00:00.000Z', after: '1970-01-01T00:00:00.001Z' }],
    ],
    ['a date and its text', { at: new Date(0) }, { at: '1970-01-01T00:00:00.000Z' }, []],
    ['both zeros', { a: 0 }, { a: -0 }, []],
    ['another kind', { a: { b: 1 } }, { a: [1] }, [{ path: '/a', before: { b: 1 }, after: [1] }]],
    ['made', undefined, { a: 1 }, [{ path: '', after: { a: 1 } }]],
    ['gone', { a: 1 }, undefined, [{ path: '', before: { a: 1 } }]],
    ['neither', undefined, undefined, []],
    ['scalars', 1, 2, [{ path: '', before: 1, after: 2 }]],
    [
      'lists by index',
      { a: ['x', 'y'] },
      { a: ['z', 'y', 'w'] },
      [
        { path: '/a/0', before: 'x', after: 'z' },
        { path: '/a/2', after: 'w' },
      ],
    ],
    [
      'shorter lists, the last first',
      [1, 2, 3],
      [1],
      [
        { path: '/2', before: 3 },
        { path: '/1', before: 2 },
      ],
    ],
    [
      'lists by key, whatever their order',
      {
        lines: [
          { sku: 'A', n: 1 },
          { sku: 'B', n: 1 },
        ],
      },
      {
        lines: [
          { sku: 'C', n: 9 },
          { sku: 'B', n: 1 },
          { sku: 'A', n: 2 },
        ],
      },
      [
        { path: '/lines/A/n', before: 1, after: 2 },
        { path: '/lines/C', after: { sku: 'C', n: 9 } },
      ],
      { keys: { '/lines': 'sku' } },
    ],
    [
      'lists by key below any member, and numbers as keys',
      { a: { l: [{ id: 1, v: 0 }] } },
      { a: { l: [{ id: 2, v: 0 }] } },
      [
        { path: '/a/l/1', before: { id: 1, v: 0 } },
        { path: '/a/l/2', after: { id: 2, v: 0 } },
      ],
      { keys: { '/*/l': 'id' } },
    ],
    [
      'a whole that is a list by key',
      [{ id: 'a', n: 1 }],
      [{ id: 'a', n: 2 }],
      [{ path: '/a/n', before: 1, after: 2 }],
      { keys: { '': 'id' } },
    ],
    [
      'only a part',
      { a: { b: 1, c: 1 }, d: 1 },
      { a: { b: 2, c: 2 }, d: 2 },
      [{ path: '/a/b', before: 1, after: 2 }],
      { only: ['/a/b', '/x'] },
    ],
    [
      'a part that vanished with the whole',
      { a: { b: 1, c: 1 } },
      {},
      [{ path: '/a/b', before: 1 }],
      { only: ['/a/b'] },
    ],
    [
      'a part of what became another kind',
      { a: { b: 1 } },
      { a: 5 },
      [{ path: '/a/b', before: 1 }],
      { only: ['/a/b'] },
    ],
    ['a part of what is new', undefined, { a: { b: 1 } }, [{ path: '/a/b', after: 1 }], { only: ['/*/b'] }],
    [
      'a list has no length',
      { a: { length: 1 } },
      { a: [0] },
      [{ path: '/a/length', before: 1 }],
      { only: ['/a/length'] },
    ],
    ['no part', { a: 1 }, { a: 2 }, [], { only: [] }],
    ['the whole as a part', { a: 1 }, { a: 2 }, [{ path: '/a', before: 1, after: 2 }], { only: [''] }],
  ]
  test.each(pairs)('%s', (_, before, after, changes, options) => {
    expect(diff(before, after, options)).toEqual(changes)
  })

  test('removes what rules find, and still says that it changed', () => {
    const redact = [
      { name: 'keys', keys: ['password'] },
      { name: 'paths', paths: ['/card/*'] },
      { name: 'cards', detect: ['card' as const] },
    ]
    const before = {
      password: { hash: 'a' },
      card: { n: 1, m: 1 },
      note: '4111111111111111',
      '5500005555555559': 1,
      x: 1,
    }
    const after = {
      password: { hash: 'b' },
      card: { n: 2, m: 1 },
      note: 'none',
      '5500005555555559': 2,
      x: { password: 2 },
    }
    expect(diff(before, after, { redact })).toEqual([
      { path: '/password/hash', before: '[redacted:keys]', after: '[redacted:keys]' },
      { path: '/card/n', before: '[redacted:paths]', after: '[redacted:paths]' },
      { path: '/note', before: '[redacted:cards]', after: 'none' },
      { path: '/[redacted:cards]', before: 1, after: 2 },
      { path: '/x', before: 1, after: { password: '[redacted:keys]' } },
    ])
  })

  test('what is the same object in both is compared as what it holds, at any depth', () => {
    let deep: unknown = 1
    for (let i = 0; i < 27; i++) deep = [deep]
    const line = { sku: 'A', at: new Date(0), none: undefined }
    expect(diff({ a: line, b: deep }, { b: deep, c: line })).toEqual([
      { path: '/a', before: { sku: 'A', at: '1970-01-01T00:00:00.000Z' } },
      { path: '/c', after: { sku: 'A', at: '1970-01-01T00:00:00.000Z' } },
    ])
    // The same object one level lower is one level too deep.
    expect(() => diff({ a: deep }, { a: { b: deep } })).toThrow(/nested deeper than 28 levels/)
  })

  test('refuses what it cannot compare, with the place', () => {
    const cycle: Record<string, unknown> = { a: {} }
    ;(cycle.a as Record<string, unknown>).up = cycle
    let deep: unknown = 1
    for (let i = 0; i < 29; i++) deep = [deep]
    const list = (...ids: unknown[]) => ({ l: ids.map((id) => ({ id })) })
    const keys = { '/l': 'id' }
    const faults: [unknown, string, DiffOptions?][] = [
      [cycle, '/a/up'],
      [deep, '/0'.repeat(28)],
      [{ a: { b: Number.NaN } }, '/a/b'],
      [{ a: 2 ** 53 }, '/a'],
      [{ a: 1n }, '/a'],
      [{ a: () => 1 }, '/a'],
      [{ a: [undefined] }, '/a/0'],
      // biome-ignore lint/suspicious/noSparseArray: what is to be refused
      [{ a: [1, , 2] }, '/a/1'],
      [{ a: new Map() }, '/a'],
      [{ a: new Date(Number.NaN) }, '/a'],
      [{ a: '\udc00' }, '/a'],
      [JSON.parse('{"a":{"__proto__":1}}'), '/a'],
      [{ a: { _sd: 1 } }, '/a'],
      [list('x', 'x'), '/l/1', { keys }],
      [list('x', undefined), '/l/1', { keys }],
      [list({}), '/l/0', { keys }],
      [{ l: [1] }, '/l/0', { keys }],
      [Array.from({ length: 10_001 }, (_, i) => i), '/10000'],
    ]
    for (const [value, field, options] of faults)
      for (const [before, after] of [
        [field === '/10000' ? [] : list(), value],
        ...(field === '/10000' ? [] : [[value, list()]]),
      ])
        expect(() => diff(before, after, options), field).toThrow(
          expect.objectContaining({ code: 'diff_invalid', details: { field } }),
        )
    for (const options of [{ only: ['a'] }, { only: ['/a~2'] }, { keys: { lines: 'id' } }])
      expect(() => diff({}, {}, options)).toThrow(expect.objectContaining({ code: 'diff_invalid' }))
    expect(() => diff({}, {}, { redact: [{ name: 'x', keys: [] }] })).toThrow(
      expect.objectContaining({ code: 'redaction_rule_invalid' }),
    )
  })

  test('changes neither of its inputs, and shares nothing with them', () => {
    const before = { a: { list: [1] } }
    const after = { a: { list: [1] }, b: { c: [2] } }
    const [change] = diff(before, after)
    ;(change!.after as { c: number[] }).c.push(3)
    expect([before, after]).toEqual([{ a: { list: [1] } }, { a: { list: [1] }, b: { c: [2] } }])
  })
})

// A small alphabet, so that names meet.
const name = fc.constantFrom('a', 'b', '', '0', '1', '/', '~', '~1', 'constructor')
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, 0, 1, '', 'x', undefined),
    fc.array(
      tie('any').filter((it) => it !== undefined),
      { maxLength: 4 },
    ),
    fc.dictionary(name, tie('any'), { maxKeys: 4, noNullPrototype: true }),
  ),
})).any

/** What JSON makes of a value; undefined stays. */
const plain = (it: unknown) => (it === undefined ? undefined : JSON.parse(JSON.stringify(it)))

/** A document after changes, by RFC 6901 and nothing else. */
function apply(document: unknown, changes: readonly Change[]): unknown {
  const root = { '': plain(document) }
  for (const change of changes) {
    const names = ['', ...namesOf(change.path)!]
    const last = names.pop()!
    const parent = names.reduce<unknown>((it, each) => (it as Record<string, unknown>)[each], root) as Record<
      string,
      unknown
    >
    const found = Object.hasOwn(parent, last) ? parent[last] : undefined
    expect(found).toEqual(change.before)
    if ('after' in change) parent[last] = change.after
    else if (Array.isArray(parent)) {
      expect(Number(last)).toBe(parent.length - 1)
      parent.pop()
    } else delete parent[last]
  }
  return root['']
}

describe('for any two values', () => {
  test('the changes applied to the first yield the second, and an event may have them', () => {
    fc.assert(
      fc.property(value, value, (before, after) => {
        const changes = diff(before, after)
        expect(apply(before, changes)).toEqual(plain(after))
        checkEventInput({ action: 'a', actor: { type: 't', id: 'i' }, changes })
      }),
      { numRuns },
    )
  })

  test('there is none if they are the same', () => {
    fc.assert(
      fc.property(value, (it) => {
        expect(diff(it, plain(it))).toEqual([])
      }),
      { numRuns },
    )
  })

  test('those of lists by key yield the same elements in any order', () => {
    const list = fc.uniqueArray(fc.record({ id: fc.nat(6), v: value }), { selector: ({ id }) => id, maxLength: 6 })
    const byKey = (of: { id: number }[]) => Object.fromEntries(of.map((it) => [it.id, it]))
    fc.assert(
      fc.property(list, list, (before, after) => {
        const changes = diff({ l: before }, { l: after }, { keys: { '/l': 'id' } })
        expect(apply({ l: byKey(before) }, changes)).toEqual(plain({ l: byKey(after) }))
      }),
      { numRuns },
    )
  })

  test('only what was asked for is listed, and it is what is listed of it without asking', () => {
    fc.assert(
      fc.property(value, value, name, (before, after, member) => {
        const isInside = ({ path }: Change) => path === below('', member) || path.startsWith(`${below('', member)}/`)
        const [left, right] = [{ a: before }, { a: after }]
        const only = diff(left, right, { only: [below('/a', member)] })
        for (const change of only) expect(isInside({ path: change.path.slice(2) })).toBe(true)
        const all = diff(left, right).map(({ path, ...rest }) => ({ path: path.slice(2), ...rest }))
        const whole = all.some(({ path }) => path === '')
        if (!whole)
          expect(only.map(({ path, ...rest }) => ({ path: path.slice(2), ...rest }))).toEqual(all.filter(isInside))
      }),
      { numRuns },
    )
  })
})
