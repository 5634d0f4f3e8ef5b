/**
 * Tests of what an application records, without a service and without a disk: `openTestLog`, and matchers for vitest, jest and
 * plain asserts.
 */

import '../node/version.ts'

export { assertNothingElse, assertRecorded, type RecordedOptions } from './assert.ts'
export { type AuditMatchers, matchers } from './matchers.ts'
export type { ExpectedEvent } from './matching.ts'
export { type Faults, openTestLog, type TestEvent, type TestLog, type TestLogOptions } from './test-log.ts'
