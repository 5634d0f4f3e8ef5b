/**
 * Everything that a verifier needs. It runs in browsers: it uses no Node modules. Only `readAnchors`, `readLogHeads`, `openNodes`
 * and `openRpc` use the network.
 */

export { type BatchHeader, parseBatchHeader } from '../core/batch.ts'
export { readBody } from '../core/body.ts'
export { fromBase64url, toBase64url, toHex } from '../core/bytes.ts'
export { type Checkpoint, parseCheckpoint } from '../core/checkpoint.ts'
export { ERROR_CODES, type ErrorCode, KillickError } from '../core/errors.ts'
export { type ParsedEvent, parseEvent } from '../core/event.ts'
export { EMPTY_ROOT, type Hash, leafHash, nodeHash, parseHash, printHash } from '../core/hash.ts'
export { parseJson } from '../core/json.ts'
export { type PublicJwk, parsePublicJwk, thumbprint } from '../core/jwk.ts'
export type { ReadHeader } from '../core/jws.ts'
export {
  type ConsistencyClaim,
  rootFromInclusion,
  type Size,
  verifyConsistency,
  verifyInclusion,
} from '../core/merkle.ts'
export { type NoteSignature, type OpenedNote, openNote, parseVkey, splitVkeys } from '../core/note.ts'
export {
  type Anchor,
  type CarriedErasure,
  type CarriedRegistration,
  type EarlierAnchor,
  MAX_PROOF_BYTES,
  type Proof,
  parseProof,
  printProof,
  type Succeeds,
} from '../core/proof.ts'
export { parseTime } from '../core/time.ts'
export { ANCHOR_LOG_CODE_HASH, decodeBool } from './contract.ts'
export type { Engine } from './engine.ts'
export type { CheckStatus, Reason } from './finding.ts'
export { readAnchors } from './read-anchors.ts'
export { type HeadFact, readLogHeads } from './read-log-heads.ts'
export { type ChainNode, type NoAnswer, openNodes, openRpc, parseQuantity, type Rpc, type RpcOptions } from './rpc.ts'
export {
  type AnchorFact,
  DEFAULT_CONFIRMATIONS,
  DEFAULT_TIME_TOLERANCE,
  type NodeAnswer,
  type PinnedKey,
  type PinnedLog,
  parsePinnedLog,
  parsePinTime,
  type Trust,
} from './trust.ts'
export type {
  CheckName,
  CheckValues,
  ErasureFault,
  Erasures,
  ErasureWord,
  KeyFindings,
  NodeSilence,
  NoValues,
  RegistrationFault,
  Unreadable,
} from './values.ts'
export type { Check, KeyWord, Level, Missing, RestsOn, Times, Verdict } from './verdict.ts'
export { verifyProof } from './verify-proof.ts'
