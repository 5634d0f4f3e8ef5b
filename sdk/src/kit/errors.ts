// The kit has codes of its own beside those of core: core is part of every page that shows a proof, and would carry them along.
import { CodedError } from '../core/coded-error.ts'

/** Every code that a `KitError` can have, with one sentence on what it means. Codes are stable across releases. */
export const KIT_ERROR_CODES = {
  option_invalid: 'An option is missing or malformed.',
  context_invalid: 'A context has an unknown member, or one of the wrong form.',
  context_missing: 'There is no audit context here: nothing has begun one, or it was lost on the way.',
  actor_missing: 'The event has no actor, and neither has the context.',
  event_invalid: 'The event cannot be recorded as it is.',
  unrecorded: 'The function has succeeded, but its event was not recorded.',
  request_event_late: 'The event of this request was made already: its answer has begun.',
  redaction_rule_invalid: 'A redaction rule is malformed.',
  diff_invalid: 'The values cannot be compared: they are not JSON, or too deep, or differ in too much.',
  job_invalid: 'The data of a job cannot carry a context.',
} as const satisfies Record<string, string>

/** A code of `KIT_ERROR_CODES`; programs switch on it. */
export type KitErrorCode = keyof typeof KIT_ERROR_CODES

/**
 * Some input of the kit is at fault. `code` is stable and for programs, `message` is for people, `details` is plain JSON: where the
 * fault is, never a value that a rule would have removed.
 */
export class KitError extends CodedError<KitErrorCode> {
  constructor(
    code: KitErrorCode,
    message: string = KIT_ERROR_CODES[code],
    details: Record<string, unknown> = {},
    options?: ErrorOptions,
  ) {
    super(code, message, details, options)
    this.name = 'KitError'
  }
}

/** What `knownOptions` throws in the kit. */
export const optionFault = (message: string, details: Record<string, unknown>): KitError =>
  new KitError('option_invalid', message, details)
