// A thread that reads stretches of bundles. verify-bundle.ts starts it.
import { NamedKeys, type StretchReading } from '../../bundle/reading.ts'
import type { PublicJwk } from '../../core/jwk.ts'
import { answerQuestions } from '../thread.ts'
import { checkSignature } from './check-signature.ts'
import { linesIn } from './lines.ts'
import { readStretchNatively } from './read-stretch.ts'

/** A stretch as it goes to a thread, and keys that it has not been told before. */
export type BundleToRead = {
  readonly bytes: Uint8Array
  readonly isOpen: boolean
  readonly keys: readonly PublicJwk[]
}
/** What it answers; the bytes come back with it, since of some entries the lines are wanted. */
export type BundleReadThere = { readonly reading: StretchReading; readonly bytes: Uint8Array }

const keys = new NamedKeys(checkSignature)

answerQuestions(
  async ({ bytes, isOpen, keys: fresh }: BundleToRead) => {
    keys.add(fresh)
    const reading = await readStretchNatively(bytes, linesIn(bytes), isOpen, keys)
    return { answer: { reading, bytes } satisfies BundleReadThere, transfer: [bytes.buffer as ArrayBuffer] }
  },
  async () => {},
)
