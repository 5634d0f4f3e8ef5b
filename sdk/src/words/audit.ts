/** English for what an audit took on somebody's word. */
import type { AuditRestsOn } from '../audit/codes.ts'

type Entry<W extends AuditRestsOn['what']> = Extract<AuditRestsOn, { readonly what: W }>

const RESTS_ON: { readonly [W in AuditRestsOn['what']]: (entry: Entry<W>) => string } = {
  log_key: () => 'the operator’s word on which key is the log’s',
  unread_keys: ({ keys }) => `nothing of ${keys.join(', ')}: keys of such types are not read`,
  source_keys: ({ sources }) => `the operator’s word, given in the log, on the keys of ${sources.join(', ')}`,
  contract: () => 'the operator’s word on which contract and log to ask for',
  succession: () => 'the publisher’s word that this log succeeds the one that you pinned',
  left_log: () =>
    'the publisher’s word that what was anchored in the log that was left, and is not here, is none of its own',
}

/** The part of an `AuditResult` that is put into words. */
export type AuditReliance = {
  /** What was not pinned, so that somebody's word was taken. */
  readonly restsOn: readonly AuditRestsOn[]
}

/**
 * The result of an audit with phrases for what it rests on, in English. The other words of an audit, such as the `detail` of a
 * check, are already in the result.
 * @example
 * const { restsOn } = auditInWords(await auditLedger(api, pins))
 * for (const phrase of restsOn) console.log(`It rests on ${phrase}.`)
 */
export function auditInWords<R extends AuditReliance>(result: R): Omit<R, 'restsOn'> & { readonly restsOn: string[] } {
  return { ...result, restsOn: result.restsOn.map(phraseOf) }
}

function phraseOf<W extends AuditRestsOn['what']>(entry: Entry<W> & { readonly what: W }): string {
  return RESTS_ON[entry.what](entry)
}
