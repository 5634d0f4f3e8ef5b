export type { EventInput, Party } from '../core/fields.ts'
export type { Receipt } from '../core/receipt.ts'
export { generateKey, loadSigner, type PrivateJwk, publicJwk, readKeyFile, signerOf, writeKeyFile } from './key.ts'
export {
  type AuditLog,
  type AuditLogOptions,
  type AuditLogStatus,
  type Failure,
  type Left,
  openAuditLog,
} from './open.ts'
export type { Recorded } from './recorder.ts'
export { revokeShare, type Share, type ShareOptions, type ShareService, shareEvent } from './share.ts'
export { batchPath, batchRoot } from './tree.ts'
