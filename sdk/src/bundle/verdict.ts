/** The verifier's answer about a bundle: whether what it holds is genuine, and whether it is all there is. */
import type { PinnedLog } from '../verify/trust.ts'
import type { ErasureWord } from '../verify/values.ts'
import type { Missing } from '../verify/verdict.ts'
import type { BundleAnchor, BundleScope } from './manifest.ts'

/**
 * Why something in a bundle does not hold.
 *
 * - `malformed`: the container, a file in it or a line is not as it must be, or something is cut off
 * - `header_invalid`, `event_invalid`: a batch header or an event cannot be read; `code` says why
 * - `place_mismatch`: an event, a header or a hash stands where it cannot belong
 * - `chain_broken`: an event does not follow the one before it in its stream
 * - `stream_forked`: two events claim one place of a stream
 * - `batch_incomplete`: there are not as many events and hashes as the header says
 * - `batch_root_mismatch`, `log_root_mismatch`: what is there does not hash to the signed root
 * - `registration_invalid`: a registration cannot be read, or is not signed by a key of the ledger registered before
 * - `key_unregistered`: the log registers no such key for the source before this place, as far as the bundle carries it
 * - `pin_mismatch`, `pin_expired`: another key is pinned for the source, or for another time
 * - `signature_invalid`: a signature does not verify
 * - `erasure_invalid`: an erasure that events name is not there, cannot be read, or names other fields or other events
 * - `note_invalid`: the checkpoint is malformed, or not signed as the pinned key of the log says
 * - `anchor_mismatch`: an anchor names another root than the entries make, or no edge of them
 * - `anchor_denied`: the chain does not hold the anchor, or another contract answers
 * - `trailer_mismatch`: the files are not those that the trailer was made for
 */
export type BundleReason =
  | 'malformed'
  | 'header_invalid'
  | 'event_invalid'
  | 'place_mismatch'
  | 'chain_broken'
  | 'stream_forked'
  | 'batch_incomplete'
  | 'batch_root_mismatch'
  | 'log_root_mismatch'
  | 'registration_invalid'
  | 'key_unregistered'
  | 'pin_mismatch'
  | 'pin_expired'
  | 'signature_invalid'
  | 'erasure_invalid'
  | 'note_invalid'
  | 'anchor_mismatch'
  | 'anchor_denied'
  | 'trailer_mismatch'

/** Where something does not hold: a file, and of `log.txt` the line (from 1), with what stands there as far as it is known. */
export type BundlePlace = {
  readonly file: string
  readonly line?: number
  readonly logIndex?: number
  readonly source?: string
  readonly stream?: string
  readonly seq?: number
}

/** What does not hold, and where. */
export type BundleFault = BundlePlace & {
  readonly reason: BundleReason
  /** A code of docs/ERRORS.md, or the name of what is at fault. */
  readonly code?: string
}

/** What is not there: places of a stream, or entries of the log, from the first to the last. */
export type BundleGap =
  | {
      readonly what: 'events'
      readonly source: string
      readonly stream: string
      readonly first: number
      readonly last: number
    }
  | { readonly what: 'entries'; readonly first: number; readonly last: number }

/**
 * Places of a stream that are not there because a retention policy has dropped them, as the ledger's log says at its entry `logIndex`, of the
 * time `at` (ISO 8601, by the ledger's clock). Whether they were due is not judged here: an audit does that.
 */
export type BundleDropped = {
  readonly source: string
  readonly stream: string
  readonly first: number
  readonly last: number
  readonly logIndex: number
  readonly at: string
  readonly policy: { readonly id: string; readonly version: number }
}

/**
 * Whether a bundle holds all of its scope.
 *
 * - `complete`: proven. Of a stream by places and chain; of a source by all entries of the log between two places
 * - `incomplete`: something of the scope is not there; `gaps` and `dropped` say what
 * - `open`: nothing is known to be missing, but anchors do not show that the entries reach as far as the times that were asked for
 * - `as_index_says`: what a search found, on the word of the service that searched
 * - `not_judged`: something in the bundle does not hold, so nothing is said
 */
export type BundleCompleteness = {
  readonly verdict: 'complete' | 'incomplete' | 'open' | 'as_index_says' | 'not_judged'
  /** What is not there and no drop in the bundle names: the first 100, and how many gaps there are in all. */
  readonly gaps: readonly BundleGap[]
  readonly gapCount: number
  /** How many places of streams, and entries of the log, these gaps come to. */
  readonly absent: { readonly events: number; readonly entries: number }
  /** What policies have dropped, which is in no gap: how many events, the first 100 stretches, and how many there are in all. */
  readonly dropped: {
    readonly events: number
    readonly found: readonly BundleDropped[]
    readonly foundCount: number
  }
  /** Whether anchors of all pinned logs show that the entries reach as far as the times that were asked for, or `heads` does, or none were asked for. */
  readonly isReached: boolean
  /**
   * Pinned logs of which no anchor in the bundle shows that, and of which a node was asked instead: no more than `size` entries were anchored in them
   * as of `at`, the time of a block, ISO 8601. Empty where that did not help.
   */
  readonly heads: readonly (PinnedLog & { readonly size: number; readonly at: string })[]
  /**
   * Block times, ISO 8601: as anchored at the one, in whichever pinned log, the ledger had no entry of the scope yet, and as anchored at the other
   * it has all. Null: anchors do not show it.
   */
  readonly after: string | null
  readonly by: string | null
  /** Streams of the scope, as far as their last places are there, and how many of them have ended; to one that has not, events of the time asked for may still come. */
  readonly streams: number
  readonly ended: number
}

/** An erasure that takes fields of events of a bundle, as a proof tells it of one event; `events`: how many of the bundle it names. */
export type BundleErasure = Omit<ErasureWord, 'count'> & { readonly events: number }

/** How many of the carried events lack fields, and why. Registrations, and orders of erasures, are not among them. */
export type BundleFields = {
  /** Of these, orders in the log took fields; and of these, all that was taken has expired by retention policies. */
  readonly erased: number
  readonly expired: number
  /** These lack fields that nothing in the bundle explains: someone hid them, or the ledger has lost them. */
  readonly hidden: number
  /** These may lack fields: their sources add digests that stand for none, so that nobody can tell. */
  readonly undecided: number
  /** The erasures, by rising log index: the first 100, and how many there are in all. */
  readonly erasures: readonly BundleErasure[]
  readonly erasureCount: number
}

/** A signature that was made outside of the time for which the log registers its key, as anchors show that the chain confirms. */
export type BundleKeyOutside = { readonly logIndex: number; readonly source: string; readonly kid: string }

/** A time in which a stream that had not ended said nothing for longer than its source promised. */
export type BundleSilence = {
  readonly source: string
  readonly stream: string
  /** Place of the event before it. */
  readonly seq: number
  /** When that and the next event were recorded, by the recorder's own clock, ISO 8601; null: no other had come by the scope's `until`. */
  readonly from: string
  readonly to: string | null
  /** What was promised, in seconds; while that changed, the longest. */
  readonly promised: number
  /** How far behind and ahead of the ledger's clock that clock may have been, in seconds; null: any. */
  readonly maxAge: number | null
  readonly maxAhead: number | null
}

/**
 * What of a bundle was held against promises: each two consecutive events of a stream that are carried, by the recorder's own clock,
 * where a carried registration promises a heartbeat before the first of them. A stream without two such events is not judged.
 */
export type BundleSilences = {
  /** Pairs of events that were compared, and of how many streams. */
  readonly pairs: number
  readonly streams: number
  /** The first 100, and how many there are in all. */
  readonly found: readonly BundleSilence[]
  readonly foundCount: number
}

/**
 * What was found of one anchor. `held`: the chain's answer; null: not asked, or no answer. `final`: whether it is final too, as of a
 * proof (`anchor.N.final`); what is not may still be reorganised away. Null where it is not held.
 */
export type JudgedBundleAnchor = Omit<BundleAnchor, 'root'> & {
  readonly held: boolean | null
  readonly final: boolean | null
  readonly pinned: boolean
}

/** What `verifyBundle` answers. */
export type BundleVerdict = {
  /**
   * `failed`: something does not hold. `verified`: everything does, and source keys, log key, contract and chain are as the
   * verifier pinned them. `undecided`: nothing failed, and `missing` says what was left open.
   */
  readonly outcome: 'verified' | 'failed' | 'undecided'
  readonly missing: readonly Missing[]
  /** The first 100, and how many there are in all. */
  readonly faults: readonly BundleFault[]
  readonly faultCount: number
  /** Null if the manifest could not be read that far. */
  readonly scope: BundleScope | null
  readonly origin: string | null
  /** Entries of the log under the checkpoint. */
  readonly size: number | null
  /** Carried entries, events but for registrations, orders of erasures that events name and drops of what is missing, registrations, and signatures that verify. */
  readonly entries: number
  readonly events: number
  readonly registrations: number
  readonly signatures: number
  /** Sources whose events are carried, and whether their keys are pinned or the log's word. */
  readonly sources: readonly { readonly source: string; readonly pinned: boolean }[]
  readonly anchors: readonly JudgedBundleAnchor[]
  /**
   * How many of the events no anchor covers that the chain confirms, in a pinned log where logs are pinned. That the log keeps these is the word of
   * who holds its key. Null: something does not hold, or there is no such anchor, as `missing` says.
   */
  readonly unanchored: number | null
  readonly completeness: BundleCompleteness
  /** Null: something does not hold, so nothing is said. */
  readonly fields: BundleFields | null
  /**
   * Keys that were used outside of the time for which they are registered: no fault, since the ledger went by its own clock, but to be
   * pointed out. The first 100, and how many there are in all, each key counted once for an entry.
   */
  readonly keysOutside: { readonly found: readonly BundleKeyOutside[]; readonly foundCount: number }
  /** Null: something does not hold, so nothing is said. */
  readonly silences: BundleSilences | null
  readonly made: { readonly at: string; readonly url: string } | null
  /**
   * Files for people, such as a report and a page, with the SHA-256 of each, which the trailer names too (else `trailer_mismatch`). Nobody
   * has signed them, and nothing here rests on them.
   */
  readonly forPeople: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[]
}

const MOST = 100

/** A list of which the first 100 are kept and all are counted. */
export class Few<T> {
  count = 0
  readonly #kept: { readonly turn: number; readonly item: T }[] = []
  #turns = 0

  get list(): T[] {
    return this.#kept.map(({ item }) => item)
  }

  /** A place in the list for what is known later. */
  turn(): number {
    this.#turns += 1
    return this.#turns
  }

  add(item: T, turn = this.turn()): void {
    this.count += 1
    const at = this.#kept.findLastIndex((kept) => kept.turn < turn) + 1
    if (at >= MOST) return
    this.#kept.splice(at, 0, { turn, item })
    if (this.#kept.length > MOST) this.#kept.pop()
  }
}
