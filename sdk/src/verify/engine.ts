import { PORTABLE, type Primitives } from '../core/primitives.ts'
import { verifySignature } from '../core/signature.ts'

/** How a verifier checks signatures and hashes: portable code, or a platform's own with the same answers. */
export type Engine = {
  /** @returns whether a signature over a message verifies; never throws */
  readonly verify: typeof verifySignature
  readonly primitives: Primitives
}

export const PORTABLE_ENGINE: Engine = { verify: verifySignature, primitives: PORTABLE }
