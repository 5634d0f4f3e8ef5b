import { type Answered, ask, askForRest, type RecordedOptions } from './assert.ts'
import type { ExpectedEvent } from './matching.ts'
import type { TestLog } from './test-log.ts'

/** What vitest and jest know of the call of a matcher. */
type Call = { isNot?: boolean }
type Result = { pass: boolean; message: () => string }

const resultOf = ({ pass, message }: Answered): Result => ({ pass, message: () => message })

/**
 * Matchers for `expect.extend`, of vitest and of jest. `@killick/sdk/testing/vitest` and `…/jest` add them, with their types.
 * @example
 * expect(log).toHaveRecorded({ action: 'invoice.refund', target: 'invoice/42' })
 * expect(log).toHaveRecordedNothingElse()
 */
export const matchers: {
  toHaveRecorded(this: Call, log: TestLog, expected: ExpectedEvent, options?: RecordedOptions): Result
  toHaveRecordedNothingElse(this: Call, log: TestLog): Result
} = {
  toHaveRecorded(log, expected, options = {}) {
    return resultOf(ask(log, expected, options, !this.isNot))
  },
  toHaveRecordedNothingElse: (log) => resultOf(askForRest(log)),
}

/** The matchers as `expect(log)` has them. */
export type AuditMatchers<R = unknown> = {
  /**
   * At least one event that has what is expected; with `times`, exactly so many. Of `metadata`, `context` and parties it may have
   * more.
   */
  toHaveRecorded(expected: ExpectedEvent, options?: RecordedOptions): R
  /** Nothing but what earlier expectations of this log have found. */
  toHaveRecordedNothingElse(): R
}
