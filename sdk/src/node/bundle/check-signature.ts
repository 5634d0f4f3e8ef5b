import type { CheckSignature } from '../../bundle/reading.ts'
import type { PublicJwk } from '../../core/jwk.ts'
import { verifierOf } from '../signature.ts'

const verifiers = new WeakMap<PublicJwk, ReturnType<typeof verifierOf>>()

/** With Node's own cryptography; the answer is there at once. */
export const checkSignature: CheckSignature = (jwk, { input, bytes }) => {
  const known = verifiers.get(jwk) ?? verifierOf(jwk)
  verifiers.set(jwk, known)
  return known(input, bytes)
}
