/** Makes sentences, in a language, of a verdict's codes and values. */
import type { CheckName } from '../verify/values.ts'
import type { Check, Verdict } from '../verify/verdict.ts'
import { english } from './english.ts'
import type { VerdictWords } from './language.ts'

const ENGLISH = english()

/** A verdict with its words: each check with `title` and `detail`, and phrases for what is missing and what it rests on. */
export type VerdictInWords = Omit<Verdict, 'checks' | 'missing' | 'restsOn'> & {
  readonly checks: readonly (Check & CheckInWords)[]
  readonly missing: readonly string[]
  readonly restsOn: readonly string[]
}

/** One check in words. */
export type CheckInWords = {
  /** What holds if the check passes. */
  readonly title: string
  /** What was found, or why the check was skipped. Values that come from others are inserted unchanged. */
  readonly detail: string
}

/** One check in words; default English. */
export function checkInWords(check: Check, words: VerdictWords = ENGLISH): CheckInWords {
  const name = check.id.replace(/^anchor\.\d+/, 'anchor') as CheckName
  // The values and the sentence belong to the same check and reason, which TypeScript cannot see.
  const sentences = words.details[name] as { [reason: string]: string | ((values: Check['values']) => string) }
  const sentence = sentences[check.reason]!
  return { title: words.titles[name], detail: typeof sentence === 'string' ? sentence : sentence(check.values) }
}

/**
 * A verdict in words, for people. Programs should branch only on what `Verdict` itself holds.
 * @param words default English
 * @example
 * const { checks, missing } = inWords(verifyProof(proof, trust))
 * for (const { status, title, detail } of checks) console.log(status, title, detail)
 */
export function inWords(verdict: Verdict, words: VerdictWords = ENGLISH): VerdictInWords {
  return {
    ...verdict,
    checks: verdict.checks.map((check) => ({ ...check, ...checkInWords(check, words) })),
    missing: verdict.missing.map((what) => words.missing[what]),
    restsOn: verdict.restsOn.map((what) => words.restsOn[what]),
  }
}
