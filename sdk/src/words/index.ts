/** Words for verdicts: English, and how other languages are made. And English for what an audit rests on. */

export { type AuditReliance, auditInWords } from './audit.ts'
export { english, type Print } from './english.ts'
export type { Sentence, VerdictWords } from './language.ts'
export { type CheckInWords, checkInWords, inWords, type VerdictInWords } from './words.ts'
