/** Which missing events of a bundle drops account for, held against counting place by place. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { DropWatch } from '../../../sdk/src/bundle/dropped.ts'

const dropOf = (entries: [number, number][]) => ({
  ...{ id: 'orders', version: 1, size: 1, time: 1, events: 1 },
  entries,
})

/** Stretches of log entries as drops have them: rising, with others between them. */
const stretches = fc.uniqueArray(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 20 }).map((entries) =>
  entries
    .sort((a, b) => a - b)
    .reduce<[number, number][]>((all, entry) => {
      const last = all.at(-1)
      if (last?.[1] === entry - 1) last[1] = entry
      else all.push([entry, entry])
      return all
    }, []),
)

test('each place counts once, for the first drop behind it that names its batch', () => {
  const entry = fc.oneof(
    fc.record({ kind: fc.constant('bare' as const), places: fc.integer({ min: 1, max: 9 }) }),
    fc.record({ kind: fc.constant('drop' as const), entries: stretches }),
    fc.record({ kind: fc.constant('other' as const) }),
  )
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 60 }), (log) => {
      const watch = new DropWatch()
      const open = new Map<number, number>()
      const expected: { logIndex: number; events: number }[] = []
      for (const [logIndex, each] of log.entries()) {
        if (each.kind === 'bare') {
          watch.bare(logIndex, each.places)
          open.set(logIndex, each.places)
        }
        if (each.kind !== 'drop') continue
        watch.drop(dropOf(each.entries), logIndex)
        const isNamed = (at: number) => each.entries.some(([first, last]) => at >= first && at <= last)
        const taken = [...open].filter(([at]) => isNamed(at))
        for (const [at] of taken) open.delete(at)
        const events = taken.reduce((sum, [, places]) => sum + places, 0)
        if (events > 0) expected.push({ logIndex, events })
      }
      const { dropped, drops, dropCount } = watch.finish()
      expect(drops.map(({ logIndex, events }) => ({ logIndex, events }))).toEqual(expected)
      expect(dropCount).toBe(expected.length)
      expect(dropped).toBe(expected.reduce((sum, { events }) => sum + events, 0))
    }),
  )
})

test('a drop is carried for the sake of a bundle only if it names a batch before it', () => {
  const watch = new DropWatch()
  watch.bare(5, 3)
  expect(watch.drop(dropOf([[6, 9]]), 10)).toBe(false)
  expect(
    watch.drop(
      dropOf([
        [1, 4],
        [7, 7],
      ]),
      11,
    ),
  ).toBe(false)
  expect(watch.drop(dropOf([[5, 5]]), 12)).toBe(true)
  watch.bare(20, 2)
  expect(watch.finish()).toMatchObject({ dropped: 3, drops: [{ logIndex: 12, events: 3 }] })
})
