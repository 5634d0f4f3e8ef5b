/** What a verdict about a bundle comes to: the phrases that the command line and the page share, in English. */
import type {
  BundleCompleteness,
  BundleDropped,
  BundleErasure,
  BundleGap,
  BundleKeyOutside,
  BundleReason,
  BundleScope,
  BundleSilence,
} from '../bundle/index.ts'
import type { Print } from './english.ts'

/** Phrases for a verdict about a bundle, in one language. Values that come from others, such as names, are inserted unchanged. */
export type BundlePhrases = {
  /** What a bundle says that it holds. */
  readonly scope: (scope: BundleScope) => string
  /** What is missing. */
  readonly gap: (gap: BundleGap) => string
  /** What does not hold, behind the name of the file that it was found in. */
  readonly reasons: Readonly<Record<BundleReason, string>>
  /** Sentences on whether it is all there is, and what that rests on. */
  readonly completeness: {
    /** For each kind of bundle that can be shown to be complete. */
    readonly complete: { readonly stream: string; readonly source: string }
    /** Of gaps. @param gaps how many there are, from 1 */
    readonly incomplete: (gaps: number) => string
    /** What all gaps come to. @param events places of streams @param entries of the log; one of the two is above 0 */
    readonly absent: (events: number, entries: number) => string
    readonly open: string
    /** The same beside what is missing. */
    readonly notReached: string
    /** Of what an index found. @param origin the log's name, or null where it is not known */
    readonly as_index_says: (origin: string | null) => string
    readonly not_judged: string
    /** After when all of it came. @param iso the time of an anchor, ISO 8601 in UTC */
    readonly after: (iso: string) => string
    /** By when all of it was in the log. @param iso the time of an anchor, ISO 8601 in UTC */
    readonly by: (iso: string) => string
    /** Of a pinned log of which the chain itself was asked how much of it is anchored. */
    readonly head: (head: BundleCompleteness['heads'][number]) => string
    /**
     * Of streams that have not ended.
     * @param streams how many, from 1
     * @param of how many streams there are
     */
    readonly notEnded: (streams: number, of: number) => string
  }
  /** On events that are not there because policies have dropped them. */
  readonly dropped: {
    /** That there are some. @param events how many, from 1 */
    readonly found: (events: number) => string
    /** Where there is no gap besides. */
    readonly nothingElse: string
    /** Some of them, behind each other in a stream. */
    readonly one: (dropped: BundleDropped) => string
  }
  /** Sentences on events that lack fields. Each is told how many events, from 1. */
  readonly fields: {
    /** Of fields that were erased. */
    readonly erased: (events: number) => string
    /** Of fields that have expired. */
    readonly expired: (events: number) => string
    /** Of fields that are not shown, and nothing says why. */
    readonly hidden: (events: number) => string
    /** Where sources add digests of no field. */
    readonly undecided: (events: number) => string
    /** One of the erasures. */
    readonly one: (erasure: BundleErasure) => string
  }
  /** Of events that no anchor covers, beside some that one does. @param events how many, from 1 */
  readonly unanchored: (events: number) => string
  /** On keys that were used outside of the time for which they are registered. */
  readonly keysOutside: {
    /** That there are some. @param uses how many, from 1 */
    readonly found: (uses: number) => string
    /** One of them. */
    readonly one: (use: BundleKeyOutside) => string
  }
  /** On times in which a stream said nothing for longer than its source promised. */
  readonly silence: {
    /** That there are some. @param times how many such times, from 1 */
    readonly found: (times: number) => string
    /** What that there are some, or none, rests on; the end of a sentence. @param pairs of events, in how many `streams` */
    readonly basis: (pairs: number, streams: number) => string
    /** One of them. */
    readonly one: (silence: BundleSilence) => string
  }
}

/**
 * The English phrases for verdicts about bundles.
 * @param print how times and numbers are printed; default: times as they are, and plain digits
 */
export function bundleEnglish({ time, number }: Print = { time: (iso) => iso, number: String }): BundlePhrases {
  const count = (n: number, one: string) => `${number(n)} ${one}${n === 1 ? '' : 's'}`
  const range = (first: number, last: number) =>
    first === last ? number(first) : `${number(first)} to ${number(last)}`
  const places = (part: { first: number; last: number; stream: string; source: string }) =>
    `events ${range(part.first, part.last)} of stream ${part.stream} of ${part.source}`
  return {
    scope(scope) {
      if (scope.kind === 'stream') return places(scope)
      if (scope.kind === 'search') return `what the index finds for ${conditionsOf(scope)}`
      const { source, from, to, since, until } = scope
      const period = [since && `from ${time(since)}`, until && `until ${time(until)}`].filter(Boolean).join(' ')
      return `every event of ${source} in the log’s entries ${number(from)} to before ${number(to)}${period && ` (${period})`}`
    },
    gap: (gap) => (gap.what === 'entries' ? `entries ${range(gap.first, gap.last)} of the log` : places(gap)),
    reasons: {
      malformed: 'is not as it must be, or is cut off',
      header_invalid: 'holds a batch header that cannot be read',
      event_invalid: 'holds an event that cannot be read',
      place_mismatch: 'holds something that cannot stand there',
      chain_broken: 'holds an event that does not follow the one before it',
      stream_forked: 'holds a second event for a place of a stream',
      batch_incomplete: 'holds fewer events of a batch than its header says',
      batch_root_mismatch: 'holds events that are not those of the signed batch',
      log_root_mismatch: 'does not make the root that the checkpoint has',
      registration_invalid: 'holds a registration that does not count',
      key_unregistered: 'holds a signature by a key that the log does not register before it',
      pin_mismatch: 'holds a signature by another key than the pinned one',
      pin_expired: 'holds a signature from another time than the key is pinned for',
      signature_invalid: 'holds a signature that does not verify',
      erasure_invalid: 'says that something was erased, and the log does not say so',
      note_invalid: 'holds a checkpoint that the log’s key did not sign, or that cannot be read',
      anchor_mismatch: 'names an anchor that is not of these entries',
      anchor_denied: 'names an anchor that the chain does not hold',
      trailer_mismatch: 'does not fit the files before it',
    },
    completeness: {
      complete: {
        stream: 'Every place of the stream is there, and each event follows the one before it.',
        source: 'All entries of the log in this range are there, and with them every event of the source.',
      },
      incomplete: (gaps) => `${count(gaps, 'gap')} in what it says that it holds.`,
      absent: (events, entries) =>
        `No drop in it names what is missing: ${[
          ...(events > 0 ? [count(events, 'event')] : []),
          ...(entries > 0 ? [`${number(entries)} ${entries === 1 ? 'entry' : 'entries'} of the log`] : []),
        ].join(' and ')}.`,
      open: 'Nothing of the range is missing, but confirmed anchors of the pinned logs do not show that it reaches as far as the times that were asked for.',
      notReached:
        'Confirmed anchors of the pinned logs do not show that it reaches as far as the times that were asked for.',
      as_index_says: (origin) =>
        `These are the events that ${origin ?? 'the service'} found. That there are no others is its word, and nothing here can show it.`,
      not_judged: 'Something in it does not hold, so nothing can be said of what is missing.',
      after: (iso) => `None of it was in the log yet as anchored at ${time(iso)}, by the last anchor before it.`,
      by: (iso) => `All of it was in the log by ${time(iso)}, the time of the anchor that covers it.`,
      head: ({ chainId, logId, size, at }) =>
        `No anchor in it shows how far the pinned log ${logId.slice(0, 10)}… had come; chain ${chainId} itself says that no more than ${number(size)} ${size === 1 ? 'entry' : 'entries'} of it ${size === 1 ? 'was' : 'were'} anchored by ${time(at)}.`,
      notEnded: (streams, of) =>
        `${number(streams)} of ${count(of, 'stream')} ${streams === 1 ? 'has' : 'have'} not ended: what ${streams === 1 ? 'its recorder still holds' : 'their recorders still hold'} comes later in the log.`,
    },
    dropped: {
      found: (events) =>
        `${count(events, 'event')} ${events === 1 ? 'was' : 'were'} dropped by retention policies, as the ledger’s log says. Whether ${events === 1 ? 'it was' : 'they were'} due, an audit tells.`,
      nothingElse: 'Nothing else is missing.',
      one: ({ logIndex, at, policy, ...part }) =>
        `${places(part)}, as log entry ${number(logIndex)} says, recorded at ${time(at)}: policy ${policy.id}, version ${policy.version}`,
    },
    fields: {
      erased: (events) => `${count(events, 'event')} lost fields to erasures that the log orders.`,
      expired: (events) => `Of ${count(events, 'event')} fields have expired, by policies that the log names.`,
      hidden: (events) =>
        `${count(events, 'event')} ${events === 1 ? 'does' : 'do'} not show every field, and nothing here says why: somebody has hidden them, or the ledger has lost them.`,
      undecided: (events) =>
        `${count(events, 'event')} may not show every field: nobody can tell, because the source adds digests that stand for none.`,
      one: ({ logIndex, at, reason, legalBasis, order, events, policy, confirmed }) =>
        `${policy ? 'expired' : 'erased'} of ${count(events, 'event')} by log entry ${number(logIndex)} at ${time(at)}${
          policy ? `, by policy ${policy.id}, version ${policy.version}` : order === null ? '' : `, by order ${order}`
        }${confirmed ? `, ordered by ${confirmed.orderedBy} and confirmed by ${confirmed.confirmedBy}` : ''}${legalBasis === null ? '' : ` (${legalBasis})`}: ${reason}`,
    },
    unanchored: (events) =>
      `${count(events, 'event')} ${events === 1 ? 'is' : 'are'} in no confirmed anchor that counts here: that the log keeps ${events === 1 ? 'it' : 'them'} is the word of who holds its key.`,
    keysOutside: {
      found: (uses) =>
        `${count(uses, 'time')} a key signed outside of the time for which the log registers it, as anchors show.`,
      one: ({ logIndex, source, kid }) => `key ${kid} of ${source} at log entry ${number(logIndex)}`,
    },
    silence: {
      found: (times) => `${count(times, 'time')} a stream said nothing for longer than its source promised`,
      basis: (pairs, streams) =>
        `by the recorders’ own clocks, in ${count(pairs, 'pair')} of consecutive events of ${count(streams, 'stream')}`,
      one({ source, stream, seq, from, to, promised, maxAge, maxAhead }) {
        const end = to === null ? 'the end of the time that was asked for, as far as had arrived' : time(to)
        const within = (seconds: number | null) => (seconds === null ? 'any' : `at most ${number(seconds)} s`)
        const bounds =
          maxAge === null && maxAhead === null
            ? 'the ledger takes any time of it'
            : `the ledger takes times of it ${within(maxAge)} behind and ${within(maxAhead)} ahead of its own clock`
        return `stream ${stream} of ${source}, behind event ${number(seq)}: from ${time(from)} to ${end}; promised ${number(promised)} s; ${bounds}`
      },
    },
  }
}

/** The conditions of a search, as names and values with a comma between them. */
export const conditionsOf = ({ conditions }: Extract<BundleScope, { readonly kind: 'search' }>): string =>
  Object.entries(conditions)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ')
