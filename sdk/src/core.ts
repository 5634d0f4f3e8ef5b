/**
 * `@killick/sdk/core`: the parts of a ledger: events, batches, trees, notes, keys. For Node. It makes no promise across minor
 * versions, so pin the version. An application needs only `@killick/sdk`.
 */

import './node/version.ts'

export { uuidv7 } from './client/random.ts'
export {
  BATCH_MEDIA_TYPE,
  type BatchFields,
  type BatchHeader,
  droppedLeaves,
  MAX_BATCH_BYTES,
  MAX_BATCH_EVENTS,
  parseBatch,
  parseBatchHeader,
  printBatch,
  readBatch,
  signBatchHeader,
  splitBatch,
} from './core/batch.ts'
export { isRedirect, readBody } from './core/body.ts'
export {
  concat,
  equalBytes,
  fromBase64,
  fromBase64url,
  fromHex,
  fromUtf8,
  toBase64,
  toBase64url,
  toHex,
  utf8,
} from './core/bytes.ts'
export {
  type ActionFault,
  type ActionRule,
  type ActionRules,
  type CatalogueChange,
  catalogueFields,
  faultOf,
  metadataToCheck,
  parseActions,
  parseCatalogueChange,
  parseEnforced,
  ruleOf,
  type Severity,
} from './core/catalogue.ts'
export { type Checkpoint, parseCheckpoint, printCheckpoint } from './core/checkpoint.ts'
export { meets, type ShownEvent } from './core/conditions.ts'
export {
  type ErasedEvent,
  type Erasure,
  type ExpiredBy,
  erasedLeaf,
  erasureEndFields,
  erasureFields,
  parseErasure,
  parseErasureEnd,
} from './core/erasure.ts'
export { ERROR_CODES, type ErrorCode, InvariantError, KillickError } from './core/errors.ts'
export {
  type Disclosure,
  endsStream,
  hideFields,
  isEventId,
  isHeartbeat,
  isSourceName,
  isStreamId,
  MAX_EVENT_BYTES,
  type Mint,
  makeEvent,
  nearestTime,
  type ParsedEvent,
  type Position,
  parseEvent,
  stillEndsStream,
} from './core/event.ts'
export {
  type AnyEventInput,
  type Change,
  checkEventInput,
  checkField,
  type EventInput,
  type Party,
  type Recordable,
  type RecordableObject,
} from './core/fields.ts'
export { asHash, EMPTY_ROOT, type Hash, leafHash, nodeHash, parseHash, printHash, sha256 } from './core/hash.ts'
export {
  type Blame,
  type Contradiction,
  differenceJson,
  type HistoryEvent,
  type HistoryStep,
  type HistoryTarget,
  historyHash,
  historyJson,
  historyOf,
  inHistoryOrder,
  mayBeAbout,
  type StateChange,
  stateChanges,
  type TargetHistory,
} from './core/history.ts'
export { type HoldScope, isHeld, isHoldScope } from './core/holds.ts'
export { isObject, type JsonObject, type JsonValue, parseJson } from './core/json.ts'
export { type Alg, algOf, type PublicJwk, parsePublicJwk, publicKeyBytes, thumbprint } from './core/jwk.ts'
export type { ReadHeader } from './core/jws.ts'
export {
  type ConsistencyClaim,
  rootFromInclusion,
  type Size,
  treeRoot,
  verifyConsistency,
  verifyInclusion,
} from './core/merkle.ts'
export { compileMetadataSchema, type MetadataCheck, type SchemaFault } from './core/metadata-schema.ts'
export { nearest } from './core/nearest.ts'
export {
  type NoteSignature,
  type OpenedNote,
  openNote,
  parseNote,
  parseVkey,
  printVkey,
  signNote,
  splitVkeys,
  type Vkey,
} from './core/note.ts'
export { escapePointer, unescapePointer } from './core/pointer.ts'
export type { Primitives } from './core/primitives.ts'
export {
  type Anchor,
  type CarriedErasure,
  type CarriedRegistration,
  type EarlierAnchor,
  MAX_ERASURES,
  MAX_PROOF_BYTES,
  MAX_SUCCESSIONS,
  type Proof,
  parseProof,
  printProof,
  type Succeeds,
} from './core/proof.ts'
export {
  type DecidedBy,
  isPersonName,
  type Proposal,
  type Proposed,
  parseDecidedBy,
  parseProposal,
  parseRefusal,
  proposalFields,
  type Refused,
  refusalFields,
} from './core/proposal.ts'
export { isPruned, parsePruning, pruningFields } from './core/pruning.ts'
export type { Receipt } from './core/receipt.ts'
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
export {
  DAY_S,
  dropFields,
  type HeaderScope,
  isCovered,
  isPolicyName,
  isRetentionScope,
  KEPT_FIELD,
  keptFrom,
  MAX_RETENTION_DAYS,
  parseDrop,
  parseRetention,
  parseRetentionEnd,
  printEntries,
  type RetentionDrop,
  type RetentionPolicy,
  type RetentionScope,
  retentionEndFields,
  retentionFields,
} from './core/retention.ts'
export { sealedIn } from './core/sealed.ts'
export { type Signer, verifySignature } from './core/signature.ts'
export { type LogPlace, parseSuccession, printSuccession, type Succession } from './core/succession.ts'
export { printable } from './core/text.ts'
export { parseTilePath, printTilePath, type TileAddress } from './core/tile-path.ts'
export { parseTime, printTime } from './core/time.ts'
export { type Node, type Plan, planConsistency, planInclusion, planRoot, TILE_WIDTH, tileOf } from './core/tree.ts'
export { type EventNotes, EventReader, PlainNotes } from './node/event-reader.ts'
export { type LogLines, lostLogLines, openLogLines } from './node/log-lines.ts'
export { nodePrimitives } from './node/primitives.ts'
export {
  type EventsReader,
  type LineSignature,
  type ReadEvents,
  readEvents,
  type TakeEvents,
  type TimeAt,
} from './node/read-events.ts'
export {
  answerQuestions,
  hear,
  keepThread,
  type Reply,
  sayNews,
  type Thread,
  type ThreadOptions,
  TOGETHER,
  threadBeside,
} from './node/thread.ts'
