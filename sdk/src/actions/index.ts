/** Catalogues: an application's actions, defined once, for the compiler, for run time, for readers and for the ledger. */

import '../node/version.ts'

export type { ActionRule, ActionRules, Severity } from '../core/catalogue.ts'
export { type ActionLog, type Actions, defineActions } from './define.ts'
export { jsonSchemaOfEvents, markdownOf } from './describe.ts'
export type { ActionDefinition, ActionDefinitions, EventFor, EventOf } from './events.ts'
export type { StandardSchema } from './standard-schema.ts'
