// Where applications test: Node's own runner, and jest's expect.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'

test("Node's runner: asserts pass, and one that fails says what is missing", async () => {
  const args = ['--test', '--test-reporter=tap', join(import.meta.dirname, 'node-test.ts')]
  // The runner takes a process that it is in for one of its own.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const [code, out] = await new Promise<[unknown, string]>((resolve) => {
    execFile(process.execPath, args, { env }, (error, stdout) => resolve([error?.code ?? 0, stdout]))
  })
  expect(code).toBe(1)
  expect(out).toMatch(/^\s*ok 1 - a refund leaves one event/m)
  expect(out).toMatch(/^\s*not ok 2 - this one fails/m)
  expect(out).toContain('No event like this was recorded:')
  expect(out).toMatch(/# pass 1\n# fail 1/)
})
