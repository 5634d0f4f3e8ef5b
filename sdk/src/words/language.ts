/** What a language has to say of verdicts. */
import type { CheckName, CheckValues, NoValues } from '../verify/values.ts'
import type { Missing, RestsOn } from '../verify/verdict.ts'

/** A sentence, or how one is made of a check's values. */
export type Sentence<V> = [V] extends [NoValues] ? string : (values: V) => string

/**
 * All words for verdicts in one language. A language that lacks one, or asks for a value that a check does not give, does not
 * compile.
 */
export type VerdictWords = {
  /** What each check asks, put as what holds when it passes. */
  readonly titles: { readonly [N in CheckName]: string }
  /** What was found, by check and reason; no full stop at the end. */
  readonly details: {
    readonly [N in CheckName]: { readonly [R in keyof CheckValues[N]]: Sentence<CheckValues[N][R]> }
  }
  readonly missing: { readonly [M in Missing]: string }
  readonly restsOn: { readonly [R in RestsOn]: string }
}
