/** Has a bundle read by workers, as many as there are cores, where the browser lets the page have any; else by the page. */
import { type BundleReader, type BundleStretchRead, linesOf, type StretchReading } from '@killick/sdk/bundle'
import { KillickError, type PublicJwk } from '@killick/sdk/verify'

export type WorkerQuestion = {
  readonly id: number
  readonly bytes: Uint8Array
  readonly isOpen: boolean
  readonly keys: readonly PublicJwk[]
}
export type WorkerAnswer =
  | 'ready'
  | { readonly id: number; readonly reading: StretchReading; readonly bytes: Uint8Array }

/** More would wait for the page, which judges what they have read. */
const MOST = 8
/** A file of fewer bytes is checked by the time workers have begun. */
const WORTH_BYTES = 1 << 20

/** A browser that has not said by then whether a worker begins has none. */
const PATIENCE_MS = 3_000

type Helper = {
  readonly worker: Worker
  /** Whether it reads; from when on that is known. */
  isReady: boolean
  readonly begun: Promise<void>
  /** How many keys it has been told. */
  told: number
  readonly waiting: Map<number, PromiseWithResolvers<BundleStretchRead>>
}

export type Workers = { readonly reader: BundleReader; close(): void }

/** @param code where the script for workers is; null: nowhere */
export function openWorkers(code: string | null, fileBytes: number): Workers {
  const helpers = code !== null && fileBytes > WORTH_BYTES ? start(code) : []
  const begun = Promise.all(helpers.map((helper) => helper.begun))
  const ready = () => helpers.filter(({ isReady }) => isReady)
  let next = 0

  const reader: BundleReader = {
    ahead: () => 2 * ready().length,
    async read({ bytes, isOpen }, keys) {
      await begun
      const [idlest] = ready().sort((a, b) => a.waiting.size - b.waiting.size)
      if (idlest === undefined) return { lines: () => linesOf(bytes), reading: null, bytes }
      const answer = Promise.withResolvers<BundleStretchRead>()
      const id = next++
      idlest.waiting.set(id, answer)
      const question: WorkerQuestion = { id, bytes, isOpen, keys: keys.slice(idlest.told) }
      idlest.told = keys.length
      idlest.worker.postMessage(question, [bytes.buffer as ArrayBuffer])
      return answer.promise
    },
  }
  return {
    reader,
    close() {
      for (const { worker } of helpers) worker.terminate()
    },
  }
}

function start(code: string): Helper[] {
  const helpers: Helper[] = []
  try {
    for (let i = Math.min(MOST, navigator.hardwareConcurrency || 1); i > 0; i--) helpers.push(newHelper(code))
  } catch {
    // From a disk some browsers allow none.
  }
  return helpers
}

function newHelper(code: string): Helper {
  const { promise: begun, resolve } = Promise.withResolvers<void>()
  setTimeout(resolve, PATIENCE_MS)
  const helper: Helper = { worker: new Worker(code), isReady: false, begun, told: 0, waiting: new Map() }
  helper.worker.onmessage = ({ data }: { data: WorkerAnswer }) => {
    if (data === 'ready') {
      helper.isReady = true
      resolve()
      return
    }
    const { id, reading, bytes } = data
    helper.waiting.get(id)!.resolve({ lines: () => linesOf(bytes), reading, bytes })
    helper.waiting.delete(id)
  }
  // One that could not begin is asked nothing. Of what another was asked nothing can be said any more.
  helper.worker.onerror = (event) => {
    event.preventDefault()
    helper.isReady = false
    resolve()
    for (const { reject } of helper.waiting.values())
      reject(new KillickError('thread_failed', 'A worker of the page ended'))
    helper.waiting.clear()
  }
  return helper
}
