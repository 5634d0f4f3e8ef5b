import pLimit from 'p-limit'
import { Refusal } from '../../errors.ts'

/**
 * Lets `width` tasks run at a time and `length` more wait; refuses the rest, so that memory stays bounded and the sender
 * learns at once to slow down.
 */
export function gate(width: number, length: number) {
  const limit = pLimit(width)
  /** Tasks that run or wait. */
  const held = () => limit.activeCount + limit.pendingCount
  return {
    /** @throws Refusal overloaded */
    async pass<T>(task: () => Promise<T>): Promise<T> {
      if (held() >= width + length) throw new Refusal('overloaded')
      return limit(task)
    },
    /** Tasks that run. */
    running: () => limit.activeCount,
    waiting: () => Math.max(0, held() - width),
  }
}
