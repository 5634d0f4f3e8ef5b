// A thread that reads stretches of bundles. verify-bundle.ts starts it.
import { NamedKeys, readStretch, type StretchReading } from '../../bundle/reading.ts'
import type { PublicJwk } from '../../core/jwk.ts'
import { nodePrimitives } from '../primitives.ts'
import { verifyNatively } from '../signature.ts'
import { answerQuestions } from '../thread.ts'
import { linesIn } from './lines.ts'

/** A stretch as it goes to a thread, and keys that it has not been told before. */
export type BundleToRead = {
  readonly bytes: Uint8Array
  readonly isOpen: boolean
  readonly keys: readonly PublicJwk[]
}
/** What it answers; the bytes come back with it, since of some entries the lines are wanted. */
export type BundleReadThere = { readonly reading: StretchReading; readonly bytes: Uint8Array }

const keys = new NamedKeys((jwk, { input, bytes }) => verifyNatively(jwk, input, bytes))

answerQuestions(
  async ({ bytes, isOpen, keys: fresh }: BundleToRead) => {
    keys.add(fresh)
    const reading = await readStretch(linesIn(bytes), isOpen, keys, nodePrimitives)
    return { answer: { reading, bytes } satisfies BundleReadThere, transfer: [bytes.buffer as ArrayBuffer] }
  },
  async () => {},
)
