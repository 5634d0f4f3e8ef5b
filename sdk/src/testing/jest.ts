// Adds the matchers to jest: import it once, e.g. in a file of `setupFilesAfterEnv`.
import { type AuditMatchers, matchers } from './matchers.ts'

declare global {
  namespace jest {
    interface Matchers<R> extends AuditMatchers<R> {}
  }
}

const { expect } = globalThis as { expect?: { extend(all: typeof matchers): void } }
if (expect === undefined)
  throw new Error('@killick/sdk/testing/jest is for files that jest runs, after its environment is set up')
expect.extend(matchers)
