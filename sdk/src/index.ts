/**
 * `@killick/sdk`: what an application needs to record audit events, share them and check proofs. For Node.
 *
 * `@killick/sdk/verify` checks proofs and runs in browsers too, `@killick/sdk/audit` audits a whole ledger, `@killick/sdk/core`
 * is for those who build ledgers.
 */

import './node/version.ts'

export type { BundleTrust, BundleVerdict } from './bundle/index.ts'
export * from './client/index.ts'
export { type RecorderConfig, readConfig } from './config/config.ts'
export { ERROR_CODES, type ErrorCode, KillickError } from './core/errors.ts'
export type { Change, EventInput, Party, Recordable, RecordableObject } from './core/fields.ts'
export type { Alg, PublicJwk } from './core/jwk.ts'
export { type Proof, parseProof } from './core/proof.ts'
export type { Receipt } from './core/receipt.ts'
export type { Signer } from './core/signature.ts'
export { type NodeBundleOptions, verifyBundle } from './node/bundle/verify-bundle.ts'
export { verifyProof } from './node/verify-proof.ts'
export { readAnchors } from './verify/read-anchors.ts'
export { readLogHeads } from './verify/read-log-heads.ts'
export type { Trust } from './verify/trust.ts'
export type { Verdict } from './verify/verdict.ts'
