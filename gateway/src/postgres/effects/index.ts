// What statements do, and whether they may.
export type { SettingSet, StatementEffect, TransactionStep } from './effect.ts'
export { effectsOf } from './effects-of.ts'
export { loadParser } from './parser.ts'
export { decide, decideSession, matchesTable, mayDeny, type PolicyDenial, type PostgresPolicy } from './policy.ts'
export { policyOf } from './policy-config.ts'
export { reasonIn } from './reason.ts'
export { cutName } from './table-names.ts'
