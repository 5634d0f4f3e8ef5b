import { describe, expect, test } from 'vitest'
import { readVitest, settle, summary } from '../../scripts/test.ts'

describe('the last line of npm test', () => {
  test('counts', () => {
    expect(summary({ passed: 12, failed: 0, skipped: 0 })).toBe('12 passed, 0 failed')
    expect(summary({ passed: 12, failed: 1, skipped: 2 })).toBe('12 passed, 1 failed, 2 skipped')
  })

  test('a runner that crashes is one failure, not silence', () => {
    expect(settle(null, 1)).toEqual({ passed: 0, failed: 1, skipped: 0 })
    expect(settle({ passed: 5, failed: 0, skipped: 0 }, 1).failed).toBe(1)
    expect(settle({ passed: 5, failed: 2, skipped: 0 }, 1).failed).toBe(2)
    expect(settle({ passed: 5, failed: 0, skipped: 0 }, 0).failed).toBe(0)
  })

  test('a test file that does not load is a failure; todo and pending tests are skips', () => {
    const report = { numPassedTests: 3, numFailedTests: 1, numPendingTests: 2, numTodoTests: 1 }
    const files = [
      { status: 'failed', assertionResults: [] },
      { status: 'failed', assertionResults: [{}] },
      { status: 'passed', assertionResults: [{}] },
    ]
    expect(readVitest({ ...report, testResults: files })).toEqual({ passed: 3, failed: 2, skipped: 3 })
  })
})
