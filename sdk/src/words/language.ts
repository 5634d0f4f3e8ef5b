/** The type of a language for verdicts. */
import type { CheckName, CheckValues, NoValues } from '../verify/values.ts'
import type { Missing, RestsOn } from '../verify/verdict.ts'

/** A sentence, or a function that makes one of a check's values. */
export type Sentence<V> = [V] extends [NoValues] ? string : (values: V) => string

/**
 * All words for verdicts in one language. A language that lacks one, or asks for a value that a check does not give, does not
 * compile.
 */
export type VerdictWords = {
  /** For each check, a sentence that says what holds if it passes. */
  readonly titles: { readonly [N in CheckName]: string }
  /** What was found, by check and reason, without a full stop at the end. */
  readonly details: {
    readonly [N in CheckName]: { readonly [R in keyof CheckValues[N]]: Sentence<CheckValues[N][R]> }
  }
  readonly missing: { readonly [M in Missing]: string }
  readonly restsOn: { readonly [R in RestsOn]: string }
}
