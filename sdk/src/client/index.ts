export { generateKey, type PrivateJwk, publicJwk, readKeyFile, signerOf, writeKeyFile } from './key.ts'
export {
  type AcceptedEvent,
  type AuditLog,
  type AuditLogOptions,
  type AuditLogStatus,
  type Failure,
  type Left,
  type MemoryAuditLog,
  openAuditLog,
} from './open.ts'
export type { Recorded } from './recorder.ts'
export type { RecordOptions, Sealer } from './sealer.ts'
export type { BatchLimits } from './sender.ts'
export { revokeShare, type Share, type ShareOptions, type ShareService, shareEvent } from './share.ts'
export type { Compression } from './transport.ts'
