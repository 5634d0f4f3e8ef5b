/**
 * Two errors for two kinds of fault. `KillickError` says that the input is at fault; programs should switch on its code, which
 * belongs to the closed set below and is stable across releases. `InvariantError` says that Killick itself is at fault.
 */
import { CodedError } from './coded-error.ts'

/** Codes that say enough: an error may leave it at their sentence. */
const ENOUGH = {
  json_invalid: 'The text is not JSON.',
  jws_malformed: 'The text is not a compact JWS in canonical base64url.',
  event_malformed: 'The text is not an event token.',
  event_too_large: 'The event is larger than 262,144 bytes.',
  disclosure_malformed: 'A disclosure is not base64url of a JSON array [salt, name, value].',
  disclosure_unmatched: 'A disclosure matches no digest of the event.',
  disclosure_field_invalid: 'A disclosed field has a reserved name or the wrong form.',
  batch_header_invalid: 'The batch header lacks a required member, has an unknown one, or one of the wrong form.',
  batch_too_large: 'The batch exceeds 10,000 events or 16 MiB.',
  note_malformed: 'The text is not a C2SP signed note.',
  note_too_many_signatures: 'The note carries more than 64 signatures.',
  note_unverified: 'No signature on the note is by a known key.',
  vkey_invalid: 'The text is not a C2SP verifier key.',
  checkpoint_malformed: 'The note text is not a C2SP checkpoint.',
  proof_too_large: 'The proof is larger than 1 MiB.',
  log_closed: 'The audit log has been closed.',
  answer_malformed: 'The service answered with something other than what it was asked for.',
} as const satisfies Record<string, string>

/** Codes whose errors always say more. Apart, so that the sentences do not go into pages that verify. */
const WITH_MORE = {
  json_duplicate_member: 'A JSON object names the same member twice.',
  json_lone_surrogate: 'A JSON string holds half of a surrogate pair, which UTF-8 cannot carry.',
  json_number_inexact: 'A JSON number cannot be represented exactly (beyond 2^53, or overflowing).',
  json_too_deep: 'JSON is nested deeper than the limit.',
  jws_header_invalid: 'The JWS header is not exactly {alg, typ, kid} with the expected typ.',
  jws_alg_not_allowed: 'The JWS algorithm is not Ed25519, ES256 or ES256K ("none" and HMAC never are).',
  key_invalid: 'The key is not a valid public or private JWK of an allowed curve.',
  key_unsafe: 'The private key file can be read by other users.',
  key_unknown: 'No such key is registered for this source.',
  signature_invalid: 'The signature does not verify under the named key.',
  event_payload_invalid: 'The event payload lacks a required member, has an unknown one, or one of the wrong form.',
  event_incomplete:
    'The event does not disclose all that it must: action, actor, targets and, unless its source is registered with decoys, every digest.',
  disclosure_duplicate: 'Two disclosures, or two digests, are for the same thing.',
  batch_malformed: 'The body is not a batch: a header line, then one event per line, each ended by a line feed.',
  batch_count_mismatch: 'The batch does not hold as many events as its header says.',
  batch_chain_broken: 'An event does not follow its predecessor in the batch (source, stream, seq or prev).',
  batch_root_mismatch: 'The Merkle root in the batch header is not the root over its events.',
  registration_invalid:
    'The event that registers a source lacks a setting, has an unknown one, or one of the wrong form.',
  erasure_invalid:
    'The event that orders an erasure lacks something, has something unknown, or something of the wrong form.',
  retention_invalid:
    'The event that sets or ends a retention policy lacks something, has something unknown, or something of the wrong form.',
  proposal_invalid:
    'The event that proposes something to a second person, or refuses it, lacks something, has something unknown, or something of the wrong form.',
  pruning_invalid:
    'The event that says from when on a log does not publish its entries any more has not the form for it.',
  catalogue_invalid: 'A catalogue of actions lacks something, has something unknown, or something of the wrong form.',
  action_unknown: 'The catalogue of the source has no such action.',
  action_invalid: 'The event does not have what the catalogue says of its action.',
  vkey_unsupported: 'The verifier key is not of type Ed25519, the only type that is supported.',
  proof_malformed: 'The document is not a killick-proof/1.',
  bundle_malformed: 'The file is not a killick-bundle/1.',
  bundle_empty: 'The ledger has nothing of what was asked for.',
  bundle_too_large: 'The bundle takes more bytes than it may, or lacks the events of too many batches.',
  bundle_outdated: 'Events were dropped, or fields erased, while the bundle was made: it has to be made again.',
  bundle_version: 'The bundle has a later version than this program reads.',
  thread_failed: 'A thread that was checking ended before it had answered, so nothing is said of what it checked.',
  trust_invalid: 'What was pinned for verification (a key, a contract, a log id) is malformed.',
  option_invalid: 'An option is missing or malformed.',
  config_invalid: 'A killick.json has an unknown, missing or malformed member, or cannot be read.',
  config_exists: 'There is a killick.json already; it was not changed.',
  log_unexpected: 'The service keeps another log than the one that is pinned.',
  token_refused: 'The service does not take the token, or the token does not allow this.',
  field_invalid: 'A field of the event to record is missing or malformed, or its name is none.',
  spool_full: 'The spool has reached its size limit, and no room came free in time.',
  spool_disk_full: 'The disk that holds the spool is full.',
  spool_failed: 'The spool cannot be read or written: the disk is read-only, missing or at fault.',
  spool_locked: 'A live process has this spool open, another or this one.',
  spool_corrupt: 'The spool holds bytes that were not written by the recorder.',
  not_accepted:
    'The log has not accepted everything in time; what is left waits in the spool, or is lost with a process without a disk.',
  log_forked: 'The log contradicts what it has signed before: it has two histories. The evidence is in the spool.',
  session_unknown: 'No event of the ledger names this session.',
  session_ambiguous: 'Several sources have events of a session of this name.',
  audit_folder_failed:
    'The folder in which an audit keeps how far it has come cannot be read or written, holds something else, or is in use by another audit.',
  fork_malformed: 'The document is not a killick-fork/1.',
  receipt_invalid: 'The service answered with a receipt that does not prove acceptance.',
  refused: 'The service refused the batch for good.',
  unreachable: 'The service or RPC node could not be reached.',
} as const satisfies Record<string, string>

// A call, since bundlers keep a spread that nobody uses.
/** Every code that a `KillickError` can have, with one sentence on what it means. Codes are stable across releases. */
export const ERROR_CODES = /* @__PURE__ */ (() => ({ ...ENOUGH, ...WITH_MORE }))()

/** A code of `ERROR_CODES`; programs switch on it. */
export type ErrorCode = keyof typeof ERROR_CODES

/**
 * Some input is at fault: an argument, a file, a proof, an answer. `code` is stable and for programs, `message` is for people,
 * `details` is the evidence: plain JSON, safe to show, never key material.
 * @example
 * try {
 *   parseProof(text)
 * } catch (error) {
 *   if (error instanceof KillickError && error.code === 'proof_too_large') askForLess()
 *   else throw error
 * }
 */
export class KillickError extends CodedError<ErrorCode> {
  /** @param message default, for some codes: the sentence in `ERROR_CODES` */
  constructor(code: keyof typeof ENOUGH, message?: string, details?: Record<string, unknown>)
  constructor(code: ErrorCode, message: string, details?: Record<string, unknown>)
  constructor(
    code: ErrorCode,
    message: string = ENOUGH[code as keyof typeof ENOUGH],
    details: Record<string, unknown> = {},
  ) {
    super(code, message, details)
    this.name = 'KillickError'
  }
}

/** A broken invariant: a bug in Killick, or a call that breaks a function's contract. Nothing that a peer sends causes one. */
export class InvariantError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'InvariantError'
  }
}
