// Adds the matchers to vitest: import it once, e.g. in a file of `setupFiles`.
import { expect } from 'vitest'
import { type AuditMatchers, matchers } from './matchers.ts'

expect.extend(matchers)

declare module 'vitest' {
  // The parameters must be those that vitest declares.
  interface Matchers<R extends void | Promise<void> = void | Promise<void>, T = unknown> extends AuditMatchers<R> {}
}
