import { keepThread, type Thread, threadBeside } from '@killick/sdk/core'
import type { MadeBundle, MakingProgress } from '@killick/sdk/make-bundle'
import type { RequestedBundle } from './job.ts'

/** What the thread is given: the service as any reader reaches it, and which file to write. */
export type Making = {
  url: string
  token: string
  /** What the manifest says. */
  publicUrl: string
  conditions: RequestedBundle
  file: string
  maxBytes: number
}

/** `refused`: why it cannot be made. */
export type MakingEnd = { made: MadeBundle } | { refused: { code: string; detail: string } }

export type MakingNews = MakingProgress

const ENTRY = threadBeside(import.meta.url, 'bundler')

export type Maker = {
  /**
   * Makes a bundle. Never two at once.
   * @throws Error with what ended the thread; `signal`'s reason once the thread has ended
   */
  make(making: Making, onProgress: (progress: MakingProgress) => void, signal: AbortSignal): Promise<MakingEnd>
  /** Ends the thread, if there is one. */
  close(): Promise<void>
}

/** A thread that has had nothing to do for so long is ended, ms: to start one takes as long as to make a small bundle. */
const RESTS_AFTER_MS = 10_000

/** Makes bundles on a thread of its own, so that the event loop stays free for requests and commits. */
export function openMaker(): Maker {
  let thread: Thread<never, Making, MakingEnd> | null = null
  let heard: (progress: MakingProgress) => void = () => {}
  let resting: NodeJS.Timeout | undefined

  async function close(): Promise<void> {
    clearTimeout(resting)
    const ended = thread?.end()
    thread = null
    await ended
  }

  return {
    async make(making, onProgress, signal) {
      signal.throwIfAborted()
      clearTimeout(resting)
      heard = onProgress
      thread ??= keepThread<never, Making, MakingEnd, MakingNews>(ENTRY, { data: null, news: (news) => heard(news) })
      const own = thread
      const abort = () => {
        thread = null
        void own.kill()
      }
      signal.addEventListener('abort', abort, { once: true })
      try {
        return await own.ask(making)
      } catch (error) {
        signal.throwIfAborted()
        throw error
      } finally {
        signal.removeEventListener('abort', abort)
        resting = setTimeout(close, RESTS_AFTER_MS).unref()
      }
    },
    close,
  }
}
