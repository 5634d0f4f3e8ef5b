import { Refusal } from '../../errors.ts'

/**
 * Lets `width` tasks run at a time and `length` more wait; refuses the rest, so that memory stays bounded and the sender
 * learns at once to slow down.
 */
export function gate(width: number, length: number) {
  let running = 0
  const waiting: (() => void)[] = []
  async function pass<T>(task: () => Promise<T>): Promise<T> {
    if (running >= width) {
      if (waiting.length >= length) throw new Refusal('overloaded')
      await new Promise<void>((resolve) => waiting.push(resolve))
    } else {
      running++
    }
    try {
      return await task()
    } finally {
      const next = waiting.shift()
      if (next) next()
      else running--
    }
  }
  return { pass, waiting: () => waiting.length }
}
