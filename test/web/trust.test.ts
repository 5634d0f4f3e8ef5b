/** What a page goes by: the visitor's own pins before those of its publisher, kind by kind. */
import { expect, test } from 'vitest'
import { combine, NO_PINS, type Pins } from '../../anchor-service/web/shared/trust.ts'

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
