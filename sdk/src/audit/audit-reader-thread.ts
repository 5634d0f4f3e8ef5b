// A thread that reads batches. readers.ts starts it.
import { answerQuestions } from '../node/thread.ts'
import { type BatchReading, KnownKeys, memoryOf, readAll, type ToRead } from './readings.ts'

const known = new KnownKeys()

/** What a thread answers; the bytes come back with it, since a check may want to look at an event. */
export type ReadThere = { readonly readings: readonly BatchReading[]; readonly bytes: Uint8Array }

answerQuestions(
  async (question: ToRead) => {
    const { bytes } = question
    return { answer: { readings: readAll(question, known), bytes } satisfies ReadThere, transfer: [memoryOf(bytes)] }
  },
  async () => {},
)
