// Codes of its own beside those of core: core is part of every page that shows a proof, and would carry them along.
import { CodedError } from '../core/coded-error.ts'

/** Every code that a `SealingError` can have, with one sentence on what it means. Codes are stable across releases. */
export const SEALING_ERROR_CODES = {
  subject_missing: 'An event to be sealed does not say whose data it holds.',
  subject_erased: 'The subject was erased: its key was destroyed, and nothing is sealed for it any more.',
  subject_unknown: 'The store of subjects’ keys has none for this subject.',
  subject_key_invalid: 'The key of a subject cannot be opened: it is under another secret, or was altered.',
  keys_unreachable: 'The store of subjects’ keys could not be reached, or failed.',
} as const satisfies Record<string, string>

/** A code of `SEALING_ERROR_CODES`; programs switch on it. */
export type SealingErrorCode = keyof typeof SEALING_ERROR_CODES

/**
 * Something cannot be sealed, read or erased as things stand; `record()` rejects with it too. `code` is stable and for programs, `message` is
 * for people, `details` is plain JSON: names of keys, never a key or whose it is.
 */
export class SealingError extends CodedError<SealingErrorCode> {
  constructor(
    code: SealingErrorCode,
    message: string = SEALING_ERROR_CODES[code],
    details: Record<string, unknown> = {},
    options?: ErrorOptions,
  ) {
    super(code, message, details, options)
    this.name = 'SealingError'
  }
}
