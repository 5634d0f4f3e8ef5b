// How threads are kept, tested with one that does what it is told.
import { afterEach, expect, test } from 'vitest'
import { keepThread, type Thread, TOGETHER } from '../../../sdk/src/node/thread.ts'
import type { Command, Reported } from './support/obedient-thread.ts'

const ENTRY = new URL('./support/obedient-thread.ts', import.meta.url)
const kept: Thread<Command, Command, unknown>[] = []
afterEach(() => Promise.all(kept.splice(0).map((thread) => thread.end())))

function start(options: { restartMs?: number } = {}) {
  const news: Reported[] = []
  const failures: string[] = []
  const thread = keepThread<Command, Command, unknown, Reported>(ENTRY, {
    ...{ data: 'given', ...options, news: (one) => news.push(one) },
    failed: ({ message }) => failures.push(message),
  })
  kept.push(thread)
  return { thread, news, failures }
}

test('answers and errors reach their own questions, in whatever order they come', async () => {
  const { thread, news } = start()
  const slow = thread.ask({ say: 'slow', afterMs: 100 })
  const quick = thread.ask({ say: 'quick' })
  expect(thread.isReady).toBe(false)
  const bad = thread.ask({ fail: 'of its own' })
  expect(thread.unanswered).toBe(3)
  await expect(bad).rejects.toThrow('of its own')
  expect(await Promise.race([slow, quick])).toBe('quick')
  expect(await slow).toBe('slow')
  expect([thread.unanswered, thread.isReady]).toEqual([0, true])
  expect(news).toEqual([{ started: 'given' }])
})

test('memory that is handed over with a question is gone here, and what comes back is complete', async () => {
  const { thread } = start()
  const bytes = new Uint8Array(1 << 20).fill(7)
  const echoed = thread.ask({ echo: bytes }, [bytes.buffer])
  expect(bytes.length).toBe(0)
  expect(await echoed).toEqual(new Uint8Array(1 << 20).fill(7))
})

test('a thousand questions at once are answered each, beside those that take memory along', async () => {
  const { thread } = start()
  const asked = Array.from({ length: 1_000 }, (_, i) =>
    i % 100 === 50
      ? thread.askSmall({ fail: `${i}` }).catch((error: Error) => error.message)
      : thread.askSmall({ say: `${i}` }),
  )
  const bytes = new Uint8Array(1 << 20).fill(7)
  const echoed = thread.ask({ echo: bytes }, [bytes.buffer])
  expect(await Promise.all(asked)).toEqual(asked.map((_, i) => `${i}`))
  expect(await echoed).toHaveLength(1 << 20)
})

test('of many small questions at once the first are answered while the others are worked on', async () => {
  const { thread } = start()
  await thread.ask({ say: 'loaded' })
  const first = Array.from({ length: TOGETHER }, (_, i) => thread.askSmall({ say: i }))
  const last = thread.askSmall({ busyMs: 500 })
  expect(await Promise.race([Promise.all(first), last])).toEqual(first.map((_, i) => i))
  expect(await last).toBe(500)
})

test('a thread that is ended answers open questions first, and is not started again', async () => {
  const { thread, news, failures } = start({ restartMs: 1 })
  const asked = [100, 50, 0].map((afterMs) => thread.askSmall({ say: afterMs, afterMs }))
  await thread.end()
  expect(await Promise.all(asked)).toEqual([100, 50, 0])
  expect([news, failures]).toEqual([[{ started: 'given' }, { ending: true }], []])
  await thread.end()
})

test('a thread that breaks fails its open questions with its error, and runs again at the next question', async () => {
  const { thread, news, failures } = start()
  const open = [thread.ask({ say: 'never', afterMs: 60_000 }), thread.ask({ say: 'never', afterMs: 60_000 })]
  const failed = open.map((asked) => expect(asked).rejects.toThrow('broken'))
  thread.tell({ break: 'broken' })
  await Promise.all(failed)
  expect([failures, thread.unanswered, thread.isReady]).toEqual([['broken'], 0, false])
  // Nobody hears that.
  thread.tell({ say: 'lost' })
  expect(await thread.askSmall({ say: 'again' })).toBe('again')
  expect(news.filter((one) => 'started' in one)).toHaveLength(2)
})

test('a thread with `restartMs` starts again by itself, even if it cannot be loaded', async () => {
  const { thread, news, failures } = start({ restartMs: 5 })
  thread.tell({ break: 'once' })
  await expect.poll(() => news.filter((one) => 'started' in one).length).toBe(2)
  expect(failures).toEqual(['once'])
  const missing: string[] = []
  const none = keepThread(new URL('./support/no-such-thread.ts', import.meta.url), {
    ...{ data: null, restartMs: 1, failed: ({ message }) => missing.push(message) },
  })
  await expect.poll(() => missing.length).toBeGreaterThan(1)
  await none.end()
  expect(missing[0]).toContain('no-such-thread')
})

test('a killed thread is gone, whatever it was doing', async () => {
  const { thread, failures } = start()
  await thread.ask({ say: 'loaded' })
  const asked = expect(thread.ask({ say: 'never', afterMs: 60_000 })).rejects.toThrow('ended')
  await thread.kill()
  await asked
  expect(failures).toEqual([])
})

test('a thread is not killed before it has loaded, and one that cannot be loaded is waited for no longer', async () => {
  const { thread, news } = start()
  const asked = expect(thread.ask({ say: 'never', afterMs: 60_000 })).rejects.toThrow('ended')
  await thread.kill()
  await asked
  expect(news).toEqual([{ started: 'given' }])
  const none = keepThread<never, string>(new URL('./support/no-such-thread.ts', import.meta.url), { data: null })
  const failed = expect(none.ask('anything')).rejects.toThrow('no-such-thread')
  await none.kill()
  await failed
})
