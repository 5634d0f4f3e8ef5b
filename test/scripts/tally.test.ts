import { describe, expect, test } from 'vitest'
import { readVitest, settle, summary } from '../../scripts/test.ts'

describe('the last line of npm test', () => {
  test('counts passed, failed and skipped tests', () => {
    expect(summary({ passed: 12, failed: 0, skipped: 0 })).toBe('12 passed, 0 failed')
    expect(summary({ passed: 12, failed: 1, skipped: 2 })).toBe('12 passed, 1 failed, 2 skipped')
  })

  test('counts a crashed runner as one failure', () => {
    expect(settle(null, 1)).toEqual({ passed: 0, failed: 1, skipped: 0 })
    expect(settle({ passed: 5, failed: 0, skipped: 0 }, 1).failed).toBe(1)
    expect(settle({ passed: 5, failed: 2, skipped: 0 }, 1).failed).toBe(2)
    expect(settle({ passed: 5, failed: 0, skipped: 0 }, 0).failed).toBe(0)
  })

  test('counts a test file that does not load as a failure, and todo and pending tests as skips', () => {
    const report = { numPassedTests: 3, numFailedTests: 1, numPendingTests: 2, numTodoTests: 1 }
    const files = [
      { status: 'failed', assertionResults: [] },
      { status: 'failed', assertionResults: [{}] },
      { status: 'passed', assertionResults: [{}] },
    ]
    expect(readVitest({ ...report, testResults: files })).toEqual({ passed: 3, failed: 2, skipped: 3 })
  })
})
