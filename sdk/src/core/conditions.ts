/** Conditions on events by what they show, as searches, holds and bundles name them. */
import type { ParsedEvent } from './event.ts'
import { isObject, type JsonValue } from './json.ts'
import { fitsAction } from './retention.ts'

type Shown = Pick<ParsedEvent, 'source' | 'stream' | 'fields'>

const idOf = (party: JsonValue | undefined) => (isObject(party) ? party.id : undefined)

/**
 * Whether an event meets a condition, by the condition's name; `action` may be `invoice.*`. One that does not show the field in question
 * may be meant, so it does.
 */
export const meets: {
  readonly [name in 'source' | 'stream' | 'action' | 'actor' | 'target' | 'outcome']: (
    event: Shown,
    text: string,
  ) => boolean
} = {
  source: ({ source }, text) => source === text,
  stream: ({ stream }, text) => stream === text,
  action: ({ fields: { action } }, text) => action === undefined || fitsAction(action, text),
  actor: ({ fields: { actor } }, text) => actor === undefined || idOf(actor) === text,
  target: ({ fields: { targets } }, text) => !Array.isArray(targets) || targets.some((target) => idOf(target) === text),
  outcome: ({ fields: { outcome } }, text) => outcome === undefined || outcome === text,
}
