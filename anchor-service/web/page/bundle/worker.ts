/** The other side of workers.ts: reads stretches of a bundle, and checks their signatures with what the browser has built in. */
import { linesOf, NamedKeys, readStretch } from '@killick/sdk/bundle'
import { signatureChecker } from './signatures.ts'
import type { WorkerAnswer, WorkerQuestion } from './workers.ts'

/** What of a worker is used here; the types that are loaded are those of a page. */
type Self = {
  onmessage: ((message: { readonly data: WorkerQuestion }) => void) | null
  postMessage(answer: WorkerAnswer, transfer?: Transferable[]): void
}

export function answerAsWorker(): void {
  const self = globalThis as unknown as Self
  const known = new NamedKeys(signatureChecker())
  self.onmessage = async ({ data: { id, bytes, isOpen, keys } }) => {
    known.add(keys)
    try {
      const reading = await readStretch(linesOf(bytes), isOpen, known)
      self.postMessage({ id, reading, bytes }, [bytes.buffer as ArrayBuffer])
    } catch (error) {
      // Only what is thrown outside of a promise reaches the page.
      setTimeout(() => {
        throw error
      })
    }
  }
  self.postMessage('ready')
}
