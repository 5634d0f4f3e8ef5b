import { type HistoryEvent, historyOf, inHistoryOrder } from '@killick/sdk/core'
import { diff } from '@killick/sdk/kit'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

const TARGET = { type: 'invoice', id: 'i-1' }
let number = 0

/** An event of a stream of its own, one second after the one before. */
function event(fields: object, more: Partial<HistoryEvent> = {}): HistoryEvent {
  number += 1
  return {
    ...{ id: `e-${number}`, source: 'billing', stream: 's', seq: number, logIndex: number, time: 1000 * number },
    ...{ hidden: 0 },
    ...more,
    fields: { action: 'invoice.change', actor: { type: 'user', id: 'ada' }, targets: [TARGET], ...fields },
  } as HistoryEvent
}
const change = (path: string, before: unknown, after: unknown) => event({ changes: [{ path, before, after }] })

describe('historyOf()', () => {
  test('folds changes into a state, and says who set what', () => {
    const events = [
      change('', undefined, { a: 1, b: [1, 2, 3] }),
      change('/b/1', 2, undefined),
      change('/c~1d/e', undefined, 'x'),
    ]
    const { state, blame, steps } = historyOf(TARGET, events)
    expect(state).toEqual({ a: 1, b: [1, 3], 'c/d': { e: 'x' } })
    expect([...blame].map(([path, { event: id }]) => [path, id])).toEqual([
      ['', events[0]!.id],
      ['/b/1', events[1]!.id],
      ['/c~1d/e', events[2]!.id],
    ])
    expect(steps.map(({ effect }) => effect)).toEqual(['changed', 'changed', 'changed'])
    expect(historyOf(TARGET, events, events[1]!.time).state).toEqual({ a: 1, b: [1, 2, 3] })
    expect(historyOf(TARGET, [...events, change('', state, undefined)]).state).toBeNull()
  })

  test('a before that nobody has made is a contradiction; one of which nothing is known is none', () => {
    const first = change('/status', 'open', 'paid')
    const { steps } = historyOf(TARGET, [first, change('/status', 'open', 'sent'), change('/other', 7, 8)])
    expect(steps.map(({ contradictions }) => contradictions)).toEqual([
      [],
      [{ path: '/status', known: 'paid', before: 'open', since: first.id }],
      [],
    ])
    // Also where a whole value was set, and a member of it is said to have been there.
    const whole = change('/x', undefined, { a: 1 })
    const { steps: more } = historyOf(TARGET, [whole, change('/x/b', 2, 3), change('/x', { b: 3, a: 1 }, null)])
    expect(more[1]!.contradictions).toEqual([{ path: '/x/b', known: undefined, before: 2, since: whole.id }])
    expect(more[2]!.contradictions).toEqual([])
  })

  test('what changes nothing: failures, denials, other targets first, hidden and malformed changes', () => {
    const paid = { changes: [{ path: '/status', before: 'open', after: 'paid' }] }
    const other = { targets: [{ type: 'batch', id: 'b' }, TARGET] }
    const { steps, state } = historyOf(TARGET, [
      event({ ...paid, outcome: 'denied' }),
      event({ ...paid, outcome: 'failure' }),
      event({ ...paid, ...other }),
      event({}),
      event({}, { hidden: 1 }),
      event({ changes: [{ path: '/~2', after: 1 }] }),
      event({ ...paid, targets: [] }),
    ])
    expect(steps.map(({ effect }) => effect)).toEqual([
      'not_done',
      'not_done',
      'touched',
      'touched',
      'unreadable',
      'unreadable',
    ])
    expect(state).toBeNull()
  })

  test('what an event hides is not known any more, and contradicts nothing', () => {
    const paid = { changes: [{ path: '/status', before: 'open', after: 'paid' }] }
    const made = change('', undefined, { status: 'new', total: 4 })
    for (const hiding of [
      event({}, { hidden: 1 }),
      event({ targets: undefined }, { hidden: 1 }),
      // Whether it was done.
      event({ ...paid }, { hidden: 2 }),
      event({ changes: [{ path: '/a'.repeat(65), after: 1 }] }),
      event({ changes: [{ path: '', after: { type: 'sealed', id: 'k', jwe: 'j' } }] }),
    ]) {
      const last = change('/status', 'paid', 'sent')
      const { steps, state, blame, doubt } = historyOf(TARGET, [made, { ...hiding, time: made.time }, last])
      expect(steps.map(({ effect }) => effect)).toEqual(['changed', 'unreadable', 'changed'])
      expect(steps[2]!.contradictions).toEqual([])
      expect(state).toEqual({ status: 'sent', total: 4 })
      expect([doubt, blame.get('')!.doubt, blame.get('/status')!.doubt]).toEqual([hiding.id, hiding.id, null])
    }
    const shown = event({ ...paid, outcome: 'success' }, { hidden: 1 })
    expect(historyOf(TARGET, [shown])).toMatchObject({ doubt: null, state: { status: 'paid' } })
    const elsewhere = event({ targets: [] }, { hidden: 1 })
    expect(historyOf(TARGET, [elsewhere]).steps).toEqual([])
  })

  test('a clock that went back does not turn a state around', () => {
    const first = change('/a', undefined, 1)
    const back = { ...change('/a', 1, 2), time: first.time - 10_000, source: first.source, stream: first.stream }
    expect(historyOf(TARGET, [first, back], first.time).steps).toEqual([])
    expect(historyOf(TARGET, [first, back], first.time + 1).state).toEqual({ a: 2 })
  })

  test('what else its reader found in the stream changes nothing', () => {
    const other = event({ targets: [{ type: 'order', id: TARGET.id }] })
    const back = { ...change('/a', undefined, 1), time: other.time - 500, source: other.source, stream: other.stream }
    const between = { ...change('/a', 1, 2), time: other.time - 200, source: 'crm' }
    expect(historyOf(TARGET, [other, back, between])).toEqual(historyOf(TARGET, [back, between]))
  })

  test('member names that objects have by themselves are members like others', () => {
    const { state } = historyOf(TARGET, [
      change('/__proto__/polluted', undefined, 1),
      change('/constructor', undefined, 2),
    ])
    expect(Object.keys(state as object)).toEqual(['__proto__', 'constructor'])
    expect(({} as { polluted?: number }).polluted).toBeUndefined()
  })

  test('the order is that of the clocks, and never against a stream', () => {
    const late = change('/a', undefined, 1)
    const early = { ...change('/a', 1, 2), source: 'other', time: late.time - 500 }
    const back = { ...change('/a', 2, 3), time: 1 }
    expect(inHistoryOrder([back, late, early]).map(({ id }) => id)).toEqual([early.id, late.id, back.id])
  })

  test('the differences between documents, folded, are the last of them, without a contradiction', () => {
    const value = fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<unknown>
    const documents = fc.array(fc.dictionary(fc.string({ maxLength: 4 }), value, { maxKeys: 4 }), {
      minLength: 1,
      maxLength: 5,
    })
    // What JSON cannot carry exactly, no event has.
    const isAllowed = (document: unknown) => {
      try {
        return diff(undefined, document).length > 0
      } catch {
        return false
      }
    }
    fc.assert(
      fc.property(documents.filter(isAllowed), (list) => {
        const events = list.map((document, i) => event({ changes: diff(list[i - 1], document) }))
        const { state, steps } = historyOf(TARGET, events)
        expect(state).toEqual(JSON.parse(JSON.stringify(list.at(-1))))
        expect(steps.flatMap(({ contradictions }) => contradictions)).toEqual([])
      }),
      { numRuns: process.env.CI ? 1_000 : 200 },
    )
  })
})
