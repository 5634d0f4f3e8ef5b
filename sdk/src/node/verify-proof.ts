import type { Proof } from '../core/proof.ts'
import type { Trust } from '../verify/trust.ts'
import type { Verdict } from '../verify/verdict.ts'
import { verifyProof as verifyAnywhere } from '../verify/verify-proof.ts'
import { nodePrimitives } from './primitives.ts'
import { verifyNatively } from './signature.ts'

const NATIVE = { verify: verifyNatively, primitives: nodePrimitives }

/**
 * Checks a proof against what the verifier trusts, with Node's own cryptography; `verifyProof` of `@killick/sdk/verify` gives the same
 * answers with portable code. Pure and synchronous: it uses no network and no clock; facts about the chain come in through `trust`.
 * @throws KillickError `vkey_invalid`, `key_invalid`, `trust_invalid` if what was pinned is malformed; nothing in the proof makes
 * it throw
 * @example
 * const proof = parseProof(text)
 * const { outcome, missing } = verifyProof(proof, {
 *   sourceKeys: [{ source: 'billing-api', jwk: sourceKey }],
 *   logKeys: ['ledger.example.com+1f2e3d4c+AQ…'],
 *   logs: [{ chainId: 1, contract: '0x…', logId: '0x…' }],
 *   facts: await readAnchors(proof, ['https://rpc.example.com']),
 * })
 */
export const verifyProof = (proof: Proof, trust: Trust): Verdict => verifyAnywhere(proof, trust, NATIVE)
