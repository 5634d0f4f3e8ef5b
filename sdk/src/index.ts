/** `@killick/sdk`: record, prove and verify audit events. `@killick/sdk/verify` is the part that runs in browsers. */

export * from './client/index.ts'
export {
  BATCH_MEDIA_TYPE,
  type BatchFields,
  MAX_BATCH_BYTES,
  MAX_BATCH_EVENTS,
  parseBatch,
  printBatch,
  readBatch,
  signBatchHeader,
  splitBatch,
} from './core/batch.ts'
export { isRedirect, readBody } from './core/body.ts'
export { concat, equalBytes, fromBase64, fromHex, fromUtf8, toBase64, utf8 } from './core/bytes.ts'
export { printCheckpoint } from './core/checkpoint.ts'
export { InvariantError } from './core/errors.ts'
export {
  type Disclosure,
  hideFields,
  isEventId,
  isSourceName,
  isStreamId,
  MAX_EVENT_BYTES,
  type Mint,
  makeEvent,
  type Position,
} from './core/event.ts'
export { type Change, checkEventInput, checkField, type EventInput, type Party } from './core/fields.ts'
export { asHash, HASH_BYTES, isHash, sha256 } from './core/hash.ts'
export { isObject, type JsonObject, type JsonValue, MAX_JSON_DEPTH, parseJson } from './core/json.ts'
export { type Alg, algOf, publicKeyBytes } from './core/jwk.ts'
export { treeRoot } from './core/merkle.ts'
export { MAX_NOTE_SIGNATURES, parseNote, printVkey, signNote, type Vkey } from './core/note.ts'
export type { Primitives } from './core/primitives.ts'
export { MAX_PROOF_BYTES, MAX_SUCCESSIONS, PROOF_FORMAT } from './core/proof.ts'
export {
  type KeyRecord,
  parseRegistration,
  type RegisteredKey,
  type Registration,
  Registry,
  type RegistryEntry,
  type RegistryFault,
  registrationFields,
  type SourceRecord,
  SYSTEM,
} from './core/registry.ts'
export { type Signer, verifySignature } from './core/signature.ts'
export { type LogPlace, parseSuccession, printSuccession, type Succession } from './core/succession.ts'
export { printable } from './core/text.ts'
export {
  type Node,
  type Plan,
  planConsistency,
  planInclusion,
  planRoot,
  TILE_HEIGHT,
  TILE_WIDTH,
  tileOf,
} from './core/tree.ts'
export { nodePrimitives } from './node/primitives.ts'
export * from './verify/index.ts'
