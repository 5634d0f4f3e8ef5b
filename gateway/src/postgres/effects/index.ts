// What statements do, and whether they may.
export {
  type StatementEffect,
  type StatementKind,
  type TransactionStep,
  type UnknownWhy,
  unknownEffect,
} from './effect.ts'
export { effectsOf, mayChangeSearchPath } from './effects-of.ts'
export { DAYS, type Day, type Hours } from './hours.ts'
export { loadParser } from './parser.ts'
export {
  type DecisionFacts,
  decide,
  decideSession,
  matchesTable,
  type PolicyDenial,
  type PostgresPolicy,
  type PostgresRule,
  type RuleEffect,
} from './policy.ts'
export { policyOf } from './policy-config.ts'
export { reasonIn } from './reason.ts'
