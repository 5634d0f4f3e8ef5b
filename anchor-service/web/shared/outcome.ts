/** How what was recorded ended, as its source says: whoever reads the record must never take a refused action for a done one. Pure. */

type Event = { readonly fields: { readonly outcome?: unknown }; readonly hiddenFields: number }

/** `hidden`: it is not among the fields shown, so there may be one; `none`: all fields are shown, and there is none. */
export type Outcome = 'success' | 'failure' | 'denied' | 'hidden' | 'none'

export function outcomeOf(event: Event): Outcome {
  const { outcome } = event.fields
  if (outcome === 'success' || outcome === 'failure' || outcome === 'denied') return outcome
  return isPartial(event) ? 'hidden' : 'none'
}

/** Whether there are fields that the proof does not show. */
export const isPartial = ({ hiddenFields }: Event): boolean => hiddenFields > 0

/** It was tried, and did not come about. */
export const isUndone = (outcome: Outcome): outcome is 'failure' | 'denied' =>
  outcome === 'failure' || outcome === 'denied'
