/** Conditions on events by what they show, as searches, holds and bundles name them. */
import type { ParsedEvent } from './event.ts'
import { isObject, type JsonValue } from './json.ts'
import { fitsAction } from './retention.ts'

/** What conditions look at. */
export type ShownEvent = Pick<ParsedEvent, 'source' | 'stream' | 'fields'> & {
  /** Whether it shows every field that it has. */
  readonly isWhole: boolean
}

const idOf = (party: JsonValue | undefined) => (isObject(party) ? party.id : undefined)

/**
 * Whether an event meets a condition, by the condition's name; `action` may be `invoice.*`, and `tenant` is that of the context. One that may
 * have the field in question, and does not show it, may be meant, so it does.
 */
export const meets: {
  readonly [name in 'source' | 'stream' | 'action' | 'actor' | 'target' | 'outcome' | 'tenant']: (
    event: ShownEvent,
    text: string,
  ) => boolean
} = {
  source: ({ source }, text) => source === text,
  stream: ({ stream }, text) => stream === text,
  action: ({ fields: { action } }, text) => action === undefined || fitsAction(action, text),
  actor: ({ fields: { actor } }, text) => actor === undefined || idOf(actor) === text,
  target: ({ fields: { targets } }, text) => !Array.isArray(targets) || targets.some((target) => idOf(target) === text),
  outcome: ({ fields: { outcome }, isWhole }, text) => (outcome === undefined ? !isWhole : outcome === text),
  tenant: ({ fields: { context }, isWhole }, text) =>
    context === undefined ? !isWhole : isObject(context) && context.tenant === text,
}
