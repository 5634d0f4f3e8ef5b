/**
 * `@killick/sdk/kit`: recording made easy for applications. The context of a request travels by itself, functions are wrapped,
 * differences become `changes`, and what must not be kept is removed before anything is signed. For Node.
 */

export {
  type Audit,
  type AuditCounts,
  type AuditEntry,
  type Catalogue,
  createAudit,
  type EventSink,
  type KitEvent,
  type KitOptions,
  type Without,
  type WrappedEvent,
} from './audit.ts'
export { auditContext, type ContextScope, type ScopeOptions } from './audit-context.ts'
export { type CommandRedaction, type CommandRedactionOptions, compileCommandRedaction } from './command-line.ts'
export { type AuditContext, isTraceparent, parseContext, type SerializedContext } from './context.ts'
export { DeniedError, type EventOutcome, isDenial, outcomeOfStatus } from './denial.ts'
export type { Detector } from './detectors.ts'
export { type DiffOptions, diff } from './diff.ts'
export { KIT_ERROR_CODES, KitError, type KitErrorCode } from './errors.ts'
export { contextOfHeaders, type HeaderReader } from './headers.ts'
export {
  compileRedaction,
  type Redaction,
  type RedactionRule,
  type RedactionRules,
  type Removal,
  STANDARD_RULES,
} from './redaction.ts'
export { warnOnce } from './warn.ts'
