// What the recorder knows of sealing: whom it asks. How it is done, and the library for it, is `@killick/sdk/sealing`.
import { KillickError } from '../core/errors.ts'
import type { AnyEventInput, Party } from '../core/fields.ts'
import { isOwnField } from '../core/fields.ts'
import type { OptionNames } from '../core/options.ts'
import { printable } from '../core/text.ts'

/** Says that an event is about nobody, so that nothing of it is sealed. */
export const NOBODY: unique symbol = Symbol.for('killick.nobody')

/** Whose data an event holds. */
export type SubjectOf = (event: AnyEventInput) => Party | typeof NOBODY | null | undefined

/** Options of one `record()`. */
export type RecordOptions = {
  /** Fields to seal beside those that the log seals anyway. */
  readonly sealed?: readonly string[] | undefined
  /** Whose data it is; `NOBODY`: nothing is sealed. Default: as `sealing()` was told, which is the actor's. */
  readonly subject?: Party | typeof NOBODY | undefined
}

export const RECORD_OPTIONS: OptionNames<RecordOptions> = { sealed: true, subject: true }

/** Seals fields of events before they are hashed and signed. Made by `sealing()` of `@killick/sdk/sealing`. */
export type Sealer = {
  /**
   * @param event its id, and its fields, checked; nobody changes them any more
   * @param names the fields to seal, as far as it has them
   * @param subject whose data it is; default: as the sealer knows
   * @returns its fields, in the same order, the named ones sealed
   * @throws KillickError `field_invalid`, `event_too_large`. @throws SealingError `subject_missing`, `subject_erased`,
   * `subject_key_invalid`, `keys_unreachable`
   */
  seal(
    event: { readonly id: string; readonly fields: readonly [string, unknown][] },
    names: ReadonlySet<string>,
    subject?: RecordOptions['subject'],
  ): Promise<readonly [string, unknown][]>
}

/** Fields of the protocol that can be sealed. Of the others, readers and ledger must know what they say. */
const SEALABLE: ReadonlySet<string> = new Set(['actor', 'targets', 'context', 'changes', 'metadata'])

/**
 * The names of fields to seal, as a set.
 * @param declared the application's own fields, each of which can be sealed
 * @throws KillickError `option_invalid`
 */
export function sealedNames(names: unknown, declared: ReadonlySet<string>): ReadonlySet<string> {
  const fail = (why: string): never => {
    throw new KillickError('option_invalid', `Option sealed ${why}`, { option: 'sealed' })
  }
  if (!Array.isArray(names)) fail('must be an array of names of fields')
  for (const name of names as unknown[]) {
    if (SEALABLE.has(name as string) || declared.has(name as string)) continue
    const isOthers = typeof name !== 'string' || isOwnField(name)
    fail(
      isOthers
        ? `must be names of fields; ${printable(`${name}`)} is none`
        : `cannot have ${name}: it must stay readable, as action, outcome, occurredAt and catalogue must`,
    )
  }
  return new Set(names as string[])
}
