/**
 * `@killick/sdk/sealing`: fields of events that only holders of a key can read, one key for each person whose data they are. Destroying
 * the key erases them in every copy there is, and every proof holds. Needs `jose`, an optional peer of this package.
 */
export { NOBODY, type RecordOptions, type Sealer, type SubjectOf } from '../client/sealer.ts'
export type { SealedValue } from '../core/sealed.ts'
export {
  type ErasureEvent,
  type ErasureReasons,
  eraseSubject,
  erasureIn,
  reapplyErasures,
  type UnreadEvent,
} from './erase.ts'
export { SEALING_ERROR_CODES, SealingError, type SealingErrorCode } from './errors.ts'
export { folderSubjectKeys } from './folder.ts'
export { type KeyPool, type PostgresSubjectKeys, postgresSubjectKeys } from './postgres.ts'
export { type SealingOptions, sealing } from './seal.ts'
export type { Envelope, ErasedKey, KeyHolding, SubjectKey, SubjectKeys } from './subject-keys.ts'
export { type FieldReading, type UnsealedEvent, unsealEvent } from './unseal.ts'
