/**
 * Words for verdicts: English, and how other languages are made. English for what an audit rests on, and for the steps of a recorded
 * session.
 */

export { type SealedValue, sealedIn, sealedNames } from '../core/sealed.ts'
export { type AuditReliance, auditInWords } from './audit.ts'
export { type BundlePhrases, bundleEnglish, conditionsOf } from './bundle.ts'
export { english, type Print } from './english.ts'
export type { Sentence, VerdictWords } from './language.ts'
export {
  endingInWords,
  readStep,
  SESSION_TARGET,
  type SessionEvent,
  type SessionStep,
  type StepEnding,
  type StepRole,
  sessionOf,
  type ToldStep,
  tellStep,
} from './steps/index.ts'
export { type CheckInWords, checkInWords, inWords, type VerdictInWords } from './words.ts'
