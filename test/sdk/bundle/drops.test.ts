// What of a bundle's scope is missing, and what drops name of it: held against a list that is looked through from its start.
import { expect, test } from 'vitest'
import { ScopeWatch } from '../../../sdk/src/bundle/completeness.ts'
import { AbsentPlaces, MAX_ABSENT_BATCHES } from '../../../sdk/src/bundle/drops.ts'

/** The same numbers in each run. */
function numbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

test.each([1, 2, 3, 4, 5, 6])('whatever drops name, in any order, the first that names a batch counts (%s)', (seed) => {
  const below = numbers(seed)
  const places = new AbsentPlaces()
  const model: { logIndex: number; stream: string; first: number; last: number; drop: number | null }[] = []
  const next = new Map<string, number>()
  let logIndex = 0
  for (let turn = 0; turn < 3_000; turn++) {
    logIndex += 1 + below(3)
    if (below(12) > 0) {
      const stream = `s-${below(4)}`
      // Now and then something between two is there.
      const first = (next.get(stream) ?? 0) + (below(10) === 0 ? 1 : 0)
      const last = first + below(5)
      next.set(stream, last + 1)
      expect(places.add({ source: 'shop', stream }, logIndex, [first, last], turn)).toBe(true)
      model.push({ logIndex, stream, first, last, drop: null })
      continue
    }
    const entries: [number, number][] = []
    for (let at = below(logIndex); entries.length < 1 + below(6) && at < logIndex + 20; at += 2 + below(40)) {
      const end = at + below(30)
      entries.push([at, end])
      at = end
    }
    let isNamed = false
    for (const one of model)
      if (one.drop === null && entries.some(([from, to]) => one.logIndex >= from && one.logIndex <= to)) {
        one.drop = logIndex
        isNamed = true
      }
    const drop = { id: 'orders', version: 1, size: 1, time: 1, events: 1, entries }
    expect(places.name(drop, logIndex, 0)).toBe(isNamed)
  }
  expect(model.filter(({ drop }) => drop !== null).length).toBeGreaterThan(100)
  expect(model.filter(({ drop }) => drop === null).length).toBeGreaterThan(100)
  const covered = (isSound: boolean) =>
    [...places.runs(isSound)].flatMap(({ stream, first, last, drop }) =>
      Array.from({ length: last - first + 1 }, (_, i) => `${stream} ${first + i} ${drop?.logIndex ?? null}`),
    )
  const expected = (isSound: boolean) =>
    model.flatMap(({ stream, first, last, drop }) =>
      Array.from({ length: last - first + 1 }, (_, i) => `${stream} ${first + i} ${isSound ? drop : null}`),
    )
  for (const isSound of [true, false]) expect(covered(isSound).sort()).toEqual(expected(isSound).sort())
  // As few as can be: no two that follow each other say the same.
  const runs = [...places.runs(true)]
  const ends = new Set(runs.map(({ stream, last, drop }) => `${stream} ${last + 1} ${drop?.logIndex}`))
  expect(runs.filter(({ stream, first, drop }) => ends.has(`${stream} ${first} ${drop?.logIndex}`))).toEqual([])
})

test('there is an end to what is kept', () => {
  const places = new AbsentPlaces()
  const stream = { source: 'shop', stream: 's-1' }
  for (let i = 0; i < MAX_ABSENT_BATCHES; i++) if (!places.add(stream, i, [i, i], i)) throw new Error(`not even ${i}`)
  expect(places.add(stream, MAX_ABSENT_BATCHES, [0, 0], 0)).toBe(false)
  // Drops that name all of it, again and again, do not look through it each time.
  const all = { id: 'orders', version: 1, size: 1, time: 1, events: 1, entries: [[0, MAX_ABSENT_BATCHES]] as const }
  expect(places.name(all, MAX_ABSENT_BATCHES, 0)).toBe(true)
  const began = performance.now()
  for (let i = 0; i < 20_000; i++) expect(places.name(all, MAX_ABSENT_BATCHES + i, 0)).toBe(false)
  expect(performance.now() - began).toBeLessThan(10_000)
  expect([...places.runs(true)]).toMatchObject([{ first: 0, last: MAX_ABSENT_BATCHES - 1 }])
}, 60_000)

test('a stream whose last places are missing has neither ended nor not', () => {
  const watch = new ScopeWatch({ kind: 'source', source: 'shop', from: 0, to: 9, since: null, until: null })
  for (const stream of ['s-1', 's-2']) watch.events({ source: 'shop', stream }, 1, [0, 4], [])
  watch.absent({ source: 'shop', stream: 's-2' }, 2, [5, 6])
  expect(watch.finish(9, { logs: [], confirmed: [], heads: [] }, true)).toMatchObject({
    ...{ streams: 1, ended: 0, absent: { events: 2, entries: 0 } },
  })
})
