/** `@killick/sdk/audit`: computes a whole ledger again from outside and compares it with the chain. For Node. */

import '../node/version.ts'

export type { Shown } from '../core/fork.ts'
export type { KeptReceipt } from '../core/receipt.ts'
export { type Api, type ApiOptions, openApi } from './api.ts'
export {
  type AuditOptions,
  type AuditPins,
  type AuditProgress,
  type AuditResult,
  auditLedger,
  auditOutcome,
} from './audit.ts'
export { chainOf } from './chain.ts'
export type { AuditReason, AuditRestsOn } from './codes.ts'
export type { AuditCheck, Fault, FaultPlace } from './findings.ts'
export type { AuditRestart } from './keeping.ts'
export type { EarlierEntries } from './kept.ts'
export type { PinnedSourceKey } from './keys.ts'
export { type LookupPins, lookUp } from './lookups.ts'
export type { OwnCheck, Resumes, WalkedBatch, WalkedEntry } from './own-check.ts'
export type { Prefix } from './prefix.ts'
export type { BatchReaders } from './readers.ts'
export {
  answerReaders,
  type BatchReading,
  type KnownKeys,
  type Noting,
  type ReadBatches,
  readerOf,
  type Signed,
  type ToRead,
} from './readings.ts'
export { holdReceipts } from './receipts.ts'
export { systemEvent } from './records.ts'
export { RowCursor } from './rows.ts'
export type { Succeeded } from './succession.ts'
